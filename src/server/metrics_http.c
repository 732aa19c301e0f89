#include "server/metrics_http.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/h1.h"
#include "http/response.h"

#define LISTENERS_MAX   4
#define CONNECTIONS_MAX 16
#define DEADLINE_MS     5000 /* of a whole connection */
#define READ_BYTES      2048
#define TEXT_BYTES      65536

typedef struct visitor {
    hc_metrics_http *http;
    struct visitor *next;
    uv_tcp_t tcp;
    uv_timer_t timer;
    int handles;
    bool answered;
    hc_h1 decoder;
    char octets[READ_BYTES];
    hc_buf answer;
    uv_write_t write;
    uv_shutdown_t shutdown;
} visitor;

struct hc_metrics_http {
    hc_loop *loop;
    uv_tcp_t *listeners[LISTENERS_MAX];
    size_t listener_count;
    visitor *visitors;
    unsigned count;
};

/* ---- the end of a connection ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    visitor *v = handle->data;
    if (--v->handles > 0)
        return;
    hc_h1_done(&v->decoder);
    hc_buf_done(&v->answer);
    hc_free(v);
}

static void end(visitor *v)
{
    if (uv_is_closing((uv_handle_t *)&v->tcp))
        return;
    for (visitor **at = &v->http->visitors; *at; at = &(*at)->next) {
        if (*at == v) {
            *at = v->next;
            v->http->count--;
            break;
        }
    }
    uv_close((uv_handle_t *)&v->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&v->timer, on_handle_closed);
}

static void on_timer(uv_timer_t *timer)
{
    end(timer->data);
}

/* The client reads, and closes; the deadline is for one that does not. */
static void on_written(uv_write_t *write, int status)
{
    visitor *v = write->data;
    if (status < 0 || uv_shutdown(&v->shutdown, (uv_stream_t *)&v->tcp, NULL) != 0)
        end(v);
}

/* ---- answers ---- */

typedef struct page {
    int status;
    const char *type;
    const char *allow; /* NULL, or the methods there are */
    hc_buf body;
} page;

static int health_page(hc_loop *loop, page *p)
{
    hc_metrics_sum sum;
    hc_loops_measure(loop->all, loop->live, &sum);
    const char *why = hc_metrics_unhealthy(&sum.gauges, hc_clock_wall_s());
    p->status = why ? 503 : 200;
    return hc_buf_printf(&p->body, "%s\n", why ? why : "ok");
}

static int metrics_page(hc_loop *loop, page *p)
{
    hc_metrics_sum sum;
    hc_loops_measure(loop->all, loop->live, &sum);
    p->type = "text/plain; version=0.0.4; charset=utf-8";
    return hc_metrics_text(&sum, &p->body);
}

static int make_page(hc_loop *loop, const hc_request *r, page *p)
{
    static const struct {
        const char *path;
        int (*make)(hc_loop *loop, page *p);
    } pages[] = {{"/healthz", health_page}, {"/metrics", metrics_page}};
    bool reads = hc_slice_equal_text(r->method, "GET") || hc_slice_equal_text(r->method, "HEAD");
    for (size_t i = 0; i < HC_COUNT(pages); i++) {
        if (!hc_slice_equal_text(r->raw_path, pages[i].path))
            continue;
        if (reads)
            return pages[i].make(loop, p);
        p->status = 405;
        p->allow = "GET, HEAD";
        return hc_buf_add_text(&p->body, "GET or HEAD\n");
    }
    p->status = 404;
    return hc_buf_add_text(&p->body, "There are /healthz and /metrics.\n");
}

static int encode(visitor *v, const page *p, bool with_body)
{
    const hc_header headers[] = {
        {HC_SLICE_LITERAL("Content-Type"), hc_slice_text(p->type)},
        {HC_SLICE_LITERAL("Cache-Control"), HC_SLICE_LITERAL("no-store")},
        {HC_SLICE_LITERAL("Allow"), hc_slice_text(p->allow)},
    };
    hc_response_head head = {p->status, HC_SLICE_NONE, headers, p->allow ? 3 : 2};
    hc_framing framing = {HC_BODY_LENGTH, p->body.size, false};
    int rc = hc_response_encode(&v->answer, &head, &framing, hc_loop_date(v->http->loop), 1);
    return rc == 0 && with_body ? hc_buf_add(&v->answer, hc_buf_slice(&p->body)) : rc;
}

static void answer(visitor *v, const page *p, bool with_body)
{
    v->answered = true;
    if (encode(v, p, with_body) != 0) {
        end(v);
        return;
    }
    uv_buf_t octets = uv_buf_init((char *)v->answer.at, (unsigned)v->answer.size);
    v->write.data = v;
    if (uv_write(&v->write, (uv_stream_t *)&v->tcp, &octets, 1, on_written) != 0)
        end(v);
}

static void answer_request(visitor *v, const hc_request *r)
{
    page p = {.status = 200, .type = "text/plain; charset=utf-8", .body = hc_buf_init(TEXT_BYTES)};
    if (make_page(v->http->loop, r, &p) == 0)
        answer(v, &p, !hc_slice_equal_text(r->method, "HEAD"));
    else
        end(v);
    hc_buf_done(&p.body);
}

static void answer_error(visitor *v, int status, const char *reason)
{
    page p = {
        .status = status, .type = "text/plain; charset=utf-8", .body = hc_buf_init(TEXT_BYTES)};
    if (hc_buf_printf(&p.body, "%s\n", reason) == 0)
        answer(v, &p, true);
    else
        end(v);
    hc_buf_done(&p.body);
}

/* ---- requests ---- */

static void give_room(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
    visitor *v = handle->data;
    (void)wanted;
    *out = uv_buf_init(v->octets, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    visitor *v = stream->data;
    if (n < 0) {
        end(v);
        return;
    }
    hc_slice in = hc_slice_of(buf->base, (size_t)n);
    while (in.size && !v->answered) { /* what follows the first request is dropped */
        size_t consumed = 0;
        hc_h1_event event;
        hc_h1_decode(&v->decoder, in, &consumed, &event);
        in = hc_slice_from(in, consumed);
        if (event.type == HC_H1_HEAD)
            answer_request(v, &v->decoder.request);
        else if (event.type == HC_H1_ERROR)
            answer_error(v, event.status, event.reason);
        if (uv_is_closing((uv_handle_t *)stream))
            return;
    }
}

static void on_visitor(uv_stream_t *listener, int status)
{
    static const hc_h1_limits limits = {1024, 64, 4096, 0};
    hc_metrics_http *http = listener->data;
    visitor *v = status == 0 ? hc_alloc_zero(1, sizeof *v) : NULL;
    if (!v)
        return;
    v->http = http;
    v->handles = 2;
    v->answer = hc_buf_init(TEXT_BYTES + HC_LIMIT_RESPONSE_HEAD);
    hc_h1_init(&v->decoder, &limits);
    (void)uv_tcp_init(listener->loop, &v->tcp); /* cannot fail, nor the timer */
    (void)uv_timer_init(listener->loop, &v->timer);
    v->tcp.data = v->timer.data = v;
    v->next = http->visitors;
    http->visitors = v;
    http->count++;
    (void)uv_timer_start(&v->timer, on_timer, DEADLINE_MS, 0);
    if (uv_accept(listener, (uv_stream_t *)&v->tcp) != 0 || http->count > CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&v->tcp, give_room, on_read) != 0)
        end(v);
}

/* ---- the sockets ---- */

static void free_handle(uv_handle_t *handle)
{
    hc_free(handle);
}

static int add_listener(hc_metrics_http *http, int fd, hc_err *err)
{
    uv_tcp_t *tcp = http->listener_count < LISTENERS_MAX ? hc_alloc(sizeof *tcp) : NULL;
    if (!tcp) {
        (void)close(fd);
        return hc_err_set(err, HC_ELIMIT, "no room for a metrics socket");
    }
    (void)uv_tcp_init(&http->loop->uv, tcp);
    tcp->data = http;
    int failed = uv_tcp_open(tcp, fd);
    if (failed)
        (void)close(fd);
    else
        failed = uv_listen((uv_stream_t *)tcp, CONNECTIONS_MAX, on_visitor);
    if (failed) {
        uv_close((uv_handle_t *)tcp, free_handle);
        return hc_err_set(err, HC_EIO, "cannot serve metrics: %s", uv_strerror(failed));
    }
    http->listeners[http->listener_count++] = tcp;
    return 0;
}

int hc_metrics_http_listen(hc_loop *loop, int fd, hc_err *err)
{
    if (!loop->metrics_http) {
        loop->metrics_http = hc_alloc_zero(1, sizeof *loop->metrics_http);
        if (!loop->metrics_http) {
            (void)close(fd);
            return hc_err_set(err, HC_ENOMEM, "no memory to serve metrics");
        }
        loop->metrics_http->loop = loop;
    }
    return add_listener(loop->metrics_http, fd, err);
}

void hc_metrics_http_close(hc_loop *loop)
{
    hc_metrics_http *http = loop->metrics_http;
    if (!http)
        return;
    while (http->visitors)
        end(http->visitors);
    for (size_t i = 0; i < http->listener_count; i++)
        uv_close((uv_handle_t *)http->listeners[i], free_handle);
    hc_free(http); /* the handles that still close do not look back */
    loop->metrics_http = NULL;
}
