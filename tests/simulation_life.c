/* A seed's configuration and habits; opening, crashing, and what is checked after each start. */
#include "base/hash.h"
#include "base/memory.h"
#include "engine/engine_internal.h"
#include "log/record.h"
#include "tests/simulation.h"

/* --- what a seed is like --- */

static uint64_t pick(struct sim *sim, const uint64_t *choices, int count) {
    return choices[rng_below(&sim->rng, (uint64_t)count)];
}

#define PICK(sim, ...)                                                                             \
    pick((sim), (const uint64_t[]){__VA_ARGS__},                                                   \
         (int)(sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)))

static const char *word(struct sim *sim, const char *const *words, int count) {
    return words[rng_below(&sim->rng, (uint64_t)count)];
}

static void config_write(struct sim *sim, struct bytes *out) {
    static const char *const labels[] = {"window", "fake_negative", "sliding"};
    static const char *const clocks[] = {"wall", "wall", "wall", "event"};
    bytes_printf(out, "data: d\nclock: %s\nkey_groups: %d\n", word(sim, clocks, 4),
                 (int)PICK(sim, 1, 2, 8, 32));
    /* Without lateness no clock is ahead: the model of labels knows no rows that wait. */
    int lateness_ms = (int)PICK(sim, 0, 0, 500, 5000);
    bytes_printf(out, "log: {segment: 65536, heartbeat: 1h, oldest: %ds, skew: %ds}\n",
                 (int)PICK(sim, 5, 60, 86400), lateness_ms ? (int)PICK(sim, 0, 5, 60) : 0);
    bytes_printf(out, "checkpoint: {keep: %d}\n", (int)PICK(sim, 1, 2, 3));
    bytes_printf(out,
                 "flow: {dedup: %ds, negatives: 2, negative_ring: 16, lateness: %dms, "
                 "keep_negatives: %d}\n",
                 (int)PICK(sim, 2, 20, 86400), lateness_ms, (int)PICK(sim, 1, 1, 3));
    if (sim->emits) {
        bytes_printf(out, "examples: {folder: " SIM_EXAMPLES ", file: 4096}\n");
    }
    /* In the smaller file there is room for one extent of each state. */
    bytes_printf(out, "runner: {threads: %d, spill: %dKiB}\n", (int)PICK(sim, 1, 1, 2, 4),
                 !sim->spills         ? 0
                 : sim->seed % 4 == 0 ? 64 * FLOW_STATES
                                      : 64 << 10);
    bytes_printf(out, "model: {dimension: 4, memory: 4MiB}\nactions:\n");
    bytes_printf(out, "  click: {window: %dms, weight: 1}\n", (int)PICK(sim, 500, 5000, 60000));
    bytes_printf(out, "  watch: {window: %ds, weight: 0.1, value: seconds, filter: none}\n",
                 (int)PICK(sim, 2, 30, 600));
    bytes_printf(out, "  hide: {window: %ds, weight: -4, filter: forever}\n",
                 (int)PICK(sim, 1, 20, 300));
    bytes_printf(out, "  rate: {weight: 1, value: amount, threshold: 3, filter: none}\n"
                      "surfaces:\n");
    bytes_printf(out,
                 "  for_you: {show: 5, candidates: 50, labels: %s, slide: %dms, channels: "
                 "{similar: 20, trending: 20, fresh: 20, explore: 20}}\n",
                 word(sim, labels, 3), (int)PICK(sim, 5000, 30000));
    bytes_printf(out, "  shop: {show: 3, examples: served, labels: %s, slide: 7s, author_cap: 2}\n",
                 word(sim, labels, 3));
    bytes_printf(out, "  logs: {examples: clicks}\n");
}

static void config_make(struct sim *sim) {
    struct bytes text;
    bytes_init(&text);
    config_write(sim, &text);
    leat_status status = config_parse((struct slice){(char *)text.data, text.size}, "simulation",
                                      &sim->config, &sim->err);
    CHECK(status == LEAT_OK, "%s", sim->err.message);
    bytes_deinit(&text);
    /* Smaller than anybody may ask for, so that a short life has many segments. */
    sim->config->log.segment = (int64_t)PICK(sim, 2000, 8000, 65536);
}

static void habits_draw(struct sim *sim) {
    sim->feed_percent = (int)PICK(sim, 5, 15, 30);
    sim->run_percent = (int)PICK(sim, 5, 30, 60);
    sim->checkpoint_percent = (int)PICK(sim, 0, 5, 15);
    sim->slow_percent = (int)PICK(sim, 0, 10, 50);
    sim->duplicate_percent = (int)PICK(sim, 0, 10, 40);
    sim->request_percent = (int)PICK(sim, 20, 60, 90);
    sim->time_percent = (int)PICK(sim, 0, 20, 80);
    sim->batch_max = (int)PICK(sim, 1, 4, 12);
    sim->runs_at_once = rng_below(&sim->rng, 3) == 0;
    /* An extent for each group of each state, each time. */
    int most = 200 / (int)sim->config->root.key_groups;
    sim->squeeze_percent = sim->spills ? (int)PICK(sim, 10, 50, 100) : 0;
    sim->squeeze_percent = sim->squeeze_percent < most ? sim->squeeze_percent : most;
}

void sim_init(struct sim *sim, uint64_t seed) {
    memset(sim, 0, sizeof(*sim));
    sim->seed = seed;
    rng_init(&sim->rng, seed);
    sim->emits = seed % 3 == 0;
    sim->spills = hash_mix(seed, 1) % 3 == 0;
    config_make(sim);
    habits_draw(sim);
    CHECK(disk_fake_create(seed, &sim->fake, &sim->err) == LEAT_OK, "%s", sim->err.message);
    manual_clock_init(&sim->clock, 1700000000000);
    CHECK(builder_create(schema_event(), &sim->builder, &sim->err) == LEAT_OK, "%s",
          sim->err.message);
    arena_init(&sim->arena, 256 << 10, 64 << 20);
    sim->metrics = metrics_create();
    sim->examples = memory_zalloc(SIM_EXAMPLES_MAX * sizeof(*sim->examples));
    CHECK(sim->metrics && sim->examples, "no memory for a simulation");
}

void sim_deinit(struct sim *sim) {
    memory_free(sim->examples);
    metrics_destroy(sim->metrics);
    arena_deinit(&sim->arena);
    builder_destroy(sim->builder);
    disk_fake_destroy(sim->fake);
    config_destroy(sim->config);
}

/* --- life --- */

bool sim_hurt(struct sim *sim) {
    bool met = sim->fault_step > 0 && disk_fake_steps(sim->fake) >= sim->fault_step;
    sim->hurt = sim->hurt || met || disk_fake_is_cut(sim->fake);
    return sim->hurt || sim->full;
}

leat_status sim_open(struct sim *sim, bool without_checkpoints, int batch_rows) {
    struct engine_options options = {.config = sim->config,
                                     .disk = disk_fake_disk(sim->fake),
                                     .clock = &sim->clock.clock,
                                     .inline_mode = true,
                                     .without_checkpoints = without_checkpoints,
                                     .batch_rows = batch_rows,
                                     .emit_examples = sim->emits && !without_checkpoints,
                                     .metrics = sim->metrics,
                                     .watch = sim_watch,
                                     .watch_context = sim};
    struct engine_report report;
    /* Request ids rely on it that no two processes begin in one millisecond. */
    if (clock_now_ms(&sim->clock.clock) <= sim->opened_ms) {
        manual_clock_set(&sim->clock, sim->opened_ms + 1);
    }
    sim->opened_ms = clock_now_ms(&sim->clock.clock);
    sim->example_began = false;
    leat_status status = engine_open(&options, &sim->engine, &report, &sim->err);
    if (status < 0) {
        sim->engine = NULL;
        CHECK(sim_hurt(sim), "not opened on a healthy disk: %s", sim->err.message);
        return status;
    }
    if (!sim_hurt(sim)) {
        sim_examples_opened(sim, report.checkpoint_sequence);
        CHECK(without_checkpoints || report.checkpoint_sequence >= sim->checkpoint_sequence,
              "checkpoint %llu was written, %llu is used",
              (unsigned long long)sim->checkpoint_sequence,
              (unsigned long long)report.checkpoint_sequence);
    }
    return status;
}

void sim_abandon(struct sim *sim) {
    sim_spill_note(sim);
    if (sim->engine) {
        engine_abandon(sim->engine);
        sim->engine = NULL;
    }
}

void sim_run(struct sim *sim, int steps) {
    leat_status status = LEAT_OK;
    for (int i = 0; status == LEAT_OK && (steps < 0 || i < steps); i++) {
        status = runner_step(sim->engine, UINT64_MAX, &sim->err);
    }
    if (status < 0) {
        CHECK(sim_hurt(sim), "flow stopped: %s", sim->err.message);
        engine_fail(sim->engine, "flow", &sim->err);
    }
}

void sim_checkpoint(struct sim *sim) {
    if (sim->in_checkpoint) {
        return;
    }
    sim->in_checkpoint = true;
    leat_status status = engine_checkpoint(sim->engine, &sim->err);
    sim->in_checkpoint = false;
    if (status >= 0) {
        sim->checkpoints++;
        sim->checkpoint_sequence = sim->engine->checkpoint_sequence;
    }
    CHECK(status >= 0 || sim_hurt(sim), "no checkpoint on a healthy disk: %s", sim->err.message);
}

/* --- checks --- */

static void digests_compare(const struct engine_digest *a, const struct engine_digest *b,
                            const char *words) {
    CHECK(a->count == b->count && a->sequence == b->sequence, "%s: rows %llu and %llu", words,
          (unsigned long long)a->sequence, (unsigned long long)b->sequence);
    for (int i = 0; i < a->count; i++) {
        CHECK(a->parts[i].value == b->parts[i].value, "%s: %s differs", words, a->parts[i].name);
    }
}

static void digest_take(struct sim *sim, struct engine_digest *out) {
    CHECK(engine_digest(sim->engine, out, &sim->err) == LEAT_OK, "%s", sim->err.message);
    CHECK(out->sequence == engine_end(sim->engine), "flow at %llu of %llu",
          (unsigned long long)out->sequence, (unsigned long long)engine_end(sim->engine));
}

void sim_restart_check(struct sim *sim) {
    struct engine_digest restored;
    sim_log_check(sim);
    sim_counts_check(sim);
    digest_take(sim, &restored);
    if (sim->digest.count > 0 && sim->digest.sequence == restored.sequence) {
        digests_compare(&sim->digest, &restored, "live and restored");
    }
    sim->digest = restored;
}

void sim_replay_check(struct sim *sim) {
    struct engine_digest live;
    struct engine_digest replayed;
    digest_take(sim, &live);
    if (log_begin(engine_log(sim->engine)) > 0) {
        return;
    }
    sim_abandon(sim);
    sim_open(sim, true, 1 + (int)rng_below(&sim->rng, 7));
    digest_take(sim, &replayed);
    digests_compare(&live, &replayed, "state and replay");
    sim_abandon(sim);
}
