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
 * Kinds, what each takes (input: schema, key) and gives:
 *   "dedup"    0: event, by `id`                          0: event, the first of each id, in order;
 *                                                            events without an id all pass
 *   "join"     0: served, by `user`  1: event, by `user`  0: example
 *   "profile"  0: event, by `user`   1: served, by `user` 0: step, by `item_hash`, for "pairs"
 *              2: event, of kinds item and item_delete, shared: each operator is pushed all of them
 *   "tally"    0: event, by `item`   1: served, by `item`
 *   "pairs"    0: step, by `item_hash`
 * docs/operators.md says what they compute, column by column.
 *
 * `config` is the text of a leat.yaml: its `actions`, `surfaces` and `flow` apply; "" is all
 * defaults. Its `key_groups` is passed over for leat_key_groups.
 *
 * Every call answers LEAT_OK, a positive status that is a normal other outcome, or a failure with
 * words in `err` (which may be NULL). A call that fails changes nothing, with one exception: when
 * leat_operator_push, _watermark, _now, _end or _pull answers LEAT_MEMORY or LEAT_FULL after it
 * began, the state does not follow from the input any more. The operator has failed then: every
 * later call but leat_operator_lookup and leat_operator_close answers the same. Close it, and
 * restore its last snapshot, with more memory or into more operators. */
#ifndef LEAT_OPERATOR_H
#define LEAT_OPERATOR_H

#include <leat/batch.h>
#include <leat/error.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct leat_operator leat_operator;
typedef struct leat_snapshot leat_snapshot;

/* Bounds that a host may rely on. */
enum {
    LEAT_BATCH_ROWS_MAX = 1 << 20, /* rows of one pushed batch */
    LEAT_PULL_ROWS_MAX = 4096,     /* rows of one pulled batch */
    LEAT_WAITING_MAX = 16, /* output batches that may wait before a push answers LEAT_AGAIN */
    LEAT_KEY_BYTES_MAX = 128,
    LEAT_KEY_GROUPS_MAX = 32768,
};

/* Key groups [first, end) of `groups` (1 to LEAT_KEY_GROUPS_MAX). Rows of other groups are refused.
 * `groups` is fixed for as long as the state lives. */
typedef struct leat_key_groups {
    uint32_t groups, first, end;
} leat_key_groups;

/* The group of a key: h is XXH3-64 (seed 0) of its bytes, the group (h >> 1) mod `groups`; so a
 * language with signed numbers only gives the same. Hosts partition by it. Test vectors:
 * tests/golden/key_groups.txt. Any thread. */
LEAT_API uint64_t leat_key_hash(const char *text, size_t size);
LEAT_API uint32_t leat_key_group(const char *text, size_t size, uint32_t groups);
LEAT_API uint32_t leat_key_group_of_hash(uint64_t hash, uint32_t groups);

/* What all operators of a kind hold in full (profile: its items) is one block more, written by any
 * one of them and restored into every one, under this number. LEAT_END where a kind has none. */
#define LEAT_GROUP_SHARED UINT32_MAX

/* What a host gives; all may be NULL or 0. The struct is copied, what it points to is borrowed
 * until leat_operator_close. The calls are made by the thread that drives the operator. */
typedef struct leat_host {
    void *context;
    int64_t memory_max; /* bytes of state; 0: `flow.memory` of the configuration */
    /* State grew (or, below 0, shrank) by so many bytes: for the host's own accounting. */
    void (*memory)(void *context, int64_t bytes);
    void (*log)(void *context, const char *words);
    /* A folder that is there, on a disk of this machine, for this operator alone: beyond memory_max
     * cold records go to a file in it and come back when they are asked for. The file is scratch:
     * made empty at opening, removed at closing, in no snapshot by name. At most `runner.spill`
     * bytes, if the configuration sets it. NULL: beyond memory_max records are refused. */
    const char *spill_folder;
} leat_host;

typedef enum leat_side { LEAT_INPUT, LEAT_OUTPUT } leat_side;

/* A key as text: 1 to LEAT_KEY_BYTES_MAX bytes of UTF-8. */
typedef struct leat_key {
    const char *text;
    size_t size;
} leat_key;

/* Filled by a look-up; given back by leat_buffer_release. All zero is empty. */
typedef struct leat_buffer {
    void *data;
    size_t size;
} leat_buffer;
LEAT_API void leat_buffer_release(leat_buffer *buffer);

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

/* LEAT_INVALID: an unknown kind (with the nearest right one), a fault of the configuration with its
 * line, groups that are out of range. */
LEAT_API leat_status leat_operator_open(const char *kind, const char *config, const leat_host *host,
                                        leat_key_groups owned, leat_operator **out,
                                        leat_error *err);
/* NULL is fine. Its snapshots are released before. */
LEAT_API void leat_operator_close(leat_operator *op);

/* The struct ("+s") of one input or output; LEAT_END when there is no such one. The caller releases
 * `out`. Any thread. */
LEAT_API leat_status leat_operator_schema(const leat_operator *op, leat_side side, int index,
                                          struct ArrowSchema *out, leat_error *err);

/* The batches pushed on this input are of this schema from now on: columns in any order, nullable
 * ones may be missing, text as "u" or "U", lists as "+l" or "+L", times as "l" or "tsm:". Without
 * it they are of leat_operator_schema. `schema` stays the caller's. */
LEAT_API leat_status leat_operator_bind(leat_operator *op, int input,
                                        const struct ArrowSchema *schema, leat_error *err);

/* Takes the batch: `batch` is released in every case. Rows come in any order. All rows are checked
 * before the first is applied, and a refusal names column and row: types, nulls, UTF-8, offsets,
 * lengths, kinds and surfaces that the configuration does not know, keys of groups not owned.
 * Slices and unaligned buffers are taken by a copy. Rows whose key is null are passed over, as are
 * erased ones. LEAT_AGAIN: more than LEAT_WAITING_MAX output batches wait, nothing was taken in;
 * pull, then push again. Who pulls until LEAT_AGAIN after each call never meets it. */
LEAT_API leat_status leat_operator_push(leat_operator *op, int input, struct ArrowArray *batch,
                                        leat_error *err);
/* No row older than this comes on this input any more, but for late ones. The operator's event time
 * is the least of its inputs' that are not idle; it never goes back. */
LEAT_API leat_status leat_operator_watermark(leat_operator *op, int input, int64_t event_time_ms,
                                             leat_error *err);
/* Processing time is pushed too; it never goes back (an older one is passed over). Push it before
 * the first batch: what is kept for a time is kept from then on. An input without a row or
 * watermark for `flow.idle` of it is idle, until the next one. */
LEAT_API leat_status leat_operator_now(leat_operator *op, int64_t append_time_ms, leat_error *err);
/* No row comes on this input any more. When all have ended, all that waits for event time is given
 * out. */
LEAT_API leat_status leat_operator_end(leat_operator *op, int input, leat_error *err);

/* The next batch of 1 to LEAT_PULL_ROWS_MAX rows; the caller releases it, also after the operator
 * was closed. LEAT_AGAIN: nothing now. LEAT_END: nothing, and all inputs have ended. */
LEAT_API leat_status leat_operator_pull(leat_operator *op, int output, struct ArrowArray *batch,
                                        leat_error *err);

/* One JSON object of what is known of a key; LEAT_NOT_FOUND; LEAT_INVALID for a key of a group that
 * is not owned. Any thread. */
LEAT_API leat_status leat_operator_lookup(const leat_operator *op, const leat_key *key,
                                          leat_buffer *out, leat_error *err);

/* Short: marks and returns; what changes afterwards is copied first. LEAT_AGAIN while the snapshot
 * before it is open, or while output waits: output is no part of a snapshot, pull first. */
LEAT_API leat_status leat_operator_freeze(leat_operator *op, leat_snapshot **out, leat_error *err);
/* The block of one owned key group, or of LEAT_GROUP_SHARED, each at most once, in any order. Any
 * one thread. After a failure of the sink the snapshot is to be released. */
LEAT_API leat_status leat_snapshot_write(leat_snapshot *snapshot, uint32_t key_group,
                                         leat_sink sink, leat_error *err);
LEAT_API void leat_snapshot_release(leat_snapshot *snapshot); /* NULL is fine */

/* One block into an empty key group that the operator owns (or what is shared), before anything
 * was pushed. The operator's times become the latest append time of its blocks, and per input the
 * least of their watermarks. LEAT_CORRUPT: a damaged block; the group is empty as before.
 * LEAT_CONFLICT: a block of another kind, group, number of groups or list of actions, a group that
 * is not empty, or an operator that has begun. */
LEAT_API leat_status leat_operator_restore(leat_operator *op, uint32_t key_group,
                                           leat_source source, leat_error *err);

#ifdef __cplusplus
}
#endif
#endif
