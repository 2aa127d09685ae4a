/* What the subcommands of `leat state` share: the checkpoints of a data folder, read while nobody
 * or a server writes there. A checkpoint that a server removes meanwhile is passed over. */
#ifndef APP_STATE_FOLDER_H
#define APP_STATE_FOLDER_H

#include "app/command.h"
#include "state/checkpoint.h"

int state_digest_run(int argc, char **argv);
int state_list_run(int argc, char **argv);
int state_check_run(int argc, char **argv);
int state_dump_run(int argc, char **argv);
int state_find_run(int argc, char **argv);
int state_export_run(int argc, char **argv);

struct state_folder {
    char path[PATH_BYTES_MAX]; /* of the checkpoints */
    struct bytes sequences;    /* u64, rising */
    size_t count;
};

/* `data`: the folder as an argument, or NULL: as the options and the configuration say. */
leat_status state_folder_open(const struct command_files *files, const char *data,
                              struct state_folder *out, leat_error *err);
void state_folder_close(struct state_folder *folder);
uint64_t state_folder_sequence(const struct state_folder *folder, size_t index);
/* The checkpoint of the sequence in `text`, or with NULL the newest. LEAT_INVALID: there is none.
 */
leat_status state_folder_choose(const struct state_folder *folder, const char *text,
                                struct checkpoint **out, leat_error *err);
/* Whether a checkpoint that could not be read has gone, as a server removes them. */
bool state_folder_gone(const struct state_folder *folder, uint64_t sequence);

/* Whether a part holds records of a state: pages, or blocks as version 1 wrote them. */
leat_status state_part_is(struct checkpoint *checkpoint, const struct checkpoint_part_about *part,
                          bool *out, leat_error *err);
/* LEAT_INVALID, with the names there are, unless a part of this name holds a state. */
leat_status state_part_check(struct checkpoint *checkpoint, const char *name, leat_error *err);
/* A state that holds one key group of a part. */
leat_status state_group_open(struct checkpoint *checkpoint, const char *part, uint32_t group,
                             struct state **out, leat_error *err);

/* Writes a line to standard output. */
leat_status state_print(const struct bytes *line, leat_error *err);

#endif
