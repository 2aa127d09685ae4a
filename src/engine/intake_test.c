#include "base/memory.h"
#include "base/test.h"
#include "engine/intake_compare.h"
#include "log/event.h"
#include "log/record.h"

static struct config *config;
static struct intake *intake, *general;
static struct intake_result result;

static int set_up(void **state) {
    (void)state;
    leat_error err;
    const char *text = "http: {events: 50}\n"
                       "actions: {click: {}, hide: {filter: forever}, watch: {value: seconds}}\n";
    if (config_parse(slice_of(text), "test", &config, &err) < 0 ||
        intake_create(config, &intake, &err) < 0 || intake_create(config, &general, &err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    intake_general_only(general);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    intake_destroy(intake);
    intake_destroy(general);
    config_destroy(config);
    return 0;
}

static void read_text(const char *text) {
    leat_error err;
    intake_compare(intake, general, slice_of(text));
    if (intake_read(intake, slice_of(text), &result, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(result.batch.rows, result.accepted);
    assert_int_equal(batch_check(&result.batch, &err), LEAT_OK);
}

/* One event, refused with exactly these words. */
static void refused(const char *event, const char *words) {
    read_text(event);
    assert_int_equal(result.accepted, 0);
    assert_int_equal(result.rejected, 1);
    assert_int_equal(result.described, 1);
    assert_int_equal(result.rejections[0].index, 0);
    assert_string_equal(result.rejections[0].words, words);
}

static void refused_whole(const char *text, leat_status status, const char *part) {
    leat_error err = {.message = ""};
    intake_compare(intake, general, slice_of(text));
    assert_int_equal(intake_read(intake, slice_of(text), &result, &err), status);
    assert_non_null(strstr(err.message, part));
}

static void reads_every_field(void **state) {
    (void)state;
    const char *click =
        "{\"kind\":\"click\",\"time\":1508211000123,\"user\":\"u1\",\"item\":\"i9\","
        "\"id\":\"e77\",\"request\":\"r1\",\"session\":\"s1\",\"surface\":"
        "\"for_you\",\"value\":12.5,\"context\":{\"region\":\"2\\\"1\",\"device\":1,"
        "\"new\":true}}";
    const char *item = "{\"kind\":\"item\",\"item\":\"i9\",\"author\":\"a1\",\"categories\":"
                       "[\"x\",\"y\"],\"tags\":[\"t\"],\"created\":5,\"expires\":7,\"text\":\"é\"}";
    char text[2000];
    snprintf(text, sizeof(text), "\n%s\r\n  \n%s", click, item);
    read_text(text);
    assert_int_equal(result.accepted, 2);
    assert_int_equal(result.rejected, 0);
    struct bytes out;
    bytes_init(&out);
    event_write_json(&result.batch, 0, &out);
    assert_true(slice_is((struct slice){(char *)out.data, out.size}, click));
    bytes_clear(&out);
    event_write_json(&result.batch, 1, &out);
    assert_true(slice_is((struct slice){(char *)out.data, out.size}, item));
    bytes_deinit(&out);
}

static void arrays_and_lines_agree(void **state) {
    (void)state;
    read_text(" [{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\"}, 7,\n"
              "{\"kind\":\"hide\",\"user\":\"u\",\"item\":\"j\",\"time\":1.5e3}]\n");
    assert_int_equal(result.accepted, 2);
    assert_int_equal(result.rejected, 1);
    assert_int_equal(result.rejections[0].index, 1);
    assert_string_equal(result.rejections[0].words, "event: wants an object, not a number");
    assert_int_equal(batch_i64(&result.batch, EVENT_TIME, 1), 1500);
    assert_true(batch_i64(&result.batch, EVENT_TIME, 0) == EVENT_TIME_AT_APPEND);
    read_text("{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\"}\n7\n"
              "{\"kind\":\"hide\",\"user\":\"u\",\"item\":\"j\",\"time\":1500}\n");
    assert_int_equal(result.accepted, 2);
    assert_int_equal(result.rejections[0].index, 1);
    read_text("");
    assert_int_equal(result.accepted + result.rejected, 0);
    read_text("[]");
    assert_int_equal(result.accepted + result.rejected, 0);
}

static void a_broken_line_is_only_itself_refused(void **state) {
    (void)state;
    read_text("{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\"}\n{\"kind\":\"cl\n"
              "{\"kind\":\"click\",\"user\":\"\xFF\",\"item\":\"i\"}\n"
              "{\"kind\":\"click\",\"user\":\"u\",\"item\":\"k\"}\n");
    assert_int_equal(result.accepted, 2);
    assert_int_equal(result.rejected, 2);
    assert_int_equal(result.rejections[0].index, 1);
    assert_non_null(strstr(result.rejections[0].words, "line is not JSON: "));
    assert_int_equal(result.rejections[1].index, 2);
    assert_true(slice_is(batch_text(&result.batch, EVENT_ITEM, 1), "k"));
}

static void a_broken_array_is_refused_whole(void **state) {
    (void)state;
    refused_whole("[{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\"},", LEAT_INVALID,
                  "the array of events: ");
    refused_whole("[] []", LEAT_INVALID, "the array of events: ");
    refused_whole("[\"\xFF\"]", LEAT_INVALID, "the array of events: ");
}

static void wrong_fields_are_named(void **state) {
    (void)state;
    refused("{\"kind\":\"click\",\"usr\":\"u\",\"item\":\"i\"}",
            "field 'usr' is unknown; did you mean 'user'?");
    refused("{\"kind\":\"click\",\"user\":7,\"item\":\"i\"}", "user: wants a text, not a number");
    refused("{\"kind\":\"click\",\"user\":null,\"item\":\"i\"}",
            "user: wants a text, not null (leave the field out)");
    refused("{\"kind\":\"click\",\"user\":\"u\",\"user\":\"v\",\"item\":\"i\"}",
            "user: given twice");
    refused("{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"time\":1.5}",
            "time: 1.5 is not a whole number of milliseconds since 1970");
    refused("{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"time\":\"now\"}",
            "time: wants whole milliseconds since 1970, not a text");
    refused("{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"value\":\"9\"}",
            "value: wants a number, not a text");
    refused("{\"kind\":\"item\",\"item\":\"i\",\"tags\":\"x\"}",
            "tags: wants an array of texts, not a text");
    refused("{\"kind\":\"item\",\"item\":\"i\",\"tags\":[\"x\",1]}",
            "tags: wants texts in its array, not a number");
    refused("{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"context\":[1]}",
            "context: wants an object, not an array");
    refused("{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"context\":{\"a\":{}}}",
            "context: wants texts, numbers, true or false as values, not an object");
    refused("{\"kind\":\"clack\",\"user\":\"u\",\"item\":\"i\"}",
            "kind 'clack' is unknown; did you mean 'click'?");
}

/* What event_add refuses comes through with its words, and leaves the rows around it alone. */
static void limits_hold(void **state) {
    (void)state;
    char text[600];
    snprintf(text, sizeof(text), "{\"kind\":\"click\",\"user\":\"%0129d\",\"item\":\"i\"}", 0);
    refused(text, "user: 129 bytes, at most 128 are allowed");
    snprintf(text, sizeof(text), "{\"kind\":\"click\",\"user\":\"%0128d\",\"item\":\"i\"}", 0);
    read_text(text);
    assert_int_equal(result.accepted, 1);
    refused("{\"kind\":\"click\",\"user\":\"u\"}",
            "item: missing; an event of kind click needs user and item");
    refused("{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"time\":-1}",
            "time: -1 ms is outside [0, 7258118400000); times are milliseconds since 1970");
    struct bytes many;
    bytes_init(&many);
    bytes_printf(&many, "{\"kind\":\"item\",\"item\":\"i\",\"tags\":[\"0\"");
    for (int i = 0; i < EVENT_LIST_MAX; i++) {
        bytes_printf(&many, ",\"%d\"", i);
    }
    bytes_printf(&many, "]}%c", 0);
    refused((char *)many.data, "tags: more than the 32 entries that are allowed");
    bytes_deinit(&many);
}

static void too_many_events_are_full(void **state) {
    (void)state;
    char text[51 * 3 + 1];
    for (int i = 0; i < 51; i++) {
        memcpy(text + 3 * i, "{}\n", 3);
    }
    text[50 * 3] = '\0';
    read_text(text);
    assert_int_equal(result.rejected, 50);
    text[50 * 3] = '{';
    text[51 * 3] = '\0';
    refused_whole(text, LEAT_FULL, "more than 50 events in one request");
}

static void settled_reading_allocates_nothing(void **state) {
    (void)state;
    const char *text =
        "{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"context\":{\"a\":\"b\"}}\n"
        "{\"kind\":\"clock\"}\n{\"kind\":\"item\",\"item\":\"i\",\"tags\":[\"x\"]}\n";
    read_text(text);
    read_text(text);
    uint64_t before = memory_allocations();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(intake_read(intake, slice_of(text), &result, NULL), LEAT_OK);
    }
    assert_int_equal(memory_allocations() - before, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_field),
        cmocka_unit_test(arrays_and_lines_agree),
        cmocka_unit_test(a_broken_line_is_only_itself_refused),
        cmocka_unit_test(a_broken_array_is_refused_whole),
        cmocka_unit_test(wrong_fields_are_named),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(too_many_events_are_full),
        cmocka_unit_test(settled_reading_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
