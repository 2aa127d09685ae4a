#include "flow/join_label.h"

#include "base/hash.h"

#include <math.h>

/* In the order of the `labels` choices of api/config.def. */
enum join_labels { LABELS_WINDOW, LABELS_FAKE_NEGATIVE, LABELS_SLIDING };

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

void join_terms_init(struct join_terms *terms, const struct config *config) {
    *terms = (struct join_terms){
        .config = config,
        .lateness_ms = config->flow.lateness,
        .wait_ms = config->flow.lateness > 0 ? config->log.skew : 0,
        .seed = (uint64_t)config->root.seed,
        .keep_negatives = (uint64_t)config->flow.keep_negatives,
        .log_odds = (float)log((double)config->flow.keep_negatives),
    };
    for (int t = 0; t < config->action_count; t++) {
        const struct config_action_fields *action = &config->actions[t].fields;
        if (action->threshold == 0) {
            terms->tasks |= 1u << t;
            terms->longest_ms = larger(terms->longest_ms, action->window);
        }
    }
    /* Rows that come early or late by what is allowed fit into a life, so that none has to wait
     * only because a showing's beginning might still come; see join.h. */
    int64_t spread_ms = terms->lateness_ms > 0 ? terms->lateness_ms + 2 * terms->wait_ms : 0;
    terms->life_ms = larger(terms->longest_ms, spread_ms);
}

/* A configuration may have lost a surface since the record was made. */
static const struct config_surface_fields *surface_of(const struct join_terms *terms,
                                                      const struct join_entry *showing) {
    int surface = showing->surface < terms->config->surface_count ? showing->surface : 0;
    return &terms->config->surfaces[surface].fields;
}

static enum join_labels labels_of(const struct join_terms *terms,
                                  const struct join_entry *showing) {
    return (enum join_labels)surface_of(terms, showing)->labels;
}

/* --- giving examples --- */

struct word {
    uint32_t mask, labels, flags;
};

/* Thinning is a property of the showing: one that is thinned out says nothing negative at all. Then
 * each task keeps all of its positives and 1/N of its negatives, whatever the other tasks did, and
 * one correction is right for all. */
static bool is_kept(const struct join_terms *terms, const struct join_place *place,
                    const struct join_entry *showing) {
    if (terms->keep_negatives <= 1) {
        return true;
    }
    uint64_t of = hash_mix(hash_mix(place->key.hash, showing->request), place->key.part);
    return hash_mix(terms->seed, of) % terms->keep_negatives == 0;
}

static void say(const struct join_voice *voice, const struct join_entry *showing,
                struct word word) {
    const struct join_place *place = voice->place;
    if (!is_kept(voice->terms, place, showing)) {
        word.mask &= word.labels;
    }
    if (word.mask == 0) {
        return;
    }
    struct example example = {
        .sequence = voice->sequence,
        .keys = join_entry_keys(showing),
        .key_count = showing->key_count,
        .dense = join_entry_dense(showing),
        .dense_count = showing->dense_count,
        .mask = word.mask,
        .labels = word.labels,
        .weight = 1.0f,
        .log_odds = voice->terms->log_odds,
        .flags = word.flags,
        .user_hash = place->key.hash,
        .request_hash = showing->request,
        .item_hash = place->key.part,
        .user = place->key.id,
        .request = join_entry_request(showing),
        .item = join_record_item(place->record),
        .shown_ms = showing->shown_ms,
        .due_ms = voice->due_ms,
        .part = place->key.part,
    };
    voice->out->emit(voice->out->context, &example);
}

/* --- the life of a showing --- */

void join_showing_see(const struct join_voice *voice, struct join_entry *showing, int64_t time_ms,
                      bool earlier) {
    if (showing->shown_ms == 0) {
        showing->shown_ms = time_ms;
        if (labels_of(voice->terms, showing) == LABELS_FAKE_NEGATIVE) {
            showing->settled = (uint16_t)voice->terms->tasks;
            say(voice, showing, (struct word){voice->terms->tasks, 0, EXAMPLE_FAKE});
        }
    } else if (earlier && time_ms < showing->shown_ms) {
        showing->shown_ms = time_ms;
    }
}

void join_showing_act(const struct join_voice *voice, struct join_entry *showing, int action) {
    uint32_t bit = 1u << action;
    if (showing->positive & bit) {
        return;
    }
    bool was_settled = showing->settled & bit;
    showing->positive = (uint16_t)(showing->positive | bit);
    switch (labels_of(voice->terms, showing)) {
    case LABELS_WINDOW:
        showing->settled = (uint16_t)(showing->settled | bit);
        say(voice, showing, (struct word){bit, bit, was_settled ? EXAMPLE_CORRECTION : 0});
        break;
    case LABELS_FAKE_NEGATIVE: say(voice, showing, (struct word){bit, bit, EXAMPLE_FAKE}); break;
    case LABELS_SLIDING:
        if (was_settled) {
            say(voice, showing, (struct word){bit, bit, EXAMPLE_CORRECTION});
        }
        break;
    }
}

/* Open tasks whose windows have passed at voice->due_ms settle as negatives. */
static void settle_windows(const struct join_voice *voice, struct join_entry *showing) {
    const struct join_terms *terms = voice->terms;
    int64_t passed_ms = voice->due_ms - terms->wait_ms - showing->shown_ms;
    uint32_t open = terms->tasks & ~(uint32_t)showing->settled;
    uint32_t mask = 0;
    for (int t = 0; open >> t != 0; t++) {
        bool over = terms->config->actions[t].fields.window <= passed_ms;
        mask |= over ? open & 1u << t : 0;
    }
    if (mask != 0) {
        showing->settled = (uint16_t)(showing->settled | mask);
        say(voice, showing, (struct word){mask, 0, 0});
    }
}

static void settle_slide(const struct join_voice *voice, struct join_entry *showing) {
    const struct join_terms *terms = voice->terms;
    int64_t passed_ms = voice->due_ms - terms->wait_ms - showing->shown_ms;
    bool last = passed_ms >= terms->longest_ms;
    if (!last && (passed_ms <= 0 || passed_ms % surface_of(terms, showing)->slide != 0)) {
        return;
    }
    if (last) {
        showing->settled = (uint16_t)terms->tasks;
    }
    say(voice, showing, (struct word){terms->tasks, showing->positive, EXAMPLE_SLIDE});
}

bool join_showing_settle(const struct join_voice *voice, struct join_entry *showing) {
    bool open = showing->shown_ms != 0 && (voice->terms->tasks & ~(uint32_t)showing->settled) != 0;
    if (open && labels_of(voice->terms, showing) == LABELS_SLIDING) {
        settle_slide(voice, showing);
    } else if (open) {
        settle_windows(voice, showing);
    }
    return join_showing_end(voice->terms, showing) + voice->terms->wait_ms <= voice->due_ms;
}

void join_showing_cut(const struct join_voice *voice, struct join_entry *showing) {
    uint32_t open = voice->terms->tasks & ~(uint32_t)showing->settled;
    if (showing->shown_ms != 0 && open != 0) {
        bool slides = labels_of(voice->terms, showing) == LABELS_SLIDING;
        showing->settled = (uint16_t)voice->terms->tasks;
        say(voice, showing,
            (struct word){open, showing->positive & open, slides ? EXAMPLE_SLIDE : 0});
    }
}

/* --- when --- */

static int64_t window_due(const struct join_terms *terms, const struct join_entry *showing) {
    uint32_t open = terms->tasks & ~(uint32_t)showing->settled;
    int64_t due_ms = INT64_MAX;
    for (int t = 0; open >> t != 0; t++) {
        if (open >> t & 1u) {
            int64_t end_ms = showing->shown_ms + terms->config->actions[t].fields.window;
            due_ms = end_ms < due_ms ? end_ms : due_ms;
        }
    }
    return due_ms;
}

/* The next multiple of the slide after `after_ms`: one that was missed would say the same. */
static int64_t slide_due(const struct join_terms *terms, const struct join_entry *showing,
                         int64_t after_ms) {
    int64_t slide_ms = surface_of(terms, showing)->slide;
    int64_t passed_ms = after_ms - terms->wait_ms - showing->shown_ms;
    int64_t next_ms = passed_ms < 0 ? slide_ms : (passed_ms / slide_ms + 1) * slide_ms;
    return showing->shown_ms + (next_ms < terms->longest_ms ? next_ms : terms->longest_ms);
}

int64_t join_entry_due(const struct join_terms *terms, const struct join_entry *entry,
                       int64_t after_ms) {
    if (entry->type != JOIN_SHOWING) {
        return join_waiting_due(terms, entry);
    }
    int64_t due_ms = join_showing_end(terms, entry);
    if (entry->shown_ms != 0 && (terms->tasks & ~(uint32_t)entry->settled) != 0) {
        int64_t label_ms = labels_of(terms, entry) == LABELS_SLIDING
                               ? slide_due(terms, entry, after_ms)
                               : window_due(terms, entry);
        due_ms = label_ms < due_ms ? label_ms : due_ms;
    }
    return due_ms + terms->wait_ms;
}
