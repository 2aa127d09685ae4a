/* What a batch's columns are. Schemas are static tables, known by (id, version); a newer version
 * may only append nullable columns, so that old frames read as batches with absent columns. */
#ifndef COLUMN_SCHEMA_H
#define COLUMN_SCHEMA_H

#include "base/error.h"

#include <stdint.h>

/* Arrow layout of each: format string of the C Data Interface, and its buffers after validity.
 *   I32 "i", I64 "l", U64 "L", F32 "f", F64 "g"    values
 *   TEXT "u"                                       int32 offsets (rows + 1), bytes
 *   LIST_U64 "+l" of "L", LIST_F32 "+l" of "f"     int32 offsets (rows + 1), child values
 *   LIST_TEXT "+l" of "u"                          int32 offsets, int32 child offsets, bytes */
enum column_type {
    COLUMN_I32,
    COLUMN_I64,
    COLUMN_U64,
    COLUMN_F32,
    COLUMN_F64,
    COLUMN_TEXT,
    COLUMN_LIST_U64,
    COLUMN_LIST_F32,
    COLUMN_LIST_TEXT,
};

enum {
    COLUMN_BUFFERS = 4, /* validity, then up to three by type */
    SCHEMA_COLUMNS_MAX = 32,
    BATCH_ROWS_MAX = 1 << 20,
};

struct field {
    const char *name;
    enum column_type type;
    bool nullable;
};

struct schema {
    uint16_t id;
    uint16_t version;
    const char *name;
    const struct field *fields;
    int field_count;
};

/* Number of buffers of a type, validity included (2 to 4). */
int column_type_buffers(enum column_type type);
/* Bytes of one value of buffer 1 for fixed-width types; 0 for TEXT and lists. */
size_t column_type_width(enum column_type type);

/* Index of a column by name; -1 when there is none. */
int schema_find(const struct schema *schema, const char *name);

#endif
