/* A stream of clicks that drifts, in the shape of Criteo's: a label, numbers with heavy tails and
 * holes, and ids of fields from a handful to many values. What is planted:
 *
 *   logit = a + sum_n s_n z_n + sum_f w(id_f) + sum_{f<g} <v(id_f), v(id_g)>
 *   z_n   the logarithm of number n, standardised; absent: 0
 *
 * What moves, each set by options. Weights s, w, v: a part of their variance stands, the
 * rest is a mean-reverting walk (Ornstein-Uhlenbeck, made exact steps when an id is met), its time
 * constant drawn for each id from `pace` / 16 to `pace` x 16. Ids: in a share of the places of
 * every field an id lives an exponential time, and its successor has new weights, of twice the
 * usual deviation; mean lives differ by up to 900 times from place to place, so that there is
 * something to lose at each delay. Popularity: an id's rank in its field's Zipf law is swapped with
 * a lower one's now and then. The click rate stands.
 *
 * A function of the options alone, row after row. One thread a stream. */
#ifndef WORLD_DRIFT_H
#define WORLD_DRIFT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    DRIFT_NUMBERS_MAX = 13, /* Criteo's columns */
    DRIFT_FIELDS_MAX = 26,
    DRIFT_FACTORS_MAX = 16,
    DRIFT_LINE_MAX = 512, /* bytes of a row as text, its end of line included */
};

/* All real, so that one table (drift_parameters) reads, checks and prints them. */
struct drift_options {
    double rows;
    double seed;
    double days; /* that the rows spread over */
    double numbers, fields;
    double ids;     /* alive at a time in the largest field; fields are spaced from 4 by ratio */
    double skew;    /* exponent of Zipf's law */
    double missing; /* share of values that are absent */
    double clicks;  /* share of rows */
    double spread;  /* deviation of the logit by numbers and single ids, */
    double pairs;   /* and by pairs of ids */
    double factors; /* of v */
    double drift;   /* share of the weights' variance that moves */
    double pace;    /* days: the middle time constant of what moves */
    double mortal;  /* share of places whose ids die */
    double birth;   /* ids born a day in the middle one of those places */
    double shift;   /* how often a day a rank is swapped with a lower one */
};

struct drift_parameter {
    const char *name;
    const char *words;
    double low, high;
    double usual;  /* the default */
    bool whole;    /* a whole number */
    size_t offset; /* of the double in struct drift_options */
};

extern const struct drift_parameter drift_parameters[];
extern const int drift_parameter_count;

void drift_defaults(struct drift_options *options);

#define DRIFT_ABSENT INT64_MIN

struct drift_row {
    int label;
    double logit; /* the truth, before the coin was tossed */
    double time_days;
    int64_t numbers[DRIFT_NUMBERS_MAX]; /* DRIFT_ABSENT: none */
    bool present[DRIFT_FIELDS_MAX];
    uint32_t ids[DRIFT_FIELDS_MAX]; /* no two of a field's are equal in 2^32 births */
};

struct drift;

/* LEAT_INVALID names the parameter out of range. */
leat_status drift_open(const struct drift_options *options, struct drift **out, leat_error *err);
void drift_close(struct drift *drift);

/* LEAT_END (positive) behind the last row. */
leat_status drift_next(struct drift *drift, struct drift_row *out);

/* A line of Criteo's train.txt: label, 13 integers, 26 ids of 8 hexadecimal digits, between tabs;
 * absent values and columns that the options do not have are empty. `out` has DRIFT_LINE_MAX bytes;
 * returns how many were written, no NUL. */
size_t drift_write(const struct drift *drift, const struct drift_row *row, char *out);

/* Ids met so far, the dead included: rows that a table without expiry needs. */
uint64_t drift_ids(const struct drift *drift);

#endif
