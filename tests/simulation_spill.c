/* Seeds with runner.spill: memory runs short again and again, so that what everybody asks for lies
 * in the spill files, and comes back from them; and nothing of a forgotten person stays there. */
#include "engine/engine_internal.h"
#include "tests/simulation.h"
#include "tests/squeeze.h"

void sim_squeeze(struct sim *sim) {
    if (!sim->spills || !sim->engine) {
        return;
    }
    uint64_t fetched[2];
    uint64_t written[2];
    squeeze_counts(sim->engine, &fetched[0], &written[0]);
    leat_status status = squeeze(sim->engine, &sim->err);
    squeeze_counts(sim->engine, &fetched[1], &written[1]);
    sim->fetched -= fetched[1] - fetched[0]; /* an extent of few records, to be written with more */
    sim->written += written[1] - written[0];
    if (status < 0) { /* as where flow trims: it stops */
        CHECK(sim_hurt(sim), "no room in memory on a healthy disk: %s", sim->err.message);
        CHECK(strstr(sim->err.message, ".spill"), "which file is it: %s", sim->err.message);
        engine_fail(sim->engine, "flow", &sim->err);
    }
}

void sim_spill_note(struct sim *sim) {
    uint64_t fetched;
    uint64_t written;
    if (sim->engine && sim->engine->flow) {
        squeeze_counts(sim->engine, &fetched, &written);
        sim->fetched += fetched;
    }
}

static void fault_arm(struct sim *sim) {
    sim->fault_step = disk_fake_steps(sim->fake) + 1 + rng_below(&sim->rng, 200);
    disk_fake_fail_at(sim->fake, sim->fault_step,
                      (enum disk_fault)rng_below(&sim->rng, DISK_FAULTS));
}

static void fault_disarm(struct sim *sim) {
    disk_fake_fail_at(sim->fake, 0, DISK_FAULT_IO);
    sim->fault_step = 0;
    sim->hurt = false;
}

/* After a failure it is tried again: with a new engine, to which nothing of what the old one
 * spilled is left. */
static void erase(struct sim *sim) {
    if (rng_below(&sim->rng, 2) == 0) {
        fault_arm(sim);
    }
    if (engine_tidy(sim->engine, &sim->err) >= 0) {
        fault_disarm(sim);
        return;
    }
    CHECK(sim_hurt(sim), "not erased on a healthy disk: %s", sim->err.message);
    sim_abandon(sim);
    disk_fake_revive(sim->fake);
    fault_disarm(sim);
    sim_open(sim, false, 0);
    sim_squeeze(sim);
    CHECK(engine_tidy(sim->engine, &sim->err) >= 0, "not erased: %s", sim->err.message);
}

/* The last thing of a seed: its log is another one afterwards. */
void sim_forget_check(struct sim *sim) {
    if (!sim->spills) {
        return;
    }
    char name[40];
    int user = (int)rng_below(&sim->rng, SIM_PEOPLE + SIM_CLICKERS);
    sim_text(name, 'u', user);
    sim_open(sim, false, 0);
    sim_squeeze(sim);
    sim_forget(sim, user);
    sim_run(sim, -1);
    sim_squeeze(sim);
    erase(sim);
    int files = squeeze_find(disk_fake_disk(sim->fake), "d", name);
    CHECK(files == 0, "%s was forgotten, and stands in %d files", name, files);
    sim_abandon(sim);
}
