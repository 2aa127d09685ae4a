#include "app/train_score.h"

#include "base/text.h"

#include <inttypes.h>
#include <math.h>

/* Nearer to 0 and 1 a probability in a float says nothing. */
static const double NEAREST = 1e-7;

static double loss_of(enum model_head head, float prediction, float target) {
    if (head != HEAD_BINARY) {
        double distance = (double)prediction - (double)target;
        return distance * distance;
    }
    double p = target > 0 ? (double)prediction : 1 - (double)prediction;
    return -log(fmin(fmax(p, NEAREST), 1 - NEAREST));
}

void train_score_add(struct train_score *score, const struct model_spec *spec,
                     const struct minibatch *rows, const float *predictions) {
    for (int t = 0; t < rows->tasks; t++) {
        enum model_head head = spec->tasks[t].head;
        double weight = 0;
        double loss = 0;
        for (int i = 0; i < rows->count; i++) {
            int at = i * rows->tasks + t;
            if (rows->weights[at] > 0) {
                weight += (double)rows->weights[at];
                loss +=
                    (double)rows->weights[at] * loss_of(head, predictions[at], rows->targets[at]);
            }
        }
        score->weight[t] += weight;
        score->loss[t] += loss;
    }
}

double train_score_mean(const struct train_score *score, int task) {
    return score->weight[task] > 0 ? score->loss[task] / score->weight[task] : 0;
}

void train_score_sum(struct train_score *score, const struct train_score *more) {
    for (int t = 0; t < MODEL_TASKS_MAX; t++) {
        score->weight[t] += more->weight[t];
        score->loss[t] += more->loss[t];
    }
}

void train_score_header(struct bytes *out) {
    bytes_printf(out, "row,task,label,probability\n");
}

void train_score_lines(const struct model_spec *spec, const struct minibatch *rows,
                       const uint64_t *numbers, const float *predictions, struct bytes *out) {
    for (int i = 0; i < rows->count; i++) {
        for (int t = 0; t < rows->tasks; t++) {
            int at = i * rows->tasks + t;
            char label[32];
            char probability[32];
            if (!(rows->weights[at] > 0)) {
                continue;
            }
            size_t label_size = text_from_f32(rows->targets[at], label);
            size_t size = text_from_f32(predictions[at], probability);
            bytes_printf(out, "%" PRIu64 ",%s,%.*s,%.*s\n", numbers[i], spec->tasks[t].name,
                         (int)label_size, label, (int)size, probability);
        }
    }
}
