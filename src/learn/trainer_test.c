/* The queue's order through memory and file, and the trainer against learning inline. Run under the
 * thread sanitizer too. */
#include "base/disk_fake.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/thread.h"
#include "learn/example_queue.h"
#include "learn/learn_test.h"
#include "learn/trainer.h"

#include <stdlib.h>

#define SPILL "spill"
enum { DENSE = 3 };

static struct disk_fake *new_disk(void) {
    struct disk_fake *fake = NULL;
    assert_int_equal(disk_fake_create(9, &fake, NULL), LEAT_OK);
    return fake;
}

/* Example number n, a function of n. */
struct drawn {
    struct example example;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
};

static void draw(uint64_t n, struct drawn *out) {
    struct rng rng;
    rng_init(&rng, n);
    int keys = (int)rng_below(&rng, n % 50 == 0 ? EXAMPLE_KEYS_MAX + 1 : 9);
    for (int i = 0; i < keys; i++) {
        out->keys[i] = rng_below(&rng, 300) * 1315423911u;
    }
    for (int i = 0; i < DENSE; i++) {
        out->dense[i] = (float)rng_normal(&rng);
    }
    out->example = (struct example){
        .sequence = n,
        .keys = out->keys,
        .key_count = keys,
        .dense = out->dense,
        .dense_count = DENSE,
        .mask = 3,
        .labels = (uint32_t)rng_below(&rng, 4),
        .weight = 1.0f + (float)rng_below(&rng, 2),
        .log_odds = (float)rng_below(&rng, 2),
        .flags = (uint32_t)rng_below(&rng, 2),
    };
}

/* --- the queue --- */

static void draw_entry(uint64_t n, struct drawn *drawn, struct queue_entry *out) {
    draw(n, drawn);
    out->kind = n % 7 == 3 ? QUEUE_REACH : n % 7 == 5 ? QUEUE_MARK : QUEUE_EXAMPLE;
    out->example = drawn->example;
    if (out->kind != QUEUE_EXAMPLE) {
        out->example = (struct example){.sequence = n};
    }
}

static void expect_entry(uint64_t n, const struct queue_entry *got) {
    struct drawn drawn;
    struct queue_entry expected;
    draw_entry(n, &drawn, &expected);
    const struct example *a = &expected.example;
    const struct example *b = &got->example;
    INVARIANT(got->kind == expected.kind && b->sequence == n, "entry %llu: kind %d, sequence %llu",
              (unsigned long long)n, got->kind, (unsigned long long)b->sequence);
    bool same = a->key_count == b->key_count && a->dense_count == b->dense_count &&
                a->mask == b->mask && a->labels == b->labels && a->weight == b->weight &&
                a->log_odds == b->log_odds && a->flags == b->flags;
    INVARIANT(same, "entry %llu", (unsigned long long)n);
    for (int i = 0; i < a->key_count; i++) {
        INVARIANT(a->keys[i] == b->keys[i], "key %d", i);
    }
    for (int i = 0; i < a->dense_count; i++) {
        INVARIANT(a->dense[i] == b->dense[i], "dense %d", i);
    }
}

static struct example_queue *open_queue(struct disk_fake *fake, int examples_max) {
    struct queue_options options = {
        .disk = disk_fake_disk(fake), .spill_path = SPILL, .examples_max = examples_max};
    struct example_queue *queue = NULL;
    assert_int_equal(queue_open(&options, &queue, NULL), LEAT_OK);
    return queue;
}

/* Takes once and checks what comes; the number of entries. */
static uint64_t take_some(struct example_queue *queue, uint64_t from) {
    INVARIANT(queue_take(queue, NULL) == LEAT_OK, "at %llu", (unsigned long long)from);
    uint64_t n = from;
    struct queue_entry entry;
    while (queue_next(queue, &entry)) {
        expect_entry(n++, &entry);
    }
    return n - from;
}

static bool file_there(struct disk_fake *fake) {
    struct file *file = NULL;
    leat_status status = file_open(disk_fake_disk(fake), SPILL, FILE_READ, &file, NULL);
    file_close(file);
    return status == LEAT_OK;
}

/* Pushes and takes in bursts of random length on one thread: the file comes and goes, the order
 * stays, and memory stays within its bound. */
static void order_is_kept(void **state) {
    (void)state;
    const int sizes[] = {1, 16, 100, 3000};
    struct rng rng;
    rng_init(&rng, 3);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct disk_fake *fake = new_disk();
        struct example_queue *queue = open_queue(fake, sizes[i]);
        uint64_t pushed = 0;
        uint64_t taken = 0;
        for (int burst = 0; burst < 40; burst++) {
            for (uint64_t n = rng_below(&rng, (uint64_t)sizes[i] * 4 + 4); n > 0; n--) {
                struct drawn drawn;
                struct queue_entry entry;
                draw_entry(pushed++, &drawn, &entry);
                assert_int_equal(queue_push(queue, &entry, NULL), LEAT_OK);
            }
            for (uint64_t n = rng_below(&rng, 14); n > 0 && taken < pushed; n--) {
                taken += take_some(queue, taken);
            }
        }
        while (taken < pushed) {
            taken += take_some(queue, taken);
        }
        assert_true(queue_spilled(queue) > 0);
        assert_false(file_there(fake)); /* read to its end */
        queue_close(queue);
        disk_fake_destroy(fake);
    }
}

static void *produce(void *argument) {
    struct example_queue *queue = argument;
    for (uint64_t n = 0; n < 20000; n++) {
        struct drawn drawn;
        struct queue_entry entry;
        draw_entry(n, &drawn, &entry);
        INVARIANT(queue_push(queue, &entry, NULL) == LEAT_OK, "at %llu", (unsigned long long)n);
    }
    return NULL;
}

static void two_threads_keep_order(void **state) {
    (void)state;
    const int sizes[] = {1, 40, 100000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct disk_fake *fake = new_disk();
        struct example_queue *queue = open_queue(fake, sizes[i]);
        struct thread producer = {0};
        assert_int_equal(thread_start(&producer, "producer", produce, queue, NULL), LEAT_OK);
        for (uint64_t taken = 0; taken < 20000;) {
            taken += take_some(queue, taken);
        }
        thread_join(&producer);
        queue_stop(queue);
        assert_int_equal(queue_take(queue, NULL), LEAT_END);
        struct queue_entry entry = {.kind = QUEUE_REACH};
        assert_int_equal(queue_push(queue, &entry, NULL), LEAT_CLOSED);
        queue_close(queue);
        disk_fake_destroy(fake);
    }
}

/* The disk fails at every step in turn: the push that meets it fails, the same push again does not,
 * and nothing is lost or doubled. A failing read is the end: LEAT_IO. */
static void failing_writes_lose_nothing(void **state) {
    (void)state;
    int failures = 0;
    for (uint64_t step = 2; step < 14; step++) {
        struct disk_fake *fake = new_disk();
        struct example_queue *queue = open_queue(fake, 8);
        disk_fake_fail_at(fake, step, step % 2 == 0);
        for (uint64_t n = 0; n < 60; n++) {
            struct drawn drawn;
            struct queue_entry entry;
            draw_entry(n, &drawn, &entry);
            leat_error err = {.status = LEAT_OK};
            leat_status status = queue_push(queue, &entry, &err);
            if (status < 0) {
                failures++;
                assert_int_equal(err.status, status);
                assert_int_equal(queue_push(queue, &entry, NULL), LEAT_OK);
            }
        }
        disk_fake_fail_at(fake, 0, false);
        for (uint64_t taken = 0; taken < 60;) {
            taken += take_some(queue, taken);
        }
        queue_close(queue);
        disk_fake_destroy(fake);
    }
    assert_int_equal(failures, 12);
}

/* In steady state nothing is allocated an example. */
static void pushing_does_not_allocate(void **state) {
    (void)state;
    struct disk_fake *fake = new_disk();
    struct example_queue *queue = open_queue(fake, 1000);
    uint64_t taken = 0;
    uint64_t allocations = 0;
    for (uint64_t n = 0; n < 5000; n++) {
        struct drawn drawn;
        struct queue_entry entry;
        draw_entry(n, &drawn, &entry);
        assert_int_equal(queue_push(queue, &entry, NULL), LEAT_OK);
        if (n % 200 == 0) {
            while (taken <= n) {
                taken += take_some(queue, taken);
            }
            allocations = n == 1000 ? memory_allocations() : allocations;
        }
    }
    assert_int_equal(memory_allocations(), allocations);
    queue_close(queue);
    disk_fake_destroy(fake);
}

/* --- the trainer --- */

static struct model *new_model(void) {
    struct model_spec spec = spec_fixture(2, 8, DENSE);
    struct model *model = NULL;
    assert_int_equal(model_open(&spec, NULL, NULL, &model, NULL), LEAT_OK);
    return model;
}

static struct trainer *new_trainer(struct disk_fake *fake, struct model *model, int queue_max,
                                   bool inline_learning, struct metrics *metrics) {
    struct trainer_options options = {.disk = fake ? disk_fake_disk(fake) : NULL,
                                      .spill_path = SPILL,
                                      .queue_max = queue_max,
                                      .inline_learning = inline_learning,
                                      .metrics = metrics};
    struct trainer *trainer = NULL;
    assert_int_equal(trainer_open(&options, model, &trainer, NULL), LEAT_OK);
    return trainer;
}

static uint64_t digest_of(struct model *model) {
    uint64_t digest = 0;
    INVARIANT(model_digest(model, &digest, NULL) == LEAT_OK, "no digest");
    return digest;
}

/* What a marker brought, written while learning goes on. */
struct brought {
    struct thread thread;
    struct model_snapshot *snapshot;
    struct bytes bytes;
    _Atomic int calls;
    _Atomic int nulls;
};

static void *write_brought(void *argument) {
    struct brought *brought = argument;
    leat_status status = model_snapshot_write(brought->snapshot, sink_bytes, &brought->bytes, NULL);
    INVARIANT(status == LEAT_OK, "status %d", status);
    model_snapshot_release(brought->snapshot);
    return NULL;
}

static void frozen(void *context, struct model_snapshot *snapshot) {
    struct brought *brought = context;
    if (snapshot) {
        brought->snapshot = snapshot;
        leat_status status =
            thread_start(&brought->thread, "checkpoint", write_brought, brought, NULL);
        INVARIANT(status == LEAT_OK, "status %d", status);
    } else {
        atomic_fetch_add(&brought->nulls, 1);
    }
    atomic_fetch_add(&brought->calls, 1);
}

enum { EXAMPLES = 6000, MARK_AT = 2500 };

static void push_all(struct trainer *trainer, struct brought *brought) {
    for (uint64_t n = 0; n < EXAMPLES; n++) {
        struct drawn drawn;
        draw(n, &drawn);
        assert_int_equal(trainer_push(trainer, &drawn.example, NULL), LEAT_OK);
        if (n % 10 == 9) {
            assert_int_equal(trainer_reach(trainer, n + 1, NULL), LEAT_OK);
        }
        if (n == MARK_AT) {
            assert_int_equal(trainer_mark(trainer, frozen, brought, NULL), LEAT_OK);
        }
    }
}

static uint64_t digest_of_bytes(const struct bytes *bytes) {
    struct model *model = new_model();
    struct bytes_reader reader = bytes_reader_of(bytes->data, bytes->size);
    assert_int_equal(model_restore(model, source_bytes, &reader, NULL), LEAT_OK);
    uint64_t digest = digest_of(model);
    model_close(model);
    return digest;
}

struct run {
    uint64_t marked, last;
};

static struct run run_trainer(int queue_max, bool inline_learning, struct metrics *metrics) {
    struct disk_fake *fake = inline_learning ? NULL : new_disk();
    struct model *model = new_model();
    struct trainer *trainer = new_trainer(fake, model, queue_max, inline_learning, metrics);
    struct brought brought = {.calls = 0};
    bytes_init(&brought.bytes);
    push_all(trainer, &brought);
    assert_true(trainer_wait(trainer, EXAMPLES, 60000));
    assert_int_equal(trainer_learnt(trainer), EXAMPLES);
    assert_false(trainer_wait(trainer, EXAMPLES + 1, 5));
    assert_int_equal(atomic_load(&brought.calls), 1);
    thread_join(&brought.thread);
    trainer_close(trainer);
    struct run run = {.marked = digest_of_bytes(&brought.bytes), .last = digest_of(model)};
    bytes_deinit(&brought.bytes);
    model_close(model);
    if (fake) {
        disk_fake_destroy(fake);
    }
    return run;
}

/* Whatever the queue's size, and with or without a thread: the same weights at the marker and at
 * the end. */
static void same_weights_however_queued(void **state) {
    (void)state;
    struct run expected = run_trainer(0, true, NULL);
    const int sizes[] = {4, 200, 100000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct metrics *metrics = metrics_create();
        struct run got = run_trainer(sizes[i], false, metrics);
        assert_int_equal(got.marked, expected.marked);
        assert_int_equal(got.last, expected.last);
        assert_true(metrics_value(metrics, METRIC_examples_total) == EXAMPLES);
        assert_true(metrics_value(metrics, METRIC_position_learnt) == EXAMPLES);
        metrics_destroy(metrics);
    }
}

/* A marker whose owner does not return: holds the learning thread where it is. */
struct gate {
    struct mutex mutex;
    struct condition moved;
    bool entered, open;
};

static void hold(void *context, struct model_snapshot *snapshot) {
    struct gate *gate = context;
    model_snapshot_release(snapshot);
    mutex_lock(&gate->mutex);
    gate->entered = true;
    condition_broadcast(&gate->moved);
    while (!gate->open) {
        condition_wait(&gate->moved, &gate->mutex);
    }
    mutex_unlock(&gate->mutex);
}

static void hold_trainer(struct trainer *trainer, struct gate *gate) {
    *gate = (struct gate){.open = false};
    mutex_init(&gate->mutex);
    condition_init(&gate->moved);
    assert_int_equal(trainer_mark(trainer, hold, gate, NULL), LEAT_OK);
    mutex_lock(&gate->mutex);
    while (!gate->entered) {
        condition_wait(&gate->moved, &gate->mutex);
    }
    mutex_unlock(&gate->mutex);
}

static void let_go(struct gate *gate) {
    mutex_lock(&gate->mutex);
    gate->open = true;
    condition_broadcast(&gate->moved);
    mutex_unlock(&gate->mutex);
}

static void gate_deinit(struct gate *gate) {
    condition_deinit(&gate->moved);
    mutex_deinit(&gate->mutex);
}

static void push_range(struct trainer *trainer, uint64_t from, uint64_t to) {
    for (uint64_t n = from; n < to; n++) {
        struct drawn drawn;
        draw(n, &drawn);
        assert_int_equal(trainer_push(trainer, &drawn.example, NULL), LEAT_OK);
    }
}

/* Flow goes on while the trainer stands still; damage of the overflow file stops the trainer, which
 * says so to everybody. */
static void damage_stops_the_trainer(void **state) {
    (void)state;
    struct disk_fake *fake = new_disk();
    struct model *model = new_model();
    struct metrics *metrics = metrics_create();
    struct trainer *trainer = new_trainer(fake, model, 16, false, metrics);
    struct gate gate;
    hold_trainer(trainer, &gate);
    push_range(trainer, 0, 500);
    assert_true(metrics_value(metrics, METRIC_examples_spilled_total) > 400);
    assert_int_equal(trainer_learnt(trainer), 0);
    struct brought brought = {.calls = 0};
    assert_int_equal(trainer_mark(trainer, frozen, &brought, NULL), LEAT_OK);
    push_range(trainer, 500, 510);
    size_t size = 0;
    uint8_t *content = disk_fake_content(fake, SPILL, &size);
    assert_true(size > 1000);
    content[100] ^= 1;
    let_go(&gate);
    leat_error err = {.status = LEAT_OK};
    struct drawn drawn;
    draw(510, &drawn);
    assert_false(trainer_wait(trainer, 1000, 60000));
    assert_int_equal(trainer_push(trainer, &drawn.example, &err), LEAT_CORRUPT);
    assert_non_null(strstr(err.message, "stopped"));
    assert_int_equal(trainer_reach(trainer, 511, NULL), LEAT_CORRUPT);
    assert_int_equal(trainer_mark(trainer, frozen, &brought, NULL), LEAT_CORRUPT);
    trainer_close(trainer);
    assert_int_equal(atomic_load(&brought.nulls), 1);
    assert_int_equal(atomic_load(&brought.calls), 1);
    gate_deinit(&gate);
    model_close(model);
    metrics_destroy(metrics);
    disk_fake_destroy(fake);
}

static void *open_later(void *argument) {
    struct gate *gate = argument;
    let_go(gate);
    return NULL;
}

static void count_and_release(void *context, struct model_snapshot *snapshot) {
    struct brought *brought = context;
    model_snapshot_release(snapshot);
    atomic_fetch_add(&brought->calls, 1);
}

/* Closing drops what is queued and tells the owners of markers. */
static void close_drops_the_queue(void **state) {
    (void)state;
    struct disk_fake *fake = new_disk();
    struct model *model = new_model();
    struct trainer *trainer = new_trainer(fake, model, 16, false, NULL);
    struct gate gate;
    hold_trainer(trainer, &gate);
    push_range(trainer, 0, 300);
    struct brought brought = {.calls = 0};
    for (int i = 0; i < 16; i++) {
        assert_int_equal(trainer_mark(trainer, count_and_release, &brought, NULL), LEAT_OK);
    }
    leat_error err;
    assert_int_equal(trainer_mark(trainer, count_and_release, &brought, &err), LEAT_FULL);
    assert_true(err.retry);
    struct thread opener = {0};
    /* The learning thread may meet some of the markers before the close does. */
    assert_int_equal(thread_start(&opener, "opener", open_later, &gate, NULL), LEAT_OK);
    trainer_close(trainer);
    thread_join(&opener);
    assert_int_equal(atomic_load(&brought.calls), 16);
    assert_false(file_there(fake));
    gate_deinit(&gate);
    model_close(model);
    disk_fake_destroy(fake);
}

static void learnt_is_set_after_a_restore(void **state) {
    (void)state;
    struct model *model = new_model();
    struct trainer *trainer = new_trainer(NULL, model, 0, true, NULL);
    trainer_set_learnt(trainer, 70);
    assert_true(trainer_wait(trainer, 70, 0));
    assert_int_equal(trainer_reach(trainer, 60, NULL), LEAT_OK); /* replayed: never goes back */
    assert_int_equal(trainer_learnt(trainer), 70);
    assert_int_equal(trainer_reach(trainer, 80, NULL), LEAT_OK);
    assert_int_equal(trainer_learnt(trainer), 80);
    trainer_close(trainer);
    model_close(model);
}

static void memory_may_end(void **state) {
    (void)state;
    struct disk_fake *fake = new_disk();
    struct example_queue *queue = NULL;
    struct queue_options options = {
        .disk = disk_fake_disk(fake), .spill_path = SPILL, .examples_max = 1};
    for (uint64_t n = 1; !queue; n++) {
        memory_fail_at(n);
        leat_status status = queue_open(&options, &queue, NULL);
        assert_int_equal(status, queue ? LEAT_OK : LEAT_MEMORY);
    }
    /* Pushing is repeated until it succeeds, through chunks, frames and the file. */
    for (uint64_t n = 0; n < 20; n++) {
        struct drawn drawn;
        struct queue_entry entry;
        draw_entry(n, &drawn, &entry);
        leat_status status = LEAT_MEMORY;
        for (uint64_t fail = 1; status == LEAT_MEMORY; fail++) {
            memory_fail_at(fail);
            status = queue_push(queue, &entry, NULL);
        }
        assert_int_equal(status, LEAT_OK);
    }
    memory_fail_at(0);
    for (uint64_t taken = 0; taken < 20;) {
        taken += take_some(queue, taken);
    }
    queue_close(queue);
    disk_fake_destroy(fake);
}

/* --- scoring beside learning --- */

struct reader {
    const struct model *model;
    _Atomic bool stop;
};

static void *score_on(void *argument) {
    struct reader *reader = argument;
    struct arena arena;
    arena_init(&arena, 65536, 1 << 20);
    for (uint64_t n = 0; n == 0 || !atomic_load(&reader->stop); n++) {
        struct scorer *scorer = NULL;
        struct drawn drawn;
        float out[2];
        draw(n % 1000, &drawn);
        arena_reset(&arena);
        INVARIANT(scorer_begin(reader->model, &arena, &scorer, NULL) == LEAT_OK, "no scorer");
        scorer_score(scorer, drawn.keys, drawn.example.key_count, drawn.dense, out);
        scorer_end(scorer);
        INVARIANT(out[0] >= 0 && out[0] <= 1, "score %f", (double)out[0]);
    }
    arena_deinit(&arena);
    return NULL;
}

static void scoring_beside_learning(void **state) {
    (void)state;
    struct disk_fake *fake = new_disk();
    struct model *model = new_model();
    struct trainer *trainer = new_trainer(fake, model, 1000, false, NULL);
    struct reader reader = {.model = model};
    struct thread thread = {0};
    assert_int_equal(thread_start(&thread, "reader", score_on, &reader, NULL), LEAT_OK);
    push_range(trainer, 0, 3000);
    assert_int_equal(trainer_reach(trainer, 3000, NULL), LEAT_OK);
    assert_true(trainer_wait(trainer, 3000, 60000));
    atomic_store(&reader.stop, true);
    thread_join(&thread);
    trainer_close(trainer);
    model_close(model);
    disk_fake_destroy(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_kept),
        cmocka_unit_test(two_threads_keep_order),
        cmocka_unit_test(failing_writes_lose_nothing),
        cmocka_unit_test(pushing_does_not_allocate),
        cmocka_unit_test(same_weights_however_queued),
        cmocka_unit_test(damage_stops_the_trainer),
        cmocka_unit_test(close_drops_the_queue),
        cmocka_unit_test(learnt_is_set_after_a_restore),
        cmocka_unit_test(memory_may_end),
        cmocka_unit_test(scoring_beside_learning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
