#include "world/drift.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define FIRST_IDS     4.0 /* of the smallest field */
#define PACE_RANGE    16.0
#define BIRTH_RANGE   30.0
#define WEIGHT_RANGE  4.0 /* logarithm of the variances' largest ratio between fields */
#define GOLDEN        0.61803398874989485
#define MORTAL_WEIGHT 2.0 /* deviation of a mortal id's weights, to another's: news stands out */
#define STEP_SMALLEST (1.0 / 64) /* of a time constant: nearer moves wait for the next meeting */
#define NUMBER_CURVE  0.8        /* deviation of a number's logarithm, to its mean's unit */

/* What a hash is drawn for. */
enum draw { DRAW_PACE = 1, DRAW_BIRTH, DRAW_MORTAL, DRAW_NUMBER, DRAW_NAME };

#define PARAMETER(field, words, low, high, usual, whole)                                           \
    { #field, words, low, high, usual, whole, offsetof(struct drift_options, field) }

const struct drift_parameter drift_parameters[] = {
    PARAMETER(rows, "Rows of the stream", 70, 1e9, 3.5e6, true),
    PARAMETER(seed, "Seed", 0, 0x1p53, 1, true),
    PARAMETER(days, "Days that the rows spread over", 1e-3, 1e4, 7, false),
    PARAMETER(numbers, "Numeric fields", 0, DRIFT_NUMBERS_MAX, DRIFT_NUMBERS_MAX, true),
    PARAMETER(fields, "Fields of ids", 1, DRIFT_FIELDS_MAX, DRIFT_FIELDS_MAX, true),
    PARAMETER(ids, "Ids alive in the largest field", FIRST_IDS, 2e7, 5e4, true),
    PARAMETER(skew, "Exponent of Zipf's law", 0, 3, 1.1, false),
    PARAMETER(missing, "Share of values that are absent", 0, 0.9, 0.1, false),
    PARAMETER(clicks, "Share of rows that are clicked", 0.001, 0.999, 0.25, false),
    PARAMETER(spread, "Deviation of the logit by single values", 0, 10, 1.4, false),
    PARAMETER(pairs, "Deviation of the logit by pairs of ids", 0, 10, 0.6, false),
    PARAMETER(factors, "Factors of the pairs", 1, DRIFT_FACTORS_MAX, 4, true),
    PARAMETER(drift, "Share of the weights' variance that moves", 0, 1, 0.1, false),
    PARAMETER(pace, "Days: middle time constant of what moves", 1e-4, 1e4, 2, false),
    PARAMETER(mortal, "Share of places whose ids die", 0, 1, 0.05, false),
    PARAMETER(birth, "Births a day in the middle one of those places", 0, 1e4, 50, false),
    PARAMETER(shift, "Times a day that a rank is swapped", 0, 1e4, 0.5, false),
};
const int drift_parameter_count = sizeof(drift_parameters) / sizeof(drift_parameters[0]);

/* A place in a field, and the id that lives there now. Its weights stand in field.weights: 1 +
 * factors that stand, then as many that move. */
struct slot {
    double dies;  /* days */
    double moved; /* days: when the moving weights were brought up to date; < 0: never born */
    uint32_t name;
};

/* Walker's alias table: a rank in one draw. */
struct alias {
    float keep;
    uint32_t other;
};

struct field {
    int count;
    double deviation; /* of w */
    double swaps_due; /* rank swaps that time owes */
    uint32_t births;
    struct alias *ranks;
    uint32_t *slot_of_rank;
    struct slot *slots;
    float *weights;
};

struct number {
    double mean, deviation; /* of the logarithm */
    double stands, moves;   /* parts of the slope */
    double moved, pace;     /* days */
};

struct drift {
    struct drift_options options;
    struct rng rng;
    int64_t rows, row;
    int width; /* 1 + factors */
    int fields, numbers;
    double intercept;
    double deviation; /* of v's elements */
    double slope;     /* of s */
    uint64_t births;
    struct field field[DRIFT_FIELDS_MAX];
    struct number number[DRIFT_NUMBERS_MAX];
};

static double hashed(const struct drift *drift, enum draw draw, uint64_t a, uint64_t b) {
    uint64_t seed = (uint64_t)drift->options.seed;
    return hash_unit(hash_mix(hash_mix(seed, (uint64_t)draw), hash_mix(a, b)));
}

/* --- options --- */

static double *option_at(struct drift_options *options, const struct drift_parameter *parameter) {
    return (double *)((char *)options + parameter->offset);
}

void drift_defaults(struct drift_options *options) {
    for (int i = 0; i < drift_parameter_count; i++) {
        *option_at(options, &drift_parameters[i]) = drift_parameters[i].usual;
    }
}

static leat_status check_options(struct drift_options *options, leat_error *err) {
    for (int i = 0; i < drift_parameter_count; i++) {
        const struct drift_parameter *p = &drift_parameters[i];
        double value = *option_at(options, p);
        if (!(value >= p->low && value <= p->high) || (p->whole && value != floor(value))) {
            return error_set(err, LEAT_INVALID, "%s %g: %s from %g to %g is wanted", p->name, value,
                             p->whole ? "a whole number" : "a number", p->low, p->high);
        }
    }
    return LEAT_OK;
}

/* --- making --- */

/* Vose 1991: ranks with less than their share lend the rest of their cell to one that has more. */
static void alias_fill(struct alias *ranks, double *shares, uint32_t *work, int count) {
    int small = 0;
    int large = count;
    for (int i = 0; i < count; i++) {
        work[shares[i] < 1 ? small++ : --large] = (uint32_t)i;
    }
    while (small > 0 && large < count) {
        uint32_t less = work[--small];
        uint32_t more = work[large];
        ranks[less] = (struct alias){(float)shares[less], more};
        shares[more] -= 1 - shares[less];
        if (shares[more] < 1) {
            large++;
            work[small++] = more;
        }
    }
    while (small > 0) {
        ranks[work[--small]] = (struct alias){1, 0};
    }
    while (large < count) {
        ranks[work[large++]] = (struct alias){1, 0};
    }
}

static leat_status alias_make(struct alias *ranks, int count, double skew, leat_error *err) {
    double *shares = memory_alloc((size_t)count * sizeof(double));
    uint32_t *work = memory_alloc((size_t)count * sizeof(uint32_t));
    leat_status status = LEAT_OK;
    double total = 0;
    if (!shares || !work) {
        status = error_memory(err, (size_t)count * sizeof(double));
        goto fail;
    }
    for (int i = 0; i < count; i++) {
        shares[i] = pow(i + 1, -skew);
        total += shares[i];
    }
    for (int i = 0; i < count; i++) {
        shares[i] *= count / total;
    }
    alias_fill(ranks, shares, work, count);
fail:
    memory_free(work);
    memory_free(shares);
    return status;
}

/* Mean days that ids live in a place: from place to place by ratio. */
static double life_of(const struct drift *drift, uint64_t field, uint64_t place) {
    double turn = 2 * hashed(drift, DRAW_BIRTH, field, place) - 1;
    if (hashed(drift, DRAW_MORTAL, field, place) >= drift->options.mortal) {
        return INFINITY;
    }
    double births = drift->options.birth * pow(BIRTH_RANGE, turn);
    return births > 0 ? 1 / births : INFINITY;
}

static leat_status field_make(struct drift *drift, int index, leat_error *err) {
    struct field *field = &drift->field[index];
    double part = drift->fields > 1 ? (double)index / (drift->fields - 1) : 1;
    field->count = (int)lrint(FIRST_IDS * pow(drift->options.ids / FIRST_IDS, part));
    size_t count = (size_t)field->count;
    size_t weights = count * 2 * (size_t)drift->width * sizeof(float);
    field->ranks = memory_alloc(count * sizeof(struct alias));
    field->slot_of_rank = memory_alloc(count * sizeof(uint32_t));
    field->slots = memory_alloc(count * sizeof(struct slot));
    field->weights = memory_alloc(weights);
    if (!field->ranks || !field->slot_of_rank || !field->slots || !field->weights) {
        return error_memory(err, weights);
    }
    for (int i = 0; i < field->count; i++) {
        field->slot_of_rank[i] = (uint32_t)i;
        field->slots[i] = (struct slot){.dies = 0, .moved = -1};
    }
    return alias_make(field->ranks, field->count, drift->options.skew, err);
}

static double pace_of(const struct drift *drift, uint64_t a, uint64_t b) {
    return drift->options.pace * pow(PACE_RANGE, 2 * hashed(drift, DRAW_PACE, a, b) - 1);
}

static void number_make(struct drift *drift, int index) {
    struct number *number = &drift->number[index];
    uint64_t n = (uint64_t)index;
    number->mean = 0.5 + 5 * hashed(drift, DRAW_NUMBER, n, 0);
    number->deviation = NUMBER_CURVE * (0.5 + hashed(drift, DRAW_NUMBER, n, 1));
    number->pace = pace_of(drift, DRIFT_FIELDS_MAX + n, 0);
    number->stands = rng_normal(&drift->rng);
    number->moves = rng_normal(&drift->rng);
}

/* Deviations of single weights, so that the sums over a row have those of the options. Of pairs
 * there are F (F - 1) / 2, each a sum of `factors` products. The mean of sigmoid(a + s Z), Z
 * normal, is near sigmoid(a / sqrt(1 + pi s^2 / 8)). Fields differ in weight, evenly over their
 * sizes: one id of a weighty field is learnt from a few clicks. */
static void set_scales(struct drift *drift) {
    const struct drift_options *o = &drift->options;
    double sources = drift->fields + drift->numbers;
    double pair_terms = drift->fields * (drift->fields - 1) / 2.0 * o->factors;
    double pairs = pair_terms > 0 ? o->pairs : 0;
    double variance = o->spread * o->spread + pairs * pairs;
    drift->slope = o->spread / sqrt(sources);
    drift->deviation = pair_terms > 0 ? pow(pairs * pairs / pair_terms, 0.25) : 0;
    double weights[DRIFT_FIELDS_MAX];
    double total = 0;
    for (int f = 0; f < drift->fields; f++) {
        weights[f] = exp(-WEIGHT_RANGE * fmod((f + 1) * GOLDEN, 1));
        total += weights[f];
    }
    for (int f = 0; f < drift->fields; f++) {
        drift->field[f].deviation = o->spread * sqrt(weights[f] / total * drift->fields / sources);
    }
    drift->intercept = log(o->clicks / (1 - o->clicks)) * sqrt(1 + M_PI * variance / 8);
}

leat_status drift_open(const struct drift_options *options, struct drift **out, leat_error *err) {
    struct drift_options checked = *options;
    TRY(check_options(&checked, err));
    struct drift *drift = memory_zalloc(sizeof(*drift));
    if (!drift) {
        return error_memory(err, sizeof(*drift));
    }
    drift->options = checked;
    drift->rows = (int64_t)options->rows;
    drift->width = 1 + (int)options->factors;
    drift->fields = (int)options->fields;
    drift->numbers = (int)options->numbers;
    rng_init(&drift->rng, (uint64_t)options->seed);
    set_scales(drift);
    for (int n = 0; n < drift->numbers; n++) {
        number_make(drift, n);
    }
    for (int f = 0; f < drift->fields; f++) {
        leat_status status = field_make(drift, f, err);
        if (status < 0) {
            drift_close(drift);
            return status;
        }
    }
    *out = drift;
    return LEAT_OK;
}

void drift_close(struct drift *drift) {
    if (!drift) {
        return;
    }
    for (int f = 0; f < DRIFT_FIELDS_MAX; f++) {
        struct field *field = &drift->field[f];
        memory_free(field->weights);
        memory_free(field->slots);
        memory_free(field->slot_of_rank);
        memory_free(field->ranks);
    }
    memory_free(drift);
}

/* --- moving --- */

/* Deviation 1 before and after: kept x old + the rest of the variance anew. False: too near. */
static bool walk(double elapsed, double pace, double *kept, double *fresh) {
    if (elapsed < STEP_SMALLEST * pace) {
        return false;
    }
    *kept = exp(-elapsed / pace);
    *fresh = sqrt(1 - *kept * *kept);
    return true;
}

/* murmur3's finaliser: one-to-one, so that a field's ids differ as its births do. */
static uint32_t scramble(uint32_t h) {
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    return h ^ h >> 16;
}

static void slot_bear(struct drift *drift, struct field *field, struct slot *slot, float *weights,
                      double now) {
    int index = (int)(field - drift->field);
    uint32_t salt = (uint32_t)(hashed(drift, DRAW_NAME, (uint64_t)index, 0) * 0x1p32);
    double life = life_of(drift, (uint64_t)index, (uint64_t)(slot - field->slots));
    slot->name = scramble(field->births++ + salt);
    slot->dies = isinf(life) ? INFINITY : now + rng_exponential(&drift->rng, life);
    slot->moved = now;
    double deviation = isinf(life) ? 1 : MORTAL_WEIGHT;
    for (int i = 0; i < 2 * drift->width; i++) {
        weights[i] = (float)(deviation * rng_normal(&drift->rng));
    }
    drift->births++;
}

static void slot_move(struct drift *drift, struct slot *slot, float *weights, double now) {
    double kept;
    double fresh;
    if (now - slot->moved < STEP_SMALLEST * drift->options.pace / PACE_RANGE) {
        return; /* too near for the quickest */
    }
    double pace = pace_of(drift, slot->name, 1);
    double deviation = isinf(slot->dies) ? 1 : MORTAL_WEIGHT;
    if (drift->options.drift == 0 || !walk(now - slot->moved, pace, &kept, &fresh)) {
        return;
    }
    for (int i = drift->width; i < 2 * drift->width; i++) {
        weights[i] = (float)(kept * weights[i] + fresh * deviation * rng_normal(&drift->rng));
    }
    slot->moved = now;
}

/* A rank's id and that of a lower rank, at most twice as far down, change places. */
static void ranks_shift(struct drift *drift, struct field *field) {
    field->swaps_due +=
        drift->options.shift * field->count * drift->options.days / (double)drift->rows;
    for (; field->swaps_due >= 1; field->swaps_due--) {
        uint64_t rank = rng_below(&drift->rng, (uint64_t)field->count);
        uint64_t lower = rank + 1 + rng_below(&drift->rng, rank + 1);
        if (lower < (uint64_t)field->count) {
            uint32_t held = field->slot_of_rank[rank];
            field->slot_of_rank[rank] = field->slot_of_rank[lower];
            field->slot_of_rank[lower] = held;
        }
    }
}

/* --- a row --- */

static uint32_t draw_slot(struct drift *drift, const struct field *field) {
    uint32_t rank = (uint32_t)rng_below(&drift->rng, (uint64_t)field->count);
    if (rng_unit(&drift->rng) >= (double)field->ranks[rank].keep) {
        rank = field->ranks[rank].other;
    }
    return field->slot_of_rank[rank];
}

/* Adds an id's w, its v and the squares of its v. */
static void add_weights(const struct drift *drift, const struct field *field, const float *weights,
                        double *single, double *sums, double *squares) {
    double moving = sqrt(drift->options.drift);
    double standing = sqrt(1 - drift->options.drift);
    for (int i = 0; i < drift->width; i++) {
        double weight = standing * weights[i] + moving * weights[drift->width + i];
        if (i == 0) {
            *single += field->deviation * weight;
        } else {
            double v = drift->deviation * weight;
            sums[i - 1] += v;
            *squares += v * v;
        }
    }
}

static double draw_ids(struct drift *drift, double now, struct drift_row *row) {
    double single = 0;
    double squares = 0;
    double sums[DRIFT_FACTORS_MAX] = {0};
    for (int f = 0; f < drift->fields; f++) {
        struct field *field = &drift->field[f];
        ranks_shift(drift, field);
        row->present[f] = rng_unit(&drift->rng) >= drift->options.missing;
        row->ids[f] = 0;
        if (!row->present[f]) {
            continue;
        }
        uint32_t at = draw_slot(drift, field);
        struct slot *slot = &field->slots[at];
        float *weights = field->weights + (size_t)at * 2 * (size_t)drift->width;
        if (slot->moved < 0 || now >= slot->dies) {
            slot_bear(drift, field, slot, weights, now);
        } else {
            slot_move(drift, slot, weights, now);
        }
        row->ids[f] = slot->name;
        add_weights(drift, field, weights, &single, sums, &squares);
    }
    double pairs = -squares;
    for (int i = 0; i < drift->width - 1; i++) {
        pairs += sums[i] * sums[i];
    }
    return single + pairs / 2;
}

static double draw_numbers(struct drift *drift, double now, struct drift_row *row) {
    double logit = 0;
    for (int n = 0; n < drift->numbers; n++) {
        struct number *number = &drift->number[n];
        double kept;
        double fresh;
        if (walk(now - number->moved, number->pace, &kept, &fresh)) {
            number->moves = kept * number->moves + fresh * rng_normal(&drift->rng);
            number->moved = now;
        }
        double z = rng_normal(&drift->rng);
        bool absent = rng_unit(&drift->rng) < drift->options.missing;
        row->numbers[n] =
            absent ? DRIFT_ABSENT : (int64_t)exp(number->mean + number->deviation * z);
        double slope = sqrt(1 - drift->options.drift) * number->stands +
                       sqrt(drift->options.drift) * number->moves;
        logit += absent ? 0 : drift->slope * slope * z;
    }
    return logit;
}

leat_status drift_next(struct drift *drift, struct drift_row *out) {
    if (drift->row >= drift->rows) {
        return LEAT_END;
    }
    double now = (double)drift->row / (double)drift->rows * drift->options.days;
    out->time_days = now;
    out->logit = drift->intercept + draw_numbers(drift, now, out);
    out->logit += draw_ids(drift, now, out);
    out->label = rng_unit(&drift->rng) < 1 / (1 + exp(-out->logit));
    drift->row++;
    return LEAT_OK;
}

uint64_t drift_ids(const struct drift *drift) {
    return drift->births;
}

/* --- as text --- */

size_t drift_write(const struct drift *drift, const struct drift_row *row, char *out) {
    char *at = out;
    *at++ = (char)('0' + row->label);
    for (int n = 0; n < DRIFT_NUMBERS_MAX; n++) {
        *at++ = '\t';
        if (n < drift->numbers && row->numbers[n] != DRIFT_ABSENT) {
            at += snprintf(at, 24, "%lld", (long long)row->numbers[n]);
        }
    }
    for (int f = 0; f < DRIFT_FIELDS_MAX; f++) {
        *at++ = '\t';
        if (f < drift->fields && row->present[f]) {
            at += snprintf(at, 9, "%08x", row->ids[f]);
        }
    }
    *at++ = '\n';
    return (size_t)(at - out);
}
