/* What operators and their tools ask: is it up, is it caught up, what are its numbers. */
#include "base/memory.h"
#include "serve/http.h"

extern const struct route route_metrics, route_healthz, route_readyz;

static leat_status answer_metrics(struct exchange *exchange, leat_error *err) {
    (void)err;
    struct engine *engine = exchange->engine;
    struct metrics *metrics = exchange->metrics;
    struct engine_erasures erasures;
    engine_erasures(engine, &erasures);
    metrics_set(metrics, METRIC_erasures_pending, (double)erasures.pending);
    metrics_set(metrics, METRIC_position_begin, (double)log_begin(engine_log(engine)));
    metrics_set(metrics, METRIC_position_end, (double)engine_end(engine));
    metrics_set(metrics, METRIC_position_applied, (double)engine_applied(engine));
    metrics_set(metrics, METRIC_position_learnt, (double)engine_learnt(engine));
    struct engine_following following;
    if (engine_following(engine, &following)) {
        metrics_set(metrics, METRIC_behind_seconds, following.seconds);
        metrics_set(metrics, METRIC_behind_learnt_seconds, following.learnt_seconds);
    }
    metrics_set(metrics, METRIC_resident_bytes, (double)memory_resident());
    exchange->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(metrics, exchange->answer);
    return LEAT_OK;
}

static leat_status answer_words(struct exchange *exchange, const char *words) {
    exchange->content_type = "text/plain; charset=utf-8";
    bytes_printf(exchange->answer, "%s\n", words);
    return LEAT_OK;
}

static leat_status answer_healthz(struct exchange *exchange, leat_error *err) {
    const char *failure = engine_failure(exchange->engine);
    if (failure) {
        return error_set(err, LEAT_CORRUPT, "%s", failure); /* 500, whatever stopped it */
    }
    answer_words(exchange, "ok");
    struct engine_following following;
    if (engine_following(exchange->engine, &following)) {
        bytes_printf(exchange->answer,
                     "following %s: %s%s%s\n"
                     "applied %llu, %llu rows and %.1f s behind\n"
                     "learnt %llu, %llu rows and %.1f s behind\n",
                     following.leader,
                     following.refused     ? "no more"
                     : following.connected ? "connected"
                                           : "not connected",
                     following.words[0] ? ": " : "", following.words,
                     (unsigned long long)engine_applied(exchange->engine),
                     (unsigned long long)following.rows, following.seconds,
                     (unsigned long long)engine_learnt(exchange->engine),
                     (unsigned long long)following.learnt_rows, following.learnt_seconds);
    }
    return LEAT_OK;
}

static leat_status answer_readyz(struct exchange *exchange, leat_error *err) {
    const char *failure = engine_failure(exchange->engine);
    if (failure) {
        return error_set(err, LEAT_IO, "%s", failure);
    }
    if (!engine_ready(exchange->engine)) {
        return error_retry(err, LEAT_IO, "replaying the log: %llu of %llu rows are applied",
                           (unsigned long long)engine_applied(exchange->engine),
                           (unsigned long long)engine_end(exchange->engine));
    }
    struct engine_following following;
    if (engine_following(exchange->engine, &following) && following.refused) {
        return error_set(err, LEAT_IO, "following %s no more: %s", following.leader,
                         following.words);
    }
    return answer_words(exchange, "ready");
}

const struct route route_metrics = {.path = "/metrics", .answer = {[HTTP_GET] = answer_metrics}};
const struct route route_healthz = {.path = "/healthz", .answer = {[HTTP_GET] = answer_healthz}};
const struct route route_readyz = {.path = "/readyz", .answer = {[HTTP_GET] = answer_readyz}};
