/* A small HTTP client for tests of the real server: one connection, kept alive; every answer is
 * kept whole, whatever its status. One thread at a time a client; any thread. */
#ifndef TESTS_REAL_CLIENT_H
#define TESTS_REAL_CLIENT_H

#include "base/json.h"

#include <curl/curl.h>

struct real_client {
    CURL *curl;
    struct json_parser *parser;
    const char *address; /* borrowed: where the server listens */
    /* The last answer. */
    long status; /* 0: none came */
    char type[80];
    struct bytes body; /* with a NUL behind its size */
    bool has_json;
    struct json_value json; /* borrowed from the client until its next request */
};

void real_client_init(struct real_client *client, const char *address);
void real_client_deinit(struct real_client *client);

/* False when no whole answer came (the server is gone): `status` is 0 then. */
bool real_client_get(struct real_client *client, const char *path);
bool real_client_post(struct real_client *client, struct slice events); /* to /v1/events */
/* Any method; without a body when `body.data` is NULL. */
bool real_client_request(struct real_client *client, const char *method, const char *path,
                         struct slice body);
/* Sends `bytes` spaces as a body in pieces, of a declared length or chunked, without asking first
 * whether the server wants it; calls `between` now and then. */
bool real_client_flood(struct real_client *client, int64_t bytes, bool chunked,
                       void (*between)(void));

/* Members of the answer's object; -1, false or "" where they are not there. */
int64_t real_client_number(const struct real_client *client, const char *key);
bool real_client_true(const struct real_client *client, const char *key);
void real_client_text(const struct real_client *client, const char *key, char *out, size_t size);
/* The page of the answer: its items in order; how many. */
enum { REAL_ITEMS_MAX = 200 };
int real_client_items(const struct real_client *client, struct slice out[REAL_ITEMS_MAX]);
bool real_client_page_holds(const struct real_client *client, const char *item);

/* A gauge or counter of /metrics, asked for now; -1 when it did not answer. */
double real_client_metric(struct real_client *client, const char *name);
/* Waits until the trainer, and so flow, has come to the log's end. */
bool real_client_settle(struct real_client *client);

#endif
