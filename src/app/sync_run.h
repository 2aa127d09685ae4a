/* The sync-interval experiment of Monolith (arXiv 2209.07663, section 4.2, table 2): what it is
 * worth that the model that serves is copied from the one that learns more often.
 *
 *   rows       |--- first part, learnt in one pass ---|-- shard 1 --|-- shard 2 --| .. |-- shard N
 * --| for each i  serve := copy of train; serve scores shard i; train learns shard i batch line the
 * model after the first part scores all shards
 *
 * A shard is scored before anything of it is learnt, so train itself gives the scores of its copy,
 * and no copy is made. The learning of two N differs in nothing else: steps are cut at multiples of
 * spec.batch within a shard.
 *
 * AUC `mean`: of each shard by itself, averaged over those that have both labels: the paper's.
 * `pooled`: of all rows at once, as scored; sees shifts between shards too. Gains are in AUC
 * points, hundredths of AUC, paired: both lines on the same shards. */
#ifndef APP_SYNC_RUN_H
#define APP_SYNC_RUN_H

#include "learn/model.h"

/* Rows of the second part, in columns; grows. */
struct sync_rows {
    uint64_t count, capacity;
    uint64_t key_count, key_capacity;
    uint64_t *ends; /* keys of row i end here */
    uint64_t *keys;
    uint8_t *labels;
    float *truth; /* probability that the generator tossed for; NaN: unknown */
};

void sync_rows_deinit(struct sync_rows *rows);
leat_status sync_rows_add(struct sync_rows *rows, const uint64_t *keys, int key_count, bool label,
                          float truth, leat_error *err);

struct sync_result {
    int shards;
    int scored; /* shards with both labels */
    double mean_online, mean_batch, mean_oracle;
    double gain, gain_error; /* points, mean over shards; its standard error */
    double pooled_online, pooled_batch;
    double pooled_gain; /* points */
    double seconds;
};

struct sync_run;

/* `base`: the model after the first part, as saved; each run starts from it. Scores of the batch
 * line are made here. All borrowed until sync_close. */
leat_status sync_open(struct disk *disk, const char *base, const struct sync_rows *rows,
                      struct sync_run **out, leat_error *err);
void sync_close(struct sync_run *run);
/* LEAT_INVALID unless 1 <= shards <= rows. `told` (may be NULL) is called now and then with the
 * share that is done; true stops with LEAT_END. */
typedef bool (*sync_told)(void *context, double share);
leat_status sync_shards(struct sync_run *run, int shards, sync_told told, void *context,
                        struct sync_result *out, leat_error *err);

#endif
