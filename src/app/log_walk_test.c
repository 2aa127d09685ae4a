/* What is read from outside is what the log acknowledged, wherever its last file is cut, and
 * nothing in the folder changes by it. */
#include "app/log_walk.h"
#include "base/disk_fake.h"
#include "base/test.h"
#include "column/builder.h"
#include "log/log.h"
#include "log/record.h"

enum { SEGMENT_BYTES = 65536, COMMITS = 300 };

static struct disk_fake *fake;
static struct disk *disk;

static int set_up(void **state) {
    (void)state;
    leat_error err;
    if (disk_fake_create(1, &fake, &err) < 0) {
        return -1;
    }
    disk = disk_fake_disk(fake);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disk_fake_destroy(fake);
    return 0;
}

static void check(leat_status status, const leat_error *err) {
    if (status < 0) {
        fail_msg("%s", err->message);
    }
}

/* Rows of commit i are named c<i>r<row>; every third commit has a beat as a second frame. */
static void append(struct log *log, struct builder *builder, int i, uint64_t *rows) {
    leat_error err;
    char id[32];
    builder_clear(builder);
    for (int row = 0; row <= i % 5; row++) {
        snprintf(id, sizeof(id), "c%dr%d", i, row);
        builder_text(builder, EVENT_KIND, slice_of("item"));
        builder_i64(builder, EVENT_TIME, 1000 + i);
        builder_text(builder, EVENT_ITEM, slice_of(id));
        builder_row_end(builder);
    }
    struct batch batches[2];
    check(builder_finish(builder, &batches[0], &err), &err);
    batches[1] = (struct batch){.schema = schema_beat(), .rows = 1};
    struct log_receipt receipt;
    check(log_append(log, batches, i % 3 == 0 ? 2 : 1, &receipt, &err), &err);
    *rows = receipt.end_sequence;
}

static uint64_t write_log(void) {
    leat_error err;
    struct log *log;
    struct builder *builder;
    uint64_t rows = 0;
    struct log_options options = {.disk = disk,
                                  .folder = "log",
                                  .event_clock = true,
                                  .sync = true,
                                  .inline_writer = true,
                                  .segment_bytes = SEGMENT_BYTES,
                                  .queue_bytes = 1 << 20};
    check(log_open(&options, &log, NULL, &err), &err);
    check(builder_create(schema_event(), &builder, &err), &err);
    for (int i = 0; i < COMMITS; i++) {
        append(log, builder, i, &rows);
    }
    builder_destroy(builder);
    log_close(log);
    return rows;
}

/* Rows from the segment that holds `from` up to the end; their numbers follow each other. */
static uint64_t walk_rows(uint64_t from, uint64_t *first, uint64_t *unfinished) {
    leat_error err;
    struct log_walk walk;
    struct frame frame;
    struct batch batch;
    uint64_t next = UINT64_MAX;
    check(log_walk_open(&walk, disk, "log", from, &err), &err);
    leat_status status;
    while ((status = log_walk_next(&walk, &frame, &batch, &err)) == LEAT_OK) {
        *first = next == UINT64_MAX ? frame.first_sequence : *first;
        assert_true(next == UINT64_MAX || frame.first_sequence == next);
        assert_int_equal(batch.rows, frame.rows);
        next = frame.first_sequence + frame.rows;
    }
    check(status, &err);
    assert_int_equal(status, LEAT_END);
    assert_int_equal(log_walk_next(&walk, &frame, &batch, &err), LEAT_END);
    *unfinished = walk.unfinished;
    log_walk_close(&walk);
    return next;
}

static void reads_all_that_was_written(void **state) {
    (void)state;
    uint64_t rows = write_log();
    uint64_t first, unfinished;
    assert_int_equal(walk_rows(0, &first, &unfinished), rows);
    assert_int_equal(first, 0);
    assert_int_equal(unfinished, 0);
    assert_int_equal(walk_rows(rows - 1, &first, &unfinished), rows);
    assert_true(first > 0); /* there are more segments than one, and the first was passed over */
    assert_true(first <= rows - 1);
}

static leat_status keep_name(void *context, const char *name) {
    char *last = context;
    if (strstr(name, ".seg")) {
        snprintf(last, 64, "log/%s", name);
    }
    return LEAT_OK;
}

/* Cut at any place, the walk ends behind the last whole commit, says how much is left, and leaves
 * it there. */
static void a_torn_tail_is_passed_over(void **state) {
    (void)state;
    write_log();
    leat_error err;
    char path[64] = "";
    size_t size;
    check(disk_list(disk, "log", keep_name, path, &err), &err);
    uint8_t *content = disk_fake_content(fake, path, &size);
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, content, size);
    uint64_t before = UINT64_MAX;
    for (size_t cut = size; cut > size - 2000; cut -= 8) {
        check(disk_fake_set(fake, path, copy, cut - 3), &err);
        uint64_t first, unfinished;
        uint64_t rows = walk_rows(0, &first, &unfinished);
        assert_true(rows <= before);
        assert_true(unfinished > 0);
        before = rows;
        size_t now;
        disk_fake_content(fake, path, &now);
        assert_int_equal(now, cut - 3);
    }
    free(copy);
}

static void damage_before_the_last_segment_is_refused(void **state) {
    (void)state;
    write_log();
    leat_error err;
    size_t size;
    uint8_t *content = disk_fake_content(fake, "log/00000000000000000000.seg", &size);
    content[size / 2] ^= 1;
    struct log_walk walk;
    struct frame frame;
    struct batch batch;
    check(log_walk_open(&walk, disk, "log", 0, &err), &err);
    leat_status status;
    do {
        status = log_walk_next(&walk, &frame, &batch, &err);
    } while (status == LEAT_OK);
    assert_int_equal(status, LEAT_CORRUPT);
    assert_non_null(strstr(err.message, "segment 00000000000000000000.seg at offset "));
    log_walk_close(&walk);
}

static void no_log_is_said_so(void **state) {
    (void)state;
    leat_error err;
    struct log_walk walk;
    assert_int_equal(log_walk_open(&walk, disk, "nowhere", 0, &err), LEAT_INVALID);
    assert_string_equal(err.message, "no log at nowhere");
    log_walk_close(&walk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_all_that_was_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_tail_is_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_before_the_last_segment_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_log_is_said_so, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
