/* The process's counters, gauges and latency summaries, from one table: api/metrics.def.
 * Updates are relaxed atomics; any thread. The text is Prometheus exposition format 0.0.4. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/bytes.h"
#include "base/histogram.h"

enum metric {
#define COUNTER(name, help) METRIC_##name,
#define GAUGE(name, help)   METRIC_##name,
#define SUMMARY(name, help) METRIC_##name,
#include "metrics.def"
#undef COUNTER
#undef GAUGE
#undef SUMMARY
    METRIC_COUNT
};

/* One set a server (or engine); zero-initialised by metrics_create. */
struct metrics;

struct metrics *metrics_create(void); /* NULL when memory is out */
void metrics_destroy(struct metrics *metrics);

/* All accept metrics == NULL and then do nothing. */
void metrics_add(struct metrics *metrics, enum metric metric, uint64_t count);     /* counters */
void metrics_set(struct metrics *metrics, enum metric metric, double value);       /* gauges */
void metrics_observe_ns(struct metrics *metrics, enum metric metric, uint64_t ns); /* summaries */

double metrics_value(const struct metrics *metrics, enum metric metric); /* counter or gauge */
const struct histogram *metrics_summary(const struct metrics *metrics, enum metric metric);
void metrics_write(const struct metrics *metrics, struct bytes *out); /* exposition text */

#endif
