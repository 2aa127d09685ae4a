/* The two inputs of join have no order between them, and rows of one input none within the
 * lateness: whatever the order, the labels folded by (user, request, item) end the same. */
#include "tests/public/operator_host.h"

enum { SHOWN = 120, SEEDS = 20, ORDERS = 5, GROUPS = 8, LATENESS_MS = 20000, ROWS_MAX = 8 * SHOWN };

#define ORDER_CONFIG                                                                               \
    "actions:\n"                                                                                   \
    "  click: {window: 1m, weight: 1}\n"                                                           \
    "  like: {window: 5m, weight: 2, filter: none}\n"                                              \
    "surfaces: {for_you: {examples: impressions}, shop: {examples: served}}\n"                     \
    "flow: {lateness: 20s, idle: 1d}\n"

struct facts {
    int count;
    struct host_row rows[ROWS_MAX];
    int64_t arrives_ms[ROWS_MAX]; /* event time, and less than the lateness more */
};

static struct host_row *fact_add(struct facts *facts, const char *kind, int shown,
                                 int64_t time_ms) {
    struct host_row *row = &facts->rows[facts->count++];
    *row = (struct host_row){.input = kind != NULL,
                             .kind = kind,
                             .user = shown % 7,
                             .item = shown % 13,
                             .id = -1,
                             .request = shown / 3,
                             .surface = shown / 3 % 2,
                             .category = -1,
                             .time_ms = time_ms};
    return row;
}

/* Showings of three a request, each seen or not, acted on or not, some actions twice. */
static void facts_make(uint64_t seed, struct facts *facts) {
    uint64_t random = seed + 1;
    facts->count = 0;
    for (int shown = 0; shown < SHOWN; shown++) {
        int64_t time_ms = HOST_START_MS + shown / 3 * INT64_C(4000) + host_below(&random, 500);
        fact_add(facts, NULL, shown, time_ms);
        if (host_below(&random, 4)) {
            fact_add(facts, "impression", shown, time_ms + 1000 + host_below(&random, 900));
        }
        for (int i = host_below(&random, 3); i > 0; i--) {
            int64_t act_ms = time_ms + 2000 + host_below(&random, 80000);
            fact_add(facts, host_below(&random, 2) ? "click" : "like", shown, act_ms);
        }
    }
}

static void facts_shuffle(struct facts *facts, uint64_t *random) {
    for (int i = 0; i < facts->count; i++) {
        facts->arrives_ms[i] = facts->rows[i].time_ms + host_below(random, LATENESS_MS - 1);
    }
    for (int i = 1; i < facts->count; i++) { /* by arrival */
        struct host_row row = facts->rows[i];
        int64_t arrives_ms = facts->arrives_ms[i];
        int place = i;
        while (place > 0 && facts->arrives_ms[place - 1] > arrives_ms) {
            facts->rows[place] = facts->rows[place - 1];
            facts->arrives_ms[place] = facts->arrives_ms[place - 1];
            place--;
        }
        facts->rows[place] = row;
        facts->arrives_ms[place] = arrives_ms;
    }
}

/* What was said last of each task of each showing. */
struct labels {
    int count;
    struct folded {
        char of[96];
        unsigned mask, labels;
    } folded[SHOWN];
};

static unsigned number_after(const char *line, const char *name) {
    const char *at = strstr(line, name);
    assert_non_null(at);
    return (unsigned)strtoul(at + strlen(name), NULL, 10);
}

static void labels_fold(const struct lines *lines, struct labels *labels) {
    labels->count = 0;
    for (int i = 0; i < lines->count; i++) {
        char of[96];
        const char *user = strstr(lines->lines[i], " user=");
        assert_non_null(user);
        size_t size = (size_t)(strstr(user, " user_hash") - user);
        assert_true(size < sizeof(of));
        memcpy(of, user, size);
        of[size] = '\0';
        int place = 0;
        while (place < labels->count && strcmp(labels->folded[place].of, of) != 0) {
            place++;
        }
        if (place == labels->count) {
            assert_true(labels->count < SHOWN);
            labels->folded[labels->count++] = (struct folded){{0}, 0, 0};
            memcpy(labels->folded[place].of, of, size + 1);
        }
        struct folded *folded = &labels->folded[place];
        unsigned mask = number_after(lines->lines[i], " mask=");
        folded->labels =
            (folded->labels & ~mask) | (number_after(lines->lines[i], " labels=") & mask);
        folded->mask |= mask;
    }
}

static int folded_order(const void *a, const void *b) {
    return strcmp(((const struct folded *)a)->of, ((const struct folded *)b)->of);
}

static void run(struct facts *facts, uint64_t seed, struct labels *labels) {
    struct host host = {0};
    uint64_t random = seed + 5;
    host_open(&host, "join", ORDER_CONFIG, GROUPS, 1 + host_below(&random, 3));
    host_now(&host, HOST_START_MS);
    for (int i = 0; i < facts->count; i++) {
        host_row(&host, &facts->rows[i]);
        if (host_below(&random, 10) == 0) {
            host_push(&host);
            host_watermark(&host, facts->arrives_ms[i] - LATENESS_MS);
        }
    }
    host_push(&host);
    host_end(&host);
    labels_fold(&host.lines, labels);
    qsort(labels->folded, (size_t)labels->count, sizeof(struct folded), folded_order);
    host_close(&host);
    lines_clear(&host.lines);
}

static void test_any_order_within_the_lateness(void **state) {
    (void)state;
    static struct facts facts;
    static struct labels want, have;
    int positives = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        facts_make(seed, &facts);
        for (int order = 0; order < ORDERS; order++) {
            uint64_t random = seed * 100 + (uint64_t)order;
            facts_shuffle(&facts, &random);
            run(&facts, random, order == 0 ? &want : &have);
            for (int i = 0; order > 0 && i < want.count && i < have.count; i++) {
                assert_string_equal(have.folded[i].of, want.folded[i].of);
                assert_int_equal(have.folded[i].mask, want.folded[i].mask);
                assert_int_equal(have.folded[i].labels, want.folded[i].labels);
                positives += have.folded[i].labels != 0;
            }
            assert_int_equal(order > 0 ? have.count : want.count, want.count);
        }
    }
    assert_true(positives > SEEDS * SHOWN / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_within_the_lateness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
