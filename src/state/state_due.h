/* Due times of the records of one key group by one clock: a timer wheel. Internal to this room.
 *
 * An entry says "look at this record at this time, not later". The truth is the record's own
 * due_ms, so most changes leave the wheel alone:
 * - moved later: the entry stays; when it comes to the top, the owner pushes another one;
 * - cleared, or the record removed: the entry stays and is dropped at the top;
 * - set, or moved earlier: one more entry.
 * Entries without use are bounded: when there are more of them than records that have a due time,
 * the owner clears the wheel and pushes each record's once.
 *
 *   tick = time / 256 ms; `tick` of the wheel is how far it has turned
 *   near    a heap of what lies at or before that tick, by (time, kind, hash, part); where it is
 *           full, the rest goes into another one, the crowd, and the first of both is the first
 *   level l bucket b: entries whose tick differs from the wheel's first in the digit l (base 64),
 *           and has b there: digits of 16 s, 17 minutes, 19 hours and 49 days
 *   far     the rest, 49 days and more away
 *
 *   fresh   what was pushed last; placed some at a time, while the wheel is in the cache
 *
 * The wheel turns no further than to the first tick that holds something, so that near stays small
 * however late it is asked. A push costs an append, and an entry is ordered among its tick's only
 * (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987).
 *
 *   chunk   [head 32 | entry | entry | ... 7 of them]   of a bucket's list; all but the first full
 *
 * Entries lie in chunks, so that a bucket is written and read in order. The crowd is a heap over
 * chunks that are all full but the last. So 258 lists of n entries never need more chunks than the
 * worst n entries could, and that many are there before a push is accepted: turning, and a push
 * after a drop, cannot fail.
 *
 * Threads: the group's writer only. */
#ifndef STATE_STATE_DUE_H
#define STATE_STATE_DUE_H

#include "state/state_pages.h"

struct state_due_entry {
    int64_t time_ms;
    uint64_t hash;
    uint64_t part;
    uint32_t kind;
    uint32_t zero;
};

struct state_due_wheel;

struct state_due {
    struct state_account *account;
    struct state_due_wheel *wheel; /* NULL until the first push */
    size_t live;                   /* records with a due time; kept by the owner */
};

void state_due_init(struct state_due *due, struct state_account *account);
void state_due_deinit(struct state_due *due);
/* LEAT_FULL, LEAT_MEMORY: nothing changed. */
leat_status state_due_push(struct state_due *due, int64_t time_ms, uint64_t hash, uint64_t part,
                           uint32_t kind, leat_error *err);
/* The first entry at or before `now_ms`; NULL: none. Turns the wheel. */
const struct state_due_entry *state_due_peek(struct state_due *due, int64_t now_ms);
/* Up to `max` of the entries at or before `now_ms`, which state_due_peek was asked for; the first
 * of them, about, to the order of the heap. To prefetch what they name. */
int state_due_ahead(const struct state_due *due, int64_t now_ms, const struct state_due_entry **out,
                    int max);
/* Hints: a push is to come; once the first has come near, its place too. */
void state_due_prefetch(const struct state_due *due);
void state_due_prefetch_place(const struct state_due *due);
void state_due_drop(struct state_due *due); /* what state_due_peek found */
/* No entry lies before this time; INT64_MAX: there is none. */
int64_t state_due_bound(const struct state_due *due);
size_t state_due_count(const struct state_due *due);
/* There are so many entries without use that clearing and pushing anew pays. */
bool state_due_is_stale(const struct state_due *due);
/* Forgets all entries, and keeps memory for as many pushes as there are live records: they cannot
 * fail. */
void state_due_clear(struct state_due *due);
int state_due_order(const struct state_due_entry *a, const struct state_due_entry *b); /* <0 0 >0 */

#endif
