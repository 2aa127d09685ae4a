#include "flow/operator_internal.h"

leat_status input_init(struct operator_input *input, const struct input_spec *spec,
                       leat_error *err) {
    *input = (struct operator_input){.spec = spec, .schema = spec->schema()};
    TRY(arrow_export_schema(input->schema, &input->plain, err));
    return arrow_bind(input->schema, &input->plain, &input->binding, err);
}

void input_deinit(struct operator_input *input) {
    if (input->plain.release) {
        input->plain.release(&input->plain);
    }
    builder_destroy(input->copy);
    *input = (struct operator_input){0};
}

static leat_status read_copy(struct operator_input *input, const struct ArrowArray *array,
                             struct batch *out, leat_error *err) {
    if (!input->copy) {
        TRY(builder_create(input->schema, &input->copy, err));
    }
    builder_clear(input->copy);
    leat_status status = arrow_copy(input->schema, &input->binding, array, input->copy, err);
    if (status >= 0) {
        status = builder_finish(input->copy, out, err);
    }
    /* LEAT_FULL is an operator's that has failed; this batch is only too large. */
    return status == LEAT_FULL ? error_in(err, LEAT_INVALID, "%s", input->schema->name) : status;
}

/* What fits is pointed into. What does not may still be taken by a copy, and where that is not so
 * either, the copy finds the row that is to blame. */
leat_status input_read(struct operator_input *input, const struct ArrowArray *array,
                       struct batch *out, leat_error *err) {
    if (!input->bound &&
        arrow_import_batch(input->schema, &input->plain, array, out, NULL) == LEAT_OK) {
        return LEAT_OK;
    }
    return read_copy(input, array, out, err);
}
