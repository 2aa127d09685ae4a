#include "flow/clicks.h"

#include "base/hash.h"

#include <math.h>

bool clicks_is(const struct config *config, const struct row *row) {
    return row->kind == ROW_ACTION &&
           config->surfaces[row->surface].fields.examples == ROW_EXAMPLES_CLICKS &&
           config->actions[row->action].fields.threshold == 0 && row_is_liked(config, row);
}

void clicks_chances(const struct config *config, uint64_t sequence, int first, int count,
                    uint64_t *out) {
    uint64_t chance = hash_mix((uint64_t)config->root.seed, sequence);
    for (int k = 0; k < count; k++) {
        out[k] = hash_mix(chance, (uint64_t)(first + k));
    }
}

/* -log of the expected number of draws. An item that is not in the ring may still be the positive:
 * it counts as if it were there a third of a time. */
float clicks_log_odds(const struct config *config, struct clicks_chance chance) {
    double share = chance.held > 0 ? (double)chance.times / (double)chance.held : 0;
    double expected =
        (double)config->flow.negatives * (share + 0.3 / (double)config->flow.negative_ring);
    if (chance.near_draws > 0) {
        expected += (double)chance.near_draws * chance.near_share;
    }
    return (float)-log(expected);
}
