#include "base/memory.h"
#include "base/metrics.h"
#include "base/test.h"
#include "base/text.h"

#include <math.h>

/* The value on the line that starts with `series` and a space; fails the test if there is none. */
static const char *line_of(const struct bytes *text, const char *series) {
    static char value[64];
    size_t size = strlen(series);
    const char *at = (const char *)text->data;
    while (strncmp(at, series, size) != 0 || at[size] != ' ') {
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + size + 1, "\n"), at + size + 1);
    return value;
}

static void exposition(const struct metrics *metrics, struct bytes *out) {
    bytes_clear(out);
    metrics_write(metrics, out);
    bytes_put_u8(out, 0);
    assert_int_equal(bytes_status(out, NULL), LEAT_OK);
}

static void test_values_are_kept(void **state) {
    (void)state;
    struct metrics *metrics = metrics_create();
    struct bytes out;
    bytes_init(&out);
    metrics_add(metrics, METRIC_pages_total, 2);
    metrics_add(metrics, METRIC_pages_total, UINT64_C(9007199254740991));
    metrics_set(metrics, METRIC_state_bytes, -1.5);
    assert_true(metrics_value(metrics, METRIC_pages_total) == 9007199254740992.0 /* rounded */);
    assert_true(metrics_value(metrics, METRIC_state_bytes) == -1.5);
    assert_true(metrics_value(metrics, METRIC_commits_total) == 0);
    exposition(metrics, &out);
    assert_string_equal(line_of(&out, "leat_pages_total"), "9007199254740993");
    assert_string_equal(line_of(&out, "leat_state_bytes"), "-1.5");
    assert_string_equal(line_of(&out, "leat_commits_total"), "0");
    bytes_deinit(&out);
    metrics_destroy(metrics);
}

static void test_summaries_are_in_seconds(void **state) {
    (void)state;
    struct metrics *metrics = metrics_create();
    struct bytes out;
    bytes_init(&out);
    exposition(metrics, &out);
    assert_string_equal(line_of(&out, "leat_page_seconds{quantile=\"0.5\"}"), "NaN");
    for (uint64_t ms = 1; ms <= 100; ms++) {
        metrics_observe_ns(metrics, METRIC_page_seconds, ms * 1000000);
    }
    exposition(metrics, &out);
    static const char *const names[] = {"0.5", "0.9", "0.99"};
    for (int i = 0; i < 3; i++) {
        char series[64];
        snprintf(series, sizeof(series), "leat_page_seconds{quantile=\"%s\"}", names[i]);
        double q = strtod(names[i], NULL);
        double seconds = strtod(line_of(&out, series), NULL);
        assert_true(seconds >= q * 0.1 && seconds <= q * 0.1 * (1 + 1.0 / 32));
    }
    assert_string_equal(line_of(&out, "leat_page_seconds_sum"), "5.05");
    assert_string_equal(line_of(&out, "leat_page_seconds_count"), "100");
    assert_string_equal(line_of(&out, "leat_sync_seconds_count"), "0");
    assert_int_equal(histogram_count(metrics_summary(metrics, METRIC_page_seconds)), 100);
    bytes_deinit(&out);
    metrics_destroy(metrics);
}

static void test_what_is_not_a_number(void **state) {
    (void)state;
    struct metrics *metrics = metrics_create();
    struct bytes out;
    bytes_init(&out);
    metrics_set(metrics, METRIC_state_bytes, (double)INFINITY);
    metrics_set(metrics, METRIC_table_bytes, -(double)INFINITY);
    metrics_set(metrics, METRIC_table_rows, (double)NAN);
    exposition(metrics, &out);
    assert_string_equal(line_of(&out, "leat_state_bytes"), "+Inf");
    assert_string_equal(line_of(&out, "leat_table_bytes"), "-Inf");
    assert_string_equal(line_of(&out, "leat_table_rows"), "NaN");
    bytes_deinit(&out);
    metrics_destroy(metrics);
}

/* Every series of the table appears once with its HELP and TYPE before it, in the right kind. */
static void test_every_metric_is_described(void **state) {
    (void)state;
    struct metrics *metrics = metrics_create();
    struct bytes out;
    bytes_init(&out);
    exposition(metrics, &out);
    const char *at = (const char *)out.data;
#define DESCRIBED(name, help, kind)                                                                \
    at =                                                                                           \
        strstr(at, "# HELP leat_" #name " " help "\n# TYPE leat_" #name " " kind "\nleat_" #name); \
    assert_non_null(at);                                                                           \
    at++;
#define COUNTER(name, help) DESCRIBED(name, help, "counter")
#define GAUGE(name, help)   DESCRIBED(name, help, "gauge")
#define SUMMARY(name, help) DESCRIBED(name, help, "summary")
#include "metrics.def"
#undef COUNTER
#undef GAUGE
#undef SUMMARY
    assert_true(text_utf8_valid(slice_of((const char *)out.data)));
    assert_int_equal(out.data[out.size - 2], '\n');
    bytes_deinit(&out);
    metrics_destroy(metrics);
}

static void test_names_follow_the_rules(void **state) {
    (void)state;
#define COUNTER(name, help) assert_non_null(strstr(#name "$", "_total$"));
#define GAUGE(name, help)   assert_null(strstr(#name "$", "_total$"));
#define SUMMARY(name, help) assert_non_null(strstr(#name "$", "_seconds$"));
#include "metrics.def"
#undef COUNTER
#undef GAUGE
#undef SUMMARY
}

static void test_no_metrics_is_fine(void **state) {
    (void)state;
    struct bytes out;
    bytes_init(&out);
    metrics_add(NULL, METRIC_pages_total, 1);
    metrics_set(NULL, METRIC_state_bytes, 1);
    metrics_observe_ns(NULL, METRIC_page_seconds, 1);
    assert_true(metrics_value(NULL, METRIC_pages_total) == 0);
    assert_null(metrics_summary(NULL, METRIC_page_seconds));
    metrics_write(NULL, &out);
    assert_int_equal(out.size, 0);
    metrics_destroy(NULL);
    memory_fail_at(1);
    assert_null(metrics_create());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_kept),
        cmocka_unit_test(test_summaries_are_in_seconds),
        cmocka_unit_test(test_what_is_not_a_number),
        cmocka_unit_test(test_every_metric_is_described),
        cmocka_unit_test(test_names_follow_the_rules),
        cmocka_unit_test(test_no_metrics_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
