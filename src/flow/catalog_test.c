/* The catalogue against a plain array of items: descriptions, the dense list of all items not
 * deleted, and the ring of newest ones, after any mix of rows. */
#include "flow/catalog.h"
#include "flow/flow_fixture.h"

enum { ITEMS = 30, ROWS = 150, HISTORIES = 300 };

struct model_item {
    bool exists, deleted, described;
    int64_t first_ms, created_ms, expires_ms;
    int author, category_count, tag_count; /* author -1: none */
};

struct model {
    int items;
    struct model_item *item;
    int *arrived; /* numbers in order of arrival */
    int arrivals;
};

static struct catalog *open_catalog(void) {
    struct config *config = fixture_config(fixture_text);
    struct catalog *catalog;
    assert_int_equal(catalog_open(config, NULL, &catalog, NULL), LEAT_OK);
    config_destroy(config); /* is not needed any more */
    return catalog;
}

static void model_init(struct model *model, int items) {
    *model = (struct model){.items = items};
    model->item = memory_zalloc(sizeof(*model->item) * (size_t)items);
    model->arrived = memory_zalloc(sizeof(*model->arrived) * (size_t)items);
}

static void model_deinit(struct model *model) {
    memory_free(model->item);
    memory_free(model->arrived);
}

/* --- rows --- */

static char values[2 * EVENT_LIST_MAX][FIXTURE_TEXT];

/* Lists longer than the catalogue keeps are cut there. */
static void describe_row(struct made_row *made, struct rng *rng) {
    struct row *row = &made->row;
    row->author = fixture_id(made->id, 'a', rng_int(rng, -1, 3));
    row->has_created = rng_chance(rng, 50);
    row->created_ms = row->time_ms - rng_int(rng, 0, 1000000);
    row->has_expires = rng_chance(rng, 30);
    row->expires_ms = row->time_ms + rng_int(rng, 0, 1000000);
    row->category_count = rng_int(rng, 0, CATALOG_VALUES_MAX + 3);
    row->tag_count = rng_int(rng, 0, CATALOG_VALUES_MAX + 3);
    for (int i = 0; i < EVENT_LIST_MAX; i++) {
        row->categories[i] = fixture_id(values[i], 'c', i);
        row->tags[i] = fixture_id(values[EVENT_LIST_MAX + i], 't', i);
    }
}

static void model_push(struct model *model, const struct row *row, int number) {
    struct model_item *item = &model->item[number];
    if (row->kind == ROW_SERVED || (row->kind == ROW_ITEM_DELETE && !item->exists)) {
        return;
    }
    if (!item->exists) {
        *item = (struct model_item){.exists = true, .first_ms = row->time_ms, .author = -1};
        item->created_ms = row->time_ms;
        item->expires_ms = INT64_MAX;
        model->arrived[model->arrivals++] = number;
    }
    if (row->kind == ROW_ITEM_DELETE) {
        item->deleted = true;
    } else if (row->kind == ROW_ITEM) {
        item->deleted = false;
        item->described = true;
        item->created_ms = row->has_created ? row->created_ms : item->first_ms;
        item->expires_ms = row->has_expires ? row->expires_ms : INT64_MAX;
        item->author = row->author.data ? row->author.data[1] - '0' : -1;
        item->category_count =
            row->category_count < CATALOG_VALUES_MAX ? row->category_count : CATALOG_VALUES_MAX;
        item->tag_count = row->tag_count < CATALOG_VALUES_MAX ? row->tag_count : CATALOG_VALUES_MAX;
    }
}

static void push(struct catalog *catalog, struct model *model, enum row_kind kind, int number,
                 int64_t time_ms, struct rng *rng) {
    struct made_row made;
    made_begin(&made, kind, time_ms);
    made_item(&made, number);
    if (kind == ROW_ITEM) {
        describe_row(&made, rng);
    }
    catalog_push(catalog, &made.row);
    model_push(model, &made.row, number);
}

/* --- checks --- */

static void check_item(struct catalog *catalog, const struct model *model, int number) {
    const struct model_item *want = &model->item[number];
    char text[FIXTURE_TEXT];
    struct slice id = fixture_id(text, 'i', number);
    struct catalog_view view = {0};
    struct catalog_view same = {0};
    assert_int_equal(catalog_find(catalog, id, &view), want->exists);
    assert_int_equal(catalog_read(catalog, hash_slice(id), &same), want->exists);
    assert_memory_equal(&view, &same, sizeof(view));
    if (!want->exists) {
        return;
    }
    assert_true(slice_equal((struct slice){view.id, (size_t)view.id_size}, id));
    assert_int_equal(view.hash, hash_slice(id));
    assert_int_equal(view.described, want->described);
    assert_int_equal(view.deleted, want->deleted);
    assert_int_equal(view.first_ms, want->first_ms);
    assert_int_equal(view.created_ms, want->created_ms);
    assert_int_equal(view.expires_ms, want->expires_ms);
    assert_int_equal(view.author, want->author < 0 ? 0 : fixture_hash('a', want->author));
    assert_int_equal(view.category_count, want->category_count);
    assert_int_equal(view.tag_count, want->tag_count);
    for (int i = 0; i < CATALOG_VALUES_MAX; i++) {
        assert_int_equal(view.categories[i], i < want->category_count ? fixture_hash('c', i) : 0);
        assert_int_equal(view.tags[i], i < want->tag_count ? fixture_hash('t', i) : 0);
    }
}

/* As many chances in a row as there are items draw each of them once, for the list is dense. */
static void check_all(struct catalog *catalog, const struct model *model) {
    int live = 0;
    for (int i = 0; i < model->items; i++) {
        live += model->item[i].exists && !model->item[i].deleted;
    }
    assert_int_equal(catalog_count(catalog), live);
    bool *drawn = memory_zalloc((size_t)model->items);
    for (int k = 0; k < live; k++) {
        uint64_t item = catalog_draw(catalog, (uint64_t)live * 1000003 + (uint64_t)k);
        struct catalog_view view;
        assert_true(catalog_read(catalog, item, &view));
        int number = atoi(view.id + 1);
        assert_false(view.deleted);
        assert_false(drawn[number]);
        drawn[number] = true;
    }
    memory_free(drawn);
    if (live == 0) {
        assert_int_equal(catalog_draw(catalog, 5), 0);
    }
}

static void check_newest(struct catalog *catalog, const struct model *model, int max) {
    uint64_t items[CATALOG_NEWEST];
    int want = model->arrivals < CATALOG_NEWEST ? model->arrivals : CATALOG_NEWEST;
    want = want < max ? want : max;
    assert_int_equal(catalog_newest(catalog, items, max), want);
    for (int i = 0; i < want; i++) {
        assert_int_equal(items[i], fixture_hash('i', model->arrived[model->arrivals - 1 - i]));
    }
}

/* --- histories --- */

static enum row_kind random_kind(struct rng *rng) {
    static const enum row_kind kinds[] = {ROW_ACTION, ROW_IMPRESSION,  ROW_SERVED,
                                          ROW_ITEM,   ROW_ITEM_DELETE, ROW_ITEM_DELETE};
    return kinds[rng_below(rng, sizeof(kinds) / sizeof(kinds[0]))];
}

static void one_history(uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    struct catalog *catalog = open_catalog();
    struct model model;
    model_init(&model, ITEMS);
    for (int n = 0; n < ROWS; n++) {
        int number = rng_int(&rng, 0, ITEMS - 1);
        push(catalog, &model, random_kind(&rng), number, FIXTURE_START_MS + n, &rng);
        check_item(catalog, &model, number);
        if (n % 10 == 0) {
            check_all(catalog, &model);
        }
    }
    catalog_restored(catalog);
    check_all(catalog, &model);
    check_newest(catalog, &model, CATALOG_NEWEST);
    check_newest(catalog, &model, rng_int(&rng, 0, ITEMS));
    model_deinit(&model);
    catalog_close(catalog);
}

static void test_model(void **context) {
    (void)context;
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        one_history(seed);
    }
}

/* More items than one part of the list holds, coming and going across its end. */
static void test_parts(void **context) {
    (void)context;
    enum { MANY = 4600 };
    struct rng rng;
    rng_init(&rng, 1);
    struct catalog *catalog = open_catalog();
    struct model model;
    model_init(&model, MANY);
    for (int i = 0; i < MANY; i++) {
        push(catalog, &model, ROW_IMPRESSION, i, FIXTURE_START_MS + i, &rng);
    }
    check_all(catalog, &model);
    check_newest(catalog, &model, CATALOG_NEWEST);
    for (int round = 0; round < 3; round++) {
        for (int n = 0; n < 3000; n++) {
            enum row_kind kind = rng_chance(&rng, 40 + 10 * round) ? ROW_ITEM_DELETE : ROW_ITEM;
            push(catalog, &model, kind, rng_int(&rng, 0, MANY - 1), FIXTURE_START_MS, &rng);
        }
        catalog_restored(catalog);
        check_all(catalog, &model);
    }
    for (int i = 0; i < MANY; i++) {
        push(catalog, &model, ROW_ITEM_DELETE, i, FIXTURE_START_MS, &rng);
    }
    check_all(catalog, &model);
    model_deinit(&model);
    catalog_close(catalog);
}

/* By chances that are hashes, as requests draw. 60 items, 60000 draws: six deviations are 190. */
static void test_uniform(void **context) {
    (void)context;
    enum { SOME = 60, DRAWS = 60000 };
    struct rng rng;
    rng_init(&rng, 2);
    struct catalog *catalog = open_catalog();
    struct model model;
    model_init(&model, SOME);
    int drawn[SOME] = {0};
    for (int i = 0; i < SOME; i++) {
        push(catalog, &model, ROW_IMPRESSION, i, FIXTURE_START_MS, &rng);
    }
    for (uint64_t k = 0; k < DRAWS; k++) {
        struct catalog_view view;
        assert_true(catalog_read(catalog, catalog_draw(catalog, hash_mix(9, k)), &view));
        drawn[atoi(view.id + 1)]++;
    }
    for (int i = 0; i < SOME; i++) {
        assert_true(abs(drawn[i] - DRAWS / SOME) < 190);
    }
    model_deinit(&model);
    catalog_close(catalog);
}

static void assert_words(struct catalog *catalog, int item, const char *want) {
    char text[FIXTURE_TEXT];
    struct bytes words;
    bytes_init(&words);
    bool any = catalog_words(catalog, fixture_id(text, 'i', item), &words);
    assert_int_equal(any, want[0] != '\0');
    assert_true(slice_equal((struct slice){(const char *)words.data, words.size}, slice_of(want)));
    bytes_deinit(&words);
}

static void test_words(void **context) {
    (void)context;
    struct catalog *catalog = open_catalog();
    struct made_row made;
    made_begin(&made, ROW_ITEM, FIXTURE_START_MS);
    made_item(&made, 1);
    assert_words(catalog, 1, "");
    made.row.author = slice_of("Ann \"A\"");
    made.row.category_count = 2;
    made.row.categories[0] = slice_of("news");
    made.row.categories[1] = slice_of("sport");
    made.row.text = slice_of("");
    catalog_push(catalog, &made.row);
    assert_words(catalog, 1,
                 "\"author\":\"Ann \\\"A\\\"\",\"categories\":[\"news\",\"sport\"],\"text\":\"\"");
    made_begin(&made, ROW_ITEM, FIXTURE_START_MS);
    made_item(&made, 1);
    catalog_push(catalog, &made.row);
    assert_words(catalog, 1, "");
    catalog_close(catalog);
}

/* A text that grows beyond a record when it is escaped leaves no words of an older description. */
static void test_words_too_long(void **context) {
    (void)context;
    struct catalog *catalog = open_catalog();
    char *text = memory_alloc(EVENT_TEXT_BYTES_MAX);
    memset(text, 1, EVENT_TEXT_BYTES_MAX);
    struct made_row made;
    made_begin(&made, ROW_ITEM, FIXTURE_START_MS);
    made_item(&made, 1);
    made.row.author = slice_of("old");
    catalog_push(catalog, &made.row);
    assert_words(catalog, 1, "\"author\":\"old\"");
    made.row.author = slice_of("new");
    made.row.text = (struct slice){text, EVENT_TEXT_BYTES_MAX};
    catalog_push(catalog, &made.row);
    assert_words(catalog, 1, "");
    memory_free(text);
    catalog_close(catalog);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),          cmocka_unit_test(test_parts),
        cmocka_unit_test(test_uniform),        cmocka_unit_test(test_words),
        cmocka_unit_test(test_words_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
