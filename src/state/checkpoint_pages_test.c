/* Page files against a plain array of pages: every kept checkpoint gives the pages that were, at
 * every power cut, after every failure, after restarts and cleaning; all files together stay small;
 * damage is refused. With --write-golden the golden file is written anew. */
#include "base/disk_fake.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "state/checkpoint_reader.h"
#include "state/checkpoint_writer.h"

#include <inttypes.h>

#define GOLDEN LEAT_SOURCE_DIR "/tests/golden/pages_v1.part"
#define FOLDER "data/checkpoints"

enum { GROUPS = 3, PAGES = 20, BYTES_MAX = 4000 };

/* --- a state of pages, as the contract of state.h has it --- */

struct fake_page {
    bool alive, dirty;
    uint32_t bytes;
    uint64_t version;
    uint64_t seed;
};

struct source {
    uint64_t version;
    struct fake_page pages[GROUPS][PAGES];
};

static struct rng rng_make(uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    return rng;
}

static void page_change(struct source *source, struct rng *rng) {
    struct fake_page *page = &source->pages[rng_below(rng, GROUPS)][rng_below(rng, PAGES)];
    uint64_t seed = rng_next(rng);
    page->alive = seed % 8 != 0;
    page->dirty = true;
    page->bytes = 1 + (uint32_t)(seed >> 8) % BYTES_MAX;
    page->seed = seed;
}

static void source_change(struct source *source, struct rng *rng, int count) {
    for (int i = 0; i < count; i++) {
        page_change(source, rng);
    }
}

static void source_freeze(struct source *source) {
    source->version++;
    for (int g = 0; g < GROUPS; g++) {
        for (int p = 0; p < PAGES; p++) {
            struct fake_page *page = &source->pages[g][p];
            page->version = page->dirty ? source->version : page->version;
            page->dirty = false;
        }
    }
}

static void page_fill(const struct fake_page *page, uint8_t out[BYTES_MAX]) {
    for (uint32_t i = 0; i < BYTES_MAX / 8; i++) {
        uint64_t word = hash_mix(page->seed, i);
        memcpy(out + (size_t)i * 8, &word, sizeof(word));
    }
}

static leat_status pages_write(struct checkpoint_writer *writer, const struct source *source,
                               leat_error *err) {
    uint64_t since;
    TRY(checkpoint_pages(writer, "join", source->version, &since, err));
    for (uint32_t g = 0; g < GROUPS; g++) {
        for (uint32_t p = 0; p < PAGES; p++) {
            const struct fake_page *page = &source->pages[g][p];
            uint8_t data[BYTES_MAX];
            page_fill(page, data);
            struct state_page_image image = {.group = g,
                                             .number = p * 7,
                                             .version = page->version,
                                             .data = page->version > since ? data : NULL,
                                             .bytes = page->bytes};
            if (page->alive) {
                TRY(checkpoint_page(writer, &image, err));
            }
        }
    }
    return LEAT_OK;
}

static leat_status source_write(struct disk *disk, uint64_t sequence, const struct source *source,
                                struct checkpoint_chain *chain, bool whole, leat_error *err) {
    struct checkpoint_identity identity = {
        .log_id = 7, .sequence = sequence, .key_groups = GROUPS, .now_ms = 5};
    struct checkpoint_options options = {.chain = chain, .whole = whole};
    struct checkpoint_writer *writer;
    TRY(checkpoint_begin(disk, FOLDER, &identity, &options, &writer, err));
    leat_status status = pages_write(writer, source, err);
    if (status == LEAT_OK) {
        status = checkpoint_part(writer, "model", err);
    }
    if (status == LEAT_OK) {
        status = checkpoint_write(writer, &sequence, sizeof(sequence), err);
    }
    if (status < 0) {
        checkpoint_abandon(writer);
        return status;
    }
    return checkpoint_commit(writer, err);
}

/* --- reading back --- */

struct verify {
    const struct source *source;
    uint32_t at, end; /* group * PAGES + page */
    bool right;
};

static void verify_pass_dead(struct verify *verify) {
    while (verify->at < verify->end &&
           !verify->source->pages[verify->at / PAGES][verify->at % PAGES].alive) {
        verify->at++;
    }
}

static leat_status verify_page(void *context, const struct state_page_image *image,
                               leat_error *err) {
    (void)err;
    struct verify *verify = context;
    verify_pass_dead(verify);
    uint8_t data[BYTES_MAX];
    const struct fake_page *page = &verify->source->pages[verify->at / PAGES][verify->at % PAGES];
    page_fill(page, data);
    verify->right = verify->right && verify->at < verify->end &&
                    image->group == verify->at / PAGES && image->number == verify->at % PAGES * 7 &&
                    image->version == page->version && image->bytes == page->bytes &&
                    memcmp(image->data, data, page->bytes) == 0;
    verify->at++;
    return LEAT_OK;
}

/* LEAT_OK: the pages of these groups are those of the source. Others must not be called right. */
static leat_status source_verify(struct checkpoint *checkpoint, const struct source *source,
                                 uint32_t first, uint32_t end, leat_error *err) {
    struct verify verify = {
        .source = source, .at = first * PAGES, .end = end * PAGES, .right = true};
    TRY(checkpoint_read_pages(checkpoint, "join", first, end, verify_page, &verify, err));
    verify_pass_dead(&verify);
    assert_true(verify.right);
    assert_int_equal(verify.at, verify.end);
    uint64_t sequence;
    TRY(checkpoint_read_part(checkpoint, "model", err));
    TRY(checkpoint_read(checkpoint, &sequence, sizeof(sequence), err));
    assert_int_equal(sequence, checkpoint_about(checkpoint)->sequence);
    return LEAT_OK;
}

/* Opens a checkpoint and compares; LEAT_NOT_FOUND: there is none. */
static leat_status stored_verify(struct disk *disk, uint64_t sequence, const struct source *source,
                                 leat_error *err) {
    struct checkpoint *checkpoint;
    leat_status status = checkpoint_open(disk, FOLDER, sequence, &checkpoint, err);
    if (status == LEAT_OK) {
        status = source_verify(checkpoint, source, 0, GROUPS, err);
    }
    checkpoint_close(checkpoint);
    return status;
}

static void chain_restart(struct disk *disk, uint64_t sequence, struct checkpoint_chain *chain) {
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_open(disk, FOLDER, sequence, &checkpoint, NULL), LEAT_OK);
    assert_int_equal(checkpoint_chain_adopt(chain, checkpoint, NULL), LEAT_OK);
    checkpoint_close(checkpoint);
}

static struct disk_fake *disk_make(uint64_t seed) {
    struct disk_fake *fake;
    assert_int_equal(disk_fake_create(seed, &fake, NULL), LEAT_OK);
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(disk_make_folder(disk, "data", NULL), LEAT_OK);
    assert_int_equal(disk_sync_folder(disk, "/", NULL), LEAT_OK);
    return fake;
}

static struct checkpoint_chain *chain_make(void) {
    struct checkpoint_chain *chain;
    assert_int_equal(checkpoint_chain_create(&chain, NULL), LEAT_OK);
    return chain;
}

static uint64_t live_bytes(const struct source *source) {
    uint64_t bytes = 0;
    for (int i = 0; i < GROUPS * PAGES; i++) {
        const struct fake_page *page = &source->pages[i / PAGES][i % PAGES];
        bytes += page->alive ? pages_stored(page->bytes) : 0;
    }
    return bytes;
}

/* --- a long life --- */

/* Many checkpoints with changes of many sizes, restarts between; the newest two are kept. */
static void life(uint64_t seed) {
    struct disk_fake *fake = disk_make(seed);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    struct rng rng = rng_make(seed);
    struct source now = {.version = 0};
    struct source before = now;
    source_change(&now, &rng, 200);
    uint64_t sequence = 10;
    for (int round = 0; round < 60; round++) {
        bool same = round > 0 && rng_below(&rng, 8) == 0; /* a position's second checkpoint */
        bool whole = rng_below(&rng, 15) == 0;
        source_freeze(&now);
        sequence += same ? 0 : 1 + rng_below(&rng, 100);
        leat_error err = {.message = ""};
        assert_int_equal(source_write(disk, sequence, &now, chain, whole, &err), LEAT_OK);
        assert_int_equal(checkpoint_clean(disk, FOLDER, 2, &err), LEAT_OK);
        assert_int_equal(stored_verify(disk, sequence, &now, &err), LEAT_OK);
        if (whole) {
            assert_int_equal(checkpoint_drop_before(disk, FOLDER, sequence, &err), LEAT_OK);
            before = now;
        }
        struct checkpoint *older;
        if (checkpoint_newest_before(disk, FOLDER, sequence, &older, NULL, &err) == LEAT_OK) {
            assert_false(whole);
            if (!same) { /* else it is two changes back */
                assert_int_equal(source_verify(older, &before, 0, GROUPS, &err), LEAT_OK);
            }
            checkpoint_close(older);
        }
        before = now;
        if (rng_below(&rng, 6) == 0) {
            chain_restart(disk, sequence, chain);
        }
        source_change(&now, &rng, (int)rng_below(&rng, round % 3 == 0 ? 60 : 6));
    }
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

static void test_lives(void **context) {
    (void)context;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        life(seed);
    }
}

/* Some pages change, evenly, in each of many checkpoints: all files together stay at about twice
 * what is alive, and what is written at a third above what changed. */
static void test_disk_use(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(3);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    struct rng rng = rng_make(3);
    struct source source = {.version = 0};
    source_change(&source, &rng, 500);
    uint64_t files = 0;
    uint64_t live = 0;
    for (uint64_t round = 1; round <= 200; round++) {
        source_freeze(&source);
        assert_int_equal(source_write(disk, round, &source, chain, false, NULL), LEAT_OK);
        assert_int_equal(checkpoint_clean(disk, FOLDER, 1, NULL), LEAT_OK);
        const struct pages_directory *pages = chain_find(chain, "join");
        assert_true(pages->file_count <= PAGES_FILES_MAX);
        for (int f = 0; f < pages->file_count && round > 50; f++) {
            files += pages->files[f].bytes;
        }
        live += round > 50 ? live_bytes(&source) : 0;
        if (round % 20 == 0) {
            assert_int_equal(stored_verify(disk, round, &source, NULL), LEAT_OK);
        }
        source_change(&source, &rng, 6);
    }
    assert_true(files < live * 5 / 2);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

/* A state of many small pages of which one changes in each checkpoint, in turn, so that each leaves
 * a file with something alive: their number stays bounded. */
enum { MANY = 500 };

static leat_status many_write(struct disk *disk, uint64_t round, const uint64_t versions[MANY],
                              struct checkpoint_chain *chain) {
    struct checkpoint_identity identity = {.sequence = round, .key_groups = 1};
    struct checkpoint_options options = {.chain = chain};
    struct checkpoint_writer *writer;
    uint64_t since;
    TRY(checkpoint_begin(disk, FOLDER, &identity, &options, &writer, NULL));
    leat_status status = checkpoint_pages(writer, "join", round, &since, NULL);
    for (uint32_t i = 0; i < MANY && status == LEAT_OK; i++) {
        bool changed = versions[i] > since;
        struct state_page_image image = {.number = i,
                                         .version = versions[i],
                                         .data = changed ? &versions[i] : NULL,
                                         .bytes = sizeof(versions[i])};
        status = checkpoint_page(writer, &image, NULL);
    }
    return checkpoint_commit(writer, NULL);
}

static leat_status many_page(void *context, const struct state_page_image *image, leat_error *err) {
    (void)err;
    const uint64_t *versions = context;
    assert_int_equal(image->version, versions[image->number]);
    assert_memory_equal(image->data, &versions[image->number], sizeof(*versions));
    return LEAT_OK;
}

static void test_many_files(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(4);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    uint64_t versions[MANY];
    int most = 0;
    for (int i = 0; i < MANY; i++) {
        versions[i] = 1;
    }
    for (uint64_t round = 1; round <= MANY; round++) {
        versions[round - 1] = round;
        assert_int_equal(many_write(disk, round, versions, chain), LEAT_OK);
        assert_int_equal(checkpoint_clean(disk, FOLDER, 1, NULL), LEAT_OK);
        int count = chain_find(chain, "join")->file_count;
        most = count > most ? count : most;
    }
    assert_in_range(most, 20, PAGES_FILES_MAX);
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_open(disk, FOLDER, MANY, &checkpoint, NULL), LEAT_OK);
    assert_int_equal(checkpoint_read_pages(checkpoint, "join", 0, 1, many_page, versions, NULL),
                     LEAT_OK);
    checkpoint_close(checkpoint);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

/* Every range of groups. */
static void test_subsets(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(5);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    struct rng rng = rng_make(5);
    struct source source = {.version = 0};
    for (uint64_t round = 1; round <= 4; round++) {
        source_change(&source, &rng, 30);
        source_freeze(&source);
        assert_int_equal(source_write(disk, round, &source, chain, false, NULL), LEAT_OK);
    }
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_newest(disk, FOLDER, &checkpoint, NULL, NULL), LEAT_OK);
    for (uint32_t first = 0; first <= GROUPS; first++) {
        for (uint32_t end = first; end <= GROUPS; end++) {
            assert_int_equal(source_verify(checkpoint, &source, first, end, NULL), LEAT_OK);
        }
    }
    uint64_t pages;
    uint64_t bytes;
    assert_int_equal(checkpoint_count_pages(checkpoint, "join", &pages, &bytes, NULL), LEAT_OK);
    assert_in_range(bytes, 1, live_bytes(&source));
    assert_int_equal(checkpoint_count_pages(checkpoint, "model", &pages, &bytes, NULL),
                     LEAT_NOT_FOUND);
    assert_int_equal(checkpoint_read_part(checkpoint, "join", NULL), LEAT_NOT_FOUND);
    assert_int_equal(checkpoint_part_count(checkpoint), 2);
    struct checkpoint_part_about about = checkpoint_part_at(checkpoint, 0);
    assert_true(about.pages && about.version == 4 && about.referred_files > 0);
    checkpoint_close(checkpoint);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

/* --- power cuts and failures --- */

enum { STEPS = 3 };

/* What a process does: checkpoints 30, 40 and 50 (whole, for an erasure), each with its cleaning.
 * `*at`: the step that failed. */
struct story {
    struct source sources[STEPS + 2]; /* of 10, 20, 30, 40, 50 */
    struct checkpoint_chain *chain;
};

static leat_status story_step(struct disk *disk, struct story *story, int step, leat_error *err) {
    uint64_t sequence = 10 + 10 * (uint64_t)step;
    bool whole = step == STEPS + 1;
    TRY(source_write(disk, sequence, &story->sources[step], story->chain, whole, err));
    return whole ? checkpoint_drop_before(disk, FOLDER, sequence, err)
                 : checkpoint_clean(disk, FOLDER, 2, err);
}

static void story_begin(struct disk *disk, struct story *story, uint64_t seed) {
    struct rng rng = rng_make(seed);
    struct source source = {.version = 0};
    source_change(&source, &rng, 100);
    story->chain = chain_make();
    for (int step = 0; step < STEPS + 2; step++) {
        source_freeze(&source);
        story->sources[step] = source;
        source_change(&source, &rng, 12);
        if (step < 2) {
            assert_int_equal(story_step(disk, story, step, NULL), LEAT_OK);
        }
    }
}

/* Everything that opens is what it was; the newest is `least` or later. Returns its step. */
static int story_check(struct disk *disk, struct story *story, int least) {
    int newest = -1;
    for (int step = 0; step < STEPS + 2; step++) {
        leat_error err = {.message = ""};
        leat_status status =
            stored_verify(disk, 10 + 10 * (uint64_t)step, &story->sources[step], &err);
        if (status != LEAT_OK && status != LEAT_NOT_FOUND) {
            fail_msg("checkpoint %d: %s", 10 + 10 * step, err.message);
        }
        newest = status == LEAT_OK ? step : newest;
    }
    assert_true(newest >= least);
    return newest;
}

static void cut_once(uint64_t seed, uint64_t after, bool *reached) {
    static struct story story;
    struct disk_fake *fake = disk_make(seed);
    struct disk *disk = disk_fake_disk(fake);
    story_begin(disk, &story, seed);
    disk_fake_cut_at(fake, disk_fake_steps(fake) + after);
    int step = 2;
    while (step < STEPS + 2 && story_step(disk, &story, step, NULL) == LEAT_OK) {
        step++;
    }
    *reached = disk_fake_is_cut(fake);
    disk_fake_cut_at(fake, 0);
    disk_fake_restart(fake);
    int newest = story_check(disk, &story, step - 1);
    /* Life goes on from what is there. */
    chain_restart(disk, 10 + 10 * (uint64_t)newest, story.chain);
    for (step = newest + 1; step < STEPS + 2; step++) {
        assert_int_equal(story_step(disk, &story, step, NULL), LEAT_OK);
        assert_int_equal(story_check(disk, &story, step), step);
    }
    checkpoint_chain_destroy(story.chain);
    disk_fake_destroy(fake);
}

static void test_power_cuts(void **context) {
    (void)context;
    for (uint64_t seed = 1; seed <= (getenv("LEAT_TEST_LONG") ? 100 : 2); seed++) {
        bool reached = true;
        for (uint64_t after = 1; reached; after++) {
            cut_once(seed, after, &reached);
        }
    }
}

/* Each step fails once in each way; the process goes on with the next checkpoint. */
static bool fail_once(enum disk_fault fault, uint64_t after) {
    static struct story story;
    struct disk_fake *fake = disk_make(after);
    struct disk *disk = disk_fake_disk(fake);
    story_begin(disk, &story, 1);
    bool failed = false;
    for (int step = 2; step < STEPS + 2; step++) {
        leat_error err = {.message = ""};
        uint64_t begun = disk_fake_steps(fake);
        disk_fake_fail_at(fake, after > 0 ? begun + after : 0, fault);
        leat_status status = story_step(disk, &story, step, &err);
        disk_fake_fail_at(fake, 0, DISK_FAULT_IO);
        uint64_t took = disk_fake_steps(fake) - begun;
        after = after > took ? after - took : 0;
        failed = failed || status < 0;
        assert_int_equal(err.status, status < 0 ? status : 0);
        story_check(disk, &story, status < 0 ? step - 1 : step);
    }
    assert_int_equal(story_step(disk, &story, STEPS + 1, NULL), LEAT_OK);
    disk_fake_cut_at(fake, disk_fake_steps(fake) + 1);
    disk_sync_folder(disk, "/", NULL);
    disk_fake_cut_at(fake, 0);
    disk_fake_restart(fake);
    story_check(disk, &story, STEPS + 1);
    checkpoint_chain_destroy(story.chain);
    disk_fake_destroy(fake);
    return failed;
}

static void test_failures(void **context) {
    (void)context;
    for (int fault = 0; fault < DISK_FAULTS; fault++) {
        int passed = 0; /* steps whose failure does not matter, one behind the other */
        uint64_t after = 1;
        for (; passed < 20; after++) {
            passed = fail_once((enum disk_fault)fault, after) ? 0 : passed + 1;
        }
        assert_true(after > 100);
    }
}

/* --- erasure --- */

static bool bytes_contain(const struct bytes *bytes, const void *what, size_t size) {
    for (size_t i = 0; i + size <= bytes->size; i++) {
        if (memcmp(bytes->data + i, what, size) == 0) {
            return true;
        }
    }
    return false;
}

/* After a whole checkpoint and drop_before, no byte of a page from before is in any file. */
static leat_status file_search(struct disk *disk, const char *folder, const void *what,
                               size_t size) {
    struct bytes sequences;
    bytes_init(&sequences);
    leat_status found = LEAT_NOT_FOUND;
    assert_int_equal(checkpoint_sequences(disk, folder, &sequences, NULL), LEAT_OK);
    for (size_t i = 0; i < checkpoint_sequence_count(&sequences); i++) {
        for (uint32_t generation = 0; generation < 4; generation++) {
            char path[PATH_BYTES_MAX];
            struct pages_file file = {.sequence = checkpoint_sequence_at(&sequences, i),
                                      .generation = generation};
            struct bytes content;
            bytes_init(&content);
            assert_int_equal(checkpoint_file_path(path, folder, "join", &file, NULL), LEAT_OK);
            if (disk_get(disk, path, 1 << 24, &content, NULL) == LEAT_OK &&
                bytes_contain(&content, what, size)) {
                found = LEAT_OK;
            }
            bytes_deinit(&content);
        }
    }
    bytes_deinit(&sequences);
    return found;
}

static void test_erasure(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(9);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    struct rng rng = rng_make(9);
    struct source source = {.version = 0};
    source_change(&source, &rng, 300);
    struct fake_page *person = &source.pages[1][7];
    *person = (struct fake_page){.alive = true, .dirty = true, .bytes = 500, .seed = 77};
    uint8_t secret[BYTES_MAX];
    page_fill(person, secret);
    source_freeze(&source);
    assert_int_equal(source_write(disk, 10, &source, chain, false, NULL), LEAT_OK);
    person->seed = 78;
    person->dirty = true;
    source_freeze(&source);
    assert_int_equal(source_write(disk, 20, &source, chain, false, NULL), LEAT_OK);
    /* The newer one refers to the older file, so it stays, and so do the bytes. */
    assert_int_equal(checkpoint_drop_before(disk, FOLDER, 20, NULL), LEAT_OK);
    assert_int_equal(file_search(disk, FOLDER, secret, 400), LEAT_OK);
    assert_int_equal(checkpoint_drop_before(disk, FOLDER, 21, NULL), LEAT_INVALID);
    assert_int_equal(stored_verify(disk, 20, &source, NULL), LEAT_OK);
    assert_int_equal(source_write(disk, 20, &source, chain, true, NULL), LEAT_OK);
    assert_int_equal(checkpoint_drop_before(disk, FOLDER, 20, NULL), LEAT_OK);
    assert_int_equal(file_search(disk, FOLDER, secret, 400), LEAT_NOT_FOUND);
    assert_int_equal(stored_verify(disk, 20, &source, NULL), LEAT_OK);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

/* --- damage --- */

static void damaged_check(struct disk *disk, const struct source *source, bool whole) {
    leat_error err = {.message = ""};
    leat_status status = stored_verify(disk, 20, source, &err);
    assert_int_equal(status, whole ? LEAT_OK : LEAT_CORRUPT);
    assert_true(whole || strstr(err.message, FOLDER "/000000000000000000"));
}

/* A byte that no page, directory or head covers does not exist, but in images of the older file
 * that are no longer referred to. */
static void damage_file(struct disk_fake *fake, const char *path, const struct source *source,
                        bool all) {
    struct disk *disk = disk_fake_disk(fake);
    struct bytes content;
    bytes_init(&content);
    assert_int_equal(disk_get(disk, path, 1 << 20, &content, NULL), LEAT_OK);
    int harmless = 0;
    for (size_t at = 0; at < content.size; at += all ? 1 + at % 5 : 97) {
        content.data[at] ^= 0x04;
        assert_int_equal(disk_fake_set(fake, path, content.data, content.size), LEAT_OK);
        if (all) {
            damaged_check(disk, source, false);
        } else {
            leat_status status = stored_verify(disk, 20, source, NULL);
            assert_true(status == LEAT_OK || status == LEAT_CORRUPT);
            harmless += status == LEAT_OK ? 1 : 0;
        }
        content.data[at] ^= 0x04;
    }
    assert_true(all || harmless > 0);
    for (size_t size = 0; size < content.size; size += 1 + size / 3) {
        assert_int_equal(disk_fake_set(fake, path, content.data, size), LEAT_OK);
        damaged_check(disk, source, false);
    }
    assert_int_equal(disk_fake_set(fake, path, content.data, content.size), LEAT_OK);
    damaged_check(disk, source, true);
    bytes_deinit(&content);
}

static struct source small_source(void) {
    struct source source = {.version = 0};
    for (int i = 0; i < 6; i++) {
        source.pages[i % GROUPS][i] = (struct fake_page){
            .alive = true, .dirty = true, .bytes = 50 + 9 * (uint32_t)i, .seed = (uint64_t)i};
    }
    source_freeze(&source);
    return source;
}

/* A good file of the same size and version, but of another checkpoint. */
static void exchange_file(struct disk_fake *fake, const char *path, const struct source *source) {
    struct disk_fake *other = disk_make(11);
    struct bytes own;
    struct bytes content;
    struct source changed = *source;
    struct checkpoint_chain *chain = chain_make();
    struct source first = small_source();
    bytes_init(&own);
    bytes_init(&content);
    assert_int_equal(source_write(disk_fake_disk(other), 10, &first, chain, false, NULL), LEAT_OK);
    changed.pages[1][1].seed = 1234;
    assert_int_equal(source_write(disk_fake_disk(other), 20, &changed, chain, false, NULL),
                     LEAT_OK);
    assert_int_equal(disk_get(disk_fake_disk(other), path, 1 << 20, &content, NULL), LEAT_OK);
    assert_int_equal(disk_get(disk_fake_disk(fake), path, 1 << 20, &own, NULL), LEAT_OK);
    assert_int_equal(content.size, own.size);
    assert_int_equal(disk_fake_set(fake, path, content.data, content.size), LEAT_OK);
    damaged_check(disk_fake_disk(fake), source, false);
    assert_int_equal(disk_fake_set(fake, path, own.data, own.size), LEAT_OK);
    damaged_check(disk_fake_disk(fake), source, true);
    checkpoint_chain_destroy(chain);
    bytes_deinit(&content);
    bytes_deinit(&own);
    disk_fake_destroy(other);
}

static void test_damage(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(7);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    struct source source = small_source();
    assert_int_equal(source_write(disk, 10, &source, chain, false, NULL), LEAT_OK);
    source.pages[1][1].dirty = true;
    source.pages[1][1].seed = 99;
    source.pages[2][5].dirty = true;
    source_freeze(&source);
    assert_int_equal(source_write(disk, 20, &source, chain, false, NULL), LEAT_OK);
    damage_file(fake, FOLDER "/00000000000000000020/join", &source, true);
    damage_file(fake, FOLDER "/00000000000000000010/join", &source, false);
    exchange_file(fake, FOLDER "/00000000000000000020/join", &source);
    assert_int_equal(disk_remove(disk, FOLDER "/00000000000000000010/join", NULL), LEAT_OK);
    damaged_check(disk, &source, false);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

/* An old file that rots before its pages are moved: that checkpoint fails and says where, the next
 * one is whole and mends it. */
static void test_rot_is_mended(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(8);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    struct source source = small_source();
    assert_int_equal(source_write(disk, 1, &source, chain, false, NULL), LEAT_OK);
    size_t size;
    uint8_t *content = disk_fake_content(fake, FOLDER "/00000000000000000001/join", &size);
    for (size_t i = 40; i < size; i++) {
        content[i] ^= 0xFF;
    }
    leat_error err = {.message = ""};
    leat_status status = LEAT_OK;
    uint64_t sequence = 1;
    for (; status == LEAT_OK && sequence < 50; sequence++) {
        source.pages[1][1].dirty = true;
        source.pages[2][2].dirty = true;
        source_freeze(&source);
        status = source_write(disk, sequence + 1, &source, chain, false, &err);
    }
    assert_int_equal(status, LEAT_CORRUPT);
    assert_non_null(strstr(err.message, "00000000000000000001/join"));
    assert_non_null(strstr(err.message, "offset"));
    assert_int_equal(source_write(disk, sequence + 1, &source, chain, false, &err), LEAT_OK);
    assert_int_equal(stored_verify(disk, sequence + 1, &source, &err), LEAT_OK);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

/* --- misuse --- */

static leat_status pages_try(struct disk *disk, struct checkpoint_chain *chain, uint64_t version,
                             int count, const struct state_page_image *images) {
    struct checkpoint_identity identity = {.sequence = 5, .key_groups = GROUPS};
    struct checkpoint_options options = {.chain = chain};
    struct checkpoint_writer *writer;
    uint64_t since;
    assert_int_equal(checkpoint_begin(disk, FOLDER, &identity, &options, &writer, NULL), LEAT_OK);
    leat_status status = checkpoint_pages(writer, "join", version, &since, NULL);
    for (int i = 0; i < count && status == LEAT_OK; i++) {
        status = checkpoint_page(writer, &images[i], NULL);
    }
    leat_status committed = checkpoint_commit(writer, NULL);
    assert_true(status == LEAT_OK || committed == status);
    return committed;
}

static void test_misuse(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(1);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    const struct state_page_image good = {
        .group = 1, .number = 5, .version = 9, .data = "12345678", .bytes = 8};
    struct state_page_image two[2] = {good, good};
    assert_int_equal(pages_try(disk, chain, 9, 2, two), LEAT_INVALID); /* twice */
    two[1].group = 0;
    assert_int_equal(pages_try(disk, chain, 9, 2, two), LEAT_INVALID); /* out of order */
    two[1] = good;
    two[1].number = 6;
    assert_int_equal(pages_try(disk, chain, 9, 2, two), LEAT_OK);
    two[1].group = GROUPS;
    assert_int_equal(pages_try(disk, chain, 9, 2, two), LEAT_INVALID); /* no such group */
    two[1] = good;
    two[1].number = 6;
    two[1].bytes = PAGES_IMAGE_MAX + 1;
    assert_int_equal(pages_try(disk, chain, 9, 2, two), LEAT_INVALID);
    two[1].bytes = 8;
    two[1].version = 10;
    assert_int_equal(pages_try(disk, chain, 9, 2, two), LEAT_INVALID); /* newer than the snapshot */
    two[1].version = 3;
    two[1].data = NULL;
    assert_int_equal(pages_try(disk, chain, 9, 2, two), LEAT_CORRUPT); /* unchanged, and unknown */
    assert_int_equal(chain->count, 0);
    two[1].data = "12345678";
    two[1].version = 8;
    two[0].version = 8;
    assert_int_equal(pages_try(disk, chain, 8, 2, two), LEAT_OK);
    two[1].data = NULL;
    two[1].version = 7;
    assert_int_equal(pages_try(disk, chain, 9, 2, two), LEAT_CORRUPT); /* another version */
    struct state_page_image image = good;
    struct checkpoint_identity identity = {.sequence = 6, .key_groups = GROUPS};
    struct checkpoint_writer *writer;
    assert_int_equal(checkpoint_begin(disk, FOLDER, &identity, NULL, &writer, NULL), LEAT_OK);
    assert_int_equal(checkpoint_page(writer, &image, NULL), LEAT_INVALID);
    checkpoint_abandon(writer);
    checkpoint_chain_destroy(chain);
    checkpoint_chain_destroy(NULL);
    disk_fake_destroy(fake);
}

/* --- the golden file --- */

static void golden_make(struct bytes *out) {
    struct disk_fake *fake = disk_make(1);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_chain *chain = chain_make();
    struct source source = small_source();
    assert_int_equal(source_write(disk, 10, &source, chain, false, NULL), LEAT_OK);
    source.pages[1][1].dirty = true;
    source_freeze(&source);
    assert_int_equal(source_write(disk, 20, &source, chain, false, NULL), LEAT_OK);
    bytes_init(out);
    assert_int_equal(disk_get(disk, FOLDER "/00000000000000000020/join", 1 << 20, out, NULL),
                     LEAT_OK);
    checkpoint_chain_destroy(chain);
    disk_fake_destroy(fake);
}

static void test_golden(void **context) {
    (void)context;
    struct bytes made;
    struct bytes stored;
    golden_make(&made);
    bytes_init(&stored);
    assert_int_equal(disk_get(disk_real(), GOLDEN, 1 << 20, &stored, NULL), LEAT_OK);
    assert_int_equal(stored.size, made.size);
    assert_memory_equal(stored.data, made.data, made.size);
    bytes_deinit(&stored);
    bytes_deinit(&made);
}

static int golden_write(void) {
    struct bytes made;
    golden_make(&made);
    leat_status status = disk_put(disk_real(), GOLDEN, made.data, made.size, NULL);
    bytes_deinit(&made);
    return status == LEAT_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--write-golden") == 0) {
        return golden_write();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),         cmocka_unit_test(test_disk_use),
        cmocka_unit_test(test_many_files),    cmocka_unit_test(test_subsets),
        cmocka_unit_test(test_power_cuts),    cmocka_unit_test(test_failures),
        cmocka_unit_test(test_erasure),       cmocka_unit_test(test_damage),
        cmocka_unit_test(test_rot_is_mended), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
