#include "base/text.h"
#include "log/log_fixture.h"

#include <math.h>

struct events {
    struct config *config;
    struct builder *builder;
};

static int set_up(void **state) {
    static struct events events;
    events.config = fixture_config();
    events.builder = fixture_builder(schema_event());
    *state = &events;
    return 0;
}

static int tear_down(void **state) {
    struct events *events = *state;
    builder_destroy(events->builder);
    config_destroy(events->config);
    return 0;
}

static void check_json(const struct batch *batch, int64_t row, const char *want) {
    struct bytes out;
    bytes_init(&out);
    event_write_json(batch, row, &out);
    bytes_put_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    bytes_deinit(&out);
}

static void test_json_is_what_was_posted(void **state) {
    struct events *events = *state;
    struct batch batch = fixture_events(events->builder, events->config);
    check_json(&batch, 0,
               "{\"kind\":\"item\",\"item\":\"i1\",\"author\":\"a\xC3\xA9\","
               "\"categories\":[\"news\",\"sport\"],\"tags\":[\"t\"],\"created\":1500000000000,"
               "\"expires\":1600000000000,\"text\":\"A \\\"film\\\"\\n\"}");
    check_json(&batch, 1,
               "{\"kind\":\"click\",\"time\":1507683600000,\"user\":\"u1\",\"item\":\"i1\","
               "\"id\":\"e1\",\"request\":\"r1\",\"session\":\"s1\",\"surface\":\"for_you\","
               "\"value\":2.5,\"context\":{\"hour\":21,\"device\":\"tv\"}}");
    check_json(&batch, 2, "{\"kind\":\"forget\",\"user\":\"u2\"}");
}

static void test_time_marker(void **state) {
    struct events *events = *state;
    struct batch batch = fixture_events(events->builder, events->config);
    assert_int_equal(batch_i64(&batch, EVENT_TIME, 0), EVENT_TIME_AT_APPEND);
    assert_true(batch_is_null(&batch, EVENT_TIME_POSTED, 0));
    assert_int_equal(batch_i64(&batch, EVENT_TIME, 1), 1507683600000);
    assert_int_equal(batch_i64(&batch, EVENT_TIME_POSTED, 1), 1507683600000);
}

/* A refusal must say `words` and leave the builder as it was. */
static void check_refused(struct events *events, const struct posted_event *event,
                          const char *words) {
    leat_error err = {.message = ""};
    int64_t rows = builder_rows(events->builder);
    assert_int_equal(event_add(events->builder, events->config, event, &err), LEAT_INVALID);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
    assert_true(text_utf8_valid(slice_of(err.message)));
    assert_int_equal(builder_rows(events->builder), rows);
}

static struct posted_event click(void) {
    return (struct posted_event){
        .kind = slice_of("click"), .user = slice_of("u"), .item = slice_of("i")};
}

static void test_kinds(void **state) {
    struct events *events = *state;
    struct posted_event event = click();
    event.kind = (struct slice){NULL, 0};
    check_refused(events, &event, "kind: missing");
    event.kind = slice_of("clik");
    check_refused(events, &event, "kind 'clik' is unknown; did you mean 'click'?");
    event.kind = slice_of("item_delet");
    check_refused(events, &event, "did you mean 'item_delete'?");
    event.kind = slice_of("zzzzzzzzzzzz");
    check_refused(events, &event, "known are impression, item, item_delete, user, forget, click");
    event.kind = slice_of("");
    check_refused(events, &event, "kind: empty");
}

static void test_needs(void **state) {
    struct events *events = *state;
    static const struct {
        const char *kind;
        bool user, item;
    } kinds[] = {{"impression", true, true}, {"click", true, true},        {"purchase", true, true},
                 {"item", false, true},      {"item_delete", false, true}, {"user", true, false},
                 {"forget", true, false}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (int has = 0; has < 4; has++) {
            struct posted_event event = {.kind = slice_of(kinds[i].kind)};
            event.user = has & 1 ? slice_of("u") : event.user;
            event.item = has & 2 ? slice_of("i") : event.item;
            bool fine = (!kinds[i].user || (has & 1)) && (!kinds[i].item || (has & 2));
            leat_status status = event_add(events->builder, events->config, &event, NULL);
            assert_int_equal(status, fine ? LEAT_OK : LEAT_INVALID);
        }
    }
    struct posted_event event = click();
    event.user = (struct slice){NULL, 0};
    check_refused(events, &event, "user: missing; an event of kind click needs user and item");
}

/* Every text field: its bounds, and UTF-8. */
static void check_text_field(struct events *events, size_t field, const char *name, size_t low,
                             size_t high) {
    static char text[EVENT_TEXT_BYTES_MAX + 1];
    memset(text, 'x', sizeof(text));
    struct posted_event event = click();
    struct slice *slice = (struct slice *)(void *)((char *)&event + field);
    char words[64];
    *slice = (struct slice){text, high};
    assert_int_equal(event_add(events->builder, events->config, &event, NULL), LEAT_OK);
    *slice = (struct slice){text, high + 1};
    snprintf(words, sizeof(words), "%s: %zu bytes, at most %zu are allowed", name, high + 1, high);
    check_refused(events, &event, words);
    *slice = (struct slice){text, 0};
    snprintf(words, sizeof(words), "%s: empty", name);
    if (low > 0) {
        check_refused(events, &event, words);
    }
    *slice = slice_of("\xFF");
    snprintf(words, sizeof(words), "%s: not valid UTF-8", name);
    check_refused(events, &event, words);
}

static void test_text_fields(void **state) {
    struct events *events = *state;
    check_text_field(events, offsetof(struct posted_event, user), "user", 1, 128);
    check_text_field(events, offsetof(struct posted_event, item), "item", 1, 128);
    check_text_field(events, offsetof(struct posted_event, id), "id", 1, 128);
    check_text_field(events, offsetof(struct posted_event, request), "request", 1, 128);
    check_text_field(events, offsetof(struct posted_event, session), "session", 1, 128);
    check_text_field(events, offsetof(struct posted_event, author), "author", 1, 128);
    check_text_field(events, offsetof(struct posted_event, text), "text", 0, EVENT_TEXT_BYTES_MAX);
}

static void test_surfaces(void **state) {
    struct events *events = *state;
    struct posted_event event = click();
    event.surface = slice_of("shop");
    assert_int_equal(event_add(events->builder, events->config, &event, NULL), LEAT_OK);
    event.surface = slice_of("for_yu");
    check_refused(events, &event, "surface 'for_yu' is unknown; did you mean 'for_you'?");
    event.surface = slice_of("\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2"
                             "\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2"
                             "\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2"
                             "\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2"
                             "\xE6\xBC\xA2\xE6\xBC\xA2"); /* 66 bytes: cut between characters */
    check_refused(events, &event, "known are for_you, shop");
}

static void test_times_and_value(void **state) {
    struct events *events = *state;
    struct posted_event event = click();
    event.has_time = event.has_created = event.has_expires = event.has_value = true;
    event.value = -1e300;
    event.time_ms = EVENT_TIME_MAX_MS - 1;
    assert_int_equal(event_add(events->builder, events->config, &event, NULL), LEAT_OK);
    event.time_ms = EVENT_TIME_MAX_MS;
    check_refused(events, &event, "time: 7258118400000 ms is outside [0, 7258118400000)");
    event.time_ms = 0;
    event.created_ms = -1;
    check_refused(events, &event, "created: -1 ms");
    event.created_ms = 0;
    event.expires_ms = INT64_MIN;
    check_refused(events, &event, "expires: ");
    event.expires_ms = 0;
    event.value = (double)INFINITY;
    check_refused(events, &event, "value: not a finite number");
    event.value = (double)NAN;
    check_refused(events, &event, "value: not a finite number");
}

static void test_lists(void **state) {
    struct events *events = *state;
    struct posted_event event = click();
    event.tag_count = EVENT_LIST_MAX;
    for (int i = 0; i < EVENT_LIST_MAX; i++) {
        event.tags[i] = slice_of("t");
    }
    assert_int_equal(event_add(events->builder, events->config, &event, NULL), LEAT_OK);
    event.tag_count = EVENT_LIST_MAX + 1;
    check_refused(events, &event, "tags: 33 entries, at most 32 are allowed");
    event.tag_count = 0;
    event.category_count = 2;
    event.categories[0] = slice_of("ok");
    event.categories[1] = slice_of("");
    check_refused(events, &event, "categories: empty");
    event.categories[1] = (struct slice){NULL, 0};
    check_refused(events, &event, "categories: entry 2 is missing");
}

static leat_status add_context(struct events *events, const char *value, leat_error *err) {
    struct posted_event event = click();
    event.context_count = 1;
    event.context[0] = slice_of("k");
    event.context[1] = slice_of(value);
    return event_add(events->builder, events->config, &event, err);
}

static void test_context_values_are_json_scalars(void **state) {
    struct events *events = *state;
    static const char *const fine[] = {
        "0",     "-1",   "21",   "0.5",    "1e9",        "1.25E-3",        "true",
        "false", "null", "\"\"", "\"tv\"", "\"a\\\"b\"", "\"\\u00e9\\n\"", "\"\xC3\xA9\""};
    static const char *const wrong[] = {
        "",           "01",     "+1",  ".5",  "1.",       "1e",     "-",       "0x1",
        "tru",        "tv",     "\"",  "\"a", "\"a\"b\"", "\"\\\"", "\"\\x\"", "\"\\u12g4\"",
        "\"\\u123\"", "\"\n\"", "[1]", "{}",  "1 ",       "NaN"};
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        assert_int_equal(add_context(events, fine[i], NULL), LEAT_OK);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        leat_error err = {.message = ""};
        assert_int_equal(add_context(events, wrong[i], &err), LEAT_INVALID);
        assert_non_null(strstr(err.message, "context"));
    }
    struct posted_event event = click();
    event.context_count = EVENT_LIST_MAX + 1;
    check_refused(events, &event, "context: 33 pairs, at most 32 are allowed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json_is_what_was_posted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_time_marker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_needs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_surfaces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_times_and_value, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_context_values_are_json_scalars, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
