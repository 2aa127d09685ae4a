#include "app/command.h"

#include <string.h>

int command_reference(int argc, char **argv) {
    const struct usage usage = {
        "leat reference config",
        "Prints every key of leat.yaml as Markdown: docs/reference/config.md.", NULL, 0};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    if (rest == 0 || strcmp(argv[1], "config") != 0) {
        fprintf(stderr, "leat reference: wants 'config'%s%s\n", rest ? ", not " : "",
                rest ? argv[1] : "");
        return COMMAND_MISUSED;
    }
    struct bytes text;
    bytes_init(&text);
    config_reference(&text);
    leat_error err;
    leat_status status = bytes_status(&text, &err);
    if (status == LEAT_OK) {
        fwrite(text.data, 1, text.size, stdout);
    }
    bytes_deinit(&text);
    return status < 0 ? command_fail("reference", &err) : COMMAND_FINE;
}
