/* What operator.h promises of every call, seen by a host: with the public headers only. */
#include "tests/public/operator_host.h"

#include <pthread.h>

static const leat_key_groups ALL = {8, 0, 8};

static leat_operator *open_kind(const char *kind, const char *config, leat_key_groups owned) {
    leat_error err = {0};
    leat_operator *op = NULL;
    host_check(leat_operator_open(kind, config, NULL, owned, &op, &err), &err);
    return op;
}

static void assert_words(const leat_error *err, const char *words) {
    if (!strstr(err->message, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err->message, words);
    }
}

static void input_table(const leat_operator *op, int input, struct table *table, bool large) {
    struct ArrowSchema schema;
    assert_int_equal(leat_operator_schema(op, LEAT_INPUT, input, &schema, NULL), LEAT_OK);
    table_init(table, &schema, large);
    schema.release(&schema);
}

static struct host_row action(const char *kind, int user, int item, int id) {
    return (struct host_row){.kind = kind,
                             .user = user,
                             .item = item,
                             .id = id,
                             .request = -1,
                             .category = -1,
                             .time_ms = HOST_START_MS};
}

/* --- opening --- */

static void test_open_refuses(void **state) {
    (void)state;
    leat_operator *op = NULL;
    leat_error err = {0};
    assert_int_equal(leat_operator_open("joins", "", NULL, ALL, &op, &err), LEAT_INVALID);
    assert_words(&err, "did you mean 'join'?");
    assert_int_equal(leat_operator_open("join", "flow: {dedub: 1h}", NULL, ALL, &op, &err),
                     LEAT_INVALID);
    assert_words(&err, "dedup");
    static const leat_key_groups wrong[] = {
        {0, 0, 0}, {8, 3, 3}, {8, 5, 4}, {8, 0, 9}, {LEAT_KEY_GROUPS_MAX + 1, 0, 1}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(leat_operator_open("join", "", NULL, wrong[i], &op, &err), LEAT_INVALID);
        assert_words(&err, "key groups");
    }
    assert_null(op);
}

static void test_key_groups_are_the_golden_ones(void **state) {
    (void)state;
    FILE *file = fopen(LEAT_SOURCE_DIR "/tests/golden/key_groups.txt", "r");
    assert_non_null(file);
    char line[8192];
    int vectors = 0;
    while (fgets(line, sizeof(line), file)) {
        char *hash = strchr(line, '\t');
        if (line[0] == '#' || !hash) {
            continue;
        }
        unsigned group;
        uint64_t want;
        assert_int_equal(sscanf(hash, "\t%" SCNx64 "\t%u", &want, &group), 2);
        assert_true(leat_key_hash(line, (size_t)(hash - line)) == want);
        assert_int_equal(leat_key_group(line, (size_t)(hash - line), 128), group);
        vectors++;
    }
    fclose(file);
    assert_true(vectors > 10);
}

/* --- what is refused, with column and row --- */

typedef void (*spoil)(struct table *table);

static void spoil_kind(struct table *table) {
    struct host_row row = action("clack", 1, 1, -1);
    host_event(table, &row);
}
static void spoil_user(struct table *table) {
    struct host_row row = action("click", -1, 1, -1);
    host_event(table, &row);
}
static void spoil_item(struct table *table) {
    struct host_row row = action("impression", 1, -1, -1);
    host_event(table, &row);
}
static void spoil_surface(struct table *table) {
    table_text(table, "kind", "user");
    table_i64(table, "time", 1);
    table_text(table, "user", "u");
    table_text(table, "surface", "nowhere");
    table_row_end(table);
}
static void spoil_text(struct table *table) {
    table_text(table, "kind", "user");
    table_i64(table, "time", 1);
    table_text(table, "user", "\xC3(");
    table_row_end(table);
}
static void spoil_empty(struct table *table) {
    table_text(table, "kind", "user");
    table_i64(table, "time", 1);
    table_text(table, "user", "");
    table_row_end(table);
}
static void spoil_long(struct table *table) {
    char text[LEAT_KEY_BYTES_MAX + 2];
    memset(text, 'a', sizeof(text));
    text[LEAT_KEY_BYTES_MAX + 1] = '\0';
    table_text(table, "kind", "user");
    table_i64(table, "time", 1);
    table_text(table, "user", text);
    table_row_end(table);
}
static void spoil_time(struct table *table) {
    table_text(table, "kind", "user");
    table_i64(table, "time", INT64_MIN);
    table_text(table, "user", "u");
    table_row_end(table);
}
static void spoil_null(struct table *table) {
    table_text(table, "kind", "user");
    table_text(table, "user", "u");
    table_row_end(table);
}
static void spoil_value(struct table *table) {
    table_text(table, "kind", "click");
    table_i64(table, "time", 1);
    table_text(table, "user", "u");
    table_text(table, "item", "i");
    table_f64(table, "value", 1e308 * 10);
    table_row_end(table);
}
static void spoil_context(struct table *table) {
    static const char *const context[] = {"device", "\"phone\"", "odd"};
    table_text(table, "kind", "user");
    table_i64(table, "time", 1);
    table_text(table, "user", "u");
    table_texts(table, "context", context, 3);
    table_row_end(table);
}

/* Two good rows stand before the bad one, so it is row 2; nothing of the batch is applied. */
static void test_refused_batches_say_where_and_change_nothing(void **state) {
    (void)state;
    static const struct {
        spoil spoil;
        const char *words;
    } cases[] = {
        {spoil_kind, "column kind, row 2: 'clack'"},
        {spoil_user, "column user, row 2: missing"},
        {spoil_item, "column item, row 2: missing"},
        {spoil_surface, "column surface, row 2: 'nowhere'"},
        {spoil_text, "column user, row 2: not UTF-8"},
        {spoil_empty, "column user, row 2: 0 bytes"},
        {spoil_long, "column user, row 2: 129 bytes"},
        {spoil_time, "column time, row 2"},
        {spoil_null, "column time, row 2: a null"},
        {spoil_value, "column value, row 2"},
        {spoil_context, "column context, row 2: 3 entries"},
    };
    leat_operator *op = open_kind("profile", HOST_CONFIG, ALL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table table;
        struct ArrowArray batch;
        leat_error err = {0};
        input_table(op, 0, &table, false);
        struct host_row good = action("click", 1, 2, -1);
        host_event(&table, &good);
        host_event(&table, &good);
        cases[i].spoil(&table);
        table_export(&table, &batch);
        assert_int_equal(leat_operator_push(op, 0, &batch, &err), LEAT_INVALID);
        assert_null(batch.release);
        assert_words(&err, cases[i].words);
        table_deinit(&table);
    }
    leat_buffer words;
    leat_key key = {"u1", 2};
    assert_int_equal(leat_operator_lookup(op, &key, &words, NULL), LEAT_NOT_FOUND);
    leat_operator_close(op);
}

static void test_rows_of_other_groups_are_refused(void **state) {
    (void)state;
    const char *kinds[] = {"dedup", "join", "profile", "tally"};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct host one = {.kind = kinds[k]};
        for (int n = 0; n < 40; n++) {
            int input = strcmp(kinds[k], "join") == 0 ? 1 : 0;
            struct host_row row = action("click", n, n, n);
            char text[HOST_TEXT];
            const char *key = host_key(&one, &row, text);
            uint32_t group = leat_key_group(key, strlen(key), 8);
            leat_key_groups owned = {8, 2, 5};
            leat_operator *op = open_kind(kinds[k], HOST_CONFIG, owned);
            struct table table;
            struct ArrowArray batch;
            leat_error err = {0};
            input_table(op, input, &table, false);
            host_event(&table, &row);
            table_export(&table, &batch);
            leat_status status = leat_operator_push(op, input, &batch, &err);
            bool mine = group >= 2 && group < 5;
            assert_int_equal(status, mine ? LEAT_OK : LEAT_INVALID);
            if (!mine) {
                char words[96];
                snprintf(words, sizeof(words), "row 0: key '%s' is of group %u", key, group);
                assert_words(&err, words);
            }
            leat_buffer found;
            leat_key asked = {key, strlen(key)};
            status = leat_operator_lookup(op, &asked, &found, &err);
            assert_int_equal(status == LEAT_INVALID, !mine);
            leat_buffer_release(&found);
            table_deinit(&table);
            leat_operator_close(op);
        }
    }
}

/* --- batches of other shapes --- */

static void fill_ids(struct table *table, int count) {
    for (int i = 0; i < count; i++) {
        struct host_row row = action("click", i % 7, i % 5, i % 11);
        row.category = i % 3 ? -1 : i;
        host_event(table, &row);
    }
}

static void push_and_collect(leat_operator *op, struct ArrowArray *batch, struct lines *lines) {
    leat_error err = {0};
    struct ArrowSchema schema;
    struct ArrowArray out;
    host_check(leat_operator_push(op, 0, batch, &err), &err);
    assert_int_equal(leat_operator_schema(op, LEAT_OUTPUT, 0, &schema, NULL), LEAT_OK);
    while (leat_operator_pull(op, 0, &out, &err) == LEAT_OK) {
        for (int64_t row = 0; row < out.length; row++) {
            lines_add(lines, line_of(&schema, &out, row));
        }
        out.release(&out);
    }
    schema.release(&schema);
}

/* The first of each of ids 0..10, as dedup passes them of rows [from, to) of fill_ids. */
static void assert_passed(struct lines *lines, int from, int to) {
    bool seen[11] = {false};
    int count = 0;
    for (int i = from; i < to; i++) {
        if (!seen[i % 11]) {
            char want[64];
            assert_true(count < lines->count);
            snprintf(want, sizeof(want), "user=u%d item=i%d id=e%d ", i % 7, i % 5, i % 11);
            assert_non_null(strstr(lines->lines[count], want));
            snprintf(want, sizeof(want), i % 3 ? "categories=- " : "categories=c%d, ", i);
            assert_non_null(strstr(lines->lines[count], want));
            count++;
        }
        seen[i % 11] = true;
    }
    assert_int_equal(lines->count, count);
    lines_clear(lines);
}

/* Slices by the struct's offset, by the columns' offsets, and by both. */
static void test_slices(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        leat_operator *op = open_kind("dedup", HOST_CONFIG, ALL);
        struct table table;
        struct ArrowArray batch;
        struct lines lines = {0};
        input_table(op, 0, &table, false);
        fill_ids(&table, 60);
        table_export(&table, &batch);
        int outer = way == 1 ? 0 : 17, inner = way == 0 ? 0 : 9;
        batch.offset = outer;
        batch.length = 20;
        for (int64_t i = 0; i < batch.n_children; i++) {
            batch.children[i]->offset = inner;
            batch.children[i]->length = 60 - inner;
            batch.children[i]->null_count = -1;
        }
        push_and_collect(op, &batch, &lines);
        assert_passed(&lines, outer + inner, outer + inner + 20);
        table_deinit(&table);
        leat_operator_close(op);
    }
}

static void test_large_texts_and_missing_columns(void **state) {
    (void)state;
    leat_operator *op = open_kind("dedup", HOST_CONFIG, ALL);
    static const char *const kept[] = {"id", "item", "kind", "time", "categories", "user"};
    struct ArrowSchema schema, *children[6];
    struct ArrowSchema given;
    assert_int_equal(leat_operator_schema(op, LEAT_INPUT, 0, &schema, NULL), LEAT_OK);
    for (int i = 0; i < 6; i++) {
        for (int64_t c = 0; c < schema.n_children; c++) {
            if (strcmp(schema.children[c]->name, kept[i]) == 0) {
                children[i] = schema.children[c];
            }
        }
    }
    for (int i = 0; i < 6; i++) {
        const char *format = children[i]->format;
        children[i]->format = strcmp(format, "u") == 0       ? "U"
                              : strcmp(format, "+l") == 0    ? "+L"
                              : strcmp(kept[i], "time") == 0 ? "tsm:UTC"
                                                             : format;
    }
    given = schema;
    given.n_children = 6;
    given.children = children;
    leat_error err = {0};
    host_check(leat_operator_bind(op, 0, &given, &err), &err);
    struct table table;
    table_init(&table, &given, false);
    for (int i = 0; i < 30; i++) {
        char text[HOST_TEXT];
        table_text(&table, "kind", "click");
        table_i64(&table, "time", HOST_START_MS);
        table_text(&table, "user", host_name(text, 'u', i % 7));
        table_text(&table, "item", host_name(text, 'i', i % 5));
        table_text(&table, "id", host_name(text, 'e', i % 11));
        const char *category = host_name(text, 'c', i);
        if (i % 3 == 0) {
            table_texts(&table, "categories", &category, 1);
        }
        table_row_end(&table);
    }
    struct ArrowArray batch;
    struct lines lines = {0};
    table_export(&table, &batch);
    push_and_collect(op, &batch, &lines);
    assert_passed(&lines, 0, 30);
    table_deinit(&table);

    children[0]->name = "idd";
    assert_int_equal(leat_operator_bind(op, 0, &given, &err), LEAT_INVALID);
    assert_words(&err, "did you mean \"id\"?");
    children[0]->name = "id";
    given.n_children = 3; /* id, item, kind: without the time */
    assert_int_equal(leat_operator_bind(op, 0, &given, &err), LEAT_INVALID);
    assert_words(&err, "column time is missing");
    children[2]->format = "g";
    assert_int_equal(leat_operator_bind(op, 0, &given, &err), LEAT_INVALID);
    assert_words(&err, "column kind: format \"g\"");
    schema.release(&schema);
    leat_operator_close(op);
}

static void lend_release(struct ArrowArray *array) {
    array->release = NULL;
}

/* Pushes an array that stays the test's, so that it can be mended afterwards. */
static leat_status push_lent(leat_operator *op, const struct ArrowArray *batch, leat_error *err) {
    struct ArrowArray lent = *batch;
    lent.release = lend_release;
    leat_status status = leat_operator_push(op, 0, &lent, err);
    assert_null(lent.release);
    return status;
}

static void test_broken_arrays(void **state) {
    (void)state;
    static const uint8_t bits = 0xFB;
    static const void *bits_buffer[1] = {&bits}, *no_buffer[1] = {NULL};
    leat_operator *op = open_kind("dedup", HOST_CONFIG, ALL);
    struct table table;
    struct ArrowArray batch;
    leat_error err = {0};
    input_table(op, 0, &table, false);
    fill_ids(&table, 6);
    table_export(&table, &batch);
    struct ArrowArray *kind = batch.children[0];
    int32_t *offsets = (int32_t *)(uintptr_t)kind->buffers[1];
    const void *bytes = kind->buffers[2];

    offsets[4] = 2;
    assert_int_equal(push_lent(op, &batch, &err), LEAT_INVALID);
    assert_words(&err, "column kind, row 3: offsets fall");
    offsets[4] = 20;
    kind->buffers[2] = NULL;
    assert_int_equal(push_lent(op, &batch, &err), LEAT_INVALID);
    assert_words(&err, "column kind, row 0: the bytes of its texts are missing");
    kind->buffers[2] = bytes;
    kind->length = 5;
    assert_int_equal(push_lent(op, &batch, &err), LEAT_INVALID);
    assert_words(&err, "kind: an array that is");
    kind->length = 6;
    batch.n_children--;
    assert_int_equal(push_lent(op, &batch, &err), LEAT_INVALID);
    assert_words(&err, "event: an array that is");
    batch.n_children++;
    const void **own = batch.buffers;
    batch.buffers = bits_buffer;
    batch.null_count = 1;
    assert_int_equal(push_lent(op, &batch, &err), LEAT_INVALID);
    assert_words(&err, "event, row 2: null as a whole");
    batch.buffers = no_buffer;
    batch.length = LEAT_BATCH_ROWS_MAX + 1;
    assert_int_equal(push_lent(op, &batch, &err), LEAT_INVALID);
    batch.length = 6;
    batch.buffers = own;
    assert_int_equal(leat_operator_push(op, 1, &batch, &err), LEAT_INVALID);
    assert_words(&err, "no input 1");
    assert_int_equal(leat_operator_push(op, 0, &batch, &err), LEAT_INVALID); /* released by now */
    table_deinit(&table);
    leat_operator_close(op);
}

/* --- output, time, ends --- */

static void test_back_pressure(void **state) {
    (void)state;
    enum { ROWS = 3 * LEAT_PULL_ROWS_MAX };
    leat_operator *op = open_kind("dedup", HOST_CONFIG, ALL);
    struct table table;
    struct ArrowArray batch;
    leat_error err = {0};
    input_table(op, 0, &table, false);
    int64_t taken = 0, given = 0;
    leat_status status = LEAT_OK;
    for (int i = 0; i < 2 * LEAT_WAITING_MAX && status == LEAT_OK; i++) {
        for (int row = 0; row < ROWS; row++) {
            struct host_row event = action("user", 1, -1, -1);
            host_event(&table, &event);
        }
        table_export(&table, &batch);
        status = leat_operator_push(op, 0, &batch, &err);
        assert_null(batch.release);
        taken += status == LEAT_OK ? ROWS : 0;
    }
    assert_int_equal(status, LEAT_AGAIN);
    assert_true(err.retry);
    assert_true(taken > (int64_t)LEAT_WAITING_MAX * LEAT_PULL_ROWS_MAX &&
                taken <= (int64_t)LEAT_WAITING_MAX * LEAT_PULL_ROWS_MAX + ROWS);
    leat_snapshot *snapshot;
    assert_int_equal(leat_operator_freeze(op, &snapshot, &err), LEAT_AGAIN);
    assert_words(&err, "pull it first");
    while (leat_operator_pull(op, 0, &batch, &err) == LEAT_OK) {
        given += batch.length;
        batch.release(&batch);
    }
    assert_int_equal(given, taken);
    table_deinit(&table);
    leat_operator_close(op);
}

/* What time makes due is worked off as the host pulls, and nothing is lost. */
static void test_time_stops_for_output(void **state) {
    (void)state;
    enum { SHOWN = 40000 };
    leat_operator *op = open_kind("join", HOST_CONFIG, (leat_key_groups){4096, 0, 4096});
    struct table tables[2];
    struct ArrowArray batch;
    leat_error err = {0};
    for (int input = 0; input < 2; input++) {
        input_table(op, input, &tables[input], false);
        for (int i = 0; i < SHOWN; i++) {
            struct host_row row = action(input == 0 ? NULL : "impression", i, i % 100, -1);
            row.request = i;
            (input == 0 ? host_served : host_event)(&tables[input], &row);
        }
        table_export(&tables[input], &batch);
        host_check(leat_operator_push(op, input, &batch, &err), &err);
        table_deinit(&tables[input]);
    }
    assert_int_equal(leat_operator_pull(op, 0, &batch, &err), LEAT_AGAIN);
    host_check(leat_operator_end(op, 0, &err), &err);
    assert_int_equal(leat_operator_pull(op, 0, &batch, &err), LEAT_AGAIN);
    host_check(leat_operator_end(op, 1, &err), &err);
    int64_t given = 0;
    while (leat_operator_pull(op, 0, &batch, &err) == LEAT_OK) {
        given += batch.length;
        batch.release(&batch);
    }
    assert_int_equal(leat_operator_pull(op, 0, &batch, &err), LEAT_END);
    assert_int_equal(given, 2 * SHOWN); /* windows of one and of five minutes settle apart */
    struct ArrowArray empty = {.release = lend_release};
    assert_int_equal(leat_operator_push(op, 0, &empty, &err), LEAT_CLOSED);
    leat_operator_close(op);
}

static void test_time_is_checked(void **state) {
    (void)state;
    leat_operator *op = open_kind("join", HOST_CONFIG, ALL);
    leat_error err = {0};
    assert_int_equal(leat_operator_now(op, -1, &err), LEAT_INVALID);
    assert_int_equal(leat_operator_now(op, INT64_MAX, &err), LEAT_INVALID);
    host_check(leat_operator_now(op, 1000, &err), &err);
    host_check(leat_operator_now(op, 10, &err), &err); /* passed over */
    assert_int_equal(leat_operator_watermark(op, 2, 0, &err), LEAT_INVALID);
    assert_int_equal(leat_operator_end(op, -1, &err), LEAT_INVALID);
    host_check(leat_operator_watermark(op, 0, INT64_MIN, &err), &err);
    host_check(leat_operator_watermark(op, 0, INT64_MAX, &err), &err);
    struct ArrowArray batch;
    assert_int_equal(leat_operator_pull(op, 1, &batch, &err), LEAT_INVALID);
    leat_operator_close(op);
}

/* --- memory --- */

static void test_memory_is_told_and_bounded(void **state) {
    (void)state;
    struct host counted = {0};
    leat_host calls = {.context = &counted, .memory = host_memory, .memory_max = 4 << 20};
    leat_operator *op;
    leat_error err = {0};
    host_check(leat_operator_open("dedup", HOST_CONFIG, &calls, ALL, &op, &err), &err);
    struct table table;
    struct ArrowArray batch;
    input_table(op, 0, &table, false);
    leat_status status = LEAT_OK;
    int64_t before = counted.memory;
    for (int n = 0; status == LEAT_OK && n < 400000; n++) {
        struct host_row row = action("user", 1, -1, n);
        host_event(&table, &row);
        if (table.rows == 1000) {
            table_export(&table, &batch);
            status = leat_operator_push(op, 0, &batch, &err);
            while (status == LEAT_OK && leat_operator_pull(op, 0, &batch, &err) == LEAT_OK) {
                batch.release(&batch);
            }
        }
    }
    assert_int_equal(status, LEAT_FULL);
    assert_words(&err, "The operator has failed");
    assert_true(counted.memory > before && counted.memory <= 4 << 20);
    assert_int_equal(leat_operator_now(op, 1, &err), LEAT_FULL);
    assert_int_equal(leat_operator_pull(op, 0, &batch, &err), LEAT_FULL);
    leat_snapshot *snapshot;
    assert_int_equal(leat_operator_freeze(op, &snapshot, &err), LEAT_FULL);
    assert_words(&err, "The operator has failed");
    leat_key key = {"e0", 2};
    leat_buffer words;
    assert_int_equal(leat_operator_lookup(op, &key, &words, &err), LEAT_OK);
    leat_buffer_release(&words);
    table_deinit(&table);
    leat_operator_close(op);
    assert_int_equal(counted.memory, 0);
}

/* --- snapshots --- */

/* A person with a session and items, in every group. */
static void fill_profile(struct host *host) {
    host_open(host, "profile", HOST_CONFIG, 4, 1);
    host_now(host, HOST_START_MS);
    for (int i = 0; i < 40; i++) {
        struct host_row row = action("click", i % 9, i, -1);
        host_row(host, &row);
        row = action("item", -1, i, -1);
        row.input = 2;
        row.category = i % 4;
        host_row(host, &row);
    }
    host_push(host);
}

static leat_status restore_one(struct host_block *block, uint32_t group, leat_operator *op,
                               leat_error *err) {
    leat_source source = {host_read, block};
    block->at = 0;
    return leat_operator_restore(op, group, source, err);
}

/* Any one byte changed, any end cut off: refused, and the group is as empty as before, so that the
 * good block fits afterwards. */
static void test_damaged_blocks(void **state) {
    (void)state;
    struct host host = {0};
    fill_profile(&host);
    struct host_block *blocks = host_save(&host);
    leat_error err = {0};
    for (uint32_t b = 1; b <= 4; b += 3) { /* a group, and what is shared */
        uint32_t group = b == 4 ? LEAT_GROUP_SHARED : b;
        leat_operator *op = open_kind("profile", HOST_CONFIG, (leat_key_groups){4, 0, 4});
        struct host_block *block = &blocks[b];
        size_t size = block->bytes.size;
        size_t step = size / 150 + 1;
        for (size_t at = 0; at < size; at += at < 80 ? 1 : step) {
            block->bytes.data[at] ^= 0x24;
            leat_status status = restore_one(block, group, op, &err);
            if (status != LEAT_CORRUPT && !(status == LEAT_UNSUPPORTED && at < 6)) {
                fail_msg("byte %zu of %zu: status %d, %s", at, size, status, err.message);
            }
            block->bytes.data[at] ^= 0x24;
            block->bytes.size = at;
            assert_int_equal(restore_one(block, group, op, &err), LEAT_CORRUPT);
            block->bytes.size = size;
        }
        host_check(restore_one(block, group, op, &err), &err);
        assert_int_equal(restore_one(block, group, op, &err), LEAT_CONFLICT);
        leat_operator_close(op);
    }
    host_blocks_free(&host, blocks);
    host_close(&host);
    lines_clear(&host.lines);
}

/* The block of key group 1 of fill_profile, byte for byte; `operator_test --write-golden` writes
 * it anew. */
#define GOLDEN LEAT_SOURCE_DIR "/tests/golden/savepoint_v1.block"

static void write_golden(void) {
    struct host host = {0};
    fill_profile(&host);
    struct host_block *blocks = host_save(&host);
    FILE *file = fopen(GOLDEN, "wb");
    assert_non_null(file);
    size_t size = blocks[1].bytes.size;
    assert_int_equal(fwrite(blocks[1].bytes.data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    host_blocks_free(&host, blocks);
    host_close(&host);
    lines_clear(&host.lines);
}

static void test_golden_block(void **state) {
    (void)state;
    struct host host = {0};
    fill_profile(&host);
    struct host_block *blocks = host_save(&host), golden = {{0}, 0};
    FILE *file = fopen(GOLDEN, "rb");
    assert_non_null(file);
    char bytes[4096];
    for (size_t n; (n = fread(bytes, 1, sizeof(bytes), file)) > 0;) {
        table_add(&golden.bytes, bytes, n);
    }
    fclose(file);
    assert_int_equal(golden.bytes.size, blocks[1].bytes.size);
    assert_memory_equal(golden.bytes.data, blocks[1].bytes.data, golden.bytes.size);
    leat_operator *op = open_kind("profile", HOST_CONFIG, (leat_key_groups){4, 0, 4});
    leat_error err = {0};
    host_check(restore_one(&golden, 1, op, &err), &err);
    leat_operator_close(op);
    free(golden.bytes.data);
    host_blocks_free(&host, blocks);
    host_close(&host);
    lines_clear(&host.lines);
}

static void test_blocks_of_others(void **state) {
    (void)state;
    struct host host = {0};
    fill_profile(&host);
    struct host_block *blocks = host_save(&host);
    leat_error err = {0};
    static const struct {
        const char *kind, *config;
        leat_key_groups owned;
        uint32_t block, group;
        leat_status status;
        const char *words;
    } cases[] = {
        {"join", HOST_CONFIG, {4, 0, 4}, 1, 1, LEAT_CONFLICT, "a block of profile"},
        {"profile", HOST_CONFIG, {4, 0, 4}, 1, 2, LEAT_CONFLICT, "key group 1 of 4"},
        {"profile", HOST_CONFIG, {8, 0, 8}, 1, 1, LEAT_CONFLICT, "key group 1 of 8 is needed"},
        {"profile", HOST_CONFIG, {4, 2, 4}, 1, 1, LEAT_INVALID, "owns [2, 4) of 4"},
        {"profile", "", {4, 0, 4}, 1, 1, LEAT_CONFLICT, "another list of actions"},
        {"profile", HOST_CONFIG, {4, 0, 4}, 4, 1, LEAT_CONFLICT, "key group 4294967295"},
        {"tally", HOST_CONFIG, {4, 0, 4}, 4, LEAT_GROUP_SHARED, LEAT_END, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        leat_operator *op = open_kind(cases[i].kind, cases[i].config, cases[i].owned);
        struct host_block *block = &blocks[cases[i].block];
        assert_int_equal(restore_one(block, cases[i].group, op, &err), cases[i].status);
        assert_words(&err, cases[i].words);
        leat_operator_close(op);
    }
    leat_operator *begun = open_kind("profile", HOST_CONFIG, (leat_key_groups){4, 0, 4});
    host_check(leat_operator_now(begun, 1, &err), &err);
    assert_int_equal(restore_one(&blocks[1], 1, begun, &err), LEAT_CONFLICT);
    leat_operator_close(begun);
    host_blocks_free(&host, blocks);
    host_close(&host);
    lines_clear(&host.lines);
}

/* A snapshot is of its moment, however much comes after it and whoever writes it. */
static void *write_blocks(void *context) {
    leat_snapshot *snapshot = ((void **)context)[0];
    struct host_block *blocks = ((void **)context)[1];
    for (uint32_t group = 4; group-- > 0;) {
        leat_sink sink = {host_write, &blocks[group]};
        assert_int_equal(leat_snapshot_write(snapshot, group, sink, NULL), LEAT_OK);
    }
    leat_snapshot_release(snapshot);
    return NULL;
}

static void test_snapshots_beside_the_stream(void **state) {
    (void)state;
    struct host host = {0};
    fill_profile(&host);
    struct host_block *want = host_save(&host), have[4] = {{{0}, 0}};
    leat_snapshot *snapshot, *second;
    leat_error err = {0};
    host_check(leat_operator_freeze(host.operators[0], &snapshot, &err), &err);
    assert_int_equal(leat_operator_freeze(host.operators[0], &second, &err), LEAT_AGAIN);
    assert_words(&err, "release it");
    pthread_t writer;
    void *context[2] = {snapshot, have};
    assert_int_equal(pthread_create(&writer, NULL, write_blocks, context), 0);
    for (int i = 0; i < 2000; i++) {
        struct host_row row = action("click", i % 50, i, -1);
        host_row(&host, &row);
        if (i % 50 == 0) {
            host_push(&host);
        }
    }
    pthread_join(writer, NULL);
    for (int group = 0; group < 4; group++) {
        assert_int_equal(have[group].bytes.size, want[group].bytes.size);
        assert_memory_equal(have[group].bytes.data, want[group].bytes.data, have[group].bytes.size);
        free(have[group].bytes.data);
    }
    host_blocks_free(&host, want);
    host_close(&host);
    lines_clear(&host.lines);
}

/* --- look-ups --- */

static char *lookup(const leat_operator *op, const char *key) {
    leat_buffer words;
    leat_error err = {0};
    leat_key asked = {key, strlen(key)};
    leat_status status = leat_operator_lookup(op, &asked, &words, &err);
    host_check(status, &err);
    char *text = status == LEAT_OK ? calloc(1, words.size + 1) : NULL;
    if (text) {
        memcpy(text, words.data, words.size);
    }
    leat_buffer_release(&words);
    return text;
}

static void assert_lookup(const leat_operator *op, const char *key, const char *words) {
    char *text = lookup(op, key);
    if (!text || !strstr(text, words)) {
        fail_msg("%s: %s does not hold %s", key, text ? text : "(nothing)", words);
    }
    free(text);
}

static void test_lookups(void **state) {
    (void)state;
    struct host host = {0};
    fill_profile(&host);
    assert_lookup(host.operators[0], "u3", "{\"key\":\"u3\",\"first\":1700000000000");
    assert_lookup(host.operators[0], "u3", "\"click\":{\"chances\":0,\"positives\":5}");
    assert_null(lookup(host.operators[0], "u99"));
    leat_key wrong = {"", 0};
    leat_buffer words;
    assert_int_equal(leat_operator_lookup(host.operators[0], &wrong, &words, NULL), LEAT_INVALID);
    host_close(&host);
    host_open(&host, "tally", HOST_CONFIG, 4, 1);
    struct host_row row = action("click", 1, 7, -1);
    host_row(&host, &row);
    host_push(&host);
    assert_lookup(host.operators[0], "i7", "\"total_acted\":1");
    host_close(&host);
    host_open(&host, "join", HOST_CONFIG, 4, 1);
    row = action(NULL, 1, 7, -1);
    row.request = 1;
    host_row(&host, &row);
    host_push(&host);
    assert_lookup(host.operators[0], "u1", "\"records\":1");
    host_close(&host);
    lines_clear(&host.lines);
}

struct reader {
    const leat_operator *op;
    _Atomic int stop;
    int found;
};

static void *read_on(void *context) {
    struct reader *reader = context;
    for (int i = 0; !reader->stop; i++) {
        char text[HOST_TEXT];
        char *words = lookup(reader->op, host_name(text, 'u', i % 50));
        reader->found += words != NULL;
        free(words);
    }
    return NULL;
}

static void test_lookups_beside_the_stream(void **state) {
    (void)state;
    struct host host = {0};
    fill_profile(&host);
    struct reader reader = {.op = host.operators[0]};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (int i = 0; i < 3000; i++) {
        struct host_row row = action("click", i % 50, i, -1);
        host_row(&host, &row);
        if (i % 20 == 0) {
            host_now(&host, HOST_START_MS + i);
            host_push(&host);
        }
    }
    reader.stop = 1;
    pthread_join(thread, NULL);
    assert_true(reader.found > 0);
    host_close(&host);
    lines_clear(&host.lines);
}

int main(int count, char **words) {
    if (count == 2 && strcmp(words[1], "--write-golden") == 0) {
        write_golden();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_key_groups_are_the_golden_ones),
        cmocka_unit_test(test_refused_batches_say_where_and_change_nothing),
        cmocka_unit_test(test_rows_of_other_groups_are_refused),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_large_texts_and_missing_columns),
        cmocka_unit_test(test_broken_arrays),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_time_stops_for_output),
        cmocka_unit_test(test_time_is_checked),
        cmocka_unit_test(test_memory_is_told_and_bounded),
        cmocka_unit_test(test_damaged_blocks),
        cmocka_unit_test(test_golden_block),
        cmocka_unit_test(test_blocks_of_others),
        cmocka_unit_test(test_snapshots_beside_the_stream),
        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_lookups_beside_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
