/* A piece: some hundred rows of the log, applied in phases, each in parallel over key-group ranges.
 * What comes out is what applying row by row gives: examples in the same order, the same states.
 *
 *   decode    rows                 the row; append time has moved to it
 *   dedup     ids                  is it the first with its id?
 *   catalog   items                push; what the row's own item is
 *   profile   users                read for rows that make examples; push; regions; ratings: what
 *                                  the person said before; push
 *   pairs     items                read the session's items; push        | background: read, draw,
 *                                                                        |   push; catalog's lists
 *   begin     rows                 candidates, and what all of a row's features share
 *   fill      items                read tally, ratings and catalogue, make features; push tally and
 *                                  ratings
 *                                                                        | ring counts: read, push
 *   join      users                time, push; what comes of it          | tally's lists
 *   emit      the caller           examples in order
 *
 * Between two phases all threads meet, so a phase reads what the ones before it wrote. Within a
 * phase a thread has its key groups to itself and takes what concerns them in the order of rows,
 * readings before the push of the same row: so a reading sees precisely the state before its row.
 * The catalogue is the exception, for profile needs it before the candidates are known: what a row
 * changes there is kept for the piece's time, and a reading goes back to it (piece_undo).
 *
 * Nothing is allocated per row: each key-group range has an arena for the piece's time. */
#ifndef FLOW_PIECE_H
#define FLOW_PIECE_H

#include "base/hash.h"
#include "base/pool.h"
#include "flow/background.h"
#include "flow/catalog.h"
#include "flow/dedup.h"
#include "flow/feature.h"
#include "flow/flow.h"
#include "flow/join.h"

enum {
    PIECE_ROWS = 256,
    PIECE_ALONE = 64,      /* below so many rows nobody is woken: latency before throughput */
    PIECE_PARTS_MAX = 128, /* key-group ranges */
    PIECE_DRAWS_MAX = 64,  /* config: flow.negatives */
    PIECE_SHOWN_BITS = 4096,
};

enum piece_phase {
    PIECE_DECODE,
    PIECE_DEDUP,
    PIECE_CATALOG,
    PIECE_PROFILE,
    PIECE_PAIRS,
    PIECE_BEGIN,
    PIECE_FILL,
    PIECE_JOIN,
    PIECE_EMIT,
    PIECE_PHASES
};

/* What pieces are applied to. */
struct operators {
    const struct config *config;
    struct metrics *metrics;
    struct features *features;
    struct dedup *dedup;
    struct catalog *catalog;
    struct profile *profile;
    struct tally *tally;
    struct pairs *pairs;
    struct background *background;
    struct join *join;
    struct ratings *ratings;
};

/* An example on its way to be emitted. */
struct piece_made {
    struct piece_made *next;
    int row;
    struct example example;
};
struct piece_list {
    struct piece_made *first, *last;
};

/* One item whose features are made. */
struct piece_candidate {
    uint64_t item;
    uint8_t part;
    uint64_t times;    /* in the surface's ring */
    double near_share; /* among the neighbours of the session's last item */
    struct feature_pairs pairs;
    struct slice id;
    const uint64_t *keys;
    const float *dense;
    int key_count, dense_count;
};

/* What a row that makes examples reads; in the arena. */
struct piece_lookup {
    bool clicks; /* candidates are drawn; else the row's own item is the only one */
    struct profile_view profile;
    uint64_t region;
    struct pairs_copied near[PAIRS_BACK][2]; /* of the session's newest items */
    struct background_view background;
    uint64_t held; /* by the surface's ring */
    uint64_t drawn[PIECE_DRAWS_MAX];
    int near_draws;
    struct feature_request *request;
    int count;
    struct piece_candidate *candidates;
};

/* A row on its way through the phases. */
struct piece_row {
    struct row row;
    bool live;     /* known, no heartbeat, first with its id */
    bool liked;    /* a liked action */
    bool is_click; /* makes examples of clicks where join finds no showing */
    bool leads;    /* goes to tally's lists */
    uint64_t id_hash;
    uint8_t id_part, user_part, item_part, session_part[PAIRS_BACK + 1];
    struct catalog_change catalog;
    struct background_change background;
    struct profile_item described;
    uint64_t region;
    int session_count;
    uint64_t session[PAIRS_BACK + 1]; /* before the row, newest first; of liked actions */
    struct piece_lookup *lookup;
    struct ratings_person *rated; /* the person before the row, where anybody asks; in the arena */
    float deviation;              /* of a rating */
    struct piece_list made;
};

/* What an item was in the catalogue before a row of this piece changed it. */
struct piece_undo {
    struct piece_undo *next;
    int row;
    bool known;
    struct catalog_view before;
};
enum { PIECE_UNDO_SLOTS = 64 };

/* A key-group range, and what belongs to it for the piece's time. */
struct piece_part {
    struct arena arena;
    uint32_t first_group, end_group;
    struct piece_undo *undo[PIECE_UNDO_SLOTS]; /* by hash, newest first */
    bool any_undo, forgot;
    uint64_t shown[PIECE_SHOWN_BITS / 64]; /* hashed persons with items of rows so far */
    struct piece_list due;                 /* examples that time settled */
};

struct piece {
    const struct operators *operators;
    struct pool *pool;
    uint64_t (*stopwatch)(void);
    uint64_t ns[PIECE_PHASES];
    struct piece_row *rows;
    pool_task task; /* of the phase */
    const struct batch *batch;
    int64_t from; /* of the batch */
    uint64_t sequence;
    int count;
    int parts;              /* of this piece; 1 where one thread does all */
    int parts_max;          /* where all threads work */
    uint8_t *part_of_group; /* for parts_max */
    uint32_t groups;
    bool any_ids, any_lookup;
    int64_t *now_ms;     /* of each row */
    bool *moved;         /* whether it is later than at the row before */
    _Atomic bool failed; /* no memory for an arena */
    struct piece_part part[PIECE_PARTS_MAX];
};

leat_status piece_open(const struct operators *operators, const struct flow_options *options,
                       struct piece **out, leat_error *err);
void piece_close(struct piece *piece);

/* Rows [from, from + count) of a batch, 1 to PIECE_ROWS; piece->now_ms and piece->moved are filled.
 * LEAT_MEMORY: rows are half applied. */
leat_status piece_run(struct piece *piece, const struct batch *batch, int64_t from, int count,
                      uint64_t sequence, void (*emit)(void *context, const struct example *example),
                      void *context, leat_error *err);

static inline int piece_part_of(const struct piece *piece, uint64_t hash) {
    return piece->parts == 1 ? 0 : piece->part_of_group[key_group_of(hash, piece->groups)];
}
static inline struct arena *piece_arena(struct piece *piece, int part) {
    return &piece->part[part].arena;
}

/* piece_lookup.c: the phases that make features, a row at a time. False: no memory. */
struct piece_lookup *piece_lookup_read(struct piece *piece, struct piece_row *at, int part);
void piece_lookup_background(struct piece *piece, struct piece_row *at);
bool piece_lookup_begin(struct piece *piece, struct piece_row *at, int part);
bool piece_lookup_fill(struct piece *piece, struct piece_row *at, int row, int part);
bool piece_lookup_clicks(struct piece *piece, struct piece_row *at, int row, int part);

/* What the catalogue knows of an item just before row number `row`. */
bool piece_catalog_before(struct piece *piece, int row, int part, struct slice id, uint64_t hash,
                          struct catalog_view *out);

#endif
