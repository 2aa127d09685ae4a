/* Whether a post may come in. What waits is bounded in two places: rows that the log has and flow
 * has not run (log.behind), and bytes that wait for the disk (log.queue). Beyond either a post is
 * refused before its body is stored, with the time after which there is likely to be room, from the
 * rate at which rows and bytes went through lately. */
#include "engine/engine_internal.h"

#include <inttypes.h>
#include <math.h>

enum {
    SAMPLE_MS = 200,      /* at least, between two samples of the rates */
    SAMPLE_MS_MAX = 5000, /* older ones say nothing about now */
    RETRY_S_MAX = 60,
};

static double rate_next(double rate, uint64_t count, double seconds) {
    double now = (double)count / seconds;
    return rate < 0 ? now : (rate + now) / 2;
}

/* Takes a sample where it is time for one. */
static struct admission rates_read(struct engine *engine, const struct log_backlog *backlog) {
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t applied = engine_applied(engine);
    mutex_lock(&engine->mutex);
    struct admission *admission = &engine->admission;
    uint64_t since_ms = (now_ns - admission->sampled_ns) / 1000000;
    if (admission->sampled_ns == 0 || since_ms > SAMPLE_MS_MAX) {
        admission->rows_rate = admission->bytes_rate = -1;
        admission->sampled_ns = 0;
    } else if (since_ms >= SAMPLE_MS) {
        double seconds = (double)since_ms * 1e-3;
        admission->rows_rate =
            rate_next(admission->rows_rate, applied - admission->applied, seconds);
        admission->bytes_rate =
            rate_next(admission->bytes_rate, backlog->written_bytes - admission->written, seconds);
    }
    if (admission->sampled_ns == 0 || since_ms >= SAMPLE_MS) {
        admission->sampled_ns = now_ns;
        admission->applied = applied;
        admission->written = backlog->written_bytes;
    }
    struct admission rates = *admission;
    mutex_unlock(&engine->mutex);
    return rates;
}

/* Whole seconds until `count` went through at `rate` (below 0: not known). */
static int64_t seconds_of(double count, double rate) {
    if (rate < 0) {
        return 1;
    }
    double seconds = rate > 0 ? ceil(count / rate) : RETRY_S_MAX;
    return seconds < 1 ? 1 : seconds > RETRY_S_MAX ? RETRY_S_MAX : (int64_t)seconds;
}

bool engine_disk_full(const struct engine *engine) {
    struct log_backlog backlog;
    log_backlog(engine->log, &backlog);
    return backlog.disk_full;
}

leat_status engine_admit(struct engine *engine, int64_t *retry_after_s, leat_error *err) {
    *retry_after_s = 1;
    TRY(engine_refuse_following(engine, err));
    struct log_backlog backlog;
    log_backlog(engine->log, &backlog);
    struct admission rates = rates_read(engine, &backlog);
    uint64_t end = engine_end(engine);
    uint64_t applied = engine_applied(engine);
    uint64_t behind = end > applied ? end - applied : 0;
    uint64_t behind_max = (uint64_t)engine->config->log.behind;
    uint64_t waiting = backlog.queued_bytes + backlog.writing_bytes;
    int64_t disk_s = seconds_of((double)waiting, rates.bytes_rate);
    if (behind > behind_max) {
        /* A little more than what is over, so that not everybody comes back too early. */
        double over = (double)(behind - behind_max) + (double)behind_max * 0.05;
        *retry_after_s = seconds_of(over, rates.rows_rate);
        return error_retry(
            err, LEAT_FULL,
            "the operators lie %" PRIu64 " rows behind the log, at most %" PRIu64
            " may wait (log.behind); nothing was stored, post again in about %" PRId64 " s",
            behind, behind_max, *retry_after_s);
    }
    *retry_after_s = disk_s;
    if (backlog.queued_bytes >= backlog.queue_bytes) {
        return error_retry(err, LEAT_FULL,
                           "%" PRIu64 " bytes wait for the disk, at most %" PRIu64
                           " may (log.queue); nothing was stored, post again in about %" PRId64
                           " s",
                           backlog.queued_bytes, backlog.queue_bytes, disk_s);
    }
    return LEAT_OK;
}
