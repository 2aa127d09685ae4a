/* The words of one feature: refused, or parts of the text within their bounds. */
#include "base/memory.h"
#include "flow/feature_spec.h"

static void inside(struct slice text, struct slice part) {
    INVARIANT(part.size == 0 ||
                  (part.data >= text.data && part.data + part.size <= text.data + text.size),
              "%zu bytes outside of the text", part.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feature_spec spec;
    leat_error err = {.message = ""};
    char *copy = memory_alloc(size > 0 ? size : 1); /* reading past the text is seen */
    struct slice text = {copy, size};
    memcpy(copy, data, size);
    if (feature_spec_parse(text, &spec, &err) < 0) {
        INVARIANT(err.message[0] != 0, "refused without a word");
    } else {
        inside(text, spec.a.text);
        inside(text, spec.b.text);
        inside(text, spec.of);
        INVARIANT(spec.bound_count >= 0 && spec.bound_count <= FEATURE_BOUNDS_MAX, "%d bounds",
                  spec.bound_count);
        INVARIANT(spec.kind != FEATURE_HISTORY || (spec.length > 0 && spec.of.size > 0), "length");
        INVARIANT(spec.kind == FEATURE_HISTORY || spec.kind == FEATURE_BUCKET ||
                      spec.a.text.size > 0,
                  "no name");
    }
    memory_free(copy);
    return 0;
}
