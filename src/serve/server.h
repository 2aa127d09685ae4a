/* The HTTP server: a thin shell over the engine. Paths and answers: api/openapi.yaml. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "base/config.h"
#include "base/error.h"
#include "base/metrics.h"
#include "engine/engine.h"

struct server;

/* Binds config.root.listen ("127.0.0.1:8090", "[::1]:8090"; port 0: the system picks one) and
 * serves from threads of its own, one a connection. Borrows all three until server_stop; `metrics`
 * may be NULL. LEAT_INVALID: not an address; LEAT_IO: it cannot be bound. */
leat_status server_start(struct engine *engine, const struct config *config,
                         struct metrics *metrics, struct server **out, leat_error *err);
/* Takes no new connection, lets requests under way finish (at most 10 s), closes. NULL is fine. */
void server_stop(struct server *server);

/* Where it listens; any thread. The address ends in no slash: "http://127.0.0.1:8090". */
enum { SERVER_ADDRESS_MAX = 128 };
uint16_t server_port(const struct server *server);
void server_address(const struct server *server, char out[SERVER_ADDRESS_MAX]);

#endif
