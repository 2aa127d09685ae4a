/* join_label: what a showing says to learning, and when. Pure but for the examples that it emits;
 * join.h specifies. */
#ifndef FLOW_JOIN_LABEL_H
#define FLOW_JOIN_LABEL_H

#include "base/config.h"
#include "flow/join.h"
#include "flow/join_record.h"

/* What the configuration says, once. */
struct join_terms {
    const struct config *config;
    uint32_t tasks;     /* bit of every task that settles by a window */
    int64_t longest_ms; /* of their windows */
    int64_t lateness_ms;
    int64_t life_ms; /* a showing takes rows for so long from when it was seen */
    int64_t wait_ms; /* beyond their event time rows are waited for so long */
    uint64_t seed, keep_negatives;
    float log_odds;
};
void join_terms_init(struct join_terms *terms, const struct config *config);

/* Where and when examples of a place are given. */
struct join_voice {
    const struct join_terms *terms;
    const struct join_out *out;
    const struct join_place *place;
    uint64_t sequence;
    int64_t due_ms; /* 0: at its row */
};

/* Event time from which a showing takes no row any more. */
static inline int64_t join_showing_end(const struct join_terms *terms,
                                       const struct join_entry *showing) {
    return (showing->shown_ms != 0 ? showing->shown_ms : showing->begun_ms) + terms->life_ms;
}
/* Watermark at which a waiting row is decided. One that begins a showing of its request does so at
 * its own time, before actions whose clocks are behind it are decided. */
static inline int64_t join_waiting_due(const struct join_terms *terms,
                                       const struct join_entry *entry) {
    bool begins = entry->type != JOIN_WAITS_ACTION && entry->request_size > 0;
    return entry->begun_ms + (begins ? 0 : terms->wait_ms);
}
/* The next watermark after `after_ms` (or a past one that was missed) at which something is to be
 * done with an entry. */
int64_t join_entry_due(const struct join_terms *terms, const struct join_entry *entry,
                       int64_t after_ms);

/* The showing was seen at `time_ms`; with `earlier`, a time before a known one replaces it. */
void join_showing_see(const struct join_voice *voice, struct join_entry *showing, int64_t time_ms,
                      bool earlier);
/* The action was done on the showing. */
void join_showing_act(const struct join_voice *voice, struct join_entry *showing, int action);
/* Settles what is due at voice->due_ms; true when the showing is over, and to be forgotten. */
bool join_showing_settle(const struct join_voice *voice, struct join_entry *showing);
/* Settles all that is open, before its time: there is no more room for the showing. */
void join_showing_cut(const struct join_voice *voice, struct join_entry *showing);

#endif
