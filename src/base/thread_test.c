#include "base/clock.h"
#include "base/test.h"
#include "base/thread.h"

enum { THREADS = 4, ROUNDS = 20000 };

/* Plain counters: without the lock, increments are lost (and ThreadSanitizer says so). */
struct shared {
    struct mutex mutex;
    struct condition changed;
    struct latch latch;
    long under_mutex;
    long under_latch;
    int turn;
    long turns[2];
};

static void shared_init(struct shared *shared) {
    *shared = (struct shared){0};
    mutex_init(&shared->mutex);
    condition_init(&shared->changed);
    latch_init(&shared->latch);
}

static void shared_deinit(struct shared *shared) {
    condition_deinit(&shared->changed);
    mutex_deinit(&shared->mutex);
}

static void *count_up(void *arg) {
    struct shared *shared = arg;
    for (int i = 0; i < ROUNDS; i++) {
        mutex_lock(&shared->mutex);
        shared->under_mutex++;
        mutex_unlock(&shared->mutex);
        latch_lock(&shared->latch);
        shared->under_latch++;
        latch_unlock(&shared->latch);
    }
    return NULL;
}

static void test_locks_exclude(void **state) {
    (void)state;
    struct shared shared;
    struct thread threads[THREADS];
    shared_init(&shared);
    for (int i = 0; i < THREADS; i++) {
        /* A name over the system's bound is cut, not refused. */
        assert_int_equal(
            thread_start(&threads[i], "a-name-of-many-letters", count_up, &shared, NULL), LEAT_OK);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
        assert_false(threads[i].running);
        thread_join(&threads[i]);
    }
    assert_int_equal(shared.under_mutex, THREADS * ROUNDS);
    assert_int_equal(shared.under_latch, THREADS * ROUNDS);
    shared_deinit(&shared);
}

static void take_turns(struct shared *shared, int me) {
    for (int i = 0; i < 500; i++) {
        mutex_lock(&shared->mutex);
        while (shared->turn != me) {
            if (me == 0) {
                condition_wait(&shared->changed, &shared->mutex);
            } else {
                condition_wait_ms(&shared->changed, &shared->mutex, INT64_MAX);
            }
        }
        shared->turns[me]++;
        shared->turn = 1 - me;
        condition_signal(&shared->changed);
        mutex_unlock(&shared->mutex);
    }
}

static void *take_turns_of_one(void *arg) {
    take_turns(arg, 1);
    return NULL;
}

static void test_conditions_hand_over(void **state) {
    (void)state;
    struct shared shared;
    struct thread thread;
    shared_init(&shared);
    assert_int_equal(thread_start(&thread, "turns", take_turns_of_one, &shared, NULL), LEAT_OK);
    take_turns(&shared, 0);
    thread_join(&thread);
    assert_int_equal(shared.turns[0], 500);
    assert_int_equal(shared.turns[1], 500);
    shared_deinit(&shared);
}

static void *wait_for_start(void *arg) {
    struct shared *shared = arg;
    mutex_lock(&shared->mutex);
    while (shared->turn == 0) {
        condition_wait(&shared->changed, &shared->mutex);
    }
    shared->under_mutex++;
    mutex_unlock(&shared->mutex);
    return NULL;
}

static void test_a_broadcast_wakes_all(void **state) {
    (void)state;
    struct shared shared;
    struct thread threads[THREADS];
    shared_init(&shared);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(thread_start(&threads[i], "start", wait_for_start, &shared, NULL),
                         LEAT_OK);
    }
    mutex_lock(&shared.mutex);
    shared.turn = 1;
    condition_broadcast(&shared.changed);
    mutex_unlock(&shared.mutex);
    for (int i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
    }
    assert_int_equal(shared.under_mutex, THREADS);
    shared_deinit(&shared);
}

/* Waits nobody ends: it must last at least its bound; how much longer is the machine's affair. */
static void test_waiting_ends(void **state) {
    (void)state;
    static const int64_t timeouts_ms[] = {-5, 0, 1, 12};
    struct shared shared;
    shared_init(&shared);
    mutex_lock(&shared.mutex);
    for (size_t i = 0; i < sizeof(timeouts_ms) / sizeof(timeouts_ms[0]); i++) {
        uint64_t start_ns = clock_monotonic_ns();
        while (condition_wait_ms(&shared.changed, &shared.mutex, timeouts_ms[i])) {
        }
        int64_t waited_ns = (int64_t)(clock_monotonic_ns() - start_ns);
        assert_true(waited_ns >= timeouts_ms[i] * 1000000);
    }
    mutex_unlock(&shared.mutex);
    shared_deinit(&shared);
}

static void test_a_thread_that_never_started(void **state) {
    (void)state;
    struct thread thread = {0};
    thread_join(&thread);
    assert_false(thread.running);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locks_exclude),
        cmocka_unit_test(test_conditions_hand_over),
        cmocka_unit_test(test_a_broadcast_wakes_all),
        cmocka_unit_test(test_waiting_ends),
        cmocka_unit_test(test_a_thread_that_never_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
