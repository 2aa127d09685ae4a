/* For the tests of the table: tables made in a line, rows given by the caller. */
#ifndef LEARN_TABLE_FIXTURE_H
#define LEARN_TABLE_FIXTURE_H

#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "learn/learn_test.h"
#include "learn/table_internal.h"

enum { WIDTH = 7 };

static inline struct table *table_of(const struct table_options *options) {
    struct table *table = NULL;
    assert_int_equal(table_create(options, &table, NULL), LEAT_OK);
    return table;
}

static inline struct table *new_table(int64_t bytes_max) {
    return table_of(&(struct table_options){.width = WIDTH, .bytes_max = bytes_max});
}

static inline uint64_t digest_of(struct table *table) {
    uint64_t digest = 0;
    assert_int_equal(table_digest(table, &digest, NULL), LEAT_OK);
    return digest;
}

/* A table_fresh with floats[WIDTH] as context. */
static inline void fresh_copy(void *context, uint64_t key, float *row) {
    (void)key;
    memcpy(row, context, WIDTH * sizeof(float));
}

/* Another one: a function of the key. */
static inline void fresh_of_key(void *context, uint64_t key, float *row) {
    (void)context;
    for (int i = 0; i < WIDTH; i++) {
        row[i] = (float)(hash_mix(key, (uint64_t)i) >> 40);
    }
}

static inline void fill_row(struct rng *rng, float row[WIDTH]) {
    for (int i = 0; i < WIDTH; i++) {
        row[i] = (float)rng_normal(rng);
    }
}

/* Extremes, a dense range and far ones: any 64-bit value is a key. */
static inline uint64_t draw_key(struct rng *rng) {
    switch (rng_below(rng, 4)) {
    case 0: return 0 - rng_below(rng, 3);
    case 1: return rng_below(rng, 500);
    case 2: return rng_below(rng, 1000) << 50;
    default: return hash_mix(rng_below(rng, 1500), 3);
    }
}

static inline void write_table(struct table *table, struct bytes *out) {
    struct table_snapshot *snapshot = NULL;
    bytes_init(out);
    assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_OK);
    assert_int_equal(table_snapshot_write(snapshot, sink_bytes, out, NULL), LEAT_OK);
    table_snapshot_release(snapshot);
}

static inline struct table *read_table(const struct bytes *bytes,
                                       const struct table_options *options) {
    struct table *table = table_of(options);
    struct bytes_reader reader = bytes_reader_of(bytes->data, bytes->size);
    assert_int_equal(table_restore(table, source_bytes, &reader, NULL), LEAT_OK);
    assert_true(reader.at == reader.end);
    return table;
}

#endif
