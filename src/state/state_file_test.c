/* Blocks: what is written is read back, written again the same, and anything else is refused. With
 * --write-golden the golden file is written anew. */
#include "base/file.h"
#include "state/state_fixture.h"

#define GOLDEN LEAT_SOURCE_DIR "/tests/golden/state_v1.block"

enum { GROUPS = 3 };

static void content_make(struct state *state, uint32_t count) {
    for (uint32_t number = 0; number < count; number++) {
        fixture_put(state, number, number * number % 90, (int)number);
        fixture_set_due(state, number, number % 3 == 0 ? 0 : (int64_t)number * 1000 - 5000);
    }
}

static void test_round_trip(void **context) {
    (void)context;
    struct state *first = fixture_open(GROUPS, NULL);
    struct state *second = fixture_open(GROUPS, NULL);
    content_make(first, 300);
    for (uint32_t group = 0; group < GROUPS; group++) {
        struct bytes block;
        struct bytes again;
        fixture_block(first, group, &block);
        assert_int_equal(fixture_restore(second, group, &block, NULL), LEAT_OK);
        fixture_block(second, group, &again);
        assert_int_equal(block.size, again.size);
        assert_memory_equal(block.data, again.data, block.size);
        leat_error err;
        assert_int_equal(fixture_restore(second, group, &block, &err), LEAT_CONFLICT);
        bytes_deinit(&again);
        bytes_deinit(&block);
    }
    assert_int_equal(state_count(second), 300);
    assert_true(fixture_digest(first) == fixture_digest(second));
    assert_int_equal(fixture_live(first), fixture_live(second));
    state_close(second);
    state_close(first);
}

static void checksum_set(struct bytes *block) {
    size_t covered = block->size - BLOCK_CHECKSUM_BYTES;
    uint64_t hash = hash_bytes(block->data, covered);
    memcpy(block->data + covered, &hash, sizeof(hash));
}

/* A block with any one byte changed is refused, in words, and leaves nothing behind. */
static void test_damage(void **context) {
    (void)context;
    struct state *first = fixture_open(GROUPS, NULL);
    content_make(first, 30);
    struct bytes block;
    fixture_block(first, 1, &block);
    struct state *second = fixture_open(GROUPS, NULL);
    for (size_t at = 0; at < block.size; at++) {
        leat_error err = {0};
        block.data[at] ^= 0x11;
        assert_int_equal(fixture_restore(second, 1, &block, &err), LEAT_CORRUPT);
        assert_non_null(strstr(err.message, "group 1"));
        assert_int_equal(state_count(second), 0);
        block.data[at] ^= 0x11;
    }
    for (size_t size = 0; size < block.size; size++) {
        struct bytes cut = {.data = block.data, .size = size};
        assert_int_equal(fixture_restore(second, 1, &cut, NULL), LEAT_CORRUPT);
    }
    assert_int_equal(fixture_restore(second, 1, &block, NULL), LEAT_OK);
    bytes_deinit(&block);
    state_close(second);
    state_close(first);
}

/* With its checksum made right again: it is refused for what it says, or is what it says. */
static void test_forged(void **context) {
    (void)context;
    struct state *first = fixture_open(1, NULL);
    content_make(first, 8);
    struct bytes block;
    fixture_block(first, 0, &block);
    int accepted = 0;
    for (size_t at = 0; at < block.size - BLOCK_CHECKSUM_BYTES; at++) {
        struct state *second = fixture_open(1, NULL);
        block.data[at] ^= 0x11;
        checksum_set(&block);
        leat_error err;
        leat_status status = fixture_restore(second, 0, &block, &err);
        if (status == LEAT_OK) {
            struct bytes again;
            fixture_block(second, 0, &again);
            assert_memory_equal(again.data, block.data, block.size);
            bytes_deinit(&again);
            accepted++;
        } else {
            assert_int_equal(status, LEAT_CORRUPT);
            assert_int_equal(state_count(second), 0);
        }
        block.data[at] ^= 0x11;
        state_close(second);
    }
    assert_true(accepted > 0); /* changed data and due times are as good as others */
    bytes_deinit(&block);
    state_close(first);
}

static void test_other_state(void **context) {
    (void)context;
    struct state *first = fixture_open(GROUPS, NULL);
    struct state *other_groups = fixture_open(GROUPS + 1, NULL);
    struct state_options options = {.name = "another", .groups = GROUPS};
    struct state *other_name;
    assert_int_equal(state_open(&options, &other_name, NULL), LEAT_OK);
    struct bytes block;
    fixture_block(first, 1, &block);
    leat_error err;
    assert_int_equal(fixture_restore(first, 0, &block, &err), LEAT_CORRUPT);
    assert_int_equal(fixture_restore(other_groups, 1, &block, &err), LEAT_CORRUPT);
    assert_int_equal(fixture_restore(other_name, 1, &block, &err), LEAT_CORRUPT);
    assert_non_null(strstr(err.message, "fixture"));
    assert_int_equal(fixture_restore(first, GROUPS, &block, &err), LEAT_INVALID);
    assert_int_equal(fixture_restore(first, 1, &block, &err), LEAT_OK);
    bytes_deinit(&block);
    state_close(other_name);
    state_close(other_groups);
    state_close(first);
}

/* Beyond the budget, or out of memory at any allocation: nothing stays, and later it works. */
static void test_restore_bounds(void **context) {
    (void)context;
    struct state *first = fixture_open(1, NULL);
    content_make(first, 500);
    struct bytes block;
    fixture_block(first, 0, &block);
    struct state_budget budget = {.bytes_max = 20 << 10};
    struct state *second = fixture_open(1, &budget);
    leat_error err;
    assert_int_equal(fixture_restore(second, 0, &block, &err), LEAT_FULL);
    assert_int_equal(state_count(second), 0);
    assert_int_equal(fixture_live(second), 0);
    budget.bytes_max = INT64_MAX;
    leat_status status = LEAT_MEMORY;
    for (uint64_t at = 1; status != LEAT_OK; at++) {
        memory_fail_at(at);
        status = fixture_restore(second, 0, &block, &err);
        assert_true(status == LEAT_OK || status == LEAT_MEMORY);
        assert_int_equal(state_count(second), status == LEAT_OK ? 500 : 0);
    }
    memory_fail_at(0);
    assert_true(fixture_digest(first) == fixture_digest(second));
    bytes_deinit(&block);
    state_close(second);
    state_close(first);
}

/* --- the golden file --- */

static void golden_make(struct bytes *block) {
    struct state *state = fixture_open(2, NULL);
    content_make(state, 24);
    fixture_block(state, 1, block);
    state_close(state);
}

static void test_golden(void **context) {
    (void)context;
    struct bytes block;
    struct bytes stored;
    golden_make(&block);
    bytes_init(&stored);
    assert_int_equal(disk_get(disk_real(), GOLDEN, 1 << 20, &stored, NULL), LEAT_OK);
    assert_int_equal(stored.size, block.size);
    assert_memory_equal(stored.data, block.data, block.size);
    struct state *state = fixture_open(2, NULL);
    assert_int_equal(fixture_restore(state, 1, &stored, NULL), LEAT_OK);
    assert_true(state_count(state) > 0);
    state_close(state);
    bytes_deinit(&stored);
    bytes_deinit(&block);
}

static int golden_write(void) {
    struct bytes block;
    golden_make(&block);
    leat_status status = disk_put(disk_real(), GOLDEN, block.data, block.size, NULL);
    bytes_deinit(&block);
    return status == LEAT_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--write-golden") == 0) {
        return golden_write();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_damage),
        cmocka_unit_test(test_forged),         cmocka_unit_test(test_other_state),
        cmocka_unit_test(test_restore_bounds), cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
