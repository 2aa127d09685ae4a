#include "state/state_due.h"

#include "base/memory.h"

enum {
    HEAP_CHILDREN = 4,
    HEAP_CAPACITY_MIN = 64,
    HEAP_STALE_MIN = 64, /* so few entries without use cost less than looking for them */
};

void state_due_init(struct state_due *due, struct state_account *account) {
    *due = (struct state_due){.account = account};
}

void state_due_deinit(struct state_due *due) {
    state_account_refund(due->account, due->capacity * sizeof(*due->entries));
    memory_free(due->entries);
    state_due_init(due, due->account);
}

static inline bool entry_before(const struct state_due_entry *a, const struct state_due_entry *b) {
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms;
    }
    if (a->kind != b->kind) {
        return a->kind < b->kind;
    }
    return a->hash != b->hash ? a->hash < b->hash : a->part < b->part;
}

/* Puts `entry` at `at`, or as far above as its ancestors come after it. */
static void heap_rise(struct state_due_entry *entries, size_t at, struct state_due_entry entry) {
    while (at > 0) {
        size_t parent = (at - 1) / HEAP_CHILDREN;
        if (!entry_before(&entry, &entries[parent])) {
            break;
        }
        entries[at] = entries[parent];
        at = parent;
    }
    entries[at] = entry;
}

/* Puts `entry` at `at`, or as far below as its descendants come before it. */
static void heap_sink(struct state_due_entry *entries, size_t count, size_t at,
                      struct state_due_entry entry) {
    for (;;) {
        size_t child = at * HEAP_CHILDREN + 1;
        if (child >= count) {
            break;
        }
        size_t end = child + HEAP_CHILDREN < count ? child + HEAP_CHILDREN : count;
        size_t first = child;
        for (size_t other = child + 1; other < end; other++) {
            if (entry_before(&entries[other], &entries[first])) {
                first = other;
            }
        }
        if (!entry_before(&entries[first], &entry)) {
            break;
        }
        entries[at] = entries[first];
        at = first;
    }
    entries[at] = entry;
}

static leat_status heap_resize(struct state_due *due, size_t capacity, leat_error *err) {
    size_t bytes = capacity * sizeof(*due->entries);
    size_t old_bytes = due->capacity * sizeof(*due->entries);
    if (bytes > old_bytes) {
        TRY(state_account_charge(due->account, bytes - old_bytes, err));
    }
    struct state_due_entry *entries = memory_resize(due->entries, bytes);
    if (!entries) {
        if (bytes > old_bytes) {
            state_account_refund(due->account, bytes - old_bytes);
        }
        return error_memory(err, bytes);
    }
    if (bytes < old_bytes) {
        state_account_refund(due->account, old_bytes - bytes);
    }
    due->entries = entries;
    due->capacity = capacity;
    return LEAT_OK;
}

leat_status state_due_push(struct state_due *due, const struct state_due_entry *entry,
                           leat_error *err) {
    if (due->count == due->capacity) {
        TRY(heap_resize(due, due->capacity ? due->capacity * 2 : HEAP_CAPACITY_MIN, err));
    }
    heap_rise(due->entries, due->count++, *entry);
    return LEAT_OK;
}

const struct state_due_entry *state_due_top(const struct state_due *due) {
    return due->count ? &due->entries[0] : NULL;
}

void state_due_drop(struct state_due *due) {
    INVARIANT(due->count > 0, "nothing to drop");
    struct state_due_entry last = due->entries[--due->count];
    if (due->count > 0) {
        heap_sink(due->entries, due->count, 0, last);
    }
}

void state_due_move(struct state_due *due, int64_t time_ms) {
    INVARIANT(due->count > 0, "nothing to move");
    struct state_due_entry entry = due->entries[0];
    entry.time_ms = time_ms;
    heap_sink(due->entries, due->count, 0, entry);
}

bool state_due_is_stale(const struct state_due *due) {
    return due->count > 2 * due->live + HEAP_STALE_MIN;
}

void state_due_filter(struct state_due *due,
                      bool (*keep)(void *context, struct state_due_entry *entry), void *context) {
    due->mark ^= SLOT_MARK;
    size_t kept = 0;
    for (size_t i = 0; i < due->count; i++) {
        struct state_due_entry entry = due->entries[i];
        if (keep(context, &entry)) {
            due->entries[kept++] = entry;
        }
    }
    due->count = kept;
    for (size_t at = kept / HEAP_CHILDREN + 1; at-- > 0;) {
        if (at < kept) {
            heap_sink(due->entries, kept, at, due->entries[at]);
        }
    }
    if (due->capacity > HEAP_CAPACITY_MIN && kept < due->capacity / 4) {
        size_t half = due->capacity / 2;
        heap_resize(due, half, NULL); /* giving memory back may fail: then it is kept */
    }
}
