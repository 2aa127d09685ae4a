#include "base/hash.h"
#include "base/text.h"
#include "flow/feature.h"
#include "flow/operator_internal.h"
#include "flow/step.h"
#include "log/record.h"

#include <inttypes.h>

static int64_t now_of(const struct leat_operator *op) {
    return atomic_load_explicit(&op->now_ms, memory_order_relaxed);
}

/* --- words of look-ups --- */

/* Numbers of 64 bits are texts of 16 digits: JSON readers round them. */
static void write_hash(struct json_writer *json, const char *name, uint64_t hash) {
    char text[20];
    snprintf(text, sizeof(text), "%016" PRIx64, hash);
    json_key(json, name);
    json_cstring(json, text);
}

static void write_count(struct json_writer *json, const char *name, uint64_t count) {
    json_key(json, name);
    json_u64(json, count);
}

static void write_time(struct json_writer *json, const char *name, int64_t time_ms) {
    json_key(json, name);
    json_i64(json, time_ms);
}

static void write_number(struct json_writer *json, const char *name, double value) {
    json_key(json, name);
    json_f64(json, value);
}

static void write_tasks(struct json_writer *json, const struct config *config,
                        const uint32_t *chances, const uint32_t *positives) {
    json_key(json, "tasks");
    json_object_open(json);
    for (int t = 0; t < config->action_count; t++) {
        json_key(json, config->actions[t].name);
        json_object_open(json);
        write_count(json, "chances", chances[t]);
        write_count(json, "positives", positives[t]);
        json_object_close(json);
    }
    json_object_close(json);
}

/* --- dedup --- */

static leat_status open_dedup(struct leat_operator *op, leat_error *err) {
    TRY(dedup_open(op->config, &op->budget, &op->dedup, err));
    op->keyed = dedup_state(op->dedup);
    return LEAT_OK;
}

static void push_dedup(struct leat_operator *op, int input, const struct batch *batch,
                       int64_t index) {
    (void)input;
    if (operator_decode(op, batch, index) && !dedup_push(op->dedup, &op->row)) {
        return;
    }
    struct builder *builder = output_begin(&op->outputs[0]);
    if (builder) {
        builder_copy_row(builder, batch, index);
        output_end(&op->outputs[0]);
    }
}

static void now_dedup(struct leat_operator *op) {
    dedup_now(op->dedup, now_of(op));
}

static bool lookup_dedup(const struct leat_operator *op, struct slice key,
                         struct json_writer *json) {
    struct state_key id = {hash_slice(key), key, 0, 0}; /* of its one kind of record */
    uint32_t size;
    state_enter(op->keyed, id.hash);
    bool seen = state_get(op->keyed, &id, &size, NULL) != NULL;
    state_leave(op->keyed, id.hash);
    json_key(json, "seen");
    json_bool(json, seen);
    return seen;
}

/* --- join --- */

static leat_status open_join(struct leat_operator *op, leat_error *err) {
    TRY(join_open(op->config, &op->budget, NULL, &op->join, err));
    op->keyed = join_state(op->join);
    return LEAT_OK;
}

static void emit_example(void *context, const struct example *example) {
    struct leat_operator *op = context;
    struct builder *builder = output_begin(&op->outputs[0]);
    if (builder) {
        example_add(builder, example);
        output_end(&op->outputs[0]);
    }
}

/* Event time as join is told it: before the first watermark nothing is late. */
static int64_t event_time_of(const struct leat_operator *op) {
    int64_t time_ms = op->watermark.combined_ms;
    return time_ms > OPERATOR_TIME_END    ? OPERATOR_TIME_END
           : time_ms < -OPERATOR_TIME_END ? -OPERATOR_TIME_END
                                          : time_ms;
}

/* A lone join has nothing to look features up in: an impression waits for its served row. */
static void push_join(struct leat_operator *op, int input, const struct batch *batch,
                      int64_t index) {
    (void)input;
    const struct row *row = &op->row;
    if (!operator_decode(op, batch, index) || !row->user.data) {
        return;
    }
    const struct join_out out = {emit_example, op};
    struct join_row joined = join_row_of(row, event_time_of(op));
    joined.sequence = 0; /* hosts have no log */
    join_push_batch(op->join, &joined, 1, NULL, &out);
}

static void fire_join(struct leat_operator *op, uint32_t first, uint32_t end) {
    const struct join_out out = {emit_example, op};
    join_advance(op->join, first, end, event_time_of(op), 0, &out);
}

struct person_sum {
    struct slice user;
    uint64_t records, bytes;
    int64_t due_ms;
};

static leat_status sum_record(void *context, const struct state_record *record) {
    struct person_sum *sum = context;
    if (slice_equal(record->key.id, sum->user)) {
        sum->records++;
        sum->bytes += record->size;
        bool sooner = record->due_ms != 0 && (sum->due_ms == 0 || record->due_ms < sum->due_ms);
        sum->due_ms = sooner ? record->due_ms : sum->due_ms;
    }
    return LEAT_OK;
}

static bool lookup_join(const struct leat_operator *op, struct slice key,
                        struct json_writer *json) {
    struct person_sum sum = {.user = key};
    uint32_t group = key_group_of(hash_slice(key), op->owned.groups);
    if (state_visit(op->keyed, group, sum_record, &sum, NULL) < 0 || sum.records == 0) {
        return false;
    }
    write_count(json, "records", sum.records);
    write_count(json, "bytes", sum.bytes);
    write_time(json, "next_due", sum.due_ms);
    return true;
}

/* --- profile --- */

enum { PROFILE_EVENTS, PROFILE_SERVED, PROFILE_ITEMS };

static leat_status open_profile(struct leat_operator *op, leat_error *err) {
    TRY(catalog_open(op->config, &op->budget, &op->catalog, err));
    op->shared = catalog_state(op->catalog);
    TRY(profile_open(op->config, &op->budget, &op->profile, err));
    op->keyed = profile_state(op->profile);
    return LEAT_OK;
}

static struct builder *step_begin(void *context) {
    return output_begin(&((struct leat_operator *)context)->outputs[0]);
}

static void step_end(void *context) {
    output_end(&((struct leat_operator *)context)->outputs[0]);
}

/* As flow does it in this process: the session is read before the row counts. */
static void push_person(struct leat_operator *op) {
    const struct row *row = &op->row;
    struct catalog_view item = {0};
    if (row->item.data) {
        catalog_find(op->catalog, row->item, &item);
    }
    struct profile_item described = {item.author, item.category_count, item.categories};
    uint64_t session[PROFILE_SESSION];
    bool liked = row->kind == ROW_ACTION && row_is_liked(op->config, row);
    int count = liked ? profile_session_before(op->profile, row, session) : 0;
    profile_push(op->profile, row, &described);
    if (liked) {
        const struct step_out out = {step_begin, step_end, op};
        step_make(row, session, count, &out);
    }
}

static void push_profile(struct leat_operator *op, int input, const struct batch *batch,
                         int64_t index) {
    if (!operator_decode(op, batch, index)) {
        return;
    }
    if (input == PROFILE_ITEMS) {
        catalog_push(op->catalog, &op->row);
    } else {
        push_person(op);
    }
}

static void write_hashes(struct json_writer *json, const char *name, const uint64_t *hashes,
                         int count) {
    json_key(json, name);
    json_array_open(json);
    for (int i = 0; i < count; i++) {
        char text[20];
        snprintf(text, sizeof(text), "%016" PRIx64, hashes[i]);
        json_cstring(json, text);
    }
    json_array_close(json);
}

static void write_tastes(struct json_writer *json, const char *name,
                         const struct profile_taste *tastes, int count) {
    json_key(json, name);
    json_array_open(json);
    for (int i = 0; i < count; i++) {
        json_object_open(json);
        write_hash(json, "hash", tastes[i].value);
        write_number(json, "acted", (double)tastes[i].acted);
        write_number(json, "shown", (double)tastes[i].shown);
        json_object_close(json);
    }
    json_array_close(json);
}

static bool lookup_profile(const struct leat_operator *op, struct slice key,
                           struct json_writer *json) {
    struct profile_view view;
    if (!profile_read(op->profile, key, now_of(op), &view)) {
        return false;
    }
    write_time(json, "first", view.first_ms);
    write_time(json, "last", view.last_ms);
    write_count(json, "seen", view.seen_count);
    write_hashes(json, "session", view.session, view.session_count);
    write_tasks(json, op->config, view.chances, view.positives);
    write_tastes(json, "categories", view.categories, view.category_count);
    write_tastes(json, "authors", view.authors, view.author_count);
    return true;
}

/* --- tally --- */

static leat_status open_tally(struct leat_operator *op, leat_error *err) {
    TRY(tally_open(op->config, &op->budget, &op->tally, err));
    op->keyed = tally_state(op->tally);
    return LEAT_OK;
}

/* The region is the event's own: what the person said earlier is known by person, not by item. */
static void push_tally(struct leat_operator *op, int input, const struct batch *batch,
                       int64_t index) {
    (void)input;
    if (!operator_decode(op, batch, index)) {
        return;
    }
    static const struct profile_view nobody;
    const struct row *row = &op->row;
    uint64_t region =
        row->context_count > 0
            ? feature_context(&nobody, row->context, row->context_count, feature_region_name())
            : 0;
    tally_push_item(op->tally, row, region);
}

static void write_scales(struct json_writer *json, const char *name,
                         const double values[TALLY_SCALES]) {
    json_key(json, name);
    json_array_open(json);
    for (int s = 0; s < TALLY_SCALES; s++) {
        json_f64(json, values[s]);
    }
    json_array_close(json);
}

static bool lookup_tally(const struct leat_operator *op, struct slice key,
                         struct json_writer *json) {
    struct tally_view view;
    if (!tally_read(op->tally, hash_slice(key), 0, 0, now_of(op), &view)) {
        return false;
    }
    write_time(json, "first", view.first_ms);
    write_scales(json, "acted", view.acted);
    write_scales(json, "shown", view.shown);
    write_number(json, "value", view.value);
    write_count(json, "total_acted", view.total_acted);
    write_count(json, "total_shown", view.total_shown);
    write_tasks(json, op->config, view.chances, view.positives);
    return true;
}

/* --- pairs --- */

static leat_status open_pairs(struct leat_operator *op, leat_error *err) {
    TRY(pairs_open(op->config, &op->budget, &op->pairs, err));
    op->keyed = pairs_state(op->pairs);
    return LEAT_OK;
}

static void push_pairs(struct leat_operator *op, int input, const struct batch *batch,
                       int64_t index) {
    (void)input;
    step_push(op->pairs, batch, index);
}

static void write_side(struct json_writer *json, const char *name,
                       const struct pairs_neighbour *neighbours, int count) {
    json_key(json, name);
    json_array_open(json);
    for (int i = 0; i < count; i++) {
        json_object_open(json);
        write_hash(json, "hash", neighbours[i].item);
        write_number(json, "next", (double)neighbours[i].next);
        write_number(json, "near", (double)neighbours[i].near);
        json_object_close(json);
    }
    json_array_close(json);
}

static bool lookup_pairs(const struct leat_operator *op, struct slice key,
                         struct json_writer *json) {
    enum { BLOCK = 4 << 10, BYTES_MAX = 1 << 20 }; /* 2 sides of flow.neighbours, 1,000 at most */
    struct arena arena;
    arena_init(&arena, BLOCK, BYTES_MAX);
    struct pairs_view view;
    bool found = pairs_read(op->pairs, hash_slice(key), &arena, &view);
    if (found) {
        write_side(json, "out", view.out, view.out_count);
        write_side(json, "in", view.in, view.in_count);
    }
    arena_deinit(&arena);
    return found;
}

/* --- the tables --- */

static const struct operator_kind KINDS[] = {
    {.name = "dedup",
     .input_count = 1,
     .output_count = 1,
     .inputs = {{schema_event, KEY_OF_ID}},
     .outputs = {schema_event},
     .open = open_dedup,
     .push = push_dedup,
     .now = now_dedup,
     .lookup = lookup_dedup},
    {.name = "join",
     .input_count = 2,
     .output_count = 1,
     .inputs = {{schema_served, KEY_OF_USER}, {schema_event, KEY_OF_USER}},
     .outputs = {schema_example},
     .open = open_join,
     .push = push_join,
     .fire = fire_join,
     .lookup = lookup_join},
    {.name = "profile",
     .input_count = 3,
     .output_count = 1,
     .inputs = {[PROFILE_EVENTS] = {schema_event, KEY_OF_USER},
                [PROFILE_SERVED] = {schema_served, KEY_OF_USER},
                [PROFILE_ITEMS] = {schema_event, KEY_SHARED}},
     .outputs = {schema_step},
     .open = open_profile,
     .push = push_profile,
     .lookup = lookup_profile},
    {.name = "tally",
     .input_count = 2,
     .inputs = {{schema_event, KEY_OF_ITEM}, {schema_served, KEY_OF_ITEM}},
     .open = open_tally,
     .push = push_tally,
     .lookup = lookup_tally},
    {.name = "pairs",
     .input_count = 1,
     .inputs = {{schema_step, KEY_OF_STEP}},
     .open = open_pairs,
     .push = push_pairs,
     .lookup = lookup_pairs},
};
enum { KIND_COUNT = sizeof(KINDS) / sizeof(KINDS[0]) };

const struct operator_kind *operator_kind_find(const char *name) {
    for (int i = 0; i < KIND_COUNT; i++) {
        if (strcmp(KINDS[i].name, name) == 0) {
            return &KINDS[i];
        }
    }
    return NULL;
}

leat_status operator_kind_unknown(const char *name, leat_error *err) {
    const char *known[KIND_COUNT];
    for (int i = 0; i < KIND_COUNT; i++) {
        known[i] = KINDS[i].name;
    }
    const char *nearest = text_nearest(slice_of(name), known, KIND_COUNT);
    return error_set(err, LEAT_INVALID,
                     "operator kind '%.32s' is unknown; %s%s%s known are dedup, join, profile, "
                     "tally and pairs",
                     name, nearest ? "did you mean '" : "", nearest ? nearest : "",
                     nearest ? "'?" : "");
}
