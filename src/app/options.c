#include "app/options.h"

#include "base/text.h"

enum { OPTIONS_MAX = 48, COLUMN_WORDS = 22 };

static leat_status unknown_option(const struct usage *usage, const char *given, size_t size,
                                  leat_error *err) {
    const char *known[OPTIONS_MAX + 1];
    int count = 0;
    for (int i = 0; i < usage->option_count; i++) {
        known[count++] = usage->options[i].name;
    }
    known[count++] = "help";
    size_t dashes = strspn(given, "-");
    const char *nearest =
        dashes < size ? text_nearest((struct slice){given + dashes, size - dashes}, known, count)
                      : NULL;
    return error_set(err, LEAT_INVALID, "option '%.*s' is unknown%s%s%s", (int)size, given,
                     nearest ? "; did you mean '--" : "; --help lists those there are",
                     nearest ? nearest : "", nearest ? "'?" : "");
}

/* `size`: of the argument without "=VALUE". */
static const struct option *find_option(const struct usage *usage, const char *given, size_t size) {
    for (int i = 0; i < usage->option_count; i++) {
        const struct option *option = &usage->options[i];
        struct slice name = {given + 2, size - 2};
        if (given[1] == '-' ? slice_is(name, option->name)
                            : size == 2 && option->letter && given[1] == option->letter) {
            return option;
        }
    }
    return NULL;
}

/* Takes the option at argv[*at], and its value. */
static leat_status take_option(const struct usage *usage, int argc, char **argv, int *at,
                               leat_error *err) {
    const char *given = argv[*at];
    const char *equals = strncmp(given, "--", 2) == 0 ? strchr(given, '=') : NULL;
    size_t size = equals ? (size_t)(equals - given) : strlen(given);
    const struct option *option = find_option(usage, given, size);
    if (!option) {
        return unknown_option(usage, given, size, err);
    }
    if (!option->value) {
        *option->flag = true;
        return equals ? error_set(err, LEAT_INVALID, "--%s takes no value", option->name) : LEAT_OK;
    }
    if (!equals && *at + 1 >= argc) {
        return error_set(err, LEAT_INVALID, "--%s wants %s after it", option->name, option->value);
    }
    *option->text = equals ? equals + 1 : argv[++*at];
    return LEAT_OK;
}

static bool asks_help(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

leat_status options_parse(const struct usage *usage, int argc, char **argv, int *rest, bool *help,
                          leat_error *err) {
    INVARIANT(usage->option_count <= OPTIONS_MAX, "%d options", usage->option_count);
    *rest = 0;
    *help = asks_help(argc, argv);
    if (*help) {
        return LEAT_OK;
    }
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
        } else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            TRY(take_option(usage, argc, argv, &i, err));
        } else {
            argv[1 + (*rest)++] = argv[i];
        }
    }
    return LEAT_OK;
}

void options_help(const struct usage *usage, FILE *out) {
    fprintf(out, "%s\n\n%s\n\nOptions:\n", usage->line, usage->words);
    for (int i = 0; i < usage->option_count; i++) {
        const struct option *option = &usage->options[i];
        char left[64];
        char letter[8] = "    ";
        if (option->letter) {
            snprintf(letter, sizeof(letter), "-%c, ", option->letter);
        }
        snprintf(left, sizeof(left), "%s--%s%s%s", letter, option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        fprintf(out, "  %-*s  %s\n", COLUMN_WORDS, left, option->words);
    }
    fprintf(out, "  %-*s  %s\n", COLUMN_WORDS, "-h, --help", "This help.");
}

leat_status options_integer(const char *name, const char *text, int64_t low, int64_t high,
                            int64_t *out, leat_error *err) {
    int64_t value;
    if (!text) {
        return LEAT_OK;
    }
    if (!text_to_i64(slice_of(text), &value) || value < low || value > high) {
        return error_set(err, LEAT_INVALID, "--%s: '%s' is not a whole number from %lld to %lld",
                         name, text, (long long)low, (long long)high);
    }
    *out = value;
    return LEAT_OK;
}
