/* Every disk call and every allocation of many short scripts fails once, in every way it can:
 * nothing crashes, nothing leaks, each answer says what to do, nothing acknowledged is lost, and
 * the script's end is the same as without the fault.
 *
 * A case is one fault at one place. Allocations inside of libraries (libyaml, simdjson, libc) do
 * not go through base/memory.h and are out of reach. Every second script spills, which makes of it
 * twice as many cases that take three times as long: one in four of those is run. LEAT_TEST_LONG:
 * all of them, and of twelve times as many scripts. Under ASan, which takes ten times as long, only
 * one case in twelve is run; blocks that are not given back are counted in each build. */
#include "base/hash.h"
#include "base/memory.h"
#include "tests/fault_script.h"
#include "tests/shards.h"

#ifdef __SANITIZE_ADDRESS__
enum { ONE_IN = 12 };
#else
enum { ONE_IN = 1 };
#endif
enum { SCRIPTS = 24, SCRIPTS_LONG = 288, SPILLED_ONE_IN = 4, POINTS_ROOM = 1 << 16 };

struct point {
    int variant;
    struct fault fault;
};

static struct script_measure measures[SCRIPTS_LONG];
static struct point *points;
static uint64_t point_count, point_room;
static uint64_t answered, unnoticed;
static bool at_length;

static void point_add(int variant, enum fault_kind kind, enum disk_fault disk, uint64_t n) {
    if (point_count == point_room) {
        point_room = point_room ? 2 * point_room : POINTS_ROOM;
        points = memory_resize(points, point_room * sizeof(*points));
        CHECK(points, "no memory for %llu points", (unsigned long long)point_room);
    }
    points[point_count++] = (struct point){variant, {kind, disk, n}};
}

/* The ways in which a call can fail that differ from one another. `verb`: of script_measure. */
static void call_points_add(int variant, char verb, uint64_t n) {
    bool writes = verb == 'w' || verb == 't'; /* write, truncate */
    bool reads = verb == 'o' || verb == 'l';  /* open, list, lock */
    point_add(variant, FAULT_DISK, DISK_FAULT_IO, n);
    if (writes) {
        point_add(variant, FAULT_DISK, DISK_FAULT_FULL, n);
    }
    if (verb == 'w') {
        point_add(variant, FAULT_DISK, DISK_FAULT_SHORT, n);
    }
    if (verb == 'L') {
        point_add(variant, FAULT_DISK, DISK_FAULT_LOST, n);
    }
    if (!reads) {
        point_add(variant, FAULT_DISK, DISK_FAULT_LATE, n);
        point_add(variant, FAULT_CUT, DISK_FAULT_IO, n);
        point_add(variant, FAULT_KILL, DISK_FAULT_IO, n);
    }
}

static void points_find(int scripts) {
    for (int variant = 0; variant < scripts; variant++) {
        struct script_measure *measure = &measures[variant];
        script_run(variant, &(struct fault){.kind = FAULT_NONE}, measure);
        for (uint64_t n = 1; n <= measure->steps; n++) {
            call_points_add(variant, measure->verbs[n - 1], n);
        }
        for (uint64_t n = 1; n <= measure->allocations; n++) {
            point_add(variant, FAULT_MEMORY, DISK_FAULT_IO, n);
        }
    }
}

static void one_point(uint64_t number) {
    const struct point *point = &points[number];
    int one_in = script_spills(point->variant) && !at_length ? ONE_IN * SPILLED_ONE_IN : ONE_IN;
    if (hash_mix(number, 0) % (uint64_t)one_in != 0 && !getenv("LEAT_TEST_SEED")) {
        return;
    }
    int errors = script_run(point->variant, &point->fault, &measures[point->variant]);
    answered += errors > 0;
    unnoticed += errors == 0;
}

static void report(uint64_t count) {
    printf("%llu of %llu cases run: %llu answered with an error, %llu got over without one\n",
           (unsigned long long)(answered + unnoticed), (unsigned long long)count,
           (unsigned long long)answered, (unsigned long long)unnoticed);
}

/* Scripts that are to spill did, and what they spilled came back. */
static void spilling_check(int scripts) {
    uint64_t fetched = 0;
    int spilled = 0;
    for (int variant = 0; variant < scripts; variant++) {
        spilled += measures[variant].written > 0;
        fetched += measures[variant].fetched;
    }
    printf("%llu places for a fault in %d scripts; %d spill, %llu records come back\n",
           (unsigned long long)point_count, scripts, spilled, (unsigned long long)fetched);
    CHECK(spilled >= scripts / 2 - scripts / 8 && fetched > (uint64_t)scripts,
          "half of the scripts are to spill, and what they spilled is to come back");
}

int main(void) {
    at_length = getenv("LEAT_TEST_LONG") != NULL;
    int scripts = at_length ? SCRIPTS_LONG : SCRIPTS;
    points_find(scripts);
    spilling_check(scripts);
    const struct shards_work work = {
        .program = "build/asan/tests/every_fault_test",
        .first = 0,
        .end = point_count,
        .run = one_point,
        .over = report,
    };
    int code = shards_run(&work);
    memory_free(points);
    return code;
}
