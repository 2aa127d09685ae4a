/* Erasing and retention against a naive model: an array of what every row of the log should be.
 *
 * The model knows for each sequence number who it is by; a forget row turns all rows of its person
 * before it, and itself, into erased ones once a pass is over. Whatever happens between (a power
 * cut, a failing disk, a reader in the midst of a segment), each row reads as it was or as erased,
 * and after a pass that ended the bytes of the folder do not hold the person's id. */
#define _GNU_SOURCE /* memmem */
#include "base/hash.h"
#include "log/log_erase.h"
#include "log/log_fixture.h"

enum { PERSONS = 6, ROWS_MAX = 4000, SEGMENT_BYTES = 4096 };

struct model_row {
    int person; /* -1: nobody */
    bool served, item, forget, erased;
};

struct model {
    struct model_row rows[ROWS_MAX];
    uint64_t count;
    uint64_t begin; /* below: removed by retention */
};

static int set_up(void **state) {
    static struct fixture fixture;
    fixture_init(&fixture, 1);
    fixture.options.segment_bytes = SEGMENT_BYTES;
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    fixture_deinit(*state);
    return 0;
}

/* --- making rows --- */

static void person_name(int person, char out[32]) {
    snprintf(out, 32, "person-%d-unmistakable", person);
}

static void add_event(struct fixture *f, const char *kind, int person, uint64_t number) {
    char user[32];
    char id[32];
    person_name(person, user);
    snprintf(id, sizeof(id), "e%llu", (unsigned long long)number);
    struct posted_event event = {.kind = slice_of(kind),
                                 .user = slice_of(user),
                                 .item = slice_of(id),
                                 .id = slice_of(id),
                                 .context_count = 1,
                                 .context = {slice_of("region"), slice_of("21")}};
    if (slice_is(event.kind, "item")) {
        event.category_count = 1;
        event.categories[0] = slice_of("news");
    }
    fixture_add(f->events, f->config, &event);
}

static void add_served(struct fixture *f, int person, uint64_t number) {
    char user[32];
    char item[32];
    person_name(person, user);
    snprintf(item, sizeof(item), "s%llu", (unsigned long long)number);
    builder_text(f->served, SERVED_REQUEST, slice_of("r1"));
    builder_text(f->served, SERVED_USER, slice_of(user));
    builder_text(f->served, SERVED_ITEM, slice_of(item));
    builder_text(f->served, SERVED_SURFACE, slice_of("for_you"));
    builder_i64(f->served, SERVED_TIME, FIXTURE_NOW_MS);
    builder_i32(f->served, SERVED_SLOT, 0);
    builder_f64(f->served, SERVED_SCORE, 0.5);
    builder_i32(f->served, SERVED_CHANNELS, 1);
    builder_list_u64(f->served, SERVED_KEYS, &number, 1);
    builder_list_f32(f->served, SERVED_DENSE, (const float[]){0.5f}, 1);
    builder_row_end(f->served);
}

/* One commit of a few rows; true when it was acknowledged, and then the model has them. */
static bool append_rows(struct fixture *f, struct model *model, uint64_t chance) {
    struct model_row rows[8];
    int count = 1 + (int)(chance % 7);
    bool served = chance >> 8 & 1;
    builder_clear(f->events);
    builder_clear(f->served);
    for (int i = 0; i < count; i++) {
        uint64_t draw = hash_mix(chance, (uint64_t)i);
        int person = (int)(draw % PERSONS);
        rows[i] = (struct model_row){
            .person = person, .served = served, .forget = !served && (draw >> 20) % 40 == 0};
        if (served) {
            add_served(f, person, model->count + (uint64_t)i);
        } else {
            rows[i].item = !rows[i].forget && (draw >> 30) % 8 == 0;
            add_event(f,
                      rows[i].forget ? "forget"
                      : rows[i].item ? "item"
                                     : "click",
                      person, model->count + (uint64_t)i);
        }
    }
    struct batch batch = fixture_finish(served ? f->served : f->events);
    if (log_append(f->log, &batch, 1, NULL, NULL) < 0) {
        return false;
    }
    memcpy(&model->rows[model->count], rows, (size_t)count * sizeof(rows[0]));
    model->count += (uint64_t)count;
    return true;
}

/* What a whole pass makes of the rows before `until`. */
static void model_erase(struct model *model, uint64_t until) {
    for (int person = 0; person < PERSONS; person++) {
        uint64_t last = 0;
        for (uint64_t i = 0; i < until; i++) {
            bool forgets = model->rows[i].forget && !model->rows[i].erased;
            last = model->rows[i].person == person && forgets ? i + 1 : last;
        }
        for (uint64_t i = 0; i < last; i++) {
            model->rows[i].erased |= model->rows[i].person == person;
        }
    }
}

/* --- checking --- */

static bool text_is_absent(const struct batch *batch, int column, int64_t row) {
    return batch_text(batch, column, row).size == 0;
}

static void check_event(const struct batch *batch, int64_t row, uint64_t sequence,
                        const struct model_row *want, bool erased) {
    char user[32];
    char id[32];
    person_name(want->person, user);
    snprintf(id, sizeof(id), "e%llu", (unsigned long long)sequence);
    assert_int_equal(batch_i64(batch, EVENT_TIME, row), FIXTURE_NOW_MS);
    if (!erased) {
        assert_true(slice_is(batch_text(batch, EVENT_USER, row), user));
        assert_true(slice_is(batch_text(batch, EVENT_ID, row), id));
        return;
    }
    static const int gone[] = {EVENT_USER, EVENT_ID, EVENT_REQUEST, EVENT_SESSION, EVENT_CONTEXT};
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        assert_true(batch_is_null(batch, gone[i], row));
    }
    assert_int_equal(record_is_erased(batch, row), !want->item);
    assert_int_equal(slice_is(batch_text(batch, EVENT_ITEM, row), id), want->item);
    assert_int_equal(batch_list_text_count(batch, EVENT_CATEGORIES, row), want->item);
}

static void check_served(const struct batch *batch, int64_t row, const struct model_row *want,
                         bool erased) {
    char user[32];
    person_name(want->person, user);
    assert_int_equal(record_is_erased(batch, row), erased);
    if (!erased) {
        assert_true(slice_is(batch_text(batch, SERVED_USER, row), user));
        return;
    }
    assert_true(batch_is_null(batch, SERVED_USER, row));
    assert_true(text_is_absent(batch, SERVED_ITEM, row));
    assert_true(text_is_absent(batch, SERVED_REQUEST, row));
}

static bool row_erased(const struct batch *batch, int64_t row) {
    int column = batch->schema->id == SCHEMA_EVENT ? EVENT_USER : SERVED_USER;
    return batch_is_null(batch, column, row);
}

/* Reads all rows. `exact`: erased ones are those of the model; else they may be too, where an
 * erased row is one of the model's that any pass could have erased. */
static void check_log(struct fixture *f, const struct model *model, bool exact) {
    struct log_reader *reader = NULL;
    struct log_entry entry;
    uint64_t next = log_begin(f->log);
    assert_true(log_end(f->log) >= model->count);
    assert_int_equal(log_reader_open(f->log, next, &reader, NULL), LEAT_OK);
    leat_error err = {.message = ""};
    while (next < model->count && log_read(reader, &entry, &err) == LEAT_OK) {
        assert_int_equal(entry.frame.first_sequence, next);
        for (int64_t row = 0; row < entry.batch.rows && next < model->count; row++, next++) {
            const struct model_row *want = &model->rows[next];
            bool erased = exact ? want->erased : row_erased(&entry.batch, row);
            if (want->served) {
                check_served(&entry.batch, row, want, erased);
            } else {
                check_event(&entry.batch, row, next, want, erased);
            }
        }
    }
    assert_string_equal(err.message, "");
    assert_int_equal(next, model->count);
    log_reader_close(reader);
}

static leat_status list_name(void *context, const char *name) {
    struct bytes *names = context;
    bytes_append(names, name, strlen(name) + 1);
    return LEAT_OK;
}

/* Does any byte of the folder's files spell the text? */
static bool folder_holds(struct fixture *f, const char *text) {
    struct bytes names;
    bool found = false;
    bytes_init(&names);
    disk_list(f->options.disk, "log", list_name, &names, NULL);
    for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
        char path[PATH_BYTES_MAX];
        size_t size = 0;
        path_join(path, "log", (char *)names.data + at, NULL);
        const uint8_t *content = disk_fake_content(f->fake, path, &size);
        found |= content && memmem(content, size, text, strlen(text)) != NULL;
    }
    bytes_deinit(&names);
    return found;
}

/* --- passes --- */

static leat_status erase_all(struct fixture *f, leat_error *err) {
    struct log_erasure *erasure = NULL;
    leat_status status = log_erase_begin(f->log, UINT64_MAX, &erasure, err);
    while (status == LEAT_OK) {
        status = log_erase_step(erasure, err);
    }
    log_erase_end(erasure);
    return status == LEAT_END || status == LEAT_NOT_FOUND ? LEAT_OK : status;
}

static void test_a_pass_erases(void **state) {
    struct fixture *f = *state;
    static struct model model;
    model = (struct model){.count = 0};
    fixture_open(f);
    for (uint64_t i = 0; i < 300; i++) {
        assert_true(append_rows(f, &model, hash_mix(7, i)));
    }
    int forgotten = 2;
    char name[32];
    person_name(forgotten, name);
    assert_true(folder_holds(f, name));
    model.rows[model.count] = (struct model_row){.person = forgotten, .forget = true};
    builder_clear(f->events);
    add_event(f, "forget", forgotten, model.count++);
    struct batch batch = fixture_finish(f->events);
    fixture_append(f, &batch, 1);
    struct log_forgotten pending;
    log_forgotten(f->log, &pending);
    assert_int_equal(pending.end_sequence, model.count);
    assert_int_equal(pending.oldest_ms, FIXTURE_NOW_MS);
    assert_int_equal(erase_all(f, NULL), LEAT_OK);
    model_erase(&model, model.count);
    check_log(f, &model, true);
    assert_false(folder_holds(f, name));
    log_forgotten(f->log, &pending);
    assert_int_equal(pending.count, 0);
    for (int i = 0; i < 50; i++) { /* the log goes on, and the person may come back */
        assert_true(append_rows(f, &model, hash_mix(8, (uint64_t)i)));
    }
    check_log(f, &model, true);
    fixture_close(f);
    fixture_open(f);
    check_log(f, &model, true);
    assert_int_equal(f->recovery.bytes_cut, 0);
}

enum { READERS = 24 };

/* Opens readers, every other one in the segment that is still written, and reads an entry by each.
 */
static void readers_open(struct fixture *f, uint64_t seed, uint64_t count,
                         struct log_reader *readers[READERS], uint64_t next[READERS]) {
    struct log_entry entry;
    for (int i = 0; i < READERS; i++) {
        uint64_t draw = hash_mix(seed, (uint64_t)i);
        uint64_t from = i % 2 ? draw % (count + 1) : count - draw % 4;
        assert_int_equal(log_reader_open(f->log, from, &readers[i], NULL), LEAT_OK);
        next[i] = from;
        if (log_read(readers[i], &entry, NULL) == LEAT_OK) {
            next[i] = entry.frame.first_sequence + entry.frame.rows;
        }
    }
}

static void reader_finish(struct log_reader *reader, uint64_t next, uint64_t end) {
    struct log_entry entry;
    leat_error err = {.message = ""};
    while (log_read(reader, &entry, &err) == LEAT_OK) {
        assert_int_equal(entry.frame.first_sequence, next);
        next += entry.frame.rows;
    }
    assert_string_equal(err.message, "");
    assert_int_equal(next, end);
    log_reader_close(reader);
}

/* A reader that stands anywhere when segments change goes on without a gap. */
static void test_readers_cross_a_pass(void **state) {
    struct fixture *f = *state;
    static struct model model;
    model = (struct model){.count = 0};
    fixture_open(f);
    for (uint64_t round = 0; round < 12; round++) {
        struct log_reader *readers[READERS];
        uint64_t next[READERS];
        for (uint64_t i = 0; i < 15 + round; i++) {
            assert_true(append_rows(f, &model, hash_mix(round, i)));
        }
        readers_open(f, round, model.count, readers, next);
        for (uint64_t i = 0; i < 15; i++) {
            assert_true(append_rows(f, &model, hash_mix(round, 100 + i)));
        }
        assert_int_equal(erase_all(f, NULL), LEAT_OK);
        assert_true(append_rows(f, &model, hash_mix(round, 200)));
        for (int i = 0; i < READERS; i++) {
            reader_finish(readers[i], next[i], model.count);
        }
    }
}

/* --- crashes --- */

/* Appends and erases until the power goes; then what is left is whole, and a pass begun again ends.
 */
static void check_power_cut(uint64_t seed) {
    struct fixture f;
    static struct model model;
    model = (struct model){.count = 0};
    fixture_init(&f, seed);
    f.options.segment_bytes = SEGMENT_BYTES;
    f.options.retain_bytes = seed % 3 == 0 ? 3 * SEGMENT_BYTES : 0;
    fixture_open(&f);
    for (uint64_t i = 0; i < 60; i++) {
        assert_true(append_rows(&f, &model, hash_mix(seed, i)));
    }
    disk_fake_cut_at(f.fake, disk_fake_steps(f.fake) + 1 + hash_mix(seed, 1) % 160);
    for (uint64_t i = 0; i < 20 && !disk_fake_is_cut(f.fake); i++) {
        append_rows(&f, &model, hash_mix(seed, 100 + i));
        if (i % 5 == 0) {
            erase_all(&f, NULL);
            log_retain(f.log, model.count, FIXTURE_NOW_MS, NULL, NULL);
        }
    }
    fixture_close(&f);
    disk_fake_cut_at(f.fake, 0);
    disk_fake_restart(f.fake);
    fixture_open(&f);
    /* Rows of an append that the cut met may be there without the model knowing them. */
    check_log(&f, &model, false);
    uint64_t end = log_end(f.log);
    assert_int_equal(erase_all(&f, NULL), LEAT_OK);
    assert_int_equal(log_end(f.log), end);
    struct log_forgotten pending;
    log_forgotten(f.log, &pending);
    assert_int_equal(pending.count, 0);
    if (end == model.count) {
        model_erase(&model, model.count);
        check_log(&f, &model, true);
    }
    fixture_close(&f);
    fixture_open(&f);
    assert_int_equal(log_end(f.log), end);
    fixture_deinit(&f);
}

static void test_power_cuts(void **state) {
    (void)state;
    uint64_t seeds = getenv("LEAT_TEST_LONG") ? 20000 : 250;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        check_power_cut(seed);
    }
}

/* Every call of the disk fails once: the pass ends with words or not at all hurt, and the next one
 * does what is left. */
static void test_failing_disk(void **state) {
    (void)state;
    for (uint64_t step = 1; step <= 120; step++) {
        struct fixture f;
        static struct model model;
        model = (struct model){.count = 0};
        fixture_init(&f, step);
        f.options.segment_bytes = SEGMENT_BYTES;
        fixture_open(&f);
        for (uint64_t i = 0; i < 60; i++) {
            assert_true(append_rows(&f, &model, hash_mix(3, i)));
        }
        disk_fake_fail_at(f.fake, disk_fake_steps(f.fake) + step, step % 2 == 0);
        leat_error err = {.message = ""};
        if (erase_all(&f, &err) < 0) {
            assert_true(err.message[0] != '\0');
            check_log(&f, &model, false);
            fixture_close(&f);
            fixture_open(&f); /* a failed sync stops a log until it is opened again */
            assert_int_equal(erase_all(&f, NULL), LEAT_OK);
        }
        disk_fake_fail_at(f.fake, 0, false);
        model_erase(&model, model.count);
        check_log(&f, &model, true);
        fixture_deinit(&f);
    }
}

/* --- retention --- */

static uint64_t log_files(struct fixture *f) {
    struct bytes names;
    uint64_t count = 0;
    bytes_init(&names);
    assert_int_equal(disk_list(f->options.disk, "log", list_name, &names, NULL), LEAT_OK);
    for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
        count += strstr((char *)names.data + at, ".seg") != NULL;
    }
    bytes_deinit(&names);
    return count;
}

static void test_retention_by_size(void **state) {
    struct fixture *f = *state;
    static struct model model;
    model = (struct model){.count = 0};
    f->options.retain_bytes = 5 * SEGMENT_BYTES;
    fixture_open(f);
    for (uint64_t i = 0; i < 300; i++) {
        assert_true(append_rows(f, &model, hash_mix(13, i)));
    }
    uint64_t files = log_files(f);
    uint64_t removed = 1;
    assert_true(files > 12);
    assert_int_equal(log_retain(f->log, 0, FIXTURE_NOW_MS, &removed, NULL), LEAT_OK);
    assert_int_equal(removed, 0); /* no checkpoint allows it */
    struct log_reader *old = NULL;
    struct log_entry entry;
    assert_int_equal(log_reader_open(f->log, 0, &old, NULL), LEAT_OK);
    assert_int_equal(log_read(old, &entry, NULL), LEAT_OK);
    uint64_t half = model.count / 4;
    assert_int_equal(log_retain(f->log, half, FIXTURE_NOW_MS, &removed, NULL), LEAT_OK);
    assert_true(removed > 0 && log_begin(f->log) > 0 && log_begin(f->log) <= half);
    assert_int_equal(log_files(f), files - removed);
    assert_int_equal(log_retain(f->log, model.count, FIXTURE_NOW_MS, &removed, NULL), LEAT_OK);
    assert_true(log_files(f) <= 5 && log_files(f) >= 4);
    leat_error err = {.message = ""};
    leat_status status = LEAT_OK;
    while (status == LEAT_OK) { /* the file at hand is still there, the next one is not */
        status = log_read(old, &entry, &err);
    }
    assert_int_equal(status, LEAT_INVALID);
    assert_non_null(strstr(err.message, "is not in the log any more, which begins at"));
    log_reader_close(old);
    assert_int_equal(log_reader_open(f->log, 0, &old, &err), LEAT_INVALID);
    check_log(f, &model, true);
    uint64_t begin = log_begin(f->log);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(log_begin(f->log), begin);
    check_log(f, &model, true);
    for (uint64_t i = 0; i < 20; i++) {
        assert_true(append_rows(f, &model, hash_mix(14, i)));
    }
    check_log(f, &model, true);
}

static void test_retention_by_age(void **state) {
    struct fixture *f = *state;
    f->options.retain_ms = 100 * 1000;
    fixture_open(f);
    for (int i = 0; i < 400; i++) {
        struct batch batch = fixture_clicks(f->events, f->config, i * 4, 4, -1);
        manual_clock_set(&f->clock, FIXTURE_NOW_MS + i * 1000);
        fixture_append(f, &batch, 1);
    }
    int64_t now_ms = FIXTURE_NOW_MS + 399 * 1000;
    uint64_t removed;
    assert_int_equal(log_retain(f->log, log_end(f->log), now_ms, &removed, NULL), LEAT_OK);
    assert_true(removed > 0);
    struct log_reader *reader;
    struct log_entry entry;
    assert_int_equal(log_reader_open(f->log, log_begin(f->log), &reader, NULL), LEAT_OK);
    assert_int_equal(log_read(reader, &entry, NULL), LEAT_OK);
    /* Everything young is there, and of what is old at most the rest of one segment. */
    assert_true(entry.frame.append_ms <= now_ms - 100 * 1000);
    uint64_t old_rows = 0;
    do {
        old_rows += entry.frame.append_ms < now_ms - 100 * 1000 ? entry.frame.rows : 0;
    } while (log_read(reader, &entry, NULL) == LEAT_OK);
    assert_true(old_rows < 100);
    log_reader_close(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_pass_erases),          TEST(test_readers_cross_a_pass),
        cmocka_unit_test(test_power_cuts), cmocka_unit_test(test_failing_disk),
        TEST(test_retention_by_size),      TEST(test_retention_by_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
