#include "state/state_file.h"

#include "base/memory.h"

#include <inttypes.h>

static const char block_magic[4] = {'L', 'S', 'T', 'B'};

enum { READ_CHUNK = 1 << 20 }; /* memory follows what really arrives, not what a head promises */

/* --- writing --- */

static size_t slot_encoded(const struct slot *slot) {
    return BLOCK_RECORD_HEAD_BYTES + (size_t)slot->id_size + slot->size;
}

/* One extension a record: its room was reserved. */
static void record_encode(const struct slot *slot, struct bytes *out) {
    uint8_t *at = bytes_extend(out, slot_encoded(slot));
    if (!at) {
        return;
    }
    at[0] = slot->kind;
    at[1] = slot->id_size;
    uint32_t size = slot->size;
    memcpy(at + 2, &size, sizeof(size));
    memcpy(at + 6, &slot->due_ms, sizeof(slot->due_ms));
    memcpy(at + 14, &slot->part, sizeof(slot->part));
    memcpy(at + BLOCK_RECORD_HEAD_BYTES, slot->id, slot->id_size);
    memcpy(at + BLOCK_RECORD_HEAD_BYTES + slot->id_size, slot_data_const(slot), slot->size);
}

static void head_encode(const struct state *state, uint32_t group, uint32_t count,
                        uint64_t record_bytes, struct bytes *out) {
    size_t name_size = strlen(state->name);
    bytes_append(out, block_magic, sizeof(block_magic));
    bytes_put_u16(out, BLOCK_VERSION);
    bytes_put_u16(out, (uint16_t)name_size);
    bytes_put_u32(out, group);
    bytes_put_u32(out, state->groups);
    bytes_put_u64(out, count);
    bytes_put_u64(out, record_bytes);
    bytes_append(out, state->name, name_size);
}

leat_status state_block_items(const struct state *state, uint32_t group,
                              const struct state_group_item *items, uint32_t count,
                              struct bytes *out, leat_error *err) {
    uint64_t record_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        record_bytes += slot_encoded(items[i].slot);
    }
    size_t begin = out->size;
    /* At once, so that it fails before the work or not at all, and nothing is copied twice. */
    bytes_reserve(out, BLOCK_HEAD_BYTES + STATE_NAME_MAX + record_bytes + BLOCK_CHECKSUM_BYTES);
    if (!out->failed) {
        head_encode(state, group, count, record_bytes, out);
        for (uint32_t i = 0; i < count; i++) {
            record_encode(items[i].slot, out);
        }
        bytes_put_u64(out, hash_bytes(out->data + begin, out->size - begin));
    }
    return bytes_status(out, err);
}

leat_status state_block_encode(const struct state *state, uint32_t group, struct bytes *out,
                               leat_error *err) {
    struct state_group_item *items;
    struct arena arena;
    arena_init(&arena, SORT_BLOCK_BYTES, SIZE_MAX);
    leat_status status = state_group_sort(&state->group[group], &arena, &items, err);
    if (status >= 0) {
        status = state_block_items(state, group, items, state->group[group].count, out, err);
        memory_free(items);
    }
    arena_deinit(&arena);
    return status;
}

/* --- reading --- */

struct block_head {
    uint16_t version;
    uint16_t name_size;
    uint32_t group;
    uint32_t groups;
    uint64_t count;
    uint64_t bytes;
};

static leat_status source_pull(state_source source, void *context, struct bytes *out,
                               uint64_t count, leat_error *err) {
    while (count > 0) {
        size_t part = count < READ_CHUNK ? (size_t)count : READ_CHUNK;
        uint8_t *room = bytes_extend(out, part);
        if (!room) {
            return error_memory(err, part);
        }
        leat_status status = source(context, room, part, err);
        if (status != LEAT_OK) {
            return status < 0 ? status
                              : error_set(err, LEAT_CORRUPT,
                                          "the block ends %" PRIu64 " bytes early", count);
        }
        count -= part;
    }
    return LEAT_OK;
}

static struct block_head head_decode(const struct bytes *block) {
    struct bytes_reader reader = bytes_reader_of(block->data, block->size);
    bytes_get_raw(&reader, sizeof(block_magic));
    struct block_head head = {0};
    head.version = bytes_get_u16(&reader);
    head.name_size = bytes_get_u16(&reader);
    head.group = bytes_get_u32(&reader);
    head.groups = bytes_get_u32(&reader);
    head.count = bytes_get_u64(&reader);
    head.bytes = bytes_get_u64(&reader);
    return head;
}

static leat_status head_check(const struct state *state, uint32_t group, const struct bytes *block,
                              const struct block_head *head, leat_error *err) {
    if (memcmp(block->data, block_magic, sizeof(block_magic)) != 0) {
        return error_set(err, LEAT_CORRUPT, "not a block: it does not begin with LSTB");
    }
    if (head->version != BLOCK_VERSION) {
        return error_set(err, LEAT_CORRUPT, "block version %u, this program reads %d",
                         head->version, BLOCK_VERSION);
    }
    if (head->group != group || head->groups != state->groups) {
        return error_set(err, LEAT_CORRUPT, "block is of group %u of %u, not %u of %u", head->group,
                         head->groups, group, state->groups);
    }
    uint64_t record_max = BLOCK_RECORD_HEAD_BYTES + STATE_ID_MAX + STATE_RECORD_MAX;
    if (head->count > UINT32_MAX || head->bytes < head->count * BLOCK_RECORD_HEAD_BYTES ||
        head->bytes > head->count * record_max) {
        return error_set(err, LEAT_CORRUPT, "%" PRIu64 " records cannot have %" PRIu64 " bytes",
                         head->count, head->bytes);
    }
    return LEAT_OK;
}

static leat_status name_check(const struct state *state, struct slice name, leat_error *err) {
    if (slice_is(name, state->name)) {
        return LEAT_OK;
    }
    return error_set(err, LEAT_CORRUPT, "block is of the state '%.*s'", (int)name.size, name.data);
}

static leat_status checksum_check(const struct bytes *block, leat_error *err) {
    size_t covered = block->size - BLOCK_CHECKSUM_BYTES;
    uint64_t stored;
    memcpy(&stored, block->data + covered, sizeof(stored));
    uint64_t found = hash_bytes(block->data, covered);
    if (stored == found) {
        return LEAT_OK;
    }
    return error_set(err, LEAT_CORRUPT, "checksum %016" PRIx64 ", the bytes have %016" PRIx64,
                     stored, found);
}

bool state_block_next(struct bytes_reader *reader, struct state_record *out) {
    if (reader->failed || reader->at == reader->end) {
        return false;
    }
    out->key.kind = bytes_get_u8(reader);
    size_t id_size = bytes_get_u8(reader);
    out->size = bytes_get_u32(reader);
    out->due_ms = bytes_get_i64(reader);
    out->key.part = bytes_get_u64(reader);
    const uint8_t *id = bytes_get_raw(reader, id_size);
    out->data = bytes_get_raw(reader, out->size);
    if (reader->failed) {
        return false;
    }
    out->key.id = (struct slice){(const char *)id, id_size};
    out->key.hash = hash_slice(out->key.id);
    return true;
}

struct bytes_reader state_block_records(const struct bytes *block) {
    struct block_head head = head_decode(block);
    return bytes_reader_of(block->data + BLOCK_HEAD_BYTES + head.name_size, head.bytes);
}

static leat_status records_check(const struct state *state, uint32_t group,
                                 const struct bytes *block, uint64_t count, leat_error *err) {
    struct bytes_reader reader = state_block_records(block);
    struct state_record record;
    struct state_key previous;
    uint64_t seen = 0;
    for (; state_block_next(&reader, &record); seen++) {
        if (record.size > STATE_RECORD_MAX) {
            return error_set(err, LEAT_CORRUPT, "record %" PRIu64 " has %u bytes, at most %d fit",
                             seen, record.size, STATE_RECORD_MAX);
        }
        if (key_group_of(record.key.hash, state->groups) != group) {
            return error_set(err, LEAT_CORRUPT, "record %" PRIu64 " is of another key group", seen);
        }
        if (seen > 0 && state_order(&previous, &record.key) >= 0) {
            return error_set(err, LEAT_CORRUPT, "record %" PRIu64 " is out of order", seen);
        }
        previous = record.key;
    }
    if (reader.failed || seen != count) {
        return error_set(err, LEAT_CORRUPT, "%" PRIu64 " whole records, the head says %" PRIu64,
                         seen, count);
    }
    return LEAT_OK;
}

leat_status state_block_read(const struct state *state, uint32_t group, state_source source,
                             void *context, struct bytes *out, leat_error *err) {
    bytes_clear(out);
    TRY(source_pull(source, context, out, BLOCK_HEAD_BYTES, err));
    struct block_head head = head_decode(out);
    TRY(head_check(state, group, out, &head, err));
    TRY(source_pull(source, context, out, head.name_size, err));
    struct slice name = {(const char *)out->data + BLOCK_HEAD_BYTES, head.name_size};
    TRY(name_check(state, name, err));
    TRY(source_pull(source, context, out, head.bytes, err));
    TRY(source_pull(source, context, out, BLOCK_CHECKSUM_BYTES, err));
    TRY(checksum_check(out, err));
    return records_check(state, group, out, head.count, err);
}
