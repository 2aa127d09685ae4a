/* Rows decoded from batches: every field of an event and of a served row, what is passed over, and
 * what the choices of the configuration mean. */
#include "flow/flow_fixture.h"

static struct batch built(struct builder *builder) {
    struct batch batch;
    leat_error err = {0};
    if (builder_finish(builder, &batch, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return batch;
}

static struct builder *new_builder(const struct schema *schema) {
    struct builder *builder;
    assert_int_equal(builder_create(schema, &builder, NULL), LEAT_OK);
    return builder;
}

static void add(struct builder *builder, const struct config *config,
                const struct posted_event *event) {
    leat_error err = {0};
    if (event_add(builder, config, event, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static void assert_text(struct slice have, const char *want) {
    assert_true(slice_equal(have, slice_of(want)));
    assert_int_equal(have.data == NULL, want == NULL);
}

/* What was left in a row by another one must not shine through. */
static void dirty(struct row *row) {
    memset(row, 0xAB, sizeof(*row));
}

static void test_action(void **context) {
    (void)context;
    struct config *config = fixture_config(fixture_text);
    struct builder *builder = new_builder(schema_event());
    struct posted_event event = {.kind = slice_of("like"),
                                 .user = slice_of("u1"),
                                 .item = slice_of("i1"),
                                 .id = slice_of("e1"),
                                 .request = slice_of("r1"),
                                 .session = slice_of("s1"),
                                 .surface = slice_of("shop"),
                                 .has_time = true,
                                 .time_ms = 1234,
                                 .has_value = true,
                                 .value = 2.5,
                                 .context_count = 1,
                                 .context = {slice_of("device"), slice_of("\"tv\"")}};
    add(builder, config, &event);
    struct batch batch = built(builder);
    struct row row;
    dirty(&row);
    assert_true(row_decode(config, &batch, 0, 77, 5000, &row));
    assert_int_equal(row.kind, ROW_ACTION);
    assert_int_equal(row.action, FIXTURE_LIKE);
    assert_int_equal(row.surface, FIXTURE_SHOP);
    assert_int_equal(row.sequence, 77);
    assert_int_equal(row.now_ms, 5000);
    assert_int_equal(row.time_ms, 1234);
    assert_text(row.user, "u1");
    assert_text(row.item, "i1");
    assert_text(row.id, "e1");
    assert_text(row.request, "r1");
    assert_text(row.session, "s1");
    assert_int_equal(row.user_hash, hash_slice(slice_of("u1")));
    assert_int_equal(row.item_hash, hash_slice(slice_of("i1")));
    assert_int_equal(row.request_hash, hash_slice(slice_of("r1")));
    assert_true(row.has_value && row.value == 2.5);
    assert_int_equal(row.context_count, 1);
    assert_text(row.context[0], "device");
    assert_text(row.context[1], "\"tv\"");
    assert_int_equal(row.category_count + row.tag_count + row.key_count + row.dense_count, 0);
    assert_text(row.author, NULL);
    builder_destroy(builder);
    config_destroy(config);
}

/* Nothing but what the kind needs: all else is absent, and the first surface is meant. */
static void test_bare(void **context) {
    (void)context;
    static const struct {
        const char *kind;
        enum row_kind want;
        bool user, item;
    } kinds[] = {{"impression", ROW_IMPRESSION, true, true},
                 {"user", ROW_USER, true, false},
                 {"forget", ROW_FORGET, true, false},
                 {"item", ROW_ITEM, false, true},
                 {"item_delete", ROW_ITEM_DELETE, false, true}};
    struct config *config = fixture_config(fixture_text);
    struct builder *builder = new_builder(schema_event());
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct posted_event event = {.kind = slice_of(kinds[k].kind), .has_time = true};
        event.user = slice_of(kinds[k].user ? "u1" : NULL);
        event.item = slice_of(kinds[k].item ? "i1" : NULL);
        add(builder, config, &event);
    }
    struct batch batch = built(builder);
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct row row;
        dirty(&row);
        assert_true(row_decode(config, &batch, (int64_t)k, k, 1, &row));
        assert_int_equal(row.kind, kinds[k].want);
        assert_int_equal(row.surface, 0);
        assert_int_equal(row.time_ms, 0);
        assert_int_equal(row.user_hash, kinds[k].user ? fixture_hash('u', 1) : 0);
        assert_int_equal(row.item_hash, kinds[k].item ? fixture_hash('i', 1) : 0);
        assert_int_equal(row.request_hash, 0);
        assert_false(row.has_value || row.has_created || row.has_expires);
        assert_int_equal(row.context_count + row.category_count + row.tag_count, 0);
        assert_null(row.id.data);
        assert_null(row.session.data);
        assert_null(row.text.data);
    }
    builder_destroy(builder);
    config_destroy(config);
}

static void test_item(void **context) {
    (void)context;
    struct config *config = fixture_config(fixture_text);
    struct builder *builder = new_builder(schema_event());
    struct posted_event event = {.kind = slice_of("item"),
                                 .item = slice_of("i1"),
                                 .author = slice_of("ann"),
                                 .text = slice_of(""),
                                 .has_time = true,
                                 .has_created = true,
                                 .created_ms = 5,
                                 .has_expires = true,
                                 .expires_ms = 9,
                                 .category_count = 2,
                                 .categories = {slice_of("a"), slice_of("b")},
                                 .tag_count = 1,
                                 .tags = {slice_of("t")}};
    add(builder, config, &event);
    struct batch batch = built(builder);
    struct row row;
    dirty(&row);
    assert_true(row_decode(config, &batch, 0, 0, 0, &row));
    assert_text(row.author, "ann");
    assert_text(row.text, "");
    assert_true(row.has_created && row.created_ms == 5);
    assert_true(row.has_expires && row.expires_ms == 9);
    assert_int_equal(row.category_count, 2);
    assert_text(row.categories[1], "b");
    assert_int_equal(row.tag_count, 1);
    assert_text(row.tags[0], "t");
    builder_destroy(builder);
    config_destroy(config);
}

static void add_served(struct builder *builder, const char *surface, int keys, int dense) {
    static const uint64_t many_keys[EXAMPLE_KEYS_MAX + 1] = {7, 8, 9};
    static const float many_dense[EXAMPLE_DENSE_MAX + 1] = {0.5f};
    builder_text(builder, SERVED_REQUEST, slice_of("r1"));
    builder_text(builder, SERVED_ITEM, slice_of("i1"));
    builder_text(builder, SERVED_SURFACE, slice_of(surface));
    builder_i64(builder, SERVED_TIME, 99);
    builder_i32(builder, SERVED_SLOT, 3);
    builder_f64(builder, SERVED_SCORE, 1);
    builder_i32(builder, SERVED_CHANNELS, 1);
    builder_list_u64(builder, SERVED_KEYS, many_keys, keys);
    builder_list_f32(builder, SERVED_DENSE, many_dense, dense);
    builder_row_end(builder);
}

static void test_served(void **context) {
    (void)context;
    struct config *config = fixture_config(fixture_text);
    struct builder *builder = new_builder(schema_served());
    add_served(builder, "shop", 3, 1);
    add_served(builder, "gone", 3, 1);
    add_served(builder, "shop", EXAMPLE_KEYS_MAX + 1, 1);
    add_served(builder, "shop", 3, EXAMPLE_DENSE_MAX + 1);
    struct batch batch = built(builder);
    struct row row;
    dirty(&row);
    assert_true(row_decode(config, &batch, 0, 4, 100, &row));
    assert_int_equal(row.kind, ROW_SERVED);
    assert_int_equal(row.surface, FIXTURE_SHOP);
    assert_int_equal(row.time_ms, 99);
    assert_int_equal(row.slot, 3);
    assert_int_equal(row.user_hash, 0); /* anonymous */
    assert_null(row.user.data);
    assert_int_equal(row.key_count, 3);
    assert_int_equal(row.keys[2], 9);
    assert_int_equal(row.dense_count, 1);
    assert_true(row.dense[0] == 0.5f);
    assert_true(row_is_showing(config, &row));
    row.surface = FIXTURE_FOR_YOU;
    assert_false(row_is_showing(config, &row));
    for (int64_t i = 1; i < 4; i++) {
        assert_false(row_decode(config, &batch, i, 4, 100, &row));
    }
    builder_destroy(builder);
    config_destroy(config);
}

/* Kinds and surfaces that were taken out of the configuration since. */
static void test_unknown(void **context) {
    (void)context;
    struct config *before = fixture_config("actions:\n  gone: {}\n  click: {}\n"
                                           "surfaces:\n  old: {}\n  for_you: {}\n");
    struct config *now = fixture_config(fixture_text);
    struct builder *builder = new_builder(schema_event());
    struct posted_event event = {
        .kind = slice_of("gone"), .user = slice_of("u1"), .item = slice_of("i1"), .has_time = true};
    add(builder, before, &event);
    event.kind = slice_of("click");
    event.surface = slice_of("old");
    add(builder, before, &event);
    event.surface = slice_of("for_you");
    add(builder, before, &event);
    struct batch batch = built(builder);
    struct row row;
    assert_false(row_decode(now, &batch, 0, 0, 0, &row));
    assert_false(row_decode(now, &batch, 1, 0, 0, &row));
    assert_true(row_decode(now, &batch, 2, 0, 0, &row));
    builder_destroy(builder);
    config_destroy(before);
    config_destroy(now);
}

static void test_positive(void **context) {
    (void)context;
    struct config *config = fixture_config(fixture_text);
    static const struct {
        int action;
        bool has_value;
        double value;
        bool positive, liked;
    } cases[] = {{FIXTURE_CLICK, false, 0, true, true},
                 {FIXTURE_HIDE, false, 0, true, false},
                 {FIXTURE_RATE, true, 4, true, true},
                 {FIXTURE_RATE, true, 3.9, false, false},
                 {FIXTURE_RATE, false, 0, false, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct made_row made;
        made_action(&made, cases[i].action, 1, 1, 0);
        made.row.has_value = cases[i].has_value;
        made.row.value = cases[i].value;
        assert_int_equal(row_is_positive(config, &made.row), cases[i].positive);
        assert_int_equal(row_is_liked(config, &made.row), cases[i].liked);
    }
    assert_int_equal(row_value_hash(slice_of("\"21\"")), row_value_hash(slice_of("21")));
    assert_true(row_value_hash(slice_of("22")) != row_value_hash(slice_of("21")));
    assert_int_equal(row_value_hash(slice_of("\"\"")), hash_slice(slice_of("")));
    config_destroy(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_action),  cmocka_unit_test(test_bare),
        cmocka_unit_test(test_item),    cmocka_unit_test(test_served),
        cmocka_unit_test(test_unknown), cmocka_unit_test(test_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
