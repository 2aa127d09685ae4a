/* Features: keys that follow the plan, dense values against their formulas written down again, and
 * numbers that stay finite whatever the counts. */
#include "flow/feature.h"
#include "flow/flow_fixture.h"

#define FEATURES(list) "key_groups: 4\nmodel: {features: " list "}\n" FIXTURE_ACTIONS

enum { HOUR_MS = 3600000, RANDOM_FILLS = 20000 };

/* One request and one item, with what feature_fill makes of them. */
struct fill {
    struct config *config;
    struct features *features;
    struct arena arena;
    struct profile_view profile;
    struct background_view background;
    struct pairs_view pairs[PAIRS_BACK];
    struct feature_moment moment;
    struct catalog_view item;
    struct tally_view tally;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    int key_count, dense_count;
};

static void fill_open(struct fill *f, const char *text) {
    memset(f, 0, sizeof(*f));
    f->config = fixture_config(text);
    assert_int_equal(features_create(f->config, &f->features, NULL), LEAT_OK);
    arena_init(&f->arena, 1 << 16, 1 << 20);
    f->moment = (struct feature_moment){.now_ms = FIXTURE_START_MS,
                                        .profile = &f->profile,
                                        .background = &f->background,
                                        .pairs = f->pairs};
    f->item = (struct catalog_view){.hash = 11, .created_ms = FIXTURE_START_MS};
}

static void fill_close(struct fill *f) {
    features_destroy(f->features);
    arena_deinit(&f->arena);
    config_destroy(f->config);
}

/* Twice, to see that it is a function of its inputs. */
static void fill(struct fill *f) {
    for (int round = 0; round < 2; round++) {
        uint64_t keys[EXAMPLE_KEYS_MAX];
        float dense[EXAMPLE_DENSE_MAX];
        struct feature_request *request;
        arena_reset(&f->arena);
        assert_int_equal(feature_begin(f->features, &f->moment, &f->arena, &request, NULL),
                         LEAT_OK);
        feature_fill(request, &f->item, &f->tally, keys, &f->key_count, dense, &f->dense_count);
        assert_int_equal(f->dense_count, features_dense_count(f->features));
        size_t key_bytes = (size_t)f->key_count * sizeof(*keys);
        size_t dense_bytes = (size_t)f->dense_count * sizeof(*dense);
        assert_true(round == 0 || memcmp(f->keys, keys, key_bytes) == 0);
        assert_true(round == 0 || memcmp(f->dense, dense, dense_bytes) == 0);
        memcpy(f->keys, keys, key_bytes);
        memcpy(f->dense, dense, dense_bytes);
    }
}

/* --- keys --- */

/* Bit k: key k is not what it was. The number of keys must not change. */
static uint64_t changed(struct fill *f) {
    uint64_t before[EXAMPLE_KEYS_MAX];
    int count = f->key_count;
    memcpy(before, f->keys, sizeof(before));
    fill(f);
    assert_int_equal(f->key_count, count);
    uint64_t bits = 0;
    for (int k = 0; k < count; k++) {
        bits |= (uint64_t)(f->keys[k] != before[k]) << k;
    }
    return bits;
}

static void assert_different(const uint64_t *keys, int count) {
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < i; k++) {
            assert_true(keys[i] != keys[k]);
        }
    }
}

/* Each key depends on the values that its feature names, and on nothing else. */
static void test_plan(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[user, item, author, hour, surface, last, second, user*author, "
                           "item*hour, category]"));
    f.profile.hash = f.item.author = 11; /* equal values in different features, different keys */
    f.profile.session_count = 2;
    f.profile.session[0] = f.profile.session[1] = 11;
    f.item.category_count = 1;
    f.item.categories[0] = 11;
    fill(&f);
    assert_int_equal(f.key_count, 10);
    assert_different(f.keys, f.key_count);
    f.profile.hash++;
    assert_int_equal(changed(&f), 1 << 0 | 1 << 7);
    f.item.hash++;
    assert_int_equal(changed(&f), 1 << 1 | 1 << 8);
    f.item.author++;
    assert_int_equal(changed(&f), 1 << 2 | 1 << 7);
    f.moment.now_ms += HOUR_MS;
    assert_int_equal(changed(&f), 1 << 3 | 1 << 8);
    f.moment.now_ms += 24 * HOUR_MS;
    assert_int_equal(changed(&f), 0);
    f.moment.surface++;
    assert_int_equal(changed(&f), 1 << 4);
    f.profile.session[0]++;
    assert_int_equal(changed(&f), 1 << 5);
    f.profile.session[1]++;
    assert_int_equal(changed(&f), 1 << 6);
    f.item.categories[0]++;
    assert_int_equal(changed(&f), 1 << 9);
    f.tally.total_acted++;
    assert_int_equal(changed(&f), 0);
    fill_close(&f);
}

/* Values that are not there have no key, nor have their crosses. */
static void test_absent(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[user, item, author, last, second, user*item, author*item, category, "
                           "tag, device, category*item]"));
    fill(&f);
    assert_int_equal(f.key_count, 1); /* the item */
    uint64_t item = f.keys[0];
    f.profile.hash = 5;
    fill(&f);
    assert_int_equal(f.key_count, 3); /* user, item, user*item */
    assert_int_equal(f.keys[1], item);
    fill_close(&f);
}

static void test_many_values(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[category, tag, user*tag, item*category]"));
    f.profile.hash = 5;
    f.item.category_count = 3;
    f.item.tag_count = 4;
    for (int i = 0; i < CATALOG_VALUES_MAX; i++) {
        f.item.categories[i] = f.item.tags[i] = 100 + (uint64_t)i;
    }
    fill(&f);
    assert_int_equal(f.key_count, 3 + 4 + 4 + 3);
    assert_different(f.keys, f.key_count);
    f.item.category_count = f.item.tag_count = CATALOG_VALUES_MAX;
    fill(&f);
    assert_int_equal(f.key_count, 4 * CATALOG_VALUES_MAX);
    for (int k = 0; k < f.key_count; k++) {
        assert_int_equal(key_field(f.keys[k]), k / CATALOG_VALUES_MAX);
    }
    assert_different(f.keys, f.key_count);
    fill_close(&f);
}

/* A history uses the rows of the item: the same hash under its own field. */
static void test_history(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[user, history(click, 3), item, history(like, 2, target)]"));
    f.profile.hash = 5;
    f.profile.histories[FIXTURE_CLICK] = (struct profile_history){1, 4};
    f.profile.histories[FIXTURE_LIKE] = (struct profile_history){0, 1};
    f.profile.history_items[0] = f.profile.history_items[3] = f.item.hash;
    f.profile.history_items[1] = 21;
    f.profile.history_items[2] = 22;
    f.profile.history_items[4] = 23; /* the fourth click: beyond what the feature asks for */
    fill(&f);
    assert_int_equal(f.key_count, 1 + 3 + 1 + 1);
    const int fields[] = {0, 1, 1, 1, 2, 3};
    for (int k = 0; k < f.key_count; k++) {
        assert_int_equal(key_field(f.keys[k]), fields[k]);
    }
    assert_true(key_under(2, f.keys[3]) == f.keys[4]);
    assert_true(key_under(2, f.keys[5]) == f.keys[4]);
    assert_true(key_under(2, f.keys[1]) != key_under(2, f.keys[2]));
    f.profile.history_items[2]++;
    assert_int_equal(changed(&f), 1 << 2);
    fill_close(&f);
}

/* The key changes where a bound is reached, and nowhere else. */
static void test_bucket(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[bucket(item_count, 0.2, 0.3), bucket(user_count, 0.2)]"));
    uint64_t last[2] = {0, 0};
    int steps[2] = {0, 0};
    for (uint32_t count = 0; count < 100; count++) {
        f.tally.total_acted = f.profile.chances[0] = count;
        fill(&f);
        assert_int_equal(f.key_count, 2);
        for (int k = 0; k < 2; k++) {
            steps[k] += f.keys[k] != last[k];
            last[k] = f.keys[k];
        }
        float logs = 0.1f * (float)log1p(count);
        assert_int_equal(steps[0], 1 + (logs >= 0.2f) + (logs >= 0.3f));
        assert_int_equal(steps[1], 1 + (logs >= 0.2f));
    }
    fill_close(&f);
}

/* A name in the request's context wins over the person's; quotes do not count. */
static void test_context(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[device, age]"));
    f.profile.context_count = 2;
    f.profile.context_names[0] = hash_slice(slice_of("age"));
    f.profile.context_values[0] = row_value_hash(slice_of("21"));
    f.profile.context_names[1] = hash_slice(slice_of("device"));
    f.profile.context_values[1] = row_value_hash(slice_of("\"tv\""));
    fill(&f);
    assert_int_equal(f.key_count, 2);
    const struct slice same[] = {slice_of("age"), slice_of("\"21\""), slice_of("device"),
                                 slice_of("\"phone\"")};
    f.moment.context = same;
    f.moment.context_count = 1;
    assert_int_equal(changed(&f), 0);
    f.moment.context_count = 2;
    assert_int_equal(changed(&f), 1 << 0);
    assert_int_equal(feature_context(&f.profile, NULL, 0, hash_slice(slice_of("region"))), 0);
    fill_close(&f);
}

/* --- dense values by hand --- */

static double share_log(double share) {
    return 0.25 * log((share + 1e-5) / 1e-5);
}

static void test_pairs_by_hand(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[item]"));
    const struct pairs_neighbour last_out[] = {{11, 0.5f, 0.25f}, {12, 0.1f, 0.1f}};
    const struct pairs_neighbour last_in[] = {{11, 0.125f, 0.0625f}};
    const struct pairs_neighbour second_out[] = {{11, 0.2f, 0.4f}};
    f.pairs[0] = (struct pairs_view){1, 2, 1, last_out, last_in};
    f.pairs[1] = (struct pairs_view){2, 1, 0, second_out, NULL};
    f.moment.pairs_count = 2;
    f.background.volume[0] = 8;
    f.tally.acted[0] = 2;
    fill(&f);
    double near = (0.25 + 0.8 * 0.4) / 1.8;
    double before = 0.0625 / 1.8;
    assert_near((double)f.dense[DENSE_LAST_NEXT], share_log(0.5), 1e-6);
    assert_near((double)f.dense[DENSE_LAST_NEAR], share_log(0.25), 1e-6);
    assert_near((double)f.dense[DENSE_SECOND_NEXT], share_log(0.2), 1e-6);
    assert_near((double)f.dense[DENSE_SESSION_NEAR], share_log(near), 1e-6);
    assert_near((double)f.dense[DENSE_LAST_BEFORE], share_log(0.125), 1e-6);
    assert_near((double)f.dense[DENSE_SESSION_BEFORE], share_log(before), 1e-6);
    assert_near((double)f.dense[DENSE_MINUTES], share_log(0.25), 1e-6);
    assert_near((double)f.dense[DENSE_HOUR], 0, 1e-6);
    assert_true(f.dense[DENSE_UNPAIRED] == 0.0f);
    double mixture =
        1e-7 + 0.3 * 0.5 + 0.1 * 0.25 + 0.1 * near + 0.05 * 0.125 + 0.05 * before + 0.25 * 0.25;
    assert_near((double)f.dense[DENSE_NEXT], log(mixture), 1e-6);
    f.item.hash = 13;
    fill(&f);
    assert_true(f.dense[DENSE_UNPAIRED] == 1.0f);
    assert_near((double)f.dense[DENSE_LAST_NEXT], 0, 1e-6);
    fill_close(&f);
}

static void test_person_by_hand(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[item]"));
    f.moment.now_ms = FIXTURE_START_MS + 2 * HOUR_MS;
    f.profile.recent_count = 1;
    f.profile.recent_items[0] = 11;
    f.profile.chances[FIXTURE_LIKE] = 9;
    f.tally.chances[FIXTURE_CLICK] = 3;
    f.tally.total_acted = 7;
    f.tally.acted[0] = 4;
    f.tally.acted_here = 1;
    fill(&f);
    assert_near((double)f.dense[DENSE_AGE], 0.25 * log1p(2), 1e-6);
    assert_true(f.dense[DENSE_YOUNG] == 0.0f);
    assert_true(f.dense[DENSE_AGAIN] == 1.0f);
    assert_near((double)f.dense[DENSE_USER_COUNT], 0.1 * log1p(9), 1e-6);
    assert_near((double)f.dense[DENSE_ITEM_COUNT], 0.1 * log1p(7), 1e-6);
    assert_near((double)f.dense[DENSE_HERE], log(0.25 + 0.05), 1e-6);
    f.item.created_ms = f.moment.now_ms + HOUR_MS; /* not born yet: new */
    f.item.hash = 12;
    fill(&f);
    assert_true(f.dense[DENSE_AGE] == 0.0f);
    assert_true(f.dense[DENSE_YOUNG] == 1.0f);
    assert_true(f.dense[DENSE_AGAIN] == 0.0f);
    fill_close(&f);
}

/* --- rates --- */

static double log_odds(double p) {
    return log(p / (1 - p));
}

/* A rate, and a pseudo-count, from what the surface counted. */
static double naive_prior(double positives, double chances, double *strength) {
    double rate = (positives + 1) / (chances + 20);
    *strength = fmin(1 / (rate * (1 - rate)), 1000);
    return rate;
}

static double naive_rate(double positives, double chances, double rate, double strength) {
    return log_odds((positives + strength * rate) / (fmax(chances, positives) + strength)) -
           log_odds(rate);
}

static void test_rates_by_hand(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[item]"));
    f.background.chances[FIXTURE_CLICK] = 1000;
    f.background.positives[FIXTURE_CLICK] = 50;
    f.profile.chances[FIXTURE_CLICK] = 40;
    f.profile.positives[FIXTURE_CLICK] = 10;
    f.profile.lately_chances[FIXTURE_CLICK] = 8.5f;
    f.profile.lately_positives[FIXTURE_CLICK] = 0.5f;
    f.tally.chances[FIXTURE_CLICK] = 3;
    f.tally.positives[FIXTURE_CLICK] = 5; /* more than chances: shown elsewhere */
    f.item.category_count = 2;
    f.item.categories[0] = 71;
    f.item.categories[1] = 72;
    f.profile.category_count = 1;
    f.profile.categories[0] = (struct profile_taste){71, 3.0f, 12.0f};
    f.item.author = 81;
    f.profile.author_count = 1;
    f.profile.authors[0] = (struct profile_taste){82, 3.0f, 12.0f};
    fill(&f);
    double strength;
    double rate = naive_prior(50, 1000, &strength);
    const float *task = f.dense + DENSE_FIXED;
    assert_near((double)task[TASK_PRIOR], log_odds(rate), 1e-5);
    assert_near((double)task[TASK_USER], naive_rate(10, 40, rate, strength), 1e-5);
    assert_near((double)task[TASK_USER_LATELY], naive_rate(0.5, 8.5, rate, strength), 1e-5);
    assert_near((double)task[TASK_ITEM], naive_rate(5, 3, rate, strength), 1e-5);
    double taste = naive_rate(3, 12, rate, strength); /* clicks are all that was liked */
    assert_near((double)f.dense[DENSE_USER_CATEGORY], taste / 2, 1e-5);
    assert_true(f.dense[DENSE_USER_AUTHOR] == 0.0f);
    const float *like = task + TASK_DENSE * FIXTURE_LIKE; /* nothing is known of it */
    assert_near((double)like[TASK_PRIOR], log_odds(0.05), 1e-5);
    assert_near((double)like[TASK_USER], 0, 1e-5);
    assert_near((double)like[TASK_ITEM], 0, 1e-5);
    fill_close(&f);
}

/* Click logs count no chances: then there is no rate, and no opinion. */
static void test_no_chances(void **context) {
    (void)context;
    static struct fill f;
    fill_open(&f, FEATURES("[item]"));
    f.background.positives[FIXTURE_CLICK] = 1000000;
    f.profile.positives[FIXTURE_CLICK] = 10;
    f.tally.positives[FIXTURE_CLICK] = 1000;
    fill(&f);
    for (int k = 0; k < TASK_DENSE; k++) {
        assert_true(f.dense[DENSE_FIXED + k] == 0.0f);
    }
    fill_close(&f);
}

/* --- whatever the counts --- */

/* 0, small, or any size up to `most`. */
static double wild(struct rng *rng, double most) {
    switch (rng_below(rng, 4)) {
    case 0: return 0;
    case 1: return (double)rng_below(rng, 10);
    case 2: return most;
    default: return floor(exp(rng_unit(rng) * log(most)));
    }
}

static void wild_counts(struct fill *f, struct rng *rng) {
    for (int t = 0; t < FIXTURE_TASKS; t++) {
        f->background.chances[t] = (uint64_t)wild(rng, 0x1p62);
        f->background.positives[t] = (uint64_t)wild(rng, 0x1p62);
        f->profile.chances[t] = (uint32_t)wild(rng, 0x1p31);
        f->profile.positives[t] = (uint32_t)wild(rng, 0x1p31);
        f->profile.lately_chances[t] = (float)wild(rng, 10);
        f->profile.lately_positives[t] = (float)wild(rng, 0x1p24);
        f->tally.chances[t] = (uint32_t)wild(rng, 0x1p31);
        f->tally.positives[t] = (uint32_t)wild(rng, 0x1p31);
        if (rng_chance(rng, 50)) { /* every chance was one */
            f->background.chances[t] = f->background.positives[t];
            f->tally.chances[t] = f->tally.positives[t] = UINT32_MAX;
        }
    }
    f->profile.category_count = 1;
    f->profile.categories[0] =
        (struct profile_taste){7, (float)wild(rng, 0x1p24), (float)wild(rng, 0x1p24)};
    f->item.category_count = 1;
    f->item.categories[0] = 7;
}

/* Volumes of a surface that nobody has visited for a thousand half-lives, beside busy ones. */
static void wild_sums(struct fill *f, struct rng *rng) {
    for (int s = 0; s < TALLY_SCALES; s++) {
        f->background.volume[s] = wild(rng, 0x1p40) * exp2(-(double)rng_below(rng, 1100));
        f->tally.acted[s] = wild(rng, 0x1p40) * exp2(-(double)rng_below(rng, 1100));
    }
    f->tally.acted_here = f->tally.acted[0] * rng_unit(rng);
    f->tally.total_acted = (uint64_t)wild(rng, 0x1p62);
    f->item.created_ms = (int64_t)wild(rng, (double)EVENT_TIME_MAX_MS);
    f->moment.now_ms = (int64_t)wild(rng, (double)EVENT_TIME_MAX_MS);
}

static void test_finite(void **context) {
    (void)context;
    struct rng rng;
    rng_init(&rng, 4);
    static struct fill f;
    fill_open(&f, FEATURES("[item]"));
    for (int n = 0; n < RANDOM_FILLS; n++) {
        wild_counts(&f, &rng);
        wild_sums(&f, &rng);
        const struct pairs_neighbour out[] = {
            {11, (float)rng_below(&rng, 2), (float)rng_unit(&rng)}};
        f.pairs[0] = (struct pairs_view){1, 1, 1, out, out};
        f.moment.pairs_count = rng_int(&rng, 0, 1);
        fill(&f);
        for (int d = 0; d < f.dense_count; d++) {
            assert_true(isfinite(f.dense[d]));
            assert_true(fabsf(f.dense[d]) < 200);
        }
    }
    fill_close(&f);
}

/* --- weights to begin with --- */

static void test_start(void **context) {
    (void)context;
    static const char *const surfaces[] = {"surfaces:\n  a: {examples: clicks}\n",
                                           "surfaces:\n  a: {}\n  b: {examples: clicks}\n",
                                           "surfaces:\n  a: {examples: impressions}\n"};
    for (int mix = 0; mix < 3; mix++) {
        char text[1024];
        snprintf(text, sizeof(text), "%s%s", FIXTURE_ACTIONS, surfaces[mix]);
        struct config *config = fixture_config(text);
        struct features *features;
        assert_int_equal(features_create(config, &features, NULL), LEAT_OK);
        int count = features_dense_count(features);
        assert_int_equal(count, DENSE_FIXED + TASK_DENSE * FIXTURE_TASKS);
        assert_true(count <= EXAMPLE_DENSE_MAX);
        for (int t = 0; t < FIXTURE_TASKS; t++) {
            float start[EXAMPLE_DENSE_MAX];
            features_dense_start(features, t, start);
            for (int d = 0; d < count; d++) {
                int own = d - DENSE_FIXED - TASK_DENSE * t;
                bool one = (mix == 0 && d == DENSE_NEXT) || own == TASK_PRIOR;
                bool half = own == TASK_ITEM || own == TASK_USER;
                assert_true(start[d] == (one ? 1.0f : half ? 0.5f : 0.0f));
            }
        }
        features_destroy(features);
        config_destroy(config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),          cmocka_unit_test(test_absent),
        cmocka_unit_test(test_many_values),   cmocka_unit_test(test_history),
        cmocka_unit_test(test_bucket),        cmocka_unit_test(test_context),
        cmocka_unit_test(test_pairs_by_hand), cmocka_unit_test(test_person_by_hand),
        cmocka_unit_test(test_rates_by_hand), cmocka_unit_test(test_no_chances),
        cmocka_unit_test(test_finite),        cmocka_unit_test(test_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
