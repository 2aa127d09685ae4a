/* Checks: any bytes as a page are refused in words, or the state made of them holds the records
 * that they spell and gives a page that makes the same page again. Each input is tried as it is,
 * with its head made right, and with places and hashes of its records made right too. */
#include "state/state_group.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBER = 3, VERSION = 5, BEYOND = 512 /* an id may end behind the page */ };

struct page_kept {
    uint32_t bytes;
    int count;
    _Alignas(64) char data[PAGE_BYTES_MAX + BEYOND];
};

static leat_status page_keep(void *context, const struct state_page_image *image, leat_error *err) {
    (void)err;
    struct page_kept *kept = context;
    INVARIANT(image->number == NUMBER && image->version == VERSION, "page %u of version %llu",
              image->number, (unsigned long long)image->version);
    kept->bytes = image->bytes;
    memcpy(kept->data, image->data, image->bytes);
    kept->count++;
    return LEAT_OK;
}

/* False: refused. */
static bool page_turn(const void *data, uint32_t bytes, struct page_kept *out) {
    struct state_options options = {.name = "fuzz", .groups = 1};
    struct state_page_image image = {
        .number = NUMBER, .version = VERSION, .data = data, .bytes = bytes};
    struct state *state;
    leat_error err = {0};
    INVARIANT(state_open(&options, &state, NULL) == LEAT_OK, "no memory");
    leat_status status = state_restore_page(state, &image, &err);
    INVARIANT(status == LEAT_OK || (status == LEAT_CORRUPT && err.message[0]), "status %d", status);
    if (status == LEAT_OK) {
        struct state_snapshot *snapshot;
        uint64_t digest;
        out->count = 0;
        INVARIANT(state_restore_end(state, VERSION, NULL) == LEAT_OK, "version");
        INVARIANT(state_digest(state, &digest, NULL) == LEAT_OK, "no memory");
        INVARIANT(state_freeze(state, &snapshot, NULL) == LEAT_OK, "no memory");
        INVARIANT(state_snapshot_pages(snapshot, 0, 0, page_keep, out, NULL) == LEAT_OK, "pages");
        INVARIANT(out->count == 1, "%d pages", out->count);
        state_snapshot_release(snapshot);
    }
    state_close(state);
    return status == LEAT_OK;
}

/* Slot by slot the same, but for the links of free ones. */
static void slots_compare(const void *left, const void *right) {
    for (uint32_t i = 0; i < state_page_slots(left); i++) {
        const struct slot *a = state_page_slot(left, i);
        const struct slot *b = state_page_slot(right, i);
        INVARIANT((a != NULL) == (b != NULL), "slot %u comes or goes", i);
        INVARIANT(!a || memcmp(a, b, slot_data_offset(a->id_size) + a->size) == 0,
                  "slot %u is another one", i);
    }
}

static void page_check(const void *data, uint32_t bytes) {
    static struct page_kept first;
    static struct page_kept second;
    if (page_turn(data, bytes, &first)) {
        INVARIANT(first.bytes == bytes && memcmp(first.data, data, PAGE_HEAD) == 0, "%u bytes",
                  first.bytes);
        slots_compare(data, first.data);
        INVARIANT(page_turn(first.data, bytes, &second), "its own page is refused");
        INVARIANT(second.bytes == bytes && memcmp(first.data, second.data, bytes) == 0,
                  "the same page is other bytes");
    }
}

static void head_mend(void *data, uint32_t bytes) {
    struct page_head head;
    memcpy(&head, data, sizeof(head));
    memset(data, 0, PAGE_HEAD);
    memcpy(head.magic, "LPAG", sizeof(head.magic));
    head.version = 1;
    head.class %= STATE_CLASSES;
    head.bytes = bytes;
    head.group = 0;
    head.number = NUMBER;
    memcpy(data, &head, sizeof(head));
}

static void slots_mend(void *data) {
    for (uint32_t i = 0; i < state_page_slots(data); i++) {
        struct slot *slot = (struct slot *)state_page_slot(data, i);
        if (slot) {
            slot->place = (uint16_t)(((char *)slot - (char *)data) / PLACE_UNIT);
            slot->page = NUMBER;
            slot->hash = hash_slice(slot_id(slot));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static _Alignas(64) char page[PAGE_BYTES_MAX + BEYOND];
    uint32_t bytes = (uint32_t)(size < PAGE_BYTES_MAX ? size : PAGE_BYTES_MAX);
    memset(page, 0, sizeof(page));
    memcpy(page, data, bytes);
    page_check(page, bytes);
    bytes &= ~7u;
    if (bytes > PAGE_HEAD) {
        head_mend(page, bytes);
        page_check(page, bytes);
        slots_mend(page);
        page_check(page, bytes);
    }
    return 0;
}
