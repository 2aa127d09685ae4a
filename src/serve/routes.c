/* Every path of the server. */
#include "serve/http.h"

extern const struct route route_index, route_events, route_feed, route_items, route_users,
    route_metrics, route_healthz, route_readyz, route_openapi, route_replica_state,
    route_replica_log, route_replica_delta, route_replica_checkpoint;

static const struct route *const ROUTES[] = {
    &route_feed,
    &route_events,
    &route_items,
    &route_users,
    &route_metrics,
    &route_healthz,
    &route_readyz,
    &route_openapi,
    &route_index,
    &route_replica_state,
    &route_replica_log,
    &route_replica_delta,
    &route_replica_checkpoint,
};
enum { ROUTE_COUNT = sizeof(ROUTES) / sizeof(ROUTES[0]) };

const struct route *route_at(int index) {
    return index < ROUTE_COUNT ? ROUTES[index] : NULL;
}

const struct route *route_find(struct slice path, struct slice *tail) {
    for (int i = 0; i < ROUTE_COUNT; i++) {
        struct slice own = slice_of(ROUTES[i]->path);
        bool open = own.size > 1 && own.data[own.size - 1] == '/';
        bool begins = path.size >= own.size && memcmp(path.data, own.data, own.size) == 0;
        if (begins && (open || path.size == own.size)) {
            *tail = (struct slice){path.data + own.size, path.size - own.size};
            return ROUTES[i];
        }
    }
    return NULL;
}
