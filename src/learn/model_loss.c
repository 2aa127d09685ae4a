#include "learn/model_loss.h"

#include "learn/kernel.h"

static float level_value(const struct model_task *task, int level) {
    float below = level > 0 ? task->edges[level - 1] : 0.0f;
    float above = level < task->levels ? task->edges[level] : 2.0f * below;
    return 0.5f * (below + above);
}

static float ordinal_predict(const struct model_task *task, const float *thresholds, float logit) {
    float value = level_value(task, 0);
    for (int k = 0; k < task->levels; k++) {
        float step = level_value(task, k + 1) - level_value(task, k);
        value += step * kernel_sigmoid(logit - thresholds[k]);
    }
    return value;
}

static float ratio_predict(float logit) {
    float value = kernel_sigmoid(logit) / kernel_sigmoid(-logit);
    return value < LOSS_VALUE_MAX ? value : LOSS_VALUE_MAX;
}

float loss_predict(const struct model_task *task, const float *thresholds, float logit) {
    switch (task->head) {
    case HEAD_REGRESSION: return ratio_predict(logit);
    case HEAD_ORDINAL: return ordinal_predict(task, thresholds, logit);
    default: return kernel_sigmoid(logit);
    }
}

static float ordinal_gradient(const struct model_task *task, const float *thresholds, float logit,
                              float target, float *threshold_gradients) {
    float total = 0.0f;
    for (int k = 0; k < task->levels; k++) {
        float y = target >= task->edges[k] ? 1.0f : 0.0f;
        float g = kernel_sigmoid(logit - thresholds[k]) - y;
        threshold_gradients[k] = -g;
        total += g;
    }
    return total;
}

float loss_gradient(const struct model_task *task, const float *thresholds, float logit,
                    float target, float *threshold_gradients) {
    switch (task->head) {
    case HEAD_REGRESSION: {
        float value = target > 0.0f ? target : 0.0f;
        return (1.0f + value) * kernel_sigmoid(logit) - value;
    }
    case HEAD_ORDINAL:
        return ordinal_gradient(task, thresholds, logit, target, threshold_gradients);
    default: return kernel_sigmoid(logit) - (target > 0.0f ? 1.0f : 0.0f);
    }
}

float loss_curve(const struct model_task *task, float logit, float target) {
    float p = kernel_sigmoid(logit);
    float weight = task->head == HEAD_REGRESSION && target > 0.0f ? 1.0f + target : 1.0f;
    return weight * p * (1.0f - p);
}

float loss_fake_weight(float logit, bool positive) {
    float p = kernel_sigmoid(logit);
    return positive ? 1.0f + p : (1.0f - p) * (1.0f + p);
}
