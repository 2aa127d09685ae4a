#include "base/hash.h"
#include "base/rng.h"
#include "base/test.h"

/* "<id>\t<hash in 16 hex digits>\t<key group of 128>"; other languages read the same file. */
static void check_vector(char *line) {
    char *hash_text = strchr(line, '\t');
    assert_non_null(hash_text);
    *hash_text++ = '\0';
    char *group_text = strchr(hash_text, '\t');
    assert_non_null(group_text);
    *group_text++ = '\0';
    uint64_t hash = hash_slice(slice_of(line));
    char hex[17];
    snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)hash);
    assert_string_equal(hex, hash_text);
    assert_int_equal(key_group_of(hash, 128), strtoul(group_text, NULL, 10));
}

static void test_golden_key_groups(void **state) {
    (void)state;
    FILE *file = fopen(LEAT_SOURCE_DIR "/tests/golden/key_groups.txt", "r");
    assert_non_null(file);
    char line[2048];
    int vectors = 0;
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '#' && line[0] != '\0') {
            check_vector(line);
            vectors++;
        }
    }
    fclose(file);
    assert_true(vectors >= 20);
}

/* Published values of XXH3-64 with seed 0. */
static void test_reference_hashes(void **state) {
    (void)state;
    assert_true(hash_bytes("", 0) == 0x2d06800538d394c2u);
    assert_true(hash_bytes(NULL, 0) == 0x2d06800538d394c2u);
    assert_true(hash_bytes("a", 1) == 0xe6c632b61e964e1fu);
    assert_true(hash_bytes("abc", 3) == 0x78af5f94892f3950u);
}

/* The group must not need unsigned division: it is the same on the hash's top 63 bits, signed. */
static void test_groups_in_signed_arithmetic(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t hash = rng_next(&rng);
        uint32_t groups = 1 + (uint32_t)rng_below(&rng, 32768);
        int64_t half = (int64_t)(hash >> 1);
        assert_true(half >= 0);
        assert_int_equal(key_group_of(hash, groups), half % (int64_t)groups);
    }
}

static void test_groups_are_even(void **state) {
    (void)state;
    enum { GROUPS = 128, KEYS = 64000 };
    int counts[GROUPS] = {0};
    for (int i = 0; i < KEYS; i++) {
        char id[16];
        int size = snprintf(id, sizeof(id), "user-%d", i);
        counts[key_group_of(hash_bytes(id, (size_t)size), GROUPS)]++;
    }
    for (int i = 0; i < GROUPS; i++) {
        assert_in_range(counts[i], KEYS / GROUPS - 150, KEYS / GROUPS + 150);
    }
}

/* Changing one bit of either word changes about half of the result. */
static void test_mixing(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 2);
    long changed = 0;
    enum { TRIES = 200 };
    for (int i = 0; i < TRIES; i++) {
        uint64_t a = rng_next(&rng);
        uint64_t b = rng_below(&rng, 1000);
        for (int bit = 0; bit < 64; bit++) {
            uint64_t flip = UINT64_C(1) << bit;
            changed += __builtin_popcountll(hash_mix(a, b) ^ hash_mix(a ^ flip, b));
            changed += __builtin_popcountll(hash_mix(a, b) ^ hash_mix(a, b ^ flip));
        }
    }
    double mean = (double)changed / (TRIES * 128.0);
    assert_true(mean > 31.5 && mean < 32.5);
    assert_true(hash_unit(0) == 0);
    assert_true(hash_unit(UINT64_MAX) < 1);
}

static int by_value(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* Small numbers never meet: not in one word, not in the other, not as pairs. */
static void test_one_to_one(void **state) {
    (void)state;
    enum { A = 300, B = 300 };
    static uint64_t mixed[A * B];
    for (uint64_t a = 0; a < A; a++) {
        for (uint64_t b = 0; b < B; b++) {
            mixed[a * B + b] = hash_mix(a, b);
        }
    }
    qsort(mixed, A * B, sizeof(mixed[0]), by_value);
    for (int i = 1; i < A * B; i++) {
        assert_true(mixed[i - 1] != mixed[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_to_one),       cmocka_unit_test(test_golden_key_groups),
        cmocka_unit_test(test_reference_hashes), cmocka_unit_test(test_groups_in_signed_arithmetic),
        cmocka_unit_test(test_groups_are_even),  cmocka_unit_test(test_mixing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
