#include "base/rng.h"
#include "base/test.h"
#include "connect/separators.h"

#include <string.h>

enum { TEXT_MAX = 300, ROUNDS = 2000 };

/* At any length, place and mix of bytes, the fast search finds what a look at every byte finds. */
static void finds_all(void **state) {
    (void)state;
    static const char *const SETS[] = {"\n \t\r|:", "\n", ",;\"\n", "abcdefghijklmnop"};
    struct rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < ROUNDS; round++) {
        const char *set = SETS[round % 4];
        char text[TEXT_MAX];
        uint32_t fast[TEXT_MAX];
        uint32_t slow[TEXT_MAX];
        struct separators separators;
        size_t size = rng_below(&rng, TEXT_MAX);
        separators_init(&separators, set);
        for (size_t i = 0; i < size; i++) {
            bool any = rng_below(&rng, 3) == 0;
            text[i] = any ? set[rng_below(&rng, strlen(set))] : (char)rng_below(&rng, 256);
        }
        size_t count = 0;
        for (size_t i = 0; i < size; i++) {
            if (text[i] != '\0' && strchr(set, text[i])) {
                slow[count++] = (uint32_t)i;
            }
        }
        assert_int_equal(separators_find(&separators, text, size, fast), count);
        assert_memory_equal(fast, slow, count * sizeof(uint32_t));
        assert_int_equal(separators_find_scalar(&separators, text, size, fast), count);
        assert_memory_equal(fast, slow, count * sizeof(uint32_t));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
