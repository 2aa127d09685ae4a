/* Statuses and errors inside leat: one way to fail, one way to pass a failure on. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <leat/error.h>

#include <stdio.h>
#include <stdlib.h>

/* Fills `err` (may be NULL) and returns `status`, so that `return error_set(...)` reads as one
 * thing. error_retry does the same and says that the same call may succeed later. */
leat_status error_set(leat_error *err, leat_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
leat_status error_retry(leat_error *err, leat_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<prefix>: " before the message of a failure that is already in `err`. Returns `status`. */
leat_status error_in(leat_error *err, leat_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* LEAT_MEMORY with the number of bytes that were asked for. */
leat_status error_memory(leat_error *err, size_t bytes);

/* Leaves the function with the status of a failed call. For functions that hold nothing yet;
 * functions that do use TRY_OR and release under one label, in reverse order. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        leat_status try_status_ = (call);                                                          \
        if (try_status_ < 0) {                                                                     \
            return try_status_;                                                                    \
        }                                                                                          \
    } while (0)

#define TRY_OR(status, call, label)                                                                \
    do {                                                                                           \
        (status) = (call);                                                                         \
        if ((status) < 0) {                                                                        \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

/* A broken invariant: prints the words and the values and aborts. Never for input, I/O or peers. */
#define INVARIANT(condition, ...)                                                                  \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            invariant_broken(__FILE__, __LINE__, #condition, __VA_ARGS__);                         \
        }                                                                                          \
    } while (0)

void invariant_broken(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

#endif
