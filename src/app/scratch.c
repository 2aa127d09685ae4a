#include "app/scratch.h"

#include "base/file.h"

#include <stdlib.h>

leat_status scratch_make(const char *parent, char out[CONFIG_TEXT_MAX], leat_error *err) {
    const char *configured = getenv("TMPDIR");
    const char *under = parent ? parent : configured ? configured : "/var/tmp";
    if (snprintf(out, CONFIG_TEXT_MAX, "%s/leat-XXXXXX", under) >= CONFIG_TEXT_MAX) {
        return error_set(err, LEAT_INVALID, "%s: longer than %d bytes", under,
                         CONFIG_TEXT_MAX - 16);
    }
    if (!mkdtemp(out)) {
        return error_set(err, LEAT_IO, "%s: no folder could be made in it", under);
    }
    return LEAT_OK;
}

leat_status scratch_remove(const char *folder, leat_error *err) {
    char checkpoints[PATH_BYTES_MAX];
    TRY(path_join(checkpoints, folder, "checkpoints", err));
    TRY(disk_remove_tree(disk_real(), checkpoints, err));
    return disk_remove_tree(disk_real(), folder, err);
}
