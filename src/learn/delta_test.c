/* `delta_test --write-golden` writes tests/golden/delta_v1.bin anew. */
#include "base/file.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/test.h"
#include "learn/delta.h"

#include <math.h>

#define GOLDEN_PATH LEAT_SOURCE_DIR "/tests/golden/delta_v1.bin"

enum { ROWS_MAX = 300, WIDTH_MAX = 40, DENSE_MAX = 50 };

/* What a delta is made of, and what came out of one. */
struct content {
    struct delta_head head;
    uint64_t keys[ROWS_MAX], removed[ROWS_MAX];
    float rows[ROWS_MAX * WIDTH_MAX], dense[DENSE_MAX];
};

static void row_of(void *context, uint32_t index, float *out) {
    const struct content *content = context;
    memcpy(out, content->rows + index * content->head.width, content->head.width * sizeof(float));
}

static int key_compare(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Rising and without repetition; small gaps and large ones. */
static uint32_t make_keys(struct rng *rng, uint32_t count, uint64_t *out) {
    for (uint32_t i = 0; i < count; i++) {
        out[i] = rng_next(rng) >> rng_below(rng, 64);
    }
    qsort(out, count, sizeof(*out), key_compare);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || out[i] != out[kept - 1]) {
            out[kept++] = out[i];
        }
    }
    return kept;
}

static float make_float(struct rng *rng) {
    static const float magnitudes[] = {0.0f, 1e-35f, 1e-3f, 0.1f, 3.0f, 1e30f};
    float part = (float)rng_below(rng, 2001) / 1000.0f - 1.0f;
    return part * magnitudes[rng_below(rng, 6)];
}

static void make_content(struct rng *rng, enum delta_encoding encoding, struct content *out) {
    *out = (struct content){.head = {.encoding = encoding,
                                     .log_id = 7,
                                     .salt = 0x12345678,
                                     .number = rng_below(rng, 1000),
                                     .from = 100,
                                     .to = 100 + rng_below(rng, 1000),
                                     .time_ms = 1700000000000,
                                     .shape = rng_next(rng),
                                     .width = (uint32_t)rng_below(rng, WIDTH_MAX) + 1}};
    struct delta_head *head = &out->head;
    head->linear = (uint32_t)rng_below(rng, head->width + 1);
    head->rows = make_keys(rng, (uint32_t)rng_below(rng, ROWS_MAX), out->keys);
    head->removed = make_keys(rng, (uint32_t)rng_below(rng, ROWS_MAX), out->removed);
    head->dense = rng_below(rng, 2) ? (uint32_t)rng_below(rng, DENSE_MAX) : 0;
    for (uint32_t i = 0; i < head->rows * head->width; i++) {
        out->rows[i] = make_float(rng);
    }
    for (uint32_t i = 0; i < head->dense; i++) {
        out->dense[i] = make_float(rng);
    }
}

static void write_content(struct content *content, struct bytes *out) {
    assert_int_equal(delta_write(&content->head, content->keys, row_of, content, content->removed,
                                 content->dense, out, NULL),
                     LEAT_OK);
}

static void read_content(const struct bytes *bytes, struct content *out) {
    struct delta delta;
    leat_error err = {.message = ""};
    if (delta_read(bytes->data, bytes->size, &delta, &err) < 0) {
        fail_msg("%s", err.message);
    }
    out->head = delta.head;
    delta_keys(&delta, out->keys);
    delta_removed(&delta, out->removed);
    delta_rows(&delta, 0, delta.head.rows, out->rows);
    delta_dense(&delta, out->dense);
    assert_int_equal(delta_size(&delta.head), bytes->size);
}

/* The largest error that the encoding may make of a value in a row whose factors are at most `most`
 * in magnitude. */
static float error_of(const struct content *content, uint32_t column, float value, float most) {
    bool linear = column < content->head.linear;
    switch (content->head.encoding) {
    case DELTA_FP32: return 0.0f;
    case DELTA_INT8: {
        float step = most / 127.0f;
        return linear ? fabsf(value) / 256.0f : step < 1e-30f ? most : step * 0.501f;
    }
    default: return fabsf(value) / 256.0f;
    }
}

static void compare_rows(const struct content *want, const struct content *have) {
    uint32_t width = want->head.width;
    for (uint32_t i = 0; i < want->head.rows; i++) {
        const float *row = want->rows + i * width;
        float most = 0.0f;
        for (uint32_t c = want->head.linear; c < width; c++) {
            most = fabsf(row[c]) > most ? fabsf(row[c]) : most;
        }
        for (uint32_t c = 0; c < width; c++) {
            float off = fabsf(have->rows[i * width + c] - row[c]);
            if (!(off <= error_of(want, c, row[c], most))) {
                fail_msg("row %u, column %u: %g became %g", i, c, (double)row[c],
                         (double)have->rows[i * width + c]);
            }
        }
    }
}

static void test_what_is_written_is_read(void **state) {
    (void)state;
    static struct content content, again;
    struct rng rng;
    struct bytes bytes;
    rng_init(&rng, 5);
    bytes_init(&bytes);
    for (int i = 0; i < 300; i++) {
        make_content(&rng, (enum delta_encoding)(i % DELTA_ENCODINGS), &content);
        bytes_clear(&bytes);
        write_content(&content, &bytes);
        read_content(&bytes, &again);
        assert_true(again.head.from == content.head.from && again.head.to == content.head.to);
        assert_true(again.head.shape == content.head.shape && again.head.log_id == 7);
        assert_true(again.head.number == content.head.number && again.head.salt == 0x12345678);
        assert_int_equal(again.head.time_ms, content.head.time_ms);
        assert_int_equal(again.head.linear, content.head.linear);
        assert_int_equal(again.head.rows, content.head.rows);
        assert_int_equal(again.head.removed, content.head.removed);
        assert_int_equal(again.head.dense, content.head.dense);
        assert_memory_equal(again.keys, content.keys, content.head.rows * sizeof(uint64_t));
        assert_memory_equal(again.removed, content.removed,
                            content.head.removed * sizeof(uint64_t));
        assert_memory_equal(again.dense, content.dense, content.head.dense * sizeof(float));
        compare_rows(&content, &again);
    }
    bytes_deinit(&bytes);
}

/* Encoding what was decoded changes nothing more: a chain of replicas would not drift. */
static void test_a_second_time_changes_nothing(void **state) {
    (void)state;
    static struct content content, once, twice;
    struct rng rng;
    struct bytes bytes;
    rng_init(&rng, 6);
    bytes_init(&bytes);
    for (int i = 0; i < 100; i++) {
        make_content(&rng, i % 2 ? DELTA_BF16 : DELTA_INT8, &content);
        bytes_clear(&bytes);
        write_content(&content, &bytes);
        read_content(&bytes, &once);
        bytes_clear(&bytes);
        write_content(&once, &bytes);
        read_content(&bytes, &twice);
        for (uint32_t k = 0; k < content.head.rows * content.head.width; k++) {
            assert_true(fabsf(once.rows[k] - twice.rows[k]) <= fabsf(once.rows[k]) * 1e-6f);
        }
    }
    bytes_deinit(&bytes);
}

static void test_not_finite_becomes_0(void **state) {
    (void)state;
    static struct content content, again;
    struct bytes bytes;
    bytes_init(&bytes);
    for (int encoding = 0; encoding < DELTA_ENCODINGS; encoding++) {
        content = (struct content){.head = {.encoding = (enum delta_encoding)encoding,
                                            .width = 4,
                                            .linear = 1,
                                            .rows = 1,
                                            .dense = 1},
                                   .keys = {9},
                                   .rows = {NAN, INFINITY, 2.0f, -3.4e38f},
                                   .dense = {-INFINITY}};
        bytes_clear(&bytes);
        write_content(&content, &bytes);
        read_content(&bytes, &again);
        assert_true(again.rows[0] == 0 && again.rows[1] == 0 && again.dense[0] == 0);
        assert_true(isfinite(again.rows[3]) && again.rows[3] < -3.3e38f);
    }
    bytes_deinit(&bytes);
}

/* --- damage --- */

static void small_delta(enum delta_encoding encoding, struct bytes *out) {
    static struct content content;
    content = (struct content){
        .head = {.encoding = encoding,
                 .log_id = 3,
                 .salt = 99,
                 .number = 17,
                 .from = 1000,
                 .to = 2000,
                 .time_ms = 1700000000123,
                 .shape = 0xFEDCBA9876543210u,
                 .width = 5,
                 .linear = 2,
                 .rows = 3,
                 .removed = 2,
                 .dense = 3},
        .keys = {1, 300, 0xFC00000000000001u},
        .removed = {2, 0xFFFFFFFFFFFFFFFFu},
        .rows = {1, -2, 0.5f, 0.25f, -1, 0, 0, 0, 0, 0, 1e-3f, 3, 7e-4f, -1e-3f, 5e-4f},
        .dense = {0.125f, -4, 1e6f}};
    write_content(&content, out);
}

static void test_damage_is_refused(void **state) {
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes);
    for (int encoding = 0; encoding < DELTA_ENCODINGS; encoding++) {
        struct delta delta;
        leat_error err = {.message = ""};
        bytes_clear(&bytes);
        small_delta((enum delta_encoding)encoding, &bytes);
        for (size_t size = 0; size < bytes.size; size++) {
            assert_int_equal(delta_read(bytes.data, size, &delta, &err), LEAT_CORRUPT);
        }
        for (size_t bit = 0; bit < bytes.size * 8; bit++) {
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            err.message[0] = '\0';
            leat_status status = delta_read(bytes.data, bytes.size, &delta, &err);
            assert_true(status == LEAT_CORRUPT || status == LEAT_UNSUPPORTED);
            assert_true(err.message[0] != '\0');
            bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(delta_read(bytes.data, bytes.size, &delta, &err), LEAT_OK);
    }
    bytes_deinit(&bytes);
}

/* With right checksums: what does not rise, is not finite, or is not in its shortest form. */
static void test_wrong_content_is_refused(void **state) {
    (void)state;
    static const struct {
        size_t at; /* in the body */
        uint8_t value;
    } wrongs[] = {
        {1, 0x00},  /* the second key does not rise */
        {2, 0x00},  /* its gap has a byte too many */
        {0, 0x80},  /* the first key takes bytes of the second, and one key is missing */
        {12, 0x03}, /* the last key goes beyond 64 bits */
    };
    struct bytes bytes;
    bytes_init(&bytes);
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        bytes_clear(&bytes);
        small_delta(DELTA_FP32, &bytes);
        bytes.data[DELTA_HEAD_BYTES + wrongs[i].at] = wrongs[i].value;
        uint64_t body = hash_bytes(bytes.data + DELTA_HEAD_BYTES, bytes.size - DELTA_HEAD_BYTES);
        memcpy(bytes.data + 96, &body, sizeof(body));
        uint64_t head = hash_bytes(bytes.data, 104);
        memcpy(bytes.data + 104, &head, sizeof(head));
        struct delta delta;
        assert_int_equal(delta_read(bytes.data, bytes.size, &delta, NULL), LEAT_CORRUPT);
    }
    bytes_deinit(&bytes);
}

static void test_bounds(void **state) {
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes);
    struct delta_head wide = {.width = DELTA_WIDTH_MAX + 1};
    struct delta_head none = {.width = 0};
    struct delta_head odd = {.width = 2, .linear = 3};
    struct delta_head *heads[] = {&wide, &none, &odd};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(delta_write(heads[i], NULL, NULL, NULL, NULL, NULL, &bytes, NULL),
                         LEAT_FULL);
    }
    bytes_deinit(&bytes);
}

/* The goal: 100,000 rows of 32 factors in 5 MB. */
static void test_size(void **state) {
    (void)state;
    static struct content content;
    static uint64_t keys[100000];
    struct rng rng;
    rng_init(&rng, 8);
    for (int i = 0; i < 100000; i++) {
        keys[i] = rng_next(&rng);
    }
    qsort(keys, 100000, sizeof(*keys), key_compare);
    content.head = (struct delta_head){.width = 33, .linear = 1};
    struct delta_head head = content.head;
    head.encoding = DELTA_INT8;
    head.rows = 200; /* of the same rows again and again: only sizes count */
    struct bytes bytes;
    bytes_init(&bytes);
    uint64_t total = 0;
    for (int i = 0; i < 100000; i += 200) {
        bytes_clear(&bytes);
        assert_int_equal(delta_write(&head, keys + i, row_of, &content, NULL, NULL, &bytes, NULL),
                         LEAT_OK);
        total += bytes.size - DELTA_HEAD_BYTES;
    }
    assert_true(total <= 5000000);
    bytes_deinit(&bytes);
}

/* --- golden file --- */

static void make_golden(struct bytes *out) {
    for (int encoding = 0; encoding < DELTA_ENCODINGS; encoding++) {
        small_delta((enum delta_encoding)encoding, out);
    }
}

static void test_golden(void **state) {
    (void)state;
    struct bytes made, golden;
    bytes_init(&made);
    bytes_init(&golden);
    make_golden(&made);
    assert_int_equal(disk_get(disk_real(), GOLDEN_PATH, 1 << 20, &golden, NULL), LEAT_OK);
    assert_int_equal(made.size, golden.size);
    assert_memory_equal(made.data, golden.data, made.size);
    bytes_deinit(&golden);
    bytes_deinit(&made);
}

static int write_golden(void) {
    struct bytes made;
    bytes_init(&made);
    make_golden(&made);
    leat_status status = disk_put(disk_real(), GOLDEN_PATH, made.data, made.size, NULL);
    bytes_deinit(&made);
    return status < 0;
}

int main(int count, char **args) {
    if (count == 2 && strcmp(args[1], "--write-golden") == 0) {
        return write_golden();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_a_second_time_changes_nothing),
        cmocka_unit_test(test_not_finite_becomes_0),
        cmocka_unit_test(test_damage_is_refused),
        cmocka_unit_test(test_wrong_content_is_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
