/* Failures as problem documents (RFC 9457): which HTTP status a leat_status is, and the JSON. */
#ifndef SERVE_PROBLEM_H
#define SERVE_PROBLEM_H

#include "base/bytes.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* 400 invalid, 404 not found, 409 conflict, 413 full, 429 full but for now, 501 unsupported,
 * 503 for what may pass (I/O, memory, closing), 500 for the rest. The server makes 507 of 429 where
 * it is the disk that is full. */
unsigned problem_status(const leat_error *err);

/* Replaces the content of `out` by {"type","title","status","detail","retry"}. */
void problem_write(unsigned status, const char *detail, bool retry, struct bytes *out);

#endif
