/* Batches of examples to a file: frames, JSON lines or Parquet. What is written stands beside the
 * file under the name with ".part", and takes its place, synced, when it is whole. One thread. */
#ifndef APP_EXAMPLE_SINK_H
#define APP_EXAMPLE_SINK_H

#include "base/config.h"
#include "base/file.h"
#include "column/batch.h"

enum example_format { EXAMPLE_PARQUET, EXAMPLE_JSONL, EXAMPLE_FRAMES, EXAMPLE_FORMATS };

/* "parquet", "jsonl", "frames". */
const char *example_format_name(enum example_format format);

struct example_sink {
    struct disk *disk;
    const char *path;
    enum example_format format;
    const struct schema *schema; /* of the batches; JSON lines: schema_example */
    const struct config *config; /* its actions name the tasks */
    uint32_t log_id;             /* for frames */
    /* The next batch, borrowed until the next call; LEAT_END after the last one. */
    leat_status (*next)(void *context, struct batch *out, leat_error *err);
    void *context;
};

/* Pulls all batches and writes them. After a failure nothing is left. */
leat_status example_sink_write(const struct example_sink *sink, leat_error *err);

/* One line of JSON, with its newline, appended to `out`. */
void example_write_json(const struct batch *examples, int64_t row, const struct config *config,
                        struct bytes *out);

#endif
