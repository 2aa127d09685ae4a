/* Units kept aside: whatever changes while a snapshot is given out, between any two of its pages,
 * each page comes once and byte for byte as it lay at the freeze; no more is kept than what
 * changed; without memory the snapshot fails, and the state is whole. */
#include "state/state_fixture.h"

enum { GROUPS = 2, KEYS = 6000, PAGES_MAX = 2048 };

/* What lay in memory at the freeze, by group and number. */
struct frozen {
    uint64_t version;
    uint32_t bytes;
    uint8_t *data;
    bool given;
};

struct model {
    struct state *state;
    struct rng rng;
    struct frozen pages[GROUPS][PAGES_MAX];
    uint64_t since;
    int given;
    int stop_after; /* pages; the sink then fails */
};

static void model_freeze(struct model *model) {
    memset(model->pages, 0, sizeof(model->pages));
    for (uint32_t g = 0; g < GROUPS; g++) {
        const struct state_pages *pages = &model->state->group[g].pages;
        assert_true(pages->count <= PAGES_MAX);
        for (uint32_t n = 0; n < pages->count; n++) {
            const struct page_ref *ref = &pages->refs[n];
            if (ref->page && ref->version != 0) {
                struct frozen *page = &model->pages[g][n];
                *page = (struct frozen){ref->version, ref->bytes, malloc(ref->bytes), false};
                state_page_copy(page->data, ref->page, ref->bytes);
            }
        }
    }
}

static void model_clear(struct model *model) {
    for (uint32_t g = 0; g < GROUPS; g++) {
        for (uint32_t n = 0; n < PAGES_MAX; n++) {
            free(model->pages[g][n].data);
        }
    }
    memset(model->pages, 0, sizeof(model->pages));
}

static uint32_t draw_size(struct rng *rng) {
    switch (rng_below(rng, 100)) {
    case 0: return (uint32_t)rng_below(rng, STATE_RECORD_MAX + 1);
    case 1: return (uint32_t)rng_below(rng, 20000);
    default: return 150 + (uint32_t)rng_below(rng, 100);
    }
}

static void change(struct model *model) {
    struct state *state = model->state;
    struct rng *rng = &model->rng;
    uint32_t number = (uint32_t)rng_below(rng, KEYS);
    switch (rng_below(rng, 60)) {
    case 0: /* whole pages go */
        for (uint32_t i = 0; i < 1200; i++) {
            fixture_remove(state, (number + i) % KEYS);
        }
        break;
    case 1:
    case 2:
    case 3:
    case 4: fixture_remove(state, number); break;
    case 5:
    case 6: fixture_set_due(state, number, 1 + (int64_t)rng_below(rng, 1000)); break;
    default: fixture_put(state, number, draw_size(rng), (int)rng_below(rng, 256));
    }
}

static void changes(struct model *model, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        change(model);
    }
    struct state_key key;
    char id[STATE_ID_MAX + 1];
    int64_t due_ms;
    for (int i = 0; i < 5 && state_next_due(model->state, 500, &key, id, &due_ms); i++) {
    }
}

static leat_status page_compare(void *context, const struct state_page_image *image,
                                leat_error *err) {
    struct model *model = context;
    struct frozen *page = &model->pages[image->group][image->number];
    assert_true(page->data && !page->given);
    page->given = true;
    assert_true(image->version == page->version && image->bytes == page->bytes);
    assert_int_equal(image->data != NULL, image->version > model->since);
    if (image->data) {
        assert_memory_equal(image->data, page->data, page->bytes);
    }
    changes(model, rng_below(&model->rng, 3) ? 0 : rng_below(&model->rng, 100));
    model->given++;
    return model->given == model->stop_after ? error_set(err, LEAT_IO, "enough") : LEAT_OK;
}

static void snapshot_compare(struct model *model, struct state_snapshot *snapshot) {
    leat_status status = LEAT_OK;
    model->given = 0;
    for (uint32_t g = GROUPS; g-- > 0 && status >= 0;) {
        status = state_snapshot_pages(snapshot, g, model->since, page_compare, model, NULL);
    }
    assert_int_equal(status, model->given == model->stop_after ? LEAT_IO : LEAT_OK);
    for (uint32_t g = 0; g < GROUPS && status >= 0; g++) {
        for (uint32_t n = 0; n < PAGES_MAX; n++) {
            assert_int_equal(model->pages[g][n].given, model->pages[g][n].data != NULL);
        }
    }
}

/* A snapshot that is given up leaves pages of which a part was kept: the next one is whole. */
static void test_as_frozen(void **context) {
    (void)context;
    static struct model model;
    struct state_budget budget = {.bytes_max = INT64_MAX};
    int seeds = getenv("LEAT_TEST_LONG") ? 300 : 6;
    for (int seed = 1; seed <= seeds; seed++) {
        model.state = fixture_open(GROUPS, &budget);
        model.since = 0;
        rng_init(&model.rng, (uint64_t)seed);
        changes(&model, 8000);
        for (int freeze = 0; freeze < 10; freeze++) {
            struct state_snapshot *snapshot;
            assert_int_equal(state_freeze(model.state, &snapshot, NULL), LEAT_OK);
            model_freeze(&model);
            if (rng_below(&model.rng, 2)) {
                state_snapshot_since(snapshot, model.since);
            }
            changes(&model, rng_below(&model.rng, 200));
            model.stop_after = rng_below(&model.rng, 3) ? 0 : 1 + (int)rng_below(&model.rng, 30);
            snapshot_compare(&model, snapshot);
            changes(&model, rng_below(&model.rng, 50));
            if (model.given != model.stop_after) {
                assert_int_equal(budget.copies_used, 0);
                model.since = state_snapshot_version(snapshot);
            }
            state_snapshot_release(snapshot);
            assert_int_equal(budget.copies_used, 0);
            model_clear(&model);
            changes(&model, rng_below(&model.rng, 2) ? 10 : 0);
        }
        state_close(model.state);
    }
    assert_true(budget.copies_most > 0);
}

static leat_status page_pass(void *context, const struct state_page_image *image, leat_error *err) {
    (void)image;
    (void)err;
    (*(int *)context)++;
    return LEAT_OK;
}

/* A change costs the units of its record, once; a page that was given, or is not asked for, costs
 * nothing. */
static void test_no_more_than_changes(void **context) {
    (void)context;
    struct state_budget budget = {.bytes_max = INT64_MAX};
    struct state *state = fixture_open(1, &budget);
    for (uint32_t number = 0; number < 2000; number++) {
        fixture_put(state, number, 200, 1);
    }
    struct state_snapshot *snapshot;
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    assert_int_equal(budget.copies_used, 0);
    for (int again = 0; again < 3; again++) {
        fixture_put(state, 1500, 200, again);
        assert_in_range(budget.copies_used, PAGE_UNIT, 2 * PAGE_UNIT);
    }
    int64_t units = 0;
    for (uint32_t n = 0; n < state->group[0].pages.count; n++) {
        units += (state->group[0].pages.refs[n].bytes + PAGE_UNIT - 1) / PAGE_UNIT;
    }
    for (uint32_t number = 0; number < 2000; number++) {
        fixture_put(state, number, 200, 2);
    }
    /* The last page has air at its end. */
    assert_in_range(budget.copies_used, (units - PAGE_UNITS) * PAGE_UNIT, units * PAGE_UNIT);
    int pages = 0;
    assert_int_equal(state_snapshot_pages(snapshot, 0, 0, page_pass, &pages, NULL), LEAT_OK);
    assert_int_equal(budget.copies_used, 0);
    fixture_put(state, 7, 200, 3);
    assert_int_equal(budget.copies_used, 0);
    uint64_t version = state_snapshot_version(snapshot);
    state_snapshot_release(snapshot);
    assert_int_equal(state_freeze(state, &snapshot, NULL), LEAT_OK);
    state_snapshot_since(snapshot, version + 1);
    fixture_put(state, 7, 200, 4);
    assert_int_equal(budget.copies_used, 0);
    state_snapshot_release(snapshot);
    assert_true(budget.copies_most <= units * PAGE_UNIT);
    state_close(state);
}

/* Each allocation fails once, while two states take the same changes. */
static void test_memory(void **context) {
    (void)context;
    int failures = 0;
    for (uint64_t at = 1; at < 40; at++) {
        struct state_budget budget = {.bytes_max = INT64_MAX};
        struct state *states[2] = {fixture_open(1, &budget), fixture_open(1, NULL)};
        for (uint32_t number = 0; number < 3000; number++) {
            fixture_put(states[0], number, 200, (int)number);
            fixture_put(states[1], number, 200, (int)number);
        }
        struct state_snapshot *snapshot;
        assert_int_equal(state_freeze(states[0], &snapshot, NULL), LEAT_OK);
        bool failed = false;
        memory_fail_at(at);
        for (int s = 0; s < 2; s++) {
            for (uint32_t number = 0; number < 2500; number++) {
                if (number % 8 == 0) {
                    fixture_put(states[s], number, 200, 9);
                } else if (number > 1000) {
                    fixture_remove(states[s], number);
                }
            }
            failed |= s == 0 && memory_fail_left() == 0;
            memory_fail_at(0);
        }
        int pages = 0;
        leat_error err = {0};
        leat_status status = state_snapshot_pages(snapshot, 0, 0, page_pass, &pages, &err);
        assert_int_equal(status, failed ? LEAT_MEMORY : LEAT_OK);
        assert_int_equal(failed, err.message[0] != '\0');
        failures += failed;
        state_snapshot_release(snapshot);
        assert_int_equal(budget.copies_used, 0);
        assert_true(fixture_digest(states[0]) == fixture_digest(states[1]));
        assert_int_equal(state_freeze(states[0], &snapshot, NULL), LEAT_OK);
        fixture_put(states[0], 5, 200, 1);
        assert_int_equal(state_snapshot_pages(snapshot, 0, 0, page_pass, &pages, NULL), LEAT_OK);
        state_snapshot_release(snapshot);
        state_close(states[0]);
        state_close(states[1]);
    }
    assert_true(failures > 2 && failures < 39);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_frozen),
        cmocka_unit_test(test_no_more_than_changes),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
