/* What every test program includes: cmocka behind the headers that it needs, in its order. */
#ifndef BASE_TEST_H
#define BASE_TEST_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
