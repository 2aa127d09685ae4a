/* `leat eval`: how well a model predicts. */
#include "app/eval_ctr.h"

#include <string.h>

static leat_status read_split(const char *text, double *out, leat_error *err) {
    if (text && (!row_number(slice_of(text), out) || !(*out > 0) || !(*out < 1))) {
        return error_set(err, LEAT_INVALID, "--time-split: '%s' is not between 0 and 1", text);
    }
    return LEAT_OK;
}

static leat_status check_asked(const struct eval_ctr_asked *asked, int count, leat_error *err) {
    bool more = asked->test || asked->valid || asked->train.time;
    bool encoded = asked->train.format && strcmp(asked->train.format, "cache") == 0;
    if (asked->train.cache) {
        return error_set(err, LEAT_INVALID,
                         "--cache: an evaluation encodes anew; leat train --cache makes one that "
                         "--format cache reads");
    }
    if (encoded && more) {
        return error_set(err, LEAT_INVALID, "--format cache: neither --test, --valid nor --time");
    }
    return count > 0 ? LEAT_OK : error_set(err, LEAT_INVALID, "no FILE is named");
}

static leat_status eval_files_of(const struct eval_ctr_asked *asked, char **files, int count,
                                 leat_error *err) {
    const char *paths[TRAIN_PATHS_MAX + 2];
    struct eval_files parts = {
        .main_count = count, .valid = asked->valid, .test = asked->test, .split = 0.8};
    TRY(check_asked(asked, count, err));
    TRY(read_split(asked->time_split, &parts.split, err));
    for (int i = 0; i < count; i++) {
        paths[i] = files[i];
    }
    if (asked->valid) {
        paths[count++] = asked->valid;
    }
    if (asked->test) {
        paths[count++] = asked->test;
    }
    return eval_ctr(asked, &parts, paths, count, err);
}

int command_eval(int argc, char **argv) {
    struct eval_ctr_asked asked = {.test = NULL};
    const struct option own[] = {
        {"time-split", 0, "X", "Part that is learnt; the rest is scored (default 0.8).",
         &asked.time_split, NULL},
        {"test", 0, "FILE", "What is scored; then all of the others is learnt.", &asked.test, NULL},
        {"valid", 0, "FILE", "Chooses the pass whose predictions count.", &asked.valid, NULL},
        {"out", 0, "FILE", "The prediction of each scored example.", &asked.train.out, NULL},
    };
    struct option options[TRAIN_OPTIONS_MAX + sizeof(own) / sizeof(own[0])];
    int count = train_options(&asked.train, options);
    memcpy(options + count, own, sizeof(own));
    count += (int)(sizeof(own) / sizeof(own[0]));
    const struct usage usage = {
        "leat eval ctr FILE... --format WORD [OPTION]...",
        "Learns the first part of the examples, in the order of the files or of --time, and "
        "scores\n"
        "the rest: AUC (exact), log loss, and expected calibration error over 20 bins of as many\n"
        "examples each. With --time all examples are held in memory while they are put in order.",
        options, count};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, TRAIN_PATHS_MAX, &rest, &exit_code)) {
        return exit_code;
    }
    if (rest == 0 || strcmp(argv[1], "ctr") != 0) {
        fprintf(stderr, "leat eval: '%s' is unknown; leat eval ctr is there\n",
                rest ? argv[1] : "");
        return COMMAND_MISUSED;
    }
    leat_error err = {.message = ""};
    return eval_files_of(&asked, argv + 2, rest - 1, &err) < 0 ? command_fail(argv[0], &err)
                                                               : COMMAND_FINE;
}
