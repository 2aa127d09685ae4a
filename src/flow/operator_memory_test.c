/* Every allocation of every call fails once: the call says so, and either it changed nothing, and
 * works when it is asked again, or the operator has failed for good and goes on saying so. */
#include "flow/operator_fixture.h"
#include "flow/step.h"

#include <stdlib.h>

enum { GROUPS = 3, BATCHES = 6, FAULTS_MAX = 400 };

/* What a script works on; batches are made before anything fails. */
struct script {
    const char *kind;
    leat_operator *op;
    leat_snapshot *snapshot;
    struct builder *builders[BATCHES];
    struct batch batches[BATCHES];
    struct ArrowArray arrays[BATCHES];
    int inputs[BATCHES];
    struct bytes blocks[GROUPS + 1];
    uint64_t rows; /* pulled */
};

/* --- the calls of a script, one after the other --- */

static leat_status call_open(struct script *script, int number, leat_error *err) {
    (void)number;
    return leat_operator_open(script->kind, operator_text, NULL,
                              (leat_key_groups){GROUPS, 0, GROUPS}, &script->op, err);
}

static leat_status call_now(struct script *script, int number, leat_error *err) {
    return leat_operator_now(script->op, FIXTURE_START_MS + number * 3600000, err);
}

static void lend_release(struct ArrowArray *array) {
    array->release = NULL;
}

/* Slices are taken by a copy, the others are pointed into. */
static leat_status call_push(struct script *script, int number, leat_error *err) {
    struct ArrowArray array = script->arrays[number];
    array.release = lend_release;
    array.offset = number % 2;
    array.length -= number % 2;
    return leat_operator_push(script->op, script->inputs[number], &array, err);
}

static leat_status call_end(struct script *script, int number, leat_error *err) {
    return leat_operator_end(script->op, number, err);
}

static leat_status call_pull(struct script *script, int number, leat_error *err) {
    struct ArrowArray array;
    leat_status status = script->op->kind->output_count > 0
                             ? leat_operator_pull(script->op, 0, &array, err)
                             : LEAT_AGAIN;
    (void)number;
    if (status == LEAT_OK) {
        script->rows += (uint64_t)array.length;
        array.release(&array);
    }
    return status;
}

static leat_status call_lookup(struct script *script, int number, leat_error *err) {
    leat_buffer words;
    char text[FIXTURE_TEXT];
    bool by_item = strcmp(script->kind, "tally") == 0 || strcmp(script->kind, "pairs") == 0;
    char letter = strcmp(script->kind, "dedup") == 0 ? 'e' : by_item ? 'i' : 'u';
    struct slice key = fixture_id(text, letter, number);
    leat_status status =
        leat_operator_lookup(script->op, &(leat_key){key.data, key.size}, &words, err);
    leat_buffer_release(&words);
    return status;
}

static leat_status call_freeze(struct script *script, int number, leat_error *err) {
    (void)number;
    return leat_operator_freeze(script->op, &script->snapshot, err);
}

static leat_status call_restore(struct script *script, int number, leat_error *err) {
    uint32_t group = number == GROUPS ? LEAT_GROUP_SHARED : (uint32_t)number;
    struct bytes *block = &script->blocks[number];
    struct bytes_reader reader = bytes_reader_of(block->data, block->size);
    return leat_operator_restore(script->op, group, (leat_source){bytes_read, &reader}, err);
}

typedef leat_status (*call)(struct script *script, int number, leat_error *err);

/* Makes the n-th allocation of a call fail. A call that changed nothing is asked again, and must
 * then do. False: the operator has failed; every later call says the same. `*hit`: there was an
 * n-th allocation. */
static bool call_failing(struct script *script, call call, int number, uint64_t n, bool *hit) {
    leat_error err = {0};
    uint64_t refusals = memory_refusals();
    memory_fail_at(n);
    leat_status status = call(script, number, &err);
    memory_fail_at(0);
    *hit = memory_refusals() != refusals;
    if (status >= 0) {
        return true;
    }
    assert_true(status == LEAT_MEMORY || status == LEAT_FULL);
    assert_true(strlen(err.message) > 0);
    if (script->op && script->op->failed.status != LEAT_OK) {
        assert_int_equal(call_now(script, 99, &err), status);
        assert_int_equal(call_freeze(script, 0, &err), status);
        return false;
    }
    memset(&err, 0, sizeof(err));
    if (call(script, number, &err) < 0) {
        fail_msg("asked again: %s", err.message);
    }
    return true;
}

/* --- scripts --- */

static void rows_of(struct script *script, int number, int input, const struct schema *schema) {
    struct builder *builder;
    assert_int_equal(builder_create(schema, &builder, NULL), LEAT_OK);
    for (int i = 0; i < 40; i++) {
        struct operator_row row = {.kind = i % 2 ? "click" : "impression",
                                   .user = i % 7,
                                   .item = i % 11,
                                   .id = i,
                                   .request = i % 7,
                                   .category = -1,
                                   .region = -1,
                                   .time_ms = FIXTURE_START_MS + i};
        if (schema == schema_step()) {
            char text[FIXTURE_TEXT];
            struct made_row made;
            uint64_t neighbour = fixture_hash('i', 0);
            made_action(&made, 0, 1, i % 11, row.time_ms);
            builder_u64(builder, STEP_ITEM_HASH, made.row.item_hash);
            builder_text(builder, STEP_ITEM, fixture_id(text, 'i', i % 11));
            builder_i64(builder, STEP_TIME, row.time_ms);
            builder_i32(builder, STEP_SIDE, PAIRS_IN);
            builder_i32(builder, STEP_DISTANCE, 0);
            builder_list_u64(builder, STEP_NEIGHBOURS, &neighbour, i > 11);
            builder_row_end(builder);
        } else if (schema == schema_served()) {
            operator_served(builder, &row);
        } else {
            row.kind = input == 2 ? "item" : row.kind;
            row.category = input == 2 ? 1 : -1;
            operator_event(builder, &row);
        }
    }
    assert_int_equal(builder_finish(builder, &script->batches[number], NULL), LEAT_OK);
    script->builders[number] = builder;
    script->inputs[number] = input;
}

/* The arrays are the script's: an operator releases a copy, which does nothing. */
static void script_begin(struct script *script, const char *kind) {
    *script = (struct script){.kind = kind};
    leat_operator *op = operator_open(kind, GROUPS);
    for (int i = 0; i < BATCHES; i++) {
        int input = i % op->kind->input_count;
        rows_of(script, i, input, op->inputs[input].schema);
        assert_int_equal(
            arrow_export_batch(&script->batches[i], NULL, NULL, &script->arrays[i], NULL), LEAT_OK);
    }
    leat_operator_close(op);
}

static void script_end(struct script *script) {
    for (int i = 0; i < BATCHES; i++) {
        script->arrays[i].release(&script->arrays[i]);
        builder_destroy(script->builders[i]);
    }
    for (int i = 0; i <= GROUPS; i++) {
        bytes_deinit(&script->blocks[i]);
    }
}

struct scripted {
    call call;
    int number;
};

/* The first half runs before the snapshot, the second on an operator that was restored from it. */
static const struct scripted BEFORE[] = {
    {call_open, 0},   {call_now, 0},  {call_push, 0}, {call_push, 1},
    {call_push, 2},   {call_pull, 0}, {call_push, 3}, {call_push, 4},
    {call_lookup, 3}, {call_pull, 0}, {call_pull, 0}, {call_freeze, 0},
};
static const struct scripted AFTER[] = {
    {call_open, 0}, {call_restore, 0}, {call_restore, 1}, {call_restore, 2}, {call_restore, 3},
    {call_push, 5}, {call_pull, 0},    {call_now, 1},     {call_end, 0},     {call_pull, 0},
};
enum {
    BEFORE_CALLS = sizeof(BEFORE) / sizeof(BEFORE[0]),
    AFTER_CALLS = sizeof(AFTER) / sizeof(AFTER[0])
};

/* Runs calls; the one at `at` meets a failure. What is left: the operator, or NULL. */
static bool run(struct script *script, const struct scripted *calls, int count, int at, uint64_t n,
                bool *hit) {
    bool works = true;
    script->rows = 0;
    *hit = false;
    for (int i = 0; works && i < count; i++) {
        leat_error err = {0};
        if (i == at) {
            works = call_failing(script, calls[i].call, calls[i].number, n, hit);
        } else if (calls[i].call(script, calls[i].number, &err) < 0) {
            fail_msg("%s, call %d: %s", script->kind, i, err.message);
        }
    }
    return works;
}

static void script_close(struct script *script) {
    leat_snapshot_release(script->snapshot);
    leat_operator_close(script->op);
    script->snapshot = NULL;
    script->op = NULL;
}

/* The blocks of the snapshot that is open; what is shared is empty where a kind has none. */
static void blocks_write(struct script *script) {
    for (uint32_t group = 0; group <= GROUPS; group++) {
        leat_error err = {0};
        bytes_clear(&script->blocks[group]);
        leat_status status =
            leat_snapshot_write(script->snapshot, group == GROUPS ? LEAT_GROUP_SHARED : group,
                                (leat_sink){bytes_write, &script->blocks[group]}, &err);
        if (status < 0) {
            fail_msg("%s", err.message);
        }
    }
}

static uint64_t digest_of(const struct script *script) {
    uint64_t digest = script->rows;
    digest = hash_mix(digest, fixture_digest(script->op->keyed));
    return script->op->shared ? hash_mix(digest, fixture_digest(script->op->shared)) : digest;
}

/* What became of the failures: the operator failed for good, or the call did when asked again. */
struct outcomes {
    int failed, repeated;
};

static void check_half(struct script *script, const struct scripted *calls, int count,
                       struct outcomes *outcomes) {
    bool hit;
    assert_true(run(script, calls, count, -1, 0, &hit));
    uint64_t want = digest_of(script);
    if (script->snapshot) {
        blocks_write(script);
    }
    script_close(script);
    for (int at = 0; at < count; at++) {
        uint64_t n = 1;
        do {
            bool works = run(script, calls, count, at, n, &hit);
            if (works) {
                assert_true(digest_of(script) == want);
            }
            outcomes->failed += hit && !works;
            outcomes->repeated += hit && works;
            script_close(script);
        } while (hit && ++n < FAULTS_MAX);
        assert_true(n < FAULTS_MAX);
    }
}

/* A block that cannot be written costs its snapshot; the operator goes on. */
static void check_writes(struct script *script) {
    bool hit;
    assert_true(run(script, BEFORE, BEFORE_CALLS, -1, 0, &hit));
    uint64_t want = digest_of(script), n = 0;
    do {
        leat_error err = {0};
        uint64_t refusals = memory_refusals();
        bytes_deinit(&script->blocks[1]);
        memory_fail_at(++n);
        leat_status status = leat_snapshot_write(
            script->snapshot, 1, (leat_sink){bytes_write, &script->blocks[1]}, &err);
        memory_fail_at(0);
        hit = memory_refusals() != refusals;
        assert_int_equal(status, hit ? LEAT_MEMORY : LEAT_OK);
        leat_snapshot_release(script->snapshot);
        assert_int_equal(call_freeze(script, 0, &err), LEAT_OK);
    } while (hit && n < FAULTS_MAX);
    assert_true(n > 1 && n < FAULTS_MAX);
    assert_true(digest_of(script) == want);
    script_close(script);
}

static void test_every_allocation(void **state) {
    (void)state;
    static const char *const kinds[] = {"dedup", "join", "profile", "tally", "pairs"};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct script script;
        script_begin(&script, kinds[k]);
        struct outcomes outcomes = {0, 0};
        check_half(&script, BEFORE, BEFORE_CALLS, &outcomes);
        check_half(&script, AFTER, AFTER_CALLS, &outcomes);
        check_writes(&script);
        assert_true(outcomes.failed > 0 && outcomes.repeated > 50);
        script_end(&script);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
