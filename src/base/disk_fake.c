/* The calls of the simulated disk: paths, handles, and which step fails. What it holds, and what a
 * restart makes of it, is disk_image.c. */
#include "base/disk_fake.h"

#include "base/disk_image.h"
#include "base/memory.h"
#include "base/thread.h"

#include <errno.h>

struct disk_fake {
    struct disk disk; /* its context is the fake */
    struct mutex mutex;
    struct image image;
    uint64_t seed;
    uint64_t step; /* of the last call */
    uint64_t fail_step;
    uint64_t cut_step;
    uint64_t power;     /* restarts so far: handles of another number are dead */
    uint64_t bytes_max; /* 0: no bound */
    enum disk_fault fault;
    bool is_cut;
    bool in_hook;
    void (*hook)(void *context, const char *verb);
    void *hook_context;
};

struct fake_file {
    struct file file;
    struct inode *inode;
    uint64_t power;
    bool writable;
    bool holds_lock;
    char path[]; /* for messages */
};

/* --- steps --- */

/* A call that has begun, with the mutex held until step_end. */
struct step {
    struct disk_fake *fake;
    const char *path;
    const char *verb;
    leat_error *err;
    uint64_t number;
    leat_status status; /* what the call answers, unless its work fails */
    bool works;         /* the work is to be done, whatever the call answers */
    bool late;          /* the work counts as done, whatever the call answers */
    bool half;          /* of a write, only the first half */
    bool loses;         /* a sync gives up what it was to save */
};

static void fake_hook(struct disk_fake *fake, const char *verb) {
    if (fake->hook && !fake->in_hook) {
        fake->in_hook = true;
        fake->hook(fake->hook_context, verb);
        fake->in_hook = false;
    }
}

/* The call that a test wanted to fail. */
static void step_fault(struct step *step, bool is_write) {
    enum disk_fault fault = step->fake->fault;
    bool full = is_write && (fault == DISK_FAULT_FULL || fault == DISK_FAULT_SHORT);
    step->status = disk_error(step->err, step->path, step->verb, full ? ENOSPC : EIO);
    step->half = full && fault == DISK_FAULT_SHORT;
    step->loses = fault == DISK_FAULT_LOST;
    step->late = fault == DISK_FAULT_LATE;
    step->works = step->half || step->late;
    step->err = NULL;
}

static struct step step_begin(struct disk *disk, const char *path, const char *verb, bool is_write,
                              leat_error *err) {
    struct disk_fake *fake = disk->context;
    fake_hook(fake, verb);
    mutex_lock(&fake->mutex);
    memory_spare(true);
    struct step step = {.fake = fake, .path = path, .verb = verb, .err = err, .works = true};
    step.number = ++fake->step;
    if (fake->is_cut) {
        step.works = false;
        step.status = disk_error(err, path, verb, EIO);
    } else if (step.number == fake->cut_step) {
        fake->is_cut = true;
        step.status = disk_error(err, path, verb, EIO);
        step.err = NULL;
    } else if (step.number == fake->fail_step) {
        step_fault(&step, is_write);
    }
    return step;
}

/* A call on a handle; handles of before a restart do nothing any more. */
static struct step step_begin_file(struct file *file, const char *verb, bool is_write,
                                   leat_error *err) {
    const struct fake_file *fake_file = (const struct fake_file *)file;
    struct step step = step_begin(file->disk, fake_file->path, verb, is_write, err);
    bool dead = fake_file->power != step.fake->power;
    if (step.works && (dead || (is_write && !fake_file->writable))) {
        step.works = false;
        step.status = disk_error(step.err, step.path, verb, EBADF);
    }
    return step;
}

static leat_status step_end(const struct step *step, leat_status work) {
    memory_spare(false);
    mutex_unlock(&step->fake->mutex);
    return step->status != LEAT_OK ? step->status : work;
}

/* The work failed for a reason of POSIX. */
static leat_status step_fail(const struct step *step, int code) {
    return disk_error(step->err, step->path, step->verb, code);
}

/* --- paths --- */

/* The place that a path names, and what is there. The root has an inode and no place. */
struct target {
    struct place place;
    struct inode *inode; /* NULL: the name is free */
};

/* Goes one component further down. 0 or the system's error. */
static int target_enter(const struct image *image, struct target *target, const char *name,
                        size_t size) {
    if (!target->inode) {
        return ENOENT;
    }
    if (!target->inode->is_folder) {
        return ENOTDIR;
    }
    if (size >= NAME_BYTES_MAX) {
        return ENAMETOOLONG;
    }
    target->place.folder = target->inode;
    memcpy(target->place.name, name, size);
    target->place.name[size] = '\0';
    target->inode = image_find(image, target->place.folder, target->place.name);
    return 0;
}

static int target_of(const struct image *image, const char *path, struct target *out) {
    *out = (struct target){.inode = image->root};
    while (*path) {
        size_t size = strcspn(path, "/");
        bool stays = size == 0 || (size == 1 && path[0] == '.');
        int code = stays ? 0 : target_enter(image, out, path, size);
        if (code != 0) {
            return code;
        }
        path += size;
        path += *path == '/';
    }
    return 0;
}

/* --- files --- */

static leat_status fake_handle(const struct step *step, struct inode *inode, bool writable,
                               struct file **out) {
    size_t path_bytes = strlen(step->path) + 1;
    struct fake_file *file = memory_zalloc(sizeof(*file) + path_bytes);
    if (!file) {
        return error_memory(step->err, sizeof(*file) + path_bytes);
    }
    file->file.disk = &step->fake->disk;
    file->inode = inode;
    file->power = step->fake->power;
    file->writable = writable;
    memcpy(file->path, step->path, path_bytes);
    inode->handles++;
    *out = &file->file;
    return LEAT_OK;
}

static leat_status open_work(const struct step *step, enum file_mode mode, struct file **out) {
    struct image *image = &step->fake->image;
    struct target target;
    int code = target_of(image, step->path, &target);
    if (code == ENOENT && mode == FILE_READ) {
        return LEAT_NOT_FOUND;
    }
    if (code != 0) {
        return step_fail(step, code);
    }
    if (target.inode && (mode == FILE_CREATE || mode == FILE_DIRECT)) {
        return error_set(step->err, LEAT_CONFLICT, "%s: could not create: it is there already",
                         step->path);
    }
    if (!target.inode && mode == FILE_READ) {
        return LEAT_NOT_FOUND;
    }
    if (!target.inode) {
        TRY(image_create(image, step->number, false, &target.place, &target.inode, step->err));
    }
    if (target.inode->is_folder) {
        return step_fail(step, EISDIR);
    }
    return step->status != LEAT_OK ? step->status
                                   : fake_handle(step, target.inode, mode != FILE_READ, out);
}

static leat_status fake_open(struct disk *disk, const char *path, enum file_mode mode,
                             struct file **out, leat_error *err) {
    struct step step = step_begin(disk, path, mode == FILE_READ ? "open" : "create", false, err);
    return step_end(&step, step.works ? open_work(&step, mode, out) : step.status);
}

static void fake_close(struct file *file) {
    struct fake_file *fake_file = (struct fake_file *)file;
    struct disk_fake *fake = file->disk->context;
    mutex_lock(&fake->mutex);
    fake_file->inode->handles--;
    if (fake_file->holds_lock && fake_file->power == fake->power) {
        fake_file->inode->locked = false;
    }
    image_sweep(&fake->image);
    mutex_unlock(&fake->mutex);
    memory_free(fake_file);
}

static leat_status fake_read(struct file *file, void *data, size_t count, uint64_t offset,
                             size_t *got, leat_error *err) {
    struct step step = step_begin_file(file, "read", false, err);
    const struct bytes *content = &((struct fake_file *)file)->inode->content;
    if (step.works && step.status == LEAT_OK && offset < content->size && count > 0) {
        size_t left = content->size - (size_t)offset;
        *got = count < left ? count : left;
        memcpy(data, content->data + offset, *got);
    }
    return step_end(&step, LEAT_OK);
}

static uint64_t fake_bytes(const struct image *image) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < image->inode_count; i++) {
        bytes += image->inodes[i]->content.size;
    }
    return bytes;
}

/* How much of a write is stored: half of it when it is to fail so, and what fits on the disk. */
static size_t write_room(const struct step *step, const struct inode *inode, size_t count,
                         uint64_t offset) {
    size_t wanted = step->half ? count / 2 : count;
    uint64_t end = inode->content.size;
    if (step->fake->bytes_max == 0 || offset + wanted <= end) {
        return wanted;
    }
    uint64_t used = fake_bytes(&step->fake->image);
    uint64_t room = step->fake->bytes_max > used ? step->fake->bytes_max - used : 0;
    uint64_t stored_end = end + room > offset ? end + room : offset;
    return stored_end - offset < wanted ? (size_t)(stored_end - offset) : wanted;
}

static leat_status fake_write(struct file *file, const void *data, size_t count, uint64_t offset,
                              leat_error *err) {
    struct step step = step_begin_file(file, "write", true, err);
    leat_status work = LEAT_OK;
    if (step.works && (offset > INT64_MAX || count > INT64_MAX - offset)) {
        work = step_fail(&step, EFBIG);
    } else if (step.works) {
        struct inode *inode = ((struct fake_file *)file)->inode;
        size_t room = write_room(&step, inode, count, offset);
        work = inode_write(inode, step.number, data, room, offset, step.err);
        if (work == LEAT_OK && room < count) {
            work = step_fail(&step, ENOSPC);
        }
    }
    return step_end(&step, work);
}

static leat_status fake_sync(struct file *file, leat_error *err) {
    struct step step = step_begin_file(file, "sync", false, err);
    struct inode *inode = ((struct fake_file *)file)->inode;
    leat_status work = LEAT_OK;
    if (step.loses) {
        inode_lose(inode);
    } else if (step.works && (step.status == LEAT_OK || step.late)) {
        work = inode_sync(inode, step.err);
    }
    return step_end(&step, work);
}

static leat_status fake_truncate(struct file *file, uint64_t size, leat_error *err) {
    struct step step = step_begin_file(file, "truncate", true, err);
    leat_status work = LEAT_OK;
    if (step.works && size > INT64_MAX) {
        work = step_fail(&step, EFBIG);
    } else if (step.works) {
        work = inode_truncate(((struct fake_file *)file)->inode, step.number, size, step.err);
    }
    return step_end(&step, work);
}

static leat_status fake_size(struct file *file, uint64_t *out, leat_error *err) {
    struct step step = step_begin_file(file, "size", false, err);
    if (step.works && step.status == LEAT_OK) {
        *out = ((struct fake_file *)file)->inode->content.size;
    }
    return step_end(&step, LEAT_OK);
}

/* --- names --- */

/* What POSIX says against a rename; 0: nothing. */
static int rename_code(const struct image *image, const struct target *from,
                       const struct target *to) {
    if (!from->inode) {
        return ENOENT;
    }
    if (!from->place.folder || !to->place.folder) {
        return EBUSY;
    }
    if (inode_holds(from->inode, to->place.folder)) {
        return EINVAL;
    }
    if (!to->inode || to->inode == from->inode) {
        return 0;
    }
    if (to->inode->is_folder != from->inode->is_folder) {
        return to->inode->is_folder ? EISDIR : ENOTDIR;
    }
    return to->inode->is_folder && !image_folder_empty(image, to->inode) ? ENOTEMPTY : 0;
}

static leat_status rename_work(const struct step *step, const char *to_path) {
    struct image *image = &step->fake->image;
    struct target from;
    struct target to;
    int code = target_of(image, step->path, &from);
    code = code ? code : target_of(image, to_path, &to);
    code = code ? code : rename_code(image, &from, &to);
    if (code != 0) {
        return step_fail(step, code);
    }
    return image_move(image, step->number, from.inode, &to.place, step->err);
}

static leat_status fake_rename(struct disk *disk, const char *from, const char *to,
                               leat_error *err) {
    struct step step = step_begin(disk, from, "rename", false, err);
    return step_end(&step, step.works ? rename_work(&step, to) : step.status);
}

static leat_status remove_work(const struct step *step) {
    struct image *image = &step->fake->image;
    struct target target;
    int code = target_of(image, step->path, &target);
    if (code == ENOENT || (code == 0 && !target.inode)) {
        return LEAT_NOT_FOUND;
    }
    if (code != 0) {
        return step_fail(step, code);
    }
    if (target.inode->is_folder) {
        return error_set(step->err, LEAT_CONFLICT, "%s: could not remove: it is a folder",
                         step->path);
    }
    return image_remove(image, step->number, target.inode, step->err);
}

static leat_status fake_remove(struct disk *disk, const char *path, leat_error *err) {
    struct step step = step_begin(disk, path, "remove", false, err);
    return step_end(&step, step.works ? remove_work(&step) : step.status);
}

static leat_status make_folder_work(const struct step *step) {
    struct image *image = &step->fake->image;
    struct target target;
    int code = target_of(image, step->path, &target);
    if (code == 0 && target.inode) {
        code = target.inode->is_folder ? 0 : EEXIST;
        return code ? step_fail(step, code) : LEAT_OK;
    }
    if (code != 0) {
        return step_fail(step, code);
    }
    return image_create(image, step->number, true, &target.place, &target.inode, step->err);
}

static leat_status fake_make_folder(struct disk *disk, const char *path, leat_error *err) {
    struct step step = step_begin(disk, path, "make a folder", false, err);
    return step_end(&step, step.works ? make_folder_work(&step) : step.status);
}

/* The folder of a path; NULL with the system's error in `*code`. */
static struct inode *folder_of(const struct step *step, int *code) {
    struct target target;
    *code = target_of(&step->fake->image, step->path, &target);
    if (*code == 0 && !target.inode) {
        *code = ENOENT;
    } else if (*code == 0 && !target.inode->is_folder) {
        *code = ENOTDIR;
    }
    return *code == 0 ? target.inode : NULL;
}

static leat_status remove_folder_work(const struct step *step) {
    struct image *image = &step->fake->image;
    int code;
    struct inode *folder = folder_of(step, &code);
    if (!folder) {
        return step_fail(step, code);
    }
    if (folder == image->root || !image_folder_empty(image, folder)) {
        return step_fail(step, folder == image->root ? EBUSY : ENOTEMPTY);
    }
    return image_remove(image, step->number, folder, step->err);
}

static leat_status fake_remove_folder(struct disk *disk, const char *path, leat_error *err) {
    struct step step = step_begin(disk, path, "remove the folder", false, err);
    return step_end(&step, step.works ? remove_folder_work(&step) : step.status);
}

static leat_status sync_folder_work(const struct step *step) {
    int code;
    const struct inode *folder = folder_of(step, &code);
    if (!folder) {
        return step_fail(step, code);
    }
    if (step->status == LEAT_OK || step->late) {
        image_sync_folder(&step->fake->image, folder);
    }
    return LEAT_OK;
}

static leat_status fake_sync_folder(struct disk *disk, const char *path, leat_error *err) {
    struct step step = step_begin(disk, path, "sync the folder", false, err);
    return step_end(&step, step.works ? sync_folder_work(&step) : step.status);
}

/* --- listing --- */

static int name_compare(const void *a, const void *b) {
    return strcmp(a, b);
}

/* Copies the names into `names`, NAME_BYTES_MAX each, sorted: the caller's function is called
 * without the mutex, so that it may use the disk. */
static leat_status list_work(const struct step *step, struct bytes *names) {
    int code;
    const struct inode *folder = folder_of(step, &code);
    if (!folder) {
        return code == ENOENT ? LEAT_NOT_FOUND : step_fail(step, code);
    }
    const struct image *image = &step->fake->image;
    for (size_t i = 0; i < image->inode_count; i++) {
        if (image->inodes[i]->current.folder == folder) {
            bytes_append(names, image->inodes[i]->current.name, NAME_BYTES_MAX);
        }
    }
    if (names->size > 0) {
        qsort(names->data, names->size / NAME_BYTES_MAX, NAME_BYTES_MAX, name_compare);
    }
    return bytes_status(names, step->err);
}

static leat_status fake_list(struct disk *disk, const char *path,
                             leat_status (*each)(void *context, const char *name), void *context,
                             leat_error *err) {
    struct bytes names;
    bytes_init(&names);
    struct step step = step_begin(disk, path, "list", false, err);
    leat_status status = step_end(&step, step.works ? list_work(&step, &names) : step.status);
    for (size_t at = 0; status == LEAT_OK && at < names.size; at += NAME_BYTES_MAX) {
        leat_status asked = each(context, (const char *)names.data + at);
        status = asked < 0 ? asked : LEAT_OK;
    }
    bytes_deinit(&names);
    return status;
}

/* --- locks --- */

static leat_status lock_work(const struct step *step, struct file **out) {
    TRY(open_work(step, FILE_WRITE, out));
    struct fake_file *file = (struct fake_file *)*out;
    if (!file->inode->locked) {
        file->inode->locked = true;
        file->holds_lock = true;
        return LEAT_OK;
    }
    file->inode->handles--;
    memory_free(file);
    *out = NULL;
    return error_set(step->err, LEAT_CONFLICT,
                     "%s: could not lock: another process uses this folder", step->path);
}

static leat_status fake_lock(struct disk *disk, const char *path, struct file **out,
                             leat_error *err) {
    struct step step = step_begin(disk, path, "lock", false, err);
    return step_end(&step, step.works ? lock_work(&step, out) : step.status);
}

/* --- the fake itself --- */

static const struct disk_calls fake_calls = {
    .open = fake_open,
    .close = fake_close,
    .read = fake_read,
    .write = fake_write,
    .sync = fake_sync,
    .truncate = fake_truncate,
    .size = fake_size,
    .rename = fake_rename,
    .remove = fake_remove,
    .make_folder = fake_make_folder,
    .remove_folder = fake_remove_folder,
    .sync_folder = fake_sync_folder,
    .list = fake_list,
    .lock = fake_lock,
};

leat_status disk_fake_create(uint64_t seed, struct disk_fake **out, leat_error *err) {
    struct disk_fake *fake = memory_zalloc(sizeof(*fake));
    if (!fake) {
        return error_memory(err, sizeof(*fake));
    }
    leat_status status = image_init(&fake->image, err);
    if (status < 0) {
        memory_free(fake);
        return status;
    }
    mutex_init(&fake->mutex);
    fake->seed = seed;
    fake->disk = (struct disk){.calls = &fake_calls, .context = fake};
    *out = fake;
    return LEAT_OK;
}

void disk_fake_destroy(struct disk_fake *fake) {
    if (fake) {
        image_deinit(&fake->image);
        mutex_deinit(&fake->mutex);
        memory_free(fake);
    }
}

struct disk *disk_fake_disk(struct disk_fake *fake) {
    return &fake->disk;
}

void disk_fake_fail_at(struct disk_fake *fake, uint64_t step, enum disk_fault fault) {
    mutex_lock(&fake->mutex);
    fake->fail_step = step;
    fake->fault = fault;
    mutex_unlock(&fake->mutex);
}

void disk_fake_bound(struct disk_fake *fake, uint64_t bytes) {
    mutex_lock(&fake->mutex);
    fake->bytes_max = bytes;
    mutex_unlock(&fake->mutex);
}

uint64_t disk_fake_bytes(const struct disk_fake *fake) {
    struct mutex *mutex = (struct mutex *)&fake->mutex;
    mutex_lock(mutex);
    uint64_t bytes = fake_bytes(&fake->image);
    mutex_unlock(mutex);
    return bytes;
}

void disk_fake_on_step(struct disk_fake *fake, void (*hook)(void *context, const char *verb),
                       void *context) {
    fake->hook = hook;
    fake->hook_context = context;
}

void disk_fake_cut_at(struct disk_fake *fake, uint64_t step) {
    mutex_lock(&fake->mutex);
    fake->cut_step = step;
    mutex_unlock(&fake->mutex);
}

uint64_t disk_fake_steps(const struct disk_fake *fake) {
    struct mutex *mutex = (struct mutex *)&fake->mutex; /* locking is no change to the caller */
    mutex_lock(mutex);
    uint64_t steps = fake->step;
    mutex_unlock(mutex);
    return steps;
}

bool disk_fake_is_cut(const struct disk_fake *fake) {
    struct mutex *mutex = (struct mutex *)&fake->mutex;
    mutex_lock(mutex);
    bool is_cut = fake->is_cut;
    mutex_unlock(mutex);
    return is_cut;
}

void disk_fake_restart(struct disk_fake *fake) {
    leat_error err;
    mutex_lock(&fake->mutex);
    leat_status status = image_restart(&fake->image, fake->seed, &err);
    INVARIANT(status == LEAT_OK, "%s", err.message);
    fake->is_cut = false;
    fake->power++;
    mutex_unlock(&fake->mutex);
}

void disk_fake_revive(struct disk_fake *fake) {
    mutex_lock(&fake->mutex);
    for (size_t i = 0; i < fake->image.inode_count; i++) {
        fake->image.inodes[i]->locked = false;
    }
    fake->is_cut = false;
    fake->power++;
    mutex_unlock(&fake->mutex);
}

/* --- damage --- */

uint8_t *disk_fake_content(struct disk_fake *fake, const char *path, size_t *size) {
    struct target target;
    uint8_t *content = NULL;
    *size = 0;
    mutex_lock(&fake->mutex);
    if (target_of(&fake->image, path, &target) == 0 && target.inode && !target.inode->is_folder &&
        inode_expose(target.inode, NULL) == LEAT_OK) {
        static uint8_t empty; /* a file without bytes is there all the same */
        content = target.inode->content.data ? target.inode->content.data : &empty;
        *size = target.inode->content.size;
    }
    mutex_unlock(&fake->mutex);
    return content;
}

static leat_status set_work(struct image *image, const char *path, const void *data, size_t size) {
    struct target target;
    int code = target_of(image, path, &target);
    if (code == 0 && target.inode && target.inode->is_folder) {
        code = EISDIR;
    }
    if (code != 0) {
        return disk_error(NULL, path, "set", code);
    }
    if (!target.inode) {
        TRY(image_create(image, 0, false, &target.place, &target.inode, NULL));
    }
    TRY(inode_truncate(target.inode, 0, 0, NULL));
    TRY(inode_write(target.inode, 0, data, size, 0, NULL));
    TRY(inode_sync(target.inode, NULL));
    image_sync_folder(image, target.place.folder);
    return LEAT_OK;
}

leat_status disk_fake_set(struct disk_fake *fake, const char *path, const void *data, size_t size) {
    mutex_lock(&fake->mutex);
    leat_status status = set_work(&fake->image, path, data, size);
    mutex_unlock(&fake->mutex);
    return status;
}
