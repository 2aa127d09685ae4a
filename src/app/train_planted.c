#include "app/train_planted.h"

#include "base/hash.h"

#include <math.h>

static const uint32_t CARDINALITIES[PLANTED_FIELDS] = {
    10, 24, 7, 100, 500, 1000, 5000, 10000, 50000, 100000, 200000, 300000,
};
/* Rates of about a quarter, and a loss some 15 % below that of the mean rate. */
static const double INTERCEPT = -1.3;
static const double DEVIATION = 0.35;

/* Sum of four uniform ones: near enough to normal, of deviation 1. */
static double normal_of(uint64_t hash) {
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (double)(hash >> (16 * i) & 0xFFFF) / 65535.0;
    }
    return (sum - 2) * 1.7320508075688772;
}

void planted_row_make(uint64_t seed, uint64_t row, struct planted_row *out) {
    double logit = INTERCEPT;
    uint64_t draw = hash_mix(seed, row);
    for (int f = 0; f < PLANTED_FIELDS; f++) {
        double unit = hash_unit(hash_mix(draw, (uint64_t)f));
        double value = floor(exp(unit * log((double)CARDINALITIES[f] + 1)));
        uint32_t top = CARDINALITIES[f];
        out->values[f] = value < 1 ? 1 : value > top ? top : (uint32_t)value;
        logit += DEVIATION *
                 normal_of(hash_mix(hash_mix(seed + 1, (uint64_t)f), (uint64_t)out->values[f]));
    }
    uint64_t pair = (uint64_t)out->values[0] << 32 | out->values[1];
    logit += DEVIATION * normal_of(hash_mix(seed + 2, pair));
    out->probability = 1 / (1 + exp(-logit));
    out->label = hash_unit(hash_mix(draw, PLANTED_FIELDS)) < out->probability;
}

static void put_number(struct bytes *out, uint32_t number) {
    char text[12];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    bytes_append(out, text + at, sizeof(text) - at);
}

void planted_row_write(const struct planted_row *row, struct bytes *out) {
    bytes_append(out, row->label ? "1" : "-1", row->label ? 1 : 2);
    for (int f = 0; f < PLANTED_FIELDS; f++) {
        const char name[4] = {' ', '|', (char)('A' + f), ' '};
        bytes_append(out, name, sizeof(name));
        put_number(out, row->values[f]);
    }
    bytes_put_u8(out, '\n');
}

double planted_row_loss(const struct planted_row *row) {
    return -log(row->label ? row->probability : 1 - row->probability);
}
