/* Whatever the words are: refused, or a plan that describes itself; the same words say the same. */
#include "base/memory.h"
#include "connect/row_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static leat_status read_words(struct row_plan *plan, const char *words, uint8_t kind,
                              struct bytes *out) {
    leat_status status =
        kind & 1 ? plan_add_labels(plan, words, NULL) : plan_add_features(plan, words, NULL);
    bytes_clear(out);
    if (status == LEAT_OK) {
        plan_describe(plan, out);
    }
    plan_deinit(plan);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct row_plan *plan;
    static struct bytes words, first, second;
    if (!plan) {
        plan = memory_zalloc(sizeof(*plan));
    }
    if (size == 0) {
        return 0;
    }
    bytes_clear(&words);
    bytes_append(&words, data + 1, size - 1);
    bytes_put_u8(&words, 0);
    leat_status status = read_words(plan, (const char *)words.data, data[0], &first);
    leat_status again = read_words(plan, (const char *)words.data, data[0], &second);
    INVARIANT(status == again && first.size == second.size, "%d and %d", status, again);
    INVARIANT(status == LEAT_OK || status == LEAT_INVALID, "%d", status);
    INVARIANT(first.size == 0 || memcmp(first.data, second.data, first.size) == 0, "%zu",
              first.size);
    return 0;
}
