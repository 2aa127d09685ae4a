/* Data folders that last as long as a command: replays and benchmarks. */
#ifndef APP_SCRATCH_H
#define APP_SCRATCH_H

#include "base/config.h"

/* Makes a folder of its own under `parent`; NULL: $TMPDIR, or /var/tmp, which is on a disk where
 * /tmp may be in memory. */
leat_status scratch_make(const char *parent, char out[CONFIG_TEXT_MAX], leat_error *err);
/* Removes it with what an engine leaves in it. */
leat_status scratch_remove(const char *folder, leat_error *err);

#endif
