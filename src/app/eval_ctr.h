/* `leat eval ctr`: learns one part of the examples and measures the predictions of another. */
#ifndef APP_EVAL_CTR_H
#define APP_EVAL_CTR_H

#include "app/eval_rows.h"

struct eval_ctr_asked {
    struct train_asked train;
    const char *time_split, *test, *valid;
};

/* Paths: the main files, then the valid one and the test one, where `files` says so. */
leat_status eval_ctr(const struct eval_ctr_asked *asked, const struct eval_files *files,
                     const char *const *paths, int path_count, leat_error *err);

#endif
