/* Descriptions of models: what is refused and in which words, what two must agree on, and bytes. */
#include "base/test.h"
#include "learn/learn_test.h"
#include "learn/model_spec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct model_spec deep_spec(void) {
    struct model_spec spec = spec_fixture(2, 4, 3);
    spec.network = NETWORK_DEEPFM;
    spec.field_count = 2;
    for (int f = 0; f < 2; f++) {
        spec.fields[f] = (struct model_field){.target = -1, .shares = f, .rate = 1.0f, .admit = 1};
        snprintf(spec.fields[f].name, sizeof(spec.fields[f].name), "field%d", f);
    }
    spec.hidden_count = 2;
    spec.hidden[0] = 8;
    spec.hidden[1] = 4;
    spec.batch = 32;
    spec.shards = 2;
    return spec;
}

static void refused(const struct model_spec *spec, const char *word) {
    leat_error err = {.message = ""};
    assert_int_equal(model_spec_check(spec, &err), LEAT_INVALID);
    if (!strstr(err.message, word)) {
        fail_msg("'%s' does not name '%s'", err.message, word);
    }
}

static void each_bound_is_named(void **state) {
    (void)state;
    struct model_spec good = deep_spec();
    assert_int_equal(model_spec_check(&good, NULL), LEAT_OK);
#define REFUSED(change, word)                                                                      \
    do {                                                                                           \
        struct model_spec spec = good;                                                             \
        change;                                                                                    \
        refused(&spec, word);                                                                      \
    } while (0)
    REFUSED(spec.task_count = 0, "tasks");
    REFUSED(spec.task_count = MODEL_TASKS_MAX + 1, "tasks");
    REFUSED(spec.dense_count = -1, "dense inputs");
    REFUSED(spec.dimension = 0, "dimension");
    REFUSED(spec.hidden_count = MODEL_LAYERS_MAX + 1, "hidden layers");
    REFUSED(spec.hidden[1] = 0, "hidden layer 2");
    REFUSED(spec.batch = 0, "batch");
    REFUSED(spec.shards = MODEL_SHARDS_MAX + 1, "shards");
    REFUSED(spec.rate = NAN, "rate");
    REFUSED(spec.decay = -1.0f, "decay");
    REFUSED(spec.fields[1].shares = 2, "field1");
    REFUSED(spec.tasks[0].levels = 1, spec.tasks[0].name);
    REFUSED(spec.tasks[1].head = HEAD_RETRIEVAL, "retrieval");
    REFUSED(spec.network = NETWORK_TOWERS, "tasks");
#undef REFUSED
    struct model_spec towers = good;
    towers.network = NETWORK_TOWERS;
    towers.task_count = 1;
    refused(&towers, "retrieval");
    towers.tasks[0].head = HEAD_RETRIEVAL;
    assert_int_equal(model_spec_check(&towers, NULL), LEAT_OK);
}

static void two_agree_on_what_weights_mean(void **state) {
    (void)state;
    struct model_spec a = deep_spec();
    struct model_spec b = a;
    b.rate = 0.5f;
    b.batch = 64;
    b.memory = 1 << 30;
    assert_int_equal(model_spec_agree(&a, &b, NULL), LEAT_OK);
    leat_error err = {.message = ""};
    b.hidden[1] = 5;
    assert_int_equal(model_spec_agree(&a, &b, &err), LEAT_CONFLICT);
    assert_non_null(strstr(err.message, "hidden"));
    b = a;
    snprintf(b.fields[1].name, sizeof(b.fields[1].name), "other");
    assert_int_equal(model_spec_agree(&a, &b, &err), LEAT_CONFLICT);
    assert_non_null(strstr(err.message, "other"));
    b = a;
    b.tasks[1].head = HEAD_REGRESSION;
    assert_int_equal(model_spec_agree(&a, &b, &err), LEAT_CONFLICT);
}

static void bytes_come_back(void **state) {
    (void)state;
    struct model_spec spec = deep_spec();
    struct bytes first;
    struct bytes again;
    bytes_init(&first);
    bytes_init(&again);
    model_spec_write(&spec, &first);
    struct model_spec back;
    struct bytes_reader reader = bytes_reader_of(first.data, first.size);
    assert_int_equal(model_spec_read(&reader, &back, NULL), LEAT_OK);
    assert_int_equal(model_spec_agree(&spec, &back, NULL), LEAT_OK);
    assert_true(back.rate == spec.rate && back.batch == spec.batch && back.seed == spec.seed);
    model_spec_write(&back, &again);
    assert_int_equal(again.size, first.size);
    assert_memory_equal(again.data, first.data, first.size);
    for (size_t cut = 0; cut < first.size; cut++) {
        reader = bytes_reader_of(first.data, cut);
        assert_true(model_spec_read(&reader, &back, NULL) < 0);
    }
    bytes_deinit(&first);
    bytes_deinit(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bound_is_named),
        cmocka_unit_test(two_agree_on_what_weights_mean),
        cmocka_unit_test(bytes_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
