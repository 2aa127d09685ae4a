/* A pool runs every task of a round once, and a round sees all that the one before it wrote. */
#include "base/pool.h"
#include "base/test.h"
#include "base/thread.h"

#include <string.h>
#include <unistd.h>

enum { TASKS = 100, ROUNDS = 2000 };

struct work {
    int count;
    int ran[TASKS]; /* plain numbers: a task touches its own, so TSan sees a round that leaks */
    int sum;        /* of all of them, made by the task 0 of the next round */
    int64_t total;
    int sleep_us;
};

static void task_count(void *context, int index) {
    struct work *work = context;
    work->ran[index]++;
    if (work->sleep_us > 0) {
        usleep((useconds_t)work->sleep_us);
    }
}

static void task_sum(void *context, int index) {
    struct work *work = context;
    if (index == 0) {
        work->sum = 0;
        for (int i = 0; i < work->count; i++) {
            work->sum += work->ran[i];
        }
    }
}

static void run_rounds(int threads, int rounds, int sleep_us) {
    struct pool *pool;
    static struct work work;
    memset(&work, 0, sizeof(work));
    work.sleep_us = sleep_us;
    assert_int_equal(pool_create(threads, &pool, NULL), LEAT_OK);
    assert_int_equal(pool_threads(pool), threads);
    int expected[TASKS] = {0};
    int sum = 0;
    for (int round = 0; round < rounds; round++) {
        work.count = round % TASKS;
        pool_run(pool, task_count, &work, work.count);
        for (int i = 0; i < work.count; i++) {
            expected[i]++;
        }
        sum = 0;
        for (int i = 0; i < work.count; i++) {
            sum += expected[i];
        }
        pool_run(pool, task_sum, &work, 3);
        assert_int_equal(work.sum, sum);
        if (round % 500 == 7) {
            usleep(3000); /* so that workers fall asleep */
        }
    }
    assert_memory_equal(work.ran, expected, sizeof(expected));
    pool_destroy(pool);
}

static void test_rounds(void **context) {
    (void)context;
    const int threads[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
        run_rounds(threads[i], ROUNDS, 0);
        run_rounds(threads[i], 30, 100);
    }
}

/* Without threads of its own it is a loop. */
static void test_none(void **context) {
    (void)context;
    struct work work = {.count = 5};
    pool_run(NULL, task_count, &work, 5);
    for (int i = 0; i < TASKS; i++) {
        assert_int_equal(work.ran[i], i < 5);
    }
    assert_int_equal(pool_threads(NULL), 1);
    pool_destroy(NULL);
}

/* The tasks of a round are worked on side by side: each waits for all the others. */
static _Atomic int arrived;

static void task_meet(void *context, int index) {
    (void)index;
    int count = *(int *)context;
    atomic_fetch_add(&arrived, 1);
    for (int i = 0; i < 10000 && atomic_load(&arrived) < count; i++) {
        usleep(1000);
    }
}

static void test_side_by_side(void **context) {
    (void)context;
    int threads = 4;
    struct pool *pool;
    assert_int_equal(pool_create(threads, &pool, NULL), LEAT_OK);
    arrived = 0;
    pool_run(pool, task_meet, &threads, threads);
    assert_int_equal(arrived, threads);
    pool_destroy(pool);
}

static void test_refusals(void **context) {
    (void)context;
    struct pool *pool;
    leat_error err = {0};
    assert_int_equal(pool_create(0, &pool, &err), LEAT_INVALID);
    assert_int_equal(pool_create(POOL_THREADS_MAX + 1, &pool, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "65"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
