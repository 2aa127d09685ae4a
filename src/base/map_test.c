#include "base/map.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"

#include <string.h>

enum { MODEL_KEYS = 600 };

/* The naive model: every key there may be, and whether it is in. */
struct model {
    bool present[MODEL_KEYS];
    uint64_t value[MODEL_KEYS];
    uint32_t count;
};

/* Spreads the model's small numbers, 0 and the largest key among them. */
static uint64_t key_of(uint32_t number) {
    return number < 300 ? number : UINT64_MAX - (uint64_t)(number - 300) * 0x100000000u;
}

static void change_once(struct map *map, struct model *model, struct rng *rng, uint32_t keys) {
    uint32_t number = (uint32_t)rng_below(rng, keys);
    if (rng_below(rng, 2) == 0) {
        assert_int_equal(map_remove(map, key_of(number)), model->present[number]);
        model->count -= model->present[number];
        model->present[number] = false;
        return;
    }
    bool added;
    uint64_t *value = map_at(map, key_of(number), &added);
    assert_non_null(value);
    assert_int_equal(added, !model->present[number]);
    assert_true(*value == (added ? 0 : model->value[number]));
    *value = rng_next(rng);
    model->count += added;
    model->present[number] = true;
    model->value[number] = *value;
}

static void check_same(const struct map *map, const struct model *model, uint32_t keys) {
    assert_int_equal(map->count, model->count);
    for (uint32_t number = 0; number < keys; number++) {
        uint64_t *value = map_find(map, key_of(number));
        assert_int_equal(value != NULL, model->present[number]);
        assert_true(!value || *value == model->value[number]);
    }
    uint32_t cursor = 0;
    uint32_t seen = 0;
    uint64_t key;
    uint64_t value;
    while (map_next(map, &cursor, &key, &value)) {
        uint64_t *found = map_find(map, key);
        assert_true(found && *found == value);
        seen++;
    }
    assert_int_equal(seen, model->count);
}

/* Few keys keep the table at its smallest, where runs wrap around its end all the time. */
static void test_like_plain_arrays(void **state) {
    (void)state;
    static const uint32_t key_counts[] = {1, 8, 11, 24, MODEL_KEYS};
    for (size_t i = 0; i < sizeof(key_counts) / sizeof(key_counts[0]); i++) {
        struct map map;
        struct rng rng;
        struct model *model = memory_zalloc(sizeof(*model));
        map_init(&map);
        rng_init(&rng, i);
        for (int step = 0; step < 8000; step++) {
            change_once(&map, model, &rng, key_counts[i]);
            if (step % (int)(key_counts[i] + 1) == 0) {
                check_same(&map, model, key_counts[i]);
            }
        }
        check_same(&map, model, key_counts[i]);
        assert_true((uint64_t)map.count * 10 <= (uint64_t)map.capacity * 7);
        memory_free(model);
        map_deinit(&map);
    }
}

static void test_an_empty_map(void **state) {
    (void)state;
    struct map map;
    uint32_t cursor = 0;
    uint64_t key;
    uint64_t value;
    map_init(&map);
    assert_null(map_find(&map, 0));
    assert_false(map_remove(&map, 0));
    assert_false(map_next(&map, &cursor, &key, &value));
    map_clear(&map);
    map_deinit(&map);
}

static void test_clearing_keeps_the_memory(void **state) {
    (void)state;
    struct map map;
    map_init(&map);
    for (uint64_t round = 0; round < 3; round++) {
        uint64_t before = memory_allocations();
        for (uint64_t key = 0; key < 1000; key++) {
            *map_at(&map, key * 977, NULL) = key;
        }
        assert_true(round == 0 || memory_allocations() == before);
        map_clear(&map);
        assert_int_equal(map.count, 0);
        assert_null(map_find(&map, 977));
    }
    map_deinit(&map);
}

/* Without memory the map answers NULL, keeps what it has, and goes on when there is memory again.
 */
static void test_growth_may_fail(void **state) {
    (void)state;
    struct map map;
    map_init(&map);
    uint64_t inserted = 0;
    int failures = 0;
    while (inserted < 3000) {
        memory_fail_at(1);
        uint64_t *value = map_at(&map, inserted, NULL);
        memory_fail_at(0);
        if (value) {
            *value = inserted++;
            continue;
        }
        failures++;
        assert_int_equal(map.count, inserted);
        *map_at(&map, inserted, NULL) = inserted;
        inserted++;
    }
    assert_int_equal(failures, 10); /* capacities 16 .. 8192 */
    for (uint64_t key = 0; key < inserted; key++) {
        assert_int_equal(*map_find(&map, key), key);
    }
    map_deinit(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_plain_arrays),
        cmocka_unit_test(test_an_empty_map),
        cmocka_unit_test(test_clearing_keeps_the_memory),
        cmocka_unit_test(test_growth_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
