#include "state/state_due.h"

#include "base/memory.h"

enum {
    DUE_TICK_BITS = 10,
    DUE_DIGIT_BITS = 6,
    DUE_BUCKETS = 1 << DUE_DIGIT_BITS,
    DUE_LEVELS = 4,
    DUE_FAR_BITS = DUE_DIGIT_BITS * DUE_LEVELS,
    HEAP_CHILDREN = 4,
    NODES_MIN = 8,
    NODES_MAX = 1 << 30,
    SHRINK_MIN = 64,
    DUE_AHEAD_MAX = 64,
    LIST_AHEAD = 12,
    STALE_MIN = 64, /* so few entries without use cost less than looking for them */
};

struct state_due_wheel {
    int64_t tick;
    uint32_t capacity; /* of nodes and heap */
    uint32_t used;     /* nodes handed out at least once */
    uint32_t freed;    /* node number + 1 of the first free one */
    uint32_t count;
    uint32_t heap_count;
    uint32_t far;
    uint64_t occupied[DUE_LEVELS];
    uint32_t buckets[DUE_LEVELS][DUE_BUCKETS]; /* node number + 1 of the first entry */
    struct state_due_entry *nodes;
    uint32_t *heap; /* node numbers */
};

void state_due_init(struct state_due *due, struct state_account *account) {
    *due = (struct state_due){.account = account};
}

static size_t nodes_bytes(uint32_t capacity) {
    return (size_t)capacity * (sizeof(struct state_due_entry) + sizeof(uint32_t));
}

void state_due_deinit(struct state_due *due) {
    struct state_due_wheel *wheel = due->wheel;
    if (wheel) {
        state_account_refund(due->account, sizeof(*wheel) + nodes_bytes(wheel->capacity));
        memory_free(wheel->nodes);
        memory_free(wheel->heap);
        memory_free(wheel);
    }
    state_due_init(due, due->account);
}

int state_due_order(const struct state_due_entry *a, const struct state_due_entry *b) {
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms ? -1 : 1;
    }
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->hash != b->hash) {
        return a->hash < b->hash ? -1 : 1;
    }
    return a->part < b->part ? -1 : a->part > b->part;
}

static inline bool node_before(const struct state_due_wheel *wheel, uint32_t a, uint32_t b) {
    return state_due_order(&wheel->nodes[a], &wheel->nodes[b]) < 0;
}

/* --- the heap of what is near --- */

static void heap_push(struct state_due_wheel *wheel, uint32_t node) {
    uint32_t at = wheel->heap_count++;
    while (at > 0) {
        uint32_t parent = (at - 1) / HEAP_CHILDREN;
        if (!node_before(wheel, node, wheel->heap[parent])) {
            break;
        }
        wheel->heap[at] = wheel->heap[parent];
        at = parent;
    }
    wheel->heap[at] = node;
}

static uint32_t heap_least_child(const struct state_due_wheel *wheel, uint32_t first) {
    uint32_t end = first + HEAP_CHILDREN;
    end = end < wheel->heap_count ? end : wheel->heap_count;
    uint32_t least = first;
    for (uint32_t other = first + 1; other < end; other++) {
        if (node_before(wheel, wheel->heap[other], wheel->heap[least])) {
            least = other;
        }
    }
    return least;
}

static uint32_t heap_pop(struct state_due_wheel *wheel) {
    uint32_t top = wheel->heap[0];
    uint32_t last = wheel->heap[--wheel->heap_count];
    uint32_t at = 0;
    for (uint32_t child; (child = at * HEAP_CHILDREN + 1) < wheel->heap_count;) {
        uint32_t least = heap_least_child(wheel, child);
        if (!node_before(wheel, wheel->heap[least], last)) {
            break;
        }
        wheel->heap[at] = wheel->heap[least];
        at = least;
    }
    wheel->heap[at] = last;
    return top;
}

/* --- the wheel --- */

static int64_t tick_of(int64_t time_ms) {
    return time_ms >> DUE_TICK_BITS;
}

/* A shift to the left that negative numbers may take, too. */
static int64_t shift_left(int64_t value, uint32_t bits) {
    return (int64_t)((uint64_t)value << bits);
}

/* Links a node where it belongs, as the wheel stands. */
static void node_place(struct state_due_wheel *wheel, uint32_t node) {
    int64_t tick = tick_of(wheel->nodes[node].time_ms);
    if (tick <= wheel->tick) {
        heap_push(wheel, node);
        return;
    }
    uint64_t differ = (uint64_t)tick ^ (uint64_t)wheel->tick;
    uint32_t level = (63u - (uint32_t)__builtin_clzll(differ)) / DUE_DIGIT_BITS;
    uint32_t *bucket = &wheel->far;
    if (level < DUE_LEVELS) {
        uint32_t digit = (uint32_t)(tick >> (level * DUE_DIGIT_BITS)) & (DUE_BUCKETS - 1);
        wheel->occupied[level] |= (uint64_t)1 << digit;
        bucket = &wheel->buckets[level][digit];
    }
    wheel->nodes[node].next = *bucket;
    *bucket = node + 1;
}

static void list_place(struct state_due_wheel *wheel, uint32_t first) {
    while (first) {
        uint32_t node = first - 1;
        /* As a rule the ones before it in the pool were linked just before it, and come next. */
        __builtin_prefetch(&wheel->nodes[node > LIST_AHEAD ? node - LIST_AHEAD : 0], 1);
        first = wheel->nodes[node].next;
        node_place(wheel, node);
    }
}

/* The first tick of the next bucket that holds something, and its level; the far list begins where
 * the wheel's own digits end. INT64_MAX: nothing but the heap. */
static int64_t wheel_next(const struct state_due_wheel *wheel, uint32_t *level) {
    for (*level = 0; *level < DUE_LEVELS; (*level)++) {
        uint64_t occupied = wheel->occupied[*level];
        if (occupied) {
            uint32_t shift = *level * DUE_DIGIT_BITS;
            int64_t digit = __builtin_ctzll(occupied);
            int64_t above = wheel->tick >> (shift + DUE_DIGIT_BITS);
            return shift_left(above, shift + DUE_DIGIT_BITS) | digit << shift;
        }
    }
    return wheel->far ? shift_left((wheel->tick >> DUE_FAR_BITS) + 1, DUE_FAR_BITS) : INT64_MAX;
}

static void far_turn(struct state_due_wheel *wheel, int64_t tick) {
    wheel->tick = tick;
    uint32_t first = wheel->far;
    wheel->far = 0;
    list_place(wheel, first);
}

/* Turns to `tick`: what lies at or before it comes into the heap. A bucket that begins at or before
 * it is taken apart: its entries are nearer now, so each goes down a level at least. */
static void wheel_turn(struct state_due_wheel *wheel, int64_t tick) {
    while (wheel->tick < tick) {
        uint32_t level;
        int64_t next = wheel_next(wheel, &level);
        if (next > tick) {
            break;
        }
        if (level == DUE_LEVELS) {
            far_turn(wheel, tick);
            continue;
        }
        uint32_t digit = (uint32_t)__builtin_ctzll(wheel->occupied[level]);
        uint32_t first = wheel->buckets[level][digit];
        wheel->buckets[level][digit] = 0;
        wheel->occupied[level] &= wheel->occupied[level] - 1;
        wheel->tick = next;
        list_place(wheel, first);
    }
    wheel->tick = tick > wheel->tick ? tick : wheel->tick;
}

/* --- the owner's calls --- */

static leat_status wheel_open(struct state_due *due, leat_error *err) {
    TRY(state_account_charge(due->account, sizeof(struct state_due_wheel), err));
    struct state_due_wheel *wheel = memory_zalloc(sizeof(*wheel));
    if (!wheel) {
        state_account_refund(due->account, sizeof(*wheel));
        return error_memory(err, sizeof(*wheel));
    }
    wheel->tick = tick_of(INT64_MIN);
    due->wheel = wheel;
    return LEAT_OK;
}

/* The one array may be larger than the other after a failure; `capacity` counts what both have. */
static leat_status nodes_grow(struct state_due *due, leat_error *err) {
    struct state_due_wheel *wheel = due->wheel;
    uint32_t capacity =
        wheel->capacity < NODES_MIN ? NODES_MIN : wheel->capacity + wheel->capacity / 2;
    if (capacity > NODES_MAX) {
        return error_set(err, LEAT_FULL, "state %s: %u due times in one key group, no more fit",
                         due->account->name, wheel->count);
    }
    size_t more = nodes_bytes(capacity) - nodes_bytes(wheel->capacity);
    TRY(state_account_charge(due->account, more, err));
    void *nodes = memory_resize(wheel->nodes, capacity * sizeof(*wheel->nodes));
    wheel->nodes = nodes ? nodes : wheel->nodes;
    void *heap = nodes ? memory_resize(wheel->heap, capacity * sizeof(*wheel->heap)) : NULL;
    if (!heap) {
        state_account_refund(due->account, more);
        return error_memory(err, more);
    }
    wheel->heap = heap;
    wheel->capacity = capacity;
    return LEAT_OK;
}

leat_status state_due_push(struct state_due *due, const struct state_due_entry *entry,
                           leat_error *err) {
    if (!due->wheel) {
        TRY(wheel_open(due, err));
    }
    struct state_due_wheel *wheel = due->wheel;
    uint32_t node = wheel->freed;
    if (node) {
        node--;
        wheel->freed = wheel->nodes[node].next;
    } else {
        if (wheel->used == wheel->capacity) {
            TRY(nodes_grow(due, err));
        }
        node = wheel->used++;
    }
    wheel->nodes[node] = *entry;
    wheel->count++;
    node_place(wheel, node);
    return LEAT_OK;
}

const struct state_due_entry *state_due_peek(struct state_due *due, int64_t now_ms) {
    struct state_due_wheel *wheel = due->wheel;
    if (!wheel) {
        return NULL;
    }
    wheel_turn(wheel, tick_of(now_ms));
    if (wheel->heap_count == 0) {
        return NULL;
    }
    const struct state_due_entry *top = &wheel->nodes[wheel->heap[0]];
    return top->time_ms <= now_ms ? top : NULL;
}

/* What is due stands together at the top of the heap: level by level. */
int state_due_ahead(const struct state_due *due, int64_t now_ms, const struct state_due_entry **out,
                    int max) {
    const struct state_due_wheel *wheel = due->wheel;
    uint32_t places[DUE_AHEAD_MAX];
    max = max < DUE_AHEAD_MAX ? max : DUE_AHEAD_MAX;
    int count = 0;
    if (wheel && wheel->heap_count > 0 && wheel->nodes[wheel->heap[0]].time_ms <= now_ms) {
        places[count++] = 0;
    }
    for (int i = 0; i < count; i++) {
        out[i] = &wheel->nodes[wheel->heap[places[i]]];
        uint32_t child = places[i] * HEAP_CHILDREN + 1;
        uint32_t end = child + HEAP_CHILDREN;
        end = end < wheel->heap_count ? end : wheel->heap_count;
        for (; child < end && count < max; child++) {
            if (wheel->nodes[wheel->heap[child]].time_ms <= now_ms) {
                places[count++] = child;
            }
        }
    }
    return count;
}

void state_due_drop(struct state_due *due) {
    struct state_due_wheel *wheel = due->wheel;
    INVARIANT(wheel && wheel->heap_count > 0, "nothing to drop");
    uint32_t node = heap_pop(wheel);
    wheel->nodes[node].next = wheel->freed;
    wheel->freed = node + 1;
    wheel->count--;
}

int64_t state_due_bound(const struct state_due *due) {
    const struct state_due_wheel *wheel = due->wheel;
    if (!wheel || wheel->count == 0) {
        return INT64_MAX;
    }
    if (wheel->heap_count > 0) {
        return wheel->nodes[wheel->heap[0]].time_ms;
    }
    uint32_t level;
    int64_t tick = wheel_next(wheel, &level);
    return tick > tick_of(INT64_MAX) ? INT64_MAX : shift_left(tick, DUE_TICK_BITS);
}

size_t state_due_count(const struct state_due *due) {
    return due->wheel ? due->wheel->count : 0;
}

bool state_due_is_stale(const struct state_due *due) {
    return state_due_count(due) > 2 * due->live + STALE_MIN;
}

/* Both arrays shrink, or neither is counted as shrunk: giving memory back may fail. */
static void nodes_shrink(struct state_due *due) {
    struct state_due_wheel *wheel = due->wheel;
    uint32_t capacity = (uint32_t)due->live * 2;
    if (wheel->capacity <= SHRINK_MIN || due->live > wheel->capacity / 4) {
        return;
    }
    capacity = capacity < NODES_MIN ? NODES_MIN : capacity;
    void *nodes = memory_resize(wheel->nodes, capacity * sizeof(*wheel->nodes));
    wheel->nodes = nodes ? nodes : wheel->nodes;
    void *heap = memory_resize(wheel->heap, capacity * sizeof(*wheel->heap));
    wheel->heap = heap ? heap : wheel->heap;
    if (nodes || heap) {
        state_account_refund(due->account, nodes_bytes(wheel->capacity) - nodes_bytes(capacity));
        wheel->capacity = capacity;
    }
}

void state_due_clear(struct state_due *due) {
    struct state_due_wheel *wheel = due->wheel;
    if (wheel) {
        nodes_shrink(due);
        memset(wheel->buckets, 0, sizeof(wheel->buckets));
        memset(wheel->occupied, 0, sizeof(wheel->occupied));
        wheel->far = wheel->freed = wheel->used = wheel->count = wheel->heap_count = 0;
    }
}
