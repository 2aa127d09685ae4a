/* The operators as a checkpoint has them, without an engine: for tools that run a log again beside
 * whoever has the folder open. Takes no lock and writes nothing. */
#ifndef ENGINE_FLOW_RESTORE_H
#define ENGINE_FLOW_RESTORE_H

#include "base/file.h"
#include "flow/flow.h"

/* Puts the newest checkpoint of config->root.data at or before `until` into a flow that was just
 * opened with the same configuration; those of another log or of another shape are passed over.
 * LEAT_NOT_FOUND (positive): there is none that fits. After a failure the flow is to be closed; one
 * with `retry` may be because the checkpoint was replaced meanwhile. */
leat_status flow_restore(struct disk *disk, const struct config *config, uint32_t log_id,
                         uint64_t until, struct flow *flow, uint64_t *sequence, leat_error *err);

#endif
