/* Several writers, each in its own key groups, while one thread writes a snapshot and another
 * reads: blocks and pages are those of the freeze, and due times fire as in a plain array. */
#include "base/thread.h"
#include "state/state_fixture.h"

enum {
    WRITERS = 3,
    WRITER_GROUPS = 4,
    GROUPS = WRITERS * WRITER_GROUPS,
    KEYS = 3000,
    ROUNDS = 10,
    CHANGES = 4000,
    DUE_MAX = 400,
};

struct shared {
    struct state *state;
    struct state *copy; /* made from the pages */
    struct state_snapshot *snapshot;
    struct bytes blocks;
    bool as_pages;
    _Atomic int pending; /* writers that have not done their changes */
    atomic_bool stop;
};

/* The due times of a writer's records, its own to keep. */
struct writer {
    struct shared *shared;
    struct thread thread;
    struct rng rng;
    uint32_t first; /* of its groups */
    int64_t now_ms;
    int64_t due_ms[KEYS];
    int fired;
};

static void fire_all(struct writer *writer) {
    struct state_key key;
    char id[STATE_ID_MAX + 1];
    int64_t due_ms;
    int64_t last_ms = INT64_MIN;
    while (state_next_due_in(writer->shared->state, STATE_APPEND_TIME, writer->first,
                             writer->first + WRITER_GROUPS, writer->now_ms, &key, id, &due_ms)) {
        INVARIANT(due_ms >= last_ms && due_ms <= writer->now_ms, "due out of order");
        last_ms = due_ms;
        uint32_t number = 0;
        memcpy(&number, id, sizeof(number));
        INVARIANT(number < KEYS && writer->due_ms[number] == due_ms, "record %u is not due",
                  number);
        writer->due_ms[number] = 0;
        writer->fired++;
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        INVARIANT(writer->due_ms[i] == 0 || writer->due_ms[i] > writer->now_ms,
                  "record %u was left out", i);
    }
}

static struct state_key key_of(uint32_t *number) {
    struct slice id = {(const char *)number, sizeof(*number)};
    return (struct state_key){.hash = hash_slice(id), .id = id};
}

/* Every word of a record is written twice: who sees one without the other sees a tear. */
static void change_one(struct writer *writer, struct state_key *key, uint32_t number) {
    struct state *state = writer->shared->state;
    if (rng_below(&writer->rng, 5) == 0) {
        state_remove(state, key);
        writer->due_ms[number] = 0;
        return;
    }
    /* Mostly of two classes, whose pages grow to many units. */
    uint32_t words = rng_below(&writer->rng, 5) ? 16 + (uint32_t)rng_below(&writer->rng, 5)
                                                : 1 + (uint32_t)rng_below(&writer->rng, 40);
    void *data;
    INVARIANT(state_put(state, key, words * 16, &data, NULL) == LEAT_OK, "no memory");
    for (uint32_t i = 0; i < words; i++) {
        ((uint64_t *)data)[2 * i] = ((uint64_t *)data)[2 * i + 1] = rng_next(&writer->rng);
    }
    if (rng_below(&writer->rng, 2) == 0) {
        writer->due_ms[number] = writer->now_ms + 1 + (int64_t)rng_below(&writer->rng, DUE_MAX);
        INVARIANT(state_set_due(state, key, writer->due_ms[number]) == LEAT_OK, "no memory");
    }
}

static void *writer_run(void *context) {
    struct writer *writer = context;
    for (int i = 0; i < CHANGES; i++) {
        uint32_t number = (uint32_t)rng_below(&writer->rng, KEYS);
        struct state_key key = key_of(&number);
        if (key_group_of(key.hash, GROUPS) / WRITER_GROUPS != writer->first / WRITER_GROUPS) {
            continue;
        }
        state_enter(writer->shared->state, key.hash);
        change_one(writer, &key, number);
        state_leave(writer->shared->state, key.hash);
        if (rng_below(&writer->rng, 10) == 0) {
            writer->now_ms += (int64_t)rng_below(&writer->rng, 20);
            fire_all(writer);
        }
    }
    atomic_fetch_sub(&writer->shared->pending, 1);
    return NULL;
}

static void *reader_run(void *context) {
    struct shared *shared = context;
    struct rng rng;
    rng_init(&rng, 5);
    while (!atomic_load(&shared->stop)) {
        uint32_t number = (uint32_t)rng_below(&rng, KEYS);
        struct state_key key = key_of(&number);
        uint32_t size;
        state_enter(shared->state, key.hash);
        const uint64_t *word = state_get(shared->state, &key, &size, NULL);
        for (uint32_t i = 0; word && i < size / 16; i++) {
            INVARIANT(word[2 * i] == word[2 * i + 1], "a torn record of %u bytes", size);
        }
        state_leave(shared->state, key.hash);
    }
    return NULL;
}

static leat_status page_copy(void *context, const struct state_page_image *image, leat_error *err) {
    struct shared *shared = context;
    return state_restore_page(shared->copy, image, err);
}

static void *snapshot_run(void *context) {
    struct shared *shared = context;
    for (uint32_t group = 0; group < GROUPS; group++) {
        leat_status status =
            shared->as_pages
                ? state_snapshot_pages(shared->snapshot, group, 0, page_copy, shared, NULL)
                : state_snapshot_write(shared->snapshot, group, fixture_sink, &shared->blocks,
                                       NULL);
        INVARIANT(status == LEAT_OK, "status %d", status);
    }
    uint64_t version = state_snapshot_version(shared->snapshot);
    state_snapshot_release(shared->snapshot);
    INVARIANT(state_restore_end(shared->copy, version, NULL) == LEAT_OK, "version");
    return NULL;
}

static void round_run(struct shared *shared, struct writer *writers, int round) {
    uint64_t digest = fixture_digest(shared->state);
    struct thread thread;
    shared->as_pages = round % 2 != 0;
    shared->copy = fixture_open(GROUPS, NULL);
    bytes_clear(&shared->blocks);
    assert_int_equal(state_freeze(shared->state, &shared->snapshot, NULL), LEAT_OK);
    atomic_store(&shared->pending, WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(thread_start(&writers[i].thread, "writer", writer_run, &writers[i], NULL),
                         LEAT_OK);
    }
    assert_int_equal(thread_start(&thread, "snapshot", snapshot_run, shared, NULL), LEAT_OK);
    for (int i = 0; i < WRITERS; i++) {
        thread_join(&writers[i].thread);
    }
    thread_join(&thread);
    assert_int_equal(atomic_load(&shared->pending), 0);
    assert_true((shared->as_pages
                     ? fixture_digest(shared->copy)
                     : hash_bytes(shared->blocks.data, shared->blocks.size)) == digest);
    state_close(shared->copy);
}

static void test_writers(void **context) {
    (void)context;
    static struct shared shared;
    static struct writer writers[WRITERS];
    struct state_budget budget = {.bytes_max = INT64_MAX, .copies_max = 40 << 10};
    struct state_options options = {.name = "fixture", .groups = GROUPS, .budget = &budget};
    assert_int_equal(state_open(&options, &shared.state, NULL), LEAT_OK);
    bytes_init(&shared.blocks);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.shared = &shared, .first = i * WRITER_GROUPS};
        rng_init(&writers[i].rng, i + 1);
    }
    struct thread reader;
    assert_int_equal(thread_start(&reader, "reader", reader_run, &shared, NULL), LEAT_OK);
    for (int round = 0; round < ROUNDS; round++) {
        round_run(&shared, writers, round);
        assert_int_equal(budget.copies_used, 0);
        assert_int_equal(state_bytes(shared.state), budget.bytes_used);
    }
    atomic_store(&shared.stop, true);
    thread_join(&reader);
    for (int i = 0; i < WRITERS; i++) {
        writers[i].now_ms += 2 * DUE_MAX;
        fire_all(&writers[i]);
        assert_true(writers[i].fired > 100);
    }
    bytes_deinit(&shared.blocks);
    state_close(shared.state);
    assert_int_equal(budget.bytes_used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_writers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
