#include "base/clock.h"
#include "base/test.h"

#include <stdbool.h>
#include <time.h>

static void test_the_wall_is_the_systems(void **state) {
    (void)state;
    int64_t before_ms = (int64_t)time(NULL) * 1000;
    int64_t now_ms = clock_now_ms(clock_wall());
    /* time() may read a coarser clock, which is a little behind. */
    assert_true(now_ms >= before_ms - 1000 && now_ms <= ((int64_t)time(NULL) + 2) * 1000);
}

static void test_a_manual_clock_stands_still(void **state) {
    (void)state;
    struct manual_clock clock;
    manual_clock_init(&clock, 1000);
    assert_true(clock_now_ms(&clock.clock) == 1000);
    assert_true(clock_now_ms(&clock.clock) == 1000);
    manual_clock_set(&clock, -5);
    assert_true(clock_now_ms(&clock.clock) == -5);
}

static void test_measuring_clocks_go_forward(void **state) {
    (void)state;
    uint64_t (*const clocks[])(void) = {clock_monotonic_ns, clock_thread_cpu_ns,
                                        clock_process_cpu_ns};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        uint64_t last = clocks[i]();
        bool moved = false;
        while (!moved) {
            uint64_t now = clocks[i]();
            assert_true(now >= last);
            moved = now > last;
            last = now;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_wall_is_the_systems),
        cmocka_unit_test(test_a_manual_clock_stands_still),
        cmocka_unit_test(test_measuring_clocks_go_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
