#include "world/audience.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* Exposures by hour of a short-video app, per mille: KuaiRand-27K, 322 million exposures of its
 * standard log, rounded. */
const int audience_hour_weights[24] = {33, 20, 13, 9,  8,  11, 21, 31, 36, 40, 45, 48,
                                       53, 53, 48, 49, 51, 54, 58, 62, 66, 69, 68, 53};

/* What a hash is drawn for; no two draws share a stream. */
enum draw {
    DRAW_CATEGORY = 1,
    DRAW_AUTHOR,
    DRAW_ITEM,
    DRAW_PERSON,
    DRAW_DRIFT,
    DRAW_COMES,
    DRAW_CALIBRATE,
    DRAW_CLICK,
    DRAW_HIDE
};

#define HOUR_MS        INT64_C(3600000)
#define DAY_MS         (24 * HOUR_MS)
#define TASTE_SPREAD   1.2 /* deviation of taste . vector: what there is to learn of a person */
#define QUALITY_SPREAD 0.5
#define DRIFT_KEPT     0.99075 /* an hour: a day apart, tastes correlate by 0.8 */
#define HIDE_BELOW     (-1.2)  /* taste . vector of what is disliked, */
#define HIDE_RATE      0.05    /* and the share of it that is hidden */

enum { ITEMS_PER_AUTHOR = 10, SESSION_PAGES_MAX = 10, CALIBRATION_DRAWS = 20000 };

static uint64_t draw_hash(uint64_t seed, enum draw draw, uint64_t a, uint64_t b) {
    return hash_mix(hash_mix(seed, (uint64_t)draw), hash_mix(a, b));
}

static void draw_vector(struct rng *rng, double deviation, float out[AUDIENCE_DIMENSION]) {
    for (int d = 0; d < AUDIENCE_DIMENSION; d++) {
        out[d] = (float)(deviation * rng_normal(rng));
    }
}

static float dot(const float *a, const float *b) {
    float sum = 0;
    for (int d = 0; d < AUDIENCE_DIMENSION; d++) {
        sum += a[d] * b[d];
    }
    return sum;
}

/* --- items --- */

/* An item is like its category, somewhat like its author, and something of its own. */
static void item_draw_vector(uint64_t seed, struct rng *rng, struct audience_item *item) {
    float category[AUDIENCE_DIMENSION];
    float author[AUDIENCE_DIMENSION];
    float own[AUDIENCE_DIMENSION];
    struct rng shared;
    rng_init(&shared, draw_hash(seed, DRAW_CATEGORY, (uint64_t)item->category, 0));
    draw_vector(&shared, 1, category);
    rng_init(&shared, draw_hash(seed, DRAW_AUTHOR, (uint64_t)item->author, 1));
    draw_vector(&shared, 0.5, author);
    draw_vector(rng, 0.7, own);
    for (int d = 0; d < AUDIENCE_DIMENSION; d++) {
        item->vector[d] = category[d] + author[d] + own[d];
    }
    float length = sqrtf(dot(item->vector, item->vector));
    for (int d = 0; d < AUDIENCE_DIMENSION; d++) {
        item->vector[d] /= length > 0 ? length : 1;
    }
}

static void item_draw(const struct audience *audience, int index) {
    const struct audience_options *options = &audience->options;
    struct audience_item *item = &audience->items[index];
    int authors = options->items / ITEMS_PER_AUTHOR + 1;
    struct rng rng;
    rng_init(&rng, draw_hash(options->seed, DRAW_ITEM, (uint64_t)index, 0));
    item->author = (int)rng_below(&rng, (uint64_t)authors);
    item->category = (int)(draw_hash(options->seed, DRAW_AUTHOR, (uint64_t)item->author, 0) %
                           AUDIENCE_CATEGORIES);
    item->quality = (float)(QUALITY_SPREAD * rng_normal(&rng));
    /* Births are evenly spaced, `items` of them in a life: so the items are sorted by birth, those
     * live are one range, and their ages are spread at the start as at any time. */
    item->expires_ms =
        options->start_ms +
        (int64_t)((double)(index + 1) * (double)AUDIENCE_ITEM_LIFE_MS / options->items);
    item->created_ms = item->expires_ms - AUDIENCE_ITEM_LIFE_MS;
    item_draw_vector(options->seed, &rng, item);
}

/* The first item that expires after this time. */
static int expires_after(const struct audience *audience, int64_t time_ms) {
    int low = 0;
    int high = audience->item_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (audience->items[middle].expires_ms > time_ms) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void audience_live(const struct audience *audience, int64_t now_ms, int *first, int *end) {
    *first = expires_after(audience, now_ms);
    *end = expires_after(audience, now_ms + AUDIENCE_ITEM_LIFE_MS);
}

/* --- people --- */

static void person_draw(const struct audience *audience, uint32_t person) {
    struct rng rng;
    rng_init(&rng, draw_hash(audience->options.seed, DRAW_PERSON, person, 0));
    draw_vector(&rng, TASTE_SPREAD, audience->people[person].taste);
}

void audience_drift(struct audience *audience, uint32_t person, int64_t now_ms) {
    struct audience_person *p = &audience->people[person];
    int64_t hours = (now_ms - audience->options.start_ms) / HOUR_MS;
    double fresh = TASTE_SPREAD * sqrt(1 - DRIFT_KEPT * DRIFT_KEPT);
    while (p->hours < hours) {
        p->hours++;
        struct rng rng;
        float step[AUDIENCE_DIMENSION];
        rng_init(&rng, draw_hash(audience->options.seed, DRAW_DRIFT, person, (uint64_t)p->hours));
        draw_vector(&rng, fresh, step);
        for (int d = 0; d < AUDIENCE_DIMENSION; d++) {
            p->taste[d] = (float)DRIFT_KEPT * p->taste[d] + step[d];
        }
    }
}

/* --- the truth --- */

double audience_logit(const struct audience *audience, uint32_t person, int item, int64_t now_ms) {
    const struct audience_item *it = &audience->items[item];
    double age_days = (double)(now_ms - it->created_ms) / (double)DAY_MS;
    return audience->intercept + dot(audience->people[person].taste, it->vector) + it->quality -
           M_LN2 * age_days;
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double choice_unit(const struct audience *audience, enum draw draw,
                          const struct visit *visit, int item) {
    uint64_t page = (uint64_t)visit->person << 32 | visit->page;
    return hash_unit(draw_hash(audience->options.seed, draw, page, (uint64_t)item));
}

bool audience_clicks(const struct audience *audience, const struct visit *visit, int item) {
    double logit = audience_logit(audience, visit->person, item, visit->time_ms);
    return choice_unit(audience, DRAW_CLICK, visit, item) < sigmoid(logit);
}

bool audience_hides(const struct audience *audience, const struct visit *visit, int item) {
    float liking = dot(audience->people[visit->person].taste, audience->items[item].vector);
    return liking < HIDE_BELOW && choice_unit(audience, DRAW_HIDE, visit, item) < HIDE_RATE;
}

/* Ages are spread over a life at any time, so the items of the start stand for all times. */
static void audience_calibrate(struct audience *audience) {
    static const double LOWEST = -20;
    static const double HIGHEST = 20;
    double low = LOWEST;
    double high = HIGHEST;
    for (int step = 0; step < 40; step++) {
        audience->intercept = (low + high) / 2;
        struct rng rng;
        rng_init(&rng, draw_hash(audience->options.seed, DRAW_CALIBRATE, 0, 0));
        double sum = 0;
        for (int i = 0; i < CALIBRATION_DRAWS; i++) {
            uint32_t person = (uint32_t)rng_below(&rng, (uint64_t)audience->options.people);
            int item = (int)rng_below(&rng, (uint64_t)audience->options.items);
            sum += sigmoid(audience_logit(audience, person, item, audience->options.start_ms));
        }
        *(sum < AUDIENCE_CLICK_RATE * CALIBRATION_DRAWS ? &low : &high) = audience->intercept;
    }
}

/* --- making it --- */

static leat_status check_range(const char *name, int64_t value, int64_t low, int64_t high,
                               leat_error *err) {
    if (value >= low && value <= high) {
        return LEAT_OK;
    }
    return error_set(err, LEAT_INVALID, "%s: %lld is out of range; it is %lld to %lld", name,
                     (long long)value, (long long)low, (long long)high);
}

static leat_status check_options(const struct audience_options *options, leat_error *err) {
    TRY(check_range("people", options->people, 1, AUDIENCE_PEOPLE_MAX, err));
    TRY(check_range("items", options->items, 10, AUDIENCE_ITEMS_MAX, err));
    TRY(check_range("span (ms)", options->span_ms, 1, AUDIENCE_SPAN_MAX_MS, err));
    return check_range("start (ms)", options->start_ms, AUDIENCE_ITEM_LIFE_MS,
                       INT64_C(4000000000000), err);
}

/* Two bits for each person and item. */
static leat_status audience_allocate(struct audience *audience, leat_error *err) {
    size_t people = (size_t)audience->options.people;
    size_t items = (size_t)audience->item_count;
    size_t words = (items + 63) / 64;
    audience->items = memory_zalloc(items * sizeof(*audience->items));
    audience->people = memory_zalloc(people * sizeof(*audience->people));
    audience->bits = memory_zalloc(people * words * 2 * sizeof(uint64_t));
    if (!audience->items || !audience->people || !audience->bits) {
        return error_memory(err, people * words * 2 * sizeof(uint64_t));
    }
    for (size_t person = 0; person < people; person++) {
        audience->people[person].shown = audience->bits + person * 2 * words;
        audience->people[person].gone = audience->people[person].shown + words;
    }
    return LEAT_OK;
}

leat_status audience_create(const struct audience_options *options, struct audience **out,
                            leat_error *err) {
    TRY(check_options(options, err));
    struct audience *audience = memory_zalloc(sizeof(*audience));
    if (!audience) {
        return error_memory(err, sizeof(*audience));
    }
    audience->options = *options;
    audience->item_count =
        options->items +
        (int)((double)options->items * (double)options->span_ms / (double)AUDIENCE_ITEM_LIFE_MS);
    leat_status status = audience_allocate(audience, err);
    if (status < 0) {
        audience_destroy(audience);
        return status;
    }
    for (int item = 0; item < audience->item_count; item++) {
        item_draw(audience, item);
    }
    for (uint32_t person = 0; person < (uint32_t)options->people; person++) {
        person_draw(audience, person);
    }
    audience_calibrate(audience);
    *out = audience;
    return LEAT_OK;
}

void audience_destroy(struct audience *audience) {
    if (!audience) {
        return;
    }
    memory_free(audience->items);
    memory_free(audience->people);
    memory_free(audience->bits);
    memory_free(audience);
}

/* --- who comes when --- */

/* The moment at which a share of the span's load has passed: the daily curve, hour by hour. */
static int64_t curve_moment(const struct audience_options *options, double share) {
    int64_t hours = (options->span_ms + HOUR_MS - 1) / HOUR_MS;
    int64_t first = options->start_ms / HOUR_MS;
    double total = 0;
    for (int64_t hour = 0; hour < hours; hour++) {
        total += audience_hour_weights[(first + hour) % 24];
    }
    double left = share * total;
    int64_t hour = 0;
    while (hour < hours - 1 && left >= audience_hour_weights[(first + hour) % 24]) {
        left -= audience_hour_weights[(first + hour) % 24];
        hour++;
    }
    double within = left / audience_hour_weights[(first + hour) % 24];
    double moment = ((double)hour + within) * (double)options->span_ms / (double)hours;
    return options->start_ms + (int64_t)moment;
}

/* Some come up to four times as often as the average, none never. */
static void draw_regulars(const struct audience_options *options, double *sums) {
    double sum = 0;
    for (int person = 0; person < options->people; person++) {
        struct rng rng;
        rng_init(&rng, draw_hash(options->seed, DRAW_PERSON, (uint64_t)person, 1));
        double often = exp(0.5 * rng_normal(&rng));
        sum += often < 4 ? often : 4;
        sums[person] = sum;
    }
}

static uint32_t draw_regular(struct rng *rng, const double *sums, int people) {
    double wanted = rng_unit(rng) * sums[people - 1];
    int low = 0;
    int high = people - 1;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (sums[middle] > wanted) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return (uint32_t)low;
}

static int visit_compare(const void *a, const void *b) {
    const struct visit *x = a;
    const struct visit *y = b;
    if (x->time_ms != y->time_ms) {
        return x->time_ms < y->time_ms ? -1 : 1;
    }
    return x->person != y->person ? (x->person < y->person ? -1 : 1) : 0;
}

/* Sessions of three pages in the mean, 10 to 60 seconds apart, until there are enough visits. */
static void draw_sessions(const struct audience_options *options, const double *sums,
                          struct visit *visits, int64_t count) {
    struct rng rng;
    rng_init(&rng, draw_hash(options->seed, DRAW_COMES, 0, 0));
    int64_t made = 0;
    while (made < count) {
        uint32_t person = draw_regular(&rng, sums, options->people);
        int64_t time = curve_moment(options, rng_unit(&rng));
        int pages = 1;
        while (pages < SESSION_PAGES_MAX && rng_below(&rng, 3) > 0) {
            pages++;
        }
        for (int page = 0; page < pages && made < count; page++) {
            int64_t end = options->start_ms + options->span_ms - 1;
            visits[made++] = (struct visit){.time_ms = time < end ? time : end, .person = person};
            time += 10000 + (int64_t)rng_below(&rng, 50000);
        }
    }
}

leat_status audience_visits(const struct audience *audience, int64_t count, struct visit **out,
                            leat_error *err) {
    const struct audience_options *options = &audience->options;
    TRY(check_range("requests", count, 1, AUDIENCE_VISITS_MAX, err));
    struct visit *visits = memory_alloc((size_t)count * sizeof(*visits));
    double *sums = memory_alloc((size_t)options->people * sizeof(*sums));
    uint32_t *pages = memory_zalloc((size_t)options->people * sizeof(*pages));
    leat_status status = LEAT_OK;
    if (!visits || !sums || !pages) {
        status = error_memory(err, (size_t)count * sizeof(*visits));
        memory_free(visits);
    } else {
        draw_regulars(options, sums);
        draw_sessions(options, sums, visits, count);
        qsort(visits, (size_t)count, sizeof(*visits), visit_compare);
        for (int64_t i = 0; i < count; i++) {
            visits[i].page = pages[visits[i].person]++;
        }
        *out = visits;
    }
    memory_free(sums);
    memory_free(pages);
    return status;
}
