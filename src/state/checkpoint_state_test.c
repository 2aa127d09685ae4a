/* States in checkpoints: real states against their digests over many incremental checkpoints and
 * restarts, ranges of key groups, the bytes of what was removed; and the folder that the version
 * before this one wrote (tests/golden/checkpoint_v1_*). */
#include "base/disk_fake.h"
#include "state/checkpoint_manifest.h"
#include "state/state_fixture.h"

#include <inttypes.h>

#define GOLDEN LEAT_SOURCE_DIR "/tests/golden/checkpoint_v1_"
#define FOLDER "data/checkpoints"

enum { GROUPS = 4, KEYS = 3000 };

static struct disk_fake *disk_make(void) {
    struct disk_fake *fake;
    assert_int_equal(disk_fake_create(1, &fake, NULL), LEAT_OK);
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(disk_make_folder(disk, "data", NULL), LEAT_OK);
    return fake;
}

static void state_store(struct disk *disk, uint64_t sequence, struct state *state,
                        struct checkpoint_chain *chain, bool whole) {
    struct checkpoint_identity identity = {.sequence = sequence, .key_groups = GROUPS};
    struct checkpoint_options options = {.chain = chain, .whole = whole};
    struct checkpoint_writer *writer;
    struct state_snapshot *snapshot;
    assert_int_equal(checkpoint_begin(disk, FOLDER, &identity, &options, &writer, NULL), LEAT_OK);
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    assert_int_equal(checkpoint_state(writer, "fixture", snapshot, GROUPS, NULL), LEAT_OK);
    state_snapshot_release(snapshot);
    assert_int_equal(checkpoint_commit(writer, NULL), LEAT_OK);
    assert_int_equal(checkpoint_clean(disk, FOLDER, 2, NULL), LEAT_OK);
}

/* A state out of the groups [first, end) of a checkpoint; the chain may be NULL. */
static struct state *state_load(struct disk *disk, uint64_t sequence, uint32_t first, uint32_t end,
                                struct checkpoint_chain *chain) {
    struct checkpoint *checkpoint;
    leat_error err = {.message = ""};
    struct state *state = fixture_open(GROUPS, NULL);
    assert_int_equal(checkpoint_open(disk, FOLDER, sequence, &checkpoint, &err), LEAT_OK);
    if (checkpoint_restore_state(checkpoint, "fixture", first, end, state, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    if (chain) {
        assert_int_equal(checkpoint_chain_adopt(chain, checkpoint, NULL), LEAT_OK);
    }
    checkpoint_close(checkpoint);
    return state;
}

/* Groups inside the range are those of `whole`, the others are empty. */
static void range_check(struct disk *disk, uint64_t sequence, struct state *whole, uint32_t first,
                        uint32_t end) {
    struct state *part = state_load(disk, sequence, first, end, NULL);
    for (uint32_t group = 0; group < GROUPS; group++) {
        struct bytes have;
        struct bytes wanted;
        fixture_block(part, group, &have);
        fixture_block(whole, group, &wanted);
        bool in_range = group >= first && group < end;
        bool same = have.size == wanted.size && memcmp(have.data, wanted.data, have.size) == 0;
        assert_true(in_range ? same : have.size < wanted.size);
        bytes_deinit(&have);
        bytes_deinit(&wanted);
    }
    state_close(part);
}

static void state_change(struct state *state, struct rng *rng, int count) {
    for (int i = 0; i < count; i++) {
        uint32_t number = (uint32_t)rng_below(rng, KEYS);
        if (rng_below(rng, 4) == 0) {
            fixture_remove(state, number);
        } else {
            fixture_put(state, number, (uint32_t)rng_below(rng, 300), (int)rng_below(rng, 256));
            fixture_set_due(state, number, (int64_t)rng_below(rng, 1000));
        }
    }
}

static void test_lives(void **context) {
    (void)context;
    struct rng rng;
    rng_init(&rng, 5);
    struct disk_fake *fake = disk_make();
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain;
    assert_int_equal(checkpoint_chain_create(&chain, NULL), LEAT_OK);
    struct state *state = fixture_open(GROUPS, NULL);
    state_change(state, &rng, 6000);
    for (uint64_t round = 1; round <= 25; round++) {
        state_store(disk, round, state, chain, rng_below(&rng, 10) == 0);
        struct state *again = state_load(disk, round, 0, GROUPS, NULL);
        assert_true(fixture_digest(again) == fixture_digest(state));
        assert_true(state_count(again) == state_count(state));
        state_close(again);
        if (round % 8 == 0) {
            range_check(disk, round, state, 1, 3);
            range_check(disk, round, state, 0, 0);
        }
        if (rng_below(&rng, 4) == 0) { /* a restart: the next one refers to these pages */
            state_close(state);
            state = state_load(disk, round, 0, GROUPS, chain);
        }
        state_change(state, &rng, round % 3 == 0 ? 2000 : 5);
    }
    state_close(state);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

/* Timers are there after a restart, in their order. */
static void test_due_times(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make();
    struct disk *disk = disk_fake_disk(fake);
    struct state *state = fixture_open(GROUPS, NULL);
    for (uint32_t number = 0; number < 50; number++) {
        fixture_put(state, number, 10, 1);
        fixture_set_due(state, number, 100 - number);
    }
    state_store(disk, 1, state, NULL, false);
    struct state *again = state_load(disk, 1, 0, GROUPS, NULL);
    for (uint32_t number = 50; number-- > 0;) {
        struct state_key wanted_key;
        struct state_key key;
        char wanted[STATE_ID_MAX + 1];
        char id[STATE_ID_MAX + 1];
        int64_t due_ms;
        assert_true(state_next_due(state, 1000, &wanted_key, wanted, &due_ms));
        assert_true(state_next_due(again, 1000, &key, id, &due_ms));
        assert_int_equal(due_ms, 100 - number);
        assert_true(key.hash == wanted_key.hash && key.part == wanted_key.part);
    }
    state_close(again);
    state_close(state);
    disk_fake_destroy(fake);
}

/* --- erasure --- */

static bool bytes_contain(const uint8_t *data, size_t size, const char *text) {
    for (size_t i = 0; i + strlen(text) <= size; i++) {
        if (memcmp(data + i, text, strlen(text)) == 0) {
            return true;
        }
    }
    return false;
}

static bool stored_contains(struct disk_fake *fake, const char *text) {
    bool found = false;
    for (uint64_t sequence = 0; sequence < 20; sequence++) {
        for (uint32_t generation = 0; generation < 3; generation++) {
            char path[PATH_BYTES_MAX];
            struct pages_file file = {.sequence = sequence, .generation = generation};
            assert_int_equal(checkpoint_file_path(path, FOLDER, "fixture", &file, NULL), LEAT_OK);
            size_t size;
            const uint8_t *content = disk_fake_content(fake, path, &size);
            found = found || (content && bytes_contain(content, size, text));
        }
    }
    return found;
}

static void person_put(struct state *state, const char *id, uint64_t part, const char *data) {
    struct state_key key = {
        .hash = hash_slice(slice_of(id)), .id = slice_of(id), .kind = 1, .part = part};
    void *room;
    state_enter(state, key.hash);
    assert_int_equal(state_put(state, &key, (uint32_t)strlen(data), &room, NULL), LEAT_OK);
    memcpy(room, data, strlen(data));
    state_leave(state, key.hash);
}

/* Removed records, records that became shorter, and records that moved: none of their bytes is in
 * the next whole checkpoint, free slots included. */
static void test_erased_bytes_are_gone(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make();
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain;
    assert_int_equal(checkpoint_chain_create(&chain, NULL), LEAT_OK);
    struct state *state = fixture_open(GROUPS, NULL);
    for (uint32_t number = 0; number < 400; number++) {
        fixture_put(state, number, 40, 7);
    }
    const char *id = "the-person-to-forget";
    uint64_t hash = hash_slice(slice_of(id));
    for (uint64_t part = 0; part < 20; part++) {
        person_put(state, id, part, "what this person did, in words");
    }
    person_put(state, "another-person", 0, "a long record whose SECRET END goes away");
    state_store(disk, 10, state, chain, false);
    assert_true(stored_contains(fake, id));
    assert_true(stored_contains(fake, "SECRET END"));
    state_enter(state, hash);
    assert_int_equal(state_remove_all(state, hash, slice_of(id)), 20);
    state_leave(state, hash);
    person_put(state, "another-person", 0, "short");
    state_store(disk, 11, state, chain, true);
    assert_int_equal(checkpoint_drop_before(disk, FOLDER, 11, NULL), LEAT_OK);
    assert_true(stored_contains(fake, "another-person"));
    assert_false(stored_contains(fake, id));
    assert_false(stored_contains(fake, "what this person did"));
    assert_false(stored_contains(fake, "SECRET END"));
    state_close(state);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

/* --- the version before --- */

static void golden_copy(struct disk_fake *fake, const char *from, const char *to) {
    char path[PATH_BYTES_MAX];
    struct bytes content;
    bytes_init(&content);
    snprintf(path, sizeof(path), GOLDEN "%s", from);
    assert_int_equal(disk_get(disk_real(), path, 1 << 20, &content, NULL), LEAT_OK);
    snprintf(path, sizeof(path), FOLDER "/00000000000000000020/%s", to);
    assert_int_equal(disk_fake_set(fake, path, content.data, content.size), LEAT_OK);
    bytes_deinit(&content);
}

static void test_version_1(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make();
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(disk_make_folder(disk, FOLDER, NULL), LEAT_OK);
    assert_int_equal(disk_make_folder(disk, FOLDER "/00000000000000000020", NULL), LEAT_OK);
    golden_copy(fake, "manifest.txt", "MANIFEST");
    golden_copy(fake, "fixture.blocks", "fixture");
    golden_copy(fake, "model.bin", "model");
    struct checkpoint_chain *chain;
    assert_int_equal(checkpoint_chain_create(&chain, NULL), LEAT_OK);
    struct state *state = state_load(disk, 20, 0, GROUPS, chain);
    assert_true(fixture_digest(state) == 0xff0be140c60af89f); /* as it was printed then */
    assert_int_equal(state_count(state), 40);
    range_check(disk, 20, state, 0, 1);
    range_check(disk, 20, state, 2, 4);
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_newest(disk, FOLDER, &checkpoint, NULL, NULL), LEAT_OK);
    assert_string_equal(checkpoint_get_note(checkpoint, "kernel"), "avx2, 8 lanes");
    uint8_t model[333];
    assert_int_equal(checkpoint_read_part(checkpoint, "model", NULL), LEAT_OK);
    assert_int_equal(checkpoint_read(checkpoint, model, sizeof(model), NULL), LEAT_OK);
    assert_int_equal(model[5], 35);
    assert_int_equal(checkpoint_restore_state(checkpoint, "other", 0, GROUPS, state, NULL),
                     LEAT_NOT_FOUND);
    checkpoint_close(checkpoint);
    /* The next one is whole and of the new version; the one after it is not. */
    state_store(disk, 21, state, chain, false);
    fixture_put(state, 3, 50, 1);
    state_store(disk, 22, state, chain, false);
    struct state *again = state_load(disk, 22, 0, GROUPS, NULL);
    assert_true(fixture_digest(again) == fixture_digest(state));
    state_close(again);
    state_close(state);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_due_times),
        cmocka_unit_test(test_erased_bytes_are_gone),
        cmocka_unit_test(test_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
