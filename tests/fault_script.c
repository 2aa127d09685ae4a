#include "tests/fault_script.h"

#include "base/hash.h"
#include "base/memory.h"
#include "engine/engine_internal.h"
#include "flow/example_file.h"
#include "log/event.h"
#include "log/record.h"
#include "tests/message_rules.h"
#include "tests/shards.h"
#include "tests/squeeze.h"

#include <inttypes.h>

enum operation { APPEND, RUN, FEED, CHECKPOINT, FORGET, CLOSE, ABANDON, SQUEEZE, ERASE };
enum { ATTEMPTS_MAX = 6, PEOPLE = 3, ITEMS = 8, START_MS = 1000, ALLOCATIONS_MAX = 1 << 30 };

#define EXAMPLES "e" /* folder */

struct script {
    int variant;
    struct fault fault;
    struct rng rng; /* what the operation at hand draws from */
    struct config *config;
    struct disk_fake *fake;
    struct manual_clock clock;
    struct builder *builder;
    struct arena arena;
    struct engine *engine;
    struct script_measure *measure;
    uint64_t end;  /* of the log, as far as it is acknowledged */
    int operation; /* the place in the script */
    int errors;    /* answered so far */
    leat_error err;
};

static void what_failed(const struct script *script, const char *words) {
    static const char *const kinds[] = {"none", "disk", "cut", "kill", "memory"};
    fault_found(__FILE__, __LINE__, "script %d, fault %s %d at %" PRIu64 ", operation %d: %s: %s",
                script->variant, kinds[script->fault.kind], (int)script->fault.disk,
                script->fault.n, script->operation, words, script->err.message);
}

bool script_spills(int variant) {
    return variant % 2 == 1;
}

/* --- the configuration of a variant --- */

static void config_make(struct script *script) {
    static const int groups[] = {1, 2, 4};
    static const char *const labels[] = {"window", "fake_negative", "sliding"};
    struct bytes text;
    int v = script->variant / 2;
    bytes_init(&text);
    if (script_spills(script->variant)) { /* an extent for each group of each state, each time */
        bytes_printf(&text, "runner: {spill: 16MiB}\nexamples: {folder: " EXAMPLES "}\n");
    }
    bytes_printf(&text,
                 "data: d\nkey_groups: %d\nlog: {heartbeat: 1h}\ncheckpoint: {keep: %d}\n"
                 "flow: {negatives: 1, negative_ring: 16}\n"
                 "model: {dimension: 2, memory: 1MiB, features: [user, item, author]}\n"
                 "actions:\n  click: {window: 2s, weight: 1}\n"
                 "  hide: {window: 5s, weight: -4, filter: forever}\n"
                 "surfaces:\n"
                 "  for_you: {show: 3, candidates: 20, examples: %s, labels: %s, channels: "
                 "{similar: 5, trending: 5, fresh: 5, explore: 5}}\n",
                 script_spills(script->variant) ? 1 + v % 2 : groups[v % 3], 1 + v % 2,
                 v % 4 == 3 ? "served" : "impressions", labels[v / 2 % 3]);
    leat_status status = config_parse((struct slice){(char *)text.data, text.size}, "script",
                                      &script->config, &script->err);
    bytes_deinit(&text);
    CHECK(status == LEAT_OK, "%s", script->err.message);
    script->config->log.segment = v % 2 ? 2500 : 65536;
    script->config->examples.file = 1000; /* many files, as of many examples */
}

/* --- errors --- */

/* An operation answered a failure: one that has good words, and that a fault explains. */
static void error_check(struct script *script) {
    const char *fault = message_fault(&script->err);
    script->errors++;
    if (script->fault.kind == FAULT_NONE) {
        what_failed(script, "a failure without a fault");
    }
    if (fault) {
        what_failed(script, fault);
    }
}

/* --- opening and going --- */

static bool is_cut(const struct script *script) {
    return disk_fake_is_cut(script->fake);
}

static void power_back(struct script *script) {
    if (!is_cut(script)) {
        return;
    }
    disk_fake_cut_at(script->fake, 0);
    if (script->fault.kind == FAULT_CUT) {
        disk_fake_restart(script->fake);
    } else {
        disk_fake_revive(script->fake);
    }
}

static void spill_note(struct script *script) {
    uint64_t fetched;
    uint64_t written;
    if (script->fault.kind == FAULT_NONE && script->engine) {
        squeeze_counts(script->engine, &fetched, &written);
        script->measure->fetched += fetched;
        script->measure->written += written;
    }
}

static void script_abandon(struct script *script) {
    spill_note(script);
    if (script->engine) {
        engine_abandon(script->engine);
        script->engine = NULL;
    }
    power_back(script);
}

static void script_open(struct script *script) {
    struct engine_options options = {.config = script->config,
                                     .disk = disk_fake_disk(script->fake),
                                     .clock = &script->clock.clock,
                                     .inline_mode = true,
                                     .emit_examples = script_spills(script->variant)};
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (engine_open(&options, &script->engine, NULL, &script->err) >= 0) {
            if (engine_end(script->engine) < script->end) {
                what_failed(script, "acknowledged rows are gone");
            }
            return;
        }
        script->engine = NULL;
        error_check(script);
        power_back(script);
    }
    what_failed(script, "cannot be opened any more");
}

static void script_restart(struct script *script) {
    script_abandon(script);
    script_open(script);
}

/* --- operations: LEAT_OK, or the failure --- */

static void event_draw(struct script *script, const char *kind, int number) {
    char user[16], item[16], id[32];
    int person = (int)rng_below(&script->rng, PEOPLE);
    int thing = (int)rng_below(&script->rng, ITEMS);
    snprintf(user, sizeof(user), "u%d", person);
    snprintf(item, sizeof(item), "i%d", thing);
    snprintf(id, sizeof(id), "e%d.%d", script->operation, number);
    struct posted_event event = {.kind = slice_of(kind), .id = slice_of(id)};
    event.user = strcmp(kind, "item") == 0 ? event.user : slice_of(user);
    event.item = strcmp(kind, "forget") == 0 ? event.item : slice_of(item);
    event.author = strcmp(kind, "item") == 0 ? slice_of("a") : event.author;
    leat_status status = event_add(script->builder, script->config, &event, &script->err);
    CHECK(status == LEAT_OK, "%s", script->err.message);
}

static leat_status rows_append(struct script *script) {
    struct batch batch;
    struct log_receipt receipt;
    memory_spare(true);
    CHECK(builder_finish(script->builder, &batch, &script->err) == LEAT_OK, "no batch");
    memory_spare(false);
    leat_status status = engine_append(script->engine, &batch, &receipt, &script->err);
    script->end = status >= 0 ? receipt.end_sequence : script->end;
    return status;
}

static leat_status do_append(struct script *script) {
    static const char *const kinds[] = {"impression", "impression", "click", "item", "hide"};
    int count = 1 + (int)rng_below(&script->rng, 4);
    memory_spare(true);
    builder_clear(script->builder);
    for (int i = 0; i < count; i++) {
        event_draw(script, kinds[rng_below(&script->rng, 5)], i);
    }
    memory_spare(false);
    return rows_append(script);
}

static leat_status do_forget(struct script *script) {
    memory_spare(true);
    builder_clear(script->builder);
    event_draw(script, "forget", 0);
    memory_spare(false);
    return rows_append(script);
}

static leat_status do_feed(struct script *script) {
    char user[16], request[32];
    struct page page;
    snprintf(user, sizeof(user), "u%d", (int)rng_below(&script->rng, PEOPLE));
    snprintf(request, sizeof(request), "q%d", script->operation);
    struct feed_query query = {.user = slice_of(user), .request = slice_of(request)};
    TRY(engine_run(script->engine, UINT64_MAX, &script->err));
    uint64_t end = engine_end(script->engine);
    arena_reset(&script->arena);
    TRY(engine_feed(script->engine, &query, &script->arena, &page, &script->err));
    if (engine_end(script->engine) == end + (uint64_t)page.count) {
        script->end = engine_end(script->engine);
        return LEAT_OK;
    }
    /* The page was answered, and its served rows were lost: the next flush says so. */
    leat_status status = log_flush(engine_log(script->engine), &script->err);
    CHECK(status < 0, "served rows are lost, and nobody says so");
    return status;
}

static leat_status operation_do(struct script *script, enum operation operation) {
    switch (operation) {
    case APPEND: return do_append(script);
    case RUN: return engine_run(script->engine, UINT64_MAX, &script->err);
    case FEED: return do_feed(script);
    case CHECKPOINT: return engine_checkpoint(script->engine, &script->err);
    case FORGET: return do_forget(script);
    case ABANDON: script_abandon(script); return LEAT_OK;
    case SQUEEZE: return squeeze(script->engine, &script->err);
    case ERASE: return engine_tidy(script->engine, &script->err);
    default: {
        spill_note(script);
        leat_status status = engine_close(script->engine, &script->err);
        script->engine = NULL;
        return status;
    }
    }
}

/* --- the script --- */

static const char *words_of(enum operation operation) {
    static const char *const words[] = {"append", "run",     "feed",    "checkpoint", "forget",
                                        "close",  "abandon", "squeeze", "erase"};
    return words[operation];
}

/* Whether the rows of the operation that failed are in the log all the same. */
static bool rows_are_there(struct script *script) {
    bool there = engine_end(script->engine) > script->end;
    script->end = engine_end(script->engine);
    return there;
}

/* After a failure: again at once where the error says so, else with a new engine. */
static bool failure_settle(struct script *script, enum operation operation) {
    bool flow = operation == RUN || operation == FEED || operation >= SQUEEZE;
    if (script->engine && script->err.retry && !flow && !is_cut(script) &&
        !engine_failure(script->engine)) {
        return false;
    }
    script_restart(script);
    return (operation == APPEND || operation == FORGET || operation == FEED) &&
           rows_are_there(script);
}

static void operation_run(struct script *script, enum operation operation) {
    uint64_t seed = hash_mix((uint64_t)script->variant / 2, (uint64_t)script->operation);
    manual_clock_set(&script->clock, START_MS + 1000 * script->operation);
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        rng_init(&script->rng, seed);
        leat_status status = operation_do(script, operation);
        if (status >= 0) {
            return;
        }
        error_check(script);
        if (failure_settle(script, operation) || operation == CLOSE) {
            return;
        }
    }
    what_failed(script, words_of(operation));
}

static int operations_draw(int variant, enum operation *out) {
    static const enum operation mix[] = {APPEND, APPEND,     APPEND, RUN,   FEED,
                                         FEED,   CHECKPOINT, FORGET, CLOSE, ABANDON};
    struct rng rng;
    int v = variant / 2;
    int drawn = 2;
    int count = 0;
    rng_init(&rng, (uint64_t)v);
    out[count++] = APPEND;
    out[count++] = FEED;
    while (drawn++ < 9 + v % 4) {
        enum operation next = mix[rng_below(&rng, sizeof(mix) / sizeof(mix[0]))];
        out[count++] = next;
        if (script_spills(variant)) {
            out[count++] = next == FORGET ? ERASE : SQUEEZE;
        }
    }
    out[count++] = v % 2 ? CHECKPOINT : CLOSE;
    return count;
}

static void operations_run(struct script *script) {
    enum operation operations[SCRIPT_OPERATIONS_MAX];
    int count = operations_draw(script->variant, operations);
    script_open(script);
    for (int i = 0; i < count; i++) {
        script->operation = i + 1;
        operation_run(script, operations[i]);
        if (!script->engine) {
            script_open(script);
        }
    }
    script->operation = 0;
}

/* --- around it --- */

static void step_note(void *context, const char *verb) {
    struct script_measure *measure = context;
    CHECK(measure->steps < SCRIPT_STEPS_MAX, "a script of too many disk calls");
    measure->verbs[measure->steps++] = strcmp(verb, "sync") == 0 ? 'L' : verb[0];
}

static void fault_arm(struct script *script) {
    const struct fault *fault = &script->fault;
    switch (fault->kind) {
    case FAULT_DISK: disk_fake_fail_at(script->fake, fault->n, fault->disk); break;
    case FAULT_CUT:
    case FAULT_KILL: disk_fake_cut_at(script->fake, fault->n); break;
    case FAULT_MEMORY: memory_fail_at(fault->n); break;
    default:
        *script->measure = (struct script_measure){0};
        disk_fake_on_step(script->fake, step_note, script->measure);
        memory_fail_at(ALLOCATIONS_MAX);
        break;
    }
}

static void fault_disarm(struct script *script) {
    if (script->fault.kind == FAULT_NONE) {
        script->measure->allocations = ALLOCATIONS_MAX - memory_fail_left();
    }
    memory_fail_at(0);
    disk_fake_on_step(script->fake, NULL, NULL);
    disk_fake_fail_at(script->fake, 0, DISK_FAULT_IO);
    power_back(script);
    disk_fake_cut_at(script->fake, 0);
}

static void digest_check(struct script *script) {
    struct engine_digest digest;
    const struct engine_digest *wanted = &script->measure->digest;
    CHECK(engine_run(script->engine, UINT64_MAX, &script->err) >= 0, "%s", script->err.message);
    CHECK(engine_digest(script->engine, &digest, &script->err) >= 0, "%s", script->err.message);
    if (script->fault.kind == FAULT_NONE) {
        script->measure->digest = digest;
        return;
    }
    if (digest.sequence != wanted->sequence) {
        what_failed(script, "another number of rows in the log");
    }
    for (int i = 0; i < digest.count; i++) {
        if (digest.parts[i].value != wanted->parts[i].value) {
            what_failed(script, digest.parts[i].name);
        }
    }
}

/* --- emitted examples --- */

struct emitted_reading {
    struct script *script;
    uint64_t hash;
};

static leat_status file_read_examples(void *context, const char *name) {
    struct emitted_reading *reading = context;
    struct script *script = reading->script;
    char path[PATH_BYTES_MAX];
    struct example_reader *reader;
    struct batch batch;
    leat_status status;
    if (!strstr(name, ".frames")) {
        return LEAT_OK;
    }
    snprintf(path, sizeof(path), EXAMPLES "/%s", name);
    CHECK(example_reader_open(disk_fake_disk(script->fake), path, &reader, &script->err) >= 0,
          "%s: %s", path, script->err.message);
    while ((status = example_reader_next(reader, &batch, &script->err)) == LEAT_OK) {
        for (int64_t row = 0; row < batch.rows; row++) {
            uint64_t labels = (uint64_t)batch_i32(&batch, EXAMPLE_MASK, row) << 32 |
                              (uint32_t)batch_i32(&batch, EXAMPLE_LABELS, row);
            reading->hash =
                hash_mix(hash_mix(reading->hash, labels), batch_u64(&batch, EXAMPLE_SEQUENCE, row));
        }
    }
    example_reader_close(reader);
    if (status != LEAT_END) {
        what_failed(script, path);
    }
    return LEAT_OK;
}

/* Each one once, in order: as without the fault. */
static void emitted_check(struct script *script) {
    struct emitted_reading reading = {script, 0};
    if (!script_spills(script->variant)) {
        return;
    }
    CHECK(engine_checkpoint(script->engine, &script->err) >= 0, "%s", script->err.message);
    disk_list(disk_fake_disk(script->fake), EXAMPLES, file_read_examples, &reading, NULL);
    if (script->fault.kind == FAULT_NONE) {
        script->measure->emitted = reading.hash;
    } else if (reading.hash != script->measure->emitted) {
        what_failed(script, "other examples in files");
    }
}

/* On a healthy disk: as it is, and after one more start. */
static void end_check(struct script *script) {
    if (!script->engine || is_cut(script)) {
        script_restart(script);
    }
    digest_check(script);
    emitted_check(script);
    script_restart(script);
    digest_check(script);
    script_abandon(script);
}

static void script_init(struct script *script) {
    config_make(script);
    CHECK(disk_fake_create((uint64_t)script->variant, &script->fake, &script->err) == LEAT_OK,
          "no disk");
    manual_clock_init(&script->clock, START_MS);
    CHECK(builder_create(schema_event(), &script->builder, &script->err) == LEAT_OK, "no builder");
    arena_init(&script->arena, 64 << 10, 64 << 20);
}

int script_run(int variant, const struct fault *fault, struct script_measure *measure) {
    struct script script = {.variant = variant, .fault = *fault, .measure = measure};
    uint64_t blocks = memory_blocks();
    script_init(&script);
    fault_arm(&script);
    operations_run(&script);
    fault_disarm(&script);
    end_check(&script);
    arena_deinit(&script.arena);
    builder_destroy(script.builder);
    disk_fake_destroy(script.fake);
    config_destroy(script.config);
    if (memory_blocks() != blocks) {
        snprintf(script.err.message, sizeof(script.err.message), "%" PRId64 " blocks",
                 (int64_t)(memory_blocks() - blocks));
        what_failed(&script, "memory is not given back");
    }
    return script.errors;
}
