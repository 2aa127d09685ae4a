/* Ratings against all that was said, told again from the list of rows. */
#include "flow/flow_fixture.h"
#include "flow/ratings.h"

enum { USERS = 12, ITEMS = 90, ROWS = 3000 };

struct said {
    int user, item;
    double value, deviation; /* above the threshold, in its quarters */
    bool forgotten;
};

struct world {
    struct config *config;
    struct ratings *ratings;
    int count;
    struct said said[ROWS];
};

static void world_open(struct world *w, const char *text) {
    memset(w, 0, sizeof(*w));
    w->config = fixture_config(text);
    assert_int_equal(ratings_open(w->config, NULL, &w->ratings, NULL), LEAT_OK);
}

static void world_close(struct world *w) {
    ratings_close(w->ratings);
    config_destroy(w->config);
}

static void rate_row(struct made_row *made, int user, int item, double value) {
    made_begin(made, ROW_ACTION, FIXTURE_START_MS);
    made_user(made, user);
    made_item(made, item);
    made->row.action = FIXTURE_RATE;
    made->row.has_value = true;
    made->row.value = value;
}

/* --- naive answers --- */

static double naive_mean(const struct world *w, int user) {
    double sum = 0;
    double count = 0;
    for (int i = 0; i < w->count; i++) {
        if (w->said[i].user == user && !w->said[i].forgotten) {
            sum += w->said[i].value;
            count++;
        }
    }
    return sum / (count + 2);
}

/* Rows of the newest RATINGS_RECENT items that a person rated before row `end`, newest first. */
static int naive_recent(const struct world *w, int user, int end, int rows[RATINGS_RECENT]) {
    int count = 0;
    for (int i = end - 1; i >= 0 && count < RATINGS_RECENT; i--) {
        bool again = w->said[i].user != user || w->said[i].forgotten;
        for (int k = 0; k < count; k++) {
            again = again || w->said[rows[k]].item == w->said[i].item;
        }
        if (!again) {
            rows[count++] = i;
        }
    }
    return count;
}

struct sums {
    double n, x, y, xx, yy, xy;
};

/* `recent` is of each row as it stood then: forgetting does not undo what items learnt. */
static struct sums naive_pair(const struct world *w, int recent[ROWS][RATINGS_RECENT],
                              const int *counts, int item, int other) {
    struct sums s = {0};
    for (int i = 0; i < w->count; i++) {
        for (int k = 0; w->said[i].item == item && k < counts[i]; k++) {
            const struct said *before = &w->said[recent[i][k]];
            if (before->item == other) {
                double x = w->said[i].deviation;
                double y = before->deviation;
                s.n++;
                s.x += x;
                s.y += y;
                s.xx += x * x;
                s.yy += y * y;
                s.xy += x * y;
            }
        }
    }
    return s;
}

static struct ratings_view naive_view(const struct world *w, int recent[ROWS][RATINGS_RECENT],
                                      const int *counts, int user, int item) {
    int rows[RATINGS_RECENT];
    int count = naive_recent(w, user, w->count, rows);
    double sum[2] = {0, 0};
    double weight[2] = {0.5, 0.25};
    double total = 0;
    double rated = 0;
    for (int i = 0; i < w->count; i++) {
        total += w->said[i].item == item ? w->said[i].deviation : 0;
        rated += w->said[i].item == item;
    }
    for (int k = 0; k < count; k++) {
        const struct said *said = &w->said[rows[k]];
        struct sums s = naive_pair(w, recent, counts, item, said->item);
        if (s.n == 0 || said->item == item) {
            continue;
        }
        double xy = s.xy - s.x * s.y / s.n;
        double squares = (s.xx - s.x * s.x / s.n + 2) * (s.yy - s.y * s.y / s.n + 2);
        double c = fmax(xy / sqrt(squares) * s.n / (s.n + 40), 0);
        double above = said->deviation - s.y / (s.n + 5);
        sum[0] += c * above;
        sum[1] += c * c * above;
        weight[0] += c;
        weight[1] += c * c;
    }
    return (struct ratings_view){(float)(total / (rated + 5)), (float)(sum[0] / weight[0]),
                                 (float)(sum[1] / weight[1])};
}

/* --- tests --- */

static void check_person(const struct world *w, int user, const struct ratings_person *person) {
    int rows[RATINGS_RECENT];
    int count = naive_recent(w, user, w->count, rows);
    assert_int_equal(person->count, count);
    assert_near((double)person->mean, naive_mean(w, user), 1e-5);
    for (int k = 0; k < count; k++) {
        assert_true(person->recent[k].item == fixture_hash('i', w->said[rows[k]].item));
        assert_near((double)person->recent[k].deviation, w->said[rows[k]].deviation, 1e-4);
    }
    assert_near((double)person->last, count > 0 ? w->said[rows[0]].deviation : 0, 1e-4);
}

static void forget(struct world *w, int user) {
    struct made_row made;
    made_begin(&made, ROW_FORGET, FIXTURE_START_MS);
    made_user(&made, user);
    ratings_forget(w->ratings, &made.row);
    for (int i = 0; i < w->count; i++) {
        w->said[i].forgotten |= w->said[i].user == user;
    }
}

static void test_everything_said(void **context) {
    (void)context;
    static struct world w;
    static int recent[ROWS][RATINGS_RECENT];
    static int counts[ROWS];
    struct rng rng;
    int spoke = 0;
    rng_init(&rng, 7);
    world_open(&w, fixture_text);
    for (int i = 0; i < ROWS; i++) {
        struct ratings_person person;
        struct made_row made;
        char user[FIXTURE_TEXT];
        struct said *said = &w.said[i];
        *said =
            (struct said){.user = rng_int(&rng, 0, USERS - 1), .item = rng_int(&rng, 0, ITEMS - 1)};
        double value = rng_int(&rng, 0, 10) + (said->item + said->user) % 3; /* threshold 4 */
        bool known = ratings_read_person(w.ratings, fixture_id(user, 'u', said->user), &person);
        assert_int_equal(known, person.values > 0);
        if (i % 50 == 0) {
            struct ratings_view view;
            struct ratings_view want = naive_view(&w, recent, counts, said->user, said->item);
            check_person(&w, said->user, &person);
            ratings_read_item(w.ratings, fixture_hash('i', said->item), &person, &view);
            assert_near((double)view.mean, (double)want.mean, 1e-4);
            assert_near((double)view.near, (double)want.near, 1e-3);
            assert_near((double)view.nearest, (double)want.nearest, 1e-3);
            spoke += want.near != 0;
        }
        said->value = value - 4;
        said->deviation = said->value - naive_mean(&w, said->user);
        counts[i] = naive_recent(&w, said->user, i, recent[i]);
        rate_row(&made, said->user, said->item, value);
        assert_true(ratings_is(w.ratings, &made.row));
        float deviation = ratings_push_person(w.ratings, &made.row);
        assert_near((double)deviation, said->deviation, 1e-4);
        ratings_push_item(w.ratings, &made.row, deviation, &person);
        w.count++;
        if (rng_chance(&rng, 1) && i < ROWS / 2) {
            forget(&w, said->user);
        }
    }
    assert_true(spoke > 20);
    world_close(&w);
}

/* More neighbours than are kept: those that many people share stay. */
static void test_neighbours_are_bounded(void **context) {
    (void)context;
    static struct world w;
    struct made_row made;
    struct ratings_person person = {.count = 2};
    struct ratings_view view;
    uint64_t common = 1;
    world_open(&w, fixture_text);
    for (int i = 0; i < 20 * RATINGS_NEIGHBOURS; i++) {
        float mood = i % 2 == 0 ? 1.0f : -1.0f;
        struct made_row other;
        char user[FIXTURE_TEXT];
        rate_row(&made, i, 1, 4);
        rate_row(&other, i, 1000 + i, 4 + (double)mood);
        ratings_push_person(w.ratings, &other.row);
        rate_row(&other, i, 2, 4 + (double)mood);
        ratings_push_person(w.ratings, &other.row);
        ratings_read_person(w.ratings, fixture_id(user, 'u', i), &person);
        ratings_push_item(w.ratings, &made.row, mood, &person);
        common = fixture_hash('i', 2);
    }
    assert_true(person.recent[0].item == common);
    ratings_read_item(w.ratings, fixture_hash('i', 1), &person, &view);
    /* All of those people agree of item 2. */
    assert_true((double)fabsf(view.near) > 0.3);
    assert_true(view.near * person.recent[0].deviation > 0);
    uint32_t size;
    struct state_key key = {fixture_hash('i', 1), {NULL, 0}, 1, 0};
    state_enter(ratings_state(w.ratings), key.hash);
    assert_non_null(state_get(ratings_state(w.ratings), &key, &size, NULL));
    state_leave(ratings_state(w.ratings), key.hash);
    assert_true(size <= 64 + 32 * RATINGS_NEIGHBOURS);
    world_close(&w);
}

static void test_who_does_not_rate(void **context) {
    (void)context;
    static struct world w;
    struct made_row made;
    struct ratings_person person;
    struct ratings_view view;
    world_open(&w, fixture_text);
    rate_row(&made, 1, 1, 3);
    assert_true(ratings_is(w.ratings, &made.row));
    made.row.has_value = false;
    assert_false(ratings_is(w.ratings, &made.row));
    rate_row(&made, 1, 1, 3);
    made.row.action = FIXTURE_CLICK;
    assert_false(ratings_is(w.ratings, &made.row));
    rate_row(&made, 1, 1, 3);
    made.row.user = (struct slice){NULL, 0};
    assert_false(ratings_is(w.ratings, &made.row));
    assert_false(ratings_read_person(w.ratings, made.row.user, &person));
    assert_int_equal(person.count, 0);
    world_close(&w);
    world_open(&w, "actions: {click: {}}\n");
    assert_false(ratings_any(w.ratings));
    ratings_read_item(w.ratings, 1, NULL, &view);
    assert_true(view.mean == 0 && view.near == 0 && view.nearest == 0);
    world_close(&w);
}

/* A value beyond all others moves nothing further than RATINGS_VALUE_MAX. */
static void test_wild_values(void **context) {
    (void)context;
    static struct world w;
    const double wild[] = {1e300, -1e300, 0, 4e8, -0.0};
    struct made_row made;
    struct ratings_person person;
    struct ratings_view view;
    world_open(&w, fixture_text);
    for (int i = 0; i < 200; i++) {
        rate_row(&made, i % 3, i % 5, wild[i % 5]);
        ratings_read_person(w.ratings, made.row.user, &person);
        float deviation = ratings_push_person(w.ratings, &made.row);
        assert_true(fabsf(deviation) <= 2 * RATINGS_VALUE_MAX);
        ratings_push_item(w.ratings, &made.row, deviation, &person);
        ratings_read_item(w.ratings, made.row.item_hash, &person, &view);
        assert_true(fabsf(view.mean) <= 2 * RATINGS_VALUE_MAX && isfinite(view.near) &&
                    isfinite(view.nearest));
    }
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_said),
        cmocka_unit_test(test_neighbours_are_bounded),
        cmocka_unit_test(test_who_does_not_rate),
        cmocka_unit_test(test_wild_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
