/* What a live server emitted and what is made again from its log are the same examples, row for row
 * and byte for byte, over kills in the middle; and any part of them, and grouped ones, are too. */
#include "base/memory.h"
#include "base/rng.h"
#include "flow/example_file.h"
#include "flow/example_fixture.h"
#include "flow/group.h"
#include "tests/real_client.h"
#include "tests/real_server.h"

enum { PEOPLE = 40, ITEMS = 120, KILLS = 3, PAGES_A_LIFE = 60, CANONICAL_ROWS = 1000 };

static const char KEYS[] = "key_groups: 16\n"
                           "checkpoint: {every: 200ms}\n"
                           "log: {heartbeat: 20ms}\n"
                           "actions:\n"
                           "  click: {window: 300ms, weight: 1}\n"
                           "  buy: {window: 600ms, weight: 5}\n"
                           "surfaces:\n"
                           "  for_you: {show: 6}\n"
                           "  shop: {show: 4, examples: served, labels: fake_negative}\n"
                           "  live: {show: 3, labels: sliding, slide: 100ms}\n"
                           "  news: {examples: clicks}\n"
                           "examples: {folder: %s/live, file: 16KiB}\n";

static struct real_server server;
static struct real_client client;
static struct rng dice;

/* --- traffic --- */

static void post(struct bytes *events) {
    assert_true(real_client_post(&client, (struct slice){(char *)events->data, events->size}));
    assert_int_equal(client.status, 200);
    bytes_clear(events);
}

static void add(struct bytes *out, const char *kind, int user, const char *item,
                const char *surface, const char *request) {
    bytes_printf(out, "{\"kind\":\"%s\",\"user\":\"u%d\",\"item\":\"%s\",\"surface\":\"%s\"", kind,
                 user, item, surface);
    if (request[0]) {
        bytes_printf(out, ",\"request\":\"%s\"", request);
    }
    bytes_printf(out, "}\n");
}

static void post_items(struct bytes *events) {
    for (int i = 0; i < ITEMS; i++) {
        bytes_printf(events,
                     "{\"kind\":\"item\",\"item\":\"i%d\",\"author\":\"a%d\",\"categories\":"
                     "[\"c%d\"]}\n",
                     i, i % 11, i % 5);
    }
    post(events);
}

/* A page, impressions of most of it, and actions: at once, and long after its window. */
static void one_page(struct bytes *events, struct bytes *late) {
    static const char *const surfaces[] = {"for_you", "shop", "live"};
    const char *surface = surfaces[rng_below(&dice, 3)];
    struct slice items[REAL_ITEMS_MAX];
    char path[100];
    char request[100];
    char item[200];
    int user = (int)rng_below(&dice, PEOPLE);
    snprintf(path, sizeof(path), "/v1/feed?user=u%d&surface=%s", user, surface);
    assert_true(real_client_get(&client, path));
    assert_int_equal(client.status, 200);
    real_client_text(&client, "request", request, sizeof(request));
    int count = real_client_items(&client, items);
    for (int i = 0; i < count; i++) {
        snprintf(item, sizeof(item), "%.*s", (int)items[i].size, items[i].data);
        if (rng_below(&dice, 10) > 0) {
            add(events, "impression", user, item, surface, request);
        }
        uint64_t what = rng_below(&dice, 20);
        if (what < 6) {
            add(what < 3 ? events : late, what % 2 ? "click" : "buy", user, item, surface, request);
        }
    }
    snprintf(item, sizeof(item), "i%d", (int)rng_below(&dice, ITEMS));
    add(events, "click", user, item, "news", "");
    snprintf(item, sizeof(item), "i%d", (int)rng_below(&dice, ITEMS));
    add(events, "impression", user, item, "for_you", "");
    post(events);
}

static void one_life(void) {
    struct bytes events;
    struct bytes late;
    bytes_init(&events);
    bytes_init(&late);
    real_server_start(&server);
    real_client_init(&client, server.address);
    post_items(&events);
    for (int i = 0; i < PAGES_A_LIFE; i++) {
        one_page(&events, &late);
        pause_ms((int64_t)rng_below(&dice, 10));
        if (i == PAGES_A_LIFE * 3 / 4 && late.size > 0) {
            pause_ms(400);
            post(&late);
        }
    }
    bytes_deinit(&events);
    bytes_deinit(&late);
}

/* --- reading both --- */

static void copy_file(const char *path, struct builder *out) {
    struct example_reader *reader;
    struct batch batch;
    struct example example;
    leat_error err = {.message = ""};
    leat_status status = example_reader_open(disk_real(), path, &reader, &err);
    if (status != LEAT_OK) {
        fail_msg("%s: %s", path, err.message);
    }
    while ((status = example_reader_next(reader, &batch, &err)) == LEAT_OK) {
        assert_int_equal(batch.schema->id, SCHEMA_EXAMPLE);
        for (int64_t row = 0; row < batch.rows; row++) {
            example_get(&batch, row, &example);
            example_add(out, &example);
        }
    }
    if (status != LEAT_END) {
        fail_msg("%s", err.message);
    }
    example_reader_close(reader);
}

static void copy_groups(const char *path, struct builder *out) {
    struct example_reader *reader;
    struct grouping *grouping;
    struct builder *split;
    struct batch batch;
    struct batch examples;
    assert_int_equal(grouping_create(NULL, &grouping, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_example(), &split, NULL), LEAT_OK);
    assert_int_equal(example_reader_open(disk_real(), path, &reader, NULL), LEAT_OK);
    while (example_reader_next(reader, &batch, NULL) == LEAT_OK) {
        builder_clear(split);
        assert_int_equal(group_split(grouping, &batch, split, NULL), LEAT_OK);
        assert_int_equal(builder_finish(split, &examples, NULL), LEAT_OK);
        for (int64_t row = 0; row < examples.rows; row++) {
            builder_copy_row(out, &examples, row);
        }
    }
    example_reader_close(reader);
    builder_destroy(split);
    grouping_destroy(grouping);
}

struct listing {
    char folder[PATH_BYTES_MAX];
    struct builder *out;
    int files;
};

static leat_status copy_live(void *context, const char *name) {
    struct listing *listing = context;
    char path[PATH_BYTES_MAX];
    if (strstr(name, ".frames")) {
        assert_int_equal(path_join(path, listing->folder, name, NULL), LEAT_OK);
        copy_file(path, listing->out);
        listing->files++;
    }
    return LEAT_OK;
}

static void examples_of(struct builder *builder, struct batch *out) {
    assert_int_equal(builder_finish(builder, out, NULL), LEAT_OK);
}

static struct builder *new_builder(void) {
    struct builder *builder;
    assert_int_equal(builder_create(schema_example(), &builder, NULL), LEAT_OK);
    return builder;
}

/* Rows [first, first + rows) of a batch, as one canonical body. */
static void canonical(const struct batch *batch, int64_t first, int64_t rows, struct bytes *out) {
    struct builder *builder = new_builder();
    struct batch part;
    for (int64_t row = first; row < first + rows; row++) {
        builder_copy_row(builder, batch, row);
    }
    examples_of(builder, &part);
    bytes_clear(out);
    batch_body_write(&part, bytes_extend(out, batch_body_size(&part)));
    builder_destroy(builder);
}

/* `a` as the rows of `b` from `first` on: member by member, then byte for byte. */
static void same_rows(const struct batch *a, const struct batch *b, int64_t first) {
    struct bytes left;
    struct bytes right;
    bytes_init(&left);
    bytes_init(&right);
    assert_true(first + a->rows <= b->rows);
    for (int64_t row = 0; row < a->rows; row++) {
        struct example one;
        struct example other;
        example_get(a, row, &one);
        example_get(b, first + row, &other);
        same_example(&one, &other);
    }
    for (int64_t row = 0; row < a->rows; row += CANONICAL_ROWS) {
        int64_t rows = a->rows - row < CANONICAL_ROWS ? a->rows - row : CANONICAL_ROWS;
        canonical(a, row, rows, &left);
        canonical(b, first + row, rows, &right);
        assert_int_equal(left.size, right.size);
        assert_memory_equal(left.data, right.data, left.size);
    }
    bytes_deinit(&left);
    bytes_deinit(&right);
}

/* Runs `leat examples` with more words into <folder>/<name>. */
static void make_again(const char *name, const char *more) {
    char words[300];
    struct bytes errors;
    bytes_init(&errors);
    snprintf(words, sizeof(words), "examples -c leat.yaml --out %s/%s %s", server.folder, name,
             more);
    int code = real_command(&server, words, NULL, &errors);
    if (code != 0) {
        fail_msg("leat %s: %s", words, (char *)errors.data);
    }
    bytes_deinit(&errors);
}

static void path_in_folder(const char *name, char out[PATH_BYTES_MAX]) {
    assert_int_equal(path_join(out, server.folder, name, NULL), LEAT_OK);
}

/* --- the tests, in this order on one folder --- */

static struct builder *live;
static struct batch live_rows;

static void live_and_die(void **state) {
    (void)state;
    char keys[1000];
    snprintf(keys, sizeof(keys), KEYS, server.folder);
    real_server_configure(&server, keys);
    for (int i = 0; i < KILLS; i++) {
        one_life();
        real_client_deinit(&client);
        real_server_kill(&server);
    }
    one_life();
}

static void a_running_server_is_no_obstacle(void **state) {
    (void)state;
    pause_ms(800); /* all windows end, and sliding labels with them */
    make_again("beside.frames", "");
    real_client_deinit(&client);
    real_server_stop(&server);
}

static void live_and_made_again_are_the_same(void **state) {
    (void)state;
    struct listing listing = {.files = 0};
    struct builder *again = new_builder();
    struct builder *beside = new_builder();
    struct batch again_rows;
    struct batch beside_rows;
    char path[PATH_BYTES_MAX];
    uint32_t flags = 0;
    live = new_builder();
    listing.out = live;
    path_in_folder("live", listing.folder);
    assert_int_equal(disk_list(disk_real(), listing.folder, copy_live, &listing, NULL), LEAT_OK);
    make_again("again.frames", "");
    path_in_folder("again.frames", path);
    copy_file(path, again);
    path_in_folder("beside.frames", path);
    copy_file(path, beside);
    examples_of(live, &live_rows);
    examples_of(again, &again_rows);
    examples_of(beside, &beside_rows);
    for (int64_t row = 0; row < live_rows.rows; row++) {
        flags |= (uint32_t)batch_i32(&live_rows, EXAMPLE_FLAGS, row);
    }
    print_message("%d examples in %d files\n", (int)live_rows.rows, listing.files);
    assert_true(live_rows.rows > 1000 && listing.files > 3);
    assert_int_equal(flags, EXAMPLE_CORRECTION | EXAMPLE_FAKE | EXAMPLE_SLIDE);
    assert_int_equal(live_rows.rows, again_rows.rows);
    same_rows(&again_rows, &live_rows, 0);
    assert_true(beside_rows.rows > live_rows.rows / 2);
    same_rows(&beside_rows, &live_rows, 0);
    builder_destroy(again);
    builder_destroy(beside);
}

/* From a position that a checkpoint is at or before, and from one that it is not. */
static void any_part_is_the_same(void **state) {
    (void)state;
    uint64_t end = batch_u64(&live_rows, EXAMPLE_SEQUENCE, live_rows.rows - 1) + 1;
    for (int i = 0; i < 4; i++) {
        uint64_t from = i == 3 ? end - 1 : rng_below(&dice, end);
        uint64_t to = from + rng_below(&dice, end - from + 1);
        char more[100];
        char path[PATH_BYTES_MAX];
        struct builder *part = new_builder();
        struct batch rows;
        int64_t first = 0;
        snprintf(more, sizeof(more), "--from 0:%d --to 0:%d", (int)from, (int)to);
        make_again("part.frames", more);
        path_in_folder("part.frames", path);
        copy_file(path, part);
        examples_of(part, &rows);
        while (first < live_rows.rows && batch_u64(&live_rows, EXAMPLE_SEQUENCE, first) < from) {
            first++;
        }
        int64_t count = 0;
        while (first + count < live_rows.rows &&
               batch_u64(&live_rows, EXAMPLE_SEQUENCE, first + count) < to) {
            count++;
        }
        assert_int_equal(rows.rows, count);
        same_rows(&rows, &live_rows, first);
        builder_destroy(part);
    }
}

static void grouped_ones_split_into_the_same(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX];
    struct builder *split = new_builder();
    struct batch rows;
    make_again("grouped.frames", "--grouped");
    path_in_folder("grouped.frames", path);
    copy_groups(path, split);
    examples_of(split, &rows);
    assert_int_equal(rows.rows, live_rows.rows);
    same_rows(&rows, &live_rows, 0);
    builder_destroy(split);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    static const char *const refused[][2] = {
        {"examples -c leat.yaml", "--out FILE is missing"},
        {"examples -c leat.yaml --out x.txt", "say --format"},
        {"examples -c leat.yaml --out x.frames --from 0:9 --to 0:3", "behind --to"},
        {"examples -c leat.yaml --out x.jsonl --grouped", "Parquet and frames only"},
        {"examples -c leat.yaml --out no/such/folder/x.jsonl", "no/such/folder"},
        {"examples --data no/such --out x.jsonl", "no data folder"},
    };
    struct bytes errors;
    bytes_init(&errors);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(real_command(&server, refused[i][0], NULL, &errors), 1);
        if (!strstr((char *)errors.data, refused[i][1])) {
            fail_msg("leat %s: %s", refused[i][0], (char *)errors.data);
        }
    }
    bytes_deinit(&errors);
}

static int remove_all(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX];
    builder_destroy(live);
    path_in_folder("live", path);
    (void)disk_remove_tree(disk_real(), path, NULL);
    real_server_deinit(&server);
    return 0;
}

int main(void) {
    char binary[PATH_BYTES_MAX];
    if (!real_binary_find(binary)) {
        return REAL_SKIP;
    }
    rng_init(&dice, 7);
    real_server_init(&server);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_and_die),
        cmocka_unit_test(a_running_server_is_no_obstacle),
        cmocka_unit_test(live_and_made_again_are_the_same),
        cmocka_unit_test(any_part_is_the_same),
        cmocka_unit_test(grouped_ones_split_into_the_same),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, remove_all);
}
