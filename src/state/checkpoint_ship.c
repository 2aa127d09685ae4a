#include "state/checkpoint_ship.h"

#include "base/hash.h"
#include "base/memory.h"
#include "state/checkpoint_reader.h"

#include <inttypes.h>

#define SHIP_MAGIC 0x7068736Cu
enum {
    SHIP_VERSION = 1,
    SHIP_HEAD_BYTES = 32,
    SHIP_CHECKED_BYTES = 24,
    SHIP_NAME_MAX = CHECKPOINT_FILE_MAX,
    SHIP_FILES_MAX = MANIFEST_FILES_MAX + CHECKPOINT_PARTS_MAX + 1,
    OPEN_ATTEMPTS = 5, /* each time a newer one took its place */
};

/* --- sending --- */

struct sent_file {
    struct file *file;
    uint64_t sequence, bytes;
    char name[SHIP_NAME_MAX];
};

struct checkpoint_send {
    struct disk *disk;
    uint64_t sequence;
    uint64_t bytes;
    struct sent_file *files;
    int count, capacity;
    int at;              /* the file at hand */
    struct bytes head;   /* of the file at hand */
    size_t head_at;      /* of which so much was given out */
    uint64_t content_at; /* and so much of its content */
};

static leat_status send_add(struct checkpoint_send *send, const char *folder, const char *name,
                            uint64_t sequence, leat_error *err) {
    for (int i = 0; i < send->count; i++) {
        if (send->files[i].sequence == sequence && strcmp(send->files[i].name, name) == 0) {
            return LEAT_OK;
        }
    }
    if (send->count == send->capacity) {
        int capacity = send->capacity * 2 + 16;
        void *files = memory_resize(send->files, (size_t)capacity * sizeof(*send->files));
        if (!files) {
            return error_memory(err, (size_t)capacity * sizeof(*send->files));
        }
        send->files = files;
        send->capacity = capacity;
    }
    char path[PATH_BYTES_MAX], full[PATH_BYTES_MAX];
    struct sent_file *added = &send->files[send->count];
    *added = (struct sent_file){.sequence = sequence};
    snprintf(added->name, sizeof(added->name), "%s", name);
    TRY(checkpoint_path(path, folder, sequence, err));
    TRY(path_join(full, path, name, err));
    leat_status status = file_open(send->disk, full, FILE_READ, &added->file, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_CORRUPT, "%s: the file is missing", full);
    }
    send->count++;
    TRY(file_size(added->file, &added->bytes, err));
    send->bytes += SHIP_HEAD_BYTES + strlen(name) + added->bytes;
    return LEAT_OK;
}

static leat_status send_add_all(struct checkpoint_send *send, const struct checkpoint *checkpoint,
                                leat_error *err) {
    const struct manifest *manifest = &checkpoint->manifest;
    for (int p = 0; p < manifest->part_count; p++) {
        const struct manifest_part *part = &manifest->parts[p];
        for (int f = 0; f <= part->file_count; f++) {
            struct pages_file file = checkpoint_file_of(checkpoint, part, f);
            char name[CHECKPOINT_FILE_MAX];
            checkpoint_file_name(name, part->name, file.generation);
            TRY(send_add(send, checkpoint->folder, name, file.sequence, err));
        }
    }
    send->sequence = manifest->identity.sequence;
    return send_add(send, checkpoint->folder, MANIFEST_NAME, send->sequence, err);
}

static void send_clear(struct checkpoint_send *send) {
    for (int i = 0; i < send->count; i++) {
        file_close(send->files[i].file);
    }
    send->count = 0;
    send->bytes = 0;
}

static leat_status send_begin(struct checkpoint_send *send, const char *folder, leat_error *err) {
    struct checkpoint *checkpoint;
    leat_status status = checkpoint_newest(send->disk, folder, &checkpoint, NULL, err);
    if (status != LEAT_OK) {
        return status;
    }
    status = send_add_all(send, checkpoint, err);
    checkpoint_close(checkpoint);
    return status;
}

leat_status checkpoint_send_open(struct disk *disk, const char *folder,
                                 struct checkpoint_send **out, leat_error *err) {
    struct checkpoint_send *send = memory_zalloc(sizeof(*send));
    if (!send) {
        return error_memory(err, sizeof(*send));
    }
    send->disk = disk;
    bytes_init(&send->head);
    leat_status status = LEAT_CORRUPT;
    for (int i = 0; i < OPEN_ATTEMPTS && status == LEAT_CORRUPT; i++) {
        send_clear(send);
        status = send_begin(send, folder, err);
    }
    if (status != LEAT_OK) {
        checkpoint_send_close(send);
        return status;
    }
    *out = send;
    return LEAT_OK;
}

uint64_t checkpoint_send_sequence(const struct checkpoint_send *send) {
    return send->sequence;
}

uint64_t checkpoint_send_bytes(const struct checkpoint_send *send) {
    return send->bytes;
}

static void head_write(const struct sent_file *file, struct bytes *out) {
    struct slice name = slice_of(file->name);
    bytes_clear(out);
    bytes_put_u32(out, SHIP_MAGIC);
    bytes_put_u16(out, SHIP_VERSION);
    bytes_put_u16(out, (uint16_t)name.size);
    bytes_put_u64(out, file->sequence);
    bytes_put_u64(out, file->bytes);
    uint64_t checksum =
        out->failed ? 0 : hash_mix(hash_bytes(out->data, SHIP_CHECKED_BYTES), hash_slice(name));
    bytes_put_u64(out, checksum);
    bytes_append(out, name.data, name.size);
}

leat_status checkpoint_send_read(struct checkpoint_send *send, void *data, size_t count,
                                 size_t *got, leat_error *err) {
    *got = 0;
    while (send->at < send->count && *got == 0 && count > 0) {
        const struct sent_file *file = &send->files[send->at];
        if (send->head.size == 0) {
            head_write(file, &send->head);
            TRY(bytes_status(&send->head, err));
        }
        size_t left = send->head.size - send->head_at;
        if (left > 0) {
            *got = left < count ? left : count;
            memcpy(data, send->head.data + send->head_at, *got);
            send->head_at += *got;
            return LEAT_OK;
        }
        uint64_t rest = file->bytes - send->content_at;
        if (rest > 0) {
            size_t wanted = rest < count ? (size_t)rest : count;
            TRY(file_read(file->file, data, wanted, send->content_at, got, err));
            send->content_at += *got;
            return *got > 0 ? LEAT_OK
                            : error_set(err, LEAT_CORRUPT, "%s: the file was cut", file->name);
        }
        send->at++;
        send->head_at = 0;
        send->content_at = 0;
        bytes_clear(&send->head);
    }
    return LEAT_OK;
}

void checkpoint_send_close(struct checkpoint_send *send) {
    if (send) {
        send_clear(send);
        bytes_deinit(&send->head);
        memory_free(send->files);
        memory_free(send);
    }
}

/* --- receiving --- */

struct checkpoint_receive {
    struct disk *disk;
    char folder[PATH_BYTES_MAX];
    char inside[PATH_BYTES_MAX]; /* the folder of the file at hand */
    uint8_t head[SHIP_HEAD_BYTES + SHIP_NAME_MAX];
    size_t head_size; /* what came of it */
    struct file *file;
    struct bytes manifest; /* kept until all else is there */
    bool is_manifest, ended;
    uint64_t sequence, bytes, at; /* of the file at hand; `at`: of its content */
    int files;
};

leat_status checkpoint_receive_open(struct disk *disk, const char *folder,
                                    struct checkpoint_receive **out, leat_error *err) {
    TRY(disk_make_folder(disk, folder, err));
    struct checkpoint_receive *receive = memory_zalloc(sizeof(*receive));
    if (!receive) {
        return error_memory(err, sizeof(*receive));
    }
    receive->disk = disk;
    snprintf(receive->folder, sizeof(receive->folder), "%s", folder);
    bytes_init(&receive->manifest);
    *out = receive;
    return LEAT_OK;
}

static leat_status refuse(const char *why, leat_error *err) {
    return error_set(err, LEAT_CORRUPT, "the stream of a checkpoint: %s", why);
}

static size_t name_size(const struct checkpoint_receive *receive) {
    uint16_t size;
    memcpy(&size, receive->head + 6, sizeof(size));
    return size;
}

/* Names of parts, with or without a generation, and the manifest's: none leads out of the folder.
 */
static bool name_fits(struct slice name) {
    bool manifest = slice_is(name, MANIFEST_NAME);
    return name.size > 0 && name.size < SHIP_NAME_MAX && (manifest || name.data[0] != '.') &&
           (manifest || manifest_name_valid(name));
}

/* The fixed part is there: what follows is known to be a name of that size. */
static leat_status head_check_fixed(const struct checkpoint_receive *receive, leat_error *err) {
    uint32_t magic;
    uint16_t version;
    memcpy(&magic, receive->head, sizeof(magic));
    memcpy(&version, receive->head + 4, sizeof(version));
    if (magic != SHIP_MAGIC) {
        return refuse("it is none, or was damaged on its way", err);
    }
    if (version != SHIP_VERSION) {
        return error_set(err, LEAT_UNSUPPORTED,
                         "the stream of a checkpoint: version %u, this leat reads %d", version,
                         SHIP_VERSION);
    }
    size_t size = name_size(receive);
    return size > 0 && size < SHIP_NAME_MAX ? LEAT_OK : refuse("a name of no possible size", err);
}

static leat_status file_begin(struct checkpoint_receive *receive, struct slice name,
                              leat_error *err) {
    char path[PATH_BYTES_MAX], text[SHIP_NAME_MAX];
    TRY(checkpoint_path(receive->inside, receive->folder, receive->sequence, err));
    TRY(disk_make_folder(receive->disk, receive->inside, err));
    receive->is_manifest = slice_is(name, MANIFEST_NAME);
    if (receive->is_manifest) {
        return receive->bytes <= MANIFEST_BYTES_MAX ? LEAT_OK
                                                    : refuse("its manifest is too long", err);
    }
    snprintf(text, sizeof(text), "%.*s", (int)name.size, name.data);
    TRY(path_join(path, receive->inside, text, err));
    TRY(file_open(receive->disk, path, FILE_WRITE, &receive->file, err));
    return file_truncate(receive->file, 0, err);
}

static leat_status head_end(struct checkpoint_receive *receive, leat_error *err) {
    struct slice name = {(const char *)receive->head + SHIP_HEAD_BYTES, name_size(receive)};
    uint64_t checksum;
    memcpy(&receive->sequence, receive->head + 8, sizeof(receive->sequence));
    memcpy(&receive->bytes, receive->head + 16, sizeof(receive->bytes));
    memcpy(&checksum, receive->head + SHIP_CHECKED_BYTES, sizeof(checksum));
    if (checksum != hash_mix(hash_bytes(receive->head, SHIP_CHECKED_BYTES), hash_slice(name)) ||
        !name_fits(name)) {
        return refuse("a file's head is damaged", err);
    }
    if (receive->ended || ++receive->files > SHIP_FILES_MAX) {
        return refuse("files follow its manifest, or are too many", err);
    }
    receive->at = 0;
    return file_begin(receive, name, err);
}

static leat_status file_end(struct checkpoint_receive *receive, leat_error *err) {
    receive->head_size = 0;
    if (receive->is_manifest) {
        receive->ended = true;
        return LEAT_OK;
    }
    TRY(file_sync(receive->file, err));
    file_close(receive->file);
    receive->file = NULL;
    return disk_sync_folder(receive->disk, receive->inside, err);
}

/* Takes what belongs to the head of the next file. */
static leat_status push_head(struct checkpoint_receive *receive, const uint8_t **data,
                             size_t *count, leat_error *err) {
    size_t fixed = SHIP_HEAD_BYTES;
    size_t wanted = receive->head_size < fixed ? fixed : fixed + name_size(receive);
    size_t size = wanted - receive->head_size < *count ? wanted - receive->head_size : *count;
    memcpy(receive->head + receive->head_size, *data, size);
    receive->head_size += size;
    *data += size;
    *count -= size;
    if (receive->head_size == fixed) {
        return head_check_fixed(receive, err);
    }
    return receive->head_size == wanted && wanted > fixed ? head_end(receive, err) : LEAT_OK;
}

static bool head_whole(const struct checkpoint_receive *receive) {
    return receive->head_size > SHIP_HEAD_BYTES &&
           receive->head_size == SHIP_HEAD_BYTES + name_size(receive);
}

leat_status checkpoint_receive_push(void *context, const void *data, size_t count,
                                    leat_error *err) {
    struct checkpoint_receive *receive = context;
    const uint8_t *at = data;
    while (count > 0 || (head_whole(receive) && receive->at == receive->bytes)) {
        if (!head_whole(receive)) {
            TRY(push_head(receive, &at, &count, err));
            continue;
        }
        uint64_t left = receive->bytes - receive->at;
        size_t size = left < count ? (size_t)left : count;
        if (receive->is_manifest) {
            bytes_append(&receive->manifest, at, size);
        } else if (size > 0) {
            TRY(file_write(receive->file, at, size, receive->at, err));
        }
        receive->at += size;
        at += size;
        count -= size;
        if (receive->at == receive->bytes) {
            TRY(file_end(receive, err));
        }
    }
    return LEAT_OK;
}

leat_status checkpoint_receive_end(struct checkpoint_receive *receive, uint64_t *sequence,
                                   leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct checkpoint *checkpoint;
    if (!receive->ended || receive->head_size > 0) {
        return refuse("it ended early", err);
    }
    TRY(bytes_status(&receive->manifest, err));
    TRY(path_join(path, receive->inside, MANIFEST_NAME, err));
    TRY(disk_sync_folder(receive->disk, receive->folder, err));
    TRY(disk_put(receive->disk, path, receive->manifest.data, receive->manifest.size, err));
    leat_status status =
        checkpoint_open(receive->disk, receive->folder, receive->sequence, &checkpoint, err);
    TRY(status);
    if (status != LEAT_OK) {
        return refuse("it is not there after all", err);
    }
    checkpoint_close(checkpoint);
    *sequence = receive->sequence;
    return LEAT_OK;
}

void checkpoint_receive_close(struct checkpoint_receive *receive) {
    if (receive) {
        file_close(receive->file);
        bytes_deinit(&receive->manifest);
        memory_free(receive);
    }
}
