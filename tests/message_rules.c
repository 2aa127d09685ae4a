#include "tests/message_rules.h"

#include <string.h>

static bool holds_any(const char *text, const char *const *words, int count) {
    for (int i = 0; i < count; i++) {
        if (strstr(text, words[i])) {
            return true;
        }
    }
    return false;
}

/* What a message is about: a path, or a thing that an operator knows. */
static bool names_thing(const char *text) {
    static const char *const things[] = {"/",      "the log", "checkpoint",  "the model",
                                         "memory", "state",   "the trainer", "segment "};
    return holds_any(text, things, (int)(sizeof(things) / sizeof(things[0])));
}

/* What is to be done, in the words that messages of this house use for it. */
static bool names_way_out(const char *text) {
    static const char *const ways[] = {
        "try again", "again",    "free space", "make room",  "lower",     "add memory",
        "move it",   "move the", "remove",     "set it",     "set them",  "use another",
        "restore",   "restart",  "upgrade",    "start with", "delete it", "stays"};
    return holds_any(text, ways, (int)(sizeof(ways) / sizeof(ways[0])));
}

const char *message_fault(const leat_error *err) {
    size_t size = strlen(err->message);
    if (err->status >= 0) {
        return "an error has the status of a success";
    }
    if (size == 0) {
        return "the message is empty";
    }
    if (strchr(" \n:;", err->message[size - 1]) || strstr(err->message, "(null)")) {
        return "the message is cut off, or names nothing";
    }
    if (!names_thing(err->message)) {
        return "the message names no path and no thing";
    }
    return names_way_out(err->message) ? NULL : "the message says no way out";
}
