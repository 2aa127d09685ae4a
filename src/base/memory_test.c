#include "base/memory.h"
#include "base/test.h"

#include <string.h>

static void test_blocks_are_counted(void **state) {
    (void)state;
    uint64_t before = memory_allocations();
    void *blocks[] = {memory_alloc(0),     memory_alloc(100),       memory_zalloc(100),
                      memory_text("four"), memory_aligned(4096, 1), memory_resize(NULL, 10)};
    enum { COUNT = sizeof(blocks) / sizeof(blocks[0]) };
    assert_int_equal(memory_allocations() - before, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_non_null(blocks[i]);
    }
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(((char *)blocks[2])[i], 0);
    }
    assert_string_equal(blocks[3], "four");
    assert_int_equal((uintptr_t)blocks[4] % 4096, 0);
    for (size_t i = 0; i < COUNT; i++) {
        memory_free(blocks[i]);
    }
    memory_free(NULL);
    assert_int_equal(memory_allocations() - before, COUNT);
}

static void test_the_nth_allocation_fails_once(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 5; n++) {
        memory_fail_at(n);
        for (uint64_t i = 1; i <= 5; i++) {
            void *block = memory_alloc(8);
            assert_int_equal(block == NULL, i == n);
            memory_free(block);
        }
    }
    memory_fail_at(1);
    memory_fail_at(0);
    void *block = memory_alloc(8);
    assert_non_null(block);
    memory_free(block);
}

static void test_each_door_can_fail(void **state) {
    (void)state;
    void *block = memory_alloc(8);
    memset(block, 7, 8);
    memory_fail_at(1);
    assert_null(memory_resize(block, 1000));
    assert_int_equal(((char *)block)[7], 7); /* a failed resize leaves the block as it was */
    memory_free(block);
    uint64_t before = memory_refusals();
    memory_fail_at(1);
    assert_null(memory_zalloc(8));
    memory_fail_at(1);
    assert_null(memory_aligned(64, 8));
    memory_fail_at(1);
    assert_null(memory_text("text"));
    assert_int_equal(memory_refusals() - before, 3);
}

static void test_blocks_that_live_are_counted(void **state) {
    (void)state;
    uint64_t before = memory_blocks();
    void *first = memory_alloc(8);
    void *second = memory_resize(NULL, 8);
    second = memory_resize(second, 100000);
    memory_fail_at(1);
    assert_null(memory_alloc(8));
    assert_int_equal(memory_blocks() - before, 2);
    memory_free(first);
    memory_free(NULL);
    memory_free(second);
    assert_int_equal(memory_blocks(), before);
}

static void test_spared_allocations_do_not_fail(void **state) {
    (void)state;
    memory_fail_at(1);
    memory_spare(true);
    memory_spare(true);
    memory_spare(false);
    void *block = memory_alloc(8);
    assert_non_null(block);
    memory_free(block);
    memory_spare(false);
    assert_int_equal(memory_fail_left(), 1);
    assert_null(memory_alloc(8));
    assert_int_equal(memory_fail_left(), 0);
}

static void test_resident_memory_follows_use(void **state) {
    (void)state;
    size_t bytes = 32u << 20;
    uint64_t before = memory_resident();
    char *block = memory_alloc(bytes);
    assert_non_null(block);
    memset(block, 1, bytes);
    assert_true(before > 0);
    assert_true(memory_resident() >= before + bytes / 2);
    memory_free(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_counted),
        cmocka_unit_test(test_the_nth_allocation_fails_once),
        cmocka_unit_test(test_each_door_can_fail),
        cmocka_unit_test(test_blocks_that_live_are_counted),
        cmocka_unit_test(test_spared_allocations_do_not_fail),
        cmocka_unit_test(test_resident_memory_follows_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
