/* The whole of leat in one process, on a simulated disk and clock, one step at a time in an order
 * drawn from a seed; and beside it, in plain arrays, what must be true.
 *
 *   simulation_traffic.c  what people post and the pages that are asked for
 *   simulation_life.c     opening, crashing, and what is checked after each start
 *   simulation_oracle.c   the ledger of commits, the model's log, duplicates, what was seen
 *   simulation_spill.c    memory that runs short, and what spill files may not hold
 *   simulation_labels.c   the examples that were made, and the labels that they must fold to
 *   simulation_test.c     the scheduler, faults, and the seeds */
#ifndef TESTS_SIMULATION_H
#define TESTS_SIMULATION_H

#include "base/disk_fake.h"
#include "base/rng.h"
#include "column/builder.h"
#include "engine/engine.h"
#include "flow/row.h"
#include "tests/shards.h"

#define SIM_EXAMPLES "e" /* folder */
enum {
    SIM_PEOPLE = 6,
    SIM_CLICKERS = 2, /* people after them, who act on the surface of click logs only */
    SIM_NOBODY = -1,
    SIM_ITEMS = 14,
    SIM_IDS = 1 << 20,
    SIM_ROWS_MAX = 4096,
    SIM_ROWS_KEPT = 64, /* of them, for what a simulation ends with */
    SIM_COMMITS_MAX = 2048,
    SIM_PAGES_MAX = 512,
    SIM_EXAMPLES_MAX = 1 << 17,
    SIM_LABELS_MAX = 4096,
};

/* A row as it was sent, and, once it is known to be in the log, as it lies there. */
struct sim_row {
    enum row_kind kind;
    int action, user, item, surface;
    int id;      /* of the event, -1: none */
    int request; /* index of a page; -1: none; beyond SIM_PAGES_MAX: a name that no page has */
    bool has_time, has_value;
    int64_t posted_ms;
    double value;
    uint64_t content; /* hash of the event as JSON, or of the served row's item */
    /* In the log. */
    int64_t time_ms, now_ms;
    bool duplicate;
};

enum sim_fate {
    SIM_UNKNOWN, /* sent, not acknowledged: may be found after a restart, or not */
    SIM_THERE,   /* acknowledged, or found: stays for ever */
    SIM_GONE,    /* refused, or not found after a restart: never comes back */
};

struct sim_commit {
    int first, count; /* rows */
    enum sim_fate fate;
    bool acknowledged, served;
    uint64_t sequence;
};

struct sim_page {
    char request[40];
    int user, surface;
    int count;
    int items[PAGE_ITEMS_MAX];
};

/* An example as flow made it. */
struct sim_example {
    uint64_t sequence, user, request, item, content;
    int64_t due_ms;
    uint32_t mask, labels, flags;
    uint32_t padding; /* 0: examples are compared as bytes */
};

/* The words of examples on one showing: the newest on each task holds. */
struct sim_label {
    uint64_t user, request, item;
    uint32_t mask, labels;
};

#define SIM_AMBIGUOUS (1u << 31) /* in `mask`: what it ends with is not modelled */

struct sim_labels {
    int count;
    struct sim_label all[SIM_LABELS_MAX];
};

struct sim {
    uint64_t seed;
    struct rng rng;
    struct config *config;
    struct disk_fake *fake;
    struct manual_clock clock;
    struct builder *builder;
    struct arena arena;
    struct metrics *metrics;
    struct engine *engine; /* NULL between two lives */
    leat_error err;

    /* Habits of this seed. */
    int feed_percent, run_percent, checkpoint_percent, slow_percent, duplicate_percent;
    int request_percent, time_percent, batch_max;
    int squeeze_percent;
    bool emits;        /* examples, into files too */
    bool spills;       /* state lies in files, most of the time */
    bool runs_at_once; /* flow follows each commit */

    /* What was sent. */
    struct sim_row rows[SIM_ROWS_MAX];
    int row_count;
    struct sim_commit commits[SIM_COMMITS_MAX];
    int commit_count;
    struct sim_page pages[SIM_PAGES_MAX];
    int page_count;
    int next_id;

    /* The model's log: rows by sequence number. */
    int log[SIM_ROWS_MAX];
    uint64_t log_count;
    int64_t log_now_ms;
    int64_t opened_ms; /* when the engine was opened last */

    /* Examples, in order; `example_next` is the place of the next one that flow will make. */
    struct sim_example *examples;
    int example_count, example_next;
    bool example_began; /* since the engine was opened */

    /* Faults of this life. */
    uint64_t fault_step; /* 0: none */
    bool hurt;           /* calls may fail from now to the end of the life */
    bool full, was_full; /* the disk is bounded just now; was in this life */
    bool in_checkpoint;
    uint64_t checkpoint_sequence; /* of the newest that was answered well */

    struct engine_digest digest; /* of the last healthy moment at the log's end; count 0: none */
    uint64_t steps, crashes, checkpoints, examples_checked, pages_checked; /* for the report */
    uint64_t written, fetched; /* bytes spilled, records that came back because of a look-up */
};

/* simulation_traffic.c */
void sim_append(struct sim *sim);
void sim_feed(struct sim *sim);
void sim_clock(struct sim *sim);
/* One event of nobody's interest `ahead_ms` later, so that time passes. */
void sim_beat(struct sim *sim, int64_t ahead_ms);
void sim_forget(struct sim *sim, int user);

/* simulation_life.c */
void sim_init(struct sim *sim, uint64_t seed);
void sim_deinit(struct sim *sim);
leat_status sim_open(struct sim *sim, bool without_checkpoints, int batch_rows);
/* Whether a call may fail now: the disk was made to. */
bool sim_hurt(struct sim *sim);
void sim_run(struct sim *sim, int steps); /* of flow; -1: all */
void sim_checkpoint(struct sim *sim);
void sim_restart_check(struct sim *sim); /* an engine was opened: is everything there? */
void sim_abandon(struct sim *sim);
/* The state as it is, against what a replay from the log's start gives. Leaves no engine. */
void sim_replay_check(struct sim *sim);

/* simulation_spill.c: of seeds that spill; others pass. */
void sim_squeeze(struct sim *sim); /* whatever may spill does */
void sim_spill_note(
    struct sim *sim); /* the engine is to be given up: counts what it brought back */
void sim_forget_check(struct sim *sim);

/* simulation_oracle.c */
void sim_text(char out[40], char letter, int number);
struct sim_commit *sim_commit_begin(struct sim *sim, bool served);
struct sim_row *sim_row_add(struct sim *sim);
/* The commit lies in the log from `sequence` on, appended at `append_ms`. */
void sim_commit_there(struct sim *sim, struct sim_commit *commit, uint64_t sequence,
                      int64_t append_ms);
void sim_log_check(struct sim *sim); /* the log as it lies on the disk, against the ledger */
bool sim_was_seen(const struct sim *sim, int user, int item, uint64_t until);
bool sim_was_deleted(const struct sim *sim, int item, uint64_t until);
void sim_counts_check(struct sim *sim);

/* simulation_labels.c */
void sim_watch(void *context, const struct example *example);
void sim_examples_opened(struct sim *sim, uint64_t checkpoint_sequence);
void sim_labels_check(struct sim *sim);
/* Files of emitted examples, where this seed has them: each one once, in order. */
void sim_emitted_check(struct sim *sim);

#endif
