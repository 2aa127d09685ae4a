/* Whole states into checkpoints and back. */
#include "state/checkpoint_manifest.h"
#include "state/checkpoint_reader.h"
#include "state/state_file.h"

leat_status checkpoint_state(struct checkpoint_writer *writer, const char *name,
                             struct state_snapshot *snapshot, uint32_t groups, leat_error *err) {
    uint64_t since;
    TRY(checkpoint_pages(writer, name, state_snapshot_version(snapshot), &since, err));
    for (uint32_t group = 0; group < groups; group++) {
        TRY(state_snapshot_pages(snapshot, group, since, checkpoint_page, writer, err));
    }
    return LEAT_OK;
}

static leat_status page_restore(void *state, const struct state_page_image *page, leat_error *err) {
    return state_restore_page(state, page, err);
}

/* Reads past the block of a group that is not wanted. */
static leat_status block_skip(struct checkpoint *checkpoint, leat_error *err) {
    uint8_t head[BLOCK_HEAD_BYTES];
    uint8_t passed[4096];
    uint16_t name_bytes;
    uint64_t bytes;
    TRY(checkpoint_read(checkpoint, head, sizeof(head), err));
    memcpy(&name_bytes, head + 6, sizeof(name_bytes));
    memcpy(&bytes, head + 24, sizeof(bytes));
    if (bytes > checkpoint->part->bytes) {
        return error_set(err, LEAT_CORRUPT, "%s/%s: a block larger than the file that holds it",
                         checkpoint->path, checkpoint->part->name);
    }
    bytes += name_bytes + (uint64_t)BLOCK_CHECKSUM_BYTES;
    while (bytes > 0) {
        size_t piece = bytes < sizeof(passed) ? (size_t)bytes : sizeof(passed);
        TRY(checkpoint_read(checkpoint, passed, piece, err));
        bytes -= piece;
    }
    return LEAT_OK;
}

/* Version 1: the blocks of all groups, one behind the other. */
static leat_status blocks_restore(struct checkpoint *checkpoint, uint32_t first, uint32_t end,
                                  struct state *state, leat_error *err) {
    uint32_t groups = checkpoint->manifest.identity.key_groups;
    for (uint32_t group = 0; group < groups; group++) {
        bool wanted = group >= first && group < end;
        TRY(wanted ? state_restore(state, group, checkpoint_read, checkpoint, err)
                   : block_skip(checkpoint, err));
    }
    return checkpoint_read_end(checkpoint, err);
}

leat_status checkpoint_restore_state(struct checkpoint *checkpoint, const char *name,
                                     uint32_t first, uint32_t end, struct state *state,
                                     leat_error *err) {
    uint32_t groups = checkpoint->manifest.identity.key_groups;
    if (groups != state_groups(state)) {
        return error_set(err, LEAT_CONFLICT, "checkpoint %s has %u key groups, the state has %u",
                         checkpoint->path, groups, state_groups(state));
    }
    leat_status status =
        checkpoint_read_pages(checkpoint, name, first, end, page_restore, state, err);
    if (status == LEAT_OK) {
        return state_restore_end(state, checkpoint->pages->version, err);
    }
    if (status == LEAT_NOT_FOUND) {
        status = checkpoint_read_part(checkpoint, name, err);
        return status == LEAT_OK ? blocks_restore(checkpoint, first, end, state, err) : status;
    }
    return status;
}
