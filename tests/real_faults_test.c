/* Real faults of a real server: a full disk, a folder that cannot be written, a folder of a newer
 * leat, a segment that is gone, a checkpoint that is cut off. Each refusal ends with a code that is
 * not 0 and says what, where and how to go on; once the cause is removed the server starts whole.
 */
#define _GNU_SOURCE /* mount */

#include "base/hash.h"
#include "base/test.h"
#include "base/text.h"
#include "tests/message_rules.h"
#include "tests/real_client.h"
#include "tests/real_server.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_EVENTS = 900, BATCH = 100, FILES_MAX = 64, TEXT_BYTES = 3000, POSTS_MAX = 400 };
enum { VERSION_AT = 4, CHECKSUM_AT = 56, NEWER = 99 };

static const char KEYS[] = "log: {segment: 64KiB, heartbeat: 1h}\n"
                           "checkpoint: {every: 1h}\n"
                           "key_groups: 4\n"
                           "actions: {click: {window: 1s, weight: 1}}\n"
                           "surfaces: {for_you: {show: 5}}\n";

static struct real_server server;
static struct real_client client;
static int acknowledged; /* events e0 ... */

/* --- posting --- */

static void batch_write(struct bytes *out, int count) {
    char text[TEXT_BYTES + 1];
    memset(text, 'x', TEXT_BYTES);
    text[TEXT_BYTES] = '\0';
    bytes_clear(out);
    for (int i = 0; i < count; i++) {
        bytes_printf(out, "{\"kind\":\"item\",\"item\":\"i%d\",\"id\":\"e%d\",\"text\":\"%.*s\"}\n",
                     i, acknowledged + i, i % 10 == 0 ? TEXT_BYTES : 50, text);
    }
}

/* The status of the answer. */
static long post(int count) {
    struct bytes body;
    bytes_init(&body);
    batch_write(&body, count);
    assert_true(real_client_post(&client, (struct slice){(char *)body.data, body.size}));
    bytes_deinit(&body);
    acknowledged += client.status == 200 ? count : 0;
    return client.status;
}

static void server_up(void) {
    real_server_start(&server);
    real_client_init(&client, server.address);
}

static void server_down(void) {
    real_client_deinit(&client);
    real_server_stop(&server);
}

/* Events in the log, each once: all that were acknowledged, and no other. */
static void whole_check(void) {
    struct bytes printed, errors;
    bytes_init(&printed);
    bytes_init(&errors);
    assert_int_equal(real_command(&server, "log -c leat.yaml --json", &printed, &errors), 0);
    int next = 0;
    const char *at = (char *)printed.data;
    while ((at = strstr(at, "\"id\":\"e")) != NULL) {
        at += strlen("\"id\":\"e");
        assert_int_equal(atoi(at), next);
        next++;
    }
    assert_int_equal(next, acknowledged);
    bytes_deinit(&printed);
    bytes_deinit(&errors);
}

static void starts_whole(void) {
    server_up();
    assert_int_equal(post(1), 200);
    server_down();
    whole_check();
}

/* --- refusing to start --- */

/* The server ends by itself, with words that hold `what` and `way`. False, and said, where not. */
static bool refuses(const char *what, const char *way) {
    struct bytes errors;
    bytes_init(&errors);
    int code = real_command(&server, "serve -c leat.yaml", NULL, &errors);
    const char *words = (char *)errors.data;
    leat_error err = {.status = LEAT_IO};
    snprintf(err.message, sizeof(err.message), "%.*s", (int)strcspn(words, "\n"), words);
    const char *fault = message_fault(&err);
    bool good = code != 0 && strstr(words, what) && strstr(words, way) && !fault;
    if (!good) {
        print_error("code %d, %s: it says: %s\n", code, fault ? fault : what, words);
    }
    bytes_deinit(&errors);
    return good;
}

static void path_of(char out[PATH_BYTES_MAX], const char *name) {
    snprintf(out, PATH_BYTES_MAX, "%s/data/%s", server.folder, name);
}

static void content_get(const char *path, struct bytes *out) {
    bytes_init(out);
    assert_int_equal(disk_get(disk_real(), path, 1 << 30, out, NULL), LEAT_OK);
}

static void content_put(const char *path, const struct bytes *content) {
    assert_int_equal(disk_put(disk_real(), path, content->data, content->size, NULL), LEAT_OK);
}

struct names {
    int count;
    char all[FILES_MAX][64];
};

static leat_status name_add(void *context, const char *name) {
    struct names *names = context;
    if (names->count < FILES_MAX) {
        snprintf(names->all[names->count++], sizeof(names->all[0]), "%s", name);
    }
    return LEAT_OK;
}

static void names_of(const char *folder, const char *ending, struct names *out) {
    char path[PATH_BYTES_MAX];
    struct names found = {0};
    path_of(path, folder);
    assert_int_equal(disk_list(disk_real(), path, name_add, &found, NULL), LEAT_OK);
    out->count = 0;
    for (int i = 0; i < found.count; i++) {
        size_t size = strlen(found.all[i]);
        if (size >= strlen(ending) && strcmp(found.all[i] + size - strlen(ending), ending) == 0) {
            snprintf(out->all[out->count++], sizeof(out->all[0]), "%s", found.all[i]);
        }
    }
}

static void segment_path(char out[PATH_BYTES_MAX], const char *name) {
    char inside[100];
    snprintf(inside, sizeof(inside), "log/%s", name);
    path_of(out, inside);
}

static void folder_of_a_newer_leat(void **state) {
    (void)state;
    static const char newer[] = "leat folder 99\nsomething else\n";
    char path[PATH_BYTES_MAX];
    struct bytes before, after;
    path_of(path, "FOLDER");
    content_get(path, &before);
    bytes_init(&after);
    bytes_append(&after, newer, sizeof(newer) - 1);
    content_put(path, &after);
    bool good = refuses("FOLDER", "newer");
    content_put(path, &before);
    assert_true(good);
    bytes_deinit(&before);
    bytes_deinit(&after);
    starts_whole();
}

/* A frame of a version to come, sealed as this version seals: not to be taken for a torn one. */
static void segment_of_a_newer_leat(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX];
    struct bytes before, after;
    struct names segments;
    names_of("log", ".seg", &segments);
    assert_true(segments.count >= 3);
    for (int i = 0; i < segments.count; i += segments.count - 1) { /* the first and the last */
        segment_path(path, segments.all[i]);
        content_get(path, &before);
        content_get(path, &after);
        after.data[VERSION_AT] = NEWER;
        uint64_t checksum = hash_bytes(after.data, CHECKSUM_AT);
        memcpy(after.data + CHECKSUM_AT, &checksum, sizeof(checksum));
        content_put(path, &after);
        bool good = refuses(segments.all[i], "newer leat");
        content_put(path, &before);
        assert_true(good);
        bytes_deinit(&before);
        bytes_deinit(&after);
    }
    starts_whole();
}

static void segment_in_the_middle_is_gone(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX], aside[PATH_BYTES_MAX];
    struct names segments;
    names_of("log", ".seg", &segments);
    segment_path(path, segments.all[segments.count / 2]);
    snprintf(aside, sizeof(aside), "%s/aside", server.folder);
    assert_int_equal(rename(path, aside), 0);
    bool good = refuses(segments.all[segments.count / 2 + 1], "put the missing one back");
    assert_int_equal(rename(aside, path), 0);
    assert_true(good);
    starts_whole();
}

/* Costs time, not truth: an older checkpoint or the log gives the same. */
static void checkpoint_is_cut_off(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX], inside[200];
    struct names checkpoints, parts;
    struct bytes whole, healed;
    bytes_init(&whole);
    bytes_init(&healed);
    assert_int_equal(real_command(&server, "state digest -c leat.yaml", &whole, NULL), 0);
    names_of("checkpoints", "", &checkpoints);
    assert_true(checkpoints.count > 0);
    snprintf(inside, sizeof(inside), "checkpoints/%s", checkpoints.all[checkpoints.count - 1]);
    names_of(inside, "", &parts);
    assert_true(parts.count > 1);
    for (int i = 0; i < parts.count; i++) {
        snprintf(inside, sizeof(inside), "checkpoints/%s/%s",
                 checkpoints.all[checkpoints.count - 1], parts.all[i]);
        path_of(path, inside);
        struct stat status;
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(truncate(path, status.st_size / 2), 0);
    }
    starts_whole();
    bytes_deinit(&whole);
    bytes_deinit(&healed);
}

/* --- file systems --- */

static bool mounted(const char *path, unsigned long flags, const char *data) {
    if (mount("leat", path, "tmpfs", flags, data) == 0) {
        return true;
    }
    print_message("skipped: no file system can be mounted here\n");
    return false;
}

static void folder_cannot_be_written(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX], aside[PATH_BYTES_MAX];
    path_of(path, "");
    snprintf(aside, sizeof(aside), "%s/aside", server.folder);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    if (mounted(path, MS_RDONLY, NULL)) {
        assert_true(refuses("/data", "mount"));
        assert_int_equal(umount2(path, MNT_DETACH), 0);
    }
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(aside, path), 0);
    starts_whole();
}

/* Posts until there is no room. */
static void fill(void) {
    long status = 200;
    for (int i = 0; i < POSTS_MAX && status == 200; i++) {
        status = post(BATCH);
    }
    if (status != 507) {
        fail_msg("%ld on a full disk: %s", status, (char *)client.body.data);
    }
    char detail[500];
    assert_string_equal(client.type, "application/problem+json");
    real_client_text(&client, "detail", detail, sizeof(detail));
    if (!strstr(detail, "free space") || !strstr(detail, "/data/log/")) {
        fail_msg("it says: %s", detail);
    }
}

static void disk_is_full(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX], aside[PATH_BYTES_MAX];
    path_of(path, "");
    snprintf(aside, sizeof(aside), "%s/aside", server.folder);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    if (mounted(path, 0, "size=4m")) {
        int before = acknowledged;
        acknowledged = 0;
        server_up();
        fill();
        fill();
        assert_true(real_client_get(&client, "/v1/feed?user=u1&n=5")); /* pages go on */
        assert_int_equal(client.status, 200);
        assert_int_equal(mount("leat", path, "tmpfs", MS_REMOUNT, "size=64m"), 0);
        assert_int_equal(post(BATCH), 200);
        server_down();
        whole_check();
        starts_whole();
        assert_int_equal(umount2(path, MNT_DETACH), 0);
        acknowledged = before;
    }
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(aside, path), 0);
    starts_whole();
}

/* --- the house around the tests --- */

static int set_up(void **state) {
    (void)state;
    real_server_init(&server);
    real_server_configure(&server, KEYS);
    server_up();
    while (acknowledged < FIRST_EVENTS) {
        assert_int_equal(post(BATCH), 200);
    }
    server_down();
    whole_check();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX];
    path_of(path, "");
    umount2(path, MNT_DETACH); /* where a test failed in its midst */
    real_server_deinit(&server);
    return 0;
}

int main(void) {
    char binary[PATH_BYTES_MAX];
    if (!real_binary_find(binary)) {
        return REAL_SKIP;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_of_a_newer_leat),        cmocka_unit_test(segment_of_a_newer_leat),
        cmocka_unit_test(segment_in_the_middle_is_gone), cmocka_unit_test(checkpoint_is_cut_off),
        cmocka_unit_test(folder_cannot_be_written),      cmocka_unit_test(disk_is_full),
    };
    return cmocka_run_group_tests_name("real faults", tests, set_up, tear_down);
}
