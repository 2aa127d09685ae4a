#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "flow/operator_internal.h"

#include <inttypes.h>

enum { TRIM_ROWS = 256 }; /* may overdraw the budget between */

/* --- keys --- */

uint64_t leat_key_hash(const char *text, size_t size) {
    return hash_bytes(text, size);
}

uint32_t leat_key_group_of_hash(uint64_t hash, uint32_t groups) {
    return groups > 0 ? key_group_of(hash, groups) : 0;
}

uint32_t leat_key_group(const char *text, size_t size, uint32_t groups) {
    return leat_key_group_of_hash(hash_bytes(text, size), groups);
}

/* --- open and close --- */

static leat_status check_groups(leat_key_groups owned, leat_error *err) {
    if (owned.groups < 1 || owned.groups > LEAT_KEY_GROUPS_MAX || owned.first >= owned.end ||
        owned.end > owned.groups) {
        return error_set(err, LEAT_INVALID,
                         "key groups [%u, %u) of %u: one or more are needed, of 1 to %d",
                         owned.first, owned.end, owned.groups, LEAT_KEY_GROUPS_MAX);
    }
    return LEAT_OK;
}

static leat_status parts_open(struct leat_operator *op, leat_error *err) {
    const struct operator_kind *kind = op->kind;
    for (int i = 0; i < kind->output_count; i++) {
        output_init(&op->outputs[i], kind->outputs[i]());
    }
    for (int i = 0; i < kind->input_count; i++) {
        TRY(input_init(&op->inputs[i], &kind->inputs[i], err));
    }
    watermark_init(&op->watermark, kind->input_count, op->config->flow.idle);
    return kind->open(op, err);
}

static int64_t bytes_of(const struct leat_operator *op) {
    uint64_t bytes = op->keyed ? state_bytes(op->keyed) : 0;
    return (int64_t)(bytes + (op->shared ? state_bytes(op->shared) : 0));
}

static void tell_bytes(struct leat_operator *op, int64_t bytes) {
    if (op->host.memory && bytes != op->bytes_told) {
        op->host.memory(op->host.context, bytes - op->bytes_told);
    }
    op->bytes_told = bytes;
}

void operator_told(struct leat_operator *op) {
    tell_bytes(op, bytes_of(op));
}

leat_status leat_operator_open(const char *kind, const char *config, const leat_host *host,
                               leat_key_groups owned, leat_operator **out, leat_error *err) {
    const struct operator_kind *found = operator_kind_find(kind);
    if (!found) {
        return operator_kind_unknown(kind, err);
    }
    TRY(check_groups(owned, err));
    struct leat_operator *op = memory_zalloc(sizeof(*op));
    if (!op) {
        return error_memory(err, sizeof(*op));
    }
    op->kind = found;
    op->owned = owned;
    op->fire_next = owned.end;
    op->host = host ? *host : (leat_host){0};
    leat_status status = config_parse(slice_of(config), "config", &op->config, err);
    if (status >= 0) {
        op->config->root.key_groups = owned.groups;
        op->budget.bytes_max =
            op->host.memory_max > 0 ? op->host.memory_max : op->config->flow.memory;
        op->budget.spill_disk = op->host.spill_folder ? disk_real() : NULL;
        op->budget.spill_folder = op->host.spill_folder;
        op->budget.spill_bytes_max =
            op->config->runner.spill > 0 ? op->config->runner.spill : INT64_MAX;
        status = parts_open(op, err);
    }
    if (status < 0) {
        op->host.memory = NULL; /* nothing was told yet */
        leat_operator_close(op);
        return status;
    }
    operator_told(op);
    *out = op;
    return LEAT_OK;
}

void leat_operator_close(leat_operator *op) {
    if (!op) {
        return;
    }
    tell_bytes(op, 0);
    dedup_close(op->dedup);
    join_close(op->join);
    profile_close(op->profile);
    catalog_close(op->catalog);
    tally_close(op->tally);
    pairs_close(op->pairs);
    for (int i = 0; i < op->kind->input_count; i++) {
        input_deinit(&op->inputs[i]);
    }
    for (int i = 0; i < op->kind->output_count; i++) {
        output_deinit(&op->outputs[i]);
    }
    config_destroy(op->config);
    memory_free(op);
}

/* --- failing --- */

static leat_status check_input(const struct leat_operator *op, int input, leat_error *err) {
    if (input < 0 || input >= op->kind->input_count) {
        return error_set(err, LEAT_INVALID, "%s has no input %d; it has %d", op->kind->name, input,
                         op->kind->input_count);
    }
    return LEAT_OK;
}

static leat_status check_works(const struct leat_operator *op, leat_error *err) {
    if (op->failed.status != LEAT_OK && err) {
        *err = op->failed;
    }
    return op->failed.status;
}

static leat_status fail(struct leat_operator *op, leat_status status, leat_error *err) {
    error_set(&op->failed, status,
              status == LEAT_FULL
                  ? "%s: a record was refused: %" PRId64 " bytes of state are the bound "
                    "(memory_max, or flow.memory). The operator has failed: restore its last "
                    "snapshot with more memory, or into more operators"
                  : "%s: no memory for a record or a row of output; %" PRId64 " bytes of state are "
                    "the bound. The operator has failed: restore its last snapshot where there is "
                    "more memory",
              op->kind->name, op->budget.bytes_max);
    if (op->host.log) {
        op->host.log(op->host.context, op->failed.message);
    }
    return check_works(op, err);
}

/* Stands before the first change of a call, settle_call after its last. */
static void begin_call(struct leat_operator *op) {
    op->begun = true;
    op->memory_seen = memory_refusals();
}

/* Where there is a folder for it, cold records leave memory; what cannot be written stays there. */
leat_status operator_trim(struct leat_operator *op, leat_error *err) {
    TRY(check_works(op, err));
    if (!op->budget.spill_disk) {
        return LEAT_OK;
    }
    struct state *states[2];
    int count = 0;
    if (op->keyed) {
        states[count++] = op->keyed;
    }
    if (op->shared) {
        states[count++] = op->shared;
    }
    leat_error failure;
    leat_status status = state_trim(states, count, &failure);
    for (int i = 0; i < count && status == LEAT_OK; i++) {
        status = state_failure(states[i], &failure);
    }
    if (status < 0 && status != LEAT_MEMORY) {
        error_set(&op->failed, status,
                  "%s: %s. The operator has failed: restore its last snapshot with a spill folder "
                  "that has room",
                  op->kind->name, failure.message);
        return check_works(op, err);
    }
    return status < 0 ? fail(op, status, err) : LEAT_OK;
}

/* A record that was refused is a row that is not remembered, so what follows would not be what the
 * input says. Whatever found no memory, wherever below, is taken for one. */
static leat_status settle_call(struct leat_operator *op, leat_error *err) {
    TRY(operator_trim(op, err));
    operator_told(op);
    bool lost = memory_refusals() != op->memory_seen;
    for (int i = 0; i < op->kind->output_count; i++) {
        lost = lost || op->outputs[i].failed;
    }
    if (lost) {
        return fail(op, LEAT_MEMORY, err);
    }
    uint64_t refused = atomic_load_explicit(&op->budget.refused, memory_order_relaxed);
    return refused != op->refused_seen ? fail(op, LEAT_FULL, err) : LEAT_OK;
}

/* --- time --- */

static bool output_has_room(const struct leat_operator *op) {
    for (int i = 0; i < op->kind->output_count; i++) {
        if (op->outputs[i].waiting > LEAT_WAITING_MAX) {
            return false;
        }
    }
    return true;
}

/* Fires what is due, a key group at a time, as long as its output finds room; what is left is fired
 * as the host pulls. */
static void fire_some(struct leat_operator *op) {
    while (op->fire_next < op->owned.end && output_has_room(op)) {
        op->kind->fire(op, op->fire_next, op->fire_next + 1);
        op->fire_next++;
        if (operator_trim(op, NULL) < 0) {
            return; /* who asked for it looks whether the operator works */
        }
    }
}

static void fire_all_groups(struct leat_operator *op, bool moved) {
    if (moved && op->kind->fire) {
        op->fire_next = op->owned.first;
        fire_some(op);
    }
}

leat_status leat_operator_watermark(leat_operator *op, int input, int64_t event_time_ms,
                                    leat_error *err) {
    TRY(check_works(op, err));
    TRY(check_input(op, input, err));
    if (event_time_ms >= OPERATOR_TIME_END) {
        return leat_operator_end(op, input, err);
    }
    begin_call(op);
    fire_all_groups(op, watermark_push(&op->watermark, input, event_time_ms));
    return settle_call(op, err);
}

leat_status leat_operator_end(leat_operator *op, int input, leat_error *err) {
    TRY(check_works(op, err));
    TRY(check_input(op, input, err));
    begin_call(op);
    fire_all_groups(op, watermark_end(&op->watermark, input));
    return settle_call(op, err);
}

leat_status leat_operator_now(leat_operator *op, int64_t append_time_ms, leat_error *err) {
    TRY(check_works(op, err));
    if (append_time_ms < 0 || append_time_ms >= OPERATOR_TIME_END) {
        return error_set(err, LEAT_INVALID,
                         "now: %" PRId64 " ms is outside [0, %" PRId64
                         "); times are milliseconds since 1970",
                         append_time_ms, OPERATOR_TIME_END);
    }
    begin_call(op);
    if (append_time_ms > atomic_load_explicit(&op->now_ms, memory_order_relaxed)) {
        atomic_store_explicit(&op->now_ms, append_time_ms, memory_order_relaxed);
        if (op->kind->now) {
            op->kind->now(op);
        }
    }
    fire_all_groups(op, watermark_now(&op->watermark, append_time_ms));
    return settle_call(op, err);
}

/* --- rows --- */

leat_status leat_operator_schema(const leat_operator *op, leat_side side, int index,
                                 struct ArrowSchema *out, leat_error *err) {
    int count = side == LEAT_INPUT ? op->kind->input_count : op->kind->output_count;
    if (index < 0 || index >= count) {
        return LEAT_END;
    }
    const struct schema *schema =
        side == LEAT_INPUT ? op->kind->inputs[index].schema() : op->kind->outputs[index]();
    return arrow_export_schema(schema, out, err);
}

leat_status leat_operator_bind(leat_operator *op, int input, const struct ArrowSchema *schema,
                               leat_error *err) {
    TRY(check_input(op, input, err));
    struct operator_input *in = &op->inputs[input];
    struct arrow_binding binding;
    TRY(arrow_bind(in->schema, schema, &binding, err));
    in->binding = binding;
    in->bound = true;
    return LEAT_OK;
}

static leat_status push_rows(struct leat_operator *op, int input, const struct ArrowArray *array,
                             leat_error *err) {
    struct batch batch;
    TRY(input_read(&op->inputs[input], array, &batch, err));
    TRY(operator_check(op, input, &batch, err));
    begin_call(op);
    for (int64_t row = 0; row < batch.rows; row++) {
        op->kind->push(op, input, &batch, row);
        if (row % TRIM_ROWS == TRIM_ROWS - 1) {
            TRY(operator_trim(op, err));
        }
    }
    if (batch.rows > 0) {
        fire_all_groups(op, watermark_row(&op->watermark, input));
    }
    return settle_call(op, err);
}

static leat_status push_if_room(struct leat_operator *op, int input, const struct ArrowArray *array,
                                leat_error *err) {
    TRY(check_works(op, err));
    TRY(check_input(op, input, err));
    if (watermark_ended(&op->watermark, input)) {
        return error_set(err, LEAT_CLOSED, "%s: input %d has ended; open another operator",
                         op->kind->name, input);
    }
    if (op->fire_next < op->owned.end || !output_has_room(op)) {
        return error_retry(err, LEAT_AGAIN,
                           "%s: more than %d batches of output wait; pull, then push again",
                           op->kind->name, LEAT_WAITING_MAX);
    }
    return push_rows(op, input, array, err);
}

leat_status leat_operator_push(leat_operator *op, int input, struct ArrowArray *batch,
                               leat_error *err) {
    leat_status status = push_if_room(op, input, batch, err);
    if (batch && batch->release) {
        batch->release(batch);
    }
    return status;
}

leat_status leat_operator_pull(leat_operator *op, int output, struct ArrowArray *batch,
                               leat_error *err) {
    TRY(check_works(op, err));
    if (output < 0 || output >= op->kind->output_count) {
        return error_set(err, LEAT_INVALID, "%s has no output %d; it has %d", op->kind->name,
                         output, op->kind->output_count);
    }
    if (op->fire_next < op->owned.end) {
        begin_call(op);
        fire_some(op);
        TRY(settle_call(op, err));
    }
    leat_status status = output_pull(&op->outputs[output], batch, err);
    if (op->outputs[output].failed) {
        return fail(op, LEAT_MEMORY, err);
    }
    bool over = op->watermark.combined_ms == WATERMARK_END;
    return status == LEAT_AGAIN && over ? LEAT_END : status;
}

/* --- look-ups --- */

static leat_status check_lookup_key(const struct leat_operator *op, const leat_key *key,
                                    leat_error *err) {
    if (!key->text || key->size < 1 || key->size > LEAT_KEY_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "a key of %zu bytes; 1 to %d are allowed", key->size,
                         LEAT_KEY_BYTES_MAX);
    }
    uint32_t group = leat_key_group(key->text, key->size, op->owned.groups);
    if (group < op->owned.first || group >= op->owned.end) {
        return error_set(err, LEAT_INVALID,
                         "key '%.*s' is of group %u; this operator owns [%u, %u) of %u; ask the "
                         "one that owns it",
                         (int)key->size, key->text, group, op->owned.first, op->owned.end,
                         op->owned.groups);
    }
    return LEAT_OK;
}

leat_status leat_operator_lookup(const leat_operator *op, const leat_key *key, leat_buffer *out,
                                 leat_error *err) {
    *out = (leat_buffer){0};
    TRY(check_lookup_key(op, key, err));
    struct slice text = {key->text, key->size};
    struct bytes words;
    bytes_init(&words);
    struct json_writer json;
    json_begin(&json, &words);
    json_object_open(&json);
    json_key(&json, "key");
    json_text(&json, text);
    bool found = op->kind->lookup(op, text, &json);
    json_object_close(&json);
    leat_status status = bytes_status(&words, err);
    if (status < 0 || !found) {
        bytes_deinit(&words);
        return status < 0 ? status : LEAT_NOT_FOUND;
    }
    *out = (leat_buffer){words.data, words.size};
    return LEAT_OK;
}

void leat_buffer_release(leat_buffer *buffer) {
    memory_free(buffer->data);
    *buffer = (leat_buffer){0};
}
