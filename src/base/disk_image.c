#include "base/disk_image.h"

#include "base/hash.h"
#include "base/memory.h"

/* --- lists --- */

/* Room for one more element; the list is unchanged when memory is out. */
static bool list_room(void **list, size_t count, size_t *capacity, size_t element_bytes) {
    if (count < *capacity) {
        return true;
    }
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown = memory_resize(*list, wanted * element_bytes);
    if (!grown) {
        return false;
    }
    *list = grown;
    *capacity = wanted;
    return true;
}

static bool inodes_room(struct image *image) {
    void *list = image->inodes;
    bool room =
        list_room(&list, image->inode_count, &image->inode_capacity, sizeof(struct inode *));
    image->inodes = list;
    return room;
}

static bool name_changes_room(struct image *image) {
    void *list = image->changes;
    bool room =
        list_room(&list, image->change_count, &image->change_capacity, sizeof(struct name_change));
    image->changes = list;
    return room;
}

static bool content_changes_room(struct inode *inode) {
    void *list = inode->changes;
    bool room = list_room(&list, inode->change_count, &inode->change_capacity,
                          sizeof(struct content_change));
    inode->changes = list;
    return room;
}

/* --- inodes --- */

static struct inode *inode_new(struct image *image, bool is_folder) {
    if (!inodes_room(image)) {
        return NULL;
    }
    struct inode *inode = memory_zalloc(sizeof(*inode));
    if (inode) {
        inode->is_folder = is_folder;
        image->inodes[image->inode_count++] = inode;
    }
    return inode;
}

static void inode_forget_changes(struct inode *inode) {
    for (size_t i = 0; i < inode->change_count; i++) {
        memory_free(inode->changes[i].data);
    }
    inode->change_count = 0;
}

static void inode_free(struct inode *inode) {
    inode_forget_changes(inode);
    memory_free(inode->changes);
    bytes_deinit(&inode->content);
    bytes_deinit(&inode->durable_content);
    memory_free(inode);
}

leat_status image_init(struct image *image, leat_error *err) {
    memset(image, 0, sizeof(*image));
    image->root = inode_new(image, true);
    if (!image->root) {
        image_deinit(image);
        return error_memory(err, sizeof(*image->root));
    }
    return LEAT_OK;
}

void image_deinit(struct image *image) {
    for (size_t i = 0; i < image->inode_count; i++) {
        inode_free(image->inodes[i]);
    }
    memory_free(image->inodes);
    memory_free(image->changes);
    memset(image, 0, sizeof(*image));
}

struct inode *image_find(const struct image *image, const struct inode *folder, const char *name) {
    for (size_t i = 0; i < image->inode_count; i++) {
        const struct place *place = &image->inodes[i]->current;
        if (place->folder == folder && strcmp(place->name, name) == 0) {
            return image->inodes[i];
        }
    }
    return NULL;
}

bool image_folder_empty(const struct image *image, const struct inode *folder) {
    for (size_t i = 0; i < image->inode_count; i++) {
        if (image->inodes[i]->current.folder == folder) {
            return false;
        }
    }
    return true;
}

bool inode_holds(const struct inode *inode, const struct inode *folder) {
    while (folder && folder != inode) {
        folder = folder->current.folder;
    }
    return folder;
}

/* --- contents --- */

/* Writes into one side; bytes between the old end and `offset` are zero, as in a sparse file. */
static bool content_write(struct bytes *content, const void *data, size_t count, uint64_t offset) {
    if (count == 0) {
        return true;
    }
    size_t end = (size_t)offset + count;
    if (end > content->size) {
        bytes_fill(content, 0, end - content->size);
        if (content->failed) {
            content->failed = false;
            return false;
        }
    }
    memcpy(content->data + offset, data, count);
    return true;
}

static bool content_truncate(struct bytes *content, uint64_t size) {
    if (size > content->size) {
        bytes_fill(content, 0, (size_t)size - content->size);
    } else {
        content->size = (size_t)size;
    }
    bool done = !content->failed;
    content->failed = false;
    return done;
}

static bool content_redo(struct bytes *content, const struct content_change *change) {
    return change->data ? content_write(content, change->data, change->count, change->offset)
                        : content_truncate(content, change->offset);
}

/* Whatever was changed in place is on the disk before anything else happens to the inode. */
static leat_status inode_absorb(struct inode *inode, leat_error *err) {
    if (!inode->exposed) {
        return LEAT_OK;
    }
    bytes_clear(&inode->durable_content);
    bytes_append(&inode->durable_content, inode->content.data, inode->content.size);
    TRY(bytes_status(&inode->durable_content, err));
    inode->exposed = false;
    return LEAT_OK;
}

leat_status inode_write(struct inode *inode, uint64_t step, const void *data, size_t count,
                        uint64_t offset, leat_error *err) {
    if (count == 0) {
        return LEAT_OK;
    }
    TRY(inode_absorb(inode, err));
    uint8_t *copy = memory_alloc(count);
    if (!copy || !content_changes_room(inode) ||
        !content_write(&inode->content, data, count, offset)) {
        memory_free(copy);
        return error_memory(err, count);
    }
    memcpy(copy, data, count);
    inode->changes[inode->change_count++] =
        (struct content_change){.step = step, .offset = offset, .data = copy, .count = count};
    return LEAT_OK;
}

leat_status inode_truncate(struct inode *inode, uint64_t step, uint64_t size, leat_error *err) {
    TRY(inode_absorb(inode, err));
    if (!content_changes_room(inode) || !content_truncate(&inode->content, size)) {
        return error_memory(err, (size_t)size);
    }
    inode->changes[inode->change_count++] = (struct content_change){.step = step, .offset = size};
    return LEAT_OK;
}

leat_status inode_sync(struct inode *inode, leat_error *err) {
    TRY(inode_absorb(inode, err));
    for (size_t i = 0; i < inode->change_count; i++) {
        if (!content_redo(&inode->durable_content, &inode->changes[i])) {
            return error_memory(err, inode->content.size);
        }
    }
    inode_forget_changes(inode);
    return LEAT_OK;
}

void inode_lose(struct inode *inode) {
    inode_forget_changes(inode);
}

leat_status inode_expose(struct inode *inode, leat_error *err) {
    TRY(inode_sync(inode, err));
    inode->exposed = true;
    return LEAT_OK;
}

/* How many bytes of a write reach the disk: all, none, or those before a random sector boundary
 * that lies inside it. A write within one sector is never torn. */
static size_t write_kept_bytes(const struct content_change *change, uint64_t dice) {
    if (dice % 3 == 0) {
        return change->count;
    }
    uint64_t first = (change->offset / SECTOR_BYTES + 1) * SECTOR_BYTES;
    uint64_t end = change->offset + change->count;
    if (dice % 3 == 1 || first >= end) {
        return 0;
    }
    uint64_t boundaries = (end - 1 - first) / SECTOR_BYTES + 1;
    uint64_t torn_at = first + (dice / 3) % boundaries * SECTOR_BYTES;
    return (size_t)(torn_at - change->offset);
}

static leat_status inode_restart(struct inode *inode, uint64_t seed, leat_error *err) {
    TRY(inode_absorb(inode, err));
    for (size_t i = 0; i < inode->change_count; i++) {
        struct content_change change = inode->changes[i];
        uint64_t dice = hash_mix(seed, change.step);
        bool kept = dice % 2 == 0;
        if (change.data) {
            change.count = write_kept_bytes(&change, dice);
            kept = change.count > 0;
        }
        if (kept && !content_redo(&inode->durable_content, &change)) {
            return error_memory(err, inode->content.size);
        }
    }
    inode_forget_changes(inode);
    bytes_clear(&inode->content);
    bytes_append(&inode->content, inode->durable_content.data, inode->durable_content.size);
    inode->locked = false;
    return bytes_status(&inode->content, err);
}

/* --- names --- */

static bool place_equal(const struct place *a, const struct place *b) {
    return a->folder == b->folder && strcmp(a->name, b->name) == 0;
}

static void pending_count(const struct name_change *change, int add) {
    struct inode *inodes[] = {change->inode, change->from.folder, change->to.folder,
                              change->replaced};
    for (size_t i = 0; i < sizeof(inodes) / sizeof(inodes[0]); i++) {
        if (inodes[i]) {
            inodes[i]->pending += add;
        }
    }
}

/* Changes the current side, and remembers it. Room must have been made. */
static void name_change_do(struct image *image, struct name_change change) {
    change.from = change.inode->current;
    if (change.to.folder) {
        change.replaced = image_find(image, change.to.folder, change.to.name);
    }
    if (change.replaced == change.inode) {
        return; /* renamed to itself: POSIX asks for nothing to happen */
    }
    if (change.replaced) {
        change.replaced->current.folder = NULL;
    }
    change.inode->current = change.to;
    pending_count(&change, 1);
    image->changes[image->change_count++] = change;
}

leat_status image_create(struct image *image, uint64_t step, bool is_folder,
                         const struct place *place, struct inode **out, leat_error *err) {
    struct inode *inode = name_changes_room(image) ? inode_new(image, is_folder) : NULL;
    if (!inode) {
        return error_memory(err, sizeof(*inode));
    }
    name_change_do(image, (struct name_change){.step = step, .inode = inode, .to = *place});
    *out = inode;
    return LEAT_OK;
}

leat_status image_move(struct image *image, uint64_t step, struct inode *inode,
                       const struct place *to, leat_error *err) {
    if (!name_changes_room(image)) {
        return error_memory(err, sizeof(struct name_change));
    }
    name_change_do(image, (struct name_change){.step = step, .inode = inode, .to = *to});
    return LEAT_OK;
}

leat_status image_remove(struct image *image, uint64_t step, struct inode *inode, leat_error *err) {
    if (!name_changes_room(image)) {
        return error_memory(err, sizeof(struct name_change));
    }
    name_change_do(image, (struct name_change){.step = step, .inode = inode});
    return LEAT_OK;
}

static struct inode *durable_find(const struct image *image, const struct place *place) {
    for (size_t i = 0; i < image->inode_count; i++) {
        if (place_equal(&image->inodes[i]->durable, place)) {
            return image->inodes[i];
        }
    }
    return NULL;
}

static bool durable_holds(const struct inode *inode, const struct inode *folder) {
    while (folder && folder != inode) {
        folder = folder->durable.folder;
    }
    return folder;
}

/* Does a name change on the durable side. Where changes before it were dropped it may meet a name
 * that it never replaced, or a folder that is inside of what it moves: then it is dropped as well,
 * so that no file is lost that nobody removed or replaced. */
static void name_change_redo(struct image *image, const struct name_change *change) {
    struct inode *inode = change->inode;
    if (!change->to.folder) {
        if (place_equal(&inode->durable, &change->from)) {
            inode->durable.folder = NULL;
        }
        return;
    }
    struct inode *there = durable_find(image, &change->to);
    if ((there && there != change->replaced && there != inode) ||
        durable_holds(inode, change->to.folder)) {
        return;
    }
    if (there) {
        there->durable.folder = NULL;
    }
    inode->durable = change->to;
}

static bool change_touches(const struct name_change *change, const struct inode *folder) {
    return change->from.folder == folder || change->to.folder == folder;
}

/* Whether a later change of the same inode is made durable with `folder`: it says where the inode
 * is, whatever becomes of the change at `index`. */
static bool change_overtaken(const struct image *image, size_t index, const struct inode *folder) {
    for (size_t i = index + 1; i < image->change_count; i++) {
        if (image->changes[i].inode == image->changes[index].inode &&
            change_touches(&image->changes[i], folder)) {
            return true;
        }
    }
    return false;
}

void image_sync_folder(struct image *image, const struct inode *folder) {
    size_t kept = 0;
    for (size_t i = 0; i < image->change_count; i++) {
        struct name_change change = image->changes[i];
        bool touches = change_touches(&change, folder);
        if (touches) {
            name_change_redo(image, &change);
        }
        if (touches || change_overtaken(image, i, folder)) {
            pending_count(&change, -1);
        } else {
            image->changes[kept++] = change;
        }
    }
    image->change_count = kept;
    image_sweep(image);
}

leat_status image_restart(struct image *image, uint64_t seed, leat_error *err) {
    for (size_t i = 0; i < image->change_count; i++) {
        const struct name_change *change = &image->changes[i];
        if (hash_mix(seed, change->step) % 2 == 0) {
            name_change_redo(image, change);
        }
        pending_count(change, -1);
    }
    image->change_count = 0;
    for (size_t i = 0; i < image->inode_count; i++) {
        image->inodes[i]->current = image->inodes[i]->durable;
        TRY(inode_restart(image->inodes[i], seed, err));
    }
    image_sweep(image);
    return LEAT_OK;
}

/* --- giving back --- */

static bool inode_dead(const struct image *image, const struct inode *inode) {
    return inode != image->root && !inode->current.folder && !inode->durable.folder &&
           inode->pending == 0 && inode->handles == 0;
}

/* Takes the names away from inodes in a folder that is dead itself. */
static bool orphans_unname(struct image *image) {
    bool any = false;
    for (size_t i = 0; i < image->inode_count; i++) {
        struct place *places[] = {&image->inodes[i]->current, &image->inodes[i]->durable};
        for (int k = 0; k < 2; k++) {
            if (places[k]->folder && inode_dead(image, places[k]->folder)) {
                places[k]->folder = NULL;
                any = true;
            }
        }
    }
    return any;
}

void image_sweep(struct image *image) {
    while (orphans_unname(image)) {
    }
    size_t kept = 0;
    for (size_t i = 0; i < image->inode_count; i++) {
        struct inode *inode = image->inodes[i];
        if (inode_dead(image, inode)) {
            inode_free(inode);
        } else {
            image->inodes[kept++] = inode;
        }
    }
    image->inode_count = kept;
}
