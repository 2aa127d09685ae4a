/* Hosted operators, chained, against flow: from the same rows the same examples and states. */
#include "flow/flow.h"
#include "flow/operator_fixture.h"
#include "flow/step.h"

#include <stdlib.h>

enum { ROWS = 700, SEEDS = 6, USERS = 6, ITEMS = 12, GROUPS = 8 };

enum { CHAIN_DEDUP, CHAIN_JOIN, CHAIN_PROFILE, CHAIN_TALLY, CHAIN_PAIRS, CHAIN_KINDS };
static const char *const chain_names[CHAIN_KINDS] = {"dedup", "join", "profile", "tally", "pairs"};
static const int flow_places[CHAIN_KINDS] = {0, 6, 2, 3, 4}; /* as flow_state numbers them */

struct world {
    struct config *config;
    struct flow *flow;
    leat_operator *chain[CHAIN_KINDS];
    struct builder *events, *served;
    struct builder *examples[2]; /* flow's, the operator's */
    uint64_t sequence;
};

static void emit(void *context, const struct example *example) {
    struct world *world = context;
    struct example hosted = *example;
    hosted.sequence = 0;
    example_add(world->examples[0], &hosted);
}

static void world_open(struct world *world) {
    *world = (struct world){.config = fixture_config(operator_text)};
    struct flow_options options = {.config = world->config, .emit = emit, .context = world};
    leat_error err = {0};
    if (flow_open(&options, &world->flow, &err) < 0) {
        fail_msg("%s", err.message);
    }
    for (int k = 0; k < CHAIN_KINDS; k++) {
        world->chain[k] = operator_open(chain_names[k], GROUPS);
    }
    assert_int_equal(builder_create(schema_event(), &world->events, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_served(), &world->served, NULL), LEAT_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(builder_create(schema_example(), &world->examples[i], NULL), LEAT_OK);
    }
}

static void world_close(struct world *world) {
    builder_destroy(world->events);
    builder_destroy(world->served);
    builder_destroy(world->examples[0]);
    builder_destroy(world->examples[1]);
    for (int k = 0; k < CHAIN_KINDS; k++) {
        leat_operator_close(world->chain[k]);
    }
    flow_close(world->flow);
    config_destroy(world->config);
}

/* --- the chain --- */

static void push(struct world *world, int kind, int input, const struct batch *batch) {
    leat_error err = {0};
    if (operator_push_batch(world->chain[kind], input, batch, &err) != LEAT_OK) {
        fail_msg("%s: %s", chain_names[kind], err.message);
    }
}

/* The next batch that comes out, still owned by `array`. */
static bool pull(struct world *world, int kind, struct ArrowArray *array, struct batch *out) {
    leat_status status = leat_operator_pull(world->chain[kind], 0, array, NULL);
    assert_true(status == LEAT_OK || status == LEAT_AGAIN);
    if (status != LEAT_OK) {
        return false;
    }
    struct ArrowSchema schema;
    const struct schema *plain = world->chain[kind]->outputs[0].schema;
    assert_int_equal(arrow_export_schema(plain, &schema, NULL), LEAT_OK);
    assert_int_equal(arrow_import_batch(plain, &schema, array, out, NULL), LEAT_OK);
    schema.release(&schema);
    return true;
}

static void take_examples(struct world *world) {
    struct ArrowArray array;
    struct batch batch;
    while (pull(world, CHAIN_JOIN, &array, &batch)) {
        for (int64_t i = 0; i < batch.rows; i++) {
            builder_copy_row(world->examples[1], &batch, i);
        }
        array.release(&array);
    }
}

static void take_steps(struct world *world) {
    struct ArrowArray array;
    struct batch batch;
    while (pull(world, CHAIN_PROFILE, &array, &batch)) {
        push(world, CHAIN_PAIRS, 0, &batch);
        array.release(&array);
    }
}

static void chain_served(struct world *world, const struct batch *batch) {
    push(world, CHAIN_JOIN, 0, batch);
    push(world, CHAIN_PROFILE, 1, batch);
    push(world, CHAIN_TALLY, 1, batch);
}

static void chain_event(struct world *world, const struct batch *batch) {
    push(world, CHAIN_DEDUP, 0, batch);
    struct ArrowArray array;
    struct batch passed;
    if (!pull(world, CHAIN_DEDUP, &array, &passed)) {
        return;
    }
    struct slice kind = batch_text(&passed, EVENT_KIND, 0);
    push(world, CHAIN_JOIN, 1, &passed);
    /* Flow describes an item before it looks it up. */
    if (slice_is(kind, KIND_ITEM) || slice_is(kind, KIND_ITEM_DELETE)) {
        push(world, CHAIN_PROFILE, 2, &passed);
    }
    push(world, CHAIN_PROFILE, 0, &passed);
    take_steps(world);
    push(world, CHAIN_TALLY, 0, &passed);
    array.release(&array);
}

static void chain_time(struct world *world, int64_t now_ms) {
    int64_t watermark_ms = now_ms - world->config->flow.lateness;
    for (int k = 0; k < CHAIN_KINDS; k++) {
        assert_int_equal(leat_operator_now(world->chain[k], now_ms, NULL), LEAT_OK);
        for (int input = 0; input < world->chain[k]->kind->input_count; input++) {
            assert_int_equal(leat_operator_watermark(world->chain[k], input, watermark_ms, NULL),
                             LEAT_OK);
        }
    }
    take_examples(world);
}

/* --- the stream: rows up to 8 s late; features are always served --- */

static struct operator_row random_row(struct rng *rng, int number, int64_t now_ms) {
    static const char *const kinds[] = {"impression", "click", "like", "hide"};
    struct operator_row row = {.user = rng_int(rng, 0, USERS - 1),
                               .item = rng_int(rng, 0, ITEMS - 1),
                               .id = -1,
                               .request = number / 20,
                               .category = -1,
                               .region = -1,
                               .time_ms = now_ms - rng_int(rng, 0, 8000)};
    row.shop = row.request % 2 == 0;
    int chance = rng_int(rng, 0, 99);
    if (chance < 3) {
        row.kind = "forget";
        row.item = -1;
    } else if (chance < 10) {
        row.kind = chance < 5 ? "item_delete" : "item";
        row.category = chance < 5 ? -1 : rng_int(rng, 0, 3);
        row.user = -1;
    } else {
        row.kind = kinds[rng_int(rng, 0, 3)];
        row.id = rng_chance(rng, 60) ? rng_int(rng, 0, 60) : -1;
        row.request = rng_chance(rng, 80) ? row.request : -1;
        row.region = rng_chance(rng, 30) ? rng_int(rng, 0, 2) : -1;
    }
    return row;
}

/* Flow reads the person's region where an event names none, the operator does not: so each person
 * has one by person, or events name none. */
static void settle_region(struct operator_row *row, bool regions) {
    row->region =
        regions && row->kind && strcmp(row->kind, "forget") != 0 && row->user >= 0 ? 1 : -1;
}

static void both(struct world *world, const struct operator_row *row, int64_t now_ms) {
    struct batch batch;
    operator_batch(row->kind ? world->events : world->served, row, &batch);
    assert_int_equal(flow_apply(world->flow, &batch, ++world->sequence, now_ms, false, 0, 1, NULL),
                     LEAT_OK);
    chain_time(world, now_ms);
    if (row->kind) {
        chain_event(world, &batch);
    } else {
        chain_served(world, &batch);
    }
    take_examples(world);
}

static void stream(struct world *world, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    int64_t now_ms = FIXTURE_START_MS;
    for (int i = 0; i < ROWS; i++) {
        now_ms += rng_int(&rng, 0, 3000);
        struct operator_row row = random_row(&rng, i, now_ms);
        settle_region(&row, seed % 2 == 0);
        if (strcmp(row.kind, "impression") == 0) {
            row.request = row.request < 0 ? i / 20 : row.request;
            struct operator_row served = row;
            served.kind = NULL;
            both(world, &served, now_ms);
        }
        both(world, &row, now_ms);
    }
    struct operator_row last = {.kind = "user",
                                .item = -1,
                                .id = -1,
                                .request = -1,
                                .category = -1,
                                .region = -1,
                                .time_ms = now_ms + 3600000};
    both(world, &last, now_ms + 3600000);
}

/* --- the comparison --- */

static int body_order(const void *a, const void *b) {
    return memcmp(a, b, sizeof(uint64_t));
}

/* Hashes of the rows, sorted. */
static uint64_t *row_hashes(struct builder *examples, int64_t *count) {
    struct batch batch, one;
    struct builder *single;
    assert_int_equal(builder_finish(examples, &batch, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_example(), &single, NULL), LEAT_OK);
    uint64_t *hashes = memory_alloc((size_t)batch.rows * sizeof(*hashes));
    assert_non_null(hashes);
    for (int64_t i = 0; i < batch.rows; i++) {
        builder_clear(single);
        builder_copy_row(single, &batch, i);
        assert_int_equal(builder_finish(single, &one, NULL), LEAT_OK);
        struct bytes body;
        bytes_init(&body);
        batch_body_write(&one, bytes_extend(&body, batch_body_size(&one)));
        hashes[i] = hash_bytes(body.data, body.size);
        bytes_deinit(&body);
    }
    builder_destroy(single);
    *count = batch.rows;
    qsort(hashes, (size_t)*count, sizeof(*hashes), body_order);
    return hashes;
}

/* Content of the records of one kind, or of all, in canonical order. */
struct content {
    int kind; /* -1: all */
    uint64_t hash;
    int count;
};

static leat_status content_add(void *context, const struct state_record *record) {
    struct content *content = context;
    if (content->kind < 0 || record->key.kind == (uint32_t)content->kind) {
        content->hash = hash_mix(content->hash, hash_slice(record->key.id));
        content->hash = hash_mix(content->hash, hash_bytes(record->data, record->size));
        content->hash =
            hash_mix(content->hash, hash_mix(record->key.part, (uint64_t)record->due_ms));
        content->count++;
    }
    return LEAT_OK;
}

static struct content content_of(struct state *state, int kind) {
    struct content content = {.kind = kind};
    for (uint32_t group = 0; group < state_groups(state); group++) {
        assert_int_equal(state_visit(state, group, content_add, &content, NULL), LEAT_OK);
    }
    return content;
}

static void test_equal_to_flow(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world world;
        world_open(&world);
        stream(&world, seed);
        int64_t counts[2];
        uint64_t *hashes[2] = {row_hashes(world.examples[0], &counts[0]),
                               row_hashes(world.examples[1], &counts[1])};
        assert_true(counts[0] > 100);
        assert_int_equal(counts[0], counts[1]);
        assert_memory_equal(hashes[0], hashes[1], (size_t)counts[0] * sizeof(uint64_t));
        for (int k = 0; k < CHAIN_KINDS; k++) {
            int kind = k == CHAIN_TALLY ? 0 : -1; /* lists of all items are not the operator's */
            struct content flow = content_of(flow_state(world.flow, flow_places[k]), kind);
            struct content hosted = content_of(world.chain[k]->keyed, kind);
            if (flow.hash != hosted.hash || flow.count != hosted.count) {
                fail_msg("seed %d: %s holds %d records, flow %d", (int)seed, chain_names[k],
                         hosted.count, flow.count);
            }
            assert_true(flow.count > 0 || k == CHAIN_JOIN || k == CHAIN_DEDUP);
        }
        memory_free(hashes[0]);
        memory_free(hashes[1]);
        world_close(&world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_to_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
