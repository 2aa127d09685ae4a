/* One HTTP request and its answer, as handlers see them. A handler never meets the HTTP library: it
 * reads parameters and the body, writes the answer, or fails with words that become a problem.
 *
 * A new path is one file with a handler and a `const struct route`, and its line in routes.c. */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include "base/json.h"
#include "base/metrics.h"
#include "engine/engine.h"
#include "serve/workspace.h"

struct MHD_Connection;
struct exchange;

enum http_method { HTTP_GET, HTTP_POST, HTTP_DELETE, HTTP_METHODS }; /* HEAD reads as GET */

struct route {
    /* Asked when the headers are there; a failure is the answer, and no byte of the body is stored.
     * May be NULL. */
    leat_status (*admit)(struct exchange *exchange, leat_error *err);
    const char *path; /* ending in '/' (and longer than that): what follows is `tail` */
    /* LEAT_OK, or a failure (or LEAT_NOT_FOUND) with its words: problem.h. NULL: 405. */
    leat_status (*answer[HTTP_METHODS])(struct exchange *exchange, leat_error *err);
};

/* An answer that is made while it is sent, instead of one in `answer`. */
struct http_stream {
    /* The next bytes; `*got` is 0 at the end only. Called by the connection's thread. NULL: none.
     */
    leat_status (*next)(void *context, void *data, size_t count, size_t *got, leat_error *err);
    void (*end)(void *context); /* once, when all is out or the connection is gone */
    void *context;
    uint64_t bytes; /* of all of it */
};

/* Lives in its workspace's arena. */
struct exchange {
    struct engine *engine;
    const struct config *config;
    struct metrics *metrics;
    struct workspace *workspace;
    struct MHD_Connection *connection;
    const struct route *route; /* NULL: no such path */
    int method;                /* of enum http_method, or -1 */
    struct slice tail;         /* of the path, percent-decoded */
    struct slice body;
    struct bytes *answer;  /* the workspace's; empty at first */
    unsigned status;       /* 200 at first */
    int64_t retry_after_s; /* of an answer that says to try again; 1 at first */
    struct http_stream stream;
    const _Atomic bool *stopping; /* the server is: who waits should end */
    const char *content_type;     /* "application/json" at first; static */
};

/* The route of a path as it was sent (not decoded), with `*tail` still to be decoded; or NULL. */
const struct route *route_find(struct slice path, struct slice *tail);
/* The paths there are, for `GET /`: NULL after the last. */
const struct route *route_at(int index);

/* Percent-decodes into the arena. LEAT_INVALID: a '%' without two hexadecimal digits. */
leat_status http_decode(struct arena *arena, struct slice text, struct slice *out, leat_error *err);

/* The query's parameters: values[i] is that of names[i], decoded, or absent. LEAT_INVALID for a
 * name that is not among them (with the nearest one), or that is given twice. */
leat_status http_parameters(struct exchange *exchange, const char *const *names, int count,
                            struct slice *values, leat_error *err);

/* Values of parameters; an absent one leaves `*out` as it was. LEAT_INVALID names parameter, value
 * and limit. */
leat_status http_integer(const char *name, struct slice value, int64_t low, int64_t high,
                         int64_t *out, leat_error *err);
leat_status http_bool(const char *name, struct slice value, bool *out, leat_error *err);
/* 1 to `bytes_max` bytes of UTF-8; absent is fine. */
leat_status http_check_id(const char *name, struct slice value, size_t bytes_max, leat_error *err);

/* "0:17" as a JSON text under `key`. */
void http_put_position(struct json_writer *json, const char *key, struct engine *engine,
                       uint64_t sequence);

#endif
