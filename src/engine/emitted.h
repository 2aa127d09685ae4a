/* Emitted examples: every example that flow makes, in files of frames (flow/example_file.h), as it
 * is made. Exactly once: after a crash the files are cut back to where they stood at the checkpoint
 * that is restored, and the rows after it make the same examples again.
 *
 *   <examples.folder>/EXAMPLES           text: which log, and from which position on
 *   <examples.folder>/<20 digits>.frames named by the sequence of the first example inside
 *
 * What lies before the newest checkpoint stays as it is; what lies behind it may be cut off and
 * written again by a start after a crash, with the same examples. A start that replays the log from
 * before the files' first position writes all of them again.
 *
 * Internal to the engine. One thread pushes and marks (flow's); another may sync. */
#ifndef ENGINE_EMITTED_H
#define ENGINE_EMITTED_H

#include "base/config.h"
#include "base/file.h"
#include "base/metrics.h"
#include "flow/example.h"

struct emitted;

/* A place in the files, as a checkpoint's manifest keeps it: one line. */
enum { EMITTED_NOTE_MAX = 80 };
#define EMITTED_NOTE "examples"

struct emitted_options {
    struct disk *disk;
    const struct config_examples *config; /* borrowed */
    uint32_t log_id;
    struct metrics *metrics; /* may be NULL */
};

/* `sequence`: the first row that will be applied. `note`: of the checkpoint that was restored; NULL
 * or empty without one. LEAT_CONFLICT where the folder holds other examples, or where some would be
 * missing between what it holds and `sequence`. */
leat_status emitted_open(const struct emitted_options *options, uint64_t sequence, const char *note,
                         struct emitted **out, leat_error *err);
/* What was pushed since the last mark may not be in the files. NULL is fine. */
void emitted_close(struct emitted *emitted);

leat_status emitted_push(struct emitted *emitted, const struct example *example, leat_error *err);
/* Writes what was pushed so far: the place that the next emitted_sync makes durable. */
leat_status emitted_mark(struct emitted *emitted, leat_error *err);
/* Any one thread: everything up to the last mark is on disk when it returns. */
leat_status emitted_sync(struct emitted *emitted, char note[EMITTED_NOTE_MAX], leat_error *err);

#endif
