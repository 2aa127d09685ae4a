#include "serve/problem.h"

#include "base/json.h"

struct problem {
    unsigned status;
    const char *name; /* the last part of the type's URN */
    const char *title;
};

static const struct problem PROBLEMS[] = {
    {400, "invalid", "The request is not valid"},
    {404, "not-found", "There is no such thing"},
    {405, "method", "The path does not answer this method"},
    {409, "conflict", "In conflict with what is there"},
    {413, "too-large", "The request is too large"},
    {429, "busy", "Too much at once, try again later"},
    {500, "failed", "The server failed"},
    {501, "unsupported", "Not supported"},
    {503, "unavailable", "Not possible right now"},
    {507, "disk-full", "The disk is full"},
};
enum { PROBLEM_COUNT = sizeof(PROBLEMS) / sizeof(PROBLEMS[0]) };

unsigned problem_status(const leat_error *err) {
    switch (err->status) {
    case LEAT_INVALID: return 400;
    case LEAT_NOT_FOUND: return 404;
    case LEAT_CONFLICT: return 409;
    case LEAT_FULL: return err->retry ? 429 : 413;
    case LEAT_UNSUPPORTED: return 501;
    case LEAT_IO: return 503;
    case LEAT_MEMORY: return 503;
    case LEAT_CLOSED: return 503;
    default: return 500;
    }
}

static const struct problem *problem_of(unsigned status) {
    static const struct problem failed = {500, "failed", "The server failed"};
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        if (PROBLEMS[i].status == status) {
            return &PROBLEMS[i];
        }
    }
    return &failed;
}

void problem_write(unsigned status, const char *detail, bool retry, struct bytes *out) {
    const struct problem *problem = problem_of(status);
    char type[64];
    snprintf(type, sizeof(type), "urn:leat:problem:%s", problem->name);
    bytes_clear(out);
    struct json_writer json;
    json_begin(&json, out);
    json_object_open(&json);
    json_key(&json, "type");
    json_cstring(&json, type);
    json_key(&json, "title");
    json_cstring(&json, problem->title);
    json_key(&json, "status");
    json_u64(&json, status);
    json_key(&json, "detail");
    json_cstring(&json, detail);
    json_key(&json, "retry");
    json_bool(&json, retry);
    json_object_close(&json);
    bytes_put_u8(out, '\n');
}
