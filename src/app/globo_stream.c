#include "app/globo_stream.h"

#include "base/memory.h"

leat_status globo_stream_read(struct globo_stream *stream, const char *folder, bool strict,
                              leat_error *err) {
    struct refusals refusals = {.show = stderr, .strict = strict};
    TRY(globo_read(disk_real(), folder, &refusals, &stream->clicks, err));
    refusals_finish(&refusals);
    stream->refused = refusals.count;
    size_t count = stream->clicks.count;
    if (count == 0) {
        return error_set(err, LEAT_INVALID, "%s: holds no clicks", folder);
    }
    stream->previous = memory_alloc(count * sizeof(*stream->previous));
    stream->position = memory_alloc(count * sizeof(*stream->position));
    stream->own = memory_alloc(UINT16_MAX * sizeof(*stream->own));
    if (!stream->previous || !stream->position || !stream->own) {
        return error_memory(err, count * sizeof(*stream->previous));
    }
    return globo_link_sessions(&stream->clicks, stream->previous, stream->position, err);
}

void globo_stream_free(struct globo_stream *stream) {
    globo_free(&stream->clicks);
    memory_free(stream->previous);
    memory_free(stream->position);
    memory_free(stream->own);
}

struct session_items globo_stream_session(const struct globo_stream *stream, size_t click) {
    int32_t at = stream->previous[click];
    int count = stream->position[click];
    for (int i = count - 1; i >= 0; i--, at = stream->previous[at]) {
        stream->own[i] = stream->clicks.clicks[at].item;
    }
    return (struct session_items){stream->own, count};
}
