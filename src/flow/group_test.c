/* Grouping and splitting give the same examples in the same order, bit for bit; and grouping does
 * store what is shared once. */
#include "base/memory.h"
#include "flow/example_fixture.h"
#include "flow/feature_key.h"
#include "flow/group.h"

enum { SEEDS = 60, ROWS_MAX = 400 };

/* Examples as flow makes them: requests with items in turn, some ids and features shared. */
static void add_rows(struct builder *builder, struct rng *rng, int rows) {
    struct made_example made;
    struct made_example common;
    made_example(rng, 1, &common);
    for (int i = 0; i < rows; i++) {
        struct example *example = &made.example;
        made_example(rng, (uint64_t)i / 3, &made);
        if (rng_below(rng, 16) == 0) {
            made_example(rng, 1, &common);
        }
        if (rng_below(rng, 8) != 0) {
            example->key_count = common.example.key_count;
            example->dense_count = common.example.dense_count;
        }
        for (int k = 0; k < EXAMPLE_KEYS_MAX; k++) {
            made.keys[k] = rng_below(rng, 3) == 0 ? rng_next(rng) : common.keys[k];
        }
        for (int k = 0; k < EXAMPLE_DENSE_MAX; k++) {
            made.dense[k] = rng_below(rng, 3) == 0 ? made_float(rng) : common.dense[k];
        }
        if (rng_below(rng, 4) != 0) {
            example->user = common.example.user;
            example->user_hash = common.example.user_hash;
            example->request = common.example.request;
            example->request_hash = common.example.request_hash;
            example->shown_ms = common.example.shown_ms;
        }
        if (rng_below(rng, 64) == 0) {
            example->item = slice_of("");
            example->item_hash = hash_slice(slice_of(""));
        }
        example_add(builder, example);
    }
}

struct both {
    struct builder *examples, *groups, *again;
    struct grouping *grouping;
};

static const char CROSSES[] = "model: {features: [user, item, user*item, item*hour]}\n";

static void both_init(struct both *both) {
    struct config *config;
    assert_int_equal(config_parse(slice_of(CROSSES), "crosses", &config, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_example(), &both->examples, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_example(), &both->again, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_example_group(), &both->groups, NULL), LEAT_OK);
    assert_int_equal(grouping_create(config, &both->grouping, NULL), LEAT_OK);
    config_destroy(config);
}

static void both_deinit(struct both *both) {
    builder_destroy(both->examples);
    builder_destroy(both->again);
    builder_destroy(both->groups);
    grouping_destroy(both->grouping);
}

static void same_body(const struct batch *a, const struct batch *b) {
    size_t size = batch_body_size(a);
    assert_int_equal(size, batch_body_size(b));
    uint8_t *bodies = memory_zalloc(2 * size + 8);
    batch_body_write(a, bodies);
    batch_body_write(b, bodies + size);
    assert_memory_equal(bodies, bodies + size, size);
    memory_free(bodies);
}

/* What was built in `examples`, there and back; the batch of groups stays. */
static void there_and_back(struct both *both, struct batch *groups) {
    struct batch examples;
    struct batch again;
    builder_clear(both->groups);
    builder_clear(both->again);
    assert_int_equal(builder_finish(both->examples, &examples, NULL), LEAT_OK);
    assert_int_equal(group_examples(both->grouping, &examples, both->groups, NULL), LEAT_OK);
    assert_int_equal(builder_finish(both->groups, groups, NULL), LEAT_OK);
    assert_int_equal(group_split(both->grouping, groups, both->again, NULL), LEAT_OK);
    assert_int_equal(builder_finish(both->again, &again, NULL), LEAT_OK);
    assert_int_equal(again.rows, examples.rows);
    same_body(&examples, &again);
}

static void test_there_and_back(void **state) {
    (void)state;
    struct both both;
    struct batch groups;
    int64_t shared = 0;
    int64_t scattered = 0;
    both_init(&both);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        int rows = (int)rng_below(&rng, ROWS_MAX);
        builder_clear(both.examples);
        add_rows(both.examples, &rng, rows);
        there_and_back(&both, &groups);
        shared += rows - groups.rows;
        scattered += groups.rows > 0 && !column_absent(&groups.columns[GROUP_PLACES]);
    }
    assert_true(shared > 1000); /* there were groups, and not only ones that stood together */
    assert_true(scattered > SEEDS / 2);
    both_deinit(&both);
}

/* A click with its negatives: one row, each shared value once. */
static void test_a_click_is_one_row(void **state) {
    (void)state;
    struct both both;
    struct batch groups;
    int count;
    uint64_t keys[3] = {10, 20, 0};
    float dense[2] = {0.5f, 0};
    struct example example = {.sequence = 8, .keys = keys, .key_count = 3, .dense = dense};
    example.dense_count = 2;
    example.mask = 1;
    example.user = slice_of("ada");
    example.user_hash = hash_slice(example.user);
    example.shown_ms = 1000;
    both_init(&both);
    for (uint64_t i = 0; i < 9; i++) {
        keys[2] = 100 + i;
        dense[1] = (float)i;
        example.item_hash = i + 1;
        example.labels = i == 0;
        example_add(both.examples, &example);
    }
    there_and_back(&both, &groups);
    assert_int_equal(groups.rows, 1);
    assert_int_equal(batch_u64(&groups, GROUP_KEYS_COMMON, 0), 3);
    batch_list_u64(&groups, GROUP_KEYS, 0, &count);
    assert_int_equal(count, 2);
    batch_list_u64(&groups, GROUP_KEYS_ITEM, 0, &count);
    assert_int_equal(count, 9);
    batch_list_f32(&groups, GROUP_DENSE, 0, &count);
    assert_int_equal(count, 1);
    batch_list_u64(&groups, GROUP_SEQUENCES, 0, &count);
    assert_int_equal(count, 1);
    batch_list_u64(&groups, GROUP_LABELS, 0, &count);
    assert_int_equal(count, 9);
    assert_true(batch_is_null(&groups, GROUP_PLACES, 0));
    example.sequence = 9; /* the same moment, but another click */
    example_add(both.examples, &example);
    there_and_back(&both, &groups);
    assert_int_equal(groups.rows, 2);
    both_deinit(&both);
}

/* Examples of one request, keys as feature_fill makes them of the item, and crossed with something
 * before and behind it. */
static void add_made_rows(struct both *both, int count) {
    struct made_example made;
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < count; i++) {
        made_example(&rng, 5, &made);
        struct example *example = &made.example;
        example->user = example->request = slice_of("x");
        example->user_hash = example->request_hash = hash_slice(slice_of("x"));
        uint64_t item = example->item_hash; /* of a text, without one, or 0 */
        example->key_count = 5;
        made.keys[0] = 1;
        made.keys[1] = key_make(1, hash_mix(hash_slice(slice_of("item")), item));
        made.keys[2] = key_make(2, hash_mix(hash_mix(hash_slice(slice_of("user*item")), 12), item));
        made.keys[3] = key_make(3, hash_mix(hash_mix(hash_slice(slice_of("item*hour")), item), 34));
        made.keys[4] = key_make(i % KEY_FIELDS_MAX, 7); /* of nothing that is known */
        example->dense_count = 0;
        example_add(both->examples, example);
    }
}

static void test_keys_of_the_item_are_made_again(void **state) {
    (void)state;
    struct both both;
    struct batch groups;
    int count;
    both_init(&both);
    add_made_rows(&both, 7);
    there_and_back(&both, &groups);
    assert_int_equal(groups.rows, 1);
    assert_int_equal(batch_u64(&groups, GROUP_KEYS_COMMON, 0), 1);
    assert_int_equal(batch_u64(&groups, GROUP_KEYS_MADE, 0), 2 | 4);
    assert_int_equal(batch_u64(&groups, GROUP_KEYS_CROSSED, 0), 8);
    batch_list_u64(&groups, GROUP_KEYS, 0, &count);
    assert_int_equal(count, 1 + 1 + 1 + 2);
    batch_list_u64(&groups, GROUP_KEYS_ITEM, 0, &count);
    assert_int_equal(count, 7);
    const uint64_t *fields = batch_list_u64(&groups, GROUP_KEYS_FIELDS, 0, &count);
    assert_int_equal(count, 1);
    assert_int_equal(fields[0], 1 | 2 << 6 | 3 << 12);
    both_deinit(&both);
}

/* As many keys as there may be, all made of the item: seven words of fields. */
static void test_every_key_is_made(void **state) {
    (void)state;
    struct both both;
    struct batch groups;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    int count;
    both_init(&both);
    for (uint64_t i = 0; i < 3; i++) {
        struct example example = {.keys = keys, .key_count = EXAMPLE_KEYS_MAX, .item_hash = 1 + i};
        for (int k = 0; k < EXAMPLE_KEYS_MAX; k++) {
            keys[k] = key_make(63 - k, hash_mix((uint64_t)k, example.item_hash));
        }
        example_add(both.examples, &example);
    }
    there_and_back(&both, &groups);
    assert_int_equal(groups.rows, 1);
    assert_true(batch_u64(&groups, GROUP_KEYS_MADE, 0) == UINT64_MAX);
    batch_list_u64(&groups, GROUP_KEYS_FIELDS, 0, &count);
    assert_int_equal(count, 7);
    both_deinit(&both);
}

/* Version 1 knew no fields: a key that is made is all that hash_mix gives. */
static void test_version_1(void **state) {
    (void)state;
    static const uint64_t zero;
    static const uint64_t parts[3] = {12, 34, 56};
    static const float one = 1;
    const struct slice items[2] = {slice_of("a"), slice_of("b")};
    struct both both;
    struct batch groups;
    struct batch examples;
    both_init(&both);
    builder_i32(both.groups, GROUP_COUNT, 2);
    builder_i32(both.groups, GROUP_KEY_COUNT, 2);
    builder_u64(both.groups, GROUP_KEYS_COMMON, 0);
    builder_u64(both.groups, GROUP_KEYS_MADE, 1);
    builder_u64(both.groups, GROUP_KEYS_CROSSED, 2);
    builder_list_u64(both.groups, GROUP_KEYS, parts, 3);
    builder_list_u64(both.groups, GROUP_KEYS_ITEM, NULL, 0);
    builder_i32(both.groups, GROUP_DENSE_COUNT, 0);
    builder_u64(both.groups, GROUP_DENSE_COMMON, 0);
    builder_list_f32(both.groups, GROUP_DENSE, NULL, 0);
    builder_list_f32(both.groups, GROUP_DENSE_ITEM, NULL, 0);
    builder_list_u64(both.groups, GROUP_SEQUENCES, &zero, 1);
    builder_list_u64(both.groups, GROUP_MASKS, &zero, 1);
    builder_list_u64(both.groups, GROUP_LABELS, &zero, 1);
    builder_list_f32(both.groups, GROUP_WEIGHTS, &one, 1);
    builder_list_f32(both.groups, GROUP_LOG_ODDS, &one, 1);
    builder_list_text(both.groups, GROUP_ITEMS, items, 2);
    builder_row_end(both.groups);
    assert_int_equal(builder_finish(both.groups, &groups, NULL), LEAT_OK);
    assert_int_equal(group_split(both.grouping, &groups, both.again, NULL), LEAT_OK);
    assert_int_equal(builder_finish(both.again, &examples, NULL), LEAT_OK);
    assert_int_equal(examples.rows, 2);
    for (int i = 0; i < 2; i++) {
        struct example example;
        example_get(&examples, i, &example);
        uint64_t item = hash_slice(items[i]);
        assert_int_equal(example.key_count, 2);
        assert_true(example.keys[0] == hash_mix(12, item));
        assert_true(example.keys[1] == hash_mix(hash_mix(34, item) ^ 56, 0));
    }
    both_deinit(&both);
}

/* More examples of one request than a group may have. */
static void test_a_large_request_is_cut(void **state) {
    (void)state;
    struct both both;
    struct batch groups;
    struct example example = {.request = slice_of("r"), .request_hash = hash_slice(slice_of("r"))};
    both_init(&both);
    for (uint64_t i = 0; i < 10000; i++) {
        example.sequence = i;
        example_add(both.examples, &example);
    }
    there_and_back(&both, &groups);
    assert_int_equal(groups.rows, 3);
    both_deinit(&both);
}

/* Any one damaged byte of a body that still reads as a batch is refused, or gives examples that
 * group and split to themselves. */
static void test_any_damaged_byte(void **state) {
    (void)state;
    struct both both;
    struct both other;
    struct batch groups;
    struct batch read;
    struct rng rng;
    both_init(&both);
    both_init(&other);
    rng_init(&rng, 5);
    add_rows(both.examples, &rng, 20);
    there_and_back(&both, &groups);
    size_t size = batch_body_size(&groups);
    uint8_t *body = memory_alloc(size);
    batch_body_write(&groups, body);
    int refused = 0;
    for (size_t i = 0; i < size; i++) {
        body[i] ^= 1;
        bool whole = batch_body_read(schema_example_group(), GROUP_COLUMNS, groups.rows, body, size,
                                     &read, NULL) == LEAT_OK;
        builder_clear(other.examples);
        if (whole && group_split(other.grouping, &read, other.examples, NULL) == LEAT_OK) {
            struct batch unused;
            there_and_back(&other, &unused);
        } else {
            refused += whole;
        }
        body[i] ^= 1;
    }
    assert_true(refused > 0);
    memory_free(body);
    both_deinit(&both);
    both_deinit(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_a_click_is_one_row),
        cmocka_unit_test(test_keys_of_the_item_are_made_again),
        cmocka_unit_test(test_every_key_is_made),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_a_large_request_is_cut),
        cmocka_unit_test(test_any_damaged_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
