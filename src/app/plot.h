/* Line charts as SVG, for results: axes with round ticks, a line with its points for each series,
 * and their names. One thread. */
#ifndef APP_PLOT_H
#define APP_PLOT_H

#include "base/bytes.h"

enum { PLOT_SERIES_MAX = 6, PLOT_POINTS_MAX = 1000 };

struct plot_series {
    const char *name;
    const double *y; /* one for each x; what is not finite leaves a gap */
};

struct plot {
    const char *title;
    const char *x_label; /* with the unit */
    const char *y_label;
    bool log_x; /* x above 0, ticks at powers of ten */
    int point_count;
    const double *x;
    int series_count;
    struct plot_series series[PLOT_SERIES_MAX];
};

/* Appends the document. LEAT_INVALID: no point, or an x that the axis cannot show. */
leat_status plot_svg(const struct plot *plot, struct bytes *out, leat_error *err);

#endif
