/* The Arrow C Data Interface: batches to and from ArrowArray, without copying the buffers.
 * Struct layouts: https://arrow.apache.org/docs/format/CDataInterface.html (frozen ABI). */
#ifndef COLUMN_ARROW_H
#define COLUMN_ARROW_H

#include "column/batch.h"

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE           2
#define ARROW_FLAG_MAP_KEYS_SORTED    4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif

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
