/* `leat serve --follow`: a follower from its empty folder to its end, restarts in between included.
 */
#ifndef APP_SERVE_FOLLOW_H
#define APP_SERVE_FOLLOW_H

#include "base/config.h"
#include "base/metrics.h"

#include <signal.h>

/* Until one of the signals in `stop` comes, which every thread blocks. `config->root.listen`
 * becomes the address that was bound, so that a restart keeps it. */
leat_status serve_follow(struct config *config, struct metrics *metrics, const char *leader,
                         const sigset_t *stop, void (*say)(const char *format, ...),
                         leat_error *err);

#endif
