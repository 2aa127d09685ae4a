/* Scoring with a model that `leat train --model` has saved, in any process.
 *
 *   model   opened from a file, never changed: any threads may share it
 *   scorer  what one request needs: prepared with the request's keys, then asked for candidates.
 *           One thread at a time; as many scorers of a model as threads
 *
 * An example is keys, and dense inputs. The key of a value is the field (its place in the model) in
 * the top 6 bits and the low bits of the value's hash, XXH3-64 with seed 0, in the other 58. Of
 * what `leat train` calls
 *   a column          one key, of its text
 *   list, history     a key of each part
 *   bucket, logbucket a key of the number of the part as decimal text, from "0"
 *   a*b               a key of each pair of values, by leat_model_cross_key
 *   dense             no field: a number among the dense inputs, after its logarithm and scaling.
 *                     The running means of `standard` are not in the model; scale by your own
 * Fields that --hash-rows bounded have other keys, which are not made here.
 * Keys come in any order, each counts as often as it is there, and one that the model has never
 * learnt counts as nothing. Dense inputs that are not finite count as 0.
 *
 * Networks other than fm and logistic need libopenblas.so.0, which is loaded when the first such
 * model is opened. That sets OPENBLAS_NUM_THREADS, where it is not set: open the first model before
 * other threads read the environment.
 *
 * Every call answers LEAT_OK, or a failure with words in `err` (which may be NULL); a call that
 * fails changes nothing. leat_scorer_prepare and leat_scorer_score take no memory and no lock. */
#ifndef LEAT_SCORER_H
#define LEAT_SCORER_H

#include <leat/error.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct leat_model leat_model;
typedef struct leat_scorer leat_scorer;

/* Bounds that a caller may rely on. */
enum {
    LEAT_EXAMPLE_KEYS_MAX = 256, /* keys of the request and of one candidate together */
    LEAT_CANDIDATES_MAX = 1 << 20,
};

/* LEAT_IO: no such file. LEAT_CORRUPT: damaged. LEAT_UNSUPPORTED: of another version, or a network
 * without its library. */
LEAT_API leat_status leat_model_open(const char *path, leat_model **out, leat_error *err);
/* NULL is fine. Scorers of it go on; the last one that closes frees the model. */
LEAT_API void leat_model_close(leat_model *model);

/* Names are the model's; NULL for an index that is not from 0 to the count. */
LEAT_API int leat_model_fields(const leat_model *model);
LEAT_API const char *leat_model_field_name(const leat_model *model, int field);
LEAT_API int leat_model_tasks(const leat_model *model);
LEAT_API const char *leat_model_task_name(const leat_model *model, int task);
LEAT_API int leat_model_dense_count(const leat_model *model);

/* The key of a value of `field` (0 to 63). Any thread. */
LEAT_API uint64_t leat_model_key(int field, const char *value, size_t size);
/* The key of a cross: `hashes` are those of the crossed values (leat_key_hash of <leat/operator.h>,
 * XXH3-64 with seed 0), in the order in which the feature names them. Any thread. */
LEAT_API uint64_t leat_model_cross_key(int field, const uint64_t *hashes, size_t count);

/* candidates_max: of one call, 1 to LEAT_CANDIDATES_MAX. keys_max: of the request and one candidate
 * together, 1 to LEAT_EXAMPLE_KEYS_MAX. */
LEAT_API leat_status leat_scorer_open(leat_model *model, int candidates_max, int keys_max,
                                      leat_scorer **out, leat_error *err);
/* NULL is fine. */
LEAT_API void leat_scorer_close(leat_scorer *scorer);

/* The keys that all candidates share, in place of those of the request before. At first there are
 * none. */
LEAT_API leat_status leat_scorer_prepare(leat_scorer *scorer, const uint64_t *keys, int key_count,
                                         leat_error *err);
/* What the model predicts of each candidate: a probability, or the expected value of a regression.
 *   offsets  [count + 1]            keys of candidate i, besides the request's:
 *                                   keys[offsets[i] .. offsets[i + 1])
 *   dense    [count x dense_count]  all dense inputs of each; NULL where the model has none
 *   out      [count x tasks]
 * The request's part is computed once where the model is fm or logistic, and where the keys of the
 * request and those of candidates stand in fields of their own side (`leat model show` says which
 * are of the item). Else each candidate is computed whole, to the same result within rounding. */
LEAT_API leat_status leat_scorer_score(leat_scorer *scorer, int count, const uint32_t *offsets,
                                       const uint64_t *keys, const float *dense, float *out,
                                       leat_error *err);

#ifdef __cplusplus
}
#endif
#endif
