#include "base/arena.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"

#include <string.h>

struct piece {
    unsigned char *data;
    size_t size;
    unsigned char mark;
};

static void check_marks(const struct piece *pieces, int count) {
    for (int i = 0; i < count; i++) {
        for (size_t at = 0; at < pieces[i].size; at++) {
            assert_int_equal(pieces[i].data[at], pieces[i].mark);
        }
    }
}

/* Pieces that overlap would overwrite each other's marks. */
static void test_pieces_are_apart_and_aligned(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 1000, 1u << 20);
    struct rng rng;
    rng_init(&rng, 1);
    for (int round = 0; round < 50; round++) {
        struct piece pieces[60];
        int count = (int)rng_below(&rng, 60);
        for (int i = 0; i < count; i++) {
            size_t size = (size_t)rng_below(&rng, i % 7 == 0 ? 3000 : 100);
            unsigned char mark = (unsigned char)rng_next(&rng);
            pieces[i] = (struct piece){arena_alloc(&arena, size), size, mark};
            assert_non_null(pieces[i].data);
            assert_int_equal((uintptr_t)pieces[i].data % 16, 0);
            memset(pieces[i].data, mark, size);
        }
        check_marks(pieces, count);
        arena_reset(&arena);
        assert_int_equal(arena.bytes_used, 0);
    }
    arena_deinit(&arena);
}

static void use_some(struct arena *arena) {
    for (size_t i = 1; i < 40; i++) {
        assert_non_null(arena_alloc(arena, i * 37));
    }
    assert_non_null(arena_alloc(arena, 9000));
    assert_non_null(arena_alloc(arena, 10));
}

static void test_rounds_of_one_shape_allocate_once(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096, 1u << 20);
    use_some(&arena);
    uint64_t before = memory_allocations();
    for (int round = 0; round < 10; round++) {
        arena_reset(&arena);
        use_some(&arena);
    }
    assert_int_equal(memory_allocations(), before);
    arena_deinit(&arena);
}

/* Sizes in a new order each round: the kept blocks must not pile up. */
static void test_rounds_of_many_shapes_settle(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 256, 64u << 10);
    struct rng rng;
    rng_init(&rng, 2);
    uint64_t before = memory_allocations();
    for (int round = 0; round < 2000; round++) {
        while (arena_alloc(&arena, (size_t)rng_below(&rng, 8000))) {
        }
        arena_reset(&arena);
    }
    assert_true(memory_allocations() - before < 500);
    arena_deinit(&arena);
}

static void test_the_bound_holds(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 64, 1024);
    for (int round = 0; round < 3; round++) {
        assert_non_null(arena_alloc(&arena, 1000));
        assert_null(arena_alloc(&arena, 17));
        assert_non_null(arena_alloc(&arena, 16));
        assert_null(arena_alloc(&arena, 0));
        assert_null(arena_zalloc(&arena, SIZE_MAX));
        assert_null(arena_copy(&arena, "", SIZE_MAX));
        assert_int_equal(arena.bytes_used, 1024);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    arena_init(&arena, 64, SIZE_MAX);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    arena_deinit(&arena);
}

static void test_no_memory_is_an_answer(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 64, 1024);
    memory_fail_at(1);
    assert_null(arena_alloc(&arena, 8));
    assert_int_equal(arena.bytes_used, 0);
    assert_non_null(arena_alloc(&arena, 8));
    arena_deinit(&arena);
}

static void test_copies_and_zeros(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 64, 1024);
    memset(arena_alloc(&arena, 64), 0xFF, 64);
    arena_reset(&arena);
    uint32_t *words = ARENA_NEW(&arena, uint32_t, 16);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(words[i], 0);
    }
    assert_string_equal(arena_copy(&arena, "showing", 4), "show");
    assert_string_equal(arena_copy(&arena, NULL, 0), "");
    arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_apart_and_aligned),
        cmocka_unit_test(test_rounds_of_one_shape_allocate_once),
        cmocka_unit_test(test_rounds_of_many_shapes_settle),
        cmocka_unit_test(test_the_bound_holds),
        cmocka_unit_test(test_no_memory_is_an_answer),
        cmocka_unit_test(test_copies_and_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
