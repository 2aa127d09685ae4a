#define _GNU_SOURCE /* memmem */
#include "tests/squeeze.h"

#include "base/bytes.h"
#include "base/file.h"
#include "engine/engine_internal.h"
#include "state/state_spill.h"
#include "tests/shards.h"

enum { FILE_BYTES_MAX = 64 << 20 };

leat_status squeeze(struct engine *engine, leat_error *err) {
    struct state *states[FLOW_STATES];
    for (int i = 0; i < FLOW_STATES; i++) {
        states[i] = flow_state(engine->flow, i);
    }
    struct state_budget *budget = states[0]->account.budget;
    int64_t bytes_max = budget->bytes_max;
    budget->bytes_max = 1;
    leat_status status = state_trim(states, FLOW_STATES, err);
    budget->bytes_max = bytes_max;
    for (int i = 0; i < FLOW_STATES; i++) {
        atomic_store(&states[i]->account.soft, states[i]->spill != NULL);
    }
    return status;
}

void squeeze_counts(struct engine *engine, uint64_t *fetched, uint64_t *written) {
    *fetched = *written = 0;
    for (int i = 0; i < FLOW_STATES; i++) {
        uint64_t one[2];
        state_spill_counts(flow_state(engine->flow, i), &one[0], &one[1]);
        *fetched += one[0];
        *written += one[1];
    }
}

/* --- looking for a text --- */

struct looking {
    struct disk *disk;
    const char *folder;
    const char *text;
    int found;
};

static leat_status look(void *context, const char *name) {
    struct looking *looking = context;
    char path[PATH_BYTES_MAX];
    CHECK(path_join(path, looking->folder, name, NULL) == LEAT_OK, "%s: a long path", name);
    struct bytes content;
    bytes_init(&content);
    if (disk_get(looking->disk, path, FILE_BYTES_MAX, &content, NULL) == LEAT_OK) {
        looking->found +=
            memmem(content.data, content.size, looking->text, strlen(looking->text)) != NULL;
    } else {
        looking->found += squeeze_find(looking->disk, path, looking->text);
    }
    bytes_deinit(&content);
    return LEAT_OK;
}

int squeeze_find(struct disk *disk, const char *folder, const char *text) {
    struct looking looking = {disk, folder, text, 0};
    disk_list(disk, folder, look, &looking, NULL);
    return looking.found;
}
