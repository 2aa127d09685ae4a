/* A small HTTP/1.1 client of leat's own server (libcurl): one connection, kept alive, JSON in and
 * out. One thread at a time a client. */
#ifndef WORLD_CLIENT_H
#define WORLD_CLIENT_H

#include "base/bytes.h"
#include "base/json.h"

struct client;

/* `server`: "http://127.0.0.1:8090", without a slash at the end; copied. Does not connect yet. */
leat_status client_create(const char *server, struct client **out, leat_error *err);
void client_destroy(struct client *client);

/* `path` begins with a slash, its query already encoded. Any answer of 200 to 299 is fine; another
 * one is an error with the words of its problem document. What is answered is borrowed from the
 * client until its next call. LEAT_IO without an answer. */
leat_status client_get(struct client *client, const char *path, struct slice *out, leat_error *err);
leat_status client_get_json(struct client *client, const char *path, struct json_value *out,
                            leat_error *err);
leat_status client_post_json(struct client *client, const char *path, struct slice body,
                             struct json_value *out, leat_error *err);

/* Posts events (NDJSON or a JSON array) and insists that all are taken. `position` receives the
 * text to pass as `after`; `*accepted` is added to. Both may be NULL. LEAT_INVALID: the server
 * refused an event, in its words. While the server is too far behind (429) it waits as long as the
 * server says and posts again, up to 20 times. */
enum { CLIENT_POSITION_MAX = 256 };
leat_status client_post_events(struct client *client, struct slice events,
                               char position[CLIENT_POSITION_MAX], int64_t *accepted,
                               leat_error *err);

/* Asks /readyz until it says yes; LEAT_IO after `timeout_ms`, in the server's last words. */
leat_status client_wait_ready(struct client *client, int64_t timeout_ms, leat_error *err);

/* Waits until the operators (and, with `learnt`, the trainer) have come to the log's end, as
 * /metrics has it; LEAT_IO after `timeout_ms`. Only where nobody else appends does it stay so. */
leat_status client_wait_applied(struct client *client, bool learnt, int64_t timeout_ms,
                                leat_error *err);

/* The value of one metric in the text of /metrics; false when it is not there. */
bool client_metric(struct slice metrics, const char *name, double *out);

#endif
