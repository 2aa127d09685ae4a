/* A place in the log: for every log (a partition, a region) the sequence number of the next row.
 * One entry today. Text form, opaque to callers: "<log id>:<sequence>" joined by ','. */
#ifndef LOG_POSITION_H
#define LOG_POSITION_H

#include "base/bytes.h"
#include "base/error.h"

enum { POSITION_LOGS_MAX = 8, POSITION_TEXT_MAX = POSITION_LOGS_MAX * 32 };

struct position {
    uint32_t count;
    struct {
        uint32_t log_id;
        uint64_t sequence;
    } entries[POSITION_LOGS_MAX]; /* rising log ids */
};

struct position position_of(uint32_t log_id, uint64_t sequence);
/* The sequence for a log; 0 (its beginning) when the position does not name it. */
uint64_t position_sequence(const struct position *position, uint32_t log_id);
/* True when everything before `want` is also before `have`. */
bool position_reached(const struct position *have, const struct position *want);

void position_write(const struct position *position, char out[POSITION_TEXT_MAX]);
leat_status position_read(struct slice text, struct position *out, leat_error *err);

#endif
