/* Any bytes as leat.yaml: refused with a message that names the file, or accepted with at least one
 * action, one surface and one feature. Never a crash, never both. */
#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config *config = NULL;
    leat_error err = {.message = ""};
    leat_status status =
        config_parse((struct slice){(const char *)data, size}, "fuzz.yaml", &config, &err);
    if (status == LEAT_OK) {
        INVARIANT(config->action_count > 0 && config->surface_count > 0 &&
                      config->model.features.count > 0,
                  "%d actions, %d surfaces, %d features", config->action_count,
                  config->surface_count, config->model.features.count);
        config_destroy(config);
    } else {
        INVARIANT(!config && status < 0 && strlen(err.message) > 0, "status %d", status);
    }
    return 0;
}
