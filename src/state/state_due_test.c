/* Due times against a plain array: they pop in order, once, whatever was set, moved, cleared or
 * removed before; and entries without use stay bounded. */
#include "state/state_due.h"
#include "state/state_fixture.h"

#include <stdlib.h>

enum { MODEL_KEYS = 120, MODEL_STEPS = 30000 };

struct due_model {
    bool present[MODEL_KEYS];
    int64_t due_ms[MODEL_KEYS]; /* 0: none */
};

static int due_order(int64_t a_ms, const struct state_key *a, int64_t b_ms,
                     const struct state_key *b) {
    if (a_ms != b_ms) {
        return a_ms < b_ms ? -1 : 1;
    }
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->hash != b->hash) {
        return a->hash < b->hash ? -1 : 1;
    }
    return a->part < b->part ? -1 : a->part > b->part;
}

/* The number of the first record due at or before `now_ms`; -1: none. */
static int model_first(const struct due_model *model, int64_t now_ms) {
    int first = -1;
    for (int i = 0; i < MODEL_KEYS; i++) {
        if (!model->present[i] || model->due_ms[i] == 0 || model->due_ms[i] > now_ms) {
            continue;
        }
        char id[2][FIXTURE_ID_BYTES];
        struct state_key key = fixture_key((uint32_t)i, id[0]);
        struct state_key best = fixture_key(first < 0 ? 0 : (uint32_t)first, id[1]);
        if (first < 0 || due_order(model->due_ms[i], &key, model->due_ms[first], &best) < 0) {
            first = i;
        }
    }
    return first;
}

static void pop_all(struct state *state, struct due_model *model, int64_t now_ms) {
    for (;;) {
        int expected = model_first(model, now_ms);
        struct state_key key;
        char id[STATE_ID_MAX + 1];
        int64_t due_ms;
        bool popped = state_next_due(state, now_ms, &key, id, &due_ms);
        assert_int_equal(popped, expected >= 0);
        if (!popped) {
            return;
        }
        char expected_id[FIXTURE_ID_BYTES];
        struct state_key wanted = fixture_key((uint32_t)expected, expected_id);
        assert_int_equal(due_ms, model->due_ms[expected]);
        assert_int_equal(due_order(0, &key, 0, &wanted), 0);
        assert_true(slice_equal(key.id, wanted.id));
        assert_ptr_equal(key.id.data, id);
        model->due_ms[expected] = 0;
    }
}

static void model_step(struct state *state, struct due_model *model, struct rng *rng,
                       int64_t now_ms) {
    uint32_t number = (uint32_t)rng_below(rng, MODEL_KEYS);
    int64_t due_ms = now_ms + (int64_t)rng_below(rng, 400) - 5;
    switch (rng_below(rng, 8)) {
    case 0:
        fixture_remove(state, number);
        model->present[number] = false;
        model->due_ms[number] = 0;
        break;
    case 1:
    case 2:
        fixture_put(state, number, (uint32_t)rng_below(rng, 300), 1); /* moves keep the due time */
        model->present[number] = true;
        break;
    case 3: due_ms = 0; /* fall through */
    default:
        assert_int_equal(fixture_set_due(state, number, due_ms),
                         model->present[number] ? LEAT_OK : LEAT_NOT_FOUND);
        model->due_ms[number] = model->present[number] ? due_ms : 0;
    }
}

/* Entries of all wheels. */
static size_t entries_of(const struct state *state) {
    size_t count = 0;
    for (uint32_t g = 0; g < state->groups; g++) {
        count += state_due_count(&state->group[g].due[STATE_APPEND_TIME]);
    }
    return count;
}

static void test_model(void **context) {
    (void)context;
    static struct due_model model;
    struct rng rng;
    rng_init(&rng, 3);
    struct state *state = fixture_open(5, NULL);
    int64_t now_ms = -300; /* times may be negative */
    for (int step = 0; step < MODEL_STEPS; step++) {
        model_step(state, &model, &rng, now_ms);
        if (rng_below(&rng, 20) == 0) {
            now_ms += (int64_t)rng_below(&rng, 10);
            pop_all(state, &model, now_ms);
            assert_true(entries_of(state) <= 2 * fixture_live(state) + 5 * (64 + 25));
        }
    }
    pop_all(state, &model, INT64_MAX);
    assert_int_equal(fixture_live(state), 0);
    assert_int_equal(entries_of(state), 0);
    state_close(state);
}

/* A time that always moves later costs no entries; one that comes and goes costs bounded ones. */
static void test_stale_bound(void **context) {
    (void)context;
    struct state *state = fixture_open(2, NULL);
    for (uint32_t number = 0; number < 100; number++) {
        fixture_put(state, number, 8, 1);
    }
    struct state_key key;
    char id[STATE_ID_MAX + 1];
    int64_t due_ms;
    for (int64_t time_ms = 1000; time_ms < 1100; time_ms++) {
        for (uint32_t number = 0; number < 100; number++) {
            assert_int_equal(fixture_set_due(state, number, time_ms), LEAT_OK);
        }
    }
    assert_int_equal(entries_of(state), 100);
    uint64_t bytes = state_bytes(state);
    for (int64_t time_ms = 2000; time_ms > 1100; time_ms--) {
        for (uint32_t number = 0; number < 100; number++) {
            fixture_set_due(state, number, time_ms);
            fixture_set_due(state, number, 0);
            fixture_set_due(state, number, time_ms - 1);
        }
        assert_false(state_next_due(state, 900, &key, id, &due_ms));
        assert_true(entries_of(state) <= 100 * 2 + 2 * (64 + 1));
    }
    assert_true(state_bytes(state) < bytes + 64 * 1024);
    int popped = 0;
    while (state_next_due(state, 1100, &key, id, &due_ms)) {
        assert_int_equal(due_ms, 1100);
        popped++;
    }
    assert_int_equal(popped, 100);
    state_close(state);
}

static void test_restore_keeps_order(void **context) {
    (void)context;
    enum { GROUPS = 3, KEYS = 900 };
    struct rng rng;
    rng_init(&rng, 11);
    struct state *first = fixture_open(GROUPS, NULL);
    struct state *second = fixture_open(GROUPS, NULL);
    for (uint32_t number = 0; number < KEYS; number++) {
        fixture_put(first, number, 4, 2);
        fixture_set_due(first, number, (int64_t)rng_below(&rng, 40));
    }
    for (uint32_t group = GROUPS; group-- > 0;) {
        struct bytes block;
        fixture_block(first, group, &block);
        assert_int_equal(fixture_restore(second, group, &block, NULL), LEAT_OK);
        bytes_deinit(&block);
    }
    struct state_key key[2];
    char id[2][STATE_ID_MAX + 1];
    int64_t due_ms[2];
    int popped = 0;
    while (state_next_due(first, 100, &key[0], id[0], &due_ms[0])) {
        assert_true(state_next_due(second, 100, &key[1], id[1], &due_ms[1]));
        assert_int_equal(due_order(due_ms[0], &key[0], due_ms[1], &key[1]), 0);
        assert_string_equal(id[0], id[1]);
        popped++;
    }
    assert_false(state_next_due(second, 100, &key[1], id[1], &due_ms[1]));
    assert_true(popped > KEYS / 2);
    state_close(second);
    state_close(first);
}

/* --- the wheel alone: many entries at every distance, some all at one time --- */

enum { WHEEL_ENTRIES = 20000 };

static int64_t wheel_time(struct rng *rng, int64_t now_ms) {
    static const int64_t distances[] = {1, 900, 70000, 5000000, 400000000, 40000000000};
    int64_t distance = distances[rng_below(rng, 6)];
    return now_ms + (rng_below(rng, 4) ? (int64_t)rng_below(rng, (uint64_t)distance) : distance);
}

static int entry_compare(const void *left, const void *right) {
    return state_due_order(left, right);
}

static leat_status entry_push(struct state_due *due, const struct state_due_entry *entry) {
    return state_due_push(due, entry->time_ms, entry->hash, entry->part, entry->kind, NULL);
}

/* What stands at the top is dropped, or comes again later, as an entry does whose record's due time
 * was moved: that must not need memory. */
static void test_wheel(void **context) {
    (void)context;
    struct state_budget budget = {.bytes_max = 64 << 20};
    struct state_account account = {.name = "wheel", .budget = &budget};
    static struct state_due_entry model[WHEEL_ENTRIES];
    struct rng rng;
    rng_init(&rng, 3);
    struct state_due due;
    state_due_init(&due, &account);
    int64_t now_ms = 1700000000000;
    for (uint32_t i = 0; i < WHEEL_ENTRIES; i++) {
        model[i] = (struct state_due_entry){.time_ms = wheel_time(&rng, now_ms),
                                            .hash = rng_below(&rng, 1000),
                                            .part = i,
                                            .kind = (uint32_t)rng_below(&rng, 3)};
        assert_int_equal(entry_push(&due, &model[i]), LEAT_OK);
    }
    budget.bytes_max = 0; /* no more from here on */
    qsort(model, WHEEL_ENTRIES, sizeof(model[0]), entry_compare);
    for (uint32_t done = 0; done < WHEEL_ENTRIES;) {
        assert_true(state_due_bound(&due) <= model[done].time_ms);
        assert_null(state_due_peek(&due, model[done].time_ms - 1));
        const struct state_due_entry *top = state_due_peek(&due, model[done].time_ms);
        assert_non_null(top);
        assert_int_equal(state_due_order(top, &model[done]), 0);
        state_due_drop(&due);
        if (rng_below(&rng, 3) == 0 && done + 1 < WHEEL_ENTRIES) {
            /* As late as one behind it, whose place it takes in the model. */
            uint32_t behind = done + 1 + (uint32_t)rng_below(&rng, WHEEL_ENTRIES - done - 1);
            struct state_due_entry again = model[done];
            again.time_ms = model[behind].time_ms;
            assert_int_equal(entry_push(&due, &again), LEAT_OK);
            uint32_t at = done;
            for (; at + 1 < WHEEL_ENTRIES && state_due_order(&model[at + 1], &again) < 0; at++) {
                model[at] = model[at + 1];
            }
            model[at] = again;
        } else {
            done++;
        }
    }
    assert_int_equal(state_due_count(&due), 0);
    assert_int_equal(state_due_bound(&due), INT64_MAX);
    state_due_deinit(&due);
    assert_int_equal(budget.bytes_used, 0);
}

/* Each allocation of a push fails once: the entry is not there, the others are. */
static void test_wheel_memory(void **context) {
    (void)context;
    struct state_account account = {.name = "wheel"};
    struct state_due due;
    state_due_init(&due, &account);
    uint64_t refused = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        struct state_due_entry entry = {.time_ms = (int64_t)(i * 77777 % 1000003), .part = i};
        leat_status status = LEAT_MEMORY;
        for (uint64_t n = 1; status != LEAT_OK; n++) {
            memory_fail_at(n);
            status = entry_push(&due, &entry);
            memory_fail_at(0);
            assert_int_equal(state_due_count(&due), i + (status == LEAT_OK));
            refused += status != LEAT_OK;
        }
    }
    assert_true(refused > 15);
    state_due_deinit(&due);
    assert_int_equal(account.bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_stale_bound),
        cmocka_unit_test(test_restore_keeps_order),
        cmocka_unit_test(test_wheel),
        cmocka_unit_test(test_wheel_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
