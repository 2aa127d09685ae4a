/* Keeps the log in bounds: removes what log.retain and log.retain_age no longer keep, and erases
 * the rows of forgotten persons within log.erase_within.
 *
 *   forget row -> flow erases the state at once -> a self-contained checkpoint behind it, all older
 *   ones removed -> the segments that hold rows of the person are rewritten (log/log_erase.h)
 *
 * In this order: a start never needs a row that was erased, and live equals replayed from that
 * checkpoint on. It begins a quarter of log.erase_within after the oldest forget row, so that
 * several share one pass over the log, and takes about a fifth of one core until half of that time
 * is over, then all it can get. What was not done when a process ends is found again when the log
 * is opened. The trainer's overflow file holds no row of before that checkpoint when it is written.
 *
 * Internal to the engine. A thread of its own; in inline mode none: engine_tidy does it. */
#ifndef ENGINE_ERASER_H
#define ENGINE_ERASER_H

#include "engine/engine.h"

struct eraser;

leat_status eraser_create(struct engine *engine, struct eraser **out, leat_error *err);
leat_status eraser_start(struct eraser *eraser, leat_error *err); /* its thread */
/* Ends the thread and gives all back; after the engine's `stopping` was set. NULL is fine. */
void eraser_destroy(struct eraser *eraser);

/* All that is due and all forget rows so far, now. */
leat_status eraser_tidy(struct eraser *eraser, leat_error *err);
uint64_t eraser_rows(struct eraser *eraser); /* erased since the start */

#endif
