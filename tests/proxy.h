/* A TCP proxy on loopback: what stands behind it may die and come back at another port, and its
 * connections may be cut. One thread of its own; calls are for the test's main thread. */
#ifndef TESTS_PROXY_H
#define TESTS_PROXY_H

#include <stdint.h>

struct proxy;

struct proxy *proxy_create(void);
void proxy_destroy(struct proxy *proxy);
const char *proxy_address(const struct proxy *proxy); /* "http://127.0.0.1:<port>" */
/* Where new connections go: the port at the end of an address; NULL: they are closed at once. */
void proxy_aim(struct proxy *proxy, const char *address);
void proxy_cut(struct proxy *proxy); /* closes every connection; returns when it is done */

#endif
