#include "state/state_due.h"

#include "base/memory.h"
#include "base/slab.h"

enum {
    DUE_TICK_BITS = 8,
    DUE_DIGIT_BITS = 6,
    DUE_BUCKETS = 1 << DUE_DIGIT_BITS,
    DUE_LEVELS = 4,
    DUE_FAR_BITS = DUE_DIGIT_BITS * DUE_LEVELS,
    LISTS = DUE_LEVELS * DUE_BUCKETS + 2, /* buckets, far and near */
    HEAP_CHILDREN = 4,
    CHUNK_ENTRIES = 7,
    FRESH_MAX = 32,
    NEAR_MAX = 64,
    SEGMENT_CHUNKS = 256, /* of a segment of full size: a block of a slab */
    SEGMENT_FIRST = 4,
    SEGMENTS_SMALL = 7, /* 4, 4, 8, 16, 32, 64, 128 chunks: together one of full size */
    SEGMENTS_MIN = 8,
    CHUNKS_MAX = 1 << 28,
    DUE_AHEAD_MAX = 64,
    STALE_MIN = 64, /* so few entries without use cost less than looking for them */
};

struct chunk {
    uint32_t next;  /* of its list, or of the free ones: number + 1 */
    uint32_t count; /* of entries */
    uint32_t zero[6];
    struct state_due_entry entries[CHUNK_ENTRIES];
};
_Static_assert(sizeof(struct chunk) * SEGMENT_CHUNKS == SLAB_BLOCK, "drawn in state_due.h");

struct state_due_wheel { /* first what every push and peek reads */
    uint32_t count;      /* of entries */
    uint32_t capacity;   /* chunks of all segments, and room in `crowd` */
    uint32_t fresh_count;
    uint32_t near_count, crowd_count; /* entries in the two heaps */
    int64_t fresh_least_ms;
    int64_t tick;
    uint32_t used;  /* chunks handed out at least once */
    uint32_t freed; /* number + 1 of the first free one */
    uint32_t segment_count, segment_capacity, crowd_capacity;
    struct chunk **segments;
    uint32_t *crowd; /* the chunks of that heap, in order */
    uint32_t far;
    uint64_t occupied[DUE_LEVELS];
    uint32_t buckets[DUE_LEVELS][DUE_BUCKETS]; /* number + 1 of the list's first chunk */
    struct state_due_entry near[NEAR_MAX];
    struct state_due_entry fresh[FRESH_MAX]; /* pushed, and not placed yet */
};

void state_due_init(struct state_due *due, struct state_account *account) {
    *due = (struct state_due){.account = account};
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

/* --- chunks --- */

static uint32_t segment_chunks(uint32_t segment) {
    if (segment >= SEGMENTS_SMALL) {
        return SEGMENT_CHUNKS;
    }
    return segment == 0 ? SEGMENT_FIRST : (uint32_t)SEGMENT_FIRST << (segment - 1);
}

static inline struct chunk *chunk_at(const struct state_due_wheel *wheel, uint32_t number) {
    if (__builtin_expect(number >= SEGMENT_CHUNKS, 1)) {
        return &wheel->segments[SEGMENTS_SMALL - 1 + number / SEGMENT_CHUNKS]
                               [number % SEGMENT_CHUNKS];
    }
    if (number < SEGMENT_FIRST) {
        return &wheel->segments[0][number];
    }
    uint32_t level = 31u - (uint32_t)__builtin_clz(number / SEGMENT_FIRST);
    return &wheel->segments[level + 1][number - ((uint32_t)SEGMENT_FIRST << level)];
}

/* So many chunks hold `count` entries, however they are spread over the lists. */
static uint32_t chunks_needed(uint32_t count) {
    return count <= LISTS ? count : LISTS + (count - LISTS + CHUNK_ENTRIES - 1) / CHUNK_ENTRIES;
}

static struct chunk *segment_alloc(uint32_t chunks) {
    size_t bytes = chunks * sizeof(struct chunk);
    return chunks == SEGMENT_CHUNKS ? slab_alloc(bytes) : memory_aligned(64, bytes);
}

static void segment_free(struct chunk *segment, uint32_t chunks) {
    if (chunks == SEGMENT_CHUNKS) {
        slab_free(segment, chunks * sizeof(struct chunk));
    } else {
        memory_free(segment);
    }
}

/* What a segment costs: its chunks, and their room in `crowd`, which doubles. */
static size_t segment_bytes(uint32_t chunks) {
    return chunks * (sizeof(struct chunk) + 2 * sizeof(uint32_t));
}

/* Room for the pointer to one more, and for the numbers of its chunks. Arrays that have grown are
 * kept when another one cannot; the account counts what `capacity` says. */
static leat_status arrays_grow(struct state_due_wheel *wheel, uint32_t chunks, leat_error *err) {
    if (wheel->segment_count == wheel->segment_capacity) {
        uint32_t capacity = wheel->segment_capacity ? wheel->segment_capacity * 2 : SEGMENTS_MIN;
        void *segments = memory_resize(wheel->segments, capacity * sizeof(*wheel->segments));
        if (!segments) {
            return error_memory(err, capacity * sizeof(*wheel->segments));
        }
        wheel->segments = segments;
        wheel->segment_capacity = capacity;
    }
    if (wheel->capacity + chunks > wheel->crowd_capacity) {
        uint32_t capacity = (wheel->capacity + chunks) * 2;
        void *crowd = memory_resize(wheel->crowd, capacity * sizeof(*wheel->crowd));
        if (!crowd) {
            return error_memory(err, capacity * sizeof(*wheel->crowd));
        }
        wheel->crowd = crowd;
        wheel->crowd_capacity = capacity;
    }
    return LEAT_OK;
}

static leat_status segment_add(struct state_due *due, leat_error *err) {
    struct state_due_wheel *wheel = due->wheel;
    uint32_t chunks = segment_chunks(wheel->segment_count);
    if (wheel->capacity + chunks > CHUNKS_MAX) {
        return error_set(err, LEAT_FULL, "state %s: %u due times in one key group, no more fit",
                         due->account->name, wheel->count);
    }
    TRY(state_account_charge(due->account, segment_bytes(chunks), err));
    leat_status status = arrays_grow(wheel, chunks, err);
    struct chunk *segment = status == LEAT_OK ? segment_alloc(chunks) : NULL;
    if (!segment) {
        state_account_refund(due->account, segment_bytes(chunks));
        return status < 0 ? status : error_memory(err, chunks * sizeof(struct chunk));
    }
    wheel->segments[wheel->segment_count++] = segment;
    wheel->capacity += chunks;
    return LEAT_OK;
}

static leat_status wheel_open(struct state_due *due, leat_error *err) {
    TRY(state_account_charge(due->account, sizeof(struct state_due_wheel), err));
    struct state_due_wheel *wheel = memory_aligned(64, sizeof(*wheel));
    if (!wheel) {
        state_account_refund(due->account, sizeof(*wheel));
        return error_memory(err, sizeof(*wheel));
    }
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = INT64_MIN >> DUE_TICK_BITS;
    wheel->fresh_least_ms = INT64_MAX;
    due->wheel = wheel;
    return LEAT_OK;
}

static void segment_drop(struct state_due *due) {
    struct state_due_wheel *wheel = due->wheel;
    uint32_t chunks = segment_chunks(--wheel->segment_count);
    segment_free(wheel->segments[wheel->segment_count], chunks);
    wheel->capacity -= chunks;
    state_account_refund(due->account, segment_bytes(chunks));
}

void state_due_deinit(struct state_due *due) {
    struct state_due_wheel *wheel = due->wheel;
    if (wheel) {
        while (wheel->segment_count > 0) {
            segment_drop(due);
        }
        state_account_refund(due->account, sizeof(*wheel));
        memory_free(wheel->segments);
        memory_free(wheel->crowd);
        memory_free(wheel);
    }
    state_due_init(due, due->account);
}

/* There is one: chunks_needed of all entries were made. */
static struct chunk *chunk_take(struct state_due_wheel *wheel, uint32_t *number) {
    struct chunk *chunk;
    if (wheel->freed) {
        *number = wheel->freed - 1;
        chunk = chunk_at(wheel, *number);
        wheel->freed = chunk->next;
    } else {
        INVARIANT(wheel->used < wheel->capacity, "%u due times want more than %u chunks",
                  wheel->count, wheel->capacity);
        *number = wheel->used++;
        chunk = chunk_at(wheel, *number);
    }
    chunk->next = 0;
    chunk->count = 0;
    return chunk;
}

static void chunk_give(struct state_due_wheel *wheel, struct chunk *chunk, uint32_t number) {
    chunk->next = wheel->freed;
    wheel->freed = number + 1;
}

/* --- the crowd: the heap over chunks --- */

static inline struct state_due_entry *crowd_at(const struct state_due_wheel *wheel, uint32_t at) {
    return &chunk_at(wheel, wheel->crowd[at / CHUNK_ENTRIES])->entries[at % CHUNK_ENTRIES];
}

static void crowd_push(struct state_due_wheel *wheel, const struct state_due_entry *entry) {
    uint32_t at = wheel->crowd_count++;
    if (at % CHUNK_ENTRIES == 0) {
        chunk_take(wheel, &wheel->crowd[at / CHUNK_ENTRIES]);
    }
    while (at > 0) {
        uint32_t parent = (at - 1) / HEAP_CHILDREN;
        const struct state_due_entry *above = crowd_at(wheel, parent);
        if (state_due_order(entry, above) >= 0) {
            break;
        }
        *crowd_at(wheel, at) = *above;
        at = parent;
    }
    *crowd_at(wheel, at) = *entry;
}

static uint32_t crowd_least_child(const struct state_due_wheel *wheel, uint32_t first) {
    uint32_t end = first + HEAP_CHILDREN;
    end = end < wheel->crowd_count ? end : wheel->crowd_count;
    uint32_t least = first;
    for (uint32_t other = first + 1; other < end; other++) {
        if (state_due_order(crowd_at(wheel, other), crowd_at(wheel, least)) < 0) {
            least = other;
        }
    }
    return least;
}

static void crowd_pop(struct state_due_wheel *wheel) {
    struct state_due_entry last = *crowd_at(wheel, --wheel->crowd_count);
    if (wheel->crowd_count % CHUNK_ENTRIES == 0) {
        uint32_t number = wheel->crowd[wheel->crowd_count / CHUNK_ENTRIES];
        chunk_give(wheel, chunk_at(wheel, number), number);
    }
    uint32_t at = 0;
    for (uint32_t child; (child = at * HEAP_CHILDREN + 1) < wheel->crowd_count;) {
        uint32_t least = crowd_least_child(wheel, child);
        const struct state_due_entry *below = crowd_at(wheel, least);
        if (state_due_order(below, &last) >= 0) {
            break;
        }
        *crowd_at(wheel, at) = *below;
        at = least;
    }
    if (wheel->crowd_count > 0) {
        *crowd_at(wheel, at) = last;
    }
}

/* --- near: a heap in one piece, and the crowd for what does not fit --- */

static void near_push(struct state_due_wheel *wheel, const struct state_due_entry *entry) {
    if (wheel->near_count == NEAR_MAX) {
        crowd_push(wheel, entry);
        return;
    }
    uint32_t at = wheel->near_count++;
    while (at > 0) {
        uint32_t parent = (at - 1) / HEAP_CHILDREN;
        if (state_due_order(entry, &wheel->near[parent]) >= 0) {
            break;
        }
        wheel->near[at] = wheel->near[parent];
        at = parent;
    }
    wheel->near[at] = *entry;
}

static void near_pop(struct state_due_wheel *wheel) {
    const struct state_due_entry *last = &wheel->near[--wheel->near_count];
    uint32_t at = 0;
    for (uint32_t child; (child = at * HEAP_CHILDREN + 1) < wheel->near_count;) {
        uint32_t end = child + HEAP_CHILDREN;
        end = end < wheel->near_count ? end : wheel->near_count;
        uint32_t least = child;
        for (uint32_t other = child + 1; other < end; other++) {
            if (state_due_order(&wheel->near[other], &wheel->near[least]) < 0) {
                least = other;
            }
        }
        if (state_due_order(&wheel->near[least], last) >= 0) {
            break;
        }
        wheel->near[at] = wheel->near[least];
        at = least;
    }
    wheel->near[at] = *last;
}

/* NULL: nothing is near. */
static const struct state_due_entry *near_top(const struct state_due_wheel *wheel) {
    const struct state_due_entry *top = wheel->near_count > 0 ? wheel->near : NULL;
    if (__builtin_expect(wheel->crowd_count > 0, 0)) {
        const struct state_due_entry *other = crowd_at(wheel, 0);
        top = !top || state_due_order(other, top) < 0 ? other : top;
    }
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

static void list_add(struct state_due_wheel *wheel, uint32_t *list,
                     const struct state_due_entry *entry) {
    struct chunk *chunk = *list ? chunk_at(wheel, *list - 1) : NULL;
    if (!chunk || chunk->count == CHUNK_ENTRIES) {
        uint32_t number;
        chunk = chunk_take(wheel, &number);
        chunk->next = *list;
        *list = number + 1;
    }
    chunk->entries[chunk->count++] = *entry;
}

/* Puts an entry where it belongs, as the wheel stands. */
static void entry_place(struct state_due_wheel *wheel, const struct state_due_entry *entry) {
    int64_t tick = tick_of(entry->time_ms);
    if (tick <= wheel->tick) {
        near_push(wheel, entry);
        return;
    }
    uint64_t differ = (uint64_t)tick ^ (uint64_t)wheel->tick;
    uint32_t level = (63u - (uint32_t)__builtin_clzll(differ)) / DUE_DIGIT_BITS;
    uint32_t *list = &wheel->far;
    if (level < DUE_LEVELS) {
        uint32_t digit = (uint32_t)(tick >> (level * DUE_DIGIT_BITS)) & (DUE_BUCKETS - 1);
        wheel->occupied[level] |= (uint64_t)1 << digit;
        list = &wheel->buckets[level][digit];
    }
    list_add(wheel, list, entry);
}

static void chunk_prefetch(const struct state_due_wheel *wheel, uint32_t list) {
    if (list) {
        const char *bytes = (const char *)chunk_at(wheel, list - 1);
        for (size_t at = 0; at < sizeof(struct chunk); at += 64) {
            __builtin_prefetch(bytes + at, 1);
        }
    }
}

/* A chunk is free before what it held is placed, so this needs no other one. */
static void list_place(struct state_due_wheel *wheel, uint32_t list) {
    while (list) {
        uint32_t number = list - 1;
        struct chunk *chunk = chunk_at(wheel, number);
        list = chunk->next;
        chunk_prefetch(wheel, list);
        struct chunk taken;
        memcpy(&taken, chunk, sizeof(taken));
        chunk_give(wheel, chunk, number);
        for (uint32_t i = 0; i < taken.count; i++) {
            entry_place(wheel, &taken.entries[i]);
        }
    }
}

static void fresh_place(struct state_due_wheel *wheel) {
    for (uint32_t i = 0; i < wheel->fresh_count; i++) {
        entry_place(wheel, &wheel->fresh[i]);
    }
    wheel->fresh_count = 0;
    wheel->fresh_least_ms = INT64_MAX;
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

/* Turns towards `tick` until something is near. A bucket that begins at or before it is taken
 * apart: its entries are nearer now, so each goes down a level at least. */
static void wheel_turn(struct state_due_wheel *wheel, int64_t tick) {
    while (wheel->tick < tick && wheel->near_count == 0 && wheel->crowd_count == 0) {
        uint32_t level;
        int64_t next = wheel_next(wheel, &level);
        if (next > tick) {
            wheel->tick = tick;
        } else if (level == DUE_LEVELS) {
            far_turn(wheel, tick);
        } else {
            uint32_t digit = (uint32_t)__builtin_ctzll(wheel->occupied[level]);
            uint32_t first = wheel->buckets[level][digit];
            wheel->buckets[level][digit] = 0;
            wheel->occupied[level] &= wheel->occupied[level] - 1;
            wheel->tick = next;
            list_place(wheel, first);
        }
    }
}

/* --- the owner's calls --- */

/* The parts one by one: an entry read back just after it was written would wait for all writes
 * before it, those to cold records too. */
leat_status state_due_push(struct state_due *due, int64_t time_ms, uint64_t hash, uint64_t part,
                           uint32_t kind, leat_error *err) {
    if (!due->wheel) {
        TRY(wheel_open(due, err));
    }
    struct state_due_wheel *wheel = due->wheel;
    while (wheel->capacity < chunks_needed(wheel->count + 1)) {
        TRY(segment_add(due, err));
    }
    wheel->count++;
    wheel->fresh[wheel->fresh_count++] =
        (struct state_due_entry){.time_ms = time_ms, .hash = hash, .part = part, .kind = kind};
    if (time_ms < wheel->fresh_least_ms) {
        wheel->fresh_least_ms = time_ms;
    }
    if (wheel->fresh_count == FRESH_MAX) {
        fresh_place(wheel);
    }
    return LEAT_OK;
}

const struct state_due_entry *state_due_peek(struct state_due *due, int64_t now_ms) {
    struct state_due_wheel *wheel = due->wheel;
    if (!wheel) {
        return NULL;
    }
    if (wheel->fresh_least_ms <= now_ms) {
        fresh_place(wheel);
    }
    wheel_turn(wheel, tick_of(now_ms));
    const struct state_due_entry *top = near_top(wheel);
    return top && top->time_ms <= now_ms ? top : NULL;
}

/* What is due stands together at the top of the heap: level by level. */
int state_due_ahead(const struct state_due *due, int64_t now_ms, const struct state_due_entry **out,
                    int max) {
    const struct state_due_wheel *wheel = due->wheel;
    uint32_t places[DUE_AHEAD_MAX];
    max = max < DUE_AHEAD_MAX ? max : DUE_AHEAD_MAX;
    int count = 0;
    if (wheel && max > 0 && wheel->near_count > 0 && wheel->near[0].time_ms <= now_ms) {
        places[count++] = 0;
    }
    for (int i = 0; i < count; i++) {
        out[i] = &wheel->near[places[i]];
        uint32_t child = places[i] * HEAP_CHILDREN + 1;
        uint32_t end = child + HEAP_CHILDREN;
        end = end < wheel->near_count ? end : wheel->near_count;
        for (; child < end && count < max; child++) {
            if (wheel->near[child].time_ms <= now_ms) {
                places[count++] = child;
            }
        }
    }
    return count;
}

void state_due_prefetch(const struct state_due *due) {
    if (due->wheel) {
        __builtin_prefetch(due->wheel, 1);
    }
}

void state_due_prefetch_place(const struct state_due *due) {
    if (due->wheel) {
        __builtin_prefetch(&due->wheel->fresh[due->wheel->fresh_count], 1);
    }
}

void state_due_drop(struct state_due *due) {
    struct state_due_wheel *wheel = due->wheel;
    const struct state_due_entry *top = wheel ? near_top(wheel) : NULL;
    INVARIANT(top, "nothing to drop");
    if (top == wheel->near) {
        near_pop(wheel);
    } else {
        crowd_pop(wheel);
    }
    wheel->count--;
}

int64_t state_due_bound(const struct state_due *due) {
    const struct state_due_wheel *wheel = due->wheel;
    if (!wheel || wheel->count == 0) {
        return INT64_MAX;
    }
    uint32_t level;
    int64_t tick = wheel_next(wheel, &level);
    int64_t bound_ms = tick > tick_of(INT64_MAX) ? INT64_MAX : shift_left(tick, DUE_TICK_BITS);
    const struct state_due_entry *top = near_top(wheel);
    if (top) {
        bound_ms = top->time_ms;
    }
    return bound_ms < wheel->fresh_least_ms ? bound_ms : wheel->fresh_least_ms;
}

size_t state_due_count(const struct state_due *due) {
    return due->wheel ? due->wheel->count : 0;
}

bool state_due_is_stale(const struct state_due *due) {
    return state_due_count(due) > 2 * due->live + STALE_MIN;
}

void state_due_clear(struct state_due *due) {
    struct state_due_wheel *wheel = due->wheel;
    if (!wheel) {
        return;
    }
    wheel->count = wheel->near_count = wheel->crowd_count = wheel->fresh_count = 0;
    wheel->used = wheel->freed = wheel->far = 0;
    wheel->fresh_least_ms = INT64_MAX;
    memset(wheel->buckets, 0, sizeof(wheel->buckets));
    memset(wheel->occupied, 0, sizeof(wheel->occupied));
    uint32_t kept = chunks_needed((uint32_t)due->live) * 2;
    while (wheel->segment_count > 1 &&
           wheel->capacity - segment_chunks(wheel->segment_count - 1) >= kept) {
        segment_drop(due);
    }
}
