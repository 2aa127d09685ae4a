/* The Globo clicks in the order they are told, with what each session did before each click: what
 * replaying them in this process and through a server have in common. */
#ifndef APP_GLOBO_STREAM_H
#define APP_GLOBO_STREAM_H

#include "app/baseline.h"
#include "connect/globo.h"

struct globo_stream {
    struct globo_clicks clicks;
    uint64_t refused;   /* rows of the data set */
    int32_t *previous;  /* of each click: the one before in its session */
    uint16_t *position; /* of each click in its session */
    uint32_t *own;      /* scratch: the session's items before the click in hand */
};

/* Reads a data set; refused rows are shown on standard error. LEAT_INVALID when it holds no clicks.
 * To be freed in every case. */
leat_status globo_stream_read(struct globo_stream *stream, const char *folder, bool strict,
                              leat_error *err);
void globo_stream_free(struct globo_stream *stream);

/* What the click's session clicked before it, oldest first; valid until the next call. */
struct session_items globo_stream_session(const struct globo_stream *stream, size_t click);

#endif
