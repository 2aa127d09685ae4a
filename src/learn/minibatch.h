/* Examples in columns: what a network takes one step on, and what readers of files make.
 *
 *   offsets  [count + 1]            keys of example i: keys[offsets[i] .. offsets[i + 1])
 *   keys     [offsets[count]]       of an example in rising order of field (feature_key.h)
 *   values   [offsets[count]]       what a key's embedding is multiplied by; NULL: 1 each
 *   dense    [count x dense_count]  NULL where dense_count is 0
 *   targets  [count x tasks]        binary: 0 or 1; regression: the value
 *   weights  [count x tasks]        of the loss; 0: says nothing about the task
 *   log_odds [count]                added to the logit in training only; NULL: 0
 *   times    [count]                event time in seconds, for expiry; NULL: none
 *
 * All borrowed. Values that are not finite count as absent, and are counted (model.h). */
#ifndef LEARN_MINIBATCH_H
#define LEARN_MINIBATCH_H

#include "flow/feature_key.h"

struct minibatch {
    int count;
    int tasks;
    int dense_count;
    const uint32_t *offsets;
    const uint64_t *keys;
    const float *values;
    const float *dense;
    const float *targets;
    const float *weights;
    const float *log_odds;
    const uint32_t *times;
};

enum { MINIBATCH_MAX = 8192 }; /* examples of one */

#endif
