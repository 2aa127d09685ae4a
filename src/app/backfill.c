/* Flow gives examples while it applies; who asks takes batches. Between them: a builder, and the
 * frames that were full before anybody asked. One row of the log may settle very many examples.
 *
 *   log -> flow -> on_example -> builder -> frames -> backfill_next
 */
#include "app/backfill.h"

#include "app/log_walk.h"
#include "base/memory.h"
#include "engine/flow_restore.h"
#include "flow/example_file.h"
#include "flow/group.h"

#include <inttypes.h>

enum { RESTORE_TRIES = 3, PIECE_ROWS = 4096 };

struct backfill {
    struct backfill_options options;
    char log_folder[PATH_BYTES_MAX];
    uint32_t log_id;
    struct flow *flow;
    struct log_walk walk;
    struct backfill_progress progress;

    /* The frame of the log in hand, from row `row` on. */
    struct frame frame;
    struct batch batch;
    int64_t row;
    bool ended;

    struct builder *builder;
    struct bytes frames; /* of examples */
    size_t taken;        /* of them */
    leat_error failure;  /* of on_example */

    struct grouping *grouping; /* with `grouped` */
    struct builder *groups;
};

/* --- examples come --- */

static leat_status builder_turn(struct backfill *backfill, leat_error *err) {
    struct batch batch;
    if (builder_rows(backfill->builder) == 0) {
        return LEAT_OK;
    }
    TRY(builder_finish(backfill->builder, &batch, err));
    example_frame_write(&batch, backfill->log_id, &backfill->frames);
    builder_clear(backfill->builder);
    return bytes_status(&backfill->frames, err);
}

static void on_example(void *context, const struct example *example) {
    struct backfill *backfill = context;
    if (example->sequence < backfill->options.from || example->sequence >= backfill->options.to ||
        backfill->failure.status < 0) {
        return;
    }
    if (builder_rows(backfill->builder) >= backfill->options.batch_rows ||
        builder_bytes(backfill->builder) >= EXAMPLE_FRAME_BYTES_MAX / 2) {
        (void)builder_turn(backfill, &backfill->failure);
    }
    example_add(backfill->builder, example);
    backfill->progress.examples++;
}

/* --- where to begin --- */

static leat_status open_flow(struct backfill *backfill, leat_error *err) {
    const struct flow_options options = {
        .config = backfill->options.config, .emit = on_example, .context = backfill};
    flow_close(backfill->flow);
    backfill->flow = NULL;
    return flow_open(&options, &backfill->flow, err);
}

/* A server may put a newer checkpoint in the place of the one that is being read. */
static leat_status restore(struct backfill *backfill, uint64_t *sequence, leat_error *err) {
    const struct backfill_options *options = &backfill->options;
    leat_error why = {0};
    leat_status status = LEAT_NOT_FOUND;
    for (int i = 0; i < RESTORE_TRIES; i++) {
        TRY(open_flow(backfill, err));
        status = flow_restore(options->disk, options->config, backfill->log_id, options->from,
                              backfill->flow, sequence, &why);
        if (status >= 0) {
            return status;
        }
    }
    TRY(open_flow(backfill, err)); /* a bad checkpoint costs time, not truth */
    *sequence = 0;
    return LEAT_NOT_FOUND;
}

/* Reads the log's identity, and where it begins, off its first frame. LEAT_END: it has none. */
static leat_status identify(struct backfill *backfill, uint64_t *begin, leat_error *err) {
    struct log_walk walk;
    struct frame frame;
    struct batch batch;
    leat_status status =
        log_walk_open(&walk, backfill->options.disk, backfill->log_folder, UINT64_MAX, err);
    if (status == LEAT_OK) {
        *begin = walk.segments[0];
        log_walk_close(&walk);
        TRY(log_walk_open(&walk, backfill->options.disk, backfill->log_folder, *begin, err));
        status = log_walk_next(&walk, &frame, &batch, err);
        backfill->log_id = status == LEAT_OK ? frame.log_id : 0;
    }
    log_walk_close(&walk);
    return status;
}

static leat_status start(struct backfill *backfill, leat_error *err) {
    const struct backfill_options *options = &backfill->options;
    uint64_t begin = 0;
    uint64_t sequence = 0;
    TRY(path_join(backfill->log_folder, options->config->root.data, "log", err));
    TRY(builder_create(schema_example(), &backfill->builder, err));
    if (options->grouped) {
        TRY(grouping_create(options->config, &backfill->grouping, err));
        TRY(builder_create(schema_example_group(), &backfill->groups, err));
    }
    leat_status status = identify(backfill, &begin, err);
    if (status != LEAT_OK) {
        backfill->ended = status == LEAT_END;
        return status < 0 ? status : LEAT_OK;
    }
    TRY(restore(backfill, &sequence, err));
    if (sequence < begin) {
        return error_set(err, LEAT_INVALID,
                         "the examples from %" PRIu64 " on need a checkpoint between %" PRIu64
                         ", where the log begins now, and there: none that fits is in %s. Ask for "
                         "later ones, or set checkpoint.keep and log.retain higher",
                         options->from, begin, options->config->root.data);
    }
    backfill->progress.restored = sequence;
    backfill->progress.applied = sequence;
    return log_walk_open(&backfill->walk, options->disk, backfill->log_folder, sequence, err);
}

leat_status backfill_open(const struct backfill_options *options, struct backfill **out,
                          leat_error *err) {
    struct backfill *backfill = memory_zalloc(sizeof(*backfill));
    if (!backfill) {
        return error_memory(err, sizeof(*backfill));
    }
    backfill->options = *options;
    bytes_init(&backfill->frames);
    leat_status status = start(backfill, err);
    if (status < 0) {
        backfill_close(backfill);
        return status;
    }
    *out = backfill;
    return LEAT_OK;
}

void backfill_close(struct backfill *backfill) {
    if (!backfill) {
        return;
    }
    log_walk_close(&backfill->walk);
    flow_close(backfill->flow);
    builder_destroy(backfill->builder);
    builder_destroy(backfill->groups);
    grouping_destroy(backfill->grouping);
    bytes_deinit(&backfill->frames);
    memory_free(backfill);
}

struct backfill_progress backfill_progress(const struct backfill *backfill) {
    return backfill->progress;
}

uint32_t backfill_log_id(const struct backfill *backfill) {
    return backfill->log_id;
}

/* --- going on --- */

/* LEAT_END: the log's, or the part's. */
static leat_status next_frame(struct backfill *backfill, leat_error *err) {
    leat_status status;
    do {
        status = log_walk_next(&backfill->walk, &backfill->frame, &backfill->batch, err);
    } while (status == LEAT_OK &&
             backfill->frame.first_sequence + backfill->frame.rows <= backfill->progress.applied);
    if (status != LEAT_OK) {
        return status;
    }
    uint64_t first = backfill->frame.first_sequence;
    if (first > backfill->progress.applied) {
        return error_retry(err, LEAT_IO, "rows %" PRIu64 " to %" PRIu64 " went away meanwhile",
                           backfill->progress.applied, first);
    }
    backfill->row = (int64_t)(backfill->progress.applied - first);
    return LEAT_OK;
}

static leat_status apply_piece(struct backfill *backfill, leat_error *err) {
    const struct frame *frame = &backfill->frame;
    int64_t end = backfill->row + PIECE_ROWS;
    int64_t stop = (int64_t)(backfill->options.to - frame->first_sequence); /* may be beyond */
    end = end < frame->rows ? end : frame->rows;
    end = backfill->options.to - frame->first_sequence < (uint64_t)end ? stop : end;
    bool event_clock = (frame->flags & FRAME_EVENT_CLOCK) != 0;
    TRY(flow_apply(backfill->flow, &backfill->batch, frame->first_sequence, frame->append_ms,
                   event_clock, backfill->row, end, err));
    if (backfill->failure.status < 0) {
        return error_set(err, backfill->failure.status, "%s", backfill->failure.message);
    }
    backfill->row = end;
    backfill->progress.applied = frame->first_sequence + (uint64_t)end;
    return LEAT_OK;
}

static leat_status step(struct backfill *backfill, leat_error *err) {
    const struct backfill_options *options = &backfill->options;
    if (options->stopping && options->stopping(options->context, backfill)) {
        return error_set(err, LEAT_CLOSED, "stopped");
    }
    if (backfill->progress.applied >= options->to) {
        return LEAT_END;
    }
    if (backfill->row >= backfill->frame.rows) {
        leat_status status = next_frame(backfill, err);
        if (status != LEAT_OK) {
            return status;
        }
    }
    return apply_piece(backfill, err);
}

static leat_status take_frame(struct backfill *backfill, struct batch *out, leat_error *err) {
    struct frame frame;
    const uint8_t *data = backfill->frames.data + backfill->taken;
    TRY(example_frame_read_header(data, &frame, err));
    TRY(example_frame_read_body(&frame, data + FRAME_HEADER_BYTES, out, err));
    backfill->taken += FRAME_HEADER_BYTES + frame.body_bytes;
    return LEAT_OK;
}

static leat_status next_examples(struct backfill *backfill, struct batch *out, leat_error *err) {
    if (backfill->taken == backfill->frames.size) {
        bytes_clear(&backfill->frames);
        backfill->taken = 0;
    }
    while (backfill->frames.size == 0 && !backfill->ended) {
        leat_status status = step(backfill, err);
        TRY(status);
        if (status == LEAT_END) {
            backfill->ended = true;
            TRY(builder_turn(backfill, err));
        }
    }
    return backfill->frames.size == 0 ? LEAT_END : take_frame(backfill, out, err);
}

leat_status backfill_next(struct backfill *backfill, struct batch *out, leat_error *err) {
    struct batch examples;
    if (!backfill->options.grouped) {
        return next_examples(backfill, out, err);
    }
    leat_status status = next_examples(backfill, &examples, err);
    if (status != LEAT_OK) {
        return status;
    }
    builder_clear(backfill->groups);
    TRY(group_examples(backfill->grouping, &examples, backfill->groups, err));
    return builder_finish(backfill->groups, out, err);
}
