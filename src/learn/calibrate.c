#include "learn/calibrate.h"

#include <math.h>

#define KNOT_FIRST     -8.0f
#define CALIBRATE_FADE 0.99997f
/* A knot starts as if this much curve had spoken for no correction: about 100 examples of 1/2. */
#define CURVE_FIRST 25.0f
/* One example moves a knot by this at most. */
#define MOVE_MAX 0.1f

static inline float load(const float *at) {
    float value;
    __atomic_load(at, &value, __ATOMIC_RELAXED);
    return value;
}

static inline void store(float *at, float value) {
    __atomic_store(at, &value, __ATOMIC_RELAXED);
}

/* The knot at or below a logit, and how far it lies towards the next. */
static int knot_of(float logit, float *share) {
    float at = logit - KNOT_FIRST;
    if (!(at > 0.0f)) { /* also what is no number */
        *share = 0.0f;
        return 0;
    }
    if (at >= (float)(CALIBRATE_KNOTS - 1)) {
        *share = 1.0f;
        return CALIBRATE_KNOTS - 2;
    }
    int knot = (int)at;
    *share = at - (float)knot;
    return knot;
}

float calibrate(const struct calibration *calibration, float logit) {
    float share;
    int knot = knot_of(logit, &share);
    float below = load(&calibration->correction[knot]);
    float above = load(&calibration->correction[knot + 1]);
    return logit + (below + share * (above - below));
}

/* Knots are 1 apart, so that z' rises as long as c[k] + k does. Who is in the way of a knot that
 * moves is taken along where less has spoken for it; else the mover stops there. */
static void settle(struct calibration *calibration, int knot, int direction, float next) {
    float *c = calibration->correction;
    int last = knot;
    for (int k = knot + direction; k >= 0 && k < CALIBRATE_KNOTS; k += direction) {
        float bound = c[k] + (float)(k - knot);
        if ((next - bound) * (float)direction <= 0.0f) {
            break;
        }
        if (calibration->curve[k] >= calibration->curve[knot]) {
            next = bound;
            break;
        }
        last = k;
    }
    store(&c[knot], next);
    for (int k = knot; k != last; k += direction) {
        float pushed = next + (float)(knot - k - direction);
        if ((pushed - c[k + direction]) * (float)direction > 0.0f) {
            store(&c[k + direction], pushed);
        }
    }
}

static void move(struct calibration *calibration, int knot, float gradient, float curve) {
    float sum = CALIBRATE_FADE * calibration->curve[knot] + curve;
    float step = -gradient / (sum + CURVE_FIRST);
    step = step > MOVE_MAX ? MOVE_MAX : step < -MOVE_MAX ? -MOVE_MAX : step;
    store(&calibration->curve[knot], sum);
    settle(calibration, knot, step > 0.0f ? 1 : -1, calibration->correction[knot] + step);
}

void calibrate_learn(struct calibration *calibration, float logit, float gradient, float curve) {
    float share;
    int knot = knot_of(logit, &share);
    if (share < 1.0f) {
        move(calibration, knot, gradient * (1.0f - share), curve * (1.0f - share));
    }
    if (share > 0.0f) {
        move(calibration, knot + 1, gradient * share, curve * share);
    }
}

void calibrate_copy(const struct calibration *from, struct calibration *out) {
    for (int k = 0; k < CALIBRATE_KNOTS; k++) {
        out->correction[k] = load(&from->correction[k]);
        out->curve[k] = load(&from->curve[k]);
    }
}
