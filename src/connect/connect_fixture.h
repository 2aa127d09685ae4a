/* What the tests of the readers share: a disk in memory with files written as text. */
#ifndef CONNECT_CONNECT_FIXTURE_H
#define CONNECT_CONNECT_FIXTURE_H

#include "base/disk_fake.h"
#include "base/test.h"

#include <string.h>

#define FIXTURE_FOLDER "set"

static inline struct disk_fake *fixture_disk(void) {
    struct disk_fake *fake;
    assert_int_equal(disk_fake_create(1, &fake, NULL), LEAT_OK);
    assert_int_equal(disk_make_folder(disk_fake_disk(fake), FIXTURE_FOLDER, NULL), LEAT_OK);
    return fake;
}

static inline void fixture_file(struct disk_fake *fake, const char *name, const void *data,
                                size_t size) {
    char path[PATH_BYTES_MAX];
    assert_int_equal(path_join(path, FIXTURE_FOLDER, name, NULL), LEAT_OK);
    assert_int_equal(disk_fake_set(fake, path, data, size), LEAT_OK);
}

static inline void fixture_text(struct disk_fake *fake, const char *name, const char *text) {
    fixture_file(fake, name, text, strlen(text));
}

#endif
