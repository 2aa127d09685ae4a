#include "base/metrics.h"

#include "base/memory.h"
#include "base/text.h"

#include <math.h>

enum metric_kind { KIND_COUNTER, KIND_GAUGE, KIND_SUMMARY };

struct metric_description {
    const char *name;
    const char *help;
    enum metric_kind kind;
};

static const struct metric_description descriptions[METRIC_COUNT] = {
#define COUNTER(name, help) {#name, help, KIND_COUNTER},
#define GAUGE(name, help)   {#name, help, KIND_GAUGE},
#define SUMMARY(name, help) {#name, help, KIND_SUMMARY},
#include "metrics.def"
#undef COUNTER
#undef GAUGE
#undef SUMMARY
};

/* Summaries have numbers of their own, because only they own a histogram. */
enum summary {
#define COUNTER(name, help)
#define GAUGE(name, help)
#define SUMMARY(name, help) SUMMARY_##name,
#include "metrics.def"
#undef COUNTER
#undef GAUGE
#undef SUMMARY
    SUMMARY_COUNT
};

static const uint8_t summary_of[METRIC_COUNT] = {
#define COUNTER(name, help)
#define GAUGE(name, help)
#define SUMMARY(name, help) [METRIC_##name] = SUMMARY_##name,
#include "metrics.def"
#undef COUNTER
#undef GAUGE
#undef SUMMARY
};

struct metrics {
    _Atomic uint64_t values[METRIC_COUNT]; /* counters, or the bits of a gauge's double */
    struct histogram summaries[SUMMARY_COUNT];
};

static void check_kind(enum metric metric, enum metric_kind kind) {
    INVARIANT((unsigned)metric < METRIC_COUNT, "metric %d", (int)metric);
    INVARIANT(descriptions[metric].kind == kind, "metric %s used as kind %d",
              descriptions[metric].name, (int)kind);
}

struct metrics *metrics_create(void) {
    struct metrics *metrics = memory_zalloc(sizeof(*metrics));
    if (metrics) {
        for (int i = 0; i < SUMMARY_COUNT; i++) {
            histogram_init(&metrics->summaries[i]);
        }
    }
    return metrics;
}

void metrics_destroy(struct metrics *metrics) {
    memory_free(metrics);
}

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t count) {
    if (metrics) {
        check_kind(metric, KIND_COUNTER);
        atomic_fetch_add_explicit(&metrics->values[metric], count, memory_order_relaxed);
    }
}

void metrics_set(struct metrics *metrics, enum metric metric, double value) {
    if (metrics) {
        check_kind(metric, KIND_GAUGE);
        uint64_t bits;
        memcpy(&bits, &value, sizeof(bits));
        atomic_store_explicit(&metrics->values[metric], bits, memory_order_relaxed);
    }
}

void metrics_observe_ns(struct metrics *metrics, enum metric metric, uint64_t ns) {
    if (metrics) {
        check_kind(metric, KIND_SUMMARY);
        histogram_record(&metrics->summaries[summary_of[metric]], ns);
    }
}

double metrics_value(const struct metrics *metrics, enum metric metric) {
    if (!metrics) {
        return 0;
    }
    uint64_t bits = atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
    if (descriptions[metric].kind == KIND_COUNTER) {
        return (double)bits;
    }
    check_kind(metric, KIND_GAUGE);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

const struct histogram *metrics_summary(const struct metrics *metrics, enum metric metric) {
    if (!metrics) {
        return NULL;
    }
    check_kind(metric, KIND_SUMMARY);
    return &metrics->summaries[summary_of[metric]];
}

/* --- exposition --- */

/* The format's own words for what is not a number. */
static void write_value(struct bytes *out, double value) {
    if (isnan(value)) {
        bytes_printf(out, "NaN\n");
    } else if (isinf(value)) {
        bytes_printf(out, "%cInf\n", value > 0 ? '+' : '-');
    } else {
        char text[32];
        text_from_f64(value, text);
        bytes_printf(out, "%s\n", text);
    }
}

static void write_summary(const struct histogram *histogram, const char *name, struct bytes *out) {
    static const struct {
        const char *label;
        double q;
    } quantiles[] = {{"0.5", 0.5}, {"0.9", 0.9}, {"0.99", 0.99}};
    uint64_t count = histogram_count(histogram);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        bytes_printf(out, "leat_%s{quantile=\"%s\"} ", name, quantiles[i].label);
        double ns = (double)histogram_quantile(histogram, quantiles[i].q);
        write_value(out, count ? ns / 1e9 : (double)NAN); /* no value seen: the format asks NaN */
    }
    bytes_printf(out, "leat_%s_sum ", name);
    uint64_t sum_ns = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    write_value(out, (double)sum_ns / 1e9);
    bytes_printf(out, "leat_%s_count %llu\n", name, (unsigned long long)count);
}

/* Counters keep all 64 bits, which a double would round. */
static void write_metric(const struct metrics *metrics, enum metric metric, struct bytes *out) {
    const char *name = descriptions[metric].name;
    switch (descriptions[metric].kind) {
    case KIND_COUNTER: {
        uint64_t count = atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
        bytes_printf(out, "leat_%s %llu\n", name, (unsigned long long)count);
        break;
    }
    case KIND_GAUGE:
        bytes_printf(out, "leat_%s ", name);
        write_value(out, metrics_value(metrics, metric));
        break;
    case KIND_SUMMARY: write_summary(metrics_summary(metrics, metric), name, out); break;
    }
}

void metrics_write(const struct metrics *metrics, struct bytes *out) {
    static const char *const kinds[] = {"counter", "gauge", "summary"};
    if (!metrics) {
        return;
    }
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct metric_description *metric = &descriptions[i];
        bytes_printf(out, "# HELP leat_%s %s\n# TYPE leat_%s %s\n", metric->name, metric->help,
                     metric->name, kinds[metric->kind]);
        write_metric(metrics, (enum metric)i, out);
    }
}
