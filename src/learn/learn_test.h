/* For tests and fuzzers of this room: snapshots written to and read from memory. */
#ifndef LEARN_LEARN_TEST_H
#define LEARN_LEARN_TEST_H

#include "base/bytes.h"

/* A state_sink with a struct bytes as context. */
static inline leat_status sink_bytes(void *context, const void *data, size_t count,
                                     leat_error *err) {
    bytes_append(context, data, count);
    return bytes_status(context, err);
}

/* A state_source with a struct bytes_reader as context. */
static inline leat_status source_bytes(void *context, void *data, size_t count, leat_error *err) {
    const uint8_t *from = bytes_get_raw(context, count);
    if (!from) {
        return error_set(err, LEAT_CORRUPT, "the input ends %zu bytes too early", count);
    }
    memcpy(data, from, count);
    return LEAT_OK;
}

#endif
