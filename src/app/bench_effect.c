/* `effect`: from an action to the page that has learnt from it, over HTTP, while 20,000 events/s of
 * others arrive. A person gets a page, acts on its first item, and asks for pages until one says
 * that its model has learnt what was posted, and scores what both pages show otherwise. The time is
 * from before the post to the end of that page's answer. `effect-follower`: the same, where the
 * pages are asked of a follower, in this process as its leader is. */
#include "app/bench.h"
#include "app/scratch.h"
#include "base/hash.h"
#include "base/memory.h"
#include "connect/leader_http.h"
#include "engine/intake.h"
#include "log/position.h"
#include "world/client.h"

#include <inttypes.h>

enum {
    ITEMS = 20000,
    USERS = 5000,
    LOAD_EVENTS = 1000,
    EVENTS_PER_S = 20000,
    FOLLOWED_EVENTS_PER_S = 5000, /* leader and follower share the machine */
    POSTERS = 2,
    POST_EVENTS = 200,
    SHOWINGS = 4, /* of five events four are showings, and one of them is clicked */
    SECONDS = 8,
    RUN_POSTS_MAX = EVENTS_PER_S / POST_EVENTS * SECONDS,
    TRIALS_PER_S = 20,
    FOLLOWED_TRIALS_PER_S = 1, /* each takes as long as replica.interval */
    RUN_TRIALS_MAX = TRIALS_PER_S * SECONDS,
    PAGE = 20,
    READY_MS = 120000,
    EFFECT_MS_MAX = 60000,
};
#define SECOND_NS 1000000000u

/* A follower of the house, where there is one. */
struct effect_copy {
    char folder[CONFIG_TEXT_MAX];
    struct config *config;
    struct leader_calls calls;
    struct follow_identity identity;
    struct engine *engine;
    struct follow *follow;
    struct server *server;
    char address[SERVER_ADDRESS_MAX];
};

struct effect_bench {
    struct bench_house house;
    int events_per_s, trials_per_s;
    const char *asked; /* address of whom pages are asked of */
    struct effect_copy copy;
    int run; /* 0 warms up */
    uint64_t begun_ns;
    _Atomic int posted;
    _Atomic uint64_t late_ns; /* the latest that a post was, of all that count */
    uint64_t effect_ns[(BENCH_RUNS + 1) * RUN_TRIALS_MAX];
    int unchanged; /* pages that had learnt it, and showed the same scores */
};

static int run_trials(const struct effect_bench *bench) {
    return bench->trials_per_s * SECONDS;
}

/* --- what is known before --- */

static leat_status load_items(struct effect_bench *bench, struct intake *intake, struct bytes *text,
                              leat_error *err) {
    for (int i = 0; i < ITEMS; i++) {
        uint64_t draw = hash_mix(7, (uint64_t)i);
        bytes_printf(text,
                     "{\"kind\":\"item\",\"item\":\"i%06d\",\"author\":\"a%d\",\"categories\":"
                     "[\"c%d\"]}\n",
                     i, (int)(draw % 1000), (int)(draw / 1000 % 50));
        if ((i + 1) % LOAD_EVENTS == 0) {
            struct intake_result result;
            TRY(bytes_status(text, err));
            TRY(intake_read(intake, (struct slice){(const char *)text->data, text->size}, &result,
                            err));
            TRY(engine_append(bench->house.engine, &result.batch, NULL, err));
            bytes_clear(text);
        }
    }
    return LEAT_OK;
}

static leat_status load(struct effect_bench *bench, leat_error *err) {
    struct intake *intake;
    struct bytes text;
    struct engine *engine = bench->house.engine;
    TRY(intake_create(bench->house.config, &intake, err));
    bytes_init(&text);
    leat_status status = load_items(bench, intake, &text, err);
    bytes_deinit(&text);
    intake_destroy(intake);
    TRY(status);
    if (!engine_wait(engine, engine_end(engine), true, READY_MS)) {
        return error_set(err, LEAT_IO, "the items were not applied within %d s", READY_MS / 1000);
    }
    return LEAT_OK;
}

/* --- the others --- */

static void others_write(struct bytes *out, uint64_t seed) {
    uint64_t user = 0;
    uint64_t item = 0;
    bytes_clear(out);
    for (int i = 0; i < POST_EVENTS; i++) {
        bool click = i % (SHOWINGS + 1) == SHOWINGS;
        if (!click) { /* a click is on the last of the showings before it */
            uint64_t draw = hash_mix(seed, (uint64_t)i);
            user = draw % USERS;
            item = hash_mix(draw, 1) % ITEMS;
        }
        bytes_printf(out,
                     "{\"kind\":\"%s\",\"user\":\"u%06" PRIu64 "\",\"item\":\"i%06" PRIu64
                     "\",\"surface\":\"for_you\",\"context\":{\"device\":\"%" PRIu64 "\"}}\n",
                     click ? "click" : "impression", user, item, user % 4);
    }
}

static leat_status post_others(struct effect_bench *bench, struct client *client,
                               struct bytes *text, leat_error *err) {
    int number;
    int posts = bench->events_per_s / POST_EVENTS * SECONDS;
    while ((number = atomic_fetch_add(&bench->posted, 1)) < posts) {
        uint64_t due_ns =
            bench->begun_ns +
            (uint64_t)number * (SECOND_NS / (uint64_t)bench->events_per_s * POST_EVENTS);
        others_write(text, (uint64_t)(bench->run * RUN_POSTS_MAX + number) + 1000);
        TRY(bytes_status(text, err));
        bench_sleep_until(due_ns);
        TRY(client_post_events(client, (struct slice){(const char *)text->data, text->size}, NULL,
                               NULL, err));
        uint64_t late_ns = clock_monotonic_ns() - due_ns;
        if (bench->run > 0 && late_ns > atomic_load(&bench->late_ns)) {
            atomic_store(&bench->late_ns, late_ns);
        }
    }
    return LEAT_OK;
}

static leat_status others_run(struct bench_worker *worker, leat_error *err) {
    struct effect_bench *bench = worker->shared;
    struct client *client;
    struct bytes text;
    TRY(client_create(bench->house.address, &client, err));
    bytes_init(&text);
    leat_status status = post_others(bench, client, &text, err);
    bytes_deinit(&text);
    client_destroy(client);
    return status;
}

/* --- one person --- */

struct shown {
    char request[64];
    uint64_t learnt;
    int count;
    char items[PAGE][32];
    double scores[PAGE];
};

static leat_status sequence_read(const struct effect_bench *bench, struct slice text, uint64_t *out,
                                 leat_error *err) {
    struct position position;
    TRY(position_read(text, &position, err));
    *out = position_sequence(&position, engine_log_id(bench->house.engine));
    return LEAT_OK;
}

static bool text_of(struct json_value object, const char *key, struct slice *out) {
    struct json_value value;
    return json_find(object, key, &value) && json_to_text(value, out);
}

static leat_status page_get(const struct effect_bench *bench, struct client *client, int trial,
                            bool preview, struct shown *out, leat_error *err) {
    char path[160];
    struct json_value page, items, item, score;
    struct slice request = {"", 0}, learnt = {"", 0}, id;
    snprintf(path, sizeof(path), "/v1/feed?user=e%d_%d&surface=for_you&n=%d&preview=%d", bench->run,
             trial, PAGE, preview);
    TRY(client_get_json(client, path, &page, err));
    text_of(page, "request", &request);
    text_of(page, "learnt", &learnt);
    *out = (struct shown){.count = 0};
    snprintf(out->request, sizeof(out->request), "%.*s", (int)request.size, request.data);
    TRY(sequence_read(bench, learnt, &out->learnt, err));
    struct json_iterator it;
    if (json_find(page, "items", &items)) {
        it = json_iterate(items);
        while (out->count < PAGE && json_next(&it, NULL, &item)) {
            if (text_of(item, "item", &id) && json_find(item, "score", &score) &&
                json_to_f64(score, &out->scores[out->count])) {
                snprintf(out->items[out->count++], sizeof(out->items[0]), "%.*s", (int)id.size,
                         id.data);
            }
        }
    }
    return out->count > 0 ? LEAT_OK : error_set(err, LEAT_CORRUPT, "%s: an empty page", path);
}

static bool is_changed(const struct shown *before, const struct shown *after) {
    for (int i = 0; i < before->count; i++) {
        for (int k = 0; k < after->count; k++) {
            if (strcmp(before->items[i], after->items[k]) == 0 &&
                before->scores[i] != after->scores[k]) {
                return true;
            }
        }
    }
    return false;
}

/* Shown, clicked, and asked until it counts. */
static leat_status trial_run(struct effect_bench *bench, struct client *client,
                             struct client *asker, int trial, struct bytes *text, leat_error *err) {
    struct shown before, after;
    char position[CLIENT_POSITION_MAX];
    uint64_t wanted;
    TRY(page_get(bench, client, trial, false, &before, err));
    bytes_clear(text);
    for (int i = 0; i < 2; i++) {
        bytes_printf(text,
                     "{\"kind\":\"%s\",\"user\":\"e%d_%d\",\"item\":\"%s\",\"surface\":\"for_you\""
                     ",\"request\":\"%s\"}\n",
                     i == 0 ? "impression" : "click", bench->run, trial, before.items[0],
                     before.request);
    }
    TRY(bytes_status(text, err));
    uint64_t begun_ns = clock_monotonic_ns();
    TRY(client_post_events(client, (struct slice){(const char *)text->data, text->size}, position,
                           NULL, err));
    TRY(sequence_read(bench, slice_of(position), &wanted, err));
    do {
        TRY(page_get(bench, asker, trial, true, &after, err));
        if (clock_monotonic_ns() - begun_ns > (uint64_t)EFFECT_MS_MAX * 1000000u) {
            return error_set(err, LEAT_IO, "%s was not learnt within %d s", position,
                             EFFECT_MS_MAX / 1000);
        }
    } while (after.learnt < wanted);
    bench->effect_ns[bench->run * run_trials(bench) + trial] = clock_monotonic_ns() - begun_ns;
    bench->unchanged += !is_changed(&before, &after);
    return LEAT_OK;
}

static leat_status trials_run(struct bench_worker *worker, leat_error *err) {
    struct effect_bench *bench = worker->shared;
    struct client *client;
    struct bytes text;
    struct client *asker = NULL;
    TRY(client_create(bench->house.address, &client, err));
    bytes_init(&text);
    leat_status status = client_create(bench->asked, &asker, err);
    for (int i = 0; i < run_trials(bench) && status == LEAT_OK; i++) {
        bench_sleep_until(bench->begun_ns +
                          (uint64_t)i * (SECOND_NS / (uint64_t)bench->trials_per_s));
        status = trial_run(bench, client, asker, i, &text, err);
    }
    client_destroy(asker);
    bytes_deinit(&text);
    client_destroy(client);
    return status;
}

static leat_status run_once(struct effect_bench *bench, leat_error *err) {
    struct bench_worker workers[POSTERS + 1];
    for (int i = 0; i < POSTERS; i++) {
        workers[i] = (struct bench_worker){.run = others_run, .shared = bench, .index = i};
    }
    workers[POSTERS] = (struct bench_worker){.run = trials_run, .shared = bench, .index = POSTERS};
    bench->posted = 0;
    bench->begun_ns = clock_monotonic_ns() + SECOND_NS / 10;
    return bench_work(workers, POSTERS + 1, err);
}

/* --- results --- */

static void print_effects(const struct bench_options *options, struct effect_bench *bench,
                          const char *name) {
    uint64_t *effect_ns = bench->effect_ns + run_trials(bench);
    int count = BENCH_RUNS * run_trials(bench);
    qsort(effect_ns, (size_t)count, sizeof(*effect_ns), bench_compare_u64);
    printf(options->json
               ? "{\"name\":\"%s\",\"unit\":\"ms\",\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
                 "\"max_ms\":%.3f,\"actions\":%d,\"unchanged\":%d,\"runs\":%d,\"events_per_s\":%d,"
                 "\"post_late_max_ms\":%.1f}\n"
               : "%-15s ms: p50 %.3f, p99 %.3f, max %.3f of %d actions (%d changed no score) "
                 "in %d runs, while %d events/s arrive, posts at most %.1f ms late\n",
           name, (double)effect_ns[count / 2] * 1e-6, (double)effect_ns[count * 99 / 100] * 1e-6,
           (double)effect_ns[count - 1] * 1e-6, count, bench->unchanged, BENCH_RUNS,
           bench->events_per_s, (double)atomic_load(&bench->late_ns) * 1e-6);
    fflush(stdout);
}

/* --- a follower --- */

static _Atomic bool never;

static leat_status copy_open(const struct bench_options *options, struct effect_bench *bench,
                             leat_error *err) {
    struct effect_copy *copy = &bench->copy;
    char folder[CONFIG_TEXT_MAX];
    TRY(config_parse(slice_of(bench_config), "bench", &copy->config, err));
    TRY(scratch_make(options->folder, folder, err));
    memcpy(copy->folder, folder, sizeof(folder));
    memcpy(copy->config->root.data, folder, sizeof(folder));
    TRY(leader_http(bench->house.address, &copy->calls, err));
    const struct follow_options follow = {.config = copy->config,
                                          .leader = bench->house.address,
                                          .calls = &copy->calls,
                                          .stop = &never};
    TRY(follow_prepare(&follow, &copy->identity, err));
    const struct engine_options engine = {.config = copy->config, .follow = &copy->identity};
    TRY(engine_open(&engine, &copy->engine, NULL, err));
    TRY(follow_start(copy->engine, &follow, &copy->follow, err));
    TRY(server_start(copy->engine, copy->config, NULL, &copy->server, err));
    server_address(copy->server, copy->address);
    bench->asked = copy->address;
    return LEAT_OK;
}

static leat_status copy_close(struct effect_copy *copy, leat_status status, leat_error *err) {
    server_stop(copy->server);
    follow_stop(copy->follow);
    if (copy->engine) {
        engine_abandon(copy->engine);
    }
    if (copy->folder[0]) {
        leat_status removed = scratch_remove(copy->folder, status < 0 ? NULL : err);
        status = status < 0 ? status : removed;
    }
    config_destroy(copy->config);
    return status;
}

/* --- both --- */

static leat_status run_all(const struct bench_options *options, struct effect_bench *bench,
                           bool follower, leat_error *err) {
    TRY(load(bench, err));
    bench->asked = bench->house.address;
    bench->trials_per_s = follower ? FOLLOWED_TRIALS_PER_S : TRIALS_PER_S;
    bench->events_per_s = follower ? FOLLOWED_EVENTS_PER_S : EVENTS_PER_S;
    TRY(follower ? copy_open(options, bench, err) : LEAT_OK);
    for (bench->run = 0; bench->run <= BENCH_RUNS; bench->run++) {
        bench->unchanged = bench->run == 1 ? 0 : bench->unchanged;
        TRY(run_once(bench, err));
    }
    return LEAT_OK;
}

static leat_status bench_one(const struct bench_options *options, const char *name, bool follower,
                             leat_error *err) {
    struct effect_bench *bench = memory_zalloc(sizeof(*bench));
    if (!bench) {
        return error_memory(err, sizeof(*bench));
    }
    leat_status status = bench_house_open(options, true, &bench->house, err);
    if (status == LEAT_OK) {
        status = run_all(options, bench, follower, err);
    }
    status = copy_close(&bench->copy, status, err);
    status = bench_house_close(&bench->house, status, err);
    if (status == LEAT_OK) {
        print_effects(options, bench, name);
    }
    memory_free(bench);
    return status;
}

leat_status bench_effect(const struct bench_options *options, leat_error *err) {
    TRY(bench_one(options, "effect", false, err));
    return bench_one(options, "effect-follower", true, err);
}
