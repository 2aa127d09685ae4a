#include "app/state_folder.h"

#include "base/text.h"

#include <inttypes.h>

static leat_status data_folder(const struct command_files *files, const char *data,
                               struct state_folder *out, leat_error *err) {
    struct command_files chosen = *files;
    struct config *config;
    chosen.data = data ? data : files->data;
    TRY(command_config(&chosen, &config, NULL, err));
    leat_status status = command_check_data(config, err);
    if (status == LEAT_OK) {
        status = path_join(out->path, config->root.data, "checkpoints", err);
    }
    config_destroy(config);
    return status;
}

leat_status state_folder_open(const struct command_files *files, const char *data,
                              struct state_folder *out, leat_error *err) {
    bytes_init(&out->sequences);
    out->count = 0;
    TRY(data_folder(files, data, out, err));
    TRY(checkpoint_sequences(disk_real(), out->path, &out->sequences, err));
    out->count = out->sequences.size / sizeof(uint64_t);
    return LEAT_OK;
}

void state_folder_close(struct state_folder *folder) {
    bytes_deinit(&folder->sequences);
}

uint64_t state_folder_sequence(const struct state_folder *folder, size_t index) {
    uint64_t sequence;
    memcpy(&sequence, folder->sequences.data + index * sizeof(sequence), sizeof(sequence));
    return sequence;
}

leat_status state_folder_choose(const struct state_folder *folder, const char *text,
                                struct checkpoint **out, leat_error *err) {
    uint64_t sequence = 0;
    if (text && !text_to_u64(slice_of(text), &sequence)) {
        return error_set(err, LEAT_INVALID, "--at: '%s' is not the sequence of a checkpoint", text);
    }
    leat_status status = text ? checkpoint_open(disk_real(), folder->path, sequence, out, err)
                              : checkpoint_newest(disk_real(), folder->path, out, NULL, err);
    if (status == LEAT_NOT_FOUND) {
        return error_set(err, LEAT_INVALID, "%s: no such checkpoint; leat state list prints them",
                         folder->path);
    }
    return status;
}

bool state_folder_gone(const struct state_folder *folder, uint64_t sequence) {
    struct checkpoint *checkpoint;
    leat_status status = checkpoint_open(disk_real(), folder->path, sequence, &checkpoint, NULL);
    checkpoint_close(checkpoint);
    return status == LEAT_NOT_FOUND;
}

leat_status state_part_is(struct checkpoint *checkpoint, const struct checkpoint_part_about *part,
                          bool *out, leat_error *err) {
    char magic[4];
    *out = part->pages;
    if (part->pages || part->bytes < sizeof(magic)) {
        return LEAT_OK;
    }
    TRY(checkpoint_read_part(checkpoint, part->name, err));
    TRY(checkpoint_read(checkpoint, magic, sizeof(magic), err));
    *out = memcmp(magic, "LSTB", sizeof(magic)) == 0;
    return LEAT_OK;
}

leat_status state_part_check(struct checkpoint *checkpoint, const char *name, leat_error *err) {
    char names[300] = "";
    size_t size = 0;
    for (int i = 0; i < checkpoint_part_count(checkpoint) && size < sizeof(names); i++) {
        struct checkpoint_part_about part = checkpoint_part_at(checkpoint, i);
        bool holds;
        TRY(state_part_is(checkpoint, &part, &holds, err));
        if (holds && strcmp(part.name, name) == 0) {
            return LEAT_OK;
        }
        if (holds) {
            size += (size_t)snprintf(names + size, sizeof(names) - size, " %s", part.name);
        }
    }
    return error_set(err, LEAT_INVALID, "no operator '%s' in this checkpoint; it has%s", name,
                     names[0] ? names : " none");
}

leat_status state_group_open(struct checkpoint *checkpoint, const char *part, uint32_t group,
                             struct state **out, leat_error *err) {
    struct state_options options = {.name = part,
                                    .groups = checkpoint_about(checkpoint)->key_groups};
    TRY(state_open(&options, out, err));
    leat_status status = checkpoint_restore_state(checkpoint, part, group, group + 1, *out, err);
    if (status != LEAT_OK) {
        state_close(*out);
        *out = NULL;
    }
    return status;
}

leat_status state_print(const struct bytes *line, leat_error *err) {
    TRY(bytes_status(line, err));
    if (fwrite(line->data, 1, line->size, stdout) != line->size || putchar('\n') == EOF) {
        return error_set(err, LEAT_IO, "standard output cannot be written");
    }
    return LEAT_OK;
}
