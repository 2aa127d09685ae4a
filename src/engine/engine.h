/* The whole of leat in one process: wires log, flow, learn, recall and rank together.
 *
 * Threads of an engine: the log's writer, one that runs flow, the trainer, one that writes
 * checkpoints; callers' threads append and ask for pages. With `inline_mode` there are none of
 * these: engine_append commits at once and engine_run applies and learns (replay, simulation,
 * tests). Unless a comment says otherwise, any thread may call. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/arena.h"
#include "base/config.h"
#include "log/log.h"
#include "log/position.h"
#include "rank/page.h"

struct engine;

/* Of whom a follower's folder is a copy (follow.h). */
struct follow_identity {
    const char *leader; /* its address, for words; borrowed */
    uint32_t log_id;
    uint32_t salt; /* of its log (frame.h) */
};

struct engine_options {
    const struct config *config; /* borrowed for the engine's life */
    struct disk *disk;           /* NULL: the real one */
    const struct clock *clock;   /* NULL: the wall clock */
    bool inline_mode;
    bool without_checkpoints; /* neither reads nor writes any: replays the log from its start */
    int64_t append_wait_ms;   /* engine_append waits so long for room in the log's queue, and then
                                 answers LEAT_FULL (retry); 0: as long as it takes */
    bool emit_examples;       /* writes them to examples.folder, where that is not empty */
    int batch_rows;           /* rows flow takes at a time; 0: a frame at a time. Never changes
                                 any result; tests try many */
    struct metrics *metrics;  /* may be NULL */
    /* A follower: rows and weights come from its leader only (follow.h), nothing else is appended
     * and nothing learnt. Borrowed; NULL: none. */
    const struct follow_identity *follow;
    /* Sees each example before it is learnt, on the thread that runs flow; NULL: nobody looks. */
    void (*watch)(void *context, const struct example *example);
    void *watch_context;
};

/* What opening found, in words for the operator: recovered log, checkpoint used, rows replayed. */
struct engine_report {
    struct log_recovery log;
    uint64_t checkpoint_sequence; /* 0: none */
    uint64_t end_sequence;        /* of the log: rows after the checkpoint are replayed */
    char words[512];
};

/* Opens the data folder (made if it is not there; locked against a second process), recovers the
 * log, restores the newest checkpoint. Rows after it are applied in the background: engine_ready
 * says when; in inline mode they are applied before this returns. */
leat_status engine_open(const struct engine_options *options, struct engine **out,
                        struct engine_report *report, leat_error *err);
/* Commits what waits, writes a last checkpoint (unless without_checkpoints), closes. */
leat_status engine_close(struct engine *engine, leat_error *err);
/* Lets go of everything without a last checkpoint; what waits for the log is still committed where
 * the disk takes it. Tests, with a disk that is cut or not. */
void engine_abandon(struct engine *engine);
bool engine_ready(const struct engine *engine); /* caught up with the log's end of opening time */
/* NULL while all is well; else words of what stopped flow, the trainer or the log. */
const char *engine_failure(const struct engine *engine);

/* Appends event rows as one commit; durable when it returns. */
leat_status engine_append(struct engine *engine, const struct batch *events,
                          struct log_receipt *out, leat_error *err);

/* Whether event rows may come: LEAT_FULL (retry), in words, while flow lies log.behind rows behind,
 * or log.queue bytes wait for the disk. `*retry_after_s`: when there is likely to be room, from 1
 * to 60, set in any case. Ask before reading what is posted; engine_append does not. */
leat_status engine_admit(struct engine *engine, int64_t *retry_after_s, leat_error *err);

/* Whether the newest append found no room on the disk: where the log's queue was full because of
 * that, waiting helps nobody. */
bool engine_disk_full(const struct engine *engine);

/* Sequences: end of the durable log, applied by flow, learnt by the trainer. */
uint64_t engine_end(const struct engine *engine);
uint64_t engine_applied(const struct engine *engine);
uint64_t engine_state_bytes(const struct engine *engine); /* of the operators, in memory */
uint64_t engine_learnt(const struct engine *engine);
uint32_t engine_log_id(const struct engine *engine);
/* Waits until flow (and, with `learnt`, the trainer too) has come to `sequence`; false on timeout.
 */
bool engine_wait(struct engine *engine, uint64_t sequence, bool learnt, int64_t timeout_ms);
/* Inline mode only: applies and learns rows before `until` (UINT64_MAX: all). One thread. */
leat_status engine_run(struct engine *engine, uint64_t until, leat_error *err);

/* A follower's leader, and how far it is ahead. */
struct engine_following {
    const char *leader;
    bool connected; /* it answered the newest question */
    bool refused;   /* it cannot be followed on: `words` say why */
    char words[300];
    uint64_t leader_end, leader_learnt; /* as it said last */
    uint64_t rows, learnt_rows;         /* from where operators and model stand here to there */
    double seconds, learnt_seconds;     /* since the leader stood where they stand; a little more
                                           than it is, by the time between two questions */
};
/* False for an engine that is no follower. */
bool engine_following(struct engine *engine, struct engine_following *out);

struct feed_query {
    struct slice user; /* absent: an anonymous person */
    int surface;       /* index in the configuration */
    int count;         /* 1..PAGE_ITEMS_MAX; 0: the surface's `show` */
    bool has_now;
    int64_t now_ms;       /* else the engine's time */
    bool preview;         /* nothing is logged */
    struct slice request; /* absent: made here (for a preview from user, surface and now) */
    int context_count;    /* pairs that override what is known of the person */
    const struct slice *context;
};

/* Makes a page. Everything in `out` lives in `arena`. Unless preview, `served` rows follow in the
 * log (not waited for). */
leat_status engine_feed(struct engine *engine, const struct feed_query *query, struct arena *arena,
                        struct page *out, leat_error *err);
/* Probabilities of all tasks (model order) for one person and item, as a page would score it now.
 * `out` holds EXAMPLE_TASKS_MAX. */
leat_status engine_score(struct engine *engine, struct slice user, int surface, int64_t now_ms,
                         struct slice item, float *out, leat_error *err);
/* Time as pages see it: the wall clock, or with `clock: event` the newest event's. */
int64_t engine_now(const struct engine *engine);

/* One JSON object about an item or a person appended to `out`; LEAT_NOT_FOUND (positive). */
leat_status engine_item(struct engine *engine, struct slice item, struct bytes *out,
                        leat_error *err);
leat_status engine_user(struct engine *engine, struct slice user, struct bytes *out,
                        leat_error *err);

/* Forgotten persons whose rows are still in the log. */
struct engine_erasures {
    uint64_t pending;
    int64_t complete_by_ms; /* the oldest is to be done by then; 0 without any */
    uint64_t rows_erased;   /* since the start */
};
void engine_erasures(struct engine *engine, struct engine_erasures *out);
/* Erases the rows of all persons that were forgotten so far, and removes what log.retain and
 * log.retain_age no longer keep, without waiting until it is due. Inline mode, which does neither
 * by itself; one thread. */
leat_status engine_tidy(struct engine *engine, leat_error *err);

/* Writes a checkpoint of the applied position now and waits for it. */
leat_status engine_checkpoint(struct engine *engine, leat_error *err);

/* Digests of every operator's state and of the model, canonical; only when flow and trainer stand
 * still (inline mode, or nobody appending). */
enum { ENGINE_DIGESTS_MAX = 16 };
struct engine_digest {
    uint64_t sequence;
    int count;
    struct {
        const char *name;
        uint64_t value;
    } parts[ENGINE_DIGESTS_MAX];
};
leat_status engine_digest(struct engine *engine, struct engine_digest *out, leat_error *err);

/* The log, for reading along (`leat log`, followers). */
struct log *engine_log(struct engine *engine);

#endif
