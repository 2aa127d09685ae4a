/* Calibration on line: a correction of one task's logit, learnt from what became of predictions
 * made before the step on them.
 *
 *   z' = z + c(z),  c piecewise linear between knots at the logits -8, -7 .. 8, constant beyond
 *
 * Each example moves the two knots around its logit by a Newton step on the loss of z', with curves
 * that fade, so that a knot follows about the newest 30,000 examples near it. z' never falls
 * where z rises: order, and so AUC, stays (but for ties).
 *
 * One thread learns; c is stored and loaded as relaxed atomics. */
#ifndef LEARN_CALIBRATE_H
#define LEARN_CALIBRATE_H

enum { CALIBRATE_KNOTS = 17 };

struct calibration {
    float correction[CALIBRATE_KNOTS];
    float curve[CALIBRATE_KNOTS]; /* fading sums of second derivatives */
};

float calibrate(const struct calibration *calibration, float logit);
/* `gradient` and `curve`: first and second derivative of the example's loss by z', weight included;
 * both finite, `curve` not below 0. */
void calibrate_learn(struct calibration *calibration, float logit, float gradient, float curve);
/* A copy for a thread that scores. */
void calibrate_copy(const struct calibration *from, struct calibration *out);

#endif
