#include "flow/example.h"

static const struct field EXAMPLE_FIELDS[EXAMPLE_COLUMNS] = {
    [EXAMPLE_SEQUENCE] = {"sequence", COLUMN_U64, false},
    [EXAMPLE_KEYS] = {"keys", COLUMN_LIST_U64, false},
    [EXAMPLE_DENSE] = {"dense", COLUMN_LIST_F32, false},
    [EXAMPLE_MASK] = {"mask", COLUMN_I32, false},
    [EXAMPLE_LABELS] = {"labels", COLUMN_I32, false},
    [EXAMPLE_WEIGHT] = {"weight", COLUMN_F32, false},
    [EXAMPLE_LOG_ODDS] = {"log_odds", COLUMN_F32, false},
    [EXAMPLE_FLAGS] = {"flags", COLUMN_I32, false},
};

/* Ids below 16 belong to the log; an example is never a record of it. */
enum { SCHEMA_EXAMPLE = 16 };

static const struct schema EXAMPLE_SCHEMA = {SCHEMA_EXAMPLE, 1, "example", EXAMPLE_FIELDS,
                                             EXAMPLE_COLUMNS};

const struct schema *schema_example(void) {
    return &EXAMPLE_SCHEMA;
}
