/* Frames of examples and of groups of them: refused, or splitting and grouping what is read gives
 * the same examples again. Input: a frame; its checksums are put right, so that the body is met. */
#include "base/hash.h"
#include "base/memory.h"
#include "flow/example_file.h"
#include "flow/group.h"

static struct grouping *grouping;
static struct builder *first, *second, *groups;

static void same_body(const struct batch *a, const struct batch *b) {
    size_t size = batch_body_size(a);
    INVARIANT(size == batch_body_size(b), "%zu bytes became %zu", size, batch_body_size(b));
    uint8_t *bodies = memory_zalloc(2 * size + 8);
    batch_body_write(a, bodies);
    batch_body_write(b, bodies + size);
    INVARIANT(memcmp(bodies, bodies + size, size) == 0, "%zu bytes differ", size);
    memory_free(bodies);
}

static void there_and_back(const struct batch *examples) {
    struct batch grouped;
    struct batch again;
    builder_clear(groups);
    builder_clear(second);
    INVARIANT(group_examples(grouping, examples, groups, NULL) == LEAT_OK, "grouping");
    INVARIANT(builder_finish(groups, &grouped, NULL) == LEAT_OK, "groups");
    INVARIANT(group_split(grouping, &grouped, second, NULL) == LEAT_OK, "splitting");
    INVARIANT(builder_finish(second, &again, NULL) == LEAT_OK, "examples");
    same_body(examples, &again);
}

/* What a trainer reads of a strange file is copied by way of example_get and example_add. */
static void copy_examples(const struct batch *batch) {
    for (int64_t row = 0; row < batch->rows; row++) {
        struct example example;
        example_get(batch, row, &example);
        if (example.key_count > EXAMPLE_KEYS_MAX || example.dense_count > EXAMPLE_DENSE_MAX) {
            return; /* no example of ours: there is nothing to group */
        }
    }
    for (int64_t row = 0; row < batch->rows; row++) {
        struct example example;
        example_get(batch, row, &example);
        example_add(first, &example);
    }
}

static void try_frame(uint8_t *data, size_t size) {
    struct frame frame;
    struct batch batch;
    uint32_t body_bytes = (uint32_t)(size - FRAME_HEADER_BYTES);
    uint64_t checksum = hash_bytes(data + FRAME_HEADER_BYTES, body_bytes);
    memcpy(data + 16, &body_bytes, sizeof(body_bytes));
    memcpy(data + 48, &checksum, sizeof(checksum));
    checksum = hash_bytes(data, 56);
    memcpy(data + 56, &checksum, sizeof(checksum));
    if (example_frame_read_header(data, &frame, NULL) < 0 ||
        example_frame_read_body(&frame, data + FRAME_HEADER_BYTES, &batch, NULL) < 0) {
        return;
    }
    builder_clear(first);
    if (frame.schema_id == SCHEMA_EXAMPLE) {
        copy_examples(&batch);
    } else if (group_split(grouping, &batch, first, NULL) < 0) {
        return;
    }
    if (builder_finish(first, &batch, NULL) == LEAT_OK) {
        there_and_back(&batch);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!grouping) {
        INVARIANT(grouping_create(NULL, &grouping, NULL) == LEAT_OK &&
                      builder_create(schema_example(), &first, NULL) == LEAT_OK &&
                      builder_create(schema_example(), &second, NULL) == LEAT_OK &&
                      builder_create(schema_example_group(), &groups, NULL) == LEAT_OK,
                  "no memory");
    }
    if (size < FRAME_HEADER_BYTES) {
        return 0;
    }
    uint8_t *copy = memory_alloc(size);
    memcpy(copy, data, size);
    try_frame(copy, size);
    memory_free(copy);
    return 0;
}
