#define _GNU_SOURCE /* memmem */

#include "connect/leader_http.h"

#include "base/memory.h"

#include <curl/curl.h>
#include <pthread.h>

enum {
    URL_MAX = 1024,
    ADDRESS_MAX = 512,
    CONNECT_TIMEOUT_MS = 3000,
    STALL_SECONDS = 10, /* without a byte: what waits for rows waits a second at the leader */
    PROBLEM_BYTES_MAX = 4096,
};

struct leader_line {
    const char *address;
    const _Atomic bool *stop;
    CURL *curl;
    /* the answer at hand */
    state_sink sink;
    void *sink_context;
    struct bytes problem; /* of an answer that is none */
    leat_error sink_error;
    char words[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready = CURLE_OK;

static void curl_start(void) {
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static long http_of(const struct leader_line *line) {
    long http = 0;
    curl_easy_getinfo(line->curl, CURLINFO_RESPONSE_CODE, &http);
    return http;
}

/* A short count tells libcurl to give up. */
static size_t receive(char *data, size_t size, size_t count, void *context) {
    struct leader_line *line = context;
    size_t bytes = size * count;
    if (http_of(line) != 200) {
        size_t room = PROBLEM_BYTES_MAX - line->problem.size;
        bytes_append(&line->problem, data, bytes < room ? bytes : room);
        return bytes;
    }
    leat_status status = line->sink(line->sink_context, data, bytes, &line->sink_error);
    line->sink_error.status = status < 0 ? status : LEAT_OK;
    return status < 0 ? 0 : bytes;
}

static int watch(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct leader_line *line = context;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load(line->stop);
}

static CURLcode configure(struct leader_line *line) {
    CURL *curl = line->curl;
    CURLcode code = CURLE_OK;
    code = code ? code : curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_WRITEDATA, line);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_XFERINFODATA, line);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, line->words);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_PROXY, "");
    code =
        code ? code : curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    return code ? code : curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
}

static void line_close(struct leader_line *line) {
    if (line) {
        if (line->curl) {
            curl_easy_cleanup(line->curl);
        }
        bytes_deinit(&line->problem);
        memory_free(line);
    }
}

static leat_status line_open(void *context, const _Atomic bool *stop, struct leader_line **out,
                             leat_error *err) {
    pthread_once(&curl_once, curl_start);
    struct leader_line *line = memory_zalloc(sizeof(*line));
    if (!line) {
        return error_memory(err, sizeof(*line));
    }
    line->address = context;
    line->stop = stop;
    bytes_init(&line->problem);
    line->curl = curl_ready == CURLE_OK ? curl_easy_init() : NULL;
    CURLcode code = line->curl ? configure(line) : CURLE_FAILED_INIT;
    if (code) {
        line_close(line);
        return error_set(err, LEAT_UNSUPPORTED, "libcurl: %s", curl_easy_strerror(code));
    }
    *out = line;
    return LEAT_OK;
}

/* The leader's words, out of its problem document. */
static struct slice detail_of(const struct bytes *problem) {
    static const char key[] = "\"detail\":\"";
    struct slice all = {(const char *)problem->data, problem->size};
    const char *at = all.size ? memmem(all.data, all.size, key, sizeof(key) - 1) : NULL;
    if (!at) {
        return all;
    }
    at += sizeof(key) - 1;
    const char *end = at;
    while (end < all.data + all.size && *end != '"') {
        end += *end == '\\' ? 2 : 1;
    }
    end = end < all.data + all.size ? end : all.data + all.size;
    return (struct slice){at, (size_t)(end - at)};
}

static leat_status refused(const struct leader_line *line, long http, leat_error *err) {
    struct slice words = detail_of(&line->problem);
    bool later = http == 429 || http == 503 || http == 507 || http == 500;
    leat_status status = later         ? LEAT_IO
                         : http == 409 ? LEAT_CONFLICT
                         : http == 501 ? LEAT_UNSUPPORTED
                                       : LEAT_INVALID;
    int size = words.size < 300 ? (int)words.size : 300;
    return (later ? error_retry : error_set)(err, status, "%s answered %ld: %.*s", line->address,
                                             http, size, size > 0 ? words.data : "");
}

static leat_status line_get(struct leader_line *line, const char *path, state_sink sink,
                            void *sink_context, leat_error *err) {
    char url[URL_MAX];
    if (snprintf(url, sizeof(url), "%s%s", line->address, path) >= URL_MAX) {
        return error_set(err, LEAT_INVALID, "%s: an address too long", line->address);
    }
    line->sink = sink;
    line->sink_context = sink_context;
    line->sink_error = (leat_error){.message = ""};
    line->words[0] = '\0';
    bytes_clear(&line->problem);
    CURLcode code = curl_easy_setopt(line->curl, CURLOPT_URL, url);
    code = code ? code : curl_easy_perform(line->curl);
    if (line->sink_error.status < 0) {
        if (err) {
            *err = line->sink_error;
        }
        return line->sink_error.status;
    }
    if (code) {
        return error_retry(err, LEAT_IO, "%s: %s", line->address,
                           line->words[0] ? line->words : curl_easy_strerror(code));
    }
    long http = http_of(line);
    return http == 200 ? LEAT_OK : refused(line, http, err);
}

leat_status leader_http(const char *address, struct leader_calls *out, leat_error *err) {
    size_t size = strlen(address);
    if (size < 8 || size >= ADDRESS_MAX || strncmp(address, "http://", 7) != 0 ||
        address[size - 1] == '/') {
        return error_set(err, LEAT_INVALID,
                         "'%.100s' is not a leader's address, as in http://10.0.0.1:8090", address);
    }
    *out = (struct leader_calls){
        .open = line_open, .get = line_get, .close = line_close, .context = (void *)address};
    return LEAT_OK;
}
