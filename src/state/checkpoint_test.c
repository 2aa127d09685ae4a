/* Checkpoints on a simulated disk: the power goes at every step, every step fails once, bytes rot:
 * what opens is the old one or the new one, whole. With --write-golden the golden file is written
 * anew. */
#include "base/disk_fake.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "state/checkpoint.h"
#include "state/checkpoint_manifest.h"

#define GOLDEN_V1 LEAT_SOURCE_DIR "/tests/golden/manifest_v1.txt"
#define GOLDEN_V2 LEAT_SOURCE_DIR "/tests/golden/manifest_v2.txt"
#define FOLDER    "data/checkpoints"

static struct disk_fake *disk_make(uint64_t seed) {
    struct disk_fake *fake;
    assert_int_equal(disk_fake_create(seed, &fake, NULL), LEAT_OK);
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(disk_make_folder(disk, "data", NULL), LEAT_OK);
    assert_int_equal(disk_sync_folder(disk, "/", NULL), LEAT_OK);
    return fake;
}

/* --- one checkpoint, all of it known from its sequence --- */

static size_t part_size(uint64_t sequence, int part) {
    return part == 2 ? 0 : 700 + (size_t)(sequence % 7) * 100 + (size_t)part * 900;
}

static uint8_t part_byte(uint64_t sequence, int part, size_t at) {
    return (uint8_t)hash_mix(sequence * 8 + (uint64_t)part, at);
}

static const char *const part_names[] = {"join.state", "table", "empty-part"};

static leat_status parts_write(struct checkpoint_writer *writer, uint64_t sequence,
                               leat_error *err) {
    for (int part = 0; part < 3; part++) {
        TRY(checkpoint_part(writer, part_names[part], err));
        size_t size = part_size(sequence, part);
        for (size_t at = 0; at < size; at += 100) {
            uint8_t piece[100];
            size_t count = size - at < sizeof(piece) ? size - at : sizeof(piece);
            for (size_t i = 0; i < count; i++) {
                piece[i] = part_byte(sequence, part, at + i);
            }
            TRY(checkpoint_write(writer, piece, count, err));
        }
    }
    checkpoint_note(writer, "kernel", "avx2, 8 lanes");
    return LEAT_OK;
}

static leat_status sample_write(struct disk *disk, uint64_t sequence, leat_error *err) {
    struct checkpoint_identity identity = {
        .log_id = 7, .sequence = sequence, .key_groups = 128, .now_ms = -5 + (int64_t)sequence};
    struct checkpoint_writer *writer;
    TRY(checkpoint_begin(disk, FOLDER, &identity, NULL, &writer, err));
    leat_status status = parts_write(writer, sequence, err);
    if (status < 0) {
        checkpoint_abandon(writer);
        return status;
    }
    return checkpoint_commit(writer, err);
}

/* LEAT_OK: the part is whole. Wrong bytes must not be called right. */
static leat_status part_verify(struct checkpoint *checkpoint, int part, leat_error *err) {
    uint64_t sequence = checkpoint_about(checkpoint)->sequence;
    TRY(checkpoint_read_part(checkpoint, part_names[part], err));
    size_t size = part_size(sequence, part);
    bool right = true;
    for (size_t at = 0; at < size;) {
        uint8_t piece[150];
        size_t count = size - at < sizeof(piece) ? size - at : sizeof(piece);
        TRY(checkpoint_read(checkpoint, piece, count, err));
        for (size_t i = 0; i < count; i++, at++) {
            right = right && piece[i] == part_byte(sequence, part, at);
        }
    }
    TRY(checkpoint_read_end(checkpoint, err));
    assert_true(right);
    return LEAT_OK;
}

static leat_status sample_verify(struct checkpoint *checkpoint, leat_error *err) {
    const struct checkpoint_identity *about = checkpoint_about(checkpoint);
    assert_int_equal(about->log_id, 7);
    assert_int_equal(about->key_groups, 128);
    assert_int_equal(about->now_ms, -5 + (int64_t)about->sequence);
    assert_string_equal(checkpoint_get_note(checkpoint, "kernel"), "avx2, 8 lanes");
    assert_null(checkpoint_get_note(checkpoint, "other"));
    assert_int_equal(checkpoint_read_part(checkpoint, "other", err), LEAT_NOT_FOUND);
    for (int part = 0; part < 3; part++) {
        TRY(part_verify(checkpoint, part, err));
    }
    return LEAT_OK;
}

/* The sequence of the newest checkpoint, which must be whole; 0: none. */
static uint64_t newest_whole(struct disk *disk) {
    struct checkpoint *checkpoint;
    leat_error err = {0};
    leat_status status = checkpoint_newest(disk, FOLDER, &checkpoint, NULL, &err);
    if (status == LEAT_NOT_FOUND) {
        return 0;
    }
    assert_int_equal(status, LEAT_OK);
    assert_int_equal(sample_verify(checkpoint, &err), LEAT_OK);
    uint64_t sequence = checkpoint_about(checkpoint)->sequence;
    checkpoint_close(checkpoint);
    return sequence;
}

/* After a power cut a manifest stands beside all of its parts, or there is none: what opens is
 * whole, and nothing looks damaged. */
static void cut_check(struct disk *disk, uint64_t sequence) {
    struct checkpoint *checkpoint;
    leat_error err = {0};
    leat_status status = checkpoint_open(disk, FOLDER, sequence, &checkpoint, &err);
    assert_true(status == LEAT_OK || status == LEAT_NOT_FOUND);
    if (status == LEAT_OK) {
        assert_int_equal(sample_verify(checkpoint, &err), LEAT_OK);
    }
    checkpoint_close(checkpoint);
}

/* --- plain use --- */

static void test_round_trip(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(1);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_newest(disk, FOLDER, &checkpoint, NULL, NULL), LEAT_NOT_FOUND);
    assert_int_equal(checkpoint_clean(disk, FOLDER, 2, NULL), LEAT_OK);
    const uint64_t sequences[] = {5, 1000, 0, UINT64_MAX, 70};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(sample_write(disk, sequences[i], NULL), LEAT_OK);
    }
    assert_true(newest_whole(disk) == UINT64_MAX);
    assert_int_equal(sample_write(disk, 70, NULL), LEAT_OK); /* replaced */
    assert_int_equal(checkpoint_clean(disk, FOLDER, 3, NULL), LEAT_OK);
    for (size_t i = 0; i < 5; i++) {
        leat_status wanted = sequences[i] >= 70 ? LEAT_OK : LEAT_NOT_FOUND;
        assert_int_equal(checkpoint_open(disk, FOLDER, sequences[i], &checkpoint, NULL), wanted);
        checkpoint_close(checkpoint);
    }
    assert_int_equal(checkpoint_clean(disk, FOLDER, 0, NULL), LEAT_OK);
    assert_int_equal(newest_whole(disk), 0);
    disk_fake_destroy(fake);
}

/* Larger than the buffers, so that parts cross them. */
static void test_large(void **context) {
    (void)context;
    enum { PIECE = 300007, PIECES = 9 };
    struct disk_fake *fake = disk_make(2);
    struct disk *disk = disk_fake_disk(fake);
    uint8_t *piece = memory_alloc(PIECE);
    struct checkpoint_identity identity = {.sequence = 1, .key_groups = 1};
    struct checkpoint_writer *writer;
    assert_int_equal(checkpoint_begin(disk, FOLDER, &identity, NULL, &writer, NULL), LEAT_OK);
    assert_int_equal(checkpoint_part(writer, "large", NULL), LEAT_OK);
    for (int i = 0; i < PIECES; i++) {
        memset(piece, i, PIECE);
        assert_int_equal(checkpoint_write(writer, piece, PIECE, NULL), LEAT_OK);
    }
    assert_int_equal(checkpoint_commit(writer, NULL), LEAT_OK);
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_newest(disk, FOLDER, &checkpoint, NULL, NULL), LEAT_OK);
    assert_int_equal(checkpoint_read_part(checkpoint, "large", NULL), LEAT_OK);
    for (int i = 0; i < PIECES; i++) {
        assert_int_equal(checkpoint_read(checkpoint, piece, PIECE, NULL), LEAT_OK);
        assert_int_equal(piece[0], i);
        assert_int_equal(piece[PIECE - 1], i);
    }
    assert_int_equal(checkpoint_read_end(checkpoint, NULL), LEAT_OK);
    assert_int_equal(checkpoint_read(checkpoint, piece, 1, NULL), LEAT_CORRUPT);
    checkpoint_close(checkpoint);
    memory_free(piece);
    disk_fake_destroy(fake);
}

static void test_misuse(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(3);
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_identity identity = {.sequence = 9, .key_groups = 1};
    static const char *const bad_names[] = {"", "UPPER", "a/b", "..", "two words"};
    for (size_t i = 0; i < 5; i++) {
        struct checkpoint_writer *writer;
        leat_error err = {0};
        assert_int_equal(checkpoint_begin(disk, FOLDER, &identity, NULL, &writer, NULL), LEAT_OK);
        assert_int_equal(checkpoint_part(writer, bad_names[i], &err), LEAT_INVALID);
        err.message[0] = '\0';
        assert_int_equal(checkpoint_write(writer, "x", 1, &err), LEAT_INVALID);
        assert_non_null(strstr(err.message, "[a-z0-9_.-]")); /* the first failure stays */
        assert_int_equal(checkpoint_commit(writer, &err), LEAT_INVALID);
    }
    struct checkpoint_writer *writer;
    leat_error err;
    assert_int_equal(checkpoint_begin(disk, FOLDER, &identity, NULL, &writer, NULL), LEAT_OK);
    assert_int_equal(checkpoint_write(writer, "x", 1, &err), LEAT_INVALID);
    checkpoint_abandon(writer);
    assert_int_equal(checkpoint_begin(disk, FOLDER, &identity, NULL, &writer, NULL), LEAT_OK);
    checkpoint_note(writer, "key", "two\nlines");
    assert_int_equal(checkpoint_commit(writer, &err), LEAT_INVALID);
    checkpoint_abandon(NULL);
    checkpoint_close(NULL);
    assert_int_equal(newest_whole(disk), 0);
    disk_fake_destroy(fake);
}

/* --- power cuts and failures --- */

/* The steps of the second of two checkpoints, and of the clean that follows. */
static leat_status second_and_clean(struct disk *disk, uint64_t sequence, leat_error *err) {
    TRY(sample_write(disk, sequence, err));
    return checkpoint_clean(disk, FOLDER, 1, err);
}

static void power_cut(uint64_t seed, uint64_t after, uint64_t sequence, bool *reached) {
    struct disk_fake *fake = disk_make(seed);
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(sample_write(disk, 10, NULL), LEAT_OK);
    disk_fake_cut_at(fake, disk_fake_steps(fake) + after);
    leat_error err = {0};
    leat_status status = second_and_clean(disk, sequence, &err);
    *reached = disk_fake_is_cut(fake);
    assert_int_equal(status == LEAT_OK, !*reached);
    disk_fake_cut_at(fake, 0);
    disk_fake_restart(fake);
    cut_check(disk, 10);
    cut_check(disk, sequence);
    uint64_t newest = newest_whole(disk);
    assert_true(newest == 10 || newest == sequence);
    assert_true(*reached || newest == sequence);
    /* Life goes on: the same checkpoint is written over whatever was left of it. */
    assert_int_equal(second_and_clean(disk, sequence, &err), LEAT_OK);
    assert_int_equal(newest_whole(disk), sequence);
    disk_fake_destroy(fake);
}

static void test_power_cuts(void **context) {
    (void)context;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        bool reached = true;
        for (uint64_t after = 1; reached; after++) {
            power_cut(seed, after, 20, &reached);
        }
    }
}

/* A checkpoint of a position that has one already: cut at any step, what opens is whole or nothing:
 * never the manifest of the one with the parts of the other. */
static void test_power_cuts_replacing(void **context) {
    (void)context;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        bool reached = true;
        for (uint64_t after = 1; reached; after++) {
            struct disk_fake *fake = disk_make(seed);
            struct disk *disk = disk_fake_disk(fake);
            assert_int_equal(sample_write(disk, 3, NULL), LEAT_OK);
            assert_int_equal(sample_write(disk, 10, NULL), LEAT_OK);
            disk_fake_cut_at(fake, disk_fake_steps(fake) + after);
            sample_write(disk, 10, NULL);
            reached = disk_fake_is_cut(fake);
            disk_fake_cut_at(fake, 0);
            disk_fake_restart(fake);
            cut_check(disk, 10);
            uint64_t newest = newest_whole(disk);
            assert_int_equal(newest, 10); /* the one before stands until this one does */
            disk_fake_destroy(fake);
        }
    }
}

/* Whatever fails: the one before stays whole. The new one may be there, whole, where all that
 * failed was to say so. */
static void test_failures(void **context) {
    (void)context;
    for (int fault = 0; fault < DISK_FAULTS; fault++) {
        leat_status status = LEAT_IO;
        for (uint64_t after = 1; status != LEAT_OK; after++) {
            struct disk_fake *fake = disk_make(5);
            struct disk *disk = disk_fake_disk(fake);
            assert_int_equal(sample_write(disk, 10, NULL), LEAT_OK);
            disk_fake_fail_at(fake, disk_fake_steps(fake) + after, (enum disk_fault)fault);
            leat_error err = {0};
            status = sample_write(disk, 20, &err);
            assert_int_equal(err.status, status);
            assert_true(status == LEAT_OK || strlen(err.message) > 10);
            disk_fake_fail_at(fake, 0, DISK_FAULT_IO);
            uint64_t newest = newest_whole(disk);
            assert_true(newest == 20 || (newest == 10 && status != LEAT_OK));
            cut_check(disk, 10);
            assert_int_equal(second_and_clean(disk, 20, &err), LEAT_OK);
            assert_int_equal(newest_whole(disk), 20);
            disk_fake_destroy(fake);
        }
    }
}

/* Reading fails once at each step: said in words, never taken for "there is none". */
static void test_read_failures(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(6);
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(sample_write(disk, 10, NULL), LEAT_OK);
    assert_int_equal(sample_write(disk, 20, NULL), LEAT_OK);
    leat_status status = LEAT_IO;
    for (uint64_t after = 1; status != LEAT_OK; after++) {
        struct checkpoint *checkpoint;
        leat_error err = {0};
        disk_fake_fail_at(fake, disk_fake_steps(fake) + after, false);
        status = checkpoint_newest(disk, FOLDER, &checkpoint, NULL, &err);
        if (status == LEAT_OK) {
            assert_int_equal(checkpoint_about(checkpoint)->sequence, 20);
            status = sample_verify(checkpoint, &err);
            checkpoint_close(checkpoint);
        }
        assert_true(status == LEAT_OK || status == LEAT_IO);
        assert_int_equal(err.status, status);
    }
    disk_fake_destroy(fake);
}

/* --- damage --- */

/* Opens the newest of {10, 20} after 20 was damaged: either 10, or 20 that is refused in reading.
 */
static void damaged_check(struct disk *disk, bool may_be_whole) {
    struct checkpoint *checkpoint;
    leat_error err = {0};
    int skipped;
    assert_int_equal(checkpoint_newest(disk, FOLDER, &checkpoint, &skipped, &err), LEAT_OK);
    uint64_t sequence = checkpoint_about(checkpoint)->sequence;
    assert_int_equal(skipped, sequence == 10 ? 1 : 0);
    leat_status status = sample_verify(checkpoint, &err);
    assert_true(status == (sequence == 10 || may_be_whole ? LEAT_OK : LEAT_CORRUPT));
    checkpoint_close(checkpoint);
    if (sequence == 10) {
        assert_int_equal(checkpoint_open(disk, FOLDER, 20, &checkpoint, &err), LEAT_CORRUPT);
        assert_non_null(strstr(err.message, "00000000000000000020"));
    }
}

static void damage_file(struct disk_fake *fake, const char *name) {
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof(path), FOLDER "/00000000000000000020/%s", name);
    struct disk *disk = disk_fake_disk(fake);
    struct bytes content;
    bytes_init(&content);
    assert_int_equal(disk_get(disk, path, 1 << 20, &content, NULL), LEAT_OK);
    for (size_t at = 0; at < content.size; at++) {
        content.data[at] ^= 0x01;
        assert_int_equal(disk_fake_set(fake, path, content.data, content.size), LEAT_OK);
        damaged_check(disk, false);
        content.data[at] ^= 0x01;
    }
    for (size_t size = 0; size < content.size; size += 1 + size / 20) {
        assert_int_equal(disk_fake_set(fake, path, content.data, size), LEAT_OK);
        damaged_check(disk, false);
    }
    assert_int_equal(disk_fake_set(fake, path, content.data, content.size), LEAT_OK);
    damaged_check(disk, true);
    bytes_deinit(&content);
}

static void test_damage(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(7);
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(sample_write(disk, 10, NULL), LEAT_OK);
    assert_int_equal(sample_write(disk, 20, NULL), LEAT_OK);
    damage_file(fake, "MANIFEST");
    damage_file(fake, part_names[0]);
    static uint8_t endless[MANIFEST_BYTES_MAX + 1];
    const char *manifest_path = FOLDER "/00000000000000000020/MANIFEST";
    assert_int_equal(disk_fake_set(fake, manifest_path, endless, sizeof(endless)), LEAT_OK);
    damaged_check(disk, false);
    assert_int_equal(sample_write(disk, 20, NULL), LEAT_OK);
    assert_int_equal(disk_remove(disk, FOLDER "/00000000000000000020/table.g1", NULL), LEAT_OK);
    damaged_check(disk, false);
    assert_int_equal(checkpoint_clean(disk, FOLDER, 2, NULL), LEAT_OK);
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_open(disk, FOLDER, 20, &checkpoint, NULL), LEAT_NOT_FOUND);
    assert_int_equal(newest_whole(disk), 10);
    disk_fake_destroy(fake);
}

/* A good manifest in the wrong folder; the parts happen to have the same sizes. */
static void test_misplaced(void **context) {
    (void)context;
    struct disk_fake *fake = disk_make(8);
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(sample_write(disk, 10, NULL), LEAT_OK);
    assert_int_equal(sample_write(disk, 17, NULL), LEAT_OK);
    assert_int_equal(disk_rename(disk, FOLDER "/00000000000000000010/MANIFEST",
                                 FOLDER "/00000000000000000017/MANIFEST", NULL),
                     LEAT_OK);
    struct checkpoint *checkpoint;
    leat_error err;
    assert_int_equal(checkpoint_open(disk, FOLDER, 17, &checkpoint, &err), LEAT_CORRUPT);
    assert_int_equal(newest_whole(disk), 0);
    disk_fake_destroy(fake);
}

/* A manifest whose own checksum is right but which leat would not write so. */
static void test_manifest_spelling(void **context) {
    (void)context;
    static const char *const texts[] = {
        "",
        "leat checkpoint 2\nlog 1\nsequence 1\nkey_groups 1\nnow_ms 0\n",
        "leat checkpoint 3\nlog 1\nsequence 1\ngeneration 0\nkey_groups 1\nnow_ms 0\n",
        "leat checkpoint 1\nlog 1\nsequence 1\ngeneration 0\nkey_groups 1\nnow_ms 0\n",
        "leat checkpoint 1\nlog 1\nsequence 1\nkey_groups 1\nnow_ms 0\n"
        "pages a 1 0000000000000000 1\n",
        "leat checkpoint 2\nlog 1\nsequence 1\ngeneration 0\nkey_groups 1\nnow_ms 0\n"
        "part a 1 0000000000000000\nuses 00000000000000000001 0 1\n",
        "leat checkpoint 2\nlog 1\nsequence 1\ngeneration 0\nkey_groups 1\nnow_ms 0\n"
        "pages a 1 0000000000000000 1\nuses 1 0 1\n",
        "leat checkpoint 2\nlog 1\nsequence 1\ngeneration 0\nkey_groups 1\nnow_ms 0\n"
        "part a.g1 1 0000000000000000\n",
        "leat checkpoint 1\nlog 01\nsequence 1\nkey_groups 1\nnow_ms 0\n",
        "leat checkpoint 1\nsequence 1\nlog 1\nkey_groups 1\nnow_ms 0\n",
        "leat checkpoint 1\nlog 1\nsequence 1\nkey_groups 1\n",
        "leat checkpoint 1\nlog 1\nsequence 1\nkey_groups 1\nnow_ms 0\nwhat 1\n",
        "leat checkpoint 1\nlog 1\nsequence 1\nkey_groups 1\nnow_ms 0\npart a/b 1 "
        "0000000000000000\n",
        "leat checkpoint 1\nlog 1\nsequence 1\nkey_groups 1\nnow_ms 0\npart a 1 000000000000000\n",
        "leat checkpoint 1\nlog 1\nsequence 1\nkey_groups 1\nnow_ms 0\npart a 1 0000000000000000\n"
        "part a 1 0000000000000000\n",
        "leat checkpoint 1\nlog 1\nsequence 1\nkey_groups 1\nnow_ms 0\nnote a b\n"
        "part a 1 0000000000000000\n",
        "leat checkpoint 1\nlog 1\nsequence 1\nkey_groups 1\nnow_ms 0\n",
    };
    enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };
    for (int i = 0; i < TEXTS; i++) {
        char line[32];
        struct bytes text;
        bytes_init(&text);
        bytes_append(&text, texts[i], strlen(texts[i]));
        snprintf(line, sizeof(line), "xxh3 %016llx\n",
                 (unsigned long long)hash_bytes(texts[i], strlen(texts[i])));
        bytes_append(&text, line, strlen(line));
        struct manifest manifest;
        leat_error err;
        leat_status status =
            manifest_decode((struct slice){(const char *)text.data, text.size}, &manifest, &err);
        assert_int_equal(status,
                         i == TEXTS - 1 ? LEAT_OK : LEAT_CORRUPT); /* the last one is right */
        bytes_deinit(&text);
    }
}

/* --- the golden files --- */

static void golden_make(int version, struct bytes *text) {
    static struct manifest manifest;
    manifest = (struct manifest){
        .version = version,
        .identity = {.log_id = 7, .sequence = 123456, .key_groups = 128, .now_ms = 1700000000000},
        .part_count = 2,
        .note_count = 1,
        .parts = {{.name = "join.state", .bytes = 1234567, .hash = 0x0123456789abcdef},
                  {.name = "table", .bytes = 0, .hash = 0x2d06800538d394c2}},
        .notes = {{.key = "kernel", .value = "avx2, 8 lanes"}},
    };
    if (version == 2) {
        manifest.generation = 3;
        manifest.parts[0].pages = true;
        manifest.parts[0].version = 42;
        manifest.parts[0].file_count = 2;
        manifest.file_count = 2;
        manifest.files[0] = (struct pages_file){.sequence = 120000, .bytes = 7654321};
        manifest.files[1] =
            (struct pages_file){.sequence = 123456, .bytes = 7654322, .generation = 1};
    }
    bytes_init(text);
    manifest_encode(&manifest, text);
}

static void golden_check(int version, const char *path) {
    static struct manifest manifest;
    struct bytes text;
    struct bytes stored;
    golden_make(version, &text);
    bytes_init(&stored);
    assert_int_equal(disk_get(disk_real(), path, 1 << 20, &stored, NULL), LEAT_OK);
    assert_int_equal(stored.size, text.size);
    assert_memory_equal(stored.data, text.data, text.size);
    struct slice slice = {(const char *)stored.data, stored.size};
    assert_int_equal(manifest_decode(slice, &manifest, NULL), LEAT_OK);
    assert_int_equal(manifest.part_count, 2);
    assert_int_equal(manifest.version, version);
    bytes_deinit(&stored);
    bytes_deinit(&text);
}

static void test_golden(void **context) {
    (void)context;
    golden_check(1, GOLDEN_V1);
    golden_check(2, GOLDEN_V2);
}

/* Version 1 is read only: its file stays as the program of then wrote it. */
static int golden_write(void) {
    struct bytes text;
    golden_make(2, &text);
    leat_status status = disk_put(disk_real(), GOLDEN_V2, text.data, text.size, NULL);
    bytes_deinit(&text);
    return status == LEAT_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--write-golden") == 0) {
        return golden_write();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_power_cuts_replacing),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_read_failures),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_misplaced),
        cmocka_unit_test(test_manifest_spelling),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
