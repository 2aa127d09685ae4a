/* A follower in the same process as its leader, over lines that fail, cut answers short and damage
 * them, on a disk whose power goes: it never scores by a model of a position that no delta and no
 * checkpoint gave it, and ends where its leader stands. */
#include "base/thread.h"
#include "engine/engine_fixture.h"
#include "engine/follow.h"
#include "engine/lead.h"
#include "learn/delta.h"

#include <inttypes.h>
#include <time.h>

enum { PEOPLE = 20, ITEMS = 80, GIVEN_MAX = 4096, SETTLE_MS = 20000, NAP_MS = 2 };

static const char both_config[] = "data: d\n"
                                  "key_groups: 8\n"
                                  "log: {segment: 65536, heartbeat: 30ms}\n"
                                  "checkpoint: {every: 150ms}\n"
                                  "replica: {interval: 10ms, rows: fp32}\n"
                                  "actions:\n"
                                  "  click: {window: 50ms, weight: 1}\n"
                                  "  hide: {window: 50ms, weight: -4, filter: forever}\n"
                                  "surfaces:\n"
                                  "  for_you: {show: 10, candidates: 200}\n";

/* One side. */
struct side {
    struct config *config;
    struct disk_fake *fake;
    struct engine *engine;
    struct builder *builder;
    struct arena arena;
};

static struct side leader, copy;

/* --- lines --- */

struct leader_line {
    const _Atomic bool *stop;
};

static struct {
    struct mutex mutex;
    struct rng rng;
    _Atomic bool faults;
    uint64_t given[GIVEN_MAX]; /* positions that a delta or a checkpoint led to */
    int given_count;
    _Atomic int failed, cut, damaged;
} lines;

static leat_status line_open(void *context, const _Atomic bool *stop, struct leader_line **out,
                             leat_error *err) {
    (void)context;
    (void)err;
    *out = calloc(1, sizeof(**out));
    (*out)->stop = stop;
    return LEAT_OK;
}

static void line_close(struct leader_line *line) {
    free(line);
}

static void given_add(uint64_t position) {
    mutex_lock(&lines.mutex);
    assert_true(lines.given_count < GIVEN_MAX);
    lines.given[lines.given_count++] = position;
    mutex_unlock(&lines.mutex);
}

static bool is_given(uint64_t position) {
    mutex_lock(&lines.mutex);
    bool found = false;
    for (int i = 0; i < lines.given_count; i++) {
        found = found || lines.given[i] == position;
    }
    mutex_unlock(&lines.mutex);
    return found;
}

static leat_status state_write(struct bytes *out, leat_error *err) {
    struct lead_state state;
    TRY(lead_state(leader.engine, &state, err));
    bytes_printf(out,
                 "{\"log_id\":%u,\"salt\":%u,\"begin\":%" PRIu64 ",\"end\":%" PRIu64
                 ",\"applied\":%" PRIu64 ",\"learnt\":%" PRIu64 ",\"deltas_from\":%" PRIu64
                 ",\"deltas_to\":%" PRIu64 ",\"checkpoint\":%" PRIu64 ",\"now\":%" PRId64 "}",
                 state.log_id, state.salt, state.begin, state.end, state.applied, state.learnt,
                 state.deltas_from, state.deltas_to, state.checkpoint, state.now_ms);
    return LEAT_OK;
}

static leat_status checkpoint_write_all(const struct lead_query *query, struct bytes *out,
                                        leat_error *err) {
    struct checkpoint_send *send;
    TRY(lead_checkpoint(leader.engine, query, &send, err));
    given_add(checkpoint_send_sequence(send));
    leat_status status = LEAT_OK;
    for (size_t got = 1; got > 0 && status == LEAT_OK;) {
        uint8_t piece[1000];
        status = checkpoint_send_read(send, piece, sizeof(piece), &got, err);
        bytes_append(out, piece, got);
    }
    checkpoint_send_close(send);
    return status;
}

static void deltas_note(const struct bytes *bytes) {
    for (size_t at = 0; at < bytes->size;) {
        struct delta_head head;
        assert_int_equal(delta_read_head(bytes->data + at, &head, NULL), LEAT_OK);
        given_add(head.to);
        at += delta_size(&head);
    }
}

static leat_status answer_make(const char *path, const _Atomic bool *stop, struct bytes *out,
                               leat_error *err) {
    char what[32];
    struct lead_query query = {.stop = stop};
    if (strcmp(path, "/v1/replica/state") == 0) {
        return state_write(out, err);
    }
    int read = sscanf(path, "/v1/replica/%31[a-z]?salt=%" SCNu32 "&from=%" SCNu64 "&wait=%" SCNd64,
                      what, &query.salt, &query.from, &query.wait_ms);
    assert_true(read >= 3);
    query.wait_ms = query.wait_ms < 20 ? query.wait_ms : 20;
    leat_status status = LEAT_OK;
    if (strcmp(what, "log") == 0) {
        status = lead_frames(leader.engine, &query, out, err);
    } else if (strcmp(what, "delta") == 0) {
        status = lead_deltas(leader.engine, &query, out, err);
        deltas_note(out);
    } else {
        status = checkpoint_write_all(&query, out, err);
    }
    return status < 0 ? status : LEAT_OK;
}

static uint64_t roll(uint64_t below) {
    mutex_lock(&lines.mutex);
    uint64_t draw = rng_below(&lines.rng, below);
    mutex_unlock(&lines.mutex);
    return draw;
}

/* No answer, half of one, or, where checksums tell, one with a wrong bit. */
static leat_status line_get(struct leader_line *line, const char *path, state_sink sink,
                            void *context, leat_error *err) {
    struct bytes answer;
    uint64_t fault = lines.faults ? roll(12) : 12;
    bool checked = strstr(path, "/log") || strstr(path, "/delta");
    bytes_init(&answer);
    leat_status status = fault == 0 ? error_retry(err, LEAT_IO, "a line that fails")
                                    : answer_make(path, line->stop, &answer, err);
    size_t size = answer.size;
    if (fault == 1 && size > 0) {
        size = roll(size);
    }
    if (fault == 2 && size > 0 && checked) {
        answer.data[roll(size)] ^= (uint8_t)(1u << roll(8));
    }
    lines.failed += fault == 0;
    lines.cut += fault == 1;
    lines.damaged += fault == 2;
    for (size_t at = 0; status == LEAT_OK && at < size;) {
        size_t piece = 1 + roll(3000);
        piece = piece < size - at ? piece : size - at;
        status = sink(context, answer.data + at, piece, err);
        at += piece;
    }
    bytes_deinit(&answer);
    return status == LEAT_OK && fault == 1 ? error_retry(err, LEAT_IO, "a line that was cut")
                                           : status;
}

static const struct leader_calls calls = {line_open, line_get, line_close, NULL};

/* --- both sides --- */

static void side_init(struct side *side, uint64_t seed) {
    leat_error err = {.message = ""};
    *side = (struct side){0};
    if (config_parse(slice_of(both_config), "test", &side->config, &err) < 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(disk_fake_create(seed, &side->fake, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_event(), &side->builder, NULL), LEAT_OK);
    arena_init(&side->arena, 1 << 20, 64 << 20);
}

static void side_deinit(struct side *side) {
    arena_deinit(&side->arena);
    builder_destroy(side->builder);
    disk_fake_destroy(side->fake);
    config_destroy(side->config);
}

static void leader_open(void) {
    struct engine_options options = {.config = leader.config, .disk = disk_fake_disk(leader.fake)};
    leat_error err = {.message = ""};
    if (engine_open(&options, &leader.engine, NULL, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static _Atomic bool never;
static struct follow_identity identity;
static struct follow *follow;

static const struct follow_options *options_of(void) {
    static struct follow_options options;
    options = (struct follow_options){.config = copy.config,
                                      .disk = disk_fake_disk(copy.fake),
                                      .leader = "the leader",
                                      .calls = &calls,
                                      .stop = &never};
    return &options;
}

/* Opens the copy; damaged answers make it ask again. */
static void copy_open(void) {
    leat_error err = {.message = ""};
    leat_status status = LEAT_IO;
    for (int i = 0; i < 100 && status < 0; i++) {
        status = follow_prepare(options_of(), &identity, &err);
    }
    if (status < 0) {
        fail_msg("%s", err.message);
    }
    struct engine_options options = {
        .config = copy.config, .disk = disk_fake_disk(copy.fake), .follow = &identity};
    if (engine_open(&options, &copy.engine, NULL, &err) < 0 ||
        follow_start(copy.engine, options_of(), &follow, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static void copy_close(bool kindly) {
    follow_stop(follow);
    follow = NULL;
    if (kindly) {
        assert_int_equal(engine_close(copy.engine, NULL), LEAT_OK);
    } else {
        engine_abandon(copy.engine);
    }
}

static void add(const char *kind, int user, int item) {
    char user_id[16], item_id[16];
    struct posted_event event = {.kind = slice_of(kind)};
    snprintf(user_id, sizeof(user_id), "u%d", user);
    snprintf(item_id, sizeof(item_id), "i%d", item);
    event.item = slice_of(item_id);
    if (user >= 0) {
        event.user = slice_of(user_id);
    }
    assert_int_equal(event_add(leader.builder, leader.config, &event, NULL), LEAT_OK);
}

static void append(void) {
    struct batch batch;
    assert_int_equal(builder_finish(leader.builder, &batch, NULL), LEAT_OK);
    assert_int_equal(engine_append(leader.engine, &batch, NULL, NULL), LEAT_OK);
    builder_clear(leader.builder);
}

static void append_some(struct rng *rng, int count) {
    for (int i = 0; i < count; i++) {
        int user = (int)rng_below(rng, PEOPLE), item = (int)rng_below(rng, ITEMS);
        add("impression", user, item);
        add(rng_below(rng, 20) == 0 ? "hide" : "click", user, item);
    }
    append();
}

static void page_of(struct side *side, int user, struct page *out) {
    char id[16];
    leat_error err = {.message = ""};
    snprintf(id, sizeof(id), "u%d", user);
    struct feed_query query = {.user = slice_of(id),
                               .count = 10,
                               .has_now = true,
                               .now_ms = 1900000000000,
                               .preview = true};
    arena_reset(&side->arena);
    if (engine_feed(side->engine, &query, &side->arena, out, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000}, NULL);
}

/* Whether both pages are of the same positions; then they are the same. */
static bool compare(int user) {
    struct page want, have;
    page_of(&leader, user, &want);
    page_of(&copy, user, &have);
    if (want.applied != have.applied || want.learnt != have.learnt) {
        return false;
    }
    assert_int_equal(want.count, have.count);
    for (int i = 0; i < want.count; i++) {
        assert_true(slice_equal(want.items[i].item, have.items[i].item));
        assert_true(want.items[i].score == have.items[i].score);
        for (int t = 0; t < 2; t++) {
            assert_true(want.items[i].scores[t] == have.items[i].scores[t]);
        }
    }
    return true;
}

static bool restart_if_wanted(void) {
    bool wanted = follow_wants_restart(follow);
    if (wanted) {
        copy_close(false);
        copy_open();
    }
    return wanted;
}

/* Labels are given, all of it is learnt, and the copy has come there. */
static void settle_and_compare(void) {
    for (int i = 0; i < 100; i++) {
        nap();
    }
    assert_true(engine_wait(leader.engine, engine_end(leader.engine), true, SETTLE_MS));
    for (int user = 0; user < PEOPLE; user++) {
        int naps = 0;
        while (!compare(user)) {
            restart_if_wanted();
            if (++naps > SETTLE_MS / NAP_MS) {
                struct engine_following following;
                engine_following(copy.engine, &following);
                fail_msg("leader %" PRIu64 " %" PRIu64 ", copy %" PRIu64 " %" PRIu64 ": %s",
                         engine_applied(leader.engine), engine_learnt(leader.engine),
                         engine_applied(copy.engine), engine_learnt(copy.engine), following.words);
            }
            nap();
        }
    }
}

/* A stretch of life: events at the leader, pages of the copy, each by a model that was given. */
static void live(struct rng *rng, int rounds) {
    uint64_t before = 0;
    for (int i = 0; i < rounds; i++) {
        struct page page;
        append_some(rng, 1 + (int)rng_below(rng, 20));
        before = restart_if_wanted() ? 0 : before;
        for (int k = 0; k < 3; k++) {
            page_of(&copy, (int)rng_below(rng, PEOPLE), &page);
            assert_true(page.learnt >= before);
            assert_true(is_given(page.learnt));
            before = page.learnt;
        }
        if (rng_below(rng, 4) == 0) {
            nap();
        }
    }
}

static void set_up_both(uint64_t seed) {
    lines.faults = false;
    lines.given_count = lines.failed = lines.cut = lines.damaged = 0;
    mutex_init(&lines.mutex);
    rng_init(&lines.rng, seed);
    side_init(&leader, seed);
    side_init(&copy, seed + 100);
    leader_open();
    for (int i = 0; i < ITEMS; i++) {
        add("item", -1, i);
    }
    append();
}

static void tear_down_both(void) {
    copy_close(true);
    engine_abandon(leader.engine);
    side_deinit(&copy);
    side_deinit(&leader);
    mutex_deinit(&lines.mutex);
}

/* --- tests --- */

static void test_over_lines_that_fail(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    set_up_both(1);
    append_some(&rng, 100);
    lines.faults = true;
    copy_open();
    bool all = false; /* each kind of fault was met */
    for (int round = 0; round < 3 || (!all && round < 50); round++) {
        live(&rng, 60);
        all = lines.failed > 0 && lines.cut > 0 && lines.damaged > 0;
        lines.faults = false;
        settle_and_compare();
        lines.faults = true;
    }
    assert_true(all);
    tear_down_both();
}

/* The power of the follower's disk goes, again and again. */
static void test_over_power_cuts(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 2);
    set_up_both(2);
    append_some(&rng, 100);
    copy_open();
    for (int round = 0; round < 6; round++) {
        live(&rng, 15);
        disk_fake_cut_at(copy.fake, disk_fake_steps(copy.fake) + 1 + rng_below(&rng, 40));
        append_some(&rng, 30);
        for (int i = 0; i < 40; i++) {
            nap();
        }
        copy_close(false);
        disk_fake_cut_at(copy.fake, 0);
        disk_fake_restart(copy.fake);
        copy_open();
    }
    settle_and_compare();
    tear_down_both();
}

/* Nothing is appended here, and nobody else's folder becomes a copy. */
static void test_what_a_follower_refuses(void **state) {
    (void)state;
    struct rng rng;
    struct engine_following following;
    leat_error err = {.message = ""};
    rng_init(&rng, 3);
    set_up_both(3);
    append_some(&rng, 20);
    copy_open();
    struct batch batch;
    add("click", 1, 1);
    assert_int_equal(builder_finish(leader.builder, &batch, NULL), LEAT_OK);
    assert_int_equal(engine_append(copy.engine, &batch, NULL, &err), LEAT_CONFLICT);
    assert_non_null(strstr(err.message, "the leader"));
    builder_clear(leader.builder);
    assert_true(engine_following(copy.engine, &following));
    assert_false(engine_following(leader.engine, &following));
    struct lead_state state_of_copy;
    assert_int_equal(lead_state(copy.engine, &state_of_copy, NULL), LEAT_UNSUPPORTED);
    settle_and_compare();
    copy_close(true);
    struct engine_options alone = {.config = copy.config, .disk = disk_fake_disk(copy.fake)};
    assert_int_equal(engine_open(&alone, &copy.engine, NULL, &err), LEAT_CONFLICT);
    assert_non_null(strstr(err.message, "--follow"));
    engine_abandon(leader.engine);
    struct follow_options own = *options_of();
    own.disk = disk_fake_disk(leader.fake);
    assert_int_equal(follow_prepare(&own, &identity, &err), LEAT_CONFLICT);
    leader_open();
    copy_open();
    tear_down_both();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_over_lines_that_fail),
        cmocka_unit_test(test_over_power_cuts),
        cmocka_unit_test(test_what_a_follower_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
