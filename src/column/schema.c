#include "column/schema.h"

#include <string.h>

int column_type_buffers(enum column_type type) {
    switch (type) {
    case COLUMN_I32:
    case COLUMN_I64:
    case COLUMN_U64:
    case COLUMN_F32:
    case COLUMN_F64: return 2;
    case COLUMN_TEXT:
    case COLUMN_LIST_U64:
    case COLUMN_LIST_F32: return 3;
    case COLUMN_LIST_TEXT: return 4;
    }
    INVARIANT(false, "column type %d", (int)type);
    return 0;
}

size_t column_type_width(enum column_type type) {
    switch (type) {
    case COLUMN_I32:
    case COLUMN_F32: return 4;
    case COLUMN_I64:
    case COLUMN_U64:
    case COLUMN_F64: return 8;
    case COLUMN_TEXT:
    case COLUMN_LIST_U64:
    case COLUMN_LIST_F32:
    case COLUMN_LIST_TEXT: return 0;
    }
    INVARIANT(false, "column type %d", (int)type);
    return 0;
}

int schema_find(const struct schema *schema, const char *name) {
    for (int column = 0; column < schema->field_count; column++) {
        if (strcmp(schema->fields[column].name, name) == 0) {
            return column;
        }
    }
    return -1;
}
