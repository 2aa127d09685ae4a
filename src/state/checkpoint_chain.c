/* What a checkpoint holds, in memory: a directory for each part of pages. */
#include "base/memory.h"
#include "state/checkpoint_writer.h"

leat_status checkpoint_chain_create(struct checkpoint_chain **out, leat_error *err) {
    *out = memory_zalloc(sizeof(**out));
    return *out ? LEAT_OK : error_memory(err, sizeof(**out));
}

void pages_directory_destroy(struct pages_directory *directory) {
    if (directory) {
        bytes_deinit(&directory->entries);
        memory_free(directory);
    }
}

void checkpoint_chain_clear(struct checkpoint_chain *chain) {
    for (int i = 0; i < chain->count; i++) {
        pages_directory_destroy(chain->parts[i]);
    }
    chain->count = 0;
}

void checkpoint_chain_destroy(struct checkpoint_chain *chain) {
    if (chain) {
        checkpoint_chain_clear(chain);
        memory_free(chain);
    }
}

struct pages_directory *chain_find(const struct checkpoint_chain *chain, const char *name) {
    for (int i = 0; i < chain->count; i++) {
        if (strcmp(chain->parts[i]->name, name) == 0) {
            return chain->parts[i];
        }
    }
    return NULL;
}

uint64_t checkpoint_chain_version(const struct checkpoint_chain *chain, const char *name) {
    const struct pages_directory *part = chain_find(chain, name);
    return part ? part->version : 0;
}
