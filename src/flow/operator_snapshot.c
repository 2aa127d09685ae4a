/* A savepoint block: one key group of one operator, the same bytes in every host.
 *
 *    0  "LSAV"
 *    4  u16 version = 1      6  u16 bytes of the kind's name (1..16)
 *    8  u32 key group, or LEAT_GROUP_SHARED           12  u32 key groups in all
 *   16  i64 append time     24  i64 event time        INT64_MIN: none yet
 *   32  u64 hash of the names of the configuration's actions: records are laid out by them
 *   40  u32 inputs          44  u32 0
 *   48  i64 watermark of each input                   INT64_MAX: ended
 *       kind's name
 *       u64 XXH3-64 of everything before it
 *       one block of state (state/state_file.h); of what is shared, one of every group in order
 *
 * Golden file: tests/golden/savepoint_v1.block. */
#include "base/hash.h"
#include "base/memory.h"
#include "flow/operator_internal.h"

#include <inttypes.h>

enum { SAVE_VERSION = 1, SAVE_HEAD_BYTES = 48, SAVE_NAME_MAX = 16 };

struct leat_snapshot {
    struct leat_operator *op;
    struct state_snapshot *keyed, *shared; /* shared: NULL where the kind has none */
    struct watermark watermark;
    int64_t now_ms;
};

static uint64_t actions_hash(const struct config *config) {
    uint64_t hash = 0;
    for (int i = 0; i < config->action_count; i++) {
        hash = hash_mix(hash, hash_slice(slice_of(config->actions[i].name)));
    }
    return hash;
}

/* --- writing --- */

static bool output_waits(const struct leat_operator *op) {
    bool waits = op->fire_next < op->owned.end;
    for (int i = 0; i < op->kind->output_count; i++) {
        waits = waits || !output_empty(&op->outputs[i]);
    }
    return waits;
}

leat_status leat_operator_freeze(leat_operator *op, leat_snapshot **out, leat_error *err) {
    if (op->failed.status != LEAT_OK) {
        return error_set(err, op->failed.status, "%s", op->failed.message);
    }
    if (atomic_load(&op->frozen) || output_waits(op)) {
        return error_retry(err, LEAT_AGAIN, "%s: %s", op->kind->name,
                           atomic_load(&op->frozen) ? "the snapshot before is open; release it"
                                                    : "output waits; pull it first");
    }
    struct leat_snapshot *snapshot = memory_zalloc(sizeof(*snapshot));
    if (!snapshot) {
        return error_memory(err, sizeof(*snapshot));
    }
    snapshot->op = op;
    snapshot->watermark = op->watermark;
    snapshot->now_ms = atomic_load(&op->now_ms);
    leat_status status = state_freeze(op->keyed, &snapshot->keyed, err);
    if (status == LEAT_OK && op->shared) {
        status = state_freeze(op->shared, &snapshot->shared, err);
    }
    if (status != LEAT_OK) {
        if (snapshot->keyed) {
            state_snapshot_release(snapshot->keyed);
        }
        memory_free(snapshot);
        return status;
    }
    atomic_store(&op->frozen, true);
    *out = snapshot;
    return LEAT_OK;
}

static void head_encode(const struct leat_snapshot *snapshot, uint32_t group, struct bytes *out) {
    const struct leat_operator *op = snapshot->op;
    struct slice name = slice_of(op->kind->name);
    bytes_append(out, "LSAV", 4);
    bytes_put_u16(out, SAVE_VERSION);
    bytes_put_u16(out, (uint16_t)name.size);
    bytes_put_u32(out, group);
    bytes_put_u32(out, op->owned.groups);
    bytes_put_i64(out, snapshot->now_ms);
    bytes_put_i64(out, snapshot->watermark.combined_ms);
    bytes_put_u64(out, actions_hash(op->config));
    bytes_put_u32(out, (uint32_t)op->kind->input_count);
    bytes_put_u32(out, 0);
    for (int i = 0; i < op->kind->input_count; i++) {
        bytes_put_i64(out, snapshot->watermark.inputs[i].time_ms);
    }
    bytes_append(out, name.data, name.size);
    bytes_put_u64(out, hash_bytes(out->data, out->size));
}

static leat_status states_write(struct leat_snapshot *snapshot, uint32_t group, leat_sink sink,
                                leat_error *err) {
    if (group != LEAT_GROUP_SHARED) {
        return state_snapshot_write(snapshot->keyed, group, sink.write, sink.context, err);
    }
    for (uint32_t g = 0; g < snapshot->op->owned.groups; g++) {
        TRY(state_snapshot_write(snapshot->shared, g, sink.write, sink.context, err));
    }
    return LEAT_OK;
}

/* LEAT_END: a shared block where the kind has none. */
static leat_status check_group(const struct leat_operator *op, uint32_t group, leat_error *err) {
    if (group == LEAT_GROUP_SHARED) {
        return op->shared ? LEAT_OK : LEAT_END;
    }
    if (group < op->owned.first || group >= op->owned.end) {
        return error_set(err, LEAT_INVALID, "%s: key group %u; this operator owns [%u, %u) of %u",
                         op->kind->name, group, op->owned.first, op->owned.end, op->owned.groups);
    }
    return LEAT_OK;
}

leat_status leat_snapshot_write(leat_snapshot *snapshot, uint32_t key_group, leat_sink sink,
                                leat_error *err) {
    leat_status status = check_group(snapshot->op, key_group, err);
    if (status != LEAT_OK) {
        return status;
    }
    struct bytes head;
    bytes_init(&head);
    head_encode(snapshot, key_group, &head);
    status = bytes_status(&head, err);
    if (status >= 0) {
        status = sink.write(sink.context, head.data, head.size, err);
    }
    bytes_deinit(&head);
    return status < 0 ? status : states_write(snapshot, key_group, sink, err);
}

void leat_snapshot_release(leat_snapshot *snapshot) {
    if (snapshot) {
        state_snapshot_release(snapshot->keyed);
        if (snapshot->shared) {
            state_snapshot_release(snapshot->shared);
        }
        atomic_store(&snapshot->op->frozen, false);
        memory_free(snapshot);
    }
}

/* --- restoring --- */

struct save_head {
    uint32_t group, groups;
    int64_t now_ms, event_ms;
    uint64_t actions;
    uint32_t inputs, zero;
    int64_t times[OPERATOR_INPUTS_MAX];
    uint32_t name_size;
    char name[SAVE_NAME_MAX + 1];
};

static leat_status damaged(const struct leat_operator *op, uint32_t group, const char *words,
                           leat_error *err) {
    return error_set(err, LEAT_CORRUPT,
                     "%s, block of key group %u: %s; take the block from another snapshot",
                     op->kind->name, group, words);
}

/* Reads the head's bytes into `raw` and its members into `out`; its sizes are checked first. */
static leat_status head_read(const struct leat_operator *op, uint32_t group, leat_source source,
                             struct save_head *out, leat_error *err) {
    uint8_t raw[SAVE_HEAD_BYTES + OPERATOR_INPUTS_MAX * sizeof(int64_t) + SAVE_NAME_MAX +
                sizeof(uint64_t)];
    TRY(source.read(source.context, raw, SAVE_HEAD_BYTES, err));
    struct bytes_reader reader = bytes_reader_of(raw, SAVE_HEAD_BYTES);
    if (memcmp(bytes_get_raw(&reader, 4), "LSAV", 4) != 0) {
        return damaged(op, group, "it does not begin with LSAV", err);
    }
    uint16_t version = bytes_get_u16(&reader);
    if (version != SAVE_VERSION) {
        return error_set(err, version > SAVE_VERSION ? LEAT_UNSUPPORTED : LEAT_CORRUPT,
                         "%s, block of key group %u: version %u; this leat reads version %d",
                         op->kind->name, group, version, SAVE_VERSION);
    }
    out->name_size = bytes_get_u16(&reader);
    out->group = bytes_get_u32(&reader);
    out->groups = bytes_get_u32(&reader);
    out->now_ms = bytes_get_i64(&reader);
    out->event_ms = bytes_get_i64(&reader);
    out->actions = bytes_get_u64(&reader);
    out->inputs = bytes_get_u32(&reader);
    out->zero = bytes_get_u32(&reader);
    if (out->name_size < 1 || out->name_size > SAVE_NAME_MAX || out->inputs < 1 ||
        out->inputs > OPERATOR_INPUTS_MAX || out->zero != 0) {
        return damaged(op, group, "a size of its head is out of range", err);
    }
    size_t rest = out->inputs * sizeof(int64_t) + out->name_size + sizeof(uint64_t);
    TRY(source.read(source.context, raw + SAVE_HEAD_BYTES, rest, err));
    reader = bytes_reader_of(raw + SAVE_HEAD_BYTES, rest);
    for (uint32_t i = 0; i < out->inputs; i++) {
        out->times[i] = bytes_get_i64(&reader);
    }
    memcpy(out->name, bytes_get_raw(&reader, out->name_size), out->name_size);
    out->name[out->name_size] = '\0';
    if (bytes_get_u64(&reader) != hash_bytes(raw, SAVE_HEAD_BYTES + rest - sizeof(uint64_t))) {
        return damaged(op, group, "the checksum of its head is wrong", err);
    }
    return LEAT_OK;
}

/* A whole block that is not for this operator. */
static leat_status head_check(const struct leat_operator *op, uint32_t group,
                              const struct save_head *head, leat_error *err) {
    if (strcmp(head->name, op->kind->name) != 0 || head->group != group ||
        head->groups != op->owned.groups || head->inputs != (uint32_t)op->kind->input_count) {
        return error_set(err, LEAT_CONFLICT,
                         "a block of %s, key group %u of %u; %s, key group %u of %u is needed",
                         head->name, head->group, head->groups, op->kind->name, group,
                         op->owned.groups);
    }
    if (head->actions != actions_hash(op->config)) {
        return error_set(err, LEAT_CONFLICT,
                         "%s, block of key group %u: made with another list of actions; open the "
                         "operator with that one",
                         op->kind->name, group);
    }
    if (head->now_ms < 0 || head->now_ms >= OPERATOR_TIME_END) {
        return damaged(op, group, "its append time is out of range", err);
    }
    return LEAT_OK;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Append time is one clock for all, so the latest holds; of event time only what every block knows
 * to be over is over. */
static void times_restore(struct leat_operator *op, const struct save_head *head) {
    struct watermark *watermark = &op->watermark;
    for (int i = 0; i < op->kind->input_count; i++) {
        struct watermark_input *input = &watermark->inputs[i];
        input->time_ms = op->restored ? least(input->time_ms, head->times[i]) : head->times[i];
    }
    watermark->combined_ms =
        op->restored ? least(watermark->combined_ms, head->event_ms) : head->event_ms;
    int64_t now_ms = atomic_load(&op->now_ms);
    if (head->now_ms > now_ms) {
        atomic_store(&op->now_ms, head->now_ms);
        watermark->now_ms = head->now_ms;
        for (int i = 0; i < op->kind->input_count; i++) {
            watermark->inputs[i].active_ms = head->now_ms;
        }
    }
    op->restored = true;
}

static leat_status states_restore(struct leat_operator *op, uint32_t group, leat_source source,
                                  leat_error *err) {
    if (group != LEAT_GROUP_SHARED) {
        return state_restore(op->keyed, group, source.read, source.context, err);
    }
    for (uint32_t g = 0; g < op->owned.groups; g++) {
        TRY(state_restore(op->shared, g, source.read, source.context, err));
    }
    catalog_restored(op->catalog);
    return LEAT_OK;
}

/* What is shared is of many blocks: where a later one is bad, those before it go again. The
 * catalogue is opened anew for that, which needs memory. */
static leat_status shared_empty(struct leat_operator *op, leat_error *err) {
    struct catalog *empty;
    TRY(catalog_open(op->config, &op->budget, &empty, err));
    catalog_close(op->catalog);
    op->catalog = empty;
    op->shared = catalog_state(empty);
    return LEAT_OK;
}

/* After a block that was refused, or found no memory: its group is empty, and what was refused on
 * the way is no loss. */
static void restore_undo(struct leat_operator *op, uint32_t group) {
    leat_status emptied = group == LEAT_GROUP_SHARED ? shared_empty(op, NULL) : LEAT_OK;
    if (emptied < 0) {
        error_set(&op->failed, emptied,
                  "%s: no memory while a bad block was taken out; open another", op->kind->name);
    }
    op->refused_seen = atomic_load_explicit(&op->budget.refused, memory_order_relaxed);
    operator_told(op);
}

static leat_status check_restore(const struct leat_operator *op, uint32_t group, leat_error *err) {
    if (op->failed.status != LEAT_OK) {
        return error_set(err, op->failed.status, "%s", op->failed.message);
    }
    if (op->begun) {
        return error_set(err, LEAT_CONFLICT,
                         "%s: rows or times were pushed already; restore before them",
                         op->kind->name);
    }
    bool taken = group == LEAT_GROUP_SHARED && op->shared && state_count(op->shared) > 0;
    return taken ? error_set(err, LEAT_CONFLICT, "%s: what is shared was restored already",
                             op->kind->name)
                 : LEAT_OK;
}

leat_status leat_operator_restore(leat_operator *op, uint32_t key_group, leat_source source,
                                  leat_error *err) {
    TRY(check_restore(op, key_group, err));
    leat_status status = check_group(op, key_group, err);
    if (status != LEAT_OK) {
        return status;
    }
    struct save_head head = {0};
    TRY(head_read(op, key_group, source, &head, err));
    TRY(head_check(op, key_group, &head, err));
    status = states_restore(op, key_group, source, err);
    if (status < 0) {
        restore_undo(op, key_group);
        return status;
    }
    times_restore(op, &head);
    TRY(operator_trim(op, err));
    operator_told(op);
    return status;
}
