/* What follow.c and follow_folder.c share. */
#ifndef ENGINE_FOLLOW_INTERNAL_H
#define ENGINE_FOLLOW_INTERNAL_H

#include "base/json.h"
#include "engine/follow.h"
#include "engine/lead.h"

/* GET /v1/replica/state, parsed. */
leat_status follow_ask(const struct follow_options *options, struct leader_line *line,
                       struct json_parser *parser, struct lead_state *out, leat_error *err);
/* Takes the newest checkpoint at or after `from` into <data>/incoming, ready. */
leat_status follow_fetch(const struct follow_options *options, struct leader_line *line,
                         const struct follow_identity *identity, uint64_t from, leat_error *err);

#endif
