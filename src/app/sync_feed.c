#include "app/sync_feed.h"

#include "base/memory.h"
#include "connect/row_reader.h"

#include <math.h>

enum { COLUMNS = 1 + DRIFT_NUMBERS_MAX + DRIFT_FIELDS_MAX };

struct sync_feed {
    struct row_plan plan;
    struct row_encoder *encoder;
    struct row_batch batch; /* of MINIBATCH_MAX rows; its rows_max is what is wanted now */
    float truth[MINIBATCH_MAX];
    uint64_t rows;
    /* one of the two */
    struct drift *drift;
    struct row_reader *reader;
    /* the generator's rows, as a source has them */
    struct row_columns columns;
    struct row_cell cells[COLUMNS];
    char line[DRIFT_LINE_MAX];
    /* the file's */
    const char *path;
    struct refusals refusals;
};

static leat_status feed_make(struct sync_feed **out, leat_error *err) {
    *out = memory_zalloc(sizeof(**out));
    return *out ? LEAT_OK : error_memory(err, sizeof(**out));
}

void sync_feed_close(struct sync_feed *feed) {
    if (!feed) {
        return;
    }
    row_reader_close(feed->reader);
    drift_close(feed->drift);
    row_batch_deinit(&feed->batch);
    row_encoder_destroy(feed->encoder);
    plan_deinit(&feed->plan);
    memory_free(feed);
}

const struct row_plan *sync_feed_plan(const struct sync_feed *feed) {
    return &feed->plan;
}

uint64_t sync_feed_rows(const struct sync_feed *feed) {
    return feed->rows;
}

uint64_t sync_feed_refused(const struct sync_feed *feed) {
    return feed->refusals.count;
}

static leat_status make_encoder(struct sync_feed *feed, leat_error *err) {
    TRY(row_encoder_create(&feed->plan, &feed->encoder, err));
    return row_encoder_batch(feed->encoder, MINIBATCH_MAX, &feed->batch, err);
}

/* --- the generator --- */

static void name_columns(struct row_columns *columns) {
    columns->count = COLUMNS;
    snprintf(columns->names[0], CONFIG_NAME_MAX, "label");
    for (int n = 0; n < DRIFT_NUMBERS_MAX; n++) {
        snprintf(columns->names[1 + n], CONFIG_NAME_MAX, "I%d", n + 1);
    }
    for (int f = 0; f < DRIFT_FIELDS_MAX; f++) {
        snprintf(columns->names[1 + DRIFT_NUMBERS_MAX + f], CONFIG_NAME_MAX, "C%d", f + 1);
    }
}

static leat_status plan_columns(struct sync_feed *feed, leat_error *err) {
    name_columns(&feed->columns);
    TRY(plan_add_labels(&feed->plan, "label", err));
    for (int c = 1; c < COLUMNS; c++) {
        enum plan_kind kind = c <= DRIFT_NUMBERS_MAX ? PLAN_LOGBUCKET : PLAN_ID;
        TRY(plan_add_column(&feed->plan, feed->columns.names[c], kind, err));
    }
    return LEAT_OK;
}

leat_status sync_feed_drift(const struct drift_options *options, struct sync_feed **out,
                            leat_error *err) {
    struct sync_feed *feed = NULL;
    leat_status status;
    TRY(feed_make(&feed, err));
    TRY_OR(status, drift_open(options, &feed->drift, err), fail);
    TRY_OR(status, plan_columns(feed, err), fail);
    TRY_OR(status, make_encoder(feed, err), fail);
    row_encoder_bind(feed->encoder, &feed->columns);
    feed->rows = (uint64_t)options->rows;
    *out = feed;
    return LEAT_OK;
fail:
    sync_feed_close(feed);
    return status;
}

/* The line as a reader of the file would cut it. */
static struct row cut_line(struct sync_feed *feed, size_t size) {
    const char *at = feed->line;
    const char *end = feed->line + size - 1; /* without the end of line */
    for (int c = 0; c < COLUMNS; c++) {
        const char *stop = memchr(at, '\t', (size_t)(end - at));
        stop = stop ? stop : end;
        feed->cells[c] =
            (struct row_cell){.text = {at, (size_t)(stop - at)}, .value = 1, .column = (uint16_t)c};
        at = stop + (stop < end);
    }
    return (struct row){.count = COLUMNS, .cells = feed->cells};
}

static leat_status drift_fill(struct sync_feed *feed, leat_error *err) {
    struct drift_row drawn;
    while (!row_batch_full(&feed->batch) && drift_next(feed->drift, &drawn) == LEAT_OK) {
        struct row row = cut_line(feed, drift_write(feed->drift, &drawn, feed->line));
        feed->truth[feed->batch.count] = (float)(1 / (1 + exp(-drawn.logit)));
        TRY(row_encoder_add(feed->encoder, &row, 0, &feed->batch, err));
    }
    return feed->batch.count > 0 ? LEAT_OK : LEAT_END;
}

/* --- a file --- */

static leat_status open_reader(struct sync_feed *feed, leat_error *err) {
    const struct row_reader_options options = {
        .source = {.disk = disk_real(), .format = ROW_CRITEO},
        .paths = &feed->path,
        .path_count = 1,
        .plan = &feed->plan,
        .encoder = feed->encoder,
        .refusals = &feed->refusals,
    };
    return row_reader_open(&options, &feed->reader, err);
}

static leat_status count_rows(struct sync_feed *feed, leat_error *err) {
    leat_status status;
    TRY(open_reader(feed, err));
    do {
        row_batch_clear(&feed->batch);
        status = row_reader_next(feed->reader, &feed->batch, err);
        feed->rows += (uint64_t)feed->batch.count;
    } while (status == LEAT_OK);
    row_reader_close(feed->reader);
    feed->reader = NULL;
    feed->refusals = (struct refusals){.show = NULL};
    return status == LEAT_END ? LEAT_OK : status;
}

leat_status sync_feed_criteo(const char *path, struct sync_feed **out, leat_error *err) {
    struct sync_feed *feed = NULL;
    const struct row_source_options source = {
        .disk = disk_real(), .format = ROW_CRITEO, .path = path};
    leat_status status;
    TRY(feed_make(&feed, err));
    feed->path = path;
    TRY_OR(status, plan_survey(&feed->plan, &source, NULL, NULL, err), fail);
    TRY_OR(status, make_encoder(feed, err), fail);
    TRY_OR(status, count_rows(feed, err), fail);
    feed->refusals.show = stderr;
    TRY_OR(status, open_reader(feed, err), fail);
    for (int i = 0; i < MINIBATCH_MAX; i++) {
        feed->truth[i] = NAN;
    }
    *out = feed;
    return LEAT_OK;
fail:
    sync_feed_close(feed);
    return status;
}

/* --- either --- */

leat_status sync_feed_next(struct sync_feed *feed, int max, struct minibatch *out,
                           const float **truth, leat_error *err) {
    row_batch_clear(&feed->batch);
    feed->batch.rows_max = max;
    leat_status status =
        feed->drift ? drift_fill(feed, err) : row_reader_next(feed->reader, &feed->batch, err);
    if (status == LEAT_OK) {
        *out = row_batch_view(&feed->batch);
        *truth = feed->truth;
    }
    return status;
}
