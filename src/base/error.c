#include "base/error.h"

#include <stdarg.h>
#include <string.h>

const char *leat_status_title(leat_status status) {
    switch (status) {
#define LEAT_STATUS(name, value, title)                                                            \
    case value:                                                                                    \
        return title;
#include <leat/errors.def>
#undef LEAT_STATUS
    default: return "unknown status";
    }
}

static leat_status error_fill(leat_error *err, leat_status status, bool retry, const char *format,
                              va_list args) {
    if (err) {
        err->status = status;
        err->retry = retry;
        vsnprintf(err->message, sizeof(err->message), format, args);
    }
    return status;
}

leat_status error_set(leat_error *err, leat_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    error_fill(err, status, false, format, args);
    va_end(args);
    return status;
}

leat_status error_retry(leat_error *err, leat_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    error_fill(err, status, true, format, args);
    va_end(args);
    return status;
}

leat_status error_in(leat_error *err, leat_status status, const char *format, ...) {
    if (!err) {
        return status;
    }
    char inner[sizeof(err->message)];
    memcpy(inner, err->message, sizeof(inner));
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof(err->message) - used, ": %s", inner);
    err->status = status;
    return status;
}

leat_status error_memory(leat_error *err, size_t bytes) {
    return error_retry(err, LEAT_MEMORY, "no memory for %zu bytes; lower the budgets or add memory",
                       bytes);
}

void invariant_broken(const char *file, int line, const char *condition, const char *format, ...) {
    va_list args;
    fprintf(stderr, "%s:%d: broken invariant: %s: ", file, line, condition);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
