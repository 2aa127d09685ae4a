/* `leat replay --format globo --server URL`: the click stream through a running server, over HTTP
 * as a product would use it: clicks in batches, and, before some clicks are told, the person's
 * page. */
#ifndef APP_REPLAY_SERVER_H
#define APP_REPLAY_SERVER_H

#include "base/error.h"

struct replay_server_options {
    const char *folder;  /* of the data set */
    const char *server;  /* "http://127.0.0.1:8090"; its configuration says `clock: event` and has
                            the  action click and the surface for_you */
    double sample;       /* share of the clicks before which a page is asked for, in [0, 1] */
    int64_t seconds_max; /* of wall clock after reading; then it stops where it is; 0: no bound */
    bool strict;         /* stops at the first malformed row */
    bool json;
};

/* Prints HR@10 and MRR@10 by day beside the built-in baselines on the same clicks, and how much of
 * the stream was told. One call at a time. */
leat_status replay_through_server(const struct replay_server_options *options, leat_error *err);

#endif
