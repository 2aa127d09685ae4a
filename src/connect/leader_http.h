/* The way to a leader over HTTP: struct leader_calls of engine/follow.h, by libcurl, a connection a
 * line, kept alive. */
#ifndef CONNECT_LEADER_HTTP_H
#define CONNECT_LEADER_HTTP_H

#include "engine/follow.h"

/* `address`: "http://10.0.0.1:8090", without a slash at the end; borrowed. LEAT_INVALID: it is not
 * such an address. */
leat_status leader_http(const char *address, struct leader_calls *out, leat_error *err);

#endif
