/* Batches to a Parquet file, by DuckDB (connect/duckdb.h), in as much memory as one row group
 * takes. Columns are those of the schema, in order; a null is a null. Batches of schema_example get
 * two more for each task: mask_<action> (true: the example says something about it) and
 * label_<action> (null where it does not). */
#ifndef CONNECT_PARQUET_H
#define CONNECT_PARQUET_H

#include "base/config.h"
#include "column/batch.h"
#include "connect/duckdb.h"

struct parquet_options {
    const char *path; /* written from its start; synced by the caller */
    const struct schema *schema;
    const struct config *config; /* its actions name the tasks; model.features the keys */
    /* The next batch, borrowed until the next call; LEAT_END after the last one. */
    leat_status (*next)(void *context, struct batch *out, leat_error *err);
    void *context;
};

/* The failure of `next` as it was; LEAT_INVALID with DuckDB's words. What was written until then
 * stays at `path`. */
leat_status parquet_write(const struct duckdb *duckdb, const struct parquet_options *options,
                          leat_error *err);

#endif
