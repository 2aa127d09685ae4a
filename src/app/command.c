#include "app/command.h"

#include "base/file.h"

#include <string.h>

bool command_begin(const struct usage *usage, int argc, char **argv, int rest_max, int *rest,
                   int *exit_code) {
    leat_error err;
    bool help;
    if (options_parse(usage, argc, argv, rest, &help, &err) < 0) {
        fprintf(stderr, "leat %s: %s\n", argv[0], err.message);
        *exit_code = COMMAND_MISUSED;
        return false;
    }
    if (help) {
        options_help(usage, stdout);
        *exit_code = COMMAND_FINE;
        return false;
    }
    if (*rest > rest_max) {
        fprintf(stderr, "leat %s: '%s' is one argument too many; see leat %s --help\n", argv[0],
                argv[1 + rest_max], argv[0]);
        *exit_code = COMMAND_MISUSED;
        return false;
    }
    return true;
}

static leat_status load(const char *path, struct config **out, const char **from, leat_error *err) {
    struct file *file = NULL;
    const char *local = "leat.yaml";
    if (path) {
        *from = path;
        return config_load(path, out, err);
    }
    leat_status status = file_open(disk_real(), local, FILE_READ, &file, err);
    if (status == LEAT_NOT_FOUND) {
        *from = "built-in defaults (no -c FILE, and no leat.yaml here)";
        return config_parse(slice_of(""), "defaults", out, err);
    }
    TRY(status);
    file_close(file);
    *from = local;
    return config_load(local, out, err);
}

leat_status command_config(const struct command_files *files, struct config **out,
                           const char **from, leat_error *err) {
    const char *words;
    TRY(load(files->config, out, from ? from : &words, err));
    if (!files->data) {
        return LEAT_OK;
    }
    char *data = (*out)->root.data;
    if (snprintf(data, CONFIG_TEXT_MAX, "%s", files->data) >= CONFIG_TEXT_MAX) {
        config_destroy(*out);
        *out = NULL;
        return error_set(err, LEAT_INVALID, "--data: longer than %d bytes", CONFIG_TEXT_MAX - 1);
    }
    return LEAT_OK;
}

leat_status command_check_data(const struct config *config, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    TRY(path_join(path, config->root.data, "FOLDER", err));
    leat_status status = file_open(disk_real(), path, FILE_READ, &file, err);
    if (status == LEAT_NOT_FOUND) {
        return error_set(err, LEAT_INVALID, "no data folder of leat at %s (it has no FOLDER file)",
                         config->root.data);
    }
    file_close(file);
    return status;
}

int command_fail(const char *name, const leat_error *err) {
    fprintf(stderr, "leat %s: %s\n", name, err->message);
    return COMMAND_FAILED;
}
