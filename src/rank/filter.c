#include "rank/rank.h"

static bool filters_by_session(const struct config *config) {
    for (int a = 0; a < config->action_count; a++) {
        if (config->actions[a].fields.filter == ROW_FILTER_SESSION) {
            return true;
        }
    }
    return false;
}

static bool in_session(const struct profile_view *profile, uint64_t item) {
    for (int i = 0; i < profile->session_count; i++) {
        if (profile->session[i] == item) {
            return true;
        }
    }
    return false;
}

leat_status rank_filter(const struct rank_request *request, struct ranked *candidates, int *count,
                        struct arena *arena, leat_error *err) {
    const struct flow *flow = request->flow;
    const struct profile_view *profile = &request->moment->profile;
    int64_t now_ms = request->moment->feature.now_ms;
    struct seen_set seen;
    TRY(profile_seen(flow_profile(flow), request->user, arena, &seen, err));
    bool by_session = filters_by_session(flow_config(flow));
    int kept = 0;
    for (int i = 0; i < *count; i++) {
        struct ranked *candidate = &candidates[i];
        uint64_t item = candidate->item;
        if (seen_has(&seen, item) || (by_session && in_session(profile, item)) ||
            !catalog_read(flow_catalog(flow), item, &candidate->catalog) ||
            candidate->catalog.deleted || candidate->catalog.expires_ms <= now_ms) {
            continue;
        }
        if (kept != i) {
            candidates[kept] = *candidate;
        }
        kept++;
    }
    *count = kept;
    return LEAT_OK;
}
