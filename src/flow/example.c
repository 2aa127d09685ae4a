#include "flow/example.h"

#include "base/hash.h"

static const struct field EXAMPLE_FIELDS[EXAMPLE_COLUMNS] = {
    [EXAMPLE_SEQUENCE] = {"sequence", COLUMN_U64, false},
    [EXAMPLE_KEYS] = {"keys", COLUMN_LIST_U64, false},
    [EXAMPLE_DENSE] = {"dense", COLUMN_LIST_F32, false},
    [EXAMPLE_MASK] = {"mask", COLUMN_I32, false},
    [EXAMPLE_LABELS] = {"labels", COLUMN_I32, false},
    [EXAMPLE_WEIGHT] = {"weight", COLUMN_F32, false},
    [EXAMPLE_LOG_ODDS] = {"log_odds", COLUMN_F32, false},
    [EXAMPLE_FLAGS] = {"flags", COLUMN_I32, false},
    [EXAMPLE_USER] = {"user", COLUMN_TEXT, true},
    [EXAMPLE_REQUEST] = {"request", COLUMN_TEXT, true},
    [EXAMPLE_ITEM] = {"item", COLUMN_TEXT, true},
    [EXAMPLE_USER_HASH] = {"user_hash", COLUMN_U64, true},
    [EXAMPLE_REQUEST_HASH] = {"request_hash", COLUMN_U64, true},
    [EXAMPLE_ITEM_HASH] = {"item_hash", COLUMN_U64, true},
    [EXAMPLE_SHOWN] = {"shown", COLUMN_I64, true},
    [EXAMPLE_DUE] = {"due", COLUMN_I64, true},
    [EXAMPLE_PART] = {"part", COLUMN_U64, true},
};

static const struct schema EXAMPLE_SCHEMA = {SCHEMA_EXAMPLE, 2, "example", EXAMPLE_FIELDS,
                                             EXAMPLE_COLUMNS};

const struct schema *schema_example(void) {
    return &EXAMPLE_SCHEMA;
}

/* --- adding --- */

static void add_id(struct builder *builder, int text_column, int hash_column, struct slice text,
                   uint64_t hash) {
    if (text.data) {
        builder_text(builder, text_column, text);
    } else if (hash != 0) {
        builder_u64(builder, hash_column, hash);
    }
}

static void add_time(struct builder *builder, int column, int64_t time_ms) {
    if (time_ms != 0) {
        builder_i64(builder, column, time_ms);
    }
}

void example_add(struct builder *builder, const struct example *example) {
    builder_u64(builder, EXAMPLE_SEQUENCE, example->sequence);
    builder_list_u64(builder, EXAMPLE_KEYS, example->keys, example->key_count);
    builder_list_f32(builder, EXAMPLE_DENSE, example->dense, example->dense_count);
    builder_i32(builder, EXAMPLE_MASK, (int32_t)example->mask);
    builder_i32(builder, EXAMPLE_LABELS, (int32_t)example->labels);
    builder_f32(builder, EXAMPLE_WEIGHT, example->weight);
    builder_f32(builder, EXAMPLE_LOG_ODDS, example->log_odds);
    builder_i32(builder, EXAMPLE_FLAGS, (int32_t)example->flags);
    add_id(builder, EXAMPLE_USER, EXAMPLE_USER_HASH, example->user, example->user_hash);
    add_id(builder, EXAMPLE_REQUEST, EXAMPLE_REQUEST_HASH, example->request, example->request_hash);
    add_id(builder, EXAMPLE_ITEM, EXAMPLE_ITEM_HASH, example->item, example->item_hash);
    add_time(builder, EXAMPLE_SHOWN, example->shown_ms);
    add_time(builder, EXAMPLE_DUE, example->due_ms);
    if (example->part != 0) {
        builder_u64(builder, EXAMPLE_PART, example->part);
    }
    builder_row_end(builder);
}

/* --- getting --- */

static uint64_t get_u64(const struct batch *batch, int column, int64_t row) {
    return batch_is_null(batch, column, row) ? 0 : batch_u64(batch, column, row);
}

static int64_t get_time(const struct batch *batch, int column, int64_t row) {
    return batch_is_null(batch, column, row) ? 0 : batch_i64(batch, column, row);
}

static struct slice get_id(const struct batch *batch, int text_column, int hash_column, int64_t row,
                           uint64_t *hash) {
    struct slice text = batch_text(batch, text_column, row);
    *hash = text.data ? hash_slice(text) : get_u64(batch, hash_column, row);
    return text;
}

void example_get(const struct batch *batch, int64_t row, struct example *out) {
    out->sequence = batch_u64(batch, EXAMPLE_SEQUENCE, row);
    out->keys = batch_list_u64(batch, EXAMPLE_KEYS, row, &out->key_count);
    out->dense = batch_list_f32(batch, EXAMPLE_DENSE, row, &out->dense_count);
    out->mask = (uint32_t)batch_i32(batch, EXAMPLE_MASK, row);
    out->labels = (uint32_t)batch_i32(batch, EXAMPLE_LABELS, row);
    out->weight = batch_f32(batch, EXAMPLE_WEIGHT, row);
    out->log_odds = batch_f32(batch, EXAMPLE_LOG_ODDS, row);
    out->flags = (uint32_t)batch_i32(batch, EXAMPLE_FLAGS, row);
    out->user = get_id(batch, EXAMPLE_USER, EXAMPLE_USER_HASH, row, &out->user_hash);
    out->request = get_id(batch, EXAMPLE_REQUEST, EXAMPLE_REQUEST_HASH, row, &out->request_hash);
    out->item = get_id(batch, EXAMPLE_ITEM, EXAMPLE_ITEM_HASH, row, &out->item_hash);
    out->shown_ms = get_time(batch, EXAMPLE_SHOWN, row);
    out->due_ms = get_time(batch, EXAMPLE_DUE, row);
    out->part = get_u64(batch, EXAMPLE_PART, row);
}
