#include "tests/real_client.h"

#include "base/test.h"
#include "tests/real_server.h"
#include "world/client.h"

enum { TIMEOUT_MS = 30000, SETTLE_NAPS_MAX = 6000, SETTLE_NAP_MS = 10, BETWEEN_BYTES = 8 << 20 };

/* --- life --- */

void real_client_init(struct real_client *client, const char *address) {
    *client = (struct real_client){.address = address};
    bytes_init(&client->body);
    client->curl = curl_easy_init();
    assert_non_null(client->curl);
    assert_int_equal(json_parser_create(&client->parser, NULL), LEAT_OK);
}

void real_client_deinit(struct real_client *client) {
    curl_easy_cleanup(client->curl);
    json_parser_destroy(client->parser);
    bytes_deinit(&client->body);
}

/* --- asking --- */

static size_t take_body(char *data, size_t size, size_t count, void *context) {
    struct real_client *client = context;
    bytes_append(&client->body, data, size * count);
    return size * count;
}

static void begin(struct real_client *client, const char *path) {
    char url[4096];
    snprintf(url, sizeof(url), "%s%s", client->address, path);
    bytes_clear(&client->body);
    client->status = 0;
    client->type[0] = '\0';
    client->has_json = false;
    curl_easy_reset(client->curl);
    curl_easy_setopt(client->curl, CURLOPT_URL, url);
    curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
}

static bool perform(struct real_client *client) {
    CURLcode code = curl_easy_perform(client->curl);
    bytes_put_u8(&client->body, 0);
    if (code != CURLE_OK || client->body.failed) {
        return false;
    }
    client->body.size--;
    const char *type = NULL;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &client->status);
    curl_easy_getinfo(client->curl, CURLINFO_CONTENT_TYPE, &type);
    snprintf(client->type, sizeof(client->type), "%s", type ? type : "");
    struct slice text = {(char *)client->body.data, client->body.size};
    client->has_json = strstr(client->type, "json") &&
                       json_parse(client->parser, text, &client->json, NULL) == LEAT_OK;
    return true;
}

bool real_client_request(struct real_client *client, const char *method, const char *path,
                         struct slice body) {
    begin(client, path);
    if (body.data) {
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body.data);
    }
    curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
    return perform(client);
}

bool real_client_get(struct real_client *client, const char *path) {
    begin(client, path);
    return perform(client);
}

bool real_client_post(struct real_client *client, struct slice events) {
    return real_client_request(client, "POST", "/v1/events", events);
}

/* --- a large body --- */

struct flood {
    int64_t left;
    int64_t until_between;
    void (*between)(void);
};

static size_t pour(char *out, size_t size, size_t count, void *context) {
    struct flood *flood = context;
    int64_t bytes = (int64_t)(size * count);
    bytes = bytes < flood->left ? bytes : flood->left;
    memset(out, ' ', (size_t)bytes);
    flood->left -= bytes;
    flood->until_between -= bytes;
    if (flood->until_between < 0) {
        flood->until_between = BETWEEN_BYTES;
        flood->between();
    }
    return (size_t)bytes;
}

bool real_client_flood(struct real_client *client, int64_t bytes, bool chunked,
                       void (*between)(void)) {
    struct flood flood = {bytes, BETWEEN_BYTES, between};
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (chunked) {
        headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
    }
    begin(client, "/v1/events");
    curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(client->curl, CURLOPT_READFUNCTION, pour);
    curl_easy_setopt(client->curl, CURLOPT_READDATA, &flood);
    if (!chunked) {
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    }
    bool answered = perform(client);
    curl_slist_free_all(headers);
    return answered;
}

/* --- what was answered --- */

int64_t real_client_number(const struct real_client *client, const char *key) {
    struct json_value value;
    int64_t number = -1;
    if (client->has_json && json_find(client->json, key, &value)) {
        json_to_i64(value, &number);
    }
    return number;
}

bool real_client_true(const struct real_client *client, const char *key) {
    struct json_value value;
    bool answer = false;
    return client->has_json && json_find(client->json, key, &value) &&
           json_to_bool(value, &answer) && answer;
}

void real_client_text(const struct real_client *client, const char *key, char *out, size_t size) {
    struct json_value value;
    struct slice text = {"", 0};
    if (client->has_json && json_find(client->json, key, &value)) {
        json_to_text(value, &text);
    }
    snprintf(out, size, "%.*s", (int)text.size, text.data);
}

int real_client_items(const struct real_client *client, struct slice out[REAL_ITEMS_MAX]) {
    struct json_value items;
    struct json_value item;
    struct json_value id;
    int count = 0;
    if (!client->has_json || !json_find(client->json, "items", &items)) {
        return 0;
    }
    struct json_iterator it = json_iterate(items);
    while (count < REAL_ITEMS_MAX && json_next(&it, NULL, &item)) {
        if (json_find(item, "item", &id) && json_to_text(id, &out[count])) {
            count++;
        }
    }
    return count;
}

bool real_client_page_holds(const struct real_client *client, const char *item) {
    struct slice items[REAL_ITEMS_MAX];
    int count = real_client_items(client, items);
    for (int i = 0; i < count; i++) {
        if (slice_is(items[i], item)) {
            return true;
        }
    }
    return false;
}

double real_client_metric(struct real_client *client, const char *name) {
    double value = -1;
    if (real_client_get(client, "/metrics") && client->status == 200) {
        client_metric((struct slice){(char *)client->body.data, client->body.size}, name, &value);
    }
    return value;
}

bool real_client_settle(struct real_client *client) {
    for (int i = 0; i < SETTLE_NAPS_MAX; i++) {
        double learnt = real_client_metric(client, "leat_position_learnt");
        double end = real_client_metric(client, "leat_position_end");
        if (end < 0) {
            return false;
        }
        if (learnt >= end) {
            return true;
        }
        pause_ms(SETTLE_NAP_MS);
    }
    return false;
}
