/* The log as its callers see it: what is appended is read back, in order, with the right times,
 * from every position, by several threads; and what fails is said and never shown.
 *
 * `log_test --write-golden` writes tests/golden/log_v2.seg anew. */
#include "base/thread.h"
#include "log/log_erase.h"
#include "log/log_fixture.h"
#include "log/segment.h"

#define GOLDEN_PATH    LEAT_SOURCE_DIR "/tests/golden/log_v2.seg"
#define GOLDEN_PATH_V1 LEAT_SOURCE_DIR "/tests/golden/log_v1.seg"

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

static struct log_reader *reader_at(struct log *log, uint64_t from) {
    struct log_reader *reader = NULL;
    leat_error err = {.message = ""};
    if (log_reader_open(log, from, &reader, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return reader;
}

static bool read_next(struct log_reader *reader, struct log_entry *entry) {
    leat_error err = {.message = ""};
    leat_status status = log_read(reader, entry, &err);
    if (status < 0) {
        fail_msg("%s", err.message);
    }
    return status == LEAT_OK;
}

/* --- appending and reading --- */

static void test_appended_is_read_back(void **state) {
    struct fixture *f = *state;
    fixture_open(f);
    assert_int_equal(f->recovery.segments, 0);
    struct batch batches[] = {fixture_events(f->events, f->config), fixture_served(f->served),
                              fixture_beat()};
    struct log_receipt receipt = fixture_append(f, batches, 3);
    assert_int_equal(receipt.first_sequence, 0);
    assert_int_equal(receipt.end_sequence, 6);
    assert_int_equal(receipt.append_ms, FIXTURE_NOW_MS);
    assert_int_equal(log_end(f->log), 6);
    struct log_reader *reader = reader_at(f->log, 0);
    struct log_entry entry;
    assert_true(read_next(reader, &entry));
    assert_int_equal(entry.frame.flags, FRAME_SYNCED);
    assert_int_equal(entry.batch.rows, 3);
    assert_true(slice_is(batch_text(&entry.batch, EVENT_ITEM, 0), "i1"));
    assert_int_equal(batch_i64(&entry.batch, EVENT_TIME, 0), FIXTURE_NOW_MS);
    assert_int_equal(batch_i64(&entry.batch, EVENT_TIME, 1), 1507683600000);
    assert_true(read_next(reader, &entry));
    assert_ptr_equal(entry.batch.schema, schema_served());
    assert_int_equal(entry.frame.first_sequence, 3);
    assert_true(slice_is(batch_text(&entry.batch, SERVED_ITEM, 1), "i2"));
    assert_true(read_next(reader, &entry));
    assert_int_equal(entry.frame.flags, FRAME_COMMIT);
    assert_ptr_equal(entry.batch.schema, schema_beat());
    assert_false(read_next(reader, &entry));
    fixture_append(f, batches, 1); /* the same reader sees what comes later */
    assert_true(read_next(reader, &entry));
    assert_int_equal(entry.frame.first_sequence, 6);
    log_reader_close(reader);
    assert_int_equal((int)metrics_value(f->metrics, METRIC_commits_total), 2);
    assert_int_equal((int)metrics_value(f->metrics, METRIC_position_end), 9);
}

static void check_refused(struct fixture *f, const struct batch *batches, int count) {
    leat_error err = {.message = ""};
    assert_int_equal(log_append(f->log, batches, count, NULL, &err), LEAT_INVALID);
    assert_true(err.message[0] != '\0');
    assert_int_equal(log_append_later(f->log, batches, count, NULL), LEAT_INVALID);
    assert_int_equal(log_end(f->log), 0);
}

static void test_wrong_batches_are_refused(void **state) {
    struct fixture *f = *state;
    fixture_open(f);
    struct batch events = fixture_events(f->events, f->config);
    struct batch many[17];
    for (int i = 0; i < 17; i++) {
        many[i] = events;
    }
    check_refused(f, many, 0);
    check_refused(f, many, 17);
    struct batch empty = {.schema = schema_beat(), .rows = 0};
    check_refused(f, &empty, 1);
    struct schema strange = {.id = 9, .version = 1, .name = "strange"};
    struct batch stranger = {.schema = &strange, .rows = 1};
    check_refused(f, &stranger, 1);
    struct batch broken = events; /* its texts end beyond their bytes */
    broken.columns[EVENT_KIND].size[2] -= 1;
    check_refused(f, &broken, 1);
    struct batch large = events; /* refused by its sizes, before anything is looked at */
    large.columns[EVENT_TEXT].size[2] = FRAME_BODY_BYTES_MAX;
    leat_error err = {.message = ""};
    assert_int_equal(log_append(f->log, &large, 1, NULL, &err), LEAT_FULL);
    assert_false(err.retry);
    fixture_append(f, many, 16);
}

static void test_open_twice_is_a_conflict(void **state) {
    struct fixture *f = *state;
    fixture_open(f);
    struct log *second = NULL;
    assert_int_equal(log_open(&f->options, &second, NULL, NULL), LEAT_CONFLICT);
    fixture_close(f);
    fixture_open(f);
}

/* --- times --- */

/* Event times of a commit of clicks at `time_ms`, as they are in the log. */
static void check_times(struct fixture *f, int64_t posted_ms, int64_t want_ms, int64_t append_ms) {
    struct batch batch = fixture_clicks(f->events, f->config, 0, 1, posted_ms);
    struct log_receipt receipt = fixture_append(f, &batch, 1);
    assert_int_equal(receipt.append_ms, append_ms);
    struct log_reader *reader = reader_at(f->log, receipt.first_sequence);
    struct log_entry entry;
    assert_true(read_next(reader, &entry));
    assert_int_equal(entry.frame.append_ms, append_ms);
    assert_int_equal(batch_i64(&entry.batch, EVENT_TIME, 0), want_ms);
    assert_int_equal(batch_is_null(&entry.batch, EVENT_TIME_POSTED, 0), posted_ms < 0);
    if (posted_ms >= 0) {
        assert_int_equal(batch_i64(&entry.batch, EVENT_TIME_POSTED, 0), posted_ms);
    }
    log_reader_close(reader);
}

static void test_times_are_clamped(void **state) {
    struct fixture *f = *state;
    const int64_t now = FIXTURE_NOW_MS;
    const int64_t low = now - f->options.oldest_ms;
    const int64_t high = now + f->options.skew_ms;
    fixture_open(f);
    check_times(f, -1, now, now);
    check_times(f, now - 5, now - 5, now);
    check_times(f, low, low, now);
    check_times(f, high, high, now);
    assert_int_equal((int)metrics_value(f->metrics, METRIC_events_clamped_total), 0);
    check_times(f, low - 1, low, now);
    check_times(f, 0, low, now);
    check_times(f, high + 1, high, now);
    assert_int_equal((int)metrics_value(f->metrics, METRIC_events_clamped_total), 3);
}

static void test_append_time_never_goes_back(void **state) {
    struct fixture *f = *state;
    fixture_open(f);
    check_times(f, -1, FIXTURE_NOW_MS, FIXTURE_NOW_MS);
    manual_clock_set(&f->clock, FIXTURE_NOW_MS - 100000);
    check_times(f, -1, FIXTURE_NOW_MS, FIXTURE_NOW_MS);
    fixture_close(f);
    fixture_open(f);
    check_times(f, -1, FIXTURE_NOW_MS, FIXTURE_NOW_MS);
    manual_clock_set(&f->clock, FIXTURE_NOW_MS + 1);
    check_times(f, -1, FIXTURE_NOW_MS + 1, FIXTURE_NOW_MS + 1);
}

static void test_event_clock(void **state) {
    struct fixture *f = *state;
    f->options.event_clock = true;
    f->options.clock = NULL;
    fixture_open(f);
    check_times(f, -1, 0, 0);
    check_times(f, 500, 500, 500);
    check_times(f, 100, 100, 500); /* late: stays as it is, and moves nothing */
    check_times(f, -1, 500, 500);
    struct batch served = fixture_served(f->served);
    assert_int_equal(fixture_append(f, &served, 1).append_ms, 500);
    fixture_close(f);
    fixture_open(f);
    check_times(f, -1, 500, 500);
    /* Row by row, in order, through one commit of three frames. */
    struct builder *more = fixture_builder(schema_event());
    builder_clear(f->events);
    static const int64_t times[] = {600, -1, 550, 700, -1};
    for (int i = 0; i < 5; i++) {
        struct posted_event event = {.kind = slice_of("user"),
                                     .user = slice_of("u"),
                                     .has_time = times[i] >= 0,
                                     .time_ms = times[i]};
        fixture_add(f->events, f->config, &event);
    }
    struct batch batches[] = {fixture_finish(f->events), served,
                              fixture_clicks(more, f->config, 0, 1, -1)};
    struct log_receipt receipt = fixture_append(f, batches, 3);
    struct log_reader *reader = reader_at(f->log, receipt.first_sequence);
    struct log_entry entry;
    static const int64_t want[] = {600, 600, 550, 700, 700};
    assert_true(read_next(reader, &entry));
    assert_int_equal(entry.frame.append_ms, 700);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(batch_i64(&entry.batch, EVENT_TIME, i), want[i]);
    }
    assert_true(read_next(reader, &entry) && read_next(reader, &entry));
    assert_int_equal(batch_i64(&entry.batch, EVENT_TIME, 0), 700);
    log_reader_close(reader);
    builder_destroy(more);
}

/* --- segments and positions --- */

enum { ROLL_COMMITS = 40 };

/* Commits of 1 to 7 clicks; one of them is larger than a segment. Row k is by user k. */
static uint64_t append_many(struct fixture *f) {
    uint64_t rows = 0;
    for (int i = 0; i < ROLL_COMMITS; i++) {
        int count = i == 20 ? 2000 : 1 + i % 7;
        struct batch batch = fixture_clicks(f->events, f->config, (int)rows, count, -1);
        assert_int_equal(fixture_append(f, &batch, 1).first_sequence, rows);
        rows += (uint64_t)count;
    }
    return rows;
}

static void check_row(const struct log_entry *entry, uint64_t sequence) {
    char name[32];
    snprintf(name, sizeof(name), "user%llu", (unsigned long long)sequence);
    int64_t row = (int64_t)(sequence - entry->frame.first_sequence);
    assert_true(slice_is(batch_text(&entry->batch, EVENT_USER, row), name));
}

static void check_reading_from(struct fixture *f, uint64_t from) {
    struct log_reader *reader = reader_at(f->log, from);
    struct log_entry entry;
    uint64_t next = from;
    while (read_next(reader, &entry)) {
        assert_true(entry.frame.first_sequence <= next);
        check_row(&entry, next);
        next = entry.frame.first_sequence + entry.frame.rows;
        check_row(&entry, next - 1);
    }
    assert_int_equal(next, log_end(f->log));
    log_reader_close(reader);
}

static void test_segments_roll_and_any_position_reads(void **state) {
    struct fixture *f = *state;
    f->options.segment_bytes = 4096;
    fixture_open(f);
    uint64_t rows = append_many(f);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(log_end(f->log), rows);
        for (uint64_t from = 0; from <= rows; from += from < 60 || from > rows - 60 ? 1 : 97) {
            check_reading_from(f, from);
        }
        fixture_close(f);
        fixture_open(f);
    }
    assert_true(f->recovery.segments > 3);
    assert_int_equal(f->recovery.commits, ROLL_COMMITS);
    assert_int_equal(f->recovery.bytes_cut, 0);
    assert_string_equal(f->recovery.report, "");
    struct log_reader *reader;
    assert_int_equal(log_reader_open(f->log, rows + 1, &reader, NULL), LEAT_INVALID);
}

static void test_segments_keep_their_size(void **state) {
    struct fixture *f = *state;
    f->options.segment_bytes = 4096;
    fixture_open(f);
    append_many(f);
    fixture_close(f);
    struct segment_list list = {0};
    struct disk *disk = f->options.disk;
    assert_int_equal(segment_list_read(&list, disk, "log", NULL), LEAT_OK);
    uint64_t larger = 0;
    for (size_t i = 0; i < list.count; i++) {
        struct file *file;
        uint64_t size;
        assert_int_equal(segment_open(disk, "log", list.items[i].first_sequence, &file, NULL), 0);
        assert_int_equal(file_size(file, &size, NULL), LEAT_OK);
        larger += size > 4096;
        file_close(file);
    }
    assert_int_equal(larger, 1);
    segment_list_deinit(&list);
}

/* A log whose oldest segments were removed begins where the next one does. */
static void test_begins_with_its_first_segment(void **state) {
    struct fixture *f = *state;
    f->options.segment_bytes = 2048;
    fixture_open(f);
    for (int i = 0; i < 6; i++) {
        struct batch batch = fixture_clicks(f->events, f->config, 2 * i, 2, -1);
        fixture_append(f, &batch, 1);
    }
    uint64_t end = log_end(f->log);
    fixture_close(f);
    assert_int_equal(disk_remove(f->options.disk, "log/00000000000000000000.seg", NULL), LEAT_OK);
    fixture_open(f);
    assert_true(log_begin(f->log) > 0);
    assert_int_equal(log_end(f->log), end);
    check_reading_from(f, log_begin(f->log));
    struct log_reader *reader;
    assert_int_equal(log_reader_open(f->log, log_begin(f->log) - 1, &reader, NULL), LEAT_INVALID);
}

/* --- failures --- */

static void check_log_is(struct fixture *f, uint64_t rows) {
    assert_int_equal(log_end(f->log), rows);
    check_reading_from(f, 0);
}

/* At every step of two appends, the second of which rolls, the disk fails once. */
static void check_failure_at(uint64_t step, bool full) {
    struct fixture f;
    fixture_init(&f, step);
    f.options.segment_bytes = 1024;
    fixture_open(&f);
    disk_fake_fail_at(f.fake, disk_fake_steps(f.fake) + step, full);
    uint64_t acknowledged = 0;
    leat_status failed = LEAT_OK;
    for (int i = 0; i < 3; i++) {
        struct batch batch = fixture_clicks(f.events, f.config, (int)acknowledged, 3, -1);
        leat_error err = {.message = ""};
        leat_status status = log_append(f.log, &batch, 1, NULL, &err);
        acknowledged += status == LEAT_OK ? 3 : 0;
        if (status < 0 && failed == LEAT_OK) {
            failed = status;
            assert_int_equal(err.retry, status == LEAT_FULL);
        } else {
            assert_int_equal(status, failed == LEAT_IO ? LEAT_IO : LEAT_OK);
        }
        assert_int_equal(log_end(f.log), acknowledged);
    }
    disk_fake_fail_at(f.fake, 0, false);
    check_log_is(&f, acknowledged);
    fixture_close(&f);
    fixture_open(&f);
    check_log_is(&f, acknowledged);
    fixture_deinit(&f);
}

static void test_failing_disk(void **state) {
    (void)state;
    for (uint64_t step = 1; step <= 40; step++) {
        check_failure_at(step, false);
        check_failure_at(step, true);
    }
}

/* With the n-th allocation failing, a call says so, and the same call works after. */
static void test_failing_memory(void **state) {
    struct fixture *f = *state;
    struct batch batch = fixture_clicks(f->events, f->config, 0, 3, -1);
    for (uint64_t n = 1; !f->log && n < 100; n++) {
        memory_fail_at(n);
        leat_status status = log_open(&f->options, &f->log, NULL, NULL);
        assert_true(status == LEAT_OK || status == LEAT_MEMORY);
    }
    memory_fail_at(1);
    assert_int_equal(log_append(f->log, &batch, 1, NULL, NULL), LEAT_MEMORY);
    fixture_append(f, &batch, 1);
    leat_status status = LEAT_MEMORY;
    struct log_reader *reader = NULL;
    for (uint64_t n = 1; status == LEAT_MEMORY && n < 100; n++) {
        memory_fail_at(n);
        status = log_reader_open(f->log, 0, &reader, NULL);
    }
    struct log_entry entry;
    memory_fail_at(1);
    assert_int_equal(log_read(reader, &entry, NULL), LEAT_MEMORY);
    assert_true(read_next(reader, &entry));
    memory_fail_at(0);
    log_reader_close(reader);
}

/* The same while a segment is begun: the log is as before, and goes on. On the real disk: the fake
 * one needs memory where a real one does not. */
static void test_failing_memory_while_rolling(void **state) {
    struct fixture *f = *state;
    f->options.disk = disk_real();
    f->options.folder = "log_test.memory";
    disk_remove_tree(disk_real(), f->options.folder, NULL);
    f->options.segment_bytes = 1;
    fixture_open(f);
    leat_status status = LEAT_MEMORY;
    for (uint64_t n = 1; status == LEAT_MEMORY && n < 100; n++) {
        struct batch batch = fixture_clicks(f->events, f->config, (int)log_end(f->log), 3, -1);
        fixture_append(f, &batch, 1);
        batch = fixture_clicks(f->events, f->config, (int)log_end(f->log), 3, -1);
        leat_error err = {.message = ""};
        memory_fail_at(n);
        status = log_append(f->log, &batch, 1, NULL, &err);
        memory_fail_at(0);
        assert_true(status == LEAT_OK || (status == LEAT_MEMORY && err.retry));
        check_log_is(f, log_end(f->log));
    }
    assert_int_equal(status, LEAT_OK);
    fixture_close(f);
    disk_remove_tree(disk_real(), f->options.folder, NULL);
}

static void test_lost_later_append_is_reported(void **state) {
    struct fixture *f = *state;
    fixture_open(f);
    struct batch batch = fixture_clicks(f->events, f->config, 0, 3, -1);
    disk_fake_fail_at(f->fake, disk_fake_steps(f->fake) + 1, true);
    assert_int_equal(log_append_later(f->log, &batch, 1, NULL), LEAT_OK);
    assert_int_equal(log_append_later(f->log, &batch, 1, NULL), LEAT_OK);
    leat_error err = {.message = ""};
    assert_int_equal(log_flush(f->log, &err), LEAT_FULL);
    assert_non_null(strstr(err.message, "as before"));
    assert_int_equal(log_flush(f->log, &err), LEAT_OK);
    assert_int_equal(log_end(f->log), 3);
}

/* --- threads --- */

enum { APPENDERS = 4, READERS = 2, APPENDS_EACH = 60, ROWS_EACH = 5 };

struct worker {
    struct thread thread;
    struct log *log;
    struct config *config;
    int number;
    uint64_t rows;
    bool wrong;
    _Atomic bool stop;
};

/* Appends under its own name, by turns waiting and not. */
static void *append_some(void *arg) {
    struct worker *worker = arg;
    struct builder *builder = NULL;
    worker->wrong = builder_create(schema_event(), &builder, NULL) < 0;
    uint64_t end = 0;
    for (int i = 0; i < APPENDS_EACH && !worker->wrong; i++) {
        builder_clear(builder);
        for (int k = 0; k < ROWS_EACH; k++) {
            char name[32];
            snprintf(name, sizeof(name), "%d:%d", worker->number, i * ROWS_EACH + k);
            struct posted_event event = {.kind = slice_of("user"), .user = slice_of(name)};
            worker->wrong |= event_add(builder, worker->config, &event, NULL) < 0;
        }
        struct batch batch;
        struct log_receipt receipt = {0};
        worker->wrong |= builder_finish(builder, &batch, NULL) < 0;
        if (i % 3 == 0) {
            worker->wrong |= log_append_later(worker->log, &batch, 1, NULL) < 0;
            continue;
        }
        worker->wrong |= log_append(worker->log, &batch, 1, &receipt, NULL) < 0;
        worker->wrong |=
            receipt.first_sequence < end || log_end(worker->log) < receipt.end_sequence;
        end = receipt.end_sequence;
    }
    builder_destroy(builder);
    return NULL;
}

/* Follows the log to its end; every appender's rows must come in the order it appended them. */
static void *read_all(void *arg) {
    struct worker *worker = arg;
    struct log_reader *reader = NULL;
    worker->wrong = log_reader_open(worker->log, 0, &reader, NULL) < 0;
    int next[APPENDERS] = {0};
    while (!worker->wrong && worker->rows < APPENDERS * APPENDS_EACH * ROWS_EACH) {
        struct log_entry entry;
        leat_status status = log_read(reader, &entry, NULL);
        if (status == LEAT_AGAIN) {
            log_wait(worker->log, worker->rows, 1000);
            continue;
        }
        worker->wrong = status < 0 || entry.frame.first_sequence != worker->rows;
        for (int64_t row = 0; !worker->wrong && row < entry.batch.rows; row++) {
            char name[32];
            struct slice user = batch_text(&entry.batch, EVENT_USER, row);
            int number = user.data[0] - '0';
            snprintf(name, sizeof(name), "%d:%d", number, next[number]++);
            worker->wrong = !slice_is(user, name);
        }
        worker->rows += entry.frame.rows;
    }
    log_reader_close(reader);
    return NULL;
}

static void run_workers(struct fixture *f) {
    struct worker workers[APPENDERS + READERS];
    for (int i = 0; i < APPENDERS + READERS; i++) {
        workers[i] = (struct worker){.log = f->log, .config = f->config, .number = i};
        assert_int_equal(thread_start(&workers[i].thread, "worker",
                                      i < APPENDERS ? append_some : read_all, &workers[i], NULL),
                         LEAT_OK);
    }
    for (int i = 0; i < APPENDERS + READERS; i++) {
        thread_join(&workers[i].thread);
        assert_false(workers[i].wrong);
    }
}

static void test_appenders_and_readers_at_once(void **state) {
    struct fixture *f = *state;
    f->options.inline_writer = false;
    f->options.queue_bytes = 4096; /* so that appenders wait for the writer */
    f->options.segment_bytes = 65536;
    fixture_open(f);
    run_workers(f);
    assert_int_equal(log_flush(f->log, NULL), LEAT_OK);
    uint64_t end = log_end(f->log);
    assert_int_equal(end, APPENDERS * APPENDS_EACH * ROWS_EACH);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(log_end(f->log), end);
}

static void test_close_commits_what_waits(void **state) {
    struct fixture *f = *state;
    f->options.inline_writer = false;
    fixture_open(f);
    for (int i = 0; i < 50; i++) {
        struct batch batch = fixture_clicks(f->events, f->config, i, 1, -1);
        assert_int_equal(log_append_later(f->log, &batch, 1, NULL), LEAT_OK);
    }
    fixture_close(f);
    fixture_open(f);
    check_log_is(f, 50);
}

/* --- a queue that is full --- */

static struct mutex gate;
static struct condition gate_opened;
static bool gate_shut;
static bool gate_waited; /* somebody stands before it */

/* The disk's syncs stand still while the gate is shut. */
static void hold_sync(void *context, const char *verb) {
    (void)context;
    if (strcmp(verb, "sync") != 0) {
        return;
    }
    mutex_lock(&gate);
    while (gate_shut) {
        gate_waited = true;
        condition_broadcast(&gate_opened);
        condition_wait(&gate_opened, &gate);
    }
    mutex_unlock(&gate);
}

static void gate_set(bool shut) {
    mutex_lock(&gate);
    gate_shut = shut;
    condition_broadcast(&gate_opened);
    mutex_unlock(&gate);
}

static void gate_wait(void) {
    mutex_lock(&gate);
    while (!gate_waited) {
        condition_wait(&gate_opened, &gate);
    }
    mutex_unlock(&gate);
}

/* What waits is bounded: an append that finds no room for long enough is told so and is not in the
 * log; when the disk goes on the others are. */
static void test_a_full_queue_refuses(void **state) {
    struct fixture *f = *state;
    enum { ROWS = 500 };
    mutex_init(&gate);
    condition_init(&gate_opened);
    f->options.inline_writer = false;
    f->options.queue_bytes = 65536;
    f->options.queue_wait_ms = 20;
    fixture_open(f);
    disk_fake_on_step(f->fake, hold_sync, NULL);
    gate_set(true);
    struct batch batch = fixture_clicks(f->events, f->config, 0, ROWS, -1);
    uint64_t taken = ROWS;
    leat_error err = {.message = ""};
    assert_int_equal(log_append_later(f->log, &batch, 1, NULL), LEAT_OK);
    gate_wait(); /* the writer is at it */
    struct log_backlog backlog = {0};
    size_t bytes = batch_body_size(&batch) + FRAME_HEADER_BYTES;
    while (backlog.queued_bytes + bytes <= 65536) { /* these are not waited for */
        assert_int_equal(log_append_later(f->log, &batch, 1, NULL), LEAT_OK);
        log_backlog(f->log, &backlog);
        taken += ROWS;
    }
    assert_int_equal(log_append(f->log, &batch, 1, NULL, &err), LEAT_FULL);
    assert_true(err.retry && strstr(err.message, "log.queue") && strstr(err.message, "wait"));
    assert_true(backlog.queued_bytes <= 65536 && backlog.queue_bytes == 65536);
    gate_set(false);
    assert_int_equal(log_flush(f->log, NULL), LEAT_OK);
    assert_int_equal(log_end(f->log), taken);
    assert_int_equal(log_append(f->log, &batch, 1, NULL, NULL), LEAT_OK);
    disk_fake_on_step(f->fake, NULL, NULL);
}

/* However much waits, one sync is for a few MiB. */
static void test_a_group_is_bounded(void **state) {
    struct fixture *f = *state;
    enum { ROWS = 5000, BYTES_MAX = 4 << 20 };
    mutex_init(&gate);
    condition_init(&gate_opened);
    gate_waited = false;
    f->options.inline_writer = false;
    f->options.queue_bytes = 64 << 20;
    f->options.segment_bytes = 64 << 20;
    fixture_open(f);
    disk_fake_on_step(f->fake, hold_sync, NULL);
    gate_set(true);
    struct batch batch = fixture_clicks(f->events, f->config, 0, ROWS, -1);
    size_t bytes = batch_body_size(&batch) + FRAME_HEADER_BYTES;
    uint64_t taken = 1 + 3 * (uint64_t)BYTES_MAX / bytes;
    assert_int_equal(log_append_later(f->log, &batch, 1, NULL), LEAT_OK);
    gate_wait();
    struct log_backlog backlog = {0};
    for (uint64_t i = 1; i < taken; i++) {
        assert_int_equal(log_append_later(f->log, &batch, 1, NULL), LEAT_OK);
    }
    log_backlog(f->log, &backlog);
    assert_true(backlog.queued_bytes > 2 * (size_t)BYTES_MAX);
    uint64_t before = histogram_count(metrics_summary(f->metrics, METRIC_sync_seconds));
    gate_set(false);
    assert_int_equal(log_flush(f->log, NULL), LEAT_OK);
    uint64_t syncs = histogram_count(metrics_summary(f->metrics, METRIC_sync_seconds)) - before;
    assert_true(syncs >= 4); /* the one that stood still, and three groups */
    assert_int_equal(log_end(f->log), taken * ROWS);
    disk_fake_on_step(f->fake, NULL, NULL);
}

static void test_beats(void **state) {
    struct fixture *f = *state;
    f->options.inline_writer = false;
    f->options.heartbeat_ms = 10;
    fixture_open(f);
    struct log_reader *reader = reader_at(f->log, 0);
    struct log_entry entry;
    for (uint64_t beat = 0; beat < 3; beat++) {
        manual_clock_set(&f->clock, FIXTURE_NOW_MS + (int64_t)beat);
        while (log_wait(f->log, beat, 1000) <= beat) {
        }
        assert_true(read_next(reader, &entry));
        assert_ptr_equal(entry.batch.schema, schema_beat());
        assert_true(entry.frame.append_ms >= FIXTURE_NOW_MS);
    }
    log_reader_close(reader);
}

/* Wakes again and again: the first times may come before the wait has begun. */
static void *wake_often(void *arg) {
    struct worker *worker = arg;
    while (!atomic_load(&worker->stop)) {
        log_wake(worker->log);
        log_wait(worker->log, UINT64_MAX, 1);
    }
    return NULL;
}

static void test_wait_ends_at_its_bound_or_when_woken(void **state) {
    struct fixture *f = *state;
    f->options.inline_writer = false;
    fixture_open(f);
    assert_int_equal(log_wait(f->log, 0, 0), 0);
    assert_int_equal(log_wait(f->log, 0, 5), 0);
    struct worker waker = {.log = f->log};
    assert_int_equal(thread_start(&waker.thread, "waker", wake_often, &waker, NULL), LEAT_OK);
    assert_int_equal(log_wait(f->log, 0, INT64_MAX / 2), 0);
    atomic_store(&waker.stop, true);
    thread_join(&waker.thread);
    struct batch beat = fixture_beat();
    fixture_append(f, &beat, 1);
    assert_int_equal(log_wait(f->log, 0, INT64_MAX / 2), 1);
}

/* --- golden file --- */

/* The segment of a log with fixed content: events and served rows in one commit, then a beat. */
static void make_golden(struct fixture *f) {
    fixture_open(f);
    struct batch batches[] = {fixture_events(f->events, f->config), fixture_served(f->served)};
    fixture_append(f, batches, 2);
    struct batch beat = fixture_beat();
    manual_clock_set(&f->clock, FIXTURE_NOW_MS + 1000);
    fixture_append(f, &beat, 1);
    fixture_close(f);
}

static void test_golden_segment(void **state) {
    struct fixture *f = *state;
    make_golden(f);
    size_t size;
    const uint8_t *made = disk_fake_content(f->fake, "log/00000000000000000000.seg", &size);
    struct bytes golden;
    bytes_init(&golden);
    assert_int_equal(disk_get(disk_real(), GOLDEN_PATH, 1 << 20, &golden, NULL), LEAT_OK);
    assert_int_equal(size, golden.size);
    assert_memory_equal(made, golden.data, size);
    bytes_deinit(&golden);
}

/* What version 1 wrote is read, row for row, and gone on with; what is new in version 2 is not in
 * it.
 */
static void test_golden_segment_of_version_1(void **state) {
    struct fixture *f = *state;
    struct bytes golden;
    bytes_init(&golden);
    assert_int_equal(disk_get(disk_real(), GOLDEN_PATH_V1, 1 << 20, &golden, NULL), LEAT_OK);
    assert_int_equal(disk_make_folder(f->options.disk, "log", NULL), LEAT_OK);
    disk_fake_set(f->fake, "log/00000000000000000000.seg", golden.data, golden.size);
    bytes_deinit(&golden);
    fixture_open(f);
    assert_int_equal(f->recovery.bytes_cut, 0);
    struct batch beat = fixture_beat();
    fixture_append(f, &beat, 1);
    fixture_close(f);
    fixture_open(f);
    struct log_reader *reader;
    struct log_entry entry;
    assert_int_equal(log_reader_open(f->log, 0, &reader, NULL), LEAT_OK);
    static const struct {
        uint16_t schema, version;
    } frames[] = {{SCHEMA_EVENT, 1}, {SCHEMA_SERVED, 1}, {SCHEMA_BEAT, 1}, {SCHEMA_BEAT, 2}};
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        assert_int_equal(log_read(reader, &entry, NULL), LEAT_OK);
        assert_int_equal(entry.frame.schema_id, frames[i].schema);
        assert_int_equal(entry.frame.version, frames[i].version);
        assert_int_equal(entry.frame.salt, frames[i].version == 1 ? 0 : f->options.salt);
        assert_int_equal(entry.frame.generation, 0);
        if (i == 0) {
            assert_true(slice_is(batch_text(&entry.batch, EVENT_USER, 1), "u1"));
        }
    }
    assert_int_equal(log_read(reader, &entry, NULL), LEAT_AGAIN);
    log_reader_close(reader);
    /* Erasing makes frames of version 2 of it. */
    struct log_erasure *erasure;
    leat_status status = log_erase_begin(f->log, UINT64_MAX, &erasure, NULL);
    while (status == LEAT_OK) {
        status = log_erase_step(erasure, NULL);
    }
    assert_int_equal(status, LEAT_END);
    assert_int_equal(log_erase_rows(erasure), 1);
    log_erase_end(erasure);
    uint64_t end = log_end(f->log);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(log_end(f->log), end);
    assert_int_equal(f->recovery.frames_rewritten, 4);
    assert_int_equal(log_reader_open(f->log, 0, &reader, NULL), LEAT_OK);
    assert_int_equal(log_read(reader, &entry, NULL), LEAT_OK);
    assert_int_equal(entry.frame.version, 2);
    assert_int_equal(entry.frame.generation, 1);
    assert_true(record_is_erased(&entry.batch, 2));
    assert_true(slice_is(batch_text(&entry.batch, EVENT_USER, 1), "u1"));
    log_reader_close(reader);
}

static int write_golden(void) {
    struct fixture f;
    fixture_init(&f, 1);
    make_golden(&f);
    size_t size;
    const uint8_t *made = disk_fake_content(f.fake, "log/00000000000000000000.seg", &size);
    leat_error err = {.message = ""};
    leat_status status = disk_put(disk_real(), GOLDEN_PATH, made, size, &err);
    printf("%s: %s\n", GOLDEN_PATH, status < 0 ? err.message : "written");
    fixture_deinit(&f);
    return status < 0;
}

/* --- speed, printed and never judged --- */

static void test_speed(void **state) {
    struct fixture *f = *state;
    enum { APPENDS = 100, ROWS = 1000 };
    f->options.disk = disk_real();
    f->options.folder = "log_test.speed";
    f->options.segment_bytes = 64 << 20;
    f->options.sync = false;
    disk_remove_tree(disk_real(), f->options.folder, NULL);
    fixture_open(f);
    struct batch batch = fixture_clicks(f->events, f->config, 0, ROWS, FIXTURE_NOW_MS);
    uint64_t begun = clock_monotonic_ns();
    for (int i = 0; i < APPENDS; i++) {
        fixture_append(f, &batch, 1);
    }
    double seconds = (double)(clock_monotonic_ns() - begun) / 1e9;
    begun = clock_monotonic_ns();
    check_reading_from(f, log_end(f->log)); /* opens at the end without reading */
    struct log_reader *reader = reader_at(f->log, 0);
    struct log_entry entry;
    uint64_t rows = 0;
    while (read_next(reader, &entry)) {
        rows += entry.frame.rows;
    }
    double reading = (double)(clock_monotonic_ns() - begun) / 1e9;
    log_reader_close(reader);
    assert_int_equal(rows, APPENDS * ROWS);
    double bytes = metrics_value(f->metrics, METRIC_log_bytes_total);
    printf("{\"name\":\"log_append\",\"items\":%d,\"bytes\":%.0f,\"items_per_second\":%.0f,"
           "\"read_items_per_second\":%.0f}\n",
           APPENDS * ROWS, bytes, APPENDS * ROWS / seconds, APPENDS * ROWS / reading);
    fixture_close(f);
    disk_remove_tree(disk_real(), f->options.folder, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int count, char **args) {
    if (count == 2 && strcmp(args[1], "--write-golden") == 0) {
        return write_golden();
    }
    const struct CMUnitTest tests[] = {
        TEST(test_appended_is_read_back),
        TEST(test_wrong_batches_are_refused),
        TEST(test_open_twice_is_a_conflict),
        TEST(test_times_are_clamped),
        TEST(test_append_time_never_goes_back),
        TEST(test_event_clock),
        TEST(test_segments_roll_and_any_position_reads),
        TEST(test_segments_keep_their_size),
        TEST(test_begins_with_its_first_segment),
        cmocka_unit_test(test_failing_disk),
        TEST(test_failing_memory),
        TEST(test_failing_memory_while_rolling),
        TEST(test_lost_later_append_is_reported),
        TEST(test_appenders_and_readers_at_once),
        TEST(test_close_commits_what_waits),
        TEST(test_a_full_queue_refuses),
        TEST(test_a_group_is_bounded),
        TEST(test_beats),
        TEST(test_wait_ends_at_its_bound_or_when_woken),
        TEST(test_golden_segment),
        TEST(test_golden_segment_of_version_1),
        TEST(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
