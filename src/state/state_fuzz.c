/* Checks: any bytes as a block are refused, leaving nothing, or the restored group written again is
 * the same bytes. Each input is tried as it is, and with its checksum made right. A good seed is
 * tests/golden/state_v1.block. */
#include "base/hash.h"
#include "state/state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static leat_status reader_source(void *context, void *data, size_t count, leat_error *err) {
    const uint8_t *from = bytes_get_raw(context, count);
    if (!from) {
        return error_set(err, LEAT_CORRUPT, "the source ends");
    }
    memcpy(data, from, count);
    return LEAT_OK;
}

static void block_check(const struct bytes *block) {
    struct state_options options = {.name = "fixture", .groups = 2};
    struct state *state;
    INVARIANT(state_open(&options, &state, NULL) == LEAT_OK, "no memory");
    struct bytes_reader reader = bytes_reader_of(block->data, block->size);
    leat_status status = state_restore(state, 1, reader_source, &reader, NULL);
    if (status == LEAT_OK) {
        struct bytes again;
        bytes_init(&again);
        INVARIANT(state_block_encode(state, 1, &again, NULL) == LEAT_OK, "no memory");
        size_t used = block->size - (size_t)(reader.end - reader.at);
        INVARIANT(again.size == used && memcmp(again.data, block->data, used) == 0,
                  "%zu bytes were read, %zu are written", used, again.size);
        bytes_deinit(&again);
    } else {
        INVARIANT(status == LEAT_CORRUPT, "status %d", status);
        INVARIANT(state_count(state) == 0, "%llu records of a bad block stay",
                  (unsigned long long)state_count(state));
    }
    state_close(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes block;
    bytes_init(&block);
    bytes_append(&block, data, size);
    block_check(&block);
    if (size >= BLOCK_CHECKSUM_BYTES) {
        block.size -= BLOCK_CHECKSUM_BYTES;
        bytes_put_u64(&block, hash_bytes(block.data, block.size));
        block_check(&block);
    }
    bytes_deinit(&block);
    return 0;
}
