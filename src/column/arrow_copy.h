/* Arrow arrays of strangers, taken row by row into a builder, where arrow_import_batch cannot point
 * into them: slices (an offset of the struct or of a column), buffers of any alignment, texts and
 * lists with 64-bit offsets, columns in another order, nullable columns left out.
 *
 * Errors name column and row. Every offset is checked against its neighbours; that buffers are as
 * long as the offsets say is the producer's word, as everywhere in Arrow's C interface. */
#ifndef COLUMN_ARROW_COPY_H
#define COLUMN_ARROW_COPY_H

#include "column/arrow.h"
#include "column/builder.h"

/* Where the columns of a schema stand in a producer's arrays. Plain data. */
struct arrow_binding {
    int children; /* of the producer's struct */
    struct arrow_bound {
        int child;  /* -1: left out, every row is null */
        bool large; /* 64-bit offsets: "U", "+L" */
        bool items_large;
    } columns[SCHEMA_COLUMNS_MAX];
};

/* Finds each column by its name. Accepted besides the formats of schema.h: "U" for "u", "+L" for
 * "+l", "tsm:<any>" (timestamps in ms) for "l". LEAT_INVALID: a column that is missing but not
 * nullable, of another format, there twice, or unknown (with the nearest right name). */
leat_status arrow_bind(const struct schema *schema, const struct ArrowSchema *arrow_schema,
                       struct arrow_binding *out, leat_error *err);

/* Appends all rows of `array` to `builder`, of `schema`. LEAT_INVALID names column and row;
 * LEAT_FULL beyond BATCH_ROWS_MAX; LEAT_MEMORY. After a failure the builder is to be cleared.
 * The array stays the caller's. */
leat_status arrow_copy(const struct schema *schema, const struct arrow_binding *binding,
                       const struct ArrowArray *array, struct builder *builder, leat_error *err);

#endif
