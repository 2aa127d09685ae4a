/* A checkpoint on its way to another disk. With --write-golden the golden file is written anew. */
#include "base/disk_fake.h"
#include "base/rng.h"
#include "base/test.h"
#include "state/checkpoint_ship.h"

#define GOLDEN LEAT_SOURCE_DIR "/tests/golden/checkpoint_ship_v1.bin"
#define FOLDER "checkpoints"
enum { SEQUENCE = 4711 };

static struct disk_fake *disk_make(void) {
    struct disk_fake *fake;
    assert_int_equal(disk_fake_create(1, &fake, NULL), LEAT_OK);
    return fake;
}

static void sample_write(struct disk *disk, uint64_t sequence) {
    struct checkpoint_identity identity = {
        .log_id = 7, .sequence = sequence, .key_groups = 128, .now_ms = 1700000000000};
    struct checkpoint_writer *writer;
    assert_int_equal(checkpoint_begin(disk, FOLDER, &identity, NULL, &writer, NULL), LEAT_OK);
    assert_int_equal(checkpoint_part(writer, "model", NULL), LEAT_OK);
    assert_int_equal(checkpoint_write(writer, "weights and rows", 16, NULL), LEAT_OK);
    assert_int_equal(checkpoint_part(writer, "empty", NULL), LEAT_OK);
    assert_int_equal(checkpoint_part(writer, "other.part", NULL), LEAT_OK);
    assert_int_equal(checkpoint_write(writer, "more", 4, NULL), LEAT_OK);
    checkpoint_note(writer, "kernel", "scalar");
    assert_int_equal(checkpoint_commit(writer, NULL), LEAT_OK);
}

/* The stream of a sample, asked for in pieces. */
static void sample_send(struct disk *disk, size_t piece, struct bytes *out) {
    struct checkpoint_send *send;
    uint8_t data[4096];
    size_t got;
    assert_true(piece <= sizeof(data));
    assert_int_equal(checkpoint_send_open(disk, FOLDER, &send, NULL), LEAT_OK);
    assert_int_equal(checkpoint_send_sequence(send), SEQUENCE);
    do {
        assert_int_equal(checkpoint_send_read(send, data, piece, &got, NULL), LEAT_OK);
        bytes_append(out, data, got);
    } while (got > 0);
    assert_int_equal(checkpoint_send_bytes(send), out->size);
    checkpoint_send_close(send);
}

static void sample_stream(struct bytes *out) {
    struct disk_fake *fake = disk_make();
    sample_write(disk_fake_disk(fake), SEQUENCE);
    sample_send(disk_fake_disk(fake), 4096, out);
    disk_fake_destroy(fake);
}

static leat_status stream_receive(struct disk *disk, const uint8_t *data, size_t size,
                                  struct rng *rng) {
    struct checkpoint_receive *receive;
    uint64_t sequence = 0;
    leat_status status = LEAT_OK;
    assert_int_equal(checkpoint_receive_open(disk, FOLDER, &receive, NULL), LEAT_OK);
    for (size_t at = 0; at < size && status == LEAT_OK;) {
        size_t count = 1 + (rng ? rng_below(rng, 60) : size);
        count = count < size - at ? count : size - at;
        status = checkpoint_receive_push(receive, data + at, count, NULL);
        at += count;
    }
    if (status == LEAT_OK) {
        status = checkpoint_receive_end(receive, &sequence, NULL);
        assert_true(status < 0 || sequence == SEQUENCE);
    }
    checkpoint_receive_close(receive);
    return status;
}

static void part_verify(struct checkpoint *checkpoint, const char *name, const char *content) {
    char data[100];
    assert_int_equal(checkpoint_read_part(checkpoint, name, NULL), LEAT_OK);
    assert_int_equal(checkpoint_read(checkpoint, data, strlen(content), NULL), LEAT_OK);
    assert_memory_equal(data, content, strlen(content));
    assert_int_equal(checkpoint_read_end(checkpoint, NULL), LEAT_OK);
}

static void sample_verify(struct disk *disk) {
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_newest(disk, FOLDER, &checkpoint, NULL, NULL), LEAT_OK);
    assert_int_equal(checkpoint_about(checkpoint)->sequence, SEQUENCE);
    part_verify(checkpoint, "model", "weights and rows");
    part_verify(checkpoint, "empty", "");
    part_verify(checkpoint, "other.part", "more");
    assert_string_equal(checkpoint_get_note(checkpoint, "kernel"), "scalar");
    checkpoint_close(checkpoint);
}

static void test_what_is_sent_arrives(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    for (size_t piece = 1; piece < 300; piece = piece * 2 + 1) {
        struct bytes stream;
        struct disk_fake *from = disk_make(), *to = disk_make();
        bytes_init(&stream);
        sample_write(disk_fake_disk(from), SEQUENCE - 1);
        sample_write(disk_fake_disk(from), SEQUENCE);
        sample_send(disk_fake_disk(from), piece, &stream);
        assert_int_equal(stream_receive(disk_fake_disk(to), stream.data, stream.size, &rng),
                         LEAT_OK);
        assert_int_equal(disk_sync_folder(disk_fake_disk(to), "/", NULL), LEAT_OK);
        disk_fake_restart(to); /* it is durable */
        sample_verify(disk_fake_disk(to));
        bytes_deinit(&stream);
        disk_fake_destroy(to);
        disk_fake_destroy(from);
    }
}

static void test_without_one(void **state) {
    (void)state;
    struct disk_fake *fake = disk_make();
    struct checkpoint_send *send;
    assert_int_equal(checkpoint_send_open(disk_fake_disk(fake), FOLDER, &send, NULL),
                     LEAT_NOT_FOUND);
    disk_fake_destroy(fake);
}

/* The files are open: that they are removed and a newer one is made changes nothing. */
static void test_removed_meanwhile(void **state) {
    (void)state;
    struct disk_fake *fake = disk_make();
    struct disk *disk = disk_fake_disk(fake);
    struct checkpoint_send *send;
    uint8_t data[4096];
    size_t got;
    struct bytes stream;
    bytes_init(&stream);
    sample_write(disk, SEQUENCE);
    assert_int_equal(checkpoint_send_open(disk, FOLDER, &send, NULL), LEAT_OK);
    sample_write(disk, SEQUENCE + 1);
    assert_int_equal(checkpoint_clean(disk, FOLDER, 1, NULL), LEAT_OK);
    do {
        assert_int_equal(checkpoint_send_read(send, data, sizeof(data), &got, NULL), LEAT_OK);
        bytes_append(&stream, data, got);
    } while (got > 0);
    checkpoint_send_close(send);
    struct disk_fake *to = disk_make();
    assert_int_equal(stream_receive(disk_fake_disk(to), stream.data, stream.size, NULL), LEAT_OK);
    sample_verify(disk_fake_disk(to));
    disk_fake_destroy(to);
    bytes_deinit(&stream);
    disk_fake_destroy(fake);
}

/* A stream that ends early, or whose heads are damaged, leaves no checkpoint; damage of a content
 * shows when it is read. */
static void test_damage_is_refused(void **state) {
    (void)state;
    struct bytes stream;
    bytes_init(&stream);
    sample_stream(&stream);
    for (size_t size = 0; size < stream.size; size += 3) {
        struct disk_fake *to = disk_make();
        struct checkpoint *checkpoint;
        assert_int_equal(stream_receive(disk_fake_disk(to), stream.data, size, NULL), LEAT_CORRUPT);
        assert_int_equal(checkpoint_newest(disk_fake_disk(to), FOLDER, &checkpoint, NULL, NULL),
                         LEAT_NOT_FOUND);
        disk_fake_destroy(to);
    }
    for (size_t bit = 0; bit < 37 * 8; bit++) { /* the first head and its name */
        struct disk_fake *to = disk_make();
        stream.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        leat_status status = stream_receive(disk_fake_disk(to), stream.data, stream.size, NULL);
        assert_true(status == LEAT_CORRUPT || status == LEAT_UNSUPPORTED);
        stream.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        disk_fake_destroy(to);
    }
    bytes_deinit(&stream);
}

static void test_golden(void **state) {
    (void)state;
    struct bytes made, golden;
    bytes_init(&made);
    bytes_init(&golden);
    sample_stream(&made);
    assert_int_equal(disk_get(disk_real(), GOLDEN, 1 << 20, &golden, NULL), LEAT_OK);
    assert_int_equal(made.size, golden.size);
    assert_memory_equal(made.data, golden.data, made.size);
    bytes_deinit(&golden);
    bytes_deinit(&made);
}

static int write_golden(void) {
    struct bytes made;
    bytes_init(&made);
    sample_stream(&made);
    leat_status status = disk_put(disk_real(), GOLDEN, made.data, made.size, NULL);
    bytes_deinit(&made);
    return status < 0;
}

int main(int count, char **args) {
    if (count == 2 && strcmp(args[1], "--write-golden") == 0) {
        return write_golden();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_sent_arrives),
        cmocka_unit_test(test_without_one),
        cmocka_unit_test(test_removed_meanwhile),
        cmocka_unit_test(test_damage_is_refused),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
