#include "flow/step.h"

#include "base/hash.h"
#include "log/event.h"

#include <inttypes.h>

static const struct field STEP_FIELDS[STEP_COLUMNS] = {
    [STEP_ITEM_HASH] = {"item_hash", COLUMN_U64, false},
    [STEP_ITEM] = {"item", COLUMN_TEXT, true},
    [STEP_TIME] = {"time", COLUMN_I64, false},
    [STEP_SIDE] = {"side", COLUMN_I32, false},
    [STEP_DISTANCE] = {"distance", COLUMN_I32, false},
    [STEP_NEIGHBOURS] = {"neighbours", COLUMN_LIST_U64, false},
};

static const struct schema STEP_SCHEMA = {SCHEMA_STEP, 1, "step", STEP_FIELDS, STEP_COLUMNS};

const struct schema *schema_step(void) {
    return &STEP_SCHEMA;
}

leat_status step_check(const struct batch *batch, int64_t row, leat_error *err) {
    int32_t side = batch_i32(batch, STEP_SIDE, row);
    int32_t distance = batch_i32(batch, STEP_DISTANCE, row);
    int64_t time_ms = batch_i64(batch, STEP_TIME, row);
    struct slice item = batch_text(batch, STEP_ITEM, row);
    int count;
    batch_list_u64(batch, STEP_NEIGHBOURS, row, &count);
    if (side != PAIRS_OUT && side != PAIRS_IN) {
        return error_set(err, LEAT_INVALID, "column side, row %" PRId64 ": %d; %d (out) or %d (in)",
                         row, side, PAIRS_OUT, PAIRS_IN);
    }
    if (distance < 0 || distance > PAIRS_BACK || count > PAIRS_BACK - distance) {
        return error_set(err, LEAT_INVALID,
                         "column neighbours, row %" PRId64 ": %d from distance %d on; %d steps "
                         "back are the most",
                         row, count, distance, PAIRS_BACK);
    }
    if (time_ms < 0 || time_ms >= EVENT_TIME_MAX_MS) {
        return error_set(err, LEAT_INVALID, "column time, row %" PRId64 ": %" PRId64 " ms", row,
                         time_ms);
    }
    if ((side == PAIRS_IN) != (item.data != NULL)) {
        return error_set(err, LEAT_INVALID,
                         "column item, row %" PRId64 ": rows of side in name it, others do not",
                         row);
    }
    bool named = item.data != NULL;
    if (named && (item.size < 1 || item.size > EVENT_ID_BYTES_MAX ||
                  hash_slice(item) != batch_u64(batch, STEP_ITEM_HASH, row))) {
        return error_set(err, LEAT_INVALID,
                         "column item, row %" PRId64 ": not 1 to %d bytes, or not the text of "
                         "item_hash",
                         row, EVENT_ID_BYTES_MAX);
    }
    return LEAT_OK;
}

static void step_row(const struct step_out *out, struct slice item, uint64_t hash, int64_t time_ms,
                     enum pairs_side side, int distance, const uint64_t *neighbours, int count) {
    struct builder *builder = out->begin(out->context);
    if (builder) {
        builder_u64(builder, STEP_ITEM_HASH, hash);
        builder_text(builder, STEP_ITEM, item);
        builder_i64(builder, STEP_TIME, time_ms);
        builder_i32(builder, STEP_SIDE, (int32_t)side);
        builder_i32(builder, STEP_DISTANCE, distance);
        builder_list_u64(builder, STEP_NEIGHBOURS, neighbours, count);
        builder_row_end(builder);
        out->end(out->context);
    }
}

void step_make(const struct row *row, const uint64_t *session, int count,
               const struct step_out *out) {
    uint64_t back[PAIRS_BACK];
    int steps = 0;
    for (int i = 0; i < count && steps < PAIRS_BACK; i++) {
        if (session[i] != row->item_hash) {
            back[steps++] = session[i];
        }
    }
    step_row(out, row->item, row->item_hash, row->time_ms, PAIRS_IN, 0, back, steps);
    const struct slice unknown = {NULL, 0};
    for (int i = 0; i < steps; i++) {
        step_row(out, unknown, back[i], row->time_ms, PAIRS_OUT, i, &row->item_hash, 1);
    }
}

void step_push(struct pairs *pairs, const struct batch *batch, int64_t row) {
    struct slice item = batch_text(batch, STEP_ITEM, row);
    uint64_t hash = batch_u64(batch, STEP_ITEM_HASH, row);
    int64_t time_ms = batch_i64(batch, STEP_TIME, row);
    enum pairs_side side = (enum pairs_side)batch_i32(batch, STEP_SIDE, row);
    int distance = batch_i32(batch, STEP_DISTANCE, row);
    int count;
    const uint64_t *neighbours = batch_list_u64(batch, STEP_NEIGHBOURS, row, &count);
    if (item.data) {
        pairs_begin(pairs, item, hash, time_ms);
    }
    for (int i = 0; i < count; i++) {
        pairs_link(pairs, item, hash, side, neighbours[i], distance + i, time_ms);
    }
}
