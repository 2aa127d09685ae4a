/* A script: opens, appends, runs, asks for pages, writes checkpoints, forgets, closes, opens again,
 * on a simulated disk and clock, the same each time; and goes on after whatever fails, as an
 * operator would: tries again what may be tried again, else restarts.
 *
 * However it failed on the way, a script ends with the same rows in the log and the same state.
 * Every second one spills, erases who was forgotten and emits its examples to files, in which each
 * one stands once. */
#ifndef TESTS_FAULT_SCRIPT_H
#define TESTS_FAULT_SCRIPT_H

#include "base/disk_fake.h"
#include "base/rng.h"
#include "column/builder.h"
#include "engine/engine.h"

enum { SCRIPT_OPERATIONS_MAX = 40, SCRIPT_STEPS_MAX = 8192 };

enum fault_kind {
    FAULT_NONE,
    FAULT_DISK,   /* the n-th call fails, in the way of a disk_fault */
    FAULT_CUT,    /* the power goes at the n-th call */
    FAULT_KILL,   /* the process ends there; what it gave the disk stays */
    FAULT_MEMORY, /* the n-th allocation fails */
};

struct fault {
    enum fault_kind kind;
    enum disk_fault disk;
    uint64_t n;
};

/* What a script without a fault does: how many disk calls, of which kind, how many allocations. */
struct script_measure {
    uint64_t steps, allocations;
    char
        verbs[SCRIPT_STEPS_MAX]; /* first letter of what was to be done; 'L' for a sync of a file */
    struct engine_digest digest;
    uint64_t emitted;          /* a hash of the examples in files */
    uint64_t fetched, written; /* records that came back from spill files, bytes that went there */
};

bool script_spills(int variant);

/* Runs script `variant` with a fault. Ends the process when a check fails. `measure`: filled when
 * there is no fault; what the end is compared with when there is one. Returns how many errors were
 * answered. */
int script_run(int variant, const struct fault *fault, struct script_measure *measure);

#endif
