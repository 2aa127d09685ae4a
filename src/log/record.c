#include "log/record.h"

#include <stddef.h>

static const struct field EVENT_FIELDS[EVENT_COLUMNS] = {
    [EVENT_KIND] = {"kind", COLUMN_TEXT, false},
    [EVENT_TIME] = {"time", COLUMN_I64, false},
    [EVENT_TIME_POSTED] = {"time_posted", COLUMN_I64, true},
    [EVENT_USER] = {"user", COLUMN_TEXT, true},
    [EVENT_ITEM] = {"item", COLUMN_TEXT, true},
    [EVENT_ID] = {"id", COLUMN_TEXT, true},
    [EVENT_REQUEST] = {"request", COLUMN_TEXT, true},
    [EVENT_SESSION] = {"session", COLUMN_TEXT, true},
    [EVENT_SURFACE] = {"surface", COLUMN_TEXT, true},
    [EVENT_VALUE] = {"value", COLUMN_F64, true},
    [EVENT_CONTEXT] = {"context", COLUMN_LIST_TEXT, true},
    [EVENT_AUTHOR] = {"author", COLUMN_TEXT, true},
    [EVENT_CATEGORIES] = {"categories", COLUMN_LIST_TEXT, true},
    [EVENT_TAGS] = {"tags", COLUMN_LIST_TEXT, true},
    [EVENT_CREATED] = {"created", COLUMN_I64, true},
    [EVENT_EXPIRES] = {"expires", COLUMN_I64, true},
    [EVENT_TEXT] = {"text", COLUMN_TEXT, true},
};

static const struct field SERVED_FIELDS[SERVED_COLUMNS] = {
    [SERVED_REQUEST] = {"request", COLUMN_TEXT, false},
    [SERVED_USER] = {"user", COLUMN_TEXT, true},
    [SERVED_ITEM] = {"item", COLUMN_TEXT, false},
    [SERVED_SURFACE] = {"surface", COLUMN_TEXT, false},
    [SERVED_TIME] = {"time", COLUMN_I64, false},
    [SERVED_SLOT] = {"slot", COLUMN_I32, false},
    [SERVED_SCORE] = {"score", COLUMN_F64, false},
    [SERVED_CHANNELS] = {"channels", COLUMN_I32, false},
    [SERVED_KEYS] = {"keys", COLUMN_LIST_U64, false},
    [SERVED_DENSE] = {"dense", COLUMN_LIST_F32, false},
};

static const struct schema EVENT_SCHEMA = {SCHEMA_EVENT, 1, "event", EVENT_FIELDS, EVENT_COLUMNS};
static const struct schema SERVED_SCHEMA = {SCHEMA_SERVED, 1, "served", SERVED_FIELDS,
                                            SERVED_COLUMNS};
static const struct schema BEAT_SCHEMA = {SCHEMA_BEAT, 1, "beat", NULL, 0};

const struct schema *schema_event(void) {
    return &EVENT_SCHEMA;
}
const struct schema *schema_served(void) {
    return &SERVED_SCHEMA;
}
const struct schema *schema_beat(void) {
    return &BEAT_SCHEMA;
}

const struct schema *schema_by_id(uint16_t id) {
    switch (id) {
    case SCHEMA_EVENT: return &EVENT_SCHEMA;
    case SCHEMA_SERVED: return &SERVED_SCHEMA;
    case SCHEMA_BEAT: return &BEAT_SCHEMA;
    default: return NULL;
    }
}

bool record_is_erased(const struct batch *batch, int64_t row) {
    switch (batch->schema->id) {
    case SCHEMA_EVENT: return batch_text(batch, EVENT_KIND, row).size == 0;
    case SCHEMA_SERVED: return batch_text(batch, SERVED_SURFACE, row).size == 0;
    default: return false;
    }
}
