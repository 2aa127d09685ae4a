/* Whatever is posted: no crash; the reader of plain events and the general one give the same; and
 * what is accepted, written back and posted again is accepted again and is the same. */
#include "engine/intake_compare.h"
#include "log/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct intake *intake_new(void) {
    static struct config *config;
    leat_error err;
    if (!config) {
        leat_status status = config_parse((struct slice){"", 0}, "defaults", &config, &err);
        INVARIANT(status == LEAT_OK, "%s", err.message);
    }
    struct intake *intake;
    leat_status status = intake_create(config, &intake, &err);
    INVARIANT(status == LEAT_OK, "%s", err.message);
    return intake;
}

static void write_rows(const struct batch *batch, struct bytes *out) {
    bytes_clear(out);
    for (int64_t row = 0; row < batch->rows; row++) {
        event_write_json(batch, row, out);
        bytes_put_u8(out, '\n');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct intake *intake, *general;
    static struct bytes first, second;
    if (!intake) {
        intake = intake_new();
        general = intake_new();
        intake_general_only(general);
    }
    struct intake_result result;
    leat_error err;
    intake_compare(intake, general, (struct slice){(const char *)data, size});
    if (intake_read(intake, (struct slice){(const char *)data, size}, &result, &err) < 0) {
        return 0;
    }
    INVARIANT(result.batch.rows == result.accepted, "%lld", (long long)result.accepted);
    INVARIANT(result.described <= result.rejected, "%d", result.described);
    INVARIANT(batch_check(&result.batch, &err) == LEAT_OK, "%s", err.message);
    int64_t accepted = result.accepted;
    write_rows(&result.batch, &first);
    struct slice text = {(const char *)first.data, first.size};
    INVARIANT(intake_read(intake, text, &result, &err) == LEAT_OK, "%s", err.message);
    INVARIANT(result.accepted == accepted && result.rejected == 0, "%s",
              result.described ? result.rejections[0].words : "");
    write_rows(&result.batch, &second);
    INVARIANT(first.size == second.size &&
                  (first.size == 0 || memcmp(first.data, second.data, first.size) == 0),
              "%zu and %zu bytes", first.size, second.size);
    return 0;
}
