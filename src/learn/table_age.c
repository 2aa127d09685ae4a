/* How rows grow old and make room: expiry by event time, eviction of the least useful, and when a
 * row that went may be used again. All of it is a function of the writer's calls. */
#include "learn/table_epoch.h"
#include "learn/table_internal.h"

#include <sched.h>

enum {
    EVICT_LOOK = 512, /* rows that are looked at together, */
    EVICT_SHARE = 16, /* and of which one in so many goes */
};

/* --- marks --- */

static uint32_t mark_seen(uint32_t mark) {
    return mark & SEEN_MAX;
}
static uint32_t mark_uses(uint32_t mark) {
    return mark >> SEEN_BITS;
}
static uint32_t mark_of(uint32_t uses, uint32_t seen) {
    return uses << SEEN_BITS | seen;
}

/* Moves the zero of `seen` on by half of its range, 2.1 years: about as often does this run. */
static void rebase(struct table *table) {
    uint32_t shift = SEEN_MAX / 2;
    table->base_s += shift;
    for (uint64_t row = 0; table->timed && row < table_tally(&table->top); row++) {
        uint32_t mark = table->marks[row];
        if (mark != 0) {
            table_guard(table, (uint32_t)row);
            uint32_t seen = mark_seen(mark) > shift ? mark_seen(mark) - shift : 1;
            table->marks[row] = mark_of(mark_uses(mark), seen);
        }
    }
}

/* Time before the first, or that goes back, is taken as the earliest, or as it is. Never 0. */
uint32_t table_time(struct table *table, uint32_t now_s) {
    if (now_s == 0) {
        now_s = table->now_s;
    }
    if (now_s > table->now_s) {
        if (table->now_s == 0) {
            table->base_s = now_s - 1;
        }
        table->now_s = now_s;
    }
    while (now_s > table->base_s && now_s - table->base_s > SEEN_MAX) {
        rebase(table);
    }
    return now_s > table->base_s ? now_s - table->base_s : 1;
}

/* `uses` is the logarithm of how often: it is raised with a chance that halves each time. */
void table_touch(struct table *table, uint32_t row, uint32_t seen) {
    uint32_t mark = table->marks[row];
    uint32_t uses = mark_uses(mark);
    uint64_t chance = hash_mix(table->touches++, row);
    uses += uses < USES_MAX && (chance & ((1u << uses) - 1)) == 0;
    uint32_t next = mark_of(uses, seen > mark_seen(mark) ? seen : mark_seen(mark));
    if (next != mark) {
        table_guard(table, row);
        table->marks[row] = next;
    }
}

/* --- retiring --- */

void table_drop(struct table *table, uint32_t row) {
    struct table_retired *retired = &table->retired;
    uint64_t key = table_key(table, row);
    table_index_remove(&table->index, table_hash(key), row);
    table_tally_add(&table->rows, (uint64_t)-1);
    if (table->timed) {
        table_guard(table, row);
        table->marks[row] = 0;
    }
    if (table->track) {
        table_mark_removed(table, row, key);
    }
    retired->rows[retired->tail++ & (retired->size - 1)] = row;
}

/* Moves `safe` on where a grace is over, and begins the next. */
static void retired_advance(struct table_retired *retired) {
    if (retired->asked > retired->safe) {
        if (!table_grace_over(retired->ticket)) {
            return;
        }
        retired->safe = retired->asked;
    }
    if (retired->asked < retired->tail) {
        retired->asked = retired->tail;
        retired->ticket = table_grace_begin();
    }
}

uint32_t table_reuse(struct table *table) {
    struct table_retired *retired = &table->retired;
    while (retired->head == retired->safe) {
        INVARIANT(!table_epoch_inside(), "the writer waits for itself to leave the table");
        INVARIANT(retired->head < retired->tail, "no row is out of use");
        retired_advance(retired);
        if (retired->head == retired->safe) {
            sched_yield(); /* for a reader that is inside: a request's scoring at most */
        }
    }
    return retired->rows[retired->head++ & (retired->size - 1)];
}

/* --- expiry --- */

int table_expire(struct table *table, uint32_t now_s, int rows_max) {
    uint32_t now = table_time(table, now_s);
    uint64_t top = table_tally(&table->top);
    int went = 0;
    if (!table->timed || table->expire_min_s == 0 || top == 0) {
        return 0;
    }
    for (uint64_t n = (uint64_t)rows_max < top ? (uint64_t)rows_max : top; n > 0; n--) {
        table->expire_hand = table->expire_hand < top ? table->expire_hand : 0;
        uint32_t row = (uint32_t)table->expire_hand++;
        uint32_t mark = table->marks[row];
        if (mark == 0 || mark_seen(mark) + (uint64_t)table->expire_min_s > now) {
            continue;
        }
        uint32_t expire_s = table->fields[key_field(table_key(table, row))].expire_s;
        if (expire_s > 0 && mark_seen(mark) + (uint64_t)expire_s <= now) {
            table_drop(table, row);
            went++;
        }
    }
    table_tally_add(&table->expired, (uint64_t)went);
    return went;
}

/* --- eviction --- */

/* The least of those that are offered, in order. */
struct least {
    uint64_t values[EVICT_LOOK / EVICT_SHARE];
    int count;
};

static void least_offer(struct least *least, uint64_t value) {
    int at = least->count;
    if (at == EVICT_LOOK / EVICT_SHARE && value >= least->values[--at]) {
        return;
    }
    for (; at > 0 && least->values[at - 1] > value; at--) {
        least->values[at] = least->values[at - 1];
    }
    least->values[at] = value;
    least->count += least->count < EVICT_LOOK / EVICT_SHARE;
}

/* Of the next rows some go. A round takes one in EVICT_SHARE of all rows, so what goes is about the
 * least useful; and after as many rounds, when as many rows went as there are, uses are halved, so
 * that what was used much long ago makes room in the end. */
static void evict_some(struct table *table) {
    struct least least = {.count = 0}; /* of few uses, then long not seen, then the lower row */
    int count = 0;
    uint64_t top = table_tally(&table->top);
    for (uint64_t n = 0; n < top && count < EVICT_LOOK; n++, table->clock_hand++) {
        uint32_t row = (uint32_t)(table->clock_hand % top);
        uint32_t mark = table->marks[row];
        if (mark == 0) {
            continue;
        }
        least_offer(&least, (uint64_t)mark << 32 | row);
        count++;
        if (mark_uses(mark) > 0 && table->clock_hand / top % EVICT_SHARE == 0) {
            table_guard(table, row);
            table->marks[row] = mark_of(mark_uses(mark) - 1, mark_seen(mark));
        }
    }
    int going = (count + EVICT_SHARE - 1) / EVICT_SHARE;
    for (int i = 0; i < going; i++) {
        table_drop(table, (uint32_t)least.values[i]);
    }
    table_tally_add(&table->evicted, (uint64_t)going);
}

/* Rows that can be had without any going; `spare` of those out of use are not among them. */
static uint64_t room(const struct table *table) {
    uint64_t never_used = table->rows_max - table_tally(&table->top);
    uint64_t out_of_use = table_out_of_use(table);
    return never_used + (out_of_use > table->spare ? out_of_use - table->spare : 0);
}

void table_evict(struct table *table, uint64_t count) {
    uint64_t most = table->rows_max / 2 + 1;
    count = count < most ? count : most;
    if (room(table) >= count) {
        return;
    }
    do {
        evict_some(table);
    } while (room(table) < count);
    retired_advance(&table->retired);
}
