#include "engine/flow_restore.h"

#include "base/text.h"
#include "engine/engine_internal.h"

enum { NAME_DIGITS = 20 };

static leat_status add_name(void *context, const char *name) {
    uint64_t sequence;
    if (strlen(name) == NAME_DIGITS && text_to_u64(slice_of(name), &sequence)) {
        bytes_put_u64(context, sequence);
    }
    return LEAT_OK;
}

/* LEAT_NOT_FOUND: it is not whole (any more), or not of this log and configuration. */
static leat_status try_one(struct disk *disk, const char *folder, const struct config *config,
                           uint32_t log_id, uint64_t sequence, struct flow *flow, leat_error *err) {
    struct checkpoint *checkpoint;
    if (checkpoint_open(disk, folder, sequence, &checkpoint, NULL) != LEAT_OK) {
        return LEAT_NOT_FOUND;
    }
    leat_status status = LEAT_NOT_FOUND;
    if (checkpointer_fits(config, checkpoint, log_id, NULL) == LEAT_OK) {
        status = checkpointer_states(flow, checkpoint, err);
        status = status > 0 ? error_retry(err, LEAT_CORRUPT, "a part is missing") : status;
    }
    checkpoint_close(checkpoint);
    if (status < 0) {
        return error_in(err, status, "checkpoint %llu of %s", (unsigned long long)sequence, folder);
    }
    return status;
}

leat_status flow_restore(struct disk *disk, const struct config *config, uint32_t log_id,
                         uint64_t until, struct flow *flow, uint64_t *sequence, leat_error *err) {
    char folder[PATH_BYTES_MAX];
    struct bytes found;
    *sequence = 0;
    TRY(path_join(folder, config->root.data, "checkpoints", err));
    bytes_init(&found);
    leat_status status = disk_list(disk, folder, add_name, &found, err);
    if (status == LEAT_OK) {
        status = bytes_status(&found, err);
    }
    if (status == LEAT_OK) {
        status = LEAT_NOT_FOUND;
    }
    for (size_t at = found.size; status == LEAT_NOT_FOUND && at > 0; at -= sizeof(uint64_t)) {
        uint64_t name;
        memcpy(&name, found.data + at - sizeof(name), sizeof(name));
        if (name <= until) {
            status = try_one(disk, folder, config, log_id, name, flow, err);
            *sequence = status == LEAT_OK ? name : 0;
        }
    }
    bytes_deinit(&found);
    return status;
}
