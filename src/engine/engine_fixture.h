/* What the engine's tests share: an engine on a simulated disk with a clock moved by hand, and a
 * short way to append events and to ask for pages. */
#ifndef ENGINE_ENGINE_FIXTURE_H
#define ENGINE_ENGINE_FIXTURE_H

#include "base/disk_fake.h"
#include "base/rng.h"
#include "base/test.h"
#include "column/builder.h"
#include "engine/engine.h"
#include "log/event.h"
#include "log/record.h"

#include <stdio.h>

struct fixture {
    struct config *config;
    struct disk_fake *fake;
    struct manual_clock clock;
    struct builder *builder;
    struct arena arena;
    struct engine *engine;
    uint64_t end; /* after the last acknowledged append */
    leat_error err;
};

static const char fixture_config[] =
    "data: d\n"
    "key_groups: 8\n"
    "log: {segment: 65536, heartbeat: 1h}\n"
    "flow: {negatives: 2, negative_ring: 64}\n"
    "actions:\n"
    "  click: {window: 1m, weight: 1}\n"
    "  hide: {window: 5m, weight: -4, filter: forever}\n"
    "surfaces:\n"
    "  for_you: {show: 10, candidates: 200, channels: {similar: 50, trending: 50, fresh: 50, "
    "explore: 20}}\n";

static inline void fixture_open(struct fixture *f, bool without_checkpoints, int batch_rows) {
    struct engine_options options = {.config = f->config,
                                     .disk = disk_fake_disk(f->fake),
                                     .clock = &f->clock.clock,
                                     .inline_mode = true,
                                     .without_checkpoints = without_checkpoints,
                                     .batch_rows = batch_rows};
    struct engine_report report;
    leat_status status = engine_open(&options, &f->engine, &report, &f->err);
    if (status < 0) {
        print_error("%s\n", f->err.message);
    }
    assert_int_equal(status, LEAT_OK);
}

static inline void fixture_init(struct fixture *f, const char *config, uint64_t seed) {
    *f = (struct fixture){0};
    assert_int_equal(config_parse(slice_of(config), "test", &f->config, &f->err), LEAT_OK);
    assert_int_equal(disk_fake_create(seed, &f->fake, &f->err), LEAT_OK);
    manual_clock_init(&f->clock, 1700000000000);
    assert_int_equal(builder_create(schema_event(), &f->builder, &f->err), LEAT_OK);
    arena_init(&f->arena, 1 << 20, 64 << 20);
}

static inline void fixture_deinit(struct fixture *f) {
    arena_deinit(&f->arena);
    builder_destroy(f->builder);
    disk_fake_destroy(f->fake);
    config_destroy(f->config);
}

/* Adds one event of a numbered person and item to the batch being built. */
static inline void fixture_add(struct fixture *f, const char *kind, int user, int item) {
    char user_id[16];
    char item_id[16];
    struct posted_event event = {.kind = slice_of(kind)};
    if (user >= 0) {
        snprintf(user_id, sizeof(user_id), "u%d", user);
        event.user = slice_of(user_id);
    }
    if (item >= 0) {
        snprintf(item_id, sizeof(item_id), "i%d", item);
        event.item = slice_of(item_id);
    }
    if (slice_is(event.kind, "item")) {
        event.author = slice_of(item % 3 ? "a1" : "a0");
        event.category_count = 1;
        event.categories[0] = slice_of(item % 2 ? "odd" : "even");
    }
    assert_int_equal(event_add(f->builder, f->config, &event, &f->err), LEAT_OK);
}

/* Appends what was added as one commit. */
static inline leat_status fixture_append(struct fixture *f) {
    struct batch batch;
    struct log_receipt receipt;
    assert_int_equal(builder_finish(f->builder, &batch, &f->err), LEAT_OK);
    leat_status status = engine_append(f->engine, &batch, &receipt, &f->err);
    builder_clear(f->builder);
    if (status >= 0) {
        f->end = receipt.end_sequence;
    }
    return status;
}

static inline leat_status fixture_page(struct fixture *f, int user, int count, bool preview,
                                       struct page *out) {
    char user_id[16];
    snprintf(user_id, sizeof(user_id), "u%d", user);
    struct feed_query query = {.user = slice_of(user_id),
                               .count = count,
                               .has_now = true,
                               .now_ms = clock_now_ms(&f->clock.clock),
                               .preview = preview};
    arena_reset(&f->arena);
    return engine_feed(f->engine, &query, &f->arena, out, &f->err);
}

#endif
