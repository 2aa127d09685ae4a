#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "connect/connect_fixture.h"
#include "connect/row_encoder.h"
#include "connect/row_reader.h"

#include <leat/scorer.h>

#include <math.h>
#include <stdlib.h>

struct made {
    struct disk_fake *fake;
    struct row_plan *plan;
    struct row_encoder *encoder;
    struct row_batch batch;
    struct refusals refusals;
    char refused[500];
};

static leat_status survey(struct made *made, enum row_format format, const char *text,
                          const char *features, const char *labels, const char *interactions,
                          leat_error *err) {
    made->fake = fixture_disk();
    made->plan = memory_zalloc(sizeof(*made->plan));
    fixture_text(made->fake, "rows", text);
    struct row_source_options options = {
        .disk = disk_fake_disk(made->fake), .format = format, .path = FIXTURE_FOLDER "/rows"};
    leat_status status = labels ? plan_add_labels(made->plan, labels, err) : LEAT_OK;
    return status < 0 ? status : plan_survey(made->plan, &options, features, interactions, err);
}

/* Reads all rows of a text into one batch; `more` sets what a test wants set in the plan. */
static void make(struct made *made, enum row_format format, const char *text, const char *features,
                 const char *labels, const char *interactions, void (*more)(struct row_plan *)) {
    static const char *const paths[] = {FIXTURE_FOLDER "/rows"};
    leat_error err = {.message = ""};
    *made = (struct made){.refusals = {.show = NULL}};
    if (survey(made, format, text, features, labels, interactions, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    if (more) {
        more(made->plan);
    }
    struct row_reader *reader;
    FILE *words = fmemopen(made->refused, sizeof(made->refused), "w");
    made->refusals.show = words;
    assert_int_equal(row_encoder_create(made->plan, &made->encoder, NULL), LEAT_OK);
    assert_int_equal(row_encoder_batch(made->encoder, 100, &made->batch, NULL), LEAT_OK);
    const struct row_reader_options options = {
        .source = {.disk = disk_fake_disk(made->fake), .format = format},
        .paths = paths,
        .path_count = 1,
        .plan = made->plan,
        .encoder = made->encoder,
        .refusals = &made->refusals,
    };
    assert_int_equal(row_reader_open(&options, &reader, NULL), LEAT_OK);
    assert_int_equal(row_reader_next(reader, &made->batch, &err), LEAT_OK);
    assert_int_equal(row_reader_bytes_read(reader), strlen(text));
    row_reader_close(reader);
    fclose(words);
}

static void unmake(struct made *made) {
    row_batch_deinit(&made->batch);
    row_encoder_destroy(made->encoder);
    plan_deinit(made->plan);
    memory_free(made->plan);
    disk_fake_destroy(made->fake);
}

static uint64_t of(const char *text) {
    return hash_slice(slice_of(text));
}

/* The keys of one row, in order; ended by 0. */
static void expect_keys(const struct made *made, int row, const uint64_t *keys) {
    uint32_t at = made->batch.offsets[row];
    for (; *keys; keys++, at++) {
        assert_true(at < made->batch.offsets[row + 1]);
        assert_int_equal(made->batch.keys[at], *keys);
    }
    assert_int_equal(at, made->batch.offsets[row + 1]);
}
#define KEYS(made, row, ...) expect_keys(made, row, (const uint64_t[]){__VA_ARGS__, 0})

static void keys_are_hashes_by_field(void **state) {
    (void)state;
    struct made made;
    make(&made, ROW_CSV,
         "user,item,genres,y\n"
         "u1,i1,a|b,1\n"
         "u2,i1,,0\n",
         "item,user,list(genres),user*item,user*list(genres)", "y", NULL, NULL);
    assert_int_equal(made.batch.count, 2);
    KEYS(&made, 0, key_make(0, of("i1")), key_make(1, of("u1")), key_make(2, of("a")),
         key_make(2, of("b")), key_make(3, hash_mix(of("u1"), of("i1"))),
         key_make(4, hash_mix(of("u1"), of("a"))), key_make(4, hash_mix(of("u1"), of("b"))));
    KEYS(&made, 1, key_make(0, of("i1")), key_make(1, of("u2")),
         key_make(3, hash_mix(of("u2"), of("i1"))));
    /* Who scores from C makes the same keys. */
    const uint64_t crossed[] = {of("u2"), of("i1")};
    KEYS(&made, 1, leat_model_key(0, "i1", 2), leat_model_key(1, "u2", 2),
         leat_model_cross_key(3, crossed, 2));
    assert_true(made.batch.targets[0] == 1 && made.batch.targets[1] == 0);
    assert_true(made.batch.weights[0] == 1 && made.batch.weights[1] == 1);
    assert_false(made.batch.valued);
    unmake(&made);
}

/* The same values give the same keys, whatever the format. */
static void formats_agree(void **state) {
    (void)state;
    struct made csv;
    struct made vw;
    struct made ffm;
    make(&csv, ROW_CSV, "y,0,1\n1,77,abc\n0,8,d\n", NULL, "y", NULL, NULL);
    make(&vw, ROW_VW, "1 |0 77 |1 abc\n-1 |0 8 |1 d\n", NULL, NULL, NULL, NULL);
    make(&ffm, ROW_LIBSVM, "1 0:77:1 1:abc:1\n-1 0:8:1 1:d:1\n", NULL, NULL, NULL, NULL);
    for (struct made *other = &vw; other; other = other == &vw ? &ffm : NULL) {
        assert_int_equal(other->batch.key_count, 4);
        assert_memory_equal(other->batch.keys, csv.batch.keys, 4 * sizeof(uint64_t));
        assert_memory_equal(other->batch.targets, csv.batch.targets, 2 * sizeof(float));
    }
    unmake(&csv);
    unmake(&vw);
    unmake(&ffm);
}

static void vw_has_values_weights_and_interactions(void **state) {
    (void)state;
    struct made made;
    make(&made, ROW_VW, "1 2 |ad x:0.5 |bid y z:2\n-1 |bid q\n", NULL, NULL, "ab", NULL);
    KEYS(&made, 0, key_make(0, of("x")), key_make(1, of("y")), key_make(1, of("z")),
         key_make(2, hash_mix(of("x"), of("y"))), key_make(2, hash_mix(of("x"), of("z"))));
    KEYS(&made, 1, key_make(1, of("q")));
    const float values[] = {0.5f, 1, 2, 0.5f, 1, 1};
    assert_memory_equal(made.batch.values, values, sizeof(values));
    assert_true(made.batch.weights[0] == 2 && made.batch.weights[1] == 1);
    unmake(&made);
}

static void name_weight_and_time(struct row_plan *plan) {
    memcpy(plan->weight, "w", 2);
    memcpy(plan->time, "at", 3);
}

static void malformed_rows_are_named(void **state) {
    (void)state;
    struct made made;
    make(&made, ROW_CSV,
         "y,a,w,at,n\n"
         "1,x,1,100,1\n"
         "2,x,1,100,1\n"
         "0,x,-1,100,1\n"
         "0,x,1,soon,1\n"
         "0,x,1\n"
         "0,x,1,100,big\n"
         "0,x,0.5,1500000000123,3\n"
         ",x,,2017-10-11T03:00:00Z,\n",
         "a,dense(n)", "y", NULL, name_weight_and_time);
    assert_int_equal(made.refusals.count, 5);
    assert_int_equal(made.batch.count, 3);
    static const char *const said[] = {
        "set/rows:3: y: '2' is not 0, 1 or -1", "set/rows:4: w: '-1' is not a weight",
        "set/rows:5: at: 'soon' is no time",    "set/rows:6: 3 fields, not 5",
        "set/rows:7: n: 'big' is not a number",
    };
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        if (!strstr(made.refused, said[i])) {
            fail_msg("not '%s' in:\n%s", said[i], made.refused);
        }
    }
    const uint64_t numbers[] = {0, 6, 7};
    const uint32_t times[] = {100, 1500000000, 1507690800};
    assert_memory_equal(made.batch.numbers, numbers, sizeof(numbers));
    assert_memory_equal(made.batch.times, times, sizeof(times));
    assert_int_equal(made.batch.times_ms[1], 1500000000123);
    assert_true(made.batch.weights[1] == 0.5f && made.batch.weights[2] == 0);
    unmake(&made);
}

static void buckets_and_histories(void **state) {
    (void)state;
    struct made made;
    make(&made, ROW_CSV, "y,p,q,seen\n1,17,0,a b c\n0,18,1,\n0,40.5,2,d\n1,,100,e f\n",
         "bucket(p, 18, 40),bucket(q, 2),logbucket(q),history(seen, 2, space)", "y", NULL, NULL);
    /* q in halves: the bound is the third of four values, 2. floor(log(100)^2) = 21. */
    KEYS(&made, 0, key_make(0, of("0")), key_make(1, of("0")), key_make(2, of("0")),
         key_make(3, of("b")), key_make(3, of("c")));
    KEYS(&made, 1, key_make(0, of("1")), key_make(1, of("0")), key_make(2, of("1")));
    KEYS(&made, 2, key_make(0, of("2")), key_make(1, of("1")), key_make(2, of("2")),
         key_make(3, of("d")));
    KEYS(&made, 3, key_make(0, of("")), key_make(1, of("1")), key_make(2, of("21")),
         key_make(3, of("e")), key_make(3, of("f")));
    unmake(&made);
}

/* What is standardised is so by the rows before it, and not by refused ones. */
static void dense_inputs(void **state) {
    (void)state;
    struct made made;
    make(&made, ROW_CSV, "y,a\n1,10\n0,20\n5,1000\n1,15\n0,30\n",
         "dense(a),dense(a, log),dense(a,standard)", "y", NULL, NULL);
    assert_int_equal(made.batch.count, 4);
    assert_int_equal(made.plan->dense_count, 3);
    const double raw[] = {10, 20, 15, 30};
    const double standard[] = {0, 0, 0, 15 / sqrt(50.0 / 3)};
    for (int i = 0; i < 4; i++) {
        assert_true(made.batch.dense[3 * i] == (float)raw[i]);
        assert_true(made.batch.dense[3 * i + 1] == (float)log1p(raw[i]));
        assert_true(fabs((double)made.batch.dense[3 * i + 2] - standard[i]) < 1e-6);
    }
    struct bytes saved;
    bytes_init(&saved);
    row_encoder_save(made.encoder, &saved);
    struct row_encoder *other;
    assert_int_equal(row_encoder_create(made.plan, &other, NULL), LEAT_OK);
    for (size_t size = 0; size <= saved.size; size++) {
        struct bytes_reader reader = bytes_reader_of(saved.data, size);
        assert_int_equal(row_encoder_load(other, &reader, NULL),
                         size < saved.size ? LEAT_CORRUPT : LEAT_OK);
    }
    struct bytes again;
    bytes_init(&again);
    row_encoder_save(other, &again);
    assert_int_equal(again.size, saved.size);
    assert_memory_equal(again.data, saved.data, saved.size);
    bytes_deinit(&again);
    bytes_deinit(&saved);
    row_encoder_destroy(other);
    unmake(&made);
}

static void hash_some(struct row_plan *plan) {
    assert_int_equal(plan_hash_rows(plan, "a=3", NULL), LEAT_OK);
    assert_int_equal(plan_hash_rows(plan, "none=3", NULL), LEAT_INVALID);
    assert_int_equal(plan_hash_rows(plan, "a=0", NULL), LEAT_INVALID);
}

static void labels_of_all_kinds(void **state) {
    (void)state;
    struct made made;
    make(&made, ROW_CSV, "click,rating,watch,a\ntrue,4,3.5,x\nfalse,3.9,-1,y\n", "a",
         "click,liked=rating>=4,watch:regression", NULL, hash_some);
    const float targets[] = {1, 1, 3.5f, 0, 0, -1};
    assert_memory_equal(made.batch.targets, targets, sizeof(targets));
    assert_string_equal(made.plan->labels[1].name, "liked");
    KEYS(&made, 0, key_make(0, of("x") % 3));
    struct model_spec spec = {.dimension = 8};
    assert_int_equal(plan_into_spec(made.plan, &spec, NULL), LEAT_OK);
    assert_int_equal(spec.task_count, 3);
    assert_int_equal(spec.tasks[2].head, HEAD_REGRESSION);
    assert_string_equal(spec.fields[0].name, "a");
    unmake(&made);
}

static void histories_share_rows(void **state) {
    (void)state;
    struct made made;
    make(&made, ROW_CSV, "y,item,seen\n1,a,b|c\n", "history(seen, 5, item, target),item", "y", NULL,
         NULL);
    struct model_spec spec = {.dimension = 8};
    assert_int_equal(plan_into_spec(made.plan, &spec, NULL), LEAT_OK);
    assert_int_equal(spec.fields[0].shares, 1);
    assert_int_equal(spec.fields[0].target, 1);
    assert_int_equal(spec.fields[0].pool, POOL_TARGET);
    assert_int_equal(spec.fields[1].shares, 1);
    unmake(&made);
}

static void wrong_words_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *features, *labels, *says;
    } cases[] = {
        {"usr", "y", "there is no column 'usr'; did you mean 'user'?"},
        {"user", "yy", "there is no column 'yy'"},
        {"user*itme", "y", "did you mean 'item'?"},
        {"buckt(item, 3)", "y", "there are list, history, bucket"},
        {"bucket(item, 1)", "y", "there is no column 'item1'"},
        {"bucket(item)", "y", "too few or too many words"},
        {"bucket(item, 3 2)", "y", "bounds that rise"},
        {"history(item, 0)", "y", "n from 1 to 1024"},
        {"history(item, 5, target)", "y", "target needs the feature"},
        {"list(item, ||)", "y", "one character"},
        {"list(item", "y", "not closed"},
        {"dense(item, square)", "y", "log and standard are possible"},
        {"user,,item", "y", "a feature without a name"},
        {"user*user*user*user*user", "y", "at most 4 parts"},
        {"user", "y>=x", "after >= a number"},
        {"user", "y:ordinal", "only :regression"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct made made = {.plan = NULL};
        leat_error err = {.message = ""};
        bool one_bound = strcmp(cases[i].features, "bucket(item, 1)") == 0;
        leat_status status = survey(&made, ROW_CSV, "y,user,item\n1,2,3\n", cases[i].features,
                                    cases[i].labels, NULL, &err);
        assert_int_equal(status, one_bound ? LEAT_OK : LEAT_INVALID);
        if (!one_bound && !strstr(err.message, cases[i].says)) {
            fail_msg("not '%s': %s", cases[i].says, err.message);
        }
        unmake(&made);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_hashes_by_field),
        cmocka_unit_test(formats_agree),
        cmocka_unit_test(vw_has_values_weights_and_interactions),
        cmocka_unit_test(malformed_rows_are_named),
        cmocka_unit_test(buckets_and_histories),
        cmocka_unit_test(dense_inputs),
        cmocka_unit_test(labels_of_all_kinds),
        cmocka_unit_test(histories_share_rows),
        cmocka_unit_test(wrong_words_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
