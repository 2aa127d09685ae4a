/* Posted events: a JSON array or NDJSON text becomes rows, each refused one an index and words.
 *
 * A text whose first byte that is not white space is '[' is an array; else every non-empty line is
 * an object. A broken array is refused whole (LEAT_INVALID); a broken line only itself. */
#ifndef ENGINE_INTAKE_H
#define ENGINE_INTAKE_H

#include "base/config.h"
#include "base/json.h"
#include "column/builder.h"

struct intake; /* parser and builder, kept between requests; one thread at a time */

leat_status intake_create(const struct config *config, struct intake **out, leat_error *err);
void intake_destroy(struct intake *intake);

enum { INTAKE_REJECTIONS_MAX = 1000, INTAKE_WORDS_MAX = 200 };

struct intake_result {
    struct batch batch; /* accepted rows; valid until the next intake_read */
    int64_t accepted;
    int64_t rejected; /* all; the first INTAKE_REJECTIONS_MAX are described */
    int described;
    struct {
        int64_t index; /* of the event in the text, from 0 */
        char words[INTAKE_WORDS_MAX];
    } * rejections;
};

/* Fields of an event: kind user item time request session surface value context id author
 * categories tags created expires text. Any other name is refused with the nearest right one. Times
 * are integer ms since 1970. LEAT_FULL beyond config http.events. */
leat_status intake_read(struct intake *intake, struct slice text, struct intake_result *out,
                        leat_error *err);

/* For tests: reads plain events by the general reader too (event_scan.h). */
void intake_general_only(struct intake *intake);

#endif
