/* libmicrohttpd, one thread a connection, and the life of a request:
 *
 *   headers -> begin (workspace, route) -> body, piece by piece -> the route's handler -> answer
 *           -> done (the workspace goes back when the last byte is out)
 *
 * A body beyond the limit, or one that is not admitted (route.admit; or too many bytes of bodies
 * are under way at once), is read and thrown away, so that the client gets to see the answer; far
 * beyond it, or when the client asked first (Expect), the connection is closed instead. */
#include "serve/server.h"

#include "base/memory.h"
#include "base/text.h"
#include "serve/http.h"
#include "serve/problem.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

enum {
    STOP_WAIT_MS = 10000,
    HOST_MAX = 96,
    BODY_DROPPED_MAX = 256 << 20,
    STREAM_BLOCK_BYTES = 256 << 10,
    BODIES_QUEUES = 2, /* bodies under way at once hold at most so many times log.queue */
};

struct server {
    struct engine *engine;
    const struct config *config;
    struct metrics *metrics;
    struct MHD_Daemon *daemon;
    struct workspace_pool pool;
    _Atomic bool stopping;
    _Atomic uint64_t body_bytes; /* of all requests under way */
    char host[HOST_MAX];         /* as configured, with its brackets */
    uint16_t port;
};

/* One request between its headers and its answer. Lives in its workspace's arena. */
struct request {
    struct exchange exchange;
    uint64_t dropped; /* bytes of the body beyond the limit */
    uint64_t held;    /* bytes of the body that are stored */
    bool too_large;
    bool refused; /* with `refusal`; nothing of the body is stored from there on */
    leat_error refusal;
    bool broken_path;
};

/* --- answering --- */

static void add_header(struct MHD_Response *response, const char *name, const char *value) {
    MHD_add_response_header(response, name, value); /* without memory the header is missing */
}

static void add_allow(struct MHD_Response *response, const struct route *route) {
    char words[48] = "";
    snprintf(words, sizeof(words), "%s%s%s", route->answer[HTTP_GET] ? "GET, HEAD, " : "",
             route->answer[HTTP_POST] ? "POST, " : "",
             route->answer[HTTP_DELETE] ? "DELETE, " : "");
    words[strlen(words) - 2] = '\0'; /* every route answers something */
    add_header(response, MHD_HTTP_HEADER_ALLOW, words);
}

static ssize_t stream_next(void *context, uint64_t at, char *data, size_t count) {
    struct http_stream *stream = context;
    size_t got = 0;
    (void)at; /* asked for in order */
    if (stream->next(stream->context, data, count, &got, NULL) < 0) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    return got > 0 ? (ssize_t)got : MHD_CONTENT_READER_END_OF_STREAM;
}

/* The response may outlive the workspace by a moment, so the stream is copied. */
static void stream_end(void *context) {
    struct http_stream *stream = context;
    stream->end(stream->context);
    memory_free(stream);
}

static struct MHD_Response *stream_response(struct http_stream *stream) {
    struct http_stream *copy = memory_alloc(sizeof(*copy));
    struct MHD_Response *response = NULL;
    if (copy) {
        *copy = *stream;
        response = MHD_create_response_from_callback(stream->bytes, STREAM_BLOCK_BYTES, stream_next,
                                                     copy, stream_end);
    }
    if (!response) {
        memory_free(copy);
        stream->end(stream->context);
    }
    stream->next = NULL;
    return response;
}

static enum MHD_Result send_answer(struct server *server, struct exchange *exchange, bool retry) {
    const struct bytes *answer = exchange->answer;
    /* Not copied: the workspace is released only when the answer is out. */
    struct MHD_Response *response =
        exchange->stream.next
            ? stream_response(&exchange->stream)
            : MHD_create_response_from_buffer(answer->size, answer->data, MHD_RESPMEM_PERSISTENT);
    if (!response) {
        return MHD_NO;
    }
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, exchange->content_type);
    if (exchange->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        add_allow(response, exchange->route);
    }
    if (retry) {
        char seconds[24];
        snprintf(seconds, sizeof(seconds), "%lld", (long long)exchange->retry_after_s);
        add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    metrics_add(server->metrics, METRIC_http_requests_total, 1);
    metrics_add(server->metrics, METRIC_http_errors_total, exchange->status >= 400);
    enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_problem(struct server *server, struct exchange *exchange,
                                    unsigned status, const char *detail, bool retry) {
    exchange->status = status;
    exchange->content_type = PROBLEM_CONTENT_TYPE;
    problem_write(status, detail, retry, exchange->answer);
    return exchange->answer->failed ? MHD_NO : send_answer(server, exchange, retry);
}

static enum MHD_Result send_too_large(struct server *server, struct exchange *exchange) {
    char words[160];
    snprintf(words, sizeof(words),
             "the body is larger than %lld bytes; post it in parts, or raise http.body",
             (long long)server->config->http.body);
    return send_problem(server, exchange, 413, words, false);
}

/* Runs the handler. */
static enum MHD_Result send_handled(struct server *server, struct exchange *exchange) {
    leat_error err = {.status = LEAT_OK, .message = ""};
    leat_status status = exchange->route->answer[exchange->method](exchange, &err);
    if (status == LEAT_OK) {
        status = bytes_status(exchange->answer, &err);
    }
    if (status == LEAT_OK) {
        return send_answer(server, exchange, false);
    }
    err.status = status;
    unsigned http = problem_status(&err);
    if (http == MHD_HTTP_TOO_MANY_REQUESTS && engine_disk_full(exchange->engine)) {
        http = MHD_HTTP_INSUFFICIENT_STORAGE; /* somebody has to make room */
    }
    return send_problem(server, exchange, http, err.message, err.retry);
}

static enum MHD_Result send_refusal(struct server *server, struct request *request) {
    const leat_error *refusal = &request->refusal;
    return send_problem(server, &request->exchange, problem_status(refusal), refusal->message,
                        refusal->retry);
}

static enum MHD_Result answer_request(struct server *server, struct request *request,
                                      const char *method, const char *url) {
    struct exchange *exchange = &request->exchange;
    char words[256];
    if (request->too_large) {
        return send_too_large(server, exchange);
    }
    if (request->refused) {
        return send_refusal(server, request);
    }
    if (request->broken_path) {
        return send_problem(server, exchange, 400,
                            "path: a '%' wants two hexadecimal digits after it", false);
    }
    if (!exchange->route) {
        snprintf(words, sizeof(words), "no path '%.100s'; GET / lists those there are", url);
        return send_problem(server, exchange, 404, words, false);
    }
    if (exchange->method < 0 || !exchange->route->answer[exchange->method]) {
        snprintf(words, sizeof(words), "%s does not answer %.20s; see Allow", exchange->route->path,
                 method);
        return send_problem(server, exchange, 405, words, false);
    }
    exchange->body = (struct slice){(const char *)exchange->workspace->body.data,
                                    exchange->workspace->body.size};
    return send_handled(server, exchange);
}

/* --- reading --- */

static int method_of(const char *method) {
    static const struct {
        const char *name;
        enum http_method method;
    } methods[] = {
        {"GET", HTTP_GET}, {"HEAD", HTTP_GET}, {"POST", HTTP_POST}, {"DELETE", HTTP_DELETE}};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(method, methods[i].name) == 0) {
            return (int)methods[i].method;
        }
    }
    return -1;
}

static uint64_t declared_size(struct MHD_Connection *connection) {
    const char *text =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t size = 0;
    return text && text_to_u64(slice_of(text), &size) ? size : 0;
}

/* NULL when memory is out. */
static struct request *begin_request(struct server *server, struct MHD_Connection *connection,
                                     const char *url, const char *method) {
    struct workspace *workspace = workspace_acquire(&server->pool);
    if (!workspace) {
        return NULL;
    }
    struct request *request = ARENA_NEW(&workspace->arena, struct request, 1);
    if (!request) {
        workspace_release(&server->pool, workspace);
        return NULL;
    }
    struct exchange *exchange = &request->exchange;
    *exchange = (struct exchange){
        .engine = server->engine,
        .config = server->config,
        .metrics = server->metrics,
        .workspace = workspace,
        .connection = connection,
        .method = method_of(method),
        .answer = &workspace->answer,
        .status = MHD_HTTP_OK,
        .retry_after_s = 1,
        .stopping = &server->stopping,
        .content_type = "application/json",
    };
    struct slice tail = {"", 0};
    exchange->route = route_find(slice_of(url), &tail);
    request->broken_path = http_decode(&workspace->arena, tail, &exchange->tail, NULL) < 0;
    return request;
}

static bool is_admitted(struct request *request) {
    struct exchange *exchange = &request->exchange;
    const struct route *route = exchange->route;
    if (!route || !route->admit || exchange->method < 0 || !route->answer[exchange->method]) {
        return true;
    }
    leat_status status = route->admit(exchange, &request->refusal);
    request->refusal.status = status;
    request->refused = status < 0;
    return !request->refused;
}

/* A body that is known to be too large, or not wanted, before it comes. Answering now closes the
 * connection. */
static enum MHD_Result check_declared(struct server *server, struct request *request) {
    struct exchange *exchange = &request->exchange;
    uint64_t declared = declared_size(exchange->connection);
    uint64_t limit = (uint64_t)server->config->http.body;
    request->too_large = declared > limit;
    bool asks = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND,
                                            MHD_HTTP_HEADER_EXPECT) != NULL;
    if (request->too_large) {
        return asks || declared - limit > BODY_DROPPED_MAX ? send_too_large(server, exchange)
                                                           : MHD_YES;
    }
    if (!is_admitted(request)) {
        return asks ? send_refusal(server, request) : MHD_YES;
    }
    bytes_reserve(&exchange->workspace->body, (size_t)declared);
    return MHD_YES;
}

/* Counts bytes that are to be stored; false when all requests together would hold too many. One
 * request alone always may. */
static bool body_hold(struct server *server, struct request *request, size_t size) {
    uint64_t limit = BODIES_QUEUES * (uint64_t)server->config->log.queue;
    uint64_t before = atomic_fetch_add(&server->body_bytes, size);
    if (before - request->held > 0 && before + size > limit) {
        atomic_fetch_sub(&server->body_bytes, size);
        request->refused = true;
        error_retry(
            &request->refusal, LEAT_FULL,
            "%llu bytes of bodies are under way at once, at most %llu may be (twice log.queue); "
            "nothing was stored, post again",
            (unsigned long long)before, (unsigned long long)limit);
        metrics_add(server->metrics, METRIC_posts_busy_total, 1);
        return false;
    }
    request->held += size;
    return true;
}

static enum MHD_Result take_body(struct server *server, struct request *request, const char *data,
                                 size_t size) {
    struct bytes *body = &request->exchange.workspace->body;
    if (body->size + size > (size_t)server->config->http.body) {
        request->too_large = true;
    }
    if (!request->too_large && !request->refused) {
        body_hold(server, request, size);
    }
    if (request->too_large || request->refused) {
        request->dropped += size;
        return request->dropped <= BODY_DROPPED_MAX ? MHD_YES : MHD_NO;
    }
    bytes_append(body, data, size);
    return body->failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state) {
    (void)version;
    struct server *server = context;
    struct request *request = *state;
    if (!request) {
        request = begin_request(server, connection, url, method);
        *state = request;
        return request ? check_declared(server, request) : MHD_NO;
    }
    if (*size > 0) {
        size_t count = *size;
        *size = 0;
        return take_body(server, request, data, count);
    }
    return answer_request(server, request, method, url);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code) {
    (void)connection;
    (void)code;
    struct server *server = context;
    struct request *request = *state;
    if (request) {
        *state = NULL;
        atomic_fetch_sub(&server->body_bytes, request->held);
        workspace_release(&server->pool, request->exchange.workspace);
    }
}

/* Left as they were sent: http_decode knows of embedded NULs and of broken escapes. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}

/* --- the daemon --- */

/* Splits "host:port" or "[host]:port" at its last colon. */
static leat_status split_address(const char *address, char host[HOST_MAX], const char **port,
                                 leat_error *err) {
    const char *colon = strrchr(address, ':');
    size_t size = colon ? (size_t)(colon - address) : 0;
    int64_t number;
    if (size == 0 || size >= HOST_MAX || !text_to_i64(slice_of(colon + 1), &number) || number < 0 ||
        number > UINT16_MAX) {
        return error_set(err, LEAT_INVALID,
                         "listen: '%.100s' is not an address and a port from 0 to 65535, as in "
                         "127.0.0.1:8090 or [::1]:8090",
                         address);
    }
    memcpy(host, address, size);
    host[size] = '\0';
    *port = colon + 1;
    return LEAT_OK;
}

static leat_status resolve(const char *host, const char *port, struct addrinfo **out,
                           leat_error *err) {
    char bare[HOST_MAX];
    size_t size = strlen(host);
    bool brackets = host[0] == '[' && host[size - 1] == ']';
    snprintf(bare, sizeof(bare), "%.*s", (int)(brackets ? size - 2 : size), host + brackets);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int code = getaddrinfo(bare, port, &hints, out);
    if (code != 0) {
        return error_set(err, LEAT_INVALID, "listen: '%s': %s", host, gai_strerror(code));
    }
    return LEAT_OK;
}

static struct MHD_Daemon *start_daemon(struct server *server, const struct addrinfo *address) {
    const struct config_http *http = &server->config->http;
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                     MHD_USE_POLL | MHD_USE_ITC;
    if (address->ai_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_SOCK_ADDR, address->ai_addr,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, server, MHD_OPTION_CONNECTION_LIMIT, (unsigned)http->connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((http->idle + 999) / 1000), MHD_OPTION_END);
}

static leat_status server_bind(struct server *server, leat_error *err) {
    const char *port = NULL;
    struct addrinfo *address;
    TRY(split_address(server->config->root.listen, server->host, &port, err));
    TRY(resolve(server->host, port, &address, err));
    errno = 0;
    server->daemon = start_daemon(server, address);
    int code = errno;
    freeaddrinfo(address);
    if (!server->daemon) {
        return error_retry(err, LEAT_IO, "cannot listen on %s: %s", server->config->root.listen,
                           code ? strerror(code) : "the HTTP server did not start");
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    server->port = info ? info->port : 0;
    return LEAT_OK;
}

leat_status server_start(struct engine *engine, const struct config *config,
                         struct metrics *metrics, struct server **out, leat_error *err) {
    struct server *server = memory_zalloc(sizeof(*server));
    if (!server) {
        return error_memory(err, sizeof(*server));
    }
    server->engine = engine;
    server->config = config;
    server->metrics = metrics;
    workspace_pool_init(&server->pool);
    leat_status status = server_bind(server, err);
    if (status < 0) {
        workspace_pool_deinit(&server->pool);
        memory_free(server);
        return status;
    }
    *out = server;
    return LEAT_OK;
}

void server_stop(struct server *server) {
    if (!server) {
        return;
    }
    MHD_socket listening = MHD_quiesce_daemon(server->daemon);
    atomic_store(&server->stopping, true);
    workspace_pool_wait(&server->pool, STOP_WAIT_MS);
    MHD_stop_daemon(server->daemon); /* joins every connection's thread */
    if (listening != MHD_INVALID_SOCKET) {
        close(listening);
    }
    workspace_pool_deinit(&server->pool);
    memory_free(server);
}

uint16_t server_port(const struct server *server) {
    return server->port;
}

void server_address(const struct server *server, char out[SERVER_ADDRESS_MAX]) {
    snprintf(out, SERVER_ADDRESS_MAX, "http://%s:%u", server->host, (unsigned)server->port);
}
