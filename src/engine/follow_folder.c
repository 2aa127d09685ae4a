/* The folder of a follower, and how a checkpoint gets into it. */
#include "base/text.h"
#include "engine/engine_internal.h"
#include "engine/follow_internal.h"
#include "log/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { FOLLOWING_BYTES_MAX = 4096, RETRY_MS = 500, NAP_MS = 50, STATE_BYTES_MAX = 64 << 10 };

/* --- FOLLOWING --- */

static void identity_write(const struct follow_identity *identity, struct bytes *out) {
    bytes_printf(out, "leat follower 1\nlog_id %" PRIu32 "\nsalt %" PRIu32 "\n", identity->log_id,
                 identity->salt);
}

/* LEAT_NOT_FOUND: no such file. */
static leat_status identity_read(struct disk *disk, const char *path, struct follow_identity *out,
                                 leat_error *err) {
    struct bytes text, again;
    bytes_init(&text);
    bytes_init(&again);
    leat_status status = disk_get(disk, path, FOLLOWING_BYTES_MAX, &text, err);
    if (status == LEAT_OK) {
        bytes_put_u8(&text, 0);
        status = bytes_status(&text, err);
    }
    if (status == LEAT_OK) {
        sscanf((const char *)text.data, "leat follower 1\nlog_id %" SCNu32 "\nsalt %" SCNu32,
               &out->log_id, &out->salt);
        identity_write(out, &again);
        if (again.size + 1 != text.size || memcmp(again.data, text.data, again.size) != 0) {
            status = error_set(err, LEAT_CORRUPT,
                               "%s is not what a follower writes; remove the folder to copy the "
                               "leader anew",
                               path);
        }
    }
    bytes_deinit(&again);
    bytes_deinit(&text);
    return status;
}

static leat_status identity_put(struct disk *disk, const char *path,
                                const struct follow_identity *identity, leat_error *err) {
    struct bytes text;
    bytes_init(&text);
    identity_write(identity, &text);
    leat_status status = bytes_status(&text, err);
    if (status == LEAT_OK) {
        status = disk_put(disk, path, text.data, text.size, err);
    }
    bytes_deinit(&text);
    return status;
}

/* --- asking the leader --- */

static leat_status into_bytes(void *context, const void *data, size_t count, leat_error *err) {
    struct bytes *bytes = context;
    if (bytes->size + count > STATE_BYTES_MAX) {
        return error_set(err, LEAT_CORRUPT, "an answer of more than %d bytes", STATE_BYTES_MAX);
    }
    bytes_append(bytes, data, count);
    return bytes_status(bytes, err);
}

static bool number_read(struct json_value object, const char *key, int64_t *out) {
    struct json_value value;
    return json_find(object, key, &value) && json_to_i64(value, out) && *out >= 0;
}

static leat_status state_parse(struct json_parser *parser, const struct bytes *text,
                               struct lead_state *out, leat_error *err) {
    struct json_value object;
    int64_t log_id, salt, begin, end, applied, learnt, from, to, checkpoint, now_ms;
    TRY(json_parse(parser, (struct slice){(const char *)text->data, text->size}, &object, err));
    if (!number_read(object, "log_id", &log_id) || !number_read(object, "salt", &salt) ||
        !number_read(object, "begin", &begin) || !number_read(object, "end", &end) ||
        !number_read(object, "applied", &applied) || !number_read(object, "learnt", &learnt) ||
        !number_read(object, "deltas_from", &from) || !number_read(object, "deltas_to", &to) ||
        !number_read(object, "checkpoint", &checkpoint) || !number_read(object, "now", &now_ms)) {
        return error_set(err, LEAT_CORRUPT, "the answer is not a leader's: %.*s",
                         (int)(text->size < 100 ? text->size : 100), (const char *)text->data);
    }
    *out = (struct lead_state){.log_id = (uint32_t)log_id,
                               .salt = (uint32_t)salt,
                               .begin = (uint64_t)begin,
                               .end = (uint64_t)end,
                               .applied = (uint64_t)applied,
                               .learnt = (uint64_t)learnt,
                               .deltas_from = (uint64_t)from,
                               .deltas_to = (uint64_t)to,
                               .checkpoint = (uint64_t)checkpoint,
                               .now_ms = now_ms};
    return LEAT_OK;
}

leat_status follow_ask(const struct follow_options *options, struct leader_line *line,
                       struct json_parser *parser, struct lead_state *out, leat_error *err) {
    struct bytes text;
    bytes_init(&text);
    leat_status status = options->calls->get(line, "/v1/replica/state", into_bytes, &text, err);
    if (status == LEAT_OK) {
        status = state_parse(parser, &text, out, err);
    }
    bytes_deinit(&text);
    return status;
}

/* --- taking a checkpoint --- */

static struct disk *disk_of(const struct follow_options *options) {
    return options->disk ? options->disk : disk_real();
}

leat_status follow_fetch(const struct follow_options *options, struct leader_line *line,
                         const struct follow_identity *identity, uint64_t from, leat_error *err) {
    struct disk *disk = disk_of(options);
    char incoming[PATH_BYTES_MAX], folder[PATH_BYTES_MAX], ready[PATH_BYTES_MAX], path[128];
    struct checkpoint_receive *receive;
    uint64_t sequence;
    TRY(path_join(incoming, options->config->root.data, "incoming", err));
    TRY(path_join(folder, incoming, "checkpoints", err));
    TRY(path_join(ready, incoming, "READY", err));
    TRY(disk_remove_tree(disk, folder, err));
    TRY(disk_make_folder(disk, incoming, err));
    TRY(checkpoint_receive_open(disk, folder, &receive, err));
    snprintf(path, sizeof(path), "/v1/replica/checkpoint?salt=%" PRIu32 "&from=%" PRIu64,
             identity->salt, from);
    leat_status status = options->calls->get(line, path, checkpoint_receive_push, receive, err);
    if (status == LEAT_OK) {
        status = checkpoint_receive_end(receive, &sequence, err);
    }
    checkpoint_receive_close(receive);
    TRY(status);
    TRY(disk_sync_folder(disk, incoming, err));
    return identity_put(disk, ready, identity, err);
}

/* Puts what lies ready in the place of what is there. Every step may be done again. */
static leat_status install(const struct follow_options *options, leat_error *err) {
    struct disk *disk = disk_of(options);
    const char *data = options->config->root.data;
    char incoming[PATH_BYTES_MAX], ready[PATH_BYTES_MAX], from[PATH_BYTES_MAX];
    char to[PATH_BYTES_MAX], log[PATH_BYTES_MAX], following[PATH_BYTES_MAX];
    struct follow_identity identity = {.leader = options->leader};
    TRY(path_join(incoming, data, "incoming", err));
    TRY(path_join(ready, incoming, "READY", err));
    TRY(path_join(from, incoming, "checkpoints", err));
    TRY(path_join(to, data, "checkpoints", err));
    TRY(path_join(log, data, "log", err));
    TRY(path_join(following, data, "FOLLOWING", err));
    leat_status status = identity_read(disk, ready, &identity, err);
    if (status != LEAT_OK) {
        return status;
    }
    struct checkpoint *checkpoint;
    status = checkpoint_newest(disk, from, &checkpoint, NULL, err);
    TRY(status);
    if (status == LEAT_OK) { /* else it stands in its place already */
        checkpoint_close(checkpoint);
        TRY(disk_remove_tree(disk, log, err));
        TRY(disk_remove_tree(disk, to, err));
        TRY(disk_rename(disk, from, to, err));
        TRY(disk_sync_folder(disk, data, err));
    }
    TRY(identity_put(disk, following, &identity, err));
    TRY(disk_remove_tree(disk, incoming, err));
    return disk_sync_folder(disk, data, err);
}

/* --- preparing --- */

static leat_status found_name(void *context, const char *name) {
    bool *found = context;
    *found = *found || strcmp(name, "lock") != 0;
    return LEAT_OK;
}

/* A folder without FOLLOWING must be empty: what it holds is nobody's copy. */
static leat_status refuse_own(const struct follow_options *options, leat_error *err) {
    static const char *const folders[] = {"log", "checkpoints"};
    const char *data = options->config->root.data;
    for (int i = 0; i < 2; i++) {
        char path[PATH_BYTES_MAX];
        bool found = false;
        TRY(path_join(path, data, folders[i], err));
        TRY(disk_list(disk_of(options), path, found_name, &found, err));
        if (found) {
            return error_set(err, LEAT_CONFLICT,
                             "%s holds data of its own; a follower wants an empty folder (--data)",
                             data);
        }
    }
    return LEAT_OK;
}

static bool nap(const struct follow_options *options, int64_t ms) {
    for (int64_t slept = 0; slept < ms && !atomic_load(options->stop); slept += NAP_MS) {
        nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000}, NULL);
    }
    return !atomic_load(options->stop);
}

static leat_status begin_once(const struct follow_options *options, leat_error *err) {
    struct leader_line *line = NULL;
    struct json_parser *parser = NULL;
    struct lead_state state;
    leat_status status;
    TRY_OR(status, json_parser_create(&parser, err), done);
    TRY_OR(status, options->calls->open(options->calls->context, options->stop, &line, err), done);
    TRY_OR(status, follow_ask(options, line, parser, &state, err), done);
    struct follow_identity identity = {
        .leader = options->leader, .log_id = state.log_id, .salt = state.salt};
    status = follow_fetch(options, line, &identity, state.deltas_from, err);
done:
    options->calls->close(line);
    json_parser_destroy(parser);
    return status;
}

/* A leader that is not there yet is waited for. */
static leat_status begin(const struct follow_options *options, leat_error *err) {
    bool told = false;
    leat_error words = {.message = ""};
    leat_status status;
    while ((status = begin_once(options, &words)) < 0 && words.retry) {
        if (!told) {
            fprintf(stderr, "leat: waiting for the leader: %s\n", words.message);
            told = true;
        }
        if (!nap(options, RETRY_MS)) {
            return error_set(err, LEAT_CLOSED, "stopped before the leader answered");
        }
    }
    return status < 0 ? error_set(err, status, "following %s: %s", options->leader, words.message)
                      : status;
}

static leat_status prepare_locked(const struct follow_options *options, struct follow_identity *out,
                                  leat_error *err) {
    struct disk *disk = disk_of(options);
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, options->config->root.data, "FOLLOWING", err));
    TRY(install(options, err));
    *out = (struct follow_identity){.leader = options->leader};
    leat_status status = identity_read(disk, path, out, err);
    if (status != LEAT_NOT_FOUND) {
        return status;
    }
    TRY(refuse_own(options, err));
    TRY(begin(options, err));
    TRY(install(options, err));
    status = identity_read(disk, path, out, err);
    return status == LEAT_NOT_FOUND ? error_set(err, LEAT_IO, "%s is not there", path) : status;
}

leat_status follow_prepare(const struct follow_options *options, struct follow_identity *out,
                           leat_error *err) {
    struct disk *disk = disk_of(options);
    char path[PATH_BYTES_MAX];
    struct file *lock;
    TRY(disk_make_folder(disk, options->config->root.data, err));
    TRY(path_join(path, options->config->root.data, "LOCK", err));
    TRY(disk_lock(disk, path, &lock, err)); /* the engine takes it after */
    leat_status status = prepare_locked(options, out, err);
    file_close(lock);
    return status < 0 ? status : LEAT_OK;
}
