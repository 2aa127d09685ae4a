/* Pages of snapshots: a chain of freezes, each written as what changed, read back as one state;
 * ends of lives; what a removed record leaves; damage. */
#include "base/thread.h"
#include "state/state_fixture.h"

enum { GROUPS = 5, KEYS = 300, PAGES_MAX = 4096 };

/* What a reader of checkpoints holds: by (group, number) the newest image. */
struct stored {
    bool live;
    struct state_page_image image;
    uint8_t *data;
};

struct store {
    struct stored pages[PAGES_MAX];
    uint32_t listed[PAGES_MAX]; /* places that the newest snapshot named */
    uint32_t count, listed_count;
    uint64_t since, written;
};

static leat_status store_page(void *context, const struct state_page_image *image,
                              leat_error *err) {
    (void)err;
    struct store *store = context;
    uint32_t place = 0;
    while (place < store->count && (store->pages[place].image.group != image->group ||
                                    store->pages[place].image.number != image->number)) {
        place++;
    }
    assert_true(place < PAGES_MAX);
    struct stored *stored = &store->pages[place];
    store->count += place == store->count;
    if (image->data) {
        assert_true(image->version > store->since);
        free(stored->data);
        stored->data = malloc(image->bytes);
        memcpy(stored->data, image->data, image->bytes);
        stored->image = *image;
        store->written += image->bytes;
    } else {
        assert_true(image->version <= store->since);
        assert_int_equal(stored->image.version, image->version);
    }
    if (store->listed_count > 0) { /* in order of group and number */
        const struct state_page_image *last =
            &store->pages[store->listed[store->listed_count - 1]].image;
        assert_true(last->group < image->group || last->number < image->number);
    }
    store->listed[store->listed_count++] = place;
    return LEAT_OK;
}

static void store_snapshot(struct store *store, struct state_snapshot *snapshot) {
    store->listed_count = 0;
    for (uint32_t group = 0; group < GROUPS; group++) {
        assert_int_equal(
            state_snapshot_pages(snapshot, group, store->since, store_page, store, NULL), LEAT_OK);
    }
    store->since = state_snapshot_version(snapshot);
}

static struct state *store_restore(struct store *store) {
    struct state *state = fixture_open(GROUPS, NULL);
    for (uint32_t i = 0; i < store->listed_count; i++) {
        struct stored *stored = &store->pages[store->listed[i]];
        struct state_page_image image = stored->image;
        image.data = stored->data;
        assert_int_equal(state_restore_page(state, &image, NULL), LEAT_OK);
    }
    assert_int_equal(state_restore_end(state, store->since, NULL), LEAT_OK);
    return state;
}

static void store_deinit(struct store *store) {
    for (uint32_t i = 0; i < store->count; i++) {
        free(store->pages[i].data);
    }
    memset(store, 0, sizeof(*store));
}

static void change(struct state *state, struct rng *rng) {
    uint32_t number = (uint32_t)rng_below(rng, KEYS);
    switch (rng_below(rng, 6)) {
    case 0: fixture_remove(state, number); break;
    case 1: fixture_set_due(state, number, (int64_t)rng_below(rng, 5000)); break;
    case 2:
        fixture_put(state, number, (uint32_t)rng_below(rng, 40000), (int)rng_below(rng, 256));
        break;
    default: fixture_put(state, number, (uint32_t)rng_below(rng, 300), (int)rng_below(rng, 256));
    }
}

static void changes(struct state *state, struct rng *rng, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        change(state, rng);
    }
    struct state_key key;
    char id[STATE_ID_MAX + 1];
    int64_t due_ms;
    while (rng_below(rng, 4) != 0 && state_next_due(state, 2500, &key, id, &due_ms)) {
    }
}

/* Freezes again and again while a writer goes on; what was stored is what was there, also when the
 * state was closed and read back in between. */
static void test_chain(void **context) {
    (void)context;
    static struct store store;
    struct state_budget budget = {.bytes_max = INT64_MAX};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        struct state *state = fixture_open(GROUPS, &budget);
        for (int freeze = 0; freeze < 12; freeze++) {
            changes(state, &rng, rng_below(&rng, 2) ? 3 : 200);
            struct state_snapshot *snapshot;
            uint64_t digest = fixture_digest(state);
            assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
            if (rng_below(&rng, 2)) {
                state_snapshot_since(snapshot, store.since);
            }
            changes(state, &rng, rng_below(&rng, 100));
            store_snapshot(&store, snapshot);
            changes(state, &rng, rng_below(&rng, 20));
            state_snapshot_release(snapshot);
            assert_int_equal(budget.copies_used, 0);
            struct state *restored = store_restore(&store);
            assert_true(fixture_digest(restored) == digest);
            if (rng_below(&rng, 3) == 0) { /* go on from what was read back */
                state_close(state);
                state = restored;
            } else {
                state_close(restored);
            }
        }
        state_close(state);
        store_deinit(&store);
    }
    assert_true(budget.copies_most > 0);
}

/* A freeze after which nothing changed writes nothing. */
static void test_nothing_changed(void **context) {
    (void)context;
    static struct store store;
    struct rng rng;
    rng_init(&rng, 5);
    struct state *state = fixture_open(GROUPS, NULL);
    changes(state, &rng, 500);
    struct state_snapshot *snapshot;
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    store_snapshot(&store, snapshot);
    state_snapshot_release(snapshot);
    uint64_t written = store.written;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
        store_snapshot(&store, snapshot);
        state_snapshot_release(snapshot);
        assert_int_equal(store.written, written);
    }
    fixture_put(state, 7, 9, 9);
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    store_snapshot(&store, snapshot);
    state_snapshot_release(snapshot);
    assert_true(store.written > written && store.written <= written + 2 * PAGE_BYTES);
    state_close(state);
    store_deinit(&store);
}

static bool bytes_hold(const uint8_t *data, size_t size, const char *word) {
    size_t length = strlen(word);
    for (size_t at = 0; at + length <= size; at++) {
        if (memcmp(data + at, word, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool store_holds(const struct store *store, const char *word) {
    for (uint32_t i = 0; i < store->listed_count; i++) {
        const struct stored *stored = &store->pages[store->listed[i]];
        if (bytes_hold(stored->data, stored->image.bytes, word)) {
            return true;
        }
    }
    return false;
}

/* What a record was is not to be found in later pages: removed, moved or cut. */
static void test_no_remains(void **context) {
    (void)context;
    static struct store store;
    struct state *state = fixture_open(GROUPS, NULL);
    struct slice id = slice_of("person-to-forget");
    for (uint64_t part = 0; part < 50; part++) {
        struct state_key key = {hash_slice(id), id, 1, part};
        void *data;
        state_enter(state, key.hash);
        for (uint32_t size = 16; size < 5000; size *= 3) {
            assert_int_equal(state_put(state, &key, size, &data, NULL), LEAT_OK);
            memcpy((char *)data + size - 12, "secret-words", 12);
        }
        assert_int_equal(state_put(state, &key, 20, &data, NULL), LEAT_OK);
        state_leave(state, key.hash);
    }
    state_enter(state, hash_slice(id));
    assert_int_equal(state_remove_all(state, hash_slice(id), id), 50);
    state_leave(state, hash_slice(id));
    fixture_put(state, 3, 40, 1);
    struct state_snapshot *snapshot;
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    store_snapshot(&store, snapshot);
    state_snapshot_release(snapshot);
    assert_false(store_holds(&store, "person-to-forget"));
    assert_false(store_holds(&store, "secret-words"));
    assert_true(store_holds(&store, "\1\1\1\1\1\1\1\1"));
    state_close(state);
    store_deinit(&store);
}

/* A changed byte is refused, or is content, or means nothing; nothing breaks. */
static void test_damage(void **context) {
    (void)context;
    static struct store store;
    struct rng rng;
    rng_init(&rng, 9);
    struct state *state = fixture_open(1, NULL);
    for (uint32_t number = 0; number < 60; number++) {
        fixture_put(state, number, (uint32_t)rng_below(&rng, 200), 7);
    }
    struct state_snapshot *snapshot;
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    assert_int_equal(state_snapshot_pages(snapshot, 0, 0, store_page, &store, NULL), LEAT_OK);
    state_snapshot_release(snapshot);
    state_close(state);
    int refused = 0;
    for (int round = 0; round < 4000; round++) {
        struct stored *stored = &store.pages[rng_below(&rng, store.count)];
        struct state_page_image image = stored->image;
        uint8_t *bytes = memory_aligned(64, (image.bytes + 63u) & ~63u);
        memcpy(bytes, stored->data, image.bytes);
        bytes[rng_below(&rng, round % 2 ? 128 : image.bytes)] ^=
            (uint8_t)(1 + rng_below(&rng, 255));
        image.data = bytes;
        image.bytes -= round % 50 == 0 ? 8 : 0;
        struct state *other = fixture_open(1, NULL);
        leat_error err = {0};
        leat_status status = state_restore_page(other, &image, &err);
        assert_true(status == LEAT_OK || (status == LEAT_CORRUPT && err.message[0]));
        refused += status == LEAT_CORRUPT;
        fixture_digest(other);
        state_close(other);
        memory_free(bytes);
    }
    assert_true(refused > 1000);
    store_deinit(&store);
}

/* --- beyond the reserve the writer waits for the snapshot --- */

struct slow_sink {
    struct state_snapshot *snapshot;
    uint64_t bytes;
};

static leat_status slow_page(void *context, const struct state_page_image *image, leat_error *err) {
    (void)err;
    struct slow_sink *sink = context;
    sink->bytes += image->data ? image->bytes : 0;
    return LEAT_OK;
}

static void *slow_write(void *context) {
    struct slow_sink *sink = context;
    for (uint32_t group = 0; group < GROUPS; group++) {
        state_snapshot_pages(sink->snapshot, group, 0, slow_page, sink, NULL);
    }
    return NULL;
}

static void test_reserve(void **context) {
    (void)context;
    struct state_budget budget = {.bytes_max = INT64_MAX, .copies_max = 2 * PAGE_BYTES_MAX};
    struct state *state = fixture_open(GROUPS, &budget);
    for (uint32_t number = 0; number < 2000; number++) {
        fixture_put(state, number, 1000, 3);
    }
    for (int round = 0; round < 20; round++) {
        struct slow_sink sink = {.bytes = 0};
        struct thread thread;
        assert_int_equal(state_freeze(state, &sink.snapshot, NULL), LEAT_OK);
        assert_int_equal(thread_start(&thread, "snapshot", slow_write, &sink, NULL), LEAT_OK);
        for (uint32_t number = 0; number < 2000; number++) {
            fixture_put(state, number, 1000, round);
        }
        thread_join(&thread);
        assert_true(sink.bytes > 2000 * 1000);
        state_snapshot_release(sink.snapshot);
        assert_int_equal(budget.copies_used, 0);
    }
    state_close(state);
}

/* --- kinds: clocks and expiry --- */

static void kinds_put(struct state *state, uint32_t number, uint32_t kind, int64_t due_ms) {
    char text[16];
    struct slice id = {text, (size_t)snprintf(text, sizeof(text), "k%u", number)};
    struct state_key key = {hash_slice(id), id, kind, 0};
    void *data;
    state_enter(state, key.hash);
    assert_int_equal(state_put(state, &key, 8, &data, NULL), LEAT_OK);
    if (due_ms) {
        assert_int_equal(state_set_due(state, &key, due_ms), LEAT_OK);
    }
    state_leave(state, key.hash);
}

static void test_kinds(void **context) {
    (void)context;
    const struct state_kind kinds[] = {
        {STATE_EVENT_TIME, 0}, {STATE_APPEND_TIME, 1600}, {STATE_EVENT_TIME, 160}};
    struct state_options options = {.name = "kinds", .groups = 4, .kinds = kinds, .kind_count = 3};
    struct state *state;
    assert_int_equal(state_open(&options, &state, NULL), LEAT_OK);
    state_now(state, STATE_APPEND_TIME, 1000);
    state_now(state, STATE_EVENT_TIME, 500);
    state_now(state, STATE_EVENT_TIME, 400); /* never back */
    kinds_put(state, 1, 0, 700);
    kinds_put(state, 2, 1, 0);
    kinds_put(state, 3, 2, 0);
    struct state_key key;
    char id[STATE_ID_MAX + 1];
    int64_t due_ms;
    assert_false(state_next_due(state, 2599, &key, id, &due_ms));
    assert_int_equal(state_count(state), 3);
    state_now(state, STATE_APPEND_TIME, 2500);
    kinds_put(state, 2, 1, 0); /* lives on */
    assert_false(state_next_due(state, 2800, &key, id, &due_ms));
    assert_int_equal(state_count(state), 3);
    assert_false(state_next_due(state, 2500 + 1600 + 100, &key, id, &due_ms));
    assert_int_equal(state_count(state), 2);
    assert_true(state_next_due_in(state, STATE_EVENT_TIME, 0, 4, 700, &key, id, &due_ms));
    assert_string_equal(id, "k1");
    assert_int_equal(due_ms, 700);
    assert_false(state_next_due_in(state, STATE_EVENT_TIME, 0, 4, 700, &key, id, &due_ms));
    assert_int_equal(state_count(state), 1); /* number 3 expired on the way */
    state_close(state);
}

/* A writer's time is its groups' own. */
static void test_now_in(void **context) {
    (void)context;
    const struct state_kind kinds[] = {{STATE_APPEND_TIME, 1600}};
    struct state_options options = {.name = "kinds", .groups = 2, .kinds = kinds, .kind_count = 1};
    struct state *state;
    assert_int_equal(state_open(&options, &state, NULL), LEAT_OK);
    state_now_in(state, STATE_APPEND_TIME, 0, 1, 1000);
    state_now_in(state, STATE_APPEND_TIME, 1, 2, 5000);
    for (uint32_t number = 0; number < 64; number++) {
        kinds_put(state, number, 0, 0);
    }
    uint64_t later = state->group[1].count;
    struct state_key key;
    char id[STATE_ID_MAX + 1];
    int64_t due_ms;
    assert_true(later > 0 && later < 64);
    assert_false(state_next_due(state, 1000 + 1700, &key, id, &due_ms));
    assert_int_equal(state_count(state), later);
    assert_false(state_next_due(state, 5000 + 1700, &key, id, &due_ms));
    assert_int_equal(state_count(state), 0);
    state_close(state);
}

/* Each allocation fails once: a record is there with its end, or not at all. */
static void test_expiry_memory(void **context) {
    (void)context;
    const struct state_kind kinds[] = {{STATE_APPEND_TIME, 1600}};
    struct state_options options = {.name = "kinds", .groups = 1, .kinds = kinds, .kind_count = 1};
    for (uint64_t at = 1; at < 30; at++) {
        struct state *state;
        assert_int_equal(state_open(&options, &state, NULL), LEAT_OK);
        state_now(state, STATE_APPEND_TIME, 1000);
        int failures = 0;
        memory_fail_at(at);
        for (uint32_t number = 0; number < 100; number++) {
            char text[16];
            struct slice word = {text, (size_t)snprintf(text, sizeof(text), "k%u", number)};
            struct state_key key = {hash_slice(word), word, 0, 0};
            void *data;
            state_enter(state, key.hash);
            while (state_put(state, &key, 8, &data, NULL) != LEAT_OK) {
                assert_int_equal(state_count(state), number);
                failures++;
            }
            state_leave(state, key.hash);
        }
        memory_fail_at(0);
        assert_true(failures <= 1 && state_failed(state) == (failures > 0));
        struct state_key key;
        char id[STATE_ID_MAX + 1];
        int64_t due_ms;
        assert_int_equal(state_count(state), 100);
        assert_false(state_next_due(state, 3000, &key, id, &due_ms));
        assert_int_equal(state_count(state), 0);
        state_close(state);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),      cmocka_unit_test(test_nothing_changed),
        cmocka_unit_test(test_no_remains), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_reserve),    cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_now_in),     cmocka_unit_test(test_expiry_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
