/* Keyed state against a naive model; its bounds, its accounting, and snapshots taken while a writer
 * goes on. */
#include "base/thread.h"
#include "state/state_fixture.h"

enum { MODEL_KEYS = 400, MODEL_BYTES = 700, MODEL_STEPS = 20000, MODEL_GROUPS = 3 };

struct model_record {
    bool present;
    uint32_t size;
    uint8_t data[MODEL_BYTES];
};

struct model {
    struct model_record records[MODEL_KEYS];
    uint64_t count;
};

/* --- against the model --- */

static void model_check_one(struct state *state, const struct model *model, uint32_t number) {
    const struct model_record *record = &model->records[number];
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    struct slice stored_id;
    uint32_t size;
    bool collision = true;
    state_enter(state, key.hash);
    const void *data = state_get(state, &key, &size, &collision);
    assert_int_equal(data != NULL, record->present);
    assert_false(collision);
    if (record->present) {
        assert_int_equal(size, record->size);
        assert_memory_equal(data, record->data, size);
        assert_int_equal((uintptr_t)data % 8, 0);
        key.id = (struct slice){NULL, 0};
        assert_ptr_equal(state_get_id(state, &key, &size, &stored_id), data);
        assert_int_equal(hash_slice(stored_id), key.hash);
    }
    state_leave(state, key.hash);
}

static void model_put(struct state *state, struct model *model, uint32_t number, struct rng *rng) {
    struct model_record *record = &model->records[number];
    uint32_t size = (uint32_t)rng_below(rng, rng_below(rng, 4) == 0 ? MODEL_BYTES : 60);
    if (!record->present) {
        memset(record->data, 0, sizeof(record->data));
        record->size = 0;
        model->count++;
    }
    if (size > record->size) {
        memset(record->data + record->size, 0, size - record->size);
    }
    record->present = true;
    record->size = size;
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    void *data;
    state_enter(state, key.hash);
    assert_int_equal(state_put(state, &key, size, &data, NULL), LEAT_OK);
    assert_memory_equal(data, record->data, size);
    for (uint32_t i = 0; i < size; i += 7) {
        ((uint8_t *)data)[i] = record->data[i] = (uint8_t)rng_next(rng);
    }
    state_leave(state, key.hash);
}

static void model_edit(struct state *state, struct model *model, uint32_t number, struct rng *rng) {
    struct model_record *record = &model->records[number];
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    uint32_t size;
    state_enter(state, key.hash);
    uint8_t *data = state_edit(state, &key, &size);
    assert_int_equal(data != NULL, record->present);
    if (data && size > 0) {
        uint64_t at = rng_below(rng, size);
        data[at] = record->data[at] = (uint8_t)rng_next(rng);
    }
    state_leave(state, key.hash);
}

static void model_step(struct state *state, struct model *model, struct rng *rng) {
    uint32_t number = (uint32_t)rng_below(rng, MODEL_KEYS);
    struct model_record *record = &model->records[number];
    switch (rng_below(rng, 4)) {
    case 0:
        assert_int_equal(fixture_remove(state, number), record->present);
        model->count -= record->present;
        record->present = false;
        break;
    case 1: model_edit(state, model, number, rng); break;
    default: model_put(state, model, number, rng); break;
    }
    model_check_one(state, model, (uint32_t)rng_below(rng, MODEL_KEYS));
}

static void test_model(void **context) {
    (void)context;
    static struct model model;
    struct rng rng;
    rng_init(&rng, 1);
    struct state_budget budget = {.bytes_max = INT64_MAX};
    struct state *state = fixture_open(MODEL_GROUPS, &budget);
    for (int step = 0; step < MODEL_STEPS; step++) {
        model_step(state, &model, &rng);
        assert_int_equal(state_count(state), model.count);
        assert_int_equal(state_bytes(state), budget.bytes_used);
    }
    for (uint32_t number = 0; number < MODEL_KEYS; number++) {
        model_check_one(state, &model, number);
    }
    /* The same content, made at once in another order, has the same digest. */
    struct state *other = fixture_open(MODEL_GROUPS, NULL);
    for (uint32_t number = MODEL_KEYS; number-- > 0;) {
        struct model_record *record = &model.records[number];
        if (record->present) {
            char id[FIXTURE_ID_BYTES];
            struct state_key key = fixture_key(number, id);
            void *data;
            state_enter(other, key.hash);
            assert_int_equal(state_put(other, &key, record->size, &data, NULL), LEAT_OK);
            memcpy(data, record->data, record->size);
            state_leave(other, key.hash);
        }
    }
    assert_true(fixture_digest(state) == fixture_digest(other));
    fixture_put(other, 5, 1, 77);
    assert_true(fixture_digest(state) != fixture_digest(other));
    state_close(other);
    state_close(state);
    assert_int_equal(budget.bytes_used, 0);
}

static leat_status visit_ordered(void *context, const struct state_record *record) {
    struct state_record *previous = context;
    if (previous->data) {
        assert_true(state_order(&previous->key, &record->key) < 0);
    }
    *previous = *record;
    return LEAT_OK;
}

static leat_status visit_stop(void *context, const struct state_record *record) {
    (void)record;
    ++*(int *)context;
    return LEAT_END;
}

static void test_visit(void **context) {
    (void)context;
    struct state *state = fixture_open(1, NULL);
    for (uint32_t i = 0; i < 1000; i++) {
        fixture_put(state, i * 7919 % 1000, 8, 1);
    }
    struct state_record last = {0};
    assert_int_equal(state_visit(state, 0, visit_ordered, &last, NULL), LEAT_OK);
    int visited = 0;
    assert_int_equal(state_visit(state, 0, visit_stop, &visited, NULL), LEAT_END);
    assert_int_equal(visited, 1);
    assert_int_equal(state_visit(state, 1, visit_stop, &visited, NULL), LEAT_INVALID);
    state_close(state);
}

/* --- bounds --- */

static void test_limits(void **context) {
    (void)context;
    leat_error err;
    struct state_options options = {.name = "", .groups = 1};
    struct state *state;
    assert_int_equal(state_open(&options, &state, &err), LEAT_INVALID);
    options = (struct state_options){.name = "limits", .groups = 0};
    assert_int_equal(state_open(&options, &state, &err), LEAT_INVALID);
    options.groups = 1;
    assert_int_equal(state_open(&options, &state, &err), LEAT_OK);
    char id[STATE_ID_MAX + 1];
    memset(id, 'x', sizeof(id));
    struct state_key key = {.id = {id, STATE_ID_MAX}};
    key.hash = hash_slice(key.id);
    void *data;
    state_enter(state, key.hash);
    assert_int_equal(state_put(state, &key, STATE_RECORD_MAX + 1, &data, &err), LEAT_INVALID);
    for (uint32_t size = 0; size <= STATE_RECORD_MAX; size = size * 5 / 4 + 1) {
        assert_int_equal(state_put(state, &key, size, &data, &err), LEAT_OK);
        memset(data, 1, size);
    }
    assert_int_equal(state_put(state, &key, STATE_RECORD_MAX, &data, &err), LEAT_OK);
    memset(data, 1, STATE_RECORD_MAX);
    key.kind = 256;
    assert_int_equal(state_put(state, &key, 1, &data, &err), LEAT_INVALID);
    key.kind = 0;
    key.id.size++;
    assert_int_equal(state_put(state, &key, 1, &data, &err), LEAT_INVALID);
    key.part = 1;
    key.id = (struct slice){NULL, 0};
    assert_int_equal(state_put(state, &key, 1, &data, &err), LEAT_INVALID);
    state_leave(state, key.hash);
    assert_int_equal(state_count(state), 1);
    state_close(state);
}

static void test_collision(void **context) {
    (void)context;
    struct state *state = fixture_open(1, NULL);
    struct state_key one = {.hash = 42, .id = slice_of("one"), .kind = 1};
    struct state_key two = {.hash = 42, .id = slice_of("two"), .kind = 1};
    void *data;
    uint32_t size;
    bool collision;
    leat_error err;
    state_enter(state, 42);
    assert_int_equal(state_put(state, &one, 4, &data, NULL), LEAT_OK);
    assert_null(state_get(state, &two, &size, &collision));
    assert_true(collision);
    assert_null(state_edit(state, &two, &size));
    assert_false(state_remove(state, &two));
    assert_int_equal(state_set_due(state, &two, 5), LEAT_NOT_FOUND);
    assert_int_equal(state_put(state, &two, 4, &data, &err), LEAT_CONFLICT);
    assert_non_null(strstr(err.message, "two"));
    assert_non_null(state_get(state, &one, &size, &collision));
    assert_false(collision);
    state_leave(state, 42);
    state_close(state);
}

static bool holds(struct state *state, uint32_t number) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    uint32_t size;
    state_enter(state, key.hash);
    bool found = state_get(state, &key, &size, NULL) != NULL;
    state_leave(state, key.hash);
    return found;
}

/* All records of some ids go, in groups from nearly empty to full, and nobody else's. */
static void test_remove_all(void **context) {
    (void)context;
    enum { NUMBERS = 600 };
    struct rng rng;
    rng_init(&rng, 77);
    for (int round = 0; round < 60; round++) {
        struct state *state = fixture_open(1 + (uint32_t)rng_below(&rng, 3), NULL);
        bool there[NUMBERS] = {false};
        int puts = (int)rng_below(&rng, NUMBERS);
        for (int i = 0; i < puts; i++) {
            uint32_t number = (uint32_t)rng_below(&rng, NUMBERS);
            fixture_put(state, number, 8, 1);
            there[number] = true;
        }
        for (int i = 0; i < 40; i++) {
            char id[FIXTURE_ID_BYTES];
            uint32_t first = (uint32_t)rng_below(&rng, NUMBERS / 4) * 4;
            struct state_key key = fixture_key(first, id);
            uint32_t expected = 0;
            for (uint32_t n = first; n < first + 4; n++) {
                expected += there[n];
                there[n] = false;
            }
            state_enter(state, key.hash);
            assert_int_equal(state_remove_all(state, key.hash, key.id), expected);
            state_leave(state, key.hash);
        }
        for (uint32_t n = 0; n < NUMBERS; n++) {
            assert_int_equal(holds(state, n), there[n]);
        }
        state_close(state);
    }
}

static leat_status put_once(struct state *state, uint32_t number, uint32_t size, leat_error *err) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    void *data;
    state_enter(state, key.hash);
    leat_status status = state_put(state, &key, size, &data, err);
    state_leave(state, key.hash);
    return status;
}

static void test_budget(void **context) {
    (void)context;
    leat_error err;
    struct state_budget budget = {.bytes_max = 512 << 10};
    struct state *state = fixture_open(2, &budget);
    uint32_t number = 0;
    while (put_once(state, number, 100, &err) == LEAT_OK) {
        assert_true(budget.bytes_used <= budget.bytes_max);
        number++;
    }
    assert_int_equal(err.status, LEAT_FULL);
    assert_non_null(strstr(err.message, "524288"));
    assert_true(number > 2500 && number < 3500); /* slots of 160 bytes, and the indexes */
    assert_int_equal(state_count(state), number);
    uint64_t digest = fixture_digest(state);
    /* Growing into a class that has no page yet fails and changes nothing. */
    assert_int_equal(put_once(state, 0, 30000, &err), LEAT_FULL);
    assert_true(fixture_digest(state) == digest);
    /* What is removed makes room. */
    assert_true(fixture_remove(state, 1));
    assert_int_equal(put_once(state, 1, 100, &err), LEAT_OK);
    assert_int_equal(state_bytes(state), budget.bytes_used);
    state_close(state);
    assert_int_equal(budget.bytes_used, 0);
}

/* Each allocation of a growing state fails once: the call says so, and nothing else changes. */
static void test_memory(void **context) {
    (void)context;
    for (uint64_t at = 1; at < 40; at++) {
        leat_error err = {0};
        struct state_budget budget = {.bytes_max = INT64_MAX};
        struct state *state = fixture_open(1, &budget);
        memory_fail_at(at);
        int failures = 0;
        for (uint32_t number = 0; number < 200; number++) {
            uint64_t count = state_count(state);
            while (put_once(state, number, number * 13, &err) != LEAT_OK) {
                assert_int_equal(err.status, LEAT_MEMORY);
                assert_int_equal(state_count(state), count);
                failures++;
            }
            while (fixture_set_due(state, number, 1000 - number) != LEAT_OK) {
                failures++;
            }
        }
        memory_fail_at(0);
        assert_true(failures <= 1);
        assert_int_equal(state_count(state), 200);
        assert_int_equal(state_bytes(state), budget.bytes_used);
        state_close(state);
        assert_int_equal(budget.bytes_used, 0);
    }
}

static void test_allocations(void **context) {
    (void)context;
    struct state *state = fixture_open(4, NULL);
    for (uint32_t number = 0; number < 2000; number++) {
        fixture_put(state, number, 40 + number % 100, 1);
    }
    for (uint32_t number = 0; number < 2000; number += 2) {
        fixture_remove(state, number);
    }
    uint64_t allocations = memory_allocations();
    uint64_t bytes = state_bytes(state);
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t number = 0; number < 2000; number += 2) {
            fixture_put(state, number, 40 + number % 100, 1);
        }
        for (uint32_t number = 0; number < 2000; number += 2) {
            fixture_remove(state, number);
        }
    }
    /* Freed slots are used again: no memory is asked for, none is lost. */
    assert_int_equal(memory_allocations(), allocations);
    assert_int_equal(state_bytes(state), bytes);
    state_close(state);
}

/* --- snapshots --- */

static void snapshot_blocks(struct state_snapshot *snapshot, uint32_t groups, struct bytes *out) {
    bytes_clear(out);
    for (uint32_t group = 0; group < groups; group++) {
        assert_int_equal(state_snapshot_write(snapshot, group, fixture_sink, out, NULL), LEAT_OK);
    }
}

/* Every way to change a record. */
enum change {
    CHANGE_EDIT,
    CHANGE_PUT,
    CHANGE_CREATE,
    CHANGE_REMOVE,
    CHANGE_DUE,
    CHANGE_POP,
    CHANGES
};

static void change_once(struct state *state, enum change change) {
    char id[STATE_ID_MAX + 1];
    struct state_key key = fixture_key(8, id);
    uint32_t size;
    int64_t due_ms;
    switch (change) {
    case CHANGE_EDIT:
        state_enter(state, key.hash);
        ((uint8_t *)state_edit(state, &key, &size))[0]++;
        state_leave(state, key.hash);
        break;
    case CHANGE_PUT: fixture_put(state, 8, 60000, 1); break;
    case CHANGE_CREATE: fixture_put(state, 5000, 9, 1); break;
    case CHANGE_REMOVE: assert_true(fixture_remove(state, 8)); break;
    case CHANGE_DUE: fixture_set_due(state, 8, 0); break;
    default: assert_true(state_next_due(state, 3, &key, id, &due_ms));
    }
}

/* Whatever comes first after a freeze, the blocks are those of the freeze. */
static void snapshot_change(enum change change) {
    enum { GROUPS = 2 };
    struct state *state = fixture_open(GROUPS, NULL);
    for (uint32_t number = 0; number < 300; number++) {
        fixture_put(state, number, number % 50, (int)number);
        assert_int_equal(fixture_set_due(state, number, 1 + number % 7), LEAT_OK);
    }
    uint64_t digest = fixture_digest(state);
    struct state_snapshot *snapshot;
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    change_once(state, change);
    assert_true(fixture_digest(state) != digest);
    struct bytes blocks;
    bytes_init(&blocks);
    snapshot_blocks(snapshot, GROUPS, &blocks);
    assert_true(hash_bytes(blocks.data, blocks.size) == digest);
    state_snapshot_release(snapshot);
    bytes_deinit(&blocks);
    state_close(state);
}

static void test_snapshot(void **context) {
    (void)context;
    for (int change = 0; change < CHANGES; change++) {
        snapshot_change((enum change)change);
    }
}

static void test_snapshot_once(void **context) {
    (void)context;
    struct state *state = fixture_open(1, NULL);
    struct state_snapshot *snapshot;
    struct state_snapshot *second;
    struct bytes blocks;
    bytes_init(&blocks);
    leat_error err;
    fixture_put(state, 41, 60000, 1);
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    assert_int_equal(state_freeze(state, &second, NULL), LEAT_AGAIN);
    assert_null(second);
    assert_int_equal(state_snapshot_write(snapshot, 0, fixture_sink, &blocks, &err), LEAT_OK);
    assert_int_equal(state_snapshot_write(snapshot, 0, fixture_sink, &blocks, &err), LEAT_INVALID);
    assert_int_equal(state_snapshot_write(snapshot, 1, fixture_sink, &blocks, &err), LEAT_INVALID);
    state_snapshot_release(snapshot);
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    state_snapshot_release(snapshot); /* without a block written */
    state_snapshot_release(NULL);
    fixture_put(state, 41, 1, 1);
    bytes_deinit(&blocks);
    state_close(state);
}

/* The copy before a first change finds no memory: the snapshot is lost, the state is not. */
static void test_snapshot_memory(void **context) {
    (void)context;
    struct state *state = fixture_open(1, NULL);
    for (uint32_t number = 0; number < 100; number++) {
        fixture_put(state, number, 20, 1);
    }
    struct state_snapshot *snapshot;
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    memory_fail_at(1);
    fixture_put(state, 7, 20, 2);
    memory_fail_at(0);
    struct bytes block;
    bytes_init(&block);
    leat_error err;
    assert_int_equal(state_snapshot_write(snapshot, 0, fixture_sink, &block, &err), LEAT_MEMORY);
    assert_true(err.retry);
    state_snapshot_release(snapshot);
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    /* The snapshot's own thread may try again. */
    memory_fail_at(1);
    assert_int_equal(state_snapshot_write(snapshot, 0, fixture_sink, &block, &err), LEAT_MEMORY);
    memory_fail_at(0);
    assert_int_equal(state_snapshot_write(snapshot, 0, fixture_sink, &block, &err), LEAT_OK);
    assert_true(hash_bytes(block.data, block.size) == fixture_digest(state));
    bytes_deinit(&block);
    state_snapshot_release(snapshot);
    state_close(state);
}

/* --- three threads --- */

enum { SHARED_GROUPS = 8, SHARED_KEYS = 600, SHARED_ROUNDS = 12, SHARED_CHANGES = 3000 };

struct shared {
    struct state *state;
    struct state_snapshot *snapshot;
    struct bytes blocks;
    atomic_bool written;
    atomic_bool stop;
    uint64_t reads;
};

/* Writes every word of a record twice: a reader who sees one without the other sees a tear. */
static void shared_change(struct state *state, struct rng *rng) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key((uint32_t)rng_below(rng, SHARED_KEYS), id);
    uint32_t words = 1 + (uint32_t)rng_below(rng, 20);
    void *data;
    state_enter(state, key.hash);
    if (rng_below(rng, 5) == 0) {
        state_remove(state, &key);
    } else {
        assert_int_equal(state_put(state, &key, words * 16, &data, NULL), LEAT_OK);
        uint64_t *word = data;
        for (uint32_t i = 0; i < words; i++) {
            word[2 * i] = word[2 * i + 1] = rng_next(rng);
        }
        assert_int_equal(state_set_due(state, &key, 1 + (int64_t)rng_below(rng, 1000)), LEAT_OK);
    }
    state_leave(state, key.hash);
}

static void *shared_read(void *context) {
    struct shared *shared = context;
    struct rng rng;
    rng_init(&rng, 99);
    while (!atomic_load(&shared->stop)) {
        char id[FIXTURE_ID_BYTES];
        struct state_key key = fixture_key((uint32_t)rng_below(&rng, SHARED_KEYS), id);
        uint32_t size;
        state_enter(shared->state, key.hash);
        const uint64_t *word = state_get(shared->state, &key, &size, NULL);
        for (uint32_t i = 0; word && i < size / 16; i++) {
            INVARIANT(word[2 * i] == word[2 * i + 1], "a torn record of %u bytes", size);
        }
        state_leave(shared->state, key.hash);
        shared->reads++;
    }
    return NULL;
}

static void *shared_write_snapshot(void *context) {
    struct shared *shared = context;
    snapshot_blocks(shared->snapshot, SHARED_GROUPS, &shared->blocks);
    state_snapshot_release(shared->snapshot);
    atomic_store(&shared->written, true);
    return NULL;
}

/* Freezes, and changes the state for as long as the snapshot is written, and a little longer. */
static void shared_round(struct shared *shared, struct rng *rng) {
    uint64_t digest = fixture_digest(shared->state);
    atomic_store(&shared->written, false);
    assert_int_equal(state_freeze(shared->state, &shared->snapshot, NULL), LEAT_OK);
    struct thread thread;
    assert_int_equal(thread_start(&thread, "snapshot", shared_write_snapshot, shared, NULL),
                     LEAT_OK);
    int64_t now_ms = 0;
    for (int i = 0; i < SHARED_CHANGES || !atomic_load(&shared->written); i++) {
        shared_change(shared->state, rng);
        struct state_key key;
        char id[STATE_ID_MAX + 1];
        int64_t due_ms;
        now_ms = i % 1000;
        state_next_due(shared->state, now_ms, &key, id, &due_ms);
    }
    thread_join(&thread);
    assert_true(hash_bytes(shared->blocks.data, shared->blocks.size) == digest);
}

static void test_threads(void **context) {
    (void)context;
    static struct shared shared;
    shared.state = fixture_open(SHARED_GROUPS, NULL);
    bytes_init(&shared.blocks);
    struct rng rng;
    rng_init(&rng, 7);
    struct thread reader;
    assert_int_equal(thread_start(&reader, "reader", shared_read, &shared, NULL), LEAT_OK);
    for (int round = 0; round < SHARED_ROUNDS; round++) {
        shared_round(&shared, &rng);
    }
    atomic_store(&shared.stop, true);
    thread_join(&reader);
    assert_true(shared.reads > 0);
    bytes_deinit(&shared.blocks);
    state_close(shared.state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remove_all),      cmocka_unit_test(test_visit),
        cmocka_unit_test(test_model),           cmocka_unit_test(test_limits),
        cmocka_unit_test(test_collision),       cmocka_unit_test(test_budget),
        cmocka_unit_test(test_memory),          cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_snapshot),        cmocka_unit_test(test_snapshot_once),
        cmocka_unit_test(test_snapshot_memory), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
