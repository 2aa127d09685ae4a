/* Clicks of the Globo set, or made-up ones of the same shape, as rows of the log: for benchmarks of
 * what comes after the log. */
#ifndef APP_CLICK_ROWS_H
#define APP_CLICK_ROWS_H

#include "base/config.h"
#include "column/builder.h"
#include "connect/globo.h"
#include "log/event.h"

/* Actions, surface and features as `leat replay --format globo` has them; text of a leat.yaml. */
extern const char click_rows_config[];

struct click_rows {
    struct globo_clicks clicks;
    bool made_up;
};

/* `input`: a folder of the data set; NULL: made up. click_rows_close in every case. */
leat_status click_rows_open(struct click_rows *rows, const char *input, leat_error *err);
void click_rows_close(struct click_rows *rows);
/* A click as an event is posted, without a surface. `texts` holds what the event points to. */
struct click_texts {
    char user[24], item[24], session[24], context[GLOBO_CONTEXTS][24];
};
struct posted_event click_event(const struct globo_click *click, struct click_texts *texts);
/* Appends click number `index` to a builder of schema_event. */
leat_status click_rows_add(const struct click_rows *rows, size_t index, const struct config *config,
                           struct builder *out, leat_error *err);
/* "globo", or words that say that they are made up. */
const char *click_rows_name(const struct click_rows *rows);

#endif
