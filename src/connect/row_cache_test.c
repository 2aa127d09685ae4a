#include "base/memory.h"
#include "connect/connect_fixture.h"
#include "connect/row_cache.h"
#include "connect/row_cache_fixture.h"

#include <stdlib.h>

enum { BLOCKS = 40, ROWS = 50, KINDS = 16 };

static const char PATH[] = FIXTURE_FOLDER "/rows.cache";

static struct row_cache_shape shape_of(int tasks, int dense) {
    return (struct row_cache_shape){tasks, dense, 77, slice_of("user item y")};
}

static int rows_of(int block) {
    return block % 7 == 3 ? 1 : ROWS - block % 3;
}

/* Every mix of what a block may have comes out as it went in. */
static void assert_same_rows(const struct minibatch *rows, const uint64_t *numbers,
                             const struct row_batch *batch) {
    struct minibatch wanted = row_batch_view(batch);
    size_t tasks = (size_t)(rows->count * rows->tasks);
    size_t keys = batch->key_count;
    assert_int_equal(rows->count, wanted.count);
    assert_memory_equal(rows->offsets, wanted.offsets,
                        ((size_t)rows->count + 1) * sizeof(uint32_t));
    assert_memory_equal(rows->keys, wanted.keys, keys * sizeof(uint64_t));
    assert_int_equal(rows->values != NULL, wanted.values != NULL);
    if (rows->values) {
        assert_memory_equal(rows->values, wanted.values, keys * sizeof(float));
    }
    assert_memory_equal(rows->targets, wanted.targets, tasks * sizeof(float));
    assert_memory_equal(rows->weights, wanted.weights, tasks * sizeof(float));
    if (rows->dense_count) {
        assert_memory_equal(rows->dense, wanted.dense,
                            (size_t)(rows->count * rows->dense_count) * sizeof(float));
    }
    if (wanted.times) {
        assert_memory_equal(rows->times, wanted.times, (size_t)rows->count * sizeof(uint32_t));
    }
    assert_memory_equal(numbers, batch->numbers, (size_t)rows->count * sizeof(uint64_t));
}

static void read_back(struct disk *disk, int tasks, int dense, bool timed) {
    struct row_cache *cache;
    struct row_batch batch;
    struct rng rng;
    uint64_t number = 5;
    uint64_t examples = 0;
    rng_init(&rng, 9);
    assert_int_equal(row_cache_open(disk, PATH, &cache, NULL), LEAT_OK);
    assert_int_equal(row_cache_shape(cache)->fingerprint, 77);
    assert_true(slice_is(row_cache_shape(cache)->description, "user item y"));
    assert_int_equal(row_batch_init(&batch, ROWS, tasks, dense, timed, NULL), LEAT_OK);
    struct minibatch rows;
    const uint64_t *numbers;
    for (int b = 0; b < BLOCKS; b++) {
        fixture_fill(&batch, &rng, rows_of(b), b % KINDS, &number);
        assert_int_equal(row_cache_next(cache, &rows, &numbers, NULL), LEAT_OK);
        assert_same_rows(&rows, numbers, &batch);
        examples += (uint64_t)rows.count;
    }
    assert_int_equal(row_cache_next(cache, &rows, &numbers, NULL), LEAT_END);
    assert_int_equal(row_cache_next(cache, &rows, &numbers, NULL), LEAT_END);
    assert_int_equal(row_cache_examples(cache), examples);
    uint64_t first;
    assert_int_equal(row_cache_seek(cache, 0, &first, NULL), LEAT_OK);
    assert_int_equal(first, 0);
    assert_int_equal(row_cache_seek(cache, examples - 1, &first, NULL), LEAT_OK);
    assert_int_equal(row_cache_next(cache, &rows, &numbers, NULL), LEAT_OK);
    assert_int_equal(first + (uint64_t)rows.count, examples);
    row_batch_deinit(&batch);
    row_cache_close(cache);
}

/* Writes the blocks; goes on after half of them as a run does that was killed later. */
static void write_cut(struct disk *disk, int tasks, int dense, bool timed, bool cut) {
    struct row_cache_writer *writer;
    struct row_batch batch;
    struct rng rng;
    uint64_t number = 5;
    uint64_t examples = 0;
    uint64_t at = 0;
    struct row_cache_shape shape = shape_of(tasks, dense);
    rng_init(&rng, 9);
    assert_int_equal(row_cache_create(disk, PATH, &shape, 0, 0, &writer, NULL), LEAT_OK);
    assert_int_equal(row_batch_init(&batch, ROWS, tasks, dense, timed, NULL), LEAT_OK);
    for (int b = 0; b < BLOCKS; b++) {
        fixture_fill(&batch, &rng, rows_of(b), b % KINDS, &number);
        if (cut && b == BLOCKS / 2) {
            struct row_cache *none;
            struct minibatch view = row_batch_view(&batch);
            assert_int_equal(row_cache_sync(writer, &at, NULL), LEAT_OK);
            assert_int_equal(row_cache_write(writer, &view, batch.numbers, NULL), LEAT_OK);
            row_cache_writer_close(writer);
            assert_int_equal(row_cache_open(disk, PATH, &none, NULL), LEAT_INVALID);
            assert_int_equal(row_cache_create(disk, PATH, &shape, at, examples, &writer, NULL),
                             LEAT_OK);
        }
        struct minibatch view = row_batch_view(&batch);
        assert_int_equal(row_cache_write(writer, &view, batch.numbers, NULL), LEAT_OK);
        examples += (uint64_t)view.count;
    }
    assert_int_equal(row_cache_finish(writer, NULL), LEAT_OK);
    row_cache_writer_close(writer);
    row_batch_deinit(&batch);
}

static void reads_what_was_written(void **state) {
    (void)state;
    for (int shape = 0; shape < 8; shape++) {
        struct disk_fake *fake = fixture_disk();
        int tasks = shape & 1 ? 3 : 1;
        int dense = shape & 2 ? 2 : 0;
        write_cut(disk_fake_disk(fake), tasks, dense, shape & 4, false);
        read_back(disk_fake_disk(fake), tasks, dense, shape & 4);
        disk_fake_destroy(fake);
    }
}

static void continues_after_a_kill(void **state) {
    (void)state;
    struct disk_fake *whole = fixture_disk();
    struct disk_fake *cut = fixture_disk();
    struct bytes a;
    struct bytes b;
    bytes_init(&a);
    bytes_init(&b);
    write_cut(disk_fake_disk(whole), 2, 1, true, false);
    write_cut(disk_fake_disk(cut), 2, 1, true, true);
    read_back(disk_fake_disk(cut), 2, 1, true);
    assert_int_equal(disk_get(disk_fake_disk(whole), PATH, 1 << 24, &a, NULL), LEAT_OK);
    assert_int_equal(disk_get(disk_fake_disk(cut), PATH, 1 << 24, &b, NULL), LEAT_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    bytes_deinit(&a);
    bytes_deinit(&b);
    disk_fake_destroy(whole);
    disk_fake_destroy(cut);
}

static leat_status read_all(struct disk *disk) {
    struct row_cache *cache;
    struct minibatch rows;
    const uint64_t *numbers;
    leat_status status = row_cache_open(disk, PATH, &cache, NULL);
    if (status != LEAT_OK) {
        return status;
    }
    do {
        status = row_cache_next(cache, &rows, &numbers, NULL);
    } while (status == LEAT_OK);
    row_cache_close(cache);
    return status;
}

/* Any one byte changed anywhere, or the end cut off: never taken for whole. */
static void damage_is_found(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    struct disk *disk = disk_fake_disk(fake);
    struct bytes file;
    bytes_init(&file);
    write_cut(disk, 1, 1, true, false);
    assert_int_equal(disk_get(disk, PATH, 1 << 24, &file, NULL), LEAT_OK);
    assert_int_equal(read_all(disk), LEAT_END);
    for (size_t at = 0; at < file.size; at += at < 200 ? 1 : 97) {
        file.data[at] ^= 0x10;
        fixture_file(fake, "rows.cache", file.data, file.size);
        file.data[at] ^= 0x10;
        assert_true(read_all(disk) < 0);
    }
    for (size_t size = 0; size < file.size; size += 1 + size / 10) {
        fixture_file(fake, "rows.cache", file.data, size);
        assert_true(read_all(disk) < 0);
    }
    bytes_deinit(&file);
    disk_fake_destroy(fake);
}

/* The format does not move: what version 1 wrote is what is written. */
static void golden_file(void **state) {
    (void)state;
    static const char golden[] = LEAT_SOURCE_DIR "/tests/golden/row_cache_v1.bin";
    struct disk_fake *fake = fixture_disk();
    struct disk *disk = disk_fake_disk(fake);
    struct row_cache_writer *writer;
    struct row_batch batch;
    struct row_cache_shape shape = shape_of(2, 1);
    struct rng rng;
    uint64_t number = 0;
    rng_init(&rng, 1);
    assert_int_equal(row_cache_create(disk, PATH, &shape, 0, 0, &writer, NULL), LEAT_OK);
    assert_int_equal(row_batch_init(&batch, 4, 2, 1, true, NULL), LEAT_OK);
    for (int kind = 0; kind < KINDS; kind += 5) {
        fixture_fill(&batch, &rng, 4, kind, &number);
        struct minibatch view = row_batch_view(&batch);
        assert_int_equal(row_cache_write(writer, &view, batch.numbers, NULL), LEAT_OK);
    }
    assert_int_equal(row_cache_finish(writer, NULL), LEAT_OK);
    row_cache_writer_close(writer);
    row_batch_deinit(&batch);
    struct bytes made;
    struct bytes kept;
    bytes_init(&made);
    bytes_init(&kept);
    assert_int_equal(disk_get(disk, PATH, 1 << 20, &made, NULL), LEAT_OK);
    if (getenv("LEAT_WRITE_GOLDEN")) {
        assert_int_equal(disk_put(disk_real(), golden, made.data, made.size, NULL), LEAT_OK);
    }
    assert_int_equal(disk_get(disk_real(), golden, 1 << 20, &kept, NULL), LEAT_OK);
    assert_int_equal(kept.size, made.size);
    assert_memory_equal(kept.data, made.data, made.size);
    bytes_deinit(&made);
    bytes_deinit(&kept);
    disk_fake_destroy(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(continues_after_a_kill),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(golden_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
