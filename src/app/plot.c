#include "app/plot.h"

#include <math.h>

enum { WIDTH = 720, HEIGHT = 420, LEFT = 80, RIGHT = 24, TOP = 48, BOTTOM = 64, TICKS = 6 };

/* Distinct to the colour-blind (Okabe and Ito), on white. */
static const char *const COLOURS[PLOT_SERIES_MAX] = {"#0072b2", "#d55e00", "#009e73",
                                                     "#cc79a7", "#e69f00", "#56b4e9"};

/* An axis: values from low to high lie on pixels from begin to end. */
struct axis {
    bool log;
    double low, high; /* logarithms where log */
    double begin, end;
    double step;
};

static double axis_place(const struct axis *axis, double value) {
    double at = axis->log ? log10(value) : value;
    return axis->begin + (at - axis->low) / (axis->high - axis->low) * (axis->end - axis->begin);
}

/* 1, 2 or 5 times a power of ten. */
static double round_step(double span) {
    double raw = span / TICKS;
    double power = pow(10, floor(log10(raw)));
    double part = raw / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static void axis_fit(struct axis *axis, double low, double high) {
    if (axis->log) {
        low = log10(low);
        high = log10(high);
    }
    if (!(high > low)) {
        double room = fabs(low) > 0 ? fabs(low) / 10 : 1;
        low -= room;
        high += room;
    }
    axis->step = axis->log ? 1 : round_step(high - low);
    axis->low = axis->log ? low - 0.1 : floor(low / axis->step) * axis->step;
    axis->high = axis->log ? high + 0.1 : ceil(high / axis->step) * axis->step;
}

static void put_text(struct bytes *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<': bytes_printf(out, "&lt;"); break;
        case '>': bytes_printf(out, "&gt;"); break;
        case '&': bytes_printf(out, "&amp;"); break;
        default: bytes_put_u8(out, (uint8_t)*text);
        }
    }
}

static void put_label(struct bytes *out, double x, double y, const char *anchor, const char *more,
                      const char *text) {
    bytes_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, more);
    put_text(out, text);
    bytes_printf(out, "</text>\n");
}

static void put_ticks(struct bytes *out, const struct axis *axis, bool horizontal) {
    double first = ceil(axis->low / axis->step - 1e-9);
    for (int i = 0; i < 100; i++) {
        double value = (first + i) * axis->step;
        if (value > axis->high + axis->step * 1e-9) {
            break;
        }
        char text[32];
        snprintf(text, sizeof(text), "%.10g", axis->log ? pow(10, value) : value);
        double at = axis_place(axis, axis->log ? pow(10, value) : value);
        if (horizontal) {
            bytes_printf(out, "<path d=\"M%.1f %dV%d\" stroke=\"#ddd\"/>\n", at, TOP,
                         HEIGHT - BOTTOM);
            put_label(out, at, HEIGHT - BOTTOM + 18, "middle", "", text);
        } else {
            bytes_printf(out, "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>\n", LEFT, at,
                         WIDTH - RIGHT);
            put_label(out, LEFT - 8, at + 4, "end", "", text);
        }
    }
}

static void put_series(struct bytes *out, const struct plot *plot, int index, const struct axis *x,
                       const struct axis *y) {
    const struct plot_series *series = &plot->series[index];
    bool open = false;
    bytes_printf(out, "<path fill=\"none\" stroke-width=\"2\" stroke=\"%s\" d=\"", COLOURS[index]);
    for (int i = 0; i < plot->point_count; i++) {
        if (isfinite(series->y[i])) {
            bytes_printf(out, "%c%.1f %.1f", open ? 'L' : 'M', axis_place(x, plot->x[i]),
                         axis_place(y, series->y[i]));
        }
        open = isfinite(series->y[i]);
    }
    bytes_printf(out, "\"/>\n");
    for (int i = 0; i < plot->point_count; i++) {
        if (isfinite(series->y[i])) {
            bytes_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                         axis_place(x, plot->x[i]), axis_place(y, series->y[i]), COLOURS[index]);
        }
    }
}

/* Names in a row below the title. */
static void put_names(struct bytes *out, const struct plot *plot) {
    double x = LEFT;
    for (int s = 0; s < plot->series_count; s++) {
        bytes_printf(out, "<circle cx=\"%.1f\" cy=\"38\" r=\"4\" fill=\"%s\"/>\n", x + 4,
                     COLOURS[s]);
        put_label(out, x + 12, 42, "start", "", plot->series[s].name);
        x += 28 + 7.0 * (double)strlen(plot->series[s].name);
    }
}

static leat_status fit_axes(const struct plot *plot, struct axis *x, struct axis *y,
                            leat_error *err) {
    double low = INFINITY;
    double high = -INFINITY;
    for (int i = 0; i < plot->point_count; i++) {
        if (!isfinite(plot->x[i]) || (plot->log_x && plot->x[i] <= 0)) {
            return error_set(err, LEAT_INVALID, "plot: x %g cannot be shown on this axis",
                             plot->x[i]);
        }
        for (int s = 0; s < plot->series_count; s++) {
            double value = plot->series[s].y[i];
            low = isfinite(value) ? fmin(low, value) : low;
            high = isfinite(value) ? fmax(high, value) : high;
        }
    }
    if (!isfinite(low)) {
        return error_set(err, LEAT_INVALID, "plot: there is no point");
    }
    double x_low = plot->x[0];
    double x_high = plot->x[0];
    for (int i = 1; i < plot->point_count; i++) {
        x_low = fmin(x_low, plot->x[i]);
        x_high = fmax(x_high, plot->x[i]);
    }
    axis_fit(x, x_low, x_high);
    axis_fit(y, low, high);
    return LEAT_OK;
}

leat_status plot_svg(const struct plot *plot, struct bytes *out, leat_error *err) {
    struct axis x = {.log = plot->log_x, .begin = LEFT, .end = WIDTH - RIGHT};
    struct axis y = {.begin = HEIGHT - BOTTOM, .end = TOP + 4};
    TRY(fit_axes(plot, &x, &y, err));
    bytes_printf(out,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                 "font-family=\"sans-serif\" font-size=\"12\">\n"
                 "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                 WIDTH, HEIGHT);
    put_label(out, LEFT, 22, "start", " font-size=\"15\"", plot->title);
    put_names(out, plot);
    put_ticks(out, &x, true);
    put_ticks(out, &y, false);
    bytes_printf(out, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#000\"/>\n", LEFT, TOP,
                 HEIGHT - BOTTOM, WIDTH - RIGHT);
    put_label(out, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 20, "middle", "", plot->x_label);
    bytes_printf(out, "<g transform=\"translate(20 %d) rotate(-90)\">",
                 (TOP + HEIGHT - BOTTOM) / 2);
    put_label(out, 0, 0, "middle", "", plot->y_label);
    bytes_printf(out, "</g>\n");
    for (int s = 0; s < plot->series_count; s++) {
        put_series(out, plot, s, &x, &y);
    }
    bytes_printf(out, "</svg>\n");
    return bytes_status(out, err);
}
