#include "app/command.h"
#include "learn/model.h"

static const char *compiler(void) {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

int command_version(int argc, char **argv) {
    bool json = false;
    const struct option options[] = {
        {"json", 0, NULL, "As one JSON object.", NULL, &json},
    };
    const struct usage usage = {"leat version [--json]",
                                "Prints the version, the vector kernel in use and the compiler.",
                                options, 1};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 0, &rest, &exit_code)) {
        return exit_code;
    }
    printf(json ? "{\"version\":\"%s\",\"kernel\":\"%s\",\"compiler\":\"%s\"}\n"
                : "leat %s\nkernel %s\ncompiler %s\n",
           LEAT_VERSION, model_kernel(), compiler());
    return COMMAND_FINE;
}
