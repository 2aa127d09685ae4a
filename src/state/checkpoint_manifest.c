#include "state/checkpoint_manifest.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

#include <inttypes.h>

bool manifest_name_valid(struct slice name) {
    if (name.size == 0 || name.size > CHECKPOINT_NAME_MAX || name.data[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
              c == '-')) {
            return false;
        }
    }
    return true;
}

bool manifest_value_valid(struct slice value) {
    if (value.size >= MANIFEST_VALUE_MAX) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < ' ' || value.data[i] > '~') {
            return false;
        }
    }
    return true;
}

const struct manifest_part *manifest_part_find(const struct manifest *manifest, const char *name) {
    for (int i = 0; i < manifest->part_count; i++) {
        if (strcmp(manifest->parts[i].name, name) == 0) {
            return &manifest->parts[i];
        }
    }
    return NULL;
}

static void part_encode(const struct manifest *manifest, const struct manifest_part *part,
                        struct bytes *out) {
    if (!part->pages) {
        bytes_printf(out, "part %s %" PRIu64 " %016" PRIx64 "\n", part->name, part->bytes,
                     part->hash);
        return;
    }
    bytes_printf(out, "pages %s %" PRIu64 " %016" PRIx64 " %" PRIu64 "\n", part->name, part->bytes,
                 part->hash, part->version);
    for (int i = 0; i < part->file_count; i++) {
        const struct pages_file *file = &manifest->files[part->file_first + i];
        bytes_printf(out, "uses %020" PRIu64 " %" PRIu32 " %" PRIu64 "\n", file->sequence,
                     file->generation, file->bytes);
    }
}

void manifest_encode(const struct manifest *manifest, struct bytes *out) {
    const struct checkpoint_identity *identity = &manifest->identity;
    size_t begin = out->size;
    bytes_printf(out, "leat checkpoint %d\nlog %" PRIu32 "\nsequence %" PRIu64 "\n",
                 manifest->version, identity->log_id, identity->sequence);
    if (manifest->version > 1) {
        bytes_printf(out, "generation %" PRIu32 "\n", manifest->generation);
    }
    bytes_printf(out, "key_groups %" PRIu32 "\nnow_ms %" PRId64 "\n", identity->key_groups,
                 identity->now_ms);
    for (int i = 0; i < manifest->part_count; i++) {
        part_encode(manifest, &manifest->parts[i], out);
    }
    for (int i = 0; i < manifest->note_count; i++) {
        bytes_printf(out, "note %s %s\n", manifest->notes[i].key, manifest->notes[i].value);
    }
    if (!out->failed) {
        bytes_printf(out, "xxh3 %016" PRIx64 "\n",
                     hash_bytes(out->data + begin, out->size - begin));
    }
}

/* --- reading --- */

/* Takes the text up to the next `end` off the front; false if there is none. */
static bool text_take(struct slice *text, char end, struct slice *out) {
    const char *at = text->size ? memchr(text->data, end, text->size) : NULL;
    if (!at) {
        return false;
    }
    *out = (struct slice){text->data, (size_t)(at - text->data)};
    text->size -= out->size + 1;
    text->data = at + 1;
    return true;
}

static bool hex_read(struct slice text, uint64_t *out) {
    if (text.size != 16) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        *out = *out << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
}

/* With the zeros in front that text_to_u64 does not take. */
static bool digits_read(struct slice text, uint64_t *out) {
    while (text.size > 1 && text.data[0] == '0') {
        text.data++;
        text.size--;
    }
    return text_to_u64(text, out);
}

static bool u32_read(struct slice text, uint32_t *out) {
    uint64_t value;
    if (!text_to_u64(text, &value) || value > UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

/* The beginning of both kinds of parts: name and bytes. NULL: not as it should be. */
static struct manifest_part *part_begin(struct slice *line, struct manifest *out) {
    struct slice name;
    struct slice bytes;
    if (out->part_count == CHECKPOINT_PARTS_MAX || !text_take(line, ' ', &name) ||
        !manifest_name_valid(name) || !text_take(line, ' ', &bytes)) {
        return NULL;
    }
    struct manifest_part *part = &out->parts[out->part_count];
    memcpy(part->name, name.data, name.size);
    if (manifest_part_find(out, part->name) || checkpoint_file_generation(part->name) > 0 ||
        !text_to_u64(bytes, &part->bytes)) {
        return NULL;
    }
    return part;
}

static bool part_read(struct slice line, struct manifest *out) {
    struct manifest_part *part = part_begin(&line, out);
    if (!part || !hex_read(line, &part->hash)) {
        return false;
    }
    out->part_count++;
    return true;
}

static bool pages_read(struct slice line, struct manifest *out) {
    struct manifest_part *part = part_begin(&line, out);
    struct slice hash;
    if (!part || out->version < 2 || !text_take(&line, ' ', &hash) ||
        !hex_read(hash, &part->hash) || !text_to_u64(line, &part->version)) {
        return false;
    }
    part->pages = true;
    part->file_first = out->file_count;
    out->part_count++;
    return true;
}

static bool uses_read(struct slice line, struct manifest *out) {
    struct manifest_part *part = out->part_count ? &out->parts[out->part_count - 1] : NULL;
    struct slice sequence;
    struct slice generation;
    if (!part || !part->pages || part->file_count == PAGES_FILES_MAX - 1 ||
        out->file_count == MANIFEST_FILES_MAX || !text_take(&line, ' ', &sequence) ||
        sequence.size != CHECKPOINT_DIGITS || !text_take(&line, ' ', &generation)) {
        return false;
    }
    struct pages_file *file = &out->files[out->file_count];
    if (!digits_read(sequence, &file->sequence) || !u32_read(generation, &file->generation) ||
        !text_to_u64(line, &file->bytes)) {
        return false;
    }
    part->file_count++;
    out->file_count++;
    return true;
}

static bool note_read(struct slice line, struct manifest *out) {
    struct slice key;
    if (out->note_count == MANIFEST_NOTES_MAX || !text_take(&line, ' ', &key) ||
        !manifest_name_valid(key) || !manifest_value_valid(line)) {
        return false;
    }
    struct manifest_note *note = &out->notes[out->note_count++];
    memcpy(note->key, key.data, key.size);
    memcpy(note->value, line.data, line.size);
    return true;
}

static bool line_read(struct slice line, struct manifest *out) {
    struct checkpoint_identity *identity = &out->identity;
    struct slice word;
    if (!text_take(&line, ' ', &word)) {
        return false;
    }
    if (slice_is(word, "leat")) {
        out->version = slice_is(line, "checkpoint 2") ? 2 : 1;
        return out->version == 2 || slice_is(line, "checkpoint 1");
    }
    if (slice_is(word, "generation")) {
        return u32_read(line, &out->generation);
    }
    if (slice_is(word, "log")) {
        return u32_read(line, &identity->log_id);
    }
    if (slice_is(word, "sequence")) {
        return text_to_u64(line, &identity->sequence);
    }
    if (slice_is(word, "key_groups")) {
        return u32_read(line, &identity->key_groups);
    }
    if (slice_is(word, "now_ms")) {
        return text_to_i64(line, &identity->now_ms);
    }
    if (slice_is(word, "part")) {
        return part_read(line, out);
    }
    if (slice_is(word, "pages")) {
        return pages_read(line, out);
    }
    if (slice_is(word, "uses")) {
        return uses_read(line, out);
    }
    uint64_t hash;
    return slice_is(word, "note") ? note_read(line, out)
                                  : slice_is(word, "xxh3") && hex_read(line, &hash);
}

/* What was read must be written the same: that is order, spelling, completeness and checksum. */
static leat_status manifest_compare(const struct manifest *manifest, struct slice text,
                                    leat_error *err) {
    struct bytes again;
    bytes_init(&again);
    manifest_encode(manifest, &again);
    leat_status status = bytes_status(&again, err);
    if (status == LEAT_OK &&
        !slice_equal((struct slice){(const char *)again.data, again.size}, text)) {
        status = error_set(err, LEAT_CORRUPT, "the manifest is damaged, or not as leat writes it");
    }
    bytes_deinit(&again);
    return status;
}

leat_status manifest_decode(struct slice text, struct manifest *out, leat_error *err) {
    memset(out, 0, sizeof(*out));
    struct slice rest = text;
    struct slice line;
    for (int number = 1; rest.size > 0; number++) {
        if (!text_take(&rest, '\n', &line) || !line_read(line, out)) {
            return error_set(err, LEAT_CORRUPT, "line %d of the manifest is not understood",
                             number);
        }
    }
    return manifest_compare(out, text, err);
}

/* --- folders and files --- */

leat_status checkpoint_path(char out[PATH_BYTES_MAX], const char *folder, uint64_t sequence,
                            leat_error *err) {
    char name[CHECKPOINT_DIGITS + 1];
    snprintf(name, sizeof(name), "%020" PRIu64, sequence);
    return path_join(out, folder, name, err);
}

void checkpoint_file_name(char out[CHECKPOINT_FILE_MAX], const char *part, uint32_t generation) {
    if (generation == 0) {
        snprintf(out, CHECKPOINT_FILE_MAX, "%s", part);
    } else {
        snprintf(out, CHECKPOINT_FILE_MAX, "%s.g%" PRIu32, part, generation);
    }
}

uint32_t checkpoint_file_generation(const char *name) {
    const char *dot = strrchr(name, '.');
    uint32_t generation = 0;
    bool found = dot && dot[1] == 'g' && u32_read(slice_of(dot + 2), &generation);
    return found ? generation : 0;
}

leat_status checkpoint_file_path(char out[PATH_BYTES_MAX], const char *folder, const char *part,
                                 const struct pages_file *file, leat_error *err) {
    char path[PATH_BYTES_MAX];
    char name[CHECKPOINT_FILE_MAX];
    TRY(checkpoint_path(path, folder, file->sequence, err));
    checkpoint_file_name(name, part, file->generation);
    return path_join(out, path, name, err);
}
