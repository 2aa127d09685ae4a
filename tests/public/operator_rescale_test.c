/* However the key groups are spread over operators, and wherever they move by snapshots, what comes
 * out and what is kept is what one operator gives: no row lost, none doubled. */
#include "tests/public/operator_host.h"

enum { STEPS = 60, GROUPS = 12, USERS = 9, ITEMS = 25, SEEDS = 12 };

/* One step of a stream, a function of (seed, step): rows of all inputs, in event time. */
struct step_rows {
    int count;
    struct host_row rows[16];
};

static struct host_row *step_add(struct step_rows *step, const char *kind, int64_t time_ms) {
    struct host_row *row = &step->rows[step->count++];
    *row = (struct host_row){.kind = kind,
                             .time_ms = time_ms,
                             .category = -1,
                             .id = -1,
                             .user = -1,
                             .item = -1,
                             .request = -1};
    return row;
}

/* A page of two items for one person, what is seen of it and done; now and then an item is
 * described, a person forgotten, an event without a person or without a request. */
static void step_make(uint64_t seed, int step, struct step_rows *out) {
    uint64_t random = seed * 1000003 + (uint64_t)step;
    int64_t time_ms = HOST_START_MS + (int64_t)step * 7000;
    static const char *const actions[] = {"click", "like", "hide"};
    int user = host_below(&random, USERS), surface = host_below(&random, 2);
    out->count = 0;
    if (host_below(&random, 3) == 0) {
        struct host_row *item =
            step_add(out, host_below(&random, 9) ? "item" : "item_delete", time_ms);
        item->item = host_below(&random, ITEMS);
        item->category = strcmp(item->kind, "item") == 0 ? host_below(&random, 5) : -1;
        item->input = 2;
    }
    for (int slot = 0; slot < 2; slot++) {
        int shown = host_below(&random, ITEMS);
        struct host_row *served = step_add(out, NULL, time_ms);
        served->user = user;
        served->item = shown;
        served->request = step;
        served->surface = surface;
        int events = host_below(&random, 4);
        for (int i = 0; i < events; i++) {
            const char *kind = i == 0 ? "impression" : actions[host_below(&random, 3)];
            struct host_row *event = step_add(out, kind, time_ms + 100 * i + slot);
            event->user = user;
            event->item = shown;
            event->request = host_below(&random, 8) ? step : -1;
            event->surface = surface;
            event->id = host_below(&random, 3) ? host_below(&random, 40) : -1;
            event->value = strcmp(kind, "like") == 0 ? 0.5 + host_below(&random, 4) : 0;
        }
    }
    if (host_below(&random, 20) == 0) {
        struct host_row *forget = step_add(out, "forget", time_ms + 5000);
        forget->user = host_below(&random, USERS);
    }
}

/* The input that a row of the stream goes to; -1: this kind has no use for it. */
static int input_of(const char *kind, const struct host_row *row) {
    bool served = row->kind == NULL, item = row->input == 2;
    if (strcmp(kind, "dedup") == 0) {
        return served ? -1 : 0;
    }
    if (strcmp(kind, "join") == 0) {
        return served ? 0 : item ? -1 : 1;
    }
    return served ? 1 : item ? strcmp(kind, "profile") == 0 ? 2 : -1 : 0;
}

/* Steps of sessions: an item is begun, and linked both ways with two that were begun before. */
static void pairs_row(struct host *host, uint64_t hash, const char *item, int64_t time_ms, int side,
                      int distance, const uint64_t *neighbours, int count) {
    int owner = host_of_group(host, leat_key_group_of_hash(hash, host->groups));
    struct table *table = &host->tables[owner][0];
    table_u64(table, "item_hash", hash);
    table_text(table, "item", item);
    table_i64(table, "time", time_ms);
    table_i32(table, "side", side);
    table_i32(table, "distance", distance);
    table_list(table, "neighbours", neighbours, sizeof(uint64_t), count);
    table_row_end(table);
}

static void pairs_step(struct host *host, uint64_t seed, int step) {
    uint64_t random = seed * 7919 + (uint64_t)step, back[2];
    int64_t time_ms = HOST_START_MS + (int64_t)step * 90000;
    char text[HOST_TEXT];
    const char *item = host_name(text, 'i', step % ITEMS);
    uint64_t hash = leat_key_hash(item, strlen(item));
    int links = step < ITEMS ? 0 : 2;
    for (int i = 0; i < links; i++) {
        char other[HOST_TEXT];
        const char *name = host_name(other, 'i', host_below(&random, ITEMS));
        back[i] = leat_key_hash(name, strlen(name));
    }
    pairs_row(host, hash, item, time_ms, 1, 0, back, links);
    for (int i = 0; i < links; i++) {
        pairs_row(host, back[i], NULL, time_ms, 0, i, &hash, 1);
    }
}

static void stream_step(struct host *host, uint64_t seed, int step) {
    if (strcmp(host->kind, "pairs") == 0) {
        pairs_step(host, seed, step);
        return;
    }
    struct step_rows rows;
    step_make(seed, step, &rows);
    for (int i = 0; i < rows.count; i++) {
        rows.rows[i].input = input_of(host->kind, &rows.rows[i]);
        if (rows.rows[i].input >= 0) {
            host_row(host, &rows.rows[i]);
        }
    }
}

/* Runs the stream; with `rescale`, over a number of operators that changes. The blocks of all
 * groups as they stand before the end, written by however many operators there are. */
static struct host_block *run(struct host *host, const char *kind, uint64_t seed, bool rescale) {
    uint64_t random = seed + 99;
    host_open(host, kind, HOST_CONFIG, GROUPS, 1);
    host_now(host, HOST_START_MS);
    for (int step = 0; step < STEPS; step++) {
        stream_step(host, seed, step);
        bool push = host_below(&random, 3) == 0, move = host_below(&random, 8) == 0;
        int count = 1 + host_below(&random, HOST_OPERATORS);
        if (push || move) {
            host_push(host);
            host_now(host, HOST_START_MS + (int64_t)step * 7000 + 6999);
            host_watermark(host, HOST_START_MS + (int64_t)step * 7000 + 6999);
        }
        if (move && rescale) {
            host_rescale(host, HOST_CONFIG, count);
        }
    }
    host_push(host);
    struct host_block *blocks = host_save(host);
    host_end(host);
    lines_sort(&host->lines);
    return blocks;
}

static void assert_same_blocks(const struct host_block *have, const struct host_block *want,
                               uint64_t seed) {
    for (int group = 0; group <= GROUPS; group++) {
        if (have[group].bytes.size != want[group].bytes.size ||
            (have[group].bytes.size > 0 &&
             memcmp(have[group].bytes.data, want[group].bytes.data, have[group].bytes.size) != 0)) {
            fail_msg("seed %d: the blocks of group %d differ", (int)seed, group);
        }
    }
}

static void check_kind(const char *kind, bool has_output) {
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct host one = {0}, many = {0};
        struct host_block *want = run(&one, kind, seed, false);
        struct host_block *have = run(&many, kind, seed, true);
        lines_assert_equal(&many.lines, &one.lines);
        assert_int_equal(many.lines.count > 0, has_output);
        assert_same_blocks(have, want, seed);
        host_blocks_free(&one, want);
        host_blocks_free(&many, have);
        host_close(&one);
        host_close(&many);
        lines_clear(&one.lines);
        lines_clear(&many.lines);
    }
}

static void test_dedup(void **state) {
    (void)state;
    check_kind("dedup", true);
}
static void test_join(void **state) {
    (void)state;
    check_kind("join", true);
}
static void test_profile(void **state) {
    (void)state;
    check_kind("profile", true);
}
static void test_tally(void **state) {
    (void)state;
    check_kind("tally", false);
}
static void test_pairs(void **state) {
    (void)state;
    check_kind("pairs", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dedup), cmocka_unit_test(test_join),  cmocka_unit_test(test_profile),
        cmocka_unit_test(test_tally), cmocka_unit_test(test_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
