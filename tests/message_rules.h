/* What every message of a failure must have: the thing, and the way out. */
#ifndef TESTS_MESSAGE_RULES_H
#define TESTS_MESSAGE_RULES_H

#include <leat/error.h>

/* NULL when the error keeps the rules; else the rule that it breaks. */
const char *message_fault(const leat_error *err);

#endif
