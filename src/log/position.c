#include "log/position.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

struct position position_of(uint32_t log_id, uint64_t sequence) {
    struct position position = {.count = 1};
    position.entries[0].log_id = log_id;
    position.entries[0].sequence = sequence;
    return position;
}

uint64_t position_sequence(const struct position *position, uint32_t log_id) {
    for (uint32_t i = 0; i < position->count; i++) {
        if (position->entries[i].log_id == log_id) {
            return position->entries[i].sequence;
        }
    }
    return 0;
}

bool position_reached(const struct position *have, const struct position *want) {
    for (uint32_t i = 0; i < want->count; i++) {
        if (position_sequence(have, want->entries[i].log_id) < want->entries[i].sequence) {
            return false;
        }
    }
    return true;
}

void position_write(const struct position *position, char out[POSITION_TEXT_MAX]) {
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < position->count; i++) {
        int wrote =
            snprintf(out + used, POSITION_TEXT_MAX - used, "%s%" PRIu32 ":%" PRIu64,
                     i > 0 ? "," : "", position->entries[i].log_id, position->entries[i].sequence);
        used += (size_t)wrote;
    }
}

/* One spelling a number only, so that equal positions are equal texts. */
static bool number_read(struct slice text, uint64_t max, uint64_t *out) {
    bool canonical = text.size == 1 || (text.size > 1 && text.data[0] != '0');
    if (!canonical) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text_to_u64(text, out) && *out <= max;
}

/* Cuts `text` at the first `mark`: returns what stands before it, and leaves what stands after. */
static struct slice cut_at(struct slice *text, char mark) {
    const char *found = memchr(text->data, mark, text->size);
    size_t size = found ? (size_t)(found - text->data) : text->size;
    struct slice head = {text->data, size};
    size_t skip = found ? size + 1 : size;
    *text = (struct slice){text->data + skip, text->size - skip};
    return head;
}

static leat_status entry_read(struct slice text, struct position *out, leat_error *err) {
    uint32_t count = out->count;
    if (count == POSITION_LOGS_MAX) {
        return error_set(err, LEAT_INVALID, "position: more than %d logs", POSITION_LOGS_MAX);
    }
    struct slice sequence = text;
    struct slice id = cut_at(&sequence, ':');
    uint64_t id_value;
    uint64_t sequence_value;
    if (!number_read(id, UINT32_MAX, &id_value) ||
        !number_read(sequence, UINT64_MAX, &sequence_value)) {
        return error_set(err, LEAT_INVALID,
                         "position: entry %" PRIu32
                         " is not '<log id>:<sequence>'; pass a position "
                         "as leat gave it",
                         count + 1);
    }
    if (count > 0 && out->entries[count - 1].log_id >= id_value) {
        return error_set(err, LEAT_INVALID, "position: log ids must rise, %" PRIu64 " does not",
                         id_value);
    }
    out->entries[count].log_id = (uint32_t)id_value;
    out->entries[count].sequence = sequence_value;
    out->count++;
    return LEAT_OK;
}

leat_status position_read(struct slice text, struct position *out, leat_error *err) {
    struct position position = {.count = 0};
    bool more = text.size > 0;
    while (more) {
        size_t before = text.size;
        struct slice entry = cut_at(&text, ',');
        more = entry.size < before; /* a comma followed, and so must an entry */
        TRY(entry_read(entry, &position, err));
    }
    *out = position;
    return LEAT_OK;
}
