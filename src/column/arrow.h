/* The Arrow C Data Interface: batches to and from ArrowArray, without copying the buffers.
 * Struct layouts: https://arrow.apache.org/docs/format/CDataInterface.html (frozen ABI). */
#ifndef COLUMN_ARROW_H
#define COLUMN_ARROW_H

#include "column/batch.h"

#include <leat/batch.h>

/* A struct schema ("+s") with one child a field. The consumer calls out->release once. */
leat_status arrow_export_schema(const struct schema *schema, struct ArrowSchema *out,
                                leat_error *err);
/* A struct array of the batch. The buffers are not copied: `release_owner(owner)` (may be NULL) is
 * called once, by the thread that releases the last of the array and of children that the consumer
 * moved out of it (on failure nothing is taken). Absent columns become all-null. */
leat_status arrow_export_batch(const struct batch *batch, void (*release_owner)(void *owner),
                               void *owner, struct ArrowArray *out, leat_error *err);
/* Checks that `array` has exactly `schema` (types, order; a non-zero offset is refused) and points
 * `out` into it: `out` is valid until the caller releases the array. Unaligned buffers are refused
 * with LEAT_UNSUPPORTED. */
leat_status arrow_import_batch(const struct schema *schema, const struct ArrowSchema *arrow_schema,
                               const struct ArrowArray *array, struct batch *out, leat_error *err);

#endif
