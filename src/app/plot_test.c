#include "app/plot.h"
#include "base/test.h"

#include <math.h>

static struct bytes drawn(const struct plot *plot) {
    struct bytes out;
    leat_error err;
    bytes_init(&out);
    assert_int_equal(plot_svg(plot, &out, &err), LEAT_OK);
    bytes_put_u8(&out, 0);
    return out;
}

static int times(const char *text, const char *what) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++) {
        count++;
    }
    return count;
}

/* Pixels of the points drawn in a colour, in their order. */
static int points_of(const char *text, const char *colour, double *x, double *y) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, "<circle ")); at++) {
        char seen[16];
        double r;
        int got = sscanf(at, "<circle cx=\"%lf\" cy=\"%lf\" r=\"%lf\" fill=\"%15[#0-9a-f]",
                         &x[count], &y[count], &r, seen);
        if (got == 4 && r == 3 && strcmp(seen, colour) == 0) {
            count++;
        }
    }
    return count;
}

/* Equal ratios of x are equal distances, larger y stands higher, by the same scale for all. */
static void test_points_stand_where_their_values_are(void **state) {
    (void)state;
    const double x[] = {10, 100, 1000, 10000};
    const double a[] = {0.2, 0.4, 0.6, 0.8};
    const double b[] = {0.8, NAN, 0.4, 0.4};
    const struct plot plot = {.title = "T",
                              .x_label = "N",
                              .y_label = "points",
                              .log_x = true,
                              .point_count = 4,
                              .x = x,
                              .series_count = 2,
                              .series = {{"one", a}, {"two <&>", b}}};
    struct bytes out = drawn(&plot);
    const char *text = (const char *)out.data;
    double px[2][8];
    double py[2][8];
    assert_int_equal(points_of(text, "#0072b2", px[0], py[0]), 4);
    assert_int_equal(points_of(text, "#d55e00", px[1], py[1]), 3);
    for (int i = 1; i < 4; i++) {
        assert_true(fabs(px[0][i] - px[0][i - 1] - (px[0][1] - px[0][0])) < 0.2);
        assert_true(fabs(py[0][i] - py[0][i - 1] - (py[0][1] - py[0][0])) < 0.2);
        assert_true(px[0][i] > px[0][i - 1] && py[0][i] < py[0][i - 1]);
    }
    assert_true(fabs(py[1][0] - py[0][3]) < 0.2 && fabs(py[1][1] - py[0][1]) < 0.2);
    assert_true(fabs(px[1][1] - px[0][2]) < 0.2); /* the gap took no point's place */
    assert_int_equal(times(text, "two &lt;&amp;&gt;"), 1);
    assert_int_equal(times(text, "nan"), 0);
    assert_int_equal(times(text, ">10000<"), 1);
    assert_int_equal(times(text, ">0.4<"), 1);
    bytes_deinit(&out);
}

static void test_one_value_is_drawn_and_none_refused(void **state) {
    (void)state;
    double x[] = {5};
    double y[] = {2};
    struct plot plot = {.title = "",
                        .x_label = "",
                        .y_label = "",
                        .point_count = 1,
                        .x = x,
                        .series_count = 1,
                        .series = {{"s", y}}};
    struct bytes out = drawn(&plot);
    assert_int_equal(times((const char *)out.data, "r=\"3\""), 1);
    bytes_clear(&out);
    leat_error err;
    y[0] = NAN;
    assert_int_equal(plot_svg(&plot, &out, &err), LEAT_INVALID);
    y[0] = 1;
    x[0] = 0;
    plot.log_x = true;
    assert_int_equal(plot_svg(&plot, &out, &err), LEAT_INVALID);
    bytes_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_stand_where_their_values_are),
        cmocka_unit_test(test_one_value_is_drawn_and_none_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
