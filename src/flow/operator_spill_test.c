/* An operator with a small memory and a folder to spill to, beside one with room: the same rows
 * out, the same state, snapshots that each can go on from; and memory stays within its bound. */
#include "base/hash.h"
#include "base/rng.h"
#include "flow/operator_fixture.h"

#include <stdlib.h>
#include <unistd.h>

enum { GROUPS = 4, ROWS = 200, BATCHES = 120, MEMORY = 1500 << 10, PEOPLE = 3000 };

struct told {
    int64_t bytes, most;
};

static void tell(void *context, int64_t bytes) {
    struct told *told = context;
    told->bytes += bytes;
    told->most = told->bytes > told->most ? told->bytes : told->most;
}

struct pair {
    leat_operator *spilled, *plain;
    struct builder *builder;
    struct rng rng;
    struct told told;
    char folder[64];
    int64_t now_ms;
    uint64_t rows; /* that came out */
};

static leat_operator *spilled_open(struct pair *pair, const char *kind) {
    leat_operator *op = NULL;
    leat_error err = {0};
    leat_host host = {
        .context = &pair->told, .memory = tell, .memory_max = MEMORY, .spill_folder = pair->folder};
    if (leat_operator_open(kind, operator_text, &host, (leat_key_groups){GROUPS, 0, GROUPS}, &op,
                           &err) < 0) {
        fail_msg("%s", err.message);
    }
    return op;
}

static void pair_open(struct pair *pair, const char *kind, uint64_t seed) {
    *pair = (struct pair){.now_ms = FIXTURE_START_MS};
    snprintf(pair->folder, sizeof(pair->folder), "/tmp/leat-spill-XXXXXX");
    assert_non_null(mkdtemp(pair->folder));
    rng_init(&pair->rng, seed);
    pair->spilled = spilled_open(pair, kind);
    pair->plain = operator_open(kind, GROUPS);
    assert_int_equal(builder_create(pair->plain->inputs[0].schema, &pair->builder, NULL), LEAT_OK);
}

static void pair_close(struct pair *pair) {
    leat_operator_close(pair->spilled);
    leat_operator_close(pair->plain);
    builder_destroy(pair->builder);
    assert_int_equal(rmdir(pair->folder), 0); /* nothing was left there */
}

/* Mostly few people, now and then any. */
static void events_make(struct pair *pair, struct batch *batch) {
    builder_clear(pair->builder);
    for (int i = 0; i < ROWS; i++) {
        double u = rng_unit(&pair->rng);
        struct operator_row row = {.kind = "click",
                                   .user = (int)(u * u * u * PEOPLE),
                                   .item = (int)rng_below(&pair->rng, 300),
                                   .id = (int)rng_below(&pair->rng, 100000),
                                   .request = -1,
                                   .category = (int)rng_below(&pair->rng, 40),
                                   .region = -1,
                                   .time_ms = pair->now_ms + i};
        operator_event(pair->builder, &row);
    }
    assert_int_equal(builder_finish(pair->builder, batch, NULL), LEAT_OK);
}

static uint64_t pull_all(leat_operator *op, uint64_t *rows) {
    uint64_t hash = 0;
    struct ArrowArray array;
    while (op->kind->output_count > 0 && leat_operator_pull(op, 0, &array, NULL) == LEAT_OK) {
        hash = hash_mix(hash, (uint64_t)array.length);
        *rows += (uint64_t)array.length;
        array.release(&array);
    }
    return hash;
}

static void both(leat_status spilled, leat_status plain, const leat_error *err) {
    if (spilled != LEAT_OK) {
        print_error("%s\n", err->message);
    }
    assert_int_equal(spilled, LEAT_OK);
    assert_int_equal(plain, LEAT_OK);
}

static void pair_step(struct pair *pair) {
    struct batch batch;
    leat_error err = {0};
    pair->now_ms += 1 + (int64_t)rng_below(&pair->rng, 3000);
    both(leat_operator_now(pair->spilled, pair->now_ms, &err),
         leat_operator_now(pair->plain, pair->now_ms, NULL), &err);
    events_make(pair, &batch);
    both(operator_push_batch(pair->spilled, 0, &batch, &err),
         operator_push_batch(pair->plain, 0, &batch, NULL), &err);
    uint64_t rows[2] = {0};
    assert_true(pull_all(pair->spilled, &rows[0]) == pull_all(pair->plain, &rows[1]));
    assert_int_equal(rows[0], rows[1]);
    pair->rows += rows[0];
    assert_true(pair->spilled->budget.bytes_used <= MEMORY);
}

static void pair_compare(struct pair *pair) {
    uint64_t digests[2];
    assert_int_equal(state_digest(pair->spilled->keyed, &digests[0], NULL), LEAT_OK);
    assert_int_equal(state_digest(pair->plain->keyed, &digests[1], NULL), LEAT_OK);
    assert_true(digests[0] == digests[1]);
}

/* Goes on from its own snapshot, which is larger than its memory. */
static void pair_restart(struct pair *pair, const char *kind) {
    struct bytes blocks[GROUPS + 1];
    leat_snapshot *snapshot;
    leat_error err = {0};
    assert_int_equal(leat_operator_freeze(pair->spilled, &snapshot, &err), LEAT_OK);
    bool shared = pair->spilled->shared != NULL;
    for (uint32_t group = 0; group < GROUPS + (uint32_t)shared; group++) {
        uint32_t number = group == GROUPS ? LEAT_GROUP_SHARED : group;
        bytes_init(&blocks[group]);
        leat_sink sink = {bytes_write, &blocks[group]};
        assert_int_equal(leat_snapshot_write(snapshot, number, sink, &err), LEAT_OK);
    }
    leat_snapshot_release(snapshot);
    leat_operator_close(pair->spilled);
    pair->spilled = spilled_open(pair, kind);
    for (uint32_t group = 0; group < GROUPS + (uint32_t)shared; group++) {
        uint32_t number = group == GROUPS ? LEAT_GROUP_SHARED : group;
        struct bytes_reader reader = bytes_reader_of(blocks[group].data, blocks[group].size);
        leat_source source = {bytes_read, &reader};
        leat_status status = leat_operator_restore(pair->spilled, number, source, &err);
        assert_true(status == LEAT_OK || status == LEAT_END);
        bytes_deinit(&blocks[group]);
    }
}

static void kind_run(const char *kind, uint64_t seed, bool grows) {
    struct pair pair;
    pair_open(&pair, kind, seed);
    for (int i = 0; i < BATCHES; i++) {
        pair_step(&pair);
        if (i == BATCHES / 2) {
            pair_compare(&pair);
            pair_restart(&pair, kind);
            pair_compare(&pair);
        }
    }
    pair_compare(&pair);
    uint64_t fetched, written;
    state_spill_counts(pair.spilled->keyed, &fetched, &written);
    assert_true(!grows || (fetched > 100 && written > MEMORY / 4));
    assert_true(!grows || state_bytes(pair.plain->keyed) > MEMORY);
    assert_true(pair.plain->kind->output_count == 0 || pair.rows > 0);
    pair_close(&pair);
}

static void test_profile(void **state) {
    (void)state;
    kind_run("profile", 1, true);
}

static void test_dedup(void **state) {
    (void)state;
    kind_run("dedup", 2, false);
}

static void test_tally(void **state) {
    (void)state;
    kind_run("tally", 3, false);
}

/* A folder that is not there is said at opening. */
static void test_no_folder(void **state) {
    (void)state;
    leat_operator *op = NULL;
    leat_error err = {0};
    leat_host host = {.memory_max = MEMORY, .spill_folder = "/nowhere/at/all"};
    assert_true(leat_operator_open("dedup", operator_text, &host, (leat_key_groups){1, 0, 1}, &op,
                                   &err) < 0);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_dedup),
        cmocka_unit_test(test_tally),
        cmocka_unit_test(test_no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
