/* A copy of a log, made of frames as the log's writer left them. */
#include "base/rng.h"
#include "log/log_erase.h"
#include "log/log_fixture.h"

enum { COMMITS = 120, COPY_BYTES_MAX = 4000 };

/* A log of many commits of several frames, in several segments. */
static void fill(struct fixture *f) {
    struct rng rng;
    rng_init(&rng, 3);
    f->options.segment_bytes = 8192;
    fixture_open(f);
    for (int i = 0; i < COMMITS; i++) {
        int64_t now_ms = FIXTURE_NOW_MS + i * 10;
        manual_clock_set(&f->clock, now_ms);
        struct batch batches[2] = {
            fixture_clicks(f->events, f->config, i, 1 + (int)rng_below(&rng, 9), -1),
            fixture_served(f->served)};
        struct batch beat = fixture_beat();
        bool is_beat = rng_below(&rng, 4) == 0;
        fixture_append(f, is_beat ? &beat : batches, is_beat ? 1 : 1 + (int)rng_below(&rng, 2));
    }
}

static void copy_open(struct fixture *copy, uint64_t seed, uint64_t first_sequence) {
    fixture_init(copy, seed);
    copy->options.segment_bytes = 5000;
    copy->options.first_sequence = first_sequence;
    fixture_open(copy);
}

/* Copies whatever the copy lacks, in pieces of any size; the status of the append that fails. */
static leat_status copy_rest(struct fixture *from, struct fixture *to, struct rng *rng) {
    struct log_reader *reader;
    struct bytes bytes;
    bytes_init(&bytes);
    assert_int_equal(log_reader_open(from->log, log_end(to->log), &reader, NULL), LEAT_OK);
    leat_status status = LEAT_OK;
    while (status == LEAT_OK) {
        bytes_clear(&bytes);
        status = log_read_frames(reader, rng_below(rng, COPY_BYTES_MAX), &bytes, NULL);
        if (status == LEAT_OK) {
            status = log_append_frames(to->log, bytes.data, bytes.size, NULL, NULL);
        }
    }
    log_reader_close(reader);
    bytes_deinit(&bytes);
    return status;
}

/* Every frame of the copy is that of the log, but for what it says of the disk. */
static void compare(struct fixture *from, struct fixture *to, uint64_t begin) {
    struct log_reader *left, *right;
    struct log_entry want, have;
    uint64_t frames = 0;
    assert_int_equal(log_end(from->log), log_end(to->log));
    assert_int_equal(log_begin(to->log), begin);
    assert_int_equal(log_reader_open(from->log, begin, &left, NULL), LEAT_OK);
    assert_int_equal(log_reader_open(to->log, begin, &right, NULL), LEAT_OK);
    while (log_read(left, &want, NULL) == LEAT_OK) {
        assert_int_equal(log_read(right, &have, NULL), LEAT_OK);
        assert_int_equal(want.frame.first_sequence, have.frame.first_sequence);
        assert_int_equal(want.frame.append_ms, have.frame.append_ms);
        assert_int_equal(want.frame.body_checksum, have.frame.body_checksum);
        assert_int_equal(want.frame.salt, have.frame.salt);
        assert_int_equal(want.frame.flags & ~(uint32_t)FRAME_SYNCED,
                         have.frame.flags & ~(uint32_t)FRAME_SYNCED);
        frames++;
    }
    assert_int_equal(log_read(right, &have, NULL), LEAT_AGAIN);
    assert_true(frames > 1);
    log_reader_close(right);
    log_reader_close(left);
}

static void reopen(struct fixture *f) {
    fixture_close(f);
    fixture_open(f);
}

static void test_a_copy_from_any_commit(void **state) {
    (void)state;
    struct fixture f, copy;
    struct rng rng;
    rng_init(&rng, 4);
    fixture_init(&f, 1);
    fill(&f);
    struct log_reader *reader;
    struct log_entry entry;
    assert_int_equal(log_reader_open(f.log, 0, &reader, NULL), LEAT_OK);
    for (int i = 0; i < 40 && log_read(reader, &entry, NULL) == LEAT_OK; i++) {
        uint64_t begin = entry.frame.first_sequence; /* of a frame inside a commit, too */
        copy_open(&copy, 2, begin);
        assert_int_equal(copy_rest(&f, &copy, &rng), LEAT_AGAIN);
        compare(&f, &copy, begin);
        reopen(&copy);
        assert_int_equal(copy.recovery.bytes_cut, 0);
        compare(&f, &copy, begin);
        fixture_deinit(&copy);
    }
    log_reader_close(reader);
    fixture_deinit(&f);
}

/* Forget rows are known to the copy, as they would be to the log that took them. */
static void test_forget_rows_are_found(void **state) {
    (void)state;
    struct fixture f, copy;
    struct rng rng;
    rng_init(&rng, 5);
    fixture_init(&f, 1);
    fixture_open(&f);
    struct batch clicks = fixture_clicks(f.events, f.config, 1, 5, -1);
    fixture_append(&f, &clicks, 1);
    builder_clear(f.events);
    struct posted_event forget = {.kind = slice_of("forget"), .user = slice_of("user1")};
    fixture_add(f.events, f.config, &forget);
    struct batch batch = fixture_finish(f.events);
    fixture_append(&f, &batch, 1);
    copy_open(&copy, 2, 0);
    assert_int_equal(copy_rest(&f, &copy, &rng), LEAT_AGAIN);
    struct log_forgotten want, have;
    log_forgotten(f.log, &want);
    log_forgotten(copy.log, &have);
    assert_int_equal(want.count, 1);
    assert_int_equal(have.count, 1);
    assert_int_equal(have.end_sequence, want.end_sequence);
    assert_int_equal(have.oldest_ms, want.oldest_ms);
    fixture_deinit(&copy);
    fixture_deinit(&f);
}

/* --- what is refused --- */

static void expect_refused(struct fixture *copy, const struct bytes *bytes, size_t size,
                           leat_status wanted) {
    leat_error err = {.message = ""};
    uint64_t end = log_end(copy->log);
    leat_status status = log_append_frames(copy->log, bytes->data, size, NULL, &err);
    if (status != wanted && wanted != 0) {
        fail_msg("status %d: %s", status, err.message);
    }
    assert_true(status == LEAT_CORRUPT || status == LEAT_CONFLICT);
    assert_true(err.message[0] != '\0');
    assert_int_equal(log_end(copy->log), end);
}

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct fixture f, copy;
    struct bytes bytes;
    struct log_reader *reader;
    bytes_init(&bytes);
    fixture_init(&f, 1);
    fill(&f);
    copy_open(&copy, 2, 0);
    assert_int_equal(log_reader_open(f.log, 0, &reader, NULL), LEAT_OK);
    assert_int_equal(log_read_frames(reader, 1, &bytes, NULL), LEAT_OK);
    for (size_t size = 0; size < bytes.size; size += 7) {
        expect_refused(&copy, &bytes, size, LEAT_CORRUPT);
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit += 13) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_refused(&copy, &bytes, bytes.size, 0);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(log_append_frames(copy.log, bytes.data, bytes.size, NULL, NULL), LEAT_OK);
    expect_refused(&copy, &bytes, bytes.size, LEAT_CONFLICT); /* once more */
    bytes_clear(&bytes);
    assert_int_equal(log_read_frames(reader, 1, &bytes, NULL), LEAT_OK);
    bytes_clear(&bytes);
    assert_int_equal(log_read_frames(reader, 1, &bytes, NULL), LEAT_OK);
    expect_refused(&copy, &bytes, bytes.size, LEAT_CONFLICT); /* one is missing between */
    log_reader_close(reader);
    bytes_deinit(&bytes);
    fixture_deinit(&copy);
    fixture_deinit(&f);
}

static void test_another_log_is_refused(void **state) {
    (void)state;
    struct fixture f, copy;
    struct bytes bytes;
    struct log_reader *reader;
    bytes_init(&bytes);
    fixture_init(&f, 1);
    fill(&f);
    assert_int_equal(log_reader_open(f.log, 0, &reader, NULL), LEAT_OK);
    assert_int_equal(log_read_frames(reader, 1, &bytes, NULL), LEAT_OK);
    fixture_init(&copy, 2);
    copy.options.salt = f.options.salt + 1;
    fixture_open(&copy);
    expect_refused(&copy, &bytes, bytes.size, LEAT_CONFLICT);
    fixture_deinit(&copy);
    log_reader_close(reader);
    bytes_deinit(&bytes);
    fixture_deinit(&f);
}

/* The power goes at any step of copying: what is left is a beginning of the log, and the rest
 * follows. */
static void test_power_cuts(void **state) {
    (void)state;
    struct fixture f;
    struct rng rng;
    rng_init(&rng, 6);
    fixture_init(&f, 1);
    fill(&f);
    for (uint64_t step = 1; step < 100; step += 3) {
        struct fixture copy;
        fixture_init(&copy, step);
        copy.options.segment_bytes = 5000;
        disk_fake_cut_at(copy.fake, step);
        if (log_open(&copy.options, &copy.log, &copy.recovery, NULL) == LEAT_OK) {
            (void)copy_rest(&f, &copy, &rng);
        }
        fixture_close(&copy);
        disk_fake_restart(copy.fake);
        disk_fake_cut_at(copy.fake, 0);
        fixture_open(&copy);
        assert_int_equal(copy_rest(&f, &copy, &rng), LEAT_AGAIN);
        compare(&f, &copy, 0);
        fixture_deinit(&copy);
    }
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_copy_from_any_commit),
        cmocka_unit_test(test_forget_rows_are_found),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_another_log_is_refused),
        cmocka_unit_test(test_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
