/* Operators: pure state machines over batches, the same ones in this process, in Flink and in Ray.
 *
 * A host pushes batches and time in, and pulls batches out. An operator has no thread, clock, file
 * or socket of its own: time comes by leat_operator_watermark (event time) and leat_operator_now
 * (append or processing time), memory is accounted to the host. What it keeps lies in key groups,
 * so a snapshot may be restored into any number of operators that own those groups between them.
 *
 * Threads: one at a time drives a handle. leat_operator_lookup may be called by any thread
 * meanwhile. A snapshot is written, and released, by any one thread while its operator goes on.
 *
 * Kinds: "dedup", "join", "profile", "tally", "pairs"; leat_operator_schema says what each takes
 * and gives. `config` is the text of a leat.yaml: its `actions`, `surfaces` and `flow` apply.
 *
 * Every call answers LEAT_OK, a positive status that is a normal other outcome, or a failure with
 * words in `err` (which may be NULL). */
#ifndef LEAT_OPERATOR_H
#define LEAT_OPERATOR_H

#include <leat/error.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The Arrow C Data Interface; the consumer owns the struct, `release` gives the content back. */
struct ArrowSchema;
struct ArrowArray;

typedef struct leat_operator leat_operator;
typedef struct leat_snapshot leat_snapshot;

/* Key groups [first, end) of `groups`: of a key's hash h, group (h >> 1) mod groups. Rows of other
 * groups are refused. `groups` is fixed for as long as the state lives. */
typedef struct leat_key_groups {
    uint32_t groups, first, end;
} leat_key_groups;

/* What a host gives; all may be NULL or 0. Borrowed until leat_operator_close. */
typedef struct leat_host {
    void *context;
    int64_t memory_max; /* bytes of state; 0: what the configuration says */
    /* State grew (or shrank) by so many bytes: for the host's own accounting. */
    void (*memory)(void *context, int64_t bytes);
    void (*log)(void *context, const char *words);
    const char *spill_folder; /* where cold state may go; NULL: it stays in memory */
} leat_host;

typedef enum leat_side { LEAT_INPUT, LEAT_OUTPUT } leat_side;

/* A key as text: 1 to 128 bytes of UTF-8. */
typedef struct leat_key {
    const char *text;
    size_t size;
} leat_key;

/* Filled by a look-up; given back by leat_buffer_release. All zero is empty. */
typedef struct leat_buffer {
    void *data;
    size_t size;
} leat_buffer;
void leat_buffer_release(leat_buffer *buffer);

/* Takes all of `bytes` (n of them), or fails. */
typedef struct leat_sink {
    leat_status (*write)(void *context, const void *bytes, size_t n, leat_error *err);
    void *context;
} leat_sink;
/* Gives exactly n bytes, or fails. */
typedef struct leat_source {
    leat_status (*read)(void *context, void *bytes, size_t n, leat_error *err);
    void *context;
} leat_source;

leat_status leat_operator_open(const char *kind, const char *config, const leat_host *host,
                               leat_key_groups owned, leat_operator **out, leat_error *err);
/* LEAT_END when there is no such input or output. The caller releases `out`. */
leat_status leat_operator_schema(const leat_operator *op, leat_side side, int index,
                                 struct ArrowSchema *out, leat_error *err);
/* Takes the batch: `batch` is released in every case. */
leat_status leat_operator_push(leat_operator *op, int input, struct ArrowArray *batch,
                               leat_error *err);
/* No row older than this comes on this input any more, but for late ones. The operator's event time
 * is the least of its inputs' that are not idle. */
leat_status leat_operator_watermark(leat_operator *op, int input, int64_t event_time_ms,
                                    leat_error *err);
/* Processing time is pushed too; it never goes back. An input without a row or watermark for
 * `flow.idle` of it is idle. */
leat_status leat_operator_now(leat_operator *op, int64_t append_time_ms, leat_error *err);
leat_status leat_operator_end(leat_operator *op, int input, leat_error *err);
/* LEAT_AGAIN: nothing now. The caller releases `batch`. */
leat_status leat_operator_pull(leat_operator *op, int output, struct ArrowArray *batch,
                               leat_error *err);
/* One JSON object of what is known of a key; LEAT_NOT_FOUND. */
leat_status leat_operator_lookup(const leat_operator *op, const leat_key *key, leat_buffer *out,
                                 leat_error *err);

/* Short: marks and returns; what changes afterwards is copied first. One at a time (LEAT_AGAIN).
 * Output that was not pulled yet is part of it: pull first. */
leat_status leat_operator_freeze(leat_operator *op, leat_snapshot **out, leat_error *err);
leat_status leat_snapshot_write(leat_snapshot *snapshot, uint32_t key_group, leat_sink sink,
                                leat_error *err);
void leat_snapshot_release(leat_snapshot *snapshot);
/* Into an empty key group that the operator owns. LEAT_CORRUPT leaves it empty. */
leat_status leat_operator_restore(leat_operator *op, uint32_t key_group, leat_source source,
                                  leat_error *err);
void leat_operator_close(leat_operator *op);

#ifdef __cplusplus
}
#endif
#endif
