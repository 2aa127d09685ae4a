/* For the tests of this room: a configuration, a few rows of every kind that are the same in every
 * run, and a disk to put a log on. */
#ifndef LOG_LOG_FIXTURE_H
#define LOG_LOG_FIXTURE_H

#include "base/config.h"
#include "base/disk_fake.h"
#include "base/memory.h"
#include "base/test.h"
#include "column/builder.h"
#include "log/event.h"
#include "log/log.h"
#include "log/record.h"

#include <stdio.h>

#define FIXTURE_CONFIG                                                                             \
    "actions:\n  click: {window: 10m}\n  purchase: {window: 3d}\n"                                 \
    "surfaces:\n  for_you: {show: 5}\n  shop: {show: 3}\n"

static inline struct config *fixture_config(void) {
    struct config *config = NULL;
    leat_error err = {.message = ""};
    if (config_parse(slice_of(FIXTURE_CONFIG), "fixture", &config, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return config;
}

static inline struct builder *fixture_builder(const struct schema *schema) {
    struct builder *builder = NULL;
    assert_int_equal(builder_create(schema, &builder, NULL), LEAT_OK);
    return builder;
}

static inline void fixture_add(struct builder *builder, const struct config *config,
                               const struct posted_event *event) {
    leat_error err = {.message = ""};
    if (event_add(builder, config, event, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static inline struct batch fixture_finish(struct builder *builder) {
    struct batch batch;
    leat_error err = {.message = ""};
    if (builder_finish(builder, &batch, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return batch;
}

/* Events of several kinds, with and without every optional field. */
static inline struct batch fixture_events(struct builder *builder, const struct config *config) {
    struct posted_event item = {.kind = slice_of("item"),
                                .item = slice_of("i1"),
                                .author = slice_of("a\xC3\xA9"),
                                .text = slice_of("A \"film\"\n"),
                                .has_created = true,
                                .created_ms = 1500000000000,
                                .has_expires = true,
                                .expires_ms = 1600000000000,
                                .category_count = 2,
                                .categories = {slice_of("news"), slice_of("sport")},
                                .tag_count = 1,
                                .tags = {slice_of("t")}};
    struct posted_event click = {
        .kind = slice_of("click"),
        .user = slice_of("u1"),
        .item = slice_of("i1"),
        .id = slice_of("e1"),
        .request = slice_of("r1"),
        .session = slice_of("s1"),
        .surface = slice_of("for_you"),
        .has_time = true,
        .time_ms = 1507683600000,
        .has_value = true,
        .value = 2.5,
        .context_count = 2,
        .context = {slice_of("hour"), slice_of("21"), slice_of("device"), slice_of("\"tv\"")}};
    struct posted_event forget = {.kind = slice_of("forget"), .user = slice_of("u2")};
    builder_clear(builder);
    fixture_add(builder, config, &item);
    fixture_add(builder, config, &click);
    fixture_add(builder, config, &forget);
    return fixture_finish(builder);
}

static inline struct batch fixture_served(struct builder *builder) {
    static const char *const items[] = {"i1", "i2"};
    builder_clear(builder);
    for (int i = 0; i < 2; i++) {
        const uint64_t keys[] = {7, 1u << 20};
        const float dense[] = {0.5f, -1};
        builder_text(builder, SERVED_REQUEST, slice_of("r1"));
        if (i == 0) {
            builder_text(builder, SERVED_USER, slice_of("u1"));
        }
        builder_text(builder, SERVED_ITEM, slice_of(items[i]));
        builder_text(builder, SERVED_SURFACE, slice_of("for_you"));
        builder_i64(builder, SERVED_TIME, 1507683600000);
        builder_i32(builder, SERVED_SLOT, i);
        builder_f64(builder, SERVED_SCORE, 1.0 / (1 + i));
        builder_i32(builder, SERVED_CHANNELS, 5);
        builder_list_u64(builder, SERVED_KEYS, keys, 2);
        builder_list_f32(builder, SERVED_DENSE, dense, 2 - i);
        builder_row_end(builder);
    }
    return fixture_finish(builder);
}

static inline struct batch fixture_beat(void) {
    return (struct batch){.schema = schema_beat(), .rows = 1};
}

/* `count` clicks by users `user` and on, at times from `time_ms` on (below 0: none named). */
static inline struct batch fixture_clicks(struct builder *builder, const struct config *config,
                                          int user, int count, int64_t time_ms) {
    builder_clear(builder);
    for (int i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "user%d", user + i);
        struct posted_event click = {.kind = slice_of("click"),
                                     .user = slice_of(name),
                                     .item = slice_of("item"),
                                     .has_time = time_ms >= 0,
                                     .time_ms = time_ms + i};
        fixture_add(builder, config, &click);
    }
    return fixture_finish(builder);
}

/* --- a log --- */

struct fixture {
    struct config *config;
    struct builder *events;
    struct builder *served;
    struct disk_fake *fake;
    struct manual_clock clock;
    struct metrics *metrics;
    struct log_options options;
    struct log *log;
    struct log_recovery recovery;
};

#define FIXTURE_NOW_MS 1507683660000

/* A fake disk, an inline writer, and a clock that is moved by hand; the log is not open yet. */
static inline void fixture_init(struct fixture *f, uint64_t seed) {
    memset(f, 0, sizeof(*f));
    f->config = fixture_config();
    f->events = fixture_builder(schema_event());
    f->served = fixture_builder(schema_served());
    assert_int_equal(disk_fake_create(seed, &f->fake, NULL), LEAT_OK);
    manual_clock_init(&f->clock, FIXTURE_NOW_MS);
    f->metrics = metrics_create();
    assert_non_null(f->metrics);
    f->options = (struct log_options){.disk = disk_fake_disk(f->fake),
                                      .folder = "log",
                                      .log_id = 7,
                                      .clock = &f->clock.clock,
                                      .sync = true,
                                      .inline_writer = true,
                                      .segment_bytes = 1 << 20,
                                      .queue_bytes = 1 << 20,
                                      .oldest_ms = 604800000,
                                      .skew_ms = 60000,
                                      .salt = 0x5A175A17,
                                      .metrics = f->metrics};
}

static inline void fixture_deinit(struct fixture *f) {
    log_close(f->log);
    metrics_destroy(f->metrics);
    disk_fake_destroy(f->fake);
    builder_destroy(f->served);
    builder_destroy(f->events);
    config_destroy(f->config);
}

static inline void fixture_open(struct fixture *f) {
    leat_error err = {.message = ""};
    if (log_open(&f->options, &f->log, &f->recovery, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static inline void fixture_close(struct fixture *f) {
    log_close(f->log);
    f->log = NULL;
}

static inline struct log_receipt fixture_append(struct fixture *f, const struct batch *batches,
                                                int count) {
    struct log_receipt receipt = {0};
    leat_error err = {.message = ""};
    if (log_append(f->log, batches, count, &receipt, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return receipt;
}

#endif
