/* Until the state room has its pages: refusals that its functions replace. */
#include "state/state.h"

__attribute__((weak)) leat_status
state_restore_page(struct state *state, const struct state_page_image *page, leat_error *err) {
    (void)state;
    (void)page;
    return error_set(err, LEAT_UNSUPPORTED, "pages of a state cannot be restored");
}

__attribute__((weak)) leat_status state_restore_end(struct state *state, uint64_t version,
                                                    leat_error *err) {
    (void)state;
    (void)version;
    return error_set(err, LEAT_UNSUPPORTED, "pages of a state cannot be restored");
}

__attribute__((weak)) uint64_t state_snapshot_version(const struct state_snapshot *snapshot) {
    (void)snapshot;
    return 0;
}

__attribute__((weak)) leat_status state_snapshot_pages(struct state_snapshot *snapshot,
                                                       uint32_t group, uint64_t since,
                                                       state_page_sink sink, void *context,
                                                       leat_error *err) {
    (void)snapshot;
    (void)group;
    (void)since;
    (void)sink;
    (void)context;
    return error_set(err, LEAT_UNSUPPORTED, "pages of a state cannot be written");
}
