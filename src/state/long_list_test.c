/* Lists against plain arrays: appended, read, trimmed, removed, written and read back. */
#include "state/long_list.h"
#include "state/state_fixture.h"

enum { LISTS = 6, MODEL_MAX = 6000, STEPS = 20000, BYTES_MAX = 1500, READ_MAX = 300 };

struct model_list {
    uint32_t bytes; /* 0: not there */
    uint64_t first, end;
    uint8_t seeds[MODEL_MAX]; /* an element is its seed, over and over */
};

static struct state_key list_key(uint32_t list, char id[FIXTURE_ID_BYTES]) {
    struct slice text = {id, (size_t)snprintf(id, FIXTURE_ID_BYTES, "list-%u", list / 2)};
    return (struct state_key){.hash = hash_slice(text), .id = text, .kind = list % 2, .part = 99};
}

static void check_range(const struct state *state, const struct state_key *key,
                        const struct model_list *model, uint64_t from, uint64_t count) {
    static uint8_t read[READ_MAX * BYTES_MAX];
    uint64_t expected = 0;
    if (from >= model->first && from < model->end) {
        expected = count < model->end - from ? count : model->end - from;
    }
    assert_int_equal(long_list_read(state, key, from, count, read), expected);
    for (uint64_t i = 0; i < expected; i++) {
        for (uint64_t b = 0; b < model->bytes; b += 1 + model->bytes / 5) {
            assert_int_equal(read[i * model->bytes + b], model->seeds[from + i]);
        }
    }
}

static void check(struct state *state, uint32_t list, const struct model_list *model,
                  struct rng *rng) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = list_key(list, id);
    state_enter(state, key.hash);
    struct long_list_range range = long_list_range(state, &key);
    assert_int_equal(range.first, model->first);
    assert_int_equal(range.end, model->end);
    check_range(state, &key, model, rng_below(rng, model->end + 2), rng_below(rng, READ_MAX));
    state_leave(state, key.hash);
}

static void append(struct state *state, uint32_t list, struct model_list *model, struct rng *rng) {
    static const uint32_t sizes[] = {1, 8, 24, 100, 1000, BYTES_MAX};
    char id[FIXTURE_ID_BYTES];
    uint8_t element[BYTES_MAX];
    struct state_key key = list_key(list, id);
    if (model->end == MODEL_MAX) {
        return;
    }
    model->bytes = model->bytes ? model->bytes : sizes[rng_below(rng, 6)];
    uint8_t seed = model->seeds[model->end++] = (uint8_t)rng_next(rng);
    memset(element, seed, model->bytes);
    leat_error err;
    state_enter(state, key.hash);
    assert_int_equal(long_list_append(state, &key, element, model->bytes, NULL), LEAT_OK);
    assert_int_equal(long_list_append(state, &key, element, model->bytes + 1, &err), LEAT_INVALID);
    state_leave(state, key.hash);
}

static void step(struct state *state, uint32_t list, struct model_list *model, struct rng *rng) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = list_key(list, id);
    uint64_t draw = rng_below(rng, 100);
    if (draw >= 4) {
        append(state, list, model, rng);
        return;
    }
    state_enter(state, key.hash);
    if (draw == 0 && rng_below(rng, 10) == 0) {
        long_list_remove(state, &key);
        model->bytes = 0;
        model->first = model->end = 0;
    } else if (model->bytes) {
        uint64_t first = model->first + rng_below(rng, 60);
        long_list_trim(state, &key, first);
        first = first < model->end ? first : model->end;
        model->first = first > model->first ? first : model->first;
    }
    state_leave(state, key.hash);
}

/* So many chunks as the elements need, and a head. */
static uint64_t records_of(const struct model_list *model) {
    if (model->bytes == 0) {
        return 0;
    }
    uint64_t elements = model->bytes < 1024 ? 1024 / model->bytes : 1;
    return 1 + (model->end + elements - 1) / elements - model->first / elements;
}

static void test_model(void **context) {
    (void)context;
    static struct model_list models[LISTS];
    struct rng rng;
    rng_init(&rng, 21);
    struct state *state = fixture_open(2, NULL);
    for (int i = 0; i < STEPS; i++) {
        uint32_t list = (uint32_t)rng_below(&rng, LISTS);
        step(state, list, &models[list], &rng);
        list = (uint32_t)rng_below(&rng, LISTS);
        check(state, list, &models[list], &rng);
    }
    struct state *other = fixture_open(2, NULL);
    uint64_t records = 0;
    for (uint32_t group = 0; group < 2; group++) {
        struct bytes block;
        fixture_block(state, group, &block);
        assert_int_equal(fixture_restore(other, group, &block, NULL), LEAT_OK);
        bytes_deinit(&block);
    }
    for (uint32_t list = 0; list < LISTS; list++) {
        check(other, list, &models[list], &rng);
        records += records_of(&models[list]);
    }
    assert_int_equal(state_count(state), records);
    state_close(other);
    state_close(state);
}

/* An append that finds no memory changes nothing. */
static void test_memory(void **context) {
    (void)context;
    char id[FIXTURE_ID_BYTES];
    struct state_key key = list_key(0, id);
    uint64_t element = 7;
    for (uint64_t at = 1; at < 25; at++) {
        struct state *state = fixture_open(1, NULL);
        state_enter(state, key.hash);
        int failures = 0;
        memory_fail_at(at);
        for (uint64_t i = 0; i < 400; i++) {
            while (long_list_append(state, &key, &element, sizeof(element), NULL) != LEAT_OK) {
                failures++;
                assert_int_equal(long_list_range(state, &key).end, i);
                assert_true(i > 0 || state_count(state) == 0);
            }
        }
        memory_fail_at(0);
        assert_true(failures <= 1);
        assert_int_equal(long_list_range(state, &key).end, 400);
        state_leave(state, key.hash);
        state_close(state);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
