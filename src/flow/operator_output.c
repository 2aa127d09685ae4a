#include "base/memory.h"
#include "flow/operator_internal.h"

/* A batch ends at LEAT_PULL_ROWS_MAX rows, or where a look now and then finds this many bytes. */
enum { OUTPUT_BYTES = 4 << 20, OUTPUT_LOOK_ROWS = 64 };

struct output_batch {
    struct builder *builder;
    struct output_batch *next;
};

static void batch_destroy(void *owner) {
    struct output_batch *batch = owner;
    if (batch) {
        builder_destroy(batch->builder);
        memory_free(batch);
    }
}

void output_init(struct operator_output *output, const struct schema *schema) {
    *output = (struct operator_output){.schema = schema};
}

void output_deinit(struct operator_output *output) {
    for (struct output_batch *batch = output->oldest; batch;) {
        struct output_batch *next = batch->next;
        batch_destroy(batch);
        batch = next;
    }
    batch_destroy(output->open);
    output_init(output, output->schema);
}

struct builder *output_begin(struct operator_output *output) {
    if (!output->open) {
        struct output_batch *batch = memory_zalloc(sizeof(*batch));
        if (!batch || builder_create(output->schema, &batch->builder, NULL) < 0) {
            memory_free(batch);
            output->failed = true;
            return NULL;
        }
        output->open = batch;
    }
    return output->open->builder;
}

static void close_open(struct operator_output *output) {
    if (output->newest) {
        output->newest->next = output->open;
    } else {
        output->oldest = output->open;
    }
    output->newest = output->open;
    output->open = NULL;
    output->waiting++;
}

void output_end(struct operator_output *output) {
    output->failed = output->failed || builder_status(output->open->builder) < 0;
    int64_t rows = builder_rows(output->open->builder);
    if (rows >= LEAT_PULL_ROWS_MAX ||
        (rows % OUTPUT_LOOK_ROWS == 0 && builder_bytes(output->open->builder) >= OUTPUT_BYTES)) {
        close_open(output);
    }
}

bool output_empty(const struct operator_output *output) {
    return !output->oldest && (!output->open || builder_rows(output->open->builder) == 0);
}

leat_status output_pull(struct operator_output *output, struct ArrowArray *out, leat_error *err) {
    if (output_empty(output)) {
        return LEAT_AGAIN;
    }
    if (!output->oldest) {
        close_open(output);
    }
    struct output_batch *batch = output->oldest;
    struct batch view;
    leat_status status = builder_finish(batch->builder, &view, err);
    if (status < 0) {
        output->failed = true; /* what the builder could not take is lost */
        return status;
    }
    TRY(arrow_export_batch(&view, batch_destroy, batch, out, err));
    output->oldest = batch->next;
    if (!output->oldest) {
        output->newest = NULL;
    }
    output->waiting--;
    return LEAT_OK;
}
