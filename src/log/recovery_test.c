/* What opening makes of a log that was damaged, cut, or caught by a power cut.
 *
 * The model is a small log whose every commit has a known place:
 *
 *   segment 0:  | c0      | c1, c2       |      | groups: what one sync made durable
 *   segment 1:  | c3      | c4, c5       |
 *
 * Whatever happens to a byte of it, the right answer follows: damage in the last group leaves the
 * commits before it, damage anywhere else is refused. Row k of any log here, where it is an event,
 * is by "user<k>". */
#include "base/hash.h"
#include "log/log_fixture.h"
#include "log/log_writer.h"
#include "log/recovery.h"

static int set_up(void **state) {
    static struct fixture fixture;
    fixture_init(&fixture, 1);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    fixture_deinit(*state);
    return 0;
}

/* Reads the open log; every event must be where its name says. */
static void check_rows(struct fixture *f, uint64_t rows) {
    assert_int_equal(log_end(f->log), rows);
    struct log_reader *reader = NULL;
    assert_int_equal(log_reader_open(f->log, 0, &reader, NULL), LEAT_OK);
    struct log_entry entry;
    uint64_t next = 0;
    while (log_read(reader, &entry, NULL) == LEAT_OK) {
        assert_int_equal(entry.frame.first_sequence, next);
        for (int64_t row = 0; row < entry.batch.rows; row++, next++) {
            char name[32];
            snprintf(name, sizeof(name), "user%llu", (unsigned long long)next);
            assert_true(entry.batch.schema == schema_beat() ||
                        slice_is(batch_text(&entry.batch, EVENT_USER, row), name));
        }
    }
    assert_int_equal(next, rows);
    log_reader_close(reader);
}

/* --- the small log --- */

enum { COMMITS = 6, SEGMENTS = 2, SEGMENT_BYTES = 1240 };

struct small_log {
    char path[SEGMENTS][64];
    uint8_t *data[SEGMENTS]; /* as written; owned */
    size_t size[SEGMENTS];
    int segment[COMMITS]; /* of each commit: where it begins, and how many rows are before it */
    size_t offset[COMMITS];
    uint64_t before[COMMITS];
    uint64_t rows;
};

static const int LAST_GROUP = 4; /* its first commit */

/* Writes commits as one group: frames[i][0] clicks in one frame, frames[i][1] (0 or 1) beats. */
static void group_append(struct fixture *f, struct log_writer *writer, int count,
                         const int (*frames)[2], struct small_log *small, int number) {
    struct commit commits[COMMITS];
    uint64_t sequence = writer->cursor.sequence;
    for (int i = 0; i < count; i++) {
        struct batch batches[2];
        int used = 0;
        if (frames[i][0] > 0) {
            batches[used++] = fixture_clicks(f->events, f->config, (int)sequence, frames[i][0], -1);
        }
        if (frames[i][1] > 0) {
            batches[used++] = fixture_beat();
        }
        assert_int_equal(commit_init(&commits[i], batches, used, NULL), LEAT_OK);
        small->before[number + i] = sequence;
        sequence += (uint64_t)(frames[i][0] + frames[i][1]);
    }
    for (int i = 1; i < count; i++) {
        commits[i - 1].next = &commits[i];
    }
    struct commit *rest;
    assert_int_equal(log_writer_write(writer, commits, &rest, NULL), LEAT_OK);
    assert_null(rest);
    assert_int_equal(writer->cursor.sequence, sequence);
    size_t offset = writer->segment.bytes;
    for (int i = count - 1; i >= 0; i--) {
        offset -= commits[i].size;
        small->offset[number + i] = offset;
        small->segment[number + i] = writer->segment.first_sequence > 0;
        commit_deinit(&commits[i]);
    }
    small->rows = sequence;
}

static void small_make(struct small_log *small, struct fixture *f) {
    memset(small, 0, sizeof(*small));
    struct disk *disk = f->options.disk;
    f->options.segment_bytes = SEGMENT_BYTES;
    assert_int_equal(disk_make_folder(disk, "log", NULL), LEAT_OK);
    assert_int_equal(disk_sync_folder(disk, ".", NULL), LEAT_OK);
    struct log_writer writer;
    struct commit_cursor cursor = {0};
    assert_int_equal(log_writer_init(&writer, &f->options, "log", NULL, cursor, NULL), LEAT_OK);
    snprintf(small->path[0], sizeof(small->path[0]), "log/%020d.seg", 0);
    group_append(f, &writer, 1, (const int[][2]){{2, 1}}, small, 0);
    group_append(f, &writer, 2, (const int[][2]){{0, 1}, {1, 0}}, small, 1);
    snprintf(small->path[1], sizeof(small->path[1]), "log/%020d.seg", (int)small->rows);
    group_append(f, &writer, 1, (const int[][2]){{0, 1}}, small, 3);
    group_append(f, &writer, 2, (const int[][2]){{0, 1}, {1, 1}}, small, 4);
    log_writer_deinit(&writer);
    for (int i = 0; i < SEGMENTS; i++) {
        const uint8_t *content = disk_fake_content(f->fake, small->path[i], &small->size[i]);
        small->data[i] = memory_alloc(small->size[i]);
        assert_non_null(small->data[i]);
        memcpy(small->data[i], content, small->size[i]);
    }
    assert_int_equal(small->segment[2], 0); /* as drawn above */
    assert_int_equal(small->segment[3], 1);
}

static void small_free(struct small_log *small) {
    for (int i = 0; i < SEGMENTS; i++) {
        memory_free(small->data[i]);
    }
}

static void small_restore(const struct small_log *small, struct fixture *f) {
    for (int i = 0; i < SEGMENTS; i++) {
        assert_int_equal(disk_fake_set(f->fake, small->path[i], small->data[i], small->size[i]),
                         LEAT_OK);
    }
}

/* The commit that holds a byte; COMMITS for the end of the last segment. */
static int commit_at(const struct small_log *small, int segment, size_t offset) {
    int found = 0;
    for (int i = 0; i < COMMITS; i++) {
        bool before = small->segment[i] < segment ||
                      (small->segment[i] == segment && small->offset[i] <= offset);
        found = before ? i : found;
    }
    return found;
}

/* Opens, expecting the rows before commit `kept`, and the tail cut. */
static void check_kept(struct fixture *f, const struct small_log *small, int kept) {
    fixture_open(f);
    uint64_t rows = kept == COMMITS ? small->rows : small->before[kept];
    check_rows(f, rows);
    assert_int_equal(f->recovery.bytes_cut > 0, f->recovery.report[0] != '\0');
    fixture_close(f);
}

static void check_corrupt(struct fixture *f, const char *path, const char *words) {
    leat_error err = {.message = ""};
    assert_int_equal(log_open(&f->options, &f->log, NULL, &err), LEAT_CORRUPT);
    const char *name = path + strlen("log/");
    if (!strstr(err.message, name) || !strstr(err.message, "at offset ") ||
        !strstr(err.message, words)) {
        fail_msg("'%s' does not say '%s' and '%s'", err.message, name, words);
    }
}

static void test_whole_log_is_kept(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    check_kept(f, &small, COMMITS);
    assert_int_equal(f->recovery.segments, SEGMENTS);
    assert_int_equal(f->recovery.commits, COMMITS);
    assert_int_equal(f->recovery.bytes_cut, 0);
    small_free(&small);
}

/* Recovery alone: log_open, which does the same and more, is too slow for every bit. */
static leat_status recover(struct fixture *f, uint64_t *rows, struct log_recovery *report,
                           leat_error *err) {
    struct recovered found = {.salt = 0};
    leat_status status =
        recovery_run(f->options.disk, "log", f->options.log_id, &found, report, err);
    *rows = found.cursor.sequence;
    segment_list_deinit(&found.segments);
    forget_list_deinit(&found.forgets);
    return status;
}

/* Damages one byte, and recovers what is left. */
static void check_damage(struct fixture *f, const struct small_log *small, int segment, size_t at,
                         uint8_t flip) {
    small->data[segment][at] ^= flip;
    small_restore(small, f);
    small->data[segment][at] ^= flip;
    leat_error err = {.message = ""};
    struct log_recovery report;
    uint64_t rows;
    leat_status status = recover(f, &rows, &report, &err);
    int commit = commit_at(small, segment, at);
    if (commit < LAST_GROUP) {
        assert_int_equal(status, LEAT_CORRUPT);
        assert_non_null(strstr(err.message, small->path[segment] + strlen("log/")));
        assert_non_null(strstr(err.message, "at offset "));
        return;
    }
    assert_int_equal(status, LEAT_OK);
    assert_int_equal(rows, small->before[commit]);
    assert_int_equal(report.bytes_cut, small->size[segment] - small->offset[commit]);
    assert_non_null(strstr(report.report, "cut "));
}

static void test_every_damaged_byte(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    for (int segment = 0; segment < SEGMENTS; segment++) {
        for (size_t at = 0; at < small.size[segment]; at++) {
            for (int bit = 0; bit < 8; bit++) {
                check_damage(f, &small, segment, at, (uint8_t)(1 << bit));
            }
            check_damage(f, &small, segment, at, 0xFF);
        }
    }
    small_free(&small);
}

static void test_every_cut(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    for (size_t size = 0; size < small.size[0]; size++) {
        small_restore(&small, f);
        disk_fake_set(f->fake, small.path[0], small.data[0], size);
        uint64_t rows;
        struct log_recovery report;
        assert_int_equal(recover(f, &rows, &report, NULL), LEAT_CORRUPT);
    }
    for (size_t size = 0; size < small.size[1]; size++) {
        small_restore(&small, f);
        disk_fake_set(f->fake, small.path[1], small.data[1], size);
        check_kept(f, &small, commit_at(&small, 1, size));
        check_kept(f, &small, commit_at(&small, 1, size)); /* and the second time nothing is cut */
        assert_int_equal(f->recovery.bytes_cut, 0);
    }
    small_free(&small);
}

/* After a cut the log goes on where it ends, in the same file. */
static void test_goes_on_after_a_cut(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    for (int commit = 3; commit < COMMITS; commit++) {
        small_restore(&small, f);
        disk_fake_set(f->fake, small.path[1], small.data[1], small.offset[commit] + 9);
        fixture_open(f);
        uint64_t end = log_end(f->log);
        assert_int_equal(end, small.before[commit]);
        for (int i = 0; i < 3; i++) {
            struct batch batch = fixture_clicks(f->events, f->config, (int)end, 2, -1);
            assert_int_equal(fixture_append(f, &batch, 1).first_sequence, end);
            end += 2;
        }
        fixture_close(f);
        fixture_open(f);
        assert_int_equal(f->recovery.bytes_cut, 0);
        check_rows(f, end);
        fixture_close(f);
        for (uint64_t first = small.before[3] + 1; first < end; first++) {
            char path[64]; /* segments that the appends began */
            snprintf(path, sizeof(path), "log/%020llu.seg", (unsigned long long)first);
            disk_remove(f->options.disk, path, NULL);
        }
    }
    small_free(&small);
}

/* What stands behind the log is no part of it. */
static void test_garbage_behind_the_end_is_cut(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    static uint8_t data[8192];
    for (size_t extra = 1; extra < 400; extra += extra < 80 ? 1 : 37) {
        for (int kind = 0; kind < 2; kind++) {
            small_restore(&small, f);
            memcpy(data, small.data[1], small.size[1]);
            for (size_t i = 0; i < extra; i++) {
                data[small.size[1] + i] = kind ? (uint8_t)hash_mix(extra, i) : 0;
            }
            disk_fake_set(f->fake, small.path[1], data, small.size[1] + extra);
            check_kept(f, &small, COMMITS);
            assert_int_equal(f->recovery.bytes_cut, extra);
        }
    }
    small_free(&small);
}

/* An old frame behind the damage (blocks that a file system gave out again) proves nothing. */
static void test_stale_frames_prove_nothing(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    static uint8_t data[8192];
    memcpy(data, small.data[1], small.size[1]);
    memset(data + small.size[1], 0xAA, 16);
    memcpy(data + small.size[1] + 16, small.data[0], small.offset[1]);
    disk_fake_set(f->fake, small.path[1], data, small.size[1] + 16 + small.offset[1]);
    check_kept(f, &small, COMMITS);
    assert_int_equal(f->recovery.bytes_cut, 16 + small.offset[1]);
    small_free(&small);
}

/* Puts half a frame behind the log, and in it, as a text that was posted may be, a header that says
 * that all before it was on disk. */
static void put_forged(struct fixture *f, const struct small_log *small, uint16_t version,
                       uint32_t salt) {
    static _Alignas(8) uint8_t data[8192];
    struct frame frame = {.version = version,
                          .salt = salt,
                          .schema_id = SCHEMA_BEAT,
                          .schema_version = 1,
                          .log_id = f->options.log_id,
                          .flags = FRAME_COMMIT | FRAME_SYNCED,
                          .first_sequence = small->rows + 100,
                          .rows = 1,
                          .append_ms = FIXTURE_NOW_MS};
    memcpy(data, small->data[1], small->size[1]);
    memset(data + small->size[1], 'x', 64);
    frame_seal(&frame, data + small->size[1] + 64);
    small_restore(small, f);
    disk_fake_set(f->fake, small->path[1], data, small->size[1] + 64 + FRAME_HEADER_BYTES);
}

static void test_forged_frames_prove_nothing(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    static const struct {
        uint16_t version;
        uint32_t salt;
    } forged[] = {{1, 0}, {2, 0}, {2, 1}, {2, UINT32_MAX}};
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        put_forged(f, &small, forged[i].version, forged[i].salt);
        check_kept(f, &small, COMMITS);
        assert_int_equal(f->recovery.bytes_cut, 64 + FRAME_HEADER_BYTES);
    }
    put_forged(f, &small, 2, f->options.salt); /* what nobody outside can write */
    check_corrupt(f, small.path[1], "was written later");
    small_free(&small);
}

/* A frame of a version to come stands behind the log, whatever its header is like there: it is
 * neither cut nor called damaged. The version of a known one, damaged, is damage. */
static void test_newer_frames_are_not_cut(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    for (int whole = 0; whole < 2; whole++) {
        put_forged(f, &small, 3, f->options.salt);
        size_t size;
        uint8_t *data = disk_fake_content(f->fake, small.path[1], &size);
        memmove(data + small.size[1], data + small.size[1] + 64, FRAME_HEADER_BYTES);
        data[small.size[1] + 60] ^= (uint8_t)(whole ? 0 : 1); /* of the checksum */
        leat_error err = {0};
        assert_int_equal(log_open(&f->options, &f->log, &f->recovery, &err), LEAT_UNSUPPORTED);
        assert_non_null(strstr(err.message, "newer leat"));
        assert_non_null(strstr(err.message, "log: segment"));
        disk_fake_content(f->fake, small.path[1], &size);
        assert_int_equal(size, small.size[1] + 64 + FRAME_HEADER_BYTES);
    }
    put_forged(f, &small, 2, f->options.salt + 1);
    size_t size;
    uint8_t *data = disk_fake_content(f->fake, small.path[1], &size);
    data[small.size[1] + 64 + 4] = 3;
    memmove(data + small.size[1], data + small.size[1] + 64, FRAME_HEADER_BYTES);
    check_kept(f, &small, COMMITS);
    small_free(&small);
}

/* A process that died left bytes, and a name, that no sync has made durable. What opening shows of
 * them must survive a power cut right after. */
static void test_what_was_recovered_is_durable(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        struct small_log small;
        small_make(&small, &f);
        struct disk *disk = f.options.disk;
        for (int i = 0; i < SEGMENTS; i++) {
            struct file *file;
            assert_int_equal(disk_remove(disk, small.path[i], NULL), LEAT_OK);
            assert_int_equal(disk_sync_folder(disk, "log", NULL), LEAT_OK);
            assert_int_equal(file_open(disk, small.path[i], FILE_CREATE, &file, NULL), LEAT_OK);
            assert_int_equal(file_write(file, small.data[i], small.size[i], 0, NULL), LEAT_OK);
            file_close(file);
        }
        fixture_open(&f);
        check_rows(&f, small.rows);
        disk_fake_restart(f.fake);
        fixture_close(&f);
        fixture_open(&f);
        check_rows(&f, small.rows);
        small_free(&small);
        fixture_deinit(&f);
    }
}

static void test_missing_segments(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    disk_remove(f->options.disk, small.path[1], NULL);
    check_kept(f, &small, 3); /* a newest segment that is gone leaves no trace */
    small_restore(&small, f);
    disk_remove(f->options.disk, small.path[0], NULL);
    fixture_open(f); /* as after retention */
    assert_int_equal(log_begin(f->log), small.before[3]);
    assert_int_equal(log_end(f->log), small.rows);
    fixture_close(f);
    small_restore(&small, f);
    char path[64];
    snprintf(path, sizeof(path), "log/%020d.seg", (int)small.rows + 1);
    disk_fake_set(f->fake, path, "", 0);
    check_corrupt(f, path, "put the missing one back");
    disk_remove(f->options.disk, path, NULL);
    snprintf(path, sizeof(path), "log/%020d.seg", (int)small.rows);
    disk_fake_set(f->fake, path, "", 0); /* begun, and nothing in it yet */
    check_kept(f, &small, COMMITS);
    disk_fake_set(f->fake, "log/notes.txt", "x", 1);
    check_kept(f, &small, COMMITS);
    small_free(&small);
}

/* --- frames whose checksums are right and which do not belong --- */

/* Puts a sealed beat behind the log. */
static void put_behind(struct fixture *f, const struct small_log *small, struct frame frame) {
    static _Alignas(8) uint8_t data[8192];
    memcpy(data, small->data[1], small->size[1]);
    frame_seal(&frame, data + small->size[1]);
    small_restore(small, f);
    disk_fake_set(f->fake, small->path[1], data, small->size[1] + FRAME_HEADER_BYTES);
}

static void test_frames_that_do_not_belong(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    const struct frame right = {.schema_id = SCHEMA_BEAT,
                                .schema_version = 1,
                                .log_id = f->options.log_id,
                                .flags = FRAME_COMMIT | FRAME_SYNCED,
                                .first_sequence = small.rows,
                                .rows = 1,
                                .append_ms = FIXTURE_NOW_MS};
    put_behind(f, &small, right);
    fixture_open(f);
    check_rows(f, small.rows + 1);
    fixture_close(f);
    struct frame frame = right;
    frame.log_id = 8;
    put_behind(f, &small, frame);
    check_corrupt(f, small.path[1], "a frame of log 8 in log 7");
    frame = right;
    frame.first_sequence++;
    put_behind(f, &small, frame);
    check_corrupt(f, small.path[1], "is next");
    frame = right;
    frame.first_sequence = 0;
    put_behind(f, &small, frame);
    check_corrupt(f, small.path[1], "a frame of sequence 0");
    frame = right;
    frame.append_ms--;
    put_behind(f, &small, frame);
    check_corrupt(f, small.path[1], "append time goes back");
    frame = right;
    frame.schema_id = 77;
    put_behind(f, &small, frame);
    check_corrupt(f, small.path[1], "schema id 77 is unknown");
    frame = right;
    frame.flags = 0;
    put_behind(f, &small, frame);
    check_kept(f, &small, COMMITS); /* a commit that never ended */
    assert_int_equal(f->recovery.bytes_cut, FRAME_HEADER_BYTES);
    small_free(&small);
}

/* --- a disk that fails while the log is opened --- */

static void test_failing_disk_while_opening(void **state) {
    struct fixture *f = *state;
    struct small_log small;
    small_make(&small, f);
    leat_status status = LEAT_IO;
    uint64_t step = 1;
    for (; status != LEAT_OK; step++) {
        small_restore(&small, f);
        disk_fake_set(f->fake, small.path[1], small.data[1], small.size[1] - 1);
        disk_fake_fail_at(f->fake, disk_fake_steps(f->fake) + step, false);
        leat_error err = {.message = ""};
        status = log_open(&f->options, &f->log, NULL, &err);
        assert_true(status == LEAT_OK || (status == LEAT_IO && err.message[0] != '\0'));
        if (status == LEAT_OK) {
            fixture_close(f);
        }
        disk_fake_fail_at(f->fake, 0, false);
        check_kept(f, &small, COMMITS - 1);
    }
    assert_true(step > 8);
    small_free(&small);
}

/* --- power cuts --- */

enum { POWER_GROUPS = 12, POWER_STEPS = 60, POWER_SEEDS = 12 };

/* Appends groups of 1 to 3 commits until the power goes; returns the rows that were acknowledged.
 */
static uint64_t append_until_cut(struct fixture *f, uint64_t seed) {
    struct recovered found = {.salt = 0};
    struct log_recovery report;
    struct log_writer writer = {.file = NULL};
    uint64_t acknowledged = 0;
    if (disk_make_folder(f->options.disk, "log", NULL) < 0 ||
        disk_sync_folder(f->options.disk, ".", NULL) < 0 ||
        recovery_run(f->options.disk, "log", 7, &found, &report, NULL) < 0) {
        segment_list_deinit(&found.segments);
        return 0;
    }
    acknowledged = found.cursor.sequence;
    const struct segment_list *list = &found.segments;
    const struct segment *newest = list->count > 0 ? &list->items[list->count - 1] : NULL;
    leat_status status = log_writer_init(&writer, &f->options, "log", newest, found.cursor, NULL);
    for (uint64_t group = 0; status == LEAT_OK && group < POWER_GROUPS; group++) {
        struct commit commits[3];
        int count = 1 + (int)(hash_mix(seed, group) % 3);
        uint64_t sequence = writer.cursor.sequence;
        for (int i = 0; i < count; i++) {
            int rows = 1 + (int)(hash_mix(group, (uint64_t)i) % 9);
            struct batch batch = fixture_clicks(f->events, f->config, (int)sequence, rows, -1);
            assert_int_equal(commit_init(&commits[i], &batch, 1, NULL), LEAT_OK);
            sequence += (uint64_t)rows;
        }
        for (int i = 1; i < count; i++) {
            commits[i - 1].next = &commits[i];
        }
        for (struct commit *next = commits; next && status == LEAT_OK;) {
            status = log_writer_write(&writer, next, &next, NULL);
            acknowledged = writer.cursor.sequence;
        }
        for (int i = 0; i < count; i++) {
            commit_deinit(&commits[i]);
        }
    }
    log_writer_deinit(&writer);
    segment_list_deinit(&found.segments);
    return acknowledged;
}

/* The power goes at `step`, comes back, and goes again while the log is opened and goes on. */
static void check_power_cut(uint64_t seed, uint64_t step, bool sync) {
    struct fixture f;
    fixture_init(&f, seed * 1000 + step);
    f.options.sync = sync;
    f.options.segment_bytes = 6000;
    uint64_t acknowledged = 0;
    for (int cut = 0; cut < 2; cut++) {
        disk_fake_cut_at(f.fake, disk_fake_steps(f.fake) + step);
        uint64_t rows = append_until_cut(&f, seed + (uint64_t)cut);
        acknowledged = rows > acknowledged ? rows : acknowledged;
        disk_fake_restart(f.fake);
    }
    disk_fake_cut_at(f.fake, 0);
    fixture_open(&f); /* whatever the power cut left is never called corrupt */
    if (sync) {
        assert_true(log_end(f.log) >= acknowledged);
    }
    check_rows(&f, log_end(f.log));
    struct batch batch = fixture_clicks(f.events, f.config, (int)log_end(f.log), 3, -1);
    fixture_append(&f, &batch, 1);
    check_rows(&f, log_end(f.log));
    fixture_deinit(&f);
}

static void test_power_cuts(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= POWER_SEEDS; seed++) {
        for (uint64_t step = 1; step <= POWER_STEPS; step++) {
            check_power_cut(seed, step, true);
            check_power_cut(seed, step, false);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_whole_log_is_kept),
        TEST(test_every_damaged_byte),
        TEST(test_every_cut),
        TEST(test_goes_on_after_a_cut),
        TEST(test_garbage_behind_the_end_is_cut),
        TEST(test_stale_frames_prove_nothing),
        TEST(test_forged_frames_prove_nothing),
        TEST(test_newer_frames_are_not_cut),
        cmocka_unit_test(test_what_was_recovered_is_durable),
        TEST(test_missing_segments),
        TEST(test_frames_that_do_not_belong),
        TEST(test_failing_disk_while_opening),
        cmocka_unit_test(test_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
