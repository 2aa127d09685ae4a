#include "connect/dataset.h"

#include "base/text.h"

#include <inttypes.h>

/* Enough of a value to find it by; a row of rubbish would bury the reason. */
enum { VALUE_SHOWN = 40 };

leat_status refusals_add(struct refusals *refusals, const char *file, uint64_t line,
                         const leat_error *reason, leat_error *err) {
    leat_error words = *reason;
    refusals->count++;
    if (refusals->show && refusals->count <= REFUSALS_SHOWN) {
        fprintf(refusals->show, "refused: %s:%" PRIu64 ": %s\n", file, line, words.message);
    }
    if (!refusals->strict) {
        return LEAT_OK;
    }
    return error_set(err, LEAT_INVALID, "%s:%" PRIu64 ": %s", file, line, words.message);
}

void refusals_finish(const struct refusals *refusals) {
    if (refusals->show && refusals->count > REFUSALS_SHOWN) {
        fprintf(refusals->show, "refused: %" PRIu64 " rows in all; the first %d are shown\n",
                refusals->count, REFUSALS_SHOWN);
    }
}

leat_status dataset_integer(const char *column, struct slice text, int64_t low, int64_t high,
                            int64_t *out, leat_error *err) {
    int64_t value;
    if (!text_to_i64(text, &value)) {
        int shown = text.size < VALUE_SHOWN ? (int)text.size : VALUE_SHOWN;
        return error_set(err, LEAT_INVALID, "%s: '%.*s' is not an integer", column, shown,
                         text.data ? text.data : "");
    }
    if (value < low || value > high) {
        return error_set(err, LEAT_INVALID,
                         "%s: %" PRId64 " is not within %" PRId64 " and %" PRId64, column, value,
                         low, high);
    }
    *out = value;
    return LEAT_OK;
}
