/* Checks: bytes given as the stream of a checkpoint are refused, with words, or leave one that
 * opens; and no name leads out of the folder. Heads have a checksum, so the first byte of the input
 * says whether to put right that of the first head. A good seed is
 * tests/golden/checkpoint_ship_v1.bin behind a byte 0. */
#include "base/disk_fake.h"
#include "base/hash.h"
#include "state/checkpoint_ship.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(struct bytes *bytes) {
    uint16_t name;
    if (bytes->size < 32) {
        return;
    }
    memcpy(&name, bytes->data + 6, sizeof(name));
    if (bytes->size - 32 < name) {
        return;
    }
    uint64_t checksum = hash_mix(hash_bytes(bytes->data, 24), hash_bytes(bytes->data + 32, name));
    memcpy(bytes->data + 24, &checksum, sizeof(checksum));
}

static leat_status name_check(void *context, const char *name) {
    (void)context;
    INVARIANT(strcmp(name, "in") == 0, "'%s' stands outside", name);
    return LEAT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes bytes;
    struct disk_fake *fake;
    struct checkpoint_receive *receive;
    if (size == 0 || disk_fake_create(1, &fake, NULL) < 0) {
        return 0;
    }
    struct disk *disk = disk_fake_disk(fake);
    disk_make_folder(disk, "in", NULL);
    bytes_init(&bytes);
    bytes_append(&bytes, data + 1, size - 1);
    if (data[0] & 1) {
        mend(&bytes);
    }
    leat_error err = {.message = ""};
    uint64_t sequence;
    INVARIANT(checkpoint_receive_open(disk, "in/checkpoints", &receive, NULL) == LEAT_OK, "open");
    leat_status status = checkpoint_receive_push(receive, bytes.data, bytes.size, &err);
    if (status == LEAT_OK) {
        status = checkpoint_receive_end(receive, &sequence, &err);
    }
    checkpoint_receive_close(receive);
    INVARIANT(status == LEAT_OK || err.message[0], "refused without words");
    if (status == LEAT_OK) {
        struct checkpoint *checkpoint;
        status = checkpoint_open(disk, "in/checkpoints", sequence, &checkpoint, NULL);
        INVARIANT(status == LEAT_OK, "status %d", status);
        checkpoint_close(checkpoint);
    }
    disk_list(disk, "", name_check, NULL, NULL);
    bytes_deinit(&bytes);
    disk_fake_destroy(fake);
    return 0;
}
