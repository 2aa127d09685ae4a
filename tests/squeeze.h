/* Memory that runs short for a moment, so that a state of some records spills as one of gigabytes
 * does. A budget set once would not do it: a state has pages and an index whatever it holds, and
 * of the few records of a test they are the most; below them the budget refuses. */
#ifndef TESTS_SQUEEZE_H
#define TESTS_SQUEEZE_H

#include "engine/engine.h"

/* On flow's thread: every record that may lie in a spill file goes there, as after a batch that
 * used up flow.memory. The failures are state_trim's; with one, the rest stays in memory. Without
 * runner.spill it does nothing. */
leat_status squeeze(struct engine *engine, leat_error *err);

/* Records brought back and bytes written by all states since the engine was opened. */
void squeeze_counts(struct engine *engine, uint64_t *fetched, uint64_t *written);

/* Files below `folder` that hold the text, as they lie on the disk: how many. */
int squeeze_find(struct disk *disk, const char *folder, const char *text);

#endif
