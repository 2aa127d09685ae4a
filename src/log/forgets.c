#include "log/forgets.h"

#include "base/memory.h"
#include "log/record.h"

enum { CAPACITY_MIN = 16 };

void forget_list_deinit(struct forget_list *list) {
    memory_free(list->items);
    *list = (struct forget_list){0};
}

leat_status forget_list_reserve(struct forget_list *list, size_t count, leat_error *err) {
    if (count <= list->capacity - list->count) {
        return LEAT_OK;
    }
    size_t capacity = list->capacity > 0 ? 2 * list->capacity : CAPACITY_MIN;
    while (capacity - list->count < count) {
        capacity *= 2;
    }
    struct forget *items = memory_resize(list->items, capacity * sizeof(*items));
    if (!items) {
        return error_memory(err, capacity * sizeof(*items));
    }
    list->items = items;
    list->capacity = capacity;
    return LEAT_OK;
}

void forget_list_add(struct forget_list *list, struct forget forget) {
    INVARIANT(list->count < list->capacity, "%zu forgets, room for %zu", list->count,
              list->capacity);
    list->items[list->count++] = forget;
}

void forget_list_drop(struct forget_list *list, uint64_t sequence) {
    size_t done = 0;
    while (done < list->count && list->items[done].sequence < sequence) {
        done++;
    }
    if (done == 0) {
        return;
    }
    list->count -= done;
    memmove(list->items, list->items + done, list->count * sizeof(*list->items));
}

int64_t forget_row(const struct batch *batch, int64_t row) {
    enum { KIND_SIZE = sizeof(KIND_FORGET) - 1 };
    if (batch->schema->id != SCHEMA_EVENT || column_absent(&batch->columns[EVENT_KIND])) {
        return batch->rows;
    }
    const struct column *kind = &batch->columns[EVENT_KIND];
    const int32_t *offsets = kind->buffer[1];
    const char *text = kind->buffer[2];
    for (; row < batch->rows; row++) {
        if (offsets[row + 1] - offsets[row] == KIND_SIZE &&
            memcmp(text + offsets[row], KIND_FORGET, KIND_SIZE) == 0) {
            break;
        }
    }
    return row;
}
