/* Simulation: everything from one seed. 1,000 seeds; with LEAT_TEST_LONG 100,000 (10,000 under
 * ASan). A seed that fails prints the command that repeats it. */
#include "engine/engine_internal.h"
#include "tests/simulation.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS_LONG = 10000 };
#else
enum { SEEDS_LONG = 100000 };
#endif
enum { LIVES_MAX = 4, ACTIONS_MIN = 10, ACTIONS_SPREAD = 50, SEEDS = 1000 };
enum { SEEDS_SPILL = 60 }; /* of so many, some spill */

/* --- the scheduler --- */

static bool alive(struct sim *sim) {
    return !disk_fake_is_cut(sim->fake) && !engine_failure(sim->engine);
}

static bool chance(struct sim *sim, int percent) {
    return rng_below(&sim->rng, 100) < (uint64_t)percent;
}

/* One thing that happens, whoever does it. */
static void act(struct sim *sim) {
    if (chance(sim, sim->checkpoint_percent) && !sim->in_checkpoint) {
        sim_checkpoint(sim);
    } else if (chance(sim, sim->run_percent)) {
        sim_run(sim, 1 + (int)rng_below(&sim->rng, 4));
    } else if (chance(sim, sim->feed_percent)) {
        sim_feed(sim);
    } else if (chance(sim, 25)) {
        sim_clock(sim);
    } else {
        sim_append(sim);
    }
    if (sim->runs_at_once && alive(sim)) {
        sim_run(sim, -1);
    }
    if (sim->spills && alive(sim) && chance(sim, sim->squeeze_percent)) {
        sim_squeeze(sim);
    }
    sim->steps++;
}

/* While a checkpoint is written to a slow disk, the rest goes on. */
static void disk_is_slow(void *context, const char *verb) {
    struct sim *sim = context;
    /* Freezing is of flow's own thread: no row is applied meanwhile. What a checkpoint reads are
     * spilled records, inside of their group: nobody else gets in. */
    bool frozen = sim->in_checkpoint && sim->engine->job.model_frozen && strcmp(verb, "read") != 0;
    if (frozen && chance(sim, sim->slow_percent) && alive(sim)) {
        act(sim);
    }
}

/* --- faults --- */

static void fault_draw(struct sim *sim) {
    uint64_t step = disk_fake_steps(sim->fake) + 1 + rng_below(&sim->rng, 400);
    sim->fault_step = 0;
    sim->hurt = sim->full = sim->was_full = false;
    switch (rng_below(&sim->rng, 4)) {
    case 0: break;
    case 1:
        sim->fault_step = step;
        disk_fake_fail_at(sim->fake, step, (enum disk_fault)rng_below(&sim->rng, DISK_FAULTS));
        break;
    default:
        sim->fault_step = step;
        disk_fake_cut_at(sim->fake, step);
        break;
    }
}

static void full_toggle(struct sim *sim) {
    sim_hurt(sim); /* what happened until now is judged by what was */
    if (sim->full) {
        disk_fake_bound(sim->fake, 0);
        sim->full = false;
    } else {
        disk_fake_bound(sim->fake, disk_fake_bytes(sim->fake) + rng_below(&sim->rng, 5000));
        sim->full = sim->was_full = true;
    }
}

static void faults_end(struct sim *sim) {
    disk_fake_fail_at(sim->fake, 0, DISK_FAULT_IO);
    disk_fake_cut_at(sim->fake, 0);
    disk_fake_bound(sim->fake, 0);
    sim->fault_step = 0;
    sim->full = false;
}

/* Where spilled state is read for it, that may fail. */
static void digest_try(struct sim *sim) {
    if (alive(sim) && engine_digest(sim->engine, &sim->digest, &sim->err) != LEAT_OK) {
        CHECK(sim_hurt(sim), "no digest: %s", sim->err.message);
        sim->digest.count = 0;
    }
}

/* How a life ends that nothing ended: closed, killed, or the power goes. */
static void life_end(struct sim *sim) {
    bool healthy = !sim_hurt(sim) && alive(sim);
    sim->digest.count = 0;
    if (healthy && chance(sim, 50)) {
        sim_run(sim, -1);
        digest_try(sim);
    }
    if (healthy && alive(sim) && chance(sim, 30)) {
        sim_spill_note(sim);
        leat_status status = engine_close(sim->engine, &sim->err);
        sim->engine = NULL;
        /* Closing tells, too, of served rows that were lost while the disk was full. */
        CHECK(status >= 0 || sim_hurt(sim) || sim->was_full, "not closed: %s", sim->err.message);
        if (status >= 0 && !disk_fake_is_cut(sim->fake)) {
            faults_end(sim);
            return;
        }
    }
    bool power = disk_fake_is_cut(sim->fake) || chance(sim, 50);
    disk_fake_cut_at(sim->fake, disk_fake_steps(sim->fake) + 1); /* nothing reaches it any more */
    sim_abandon(sim);
    faults_end(sim);
    if (power) {
        disk_fake_restart(sim->fake);
    } else {
        disk_fake_revive(sim->fake);
    }
    sim->crashes++;
}

/* --- a life --- */

/* Opens; a fault may meet that too, again and again. */
static void born(struct sim *sim) {
    sim->hurt = false;
    if (chance(sim, 25)) {
        uint64_t step = disk_fake_steps(sim->fake) + 1 + rng_below(&sim->rng, 60);
        sim->fault_step = step;
        disk_fake_cut_at(sim->fake, step);
        bool failed = sim_open(sim, false, 0) < 0;
        sim_abandon(sim); /* may be met by the fault, too */
        if (failed || sim_hurt(sim)) {
            disk_fake_restart(sim->fake);
            sim->crashes++;
        }
        faults_end(sim);
        sim->hurt = false;
    }
    sim_open(sim, false, (int)rng_below(&sim->rng, 4));
    sim_squeeze(sim);
    sim_restart_check(sim);
    if (sim->log_now_ms == 0) {
        sim_beat(sim, 1); /* with a clock of events, time would begin at 0 */
    }
}

static void life(struct sim *sim) {
    born(sim);
    fault_draw(sim);
    int actions = ACTIONS_MIN + (int)rng_below(&sim->rng, ACTIONS_SPREAD);
    bool fills = chance(sim, 15);
    for (int i = 0; i < actions && alive(sim); i++) {
        if (fills && chance(sim, 10)) {
            full_toggle(sim);
        }
        act(sim);
    }
    if (sim->full) {
        full_toggle(sim);
    }
    life_end(sim);
}

/* Healthy, and until every window has ended. */
static void finale(struct sim *sim) {
    faults_end(sim);
    sim->hurt = false;
    sim_open(sim, false, 0);
    sim_restart_check(sim);
    for (int i = 0; i < 4; i++) {
        sim_beat(sim, 3600 * 1000);
        sim_run(sim, -1);
    }
    sim_labels_check(sim);
    sim_emitted_check(sim);
    sim_squeeze(sim);
    sim_counts_check(sim);
    sim_replay_check(sim);
    sim_abandon(sim);
    sim_forget_check(sim);
}

static uint64_t steps, crashes, checkpoints, rows, pages, examples, spilled, fetched;

static void one_seed(uint64_t seed) {
    static struct sim sim;
    sim_init(&sim, seed);
    disk_fake_on_step(sim.fake, disk_is_slow, &sim);
    int lives = 1 + (int)rng_below(&sim.rng, LIVES_MAX);
    for (int i = 0; i < lives; i++) {
        life(&sim);
    }
    finale(&sim);
    steps += sim.steps;
    crashes += sim.crashes;
    checkpoints += sim.checkpoints;
    rows += sim.log_count;
    pages += sim.pages_checked;
    examples += sim.examples_checked;
    spilled += sim.written > 0;
    fetched += sim.fetched;
    sim_deinit(&sim);
}

static void report(uint64_t seeds) {
    printf("%llu seeds: %llu actions, %llu crashes, %llu checkpoints, %llu rows in logs, %llu "
           "pages, %llu examples; %llu seeds spilled, %llu records came back\n",
           (unsigned long long)seeds, (unsigned long long)steps, (unsigned long long)crashes,
           (unsigned long long)checkpoints, (unsigned long long)rows, (unsigned long long)pages,
           (unsigned long long)examples, (unsigned long long)spilled, (unsigned long long)fetched);
    CHECK(seeds < SEEDS_SPILL || (spilled > seeds / 4 && fetched > seeds),
          "a third of the seeds is to spill, and their records are to come back");
}

int main(void) {
    const struct shards_work work = {
        .program = "build/asan/tests/simulation_test",
        .first = 1,
        .end = 1 + (getenv("LEAT_TEST_LONG") ? SEEDS_LONG : SEEDS),
        .run = one_seed,
        .over = report,
    };
    return shards_run(&work);
}
