/* Checks: any bytes as a manifest are refused, or the manifest written again is the same bytes.
 * Each input is tried as it is, and with its checksum line made right. A good seed is
 * tests/golden/manifest_v1.txt. */
#include "base/hash.h"
#include "state/checkpoint_manifest.h"

#include <inttypes.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHECKSUM_LINE = 22 }; /* "xxh3 ", 16 digits, the end of the line */

static void manifest_check(struct slice text) {
    static struct manifest manifest;
    leat_status status = manifest_decode(text, &manifest, NULL);
    INVARIANT(status == LEAT_OK || status == LEAT_CORRUPT, "status %d", status);
    if (status == LEAT_CORRUPT) {
        return;
    }
    struct bytes again;
    bytes_init(&again);
    manifest_encode(&manifest, &again);
    INVARIANT(slice_equal(text, (struct slice){(const char *)again.data, again.size}),
              "%zu bytes were read, %zu are written", text.size, again.size);
    bytes_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    manifest_check((struct slice){(const char *)data, size});
    if (size >= CHECKSUM_LINE) {
        size_t covered = size - CHECKSUM_LINE;
        struct bytes text;
        bytes_init(&text);
        bytes_append(&text, data, covered);
        bytes_printf(&text, "xxh3 %016" PRIx64 "\n", hash_bytes(data, covered));
        manifest_check((struct slice){(const char *)text.data, text.size});
        bytes_deinit(&text);
    }
    return 0;
}
