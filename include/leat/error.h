/* What every call of leat answers: a status, and an error that the caller owns.
 *
 * Zero is fine, a negative status is a failure, a positive one is a normal other outcome. No call
 * keeps a "last error": whoever wants the words passes a leat_error, whoever does not passes NULL.
 */
#ifndef LEAT_ERROR_H
#define LEAT_ERROR_H

#include <stdbool.h>
#include <stdint.h>

/* What libleat.so shows; everything else stays inside. */
#if defined(__GNUC__)
#define LEAT_API __attribute__((visibility("default")))
#else
#define LEAT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t leat_status;

/* name, value, what it means for the caller: api/errors.def is the one list. */
enum leat_status_code {
#define LEAT_STATUS(name, value, title) LEAT_##name = (value),
#include <leat/errors.def>
#undef LEAT_STATUS
};

/* Filled by the call that fails; untouched by a call that does not. `message` names the thing, the
 * value and the limit, and the way out; it is NUL-terminated UTF-8. `retry`: the same call may
 * succeed later. */
typedef struct leat_error {
    leat_status status;
    bool retry;
    char message[500];
} leat_error;

/* The short title of a status ("invalid", "corrupt" ...); never NULL. Any thread. */
LEAT_API const char *leat_status_title(leat_status status);

#ifdef __cplusplus
}
#endif
#endif
