#include "world/client.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"

#include <curl/curl.h>
#include <pthread.h>
#include <time.h>

enum {
    ADDRESS_MAX = 1024,
    ANSWER_BYTES_MAX = 64 * 1024 * 1024,
    CONNECT_TIMEOUT_MS = 5000,
    TIMEOUT_MS = 60000,
    READY_PAUSE_MS = 50,
    APPLIED_PAUSE_MS = 20,
    BUSY_ATTEMPTS_MAX = 20, /* posts of the same body that were answered 429 */
};

struct client {
    char server[ADDRESS_MAX / 2];
    CURL *curl;
    struct curl_slist *headers;
    struct json_parser *parser;
    struct bytes answer;
    char words[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready = CURLE_OK;

static void curl_start(void) {
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* A short count tells libcurl to give up. */
static size_t receive(char *data, size_t size, size_t count, void *context) {
    struct client *client = context;
    if (size * count > ANSWER_BYTES_MAX - client->answer.size) {
        return 0;
    }
    bytes_append(&client->answer, data, size * count);
    return client->answer.failed ? 0 : size * count;
}

static CURLcode client_configure(struct client *client) {
    CURL *curl = client->curl;
    CURLcode code = CURLE_OK;
    code = code ? code : curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->words);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_PROXY, "");
    code =
        code ? code : curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    code = code ? code : curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    return code ? code : curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
}

static leat_status client_set_up(struct client *client, leat_error *err) {
    client->curl = curl_easy_init();
    /* Without "Expect" libcurl would wait for a go-ahead before each larger body. */
    client->headers = curl_slist_append(NULL, "Expect:");
    struct curl_slist *longer =
        client->headers ? curl_slist_append(client->headers, "Content-Type: application/json")
                        : NULL;
    if (!client->curl || !longer) {
        return error_memory(err, sizeof(*client));
    }
    CURLcode code = client_configure(client);
    if (code) {
        return error_set(err, LEAT_UNSUPPORTED, "libcurl: %s", curl_easy_strerror(code));
    }
    return json_parser_create(&client->parser, err);
}

leat_status client_create(const char *server, struct client **out, leat_error *err) {
    pthread_once(&curl_once, curl_start);
    if (curl_ready != CURLE_OK) {
        return error_set(err, LEAT_UNSUPPORTED, "libcurl: %s", curl_easy_strerror(curl_ready));
    }
    struct client *client = memory_zalloc(sizeof(*client));
    if (!client) {
        return error_memory(err, sizeof(*client));
    }
    bytes_init(&client->answer);
    int size = snprintf(client->server, sizeof(client->server), "%s", server);
    leat_status status;
    if (size < 8 || size >= (int)sizeof(client->server) || strncmp(server, "http://", 7) != 0 ||
        server[size - 1] == '/') {
        status = error_set(err, LEAT_INVALID,
                           "server: '%.100s' is not an address like http://127.0.0.1:8090", server);
    } else {
        status = client_set_up(client, err);
    }
    if (status < 0) {
        client_destroy(client);
        return status;
    }
    *out = client;
    return LEAT_OK;
}

void client_destroy(struct client *client) {
    if (!client) {
        return;
    }
    if (client->curl) {
        curl_easy_cleanup(client->curl);
    }
    curl_slist_free_all(client->headers);
    json_parser_destroy(client->parser);
    bytes_deinit(&client->answer);
    memory_free(client);
}

/* The words of a problem document, or how the answer begins. */
static leat_status problem_error(struct client *client, const char *path, long http,
                                 leat_error *err) {
    struct slice text = {(const char *)client->answer.data, client->answer.size};
    struct slice words = text;
    struct json_value problem;
    struct json_value detail;
    if (json_parse(client->parser, text, &problem, NULL) == LEAT_OK &&
        json_find(problem, "detail", &detail)) {
        json_to_text(detail, &words);
    }
    leat_status status = http == 404 ? LEAT_INVALID : http >= 500 ? LEAT_IO : LEAT_INVALID;
    int shown = words.size < 300 ? (int)words.size : 300;
    return (http == 429 || http == 503 || http == 507 ? error_retry : error_set)(
        err, status, "%s%.60s: the server answered %ld: %.*s", client->server, path, http, shown,
        shown > 0 ? words.data : "");
}

static leat_status client_perform(struct client *client, const char *path, leat_error *err) {
    char address[ADDRESS_MAX];
    int size = snprintf(address, sizeof(address), "%s%s", client->server, path);
    if (size >= (int)sizeof(address)) {
        return error_set(err, LEAT_INVALID, "path: %d bytes; at most %d with the server's address",
                         size, ADDRESS_MAX - 1);
    }
    bytes_clear(&client->answer);
    client->words[0] = '\0';
    CURLcode code = curl_easy_setopt(client->curl, CURLOPT_URL, address);
    code = code ? code : curl_easy_perform(client->curl);
    if (code) {
        return error_retry(err, LEAT_IO, "%s: %s", client->server,
                           client->words[0] ? client->words : curl_easy_strerror(code));
    }
    long http = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http);
    return http >= 200 && http <= 299 ? LEAT_OK : problem_error(client, path, http, err);
}

leat_status client_get(struct client *client, const char *path, struct slice *out,
                       leat_error *err) {
    curl_easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
    TRY(client_perform(client, path, err));
    *out = (struct slice){(const char *)client->answer.data, client->answer.size};
    return LEAT_OK;
}

static leat_status answer_parse(struct client *client, const char *path, struct json_value *out,
                                leat_error *err) {
    struct slice text = {(const char *)client->answer.data, client->answer.size};
    leat_status status = json_parse(client->parser, text, out, err);
    return status < 0 ? error_in(err, status, "answer of %.60s", path) : LEAT_OK;
}

leat_status client_get_json(struct client *client, const char *path, struct json_value *out,
                            leat_error *err) {
    struct slice text;
    TRY(client_get(client, path, &text, err));
    return answer_parse(client, path, out, err);
}

leat_status client_post_json(struct client *client, const char *path, struct slice body,
                             struct json_value *out, leat_error *err) {
    curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body.size > 0 ? body.data : "");
    TRY(client_perform(client, path, err));
    return answer_parse(client, path, out, err);
}

/* The first refused event, in the server's words. */
static leat_status check_rejected(struct json_value answer, leat_error *err) {
    struct json_value rejected;
    struct json_value first;
    if (!json_find(answer, "rejected", &rejected)) {
        return LEAT_OK;
    }
    struct json_iterator it = json_iterate(rejected);
    if (!json_next(&it, NULL, &first)) {
        return LEAT_OK;
    }
    struct json_value words;
    struct slice text = slice_of("no reason given");
    if (json_find(first, "error", &words)) {
        json_to_text(words, &text);
    }
    return error_set(err, LEAT_INVALID, "the server refused an event: %.*s",
                     (int)(text.size < 300 ? text.size : 300), text.data);
}

static void pause_ms(int64_t ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* A server that is behind says when to come again, and stored nothing: so the same goes out again.
 */
static leat_status post_patiently(struct client *client, struct slice events,
                                  struct json_value *answer, leat_error *err) {
    leat_status status;
    for (int attempt = 0; attempt < BUSY_ATTEMPTS_MAX; attempt++) {
        status = client_post_json(client, "/v1/events", events, answer, err);
        long http = 0;
        curl_off_t seconds = 0;
        curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http);
        if (status >= 0 || http != 429) {
            break;
        }
        curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &seconds);
        pause_ms(seconds < 1 ? 1000 : seconds > 60 ? 60000 : (int64_t)seconds * 1000);
    }
    return status;
}

leat_status client_post_events(struct client *client, struct slice events,
                               char position[CLIENT_POSITION_MAX], int64_t *accepted,
                               leat_error *err) {
    struct json_value answer;
    TRY(post_patiently(client, events, &answer, err));
    TRY(check_rejected(answer, err));
    struct json_value count;
    struct json_value at;
    int64_t taken;
    struct slice text;
    if (!json_find(answer, "accepted", &count) || !json_to_i64(count, &taken) ||
        !json_find(answer, "position", &at) || !json_to_text(at, &text) ||
        text.size >= CLIENT_POSITION_MAX) {
        return error_set(err, LEAT_CORRUPT,
                         "answer of /v1/events: it lacks \"accepted\" or \"position\"");
    }
    if (accepted) {
        *accepted += taken;
    }
    if (position) {
        memcpy(position, text.data, text.size);
        position[text.size] = '\0';
    }
    return LEAT_OK;
}

leat_status client_wait_ready(struct client *client, int64_t timeout_ms, leat_error *err) {
    uint64_t end = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        struct slice text;
        leat_status status = client_get(client, "/readyz", &text, err);
        if (status >= 0) {
            return LEAT_OK;
        }
        if (clock_monotonic_ns() >= end) {
            return error_in(err, status, "not ready after %lld ms", (long long)timeout_ms);
        }
        pause_ms(READY_PAUSE_MS);
    }
}

leat_status client_wait_applied(struct client *client, bool learnt, int64_t timeout_ms,
                                leat_error *err) {
    uint64_t end = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        struct slice text;
        double last = 0;
        double applied = 0;
        TRY(client_get(client, "/metrics", &text, err));
        if (!client_metric(text, "leat_position_end", &last) ||
            !client_metric(text, learnt ? "leat_position_learnt" : "leat_position_applied",
                           &applied)) {
            return error_set(err, LEAT_CORRUPT, "answer of /metrics: it lacks the positions");
        }
        if (applied >= last) {
            return LEAT_OK;
        }
        if (clock_monotonic_ns() >= end) {
            return error_retry(err, LEAT_IO, "the server came to %.0f of %.0f rows in %lld ms",
                               applied, last, (long long)timeout_ms);
        }
        pause_ms(APPLIED_PAUSE_MS);
    }
}

bool client_metric(struct slice metrics, const char *name, double *out) {
    size_t length = strlen(name);
    const char *at = metrics.data;
    const char *end = metrics.data + metrics.size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((newline ? newline : end) - at);
        if (size > length && memcmp(at, name, length) == 0 && at[length] == ' ') {
            return text_to_f64((struct slice){at + length + 1, size - length - 1}, out);
        }
        at += size + 1;
    }
    return false;
}
