/* The grammar of model.features: what each form means, and what is refused in which words. */
#include "flow/catalog.h"
#include "flow/feature_spec.h"
#include "flow/flow_fixture.h"

static struct config *config_of(const char *list) {
    char text[512];
    snprintf(text, sizeof(text), "model: {features: [%s]}\n" FIXTURE_ACTIONS, list);
    return fixture_config(text);
}

static void refused(const char *list, const char *words) {
    struct config *config = config_of(list);
    struct feature_fields fields;
    leat_error err = {.message = ""};
    assert_int_equal(features_fields(config, &fields, &err), LEAT_INVALID);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' says nothing of '%s'", err.message, words);
    }
    config_destroy(config);
}

static void test_forms(void **context) {
    (void)context;
    struct feature_fields all;
    struct config *config =
        config_of("user, item, tag*region, history(click, 20), history(rate,4, target), "
                  "bucket(click_item, -1, 0.5, 2), bucket(user_count, 3), category");
    assert_int_equal(features_fields(config, &all, NULL), LEAT_OK);
    const struct feature_field *f = all.fields;
    assert_int_equal(all.count, 8);
    assert_int_equal(all.keys_max,
                     1 + 1 + CATALOG_VALUES_MAX + 20 + 4 + 1 + 1 + CATALOG_VALUES_MAX);
    assert_int_equal(f[2].spec.kind, FEATURE_CROSS);
    assert_int_equal(f[2].spec.a.source, SOURCE_TAG);
    assert_int_equal(f[2].spec.b.source, SOURCE_CONTEXT);
    assert_true(slice_is(f[2].spec.b.text, "region"));
    assert_int_equal(f[3].action, FIXTURE_CLICK);
    assert_int_equal(f[3].pool, FEATURE_MEAN);
    assert_int_equal(f[3].spec.length, 20);
    assert_int_equal(f[3].target, -1);
    assert_int_equal(f[4].action, FIXTURE_RATE);
    assert_int_equal(f[4].pool, FEATURE_TARGET);
    assert_int_equal(f[4].target, 1);
    assert_int_equal(f[5].spec.bound_count, 3);
    assert_int_equal(f[5].dense, DENSE_FIXED + TASK_ITEM);
    assert_int_equal(f[6].dense, DENSE_USER_COUNT);
    const bool of_item[] = {false, true, true, false, false, true, false, true};
    const int shares[] = {0, 1, 2, 1, 1, 5, 6, 7};
    for (int i = 0; i < all.count; i++) {
        assert_int_equal(f[i].of_item, of_item[i]);
        assert_int_equal(f[i].shares, shares[i]);
    }
    assert_int_equal(features_history_max(&all, FIXTURE_CLICK), 20);
    assert_int_equal(features_history_max(&all, FIXTURE_RATE), 4);
    assert_int_equal(features_history_max(&all, FIXTURE_LIKE), 0);
    config_destroy(config);
}

static void test_refusals(void **context) {
    (void)context;
    refused("item, history(click)", "'history(click)': write history(action, n)");
    refused("item, history(click, 0)", "n from 1 to 64");
    refused("item, history(click, 65)", "n from 1 to 64");
    refused("item, history(click, 5, far)", "only 'target' may follow");
    refused("item, history(click, 5, target, 1)", "only 'target' may follow");
    refused("item, history(stare, 5)", "'history(stare,5)': there is no such action");
    refused("user, history(click, 5)", "shares the rows of 'item': add it");
    refused("bucket(user_count)", "write bucket(");
    refused("bucket(age_of_moon, 1)", "there is no such dense feature");
    refused("bucket(user_count, 2, 1)", "bounds must rise");
    refused("bucket(user_count, 1, 1)", "bounds must rise");
    refused("bucket(user_count, one)", "a bound is no number");
    refused("square(user)", "only history and bucket take words");
    refused("item, history(click, 60), category", "could have 69 keys, and 64 are the most");
    refused("category*tag, user", "could have 65 keys");
}

static void test_dense_names(void **context) {
    (void)context;
    struct config *config = config_of("user");
    char name[FEATURE_NAME_MAX];
    int count = features_dense_number(config);
    assert_int_equal(count, DENSE_FIXED + TASK_DENSE * FEATURE_TASKS);
    for (int i = 0; i < count; i++) {
        features_dense_name(config, i, name);
        assert_int_equal(features_dense_find(config, slice_of(name)), i);
    }
    assert_int_equal(features_dense_find(config, slice_of("no such")), -1);
    features_dense_name(config, DENSE_FIXED + TASK_DENSE + TASK_USER_LATELY, name);
    assert_string_equal(name, "like_user_lately");
    config_destroy(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_dense_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
