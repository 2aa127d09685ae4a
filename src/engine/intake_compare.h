/* For tests: one text read by two intakes, of which one is general only, gives the same rows, the
 * same refusals and the same error. */
#ifndef ENGINE_INTAKE_COMPARE_H
#define ENGINE_INTAKE_COMPARE_H

#include "base/memory.h"
#include "engine/intake.h"

static inline void batches_compare(const struct batch *a, const struct batch *b) {
    size_t size = batch_body_size(a);
    INVARIANT(size == batch_body_size(b), "batches of %zu and %zu bytes", size, batch_body_size(b));
    uint8_t *first = memory_aligned(64, size);
    uint8_t *second = memory_aligned(64, size);
    INVARIANT(first && second, "no memory");
    batch_body_write(a, first);
    batch_body_write(b, second);
    INVARIANT(memcmp(first, second, size) == 0, "batches of %zu bytes differ", size);
    memory_free(first);
    memory_free(second);
}

/* Returns what the first one made of it; where that is LEAT_OK, `out` is filled in. */
static inline leat_status intake_compare_into(struct intake *plain, struct intake *general,
                                              struct slice text, struct intake_result *out) {
    struct intake_result other;
    leat_error err = {.message = ""};
    leat_error other_err = {.message = ""};
    leat_status status = intake_read(plain, text, out, &err);
    leat_status other_status = intake_read(general, text, &other, &other_err);
    INVARIANT(status == other_status, "%d (%s) and %d (%s)", status, err.message, other_status,
              other_err.message);
    if (status < 0) {
        INVARIANT(strcmp(err.message, other_err.message) == 0, "'%s' and '%s'", err.message,
                  other_err.message);
        return status;
    }
    INVARIANT(out->accepted == other.accepted && out->rejected == other.rejected &&
                  out->described == other.described,
              "%lld and %lld accepted, %lld and %lld refused", (long long)out->accepted,
              (long long)other.accepted, (long long)out->rejected, (long long)other.rejected);
    for (int i = 0; i < out->described; i++) {
        INVARIANT(out->rejections[i].index == other.rejections[i].index &&
                      strcmp(out->rejections[i].words, other.rejections[i].words) == 0,
                  "'%s' and '%s'", out->rejections[i].words, other.rejections[i].words);
    }
    batches_compare(&out->batch, &other.batch);
    return status;
}

static inline void intake_compare(struct intake *plain, struct intake *general, struct slice text) {
    struct intake_result result;
    intake_compare_into(plain, general, text, &result);
}

#endif
