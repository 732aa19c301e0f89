#include "server/conn_impl.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define REST_MS 1 /* of a connection that had its turn */

/* Which state may follow which: anything else is a fault of ours, and ends the connection. */
static const bool allowed[CONN_STATES][CONN_STATES] = {
    [CONN_PROXY] = {[CONN_HANDSHAKE] = true, [CONN_CLOSED] = true},
    [CONN_HANDSHAKE] = {[CONN_HEAD] = true, [CONN_LINGER] = true, [CONN_CLOSED] = true},
    [CONN_HEAD] =
        {[CONN_BODY] = true, [CONN_ANSWER] = true, [CONN_LINGER] = true, [CONN_CLOSED] = true},
    [CONN_BODY] = {[CONN_ANSWER] = true, [CONN_CLOSED] = true},
    [CONN_ANSWER] = {[CONN_HEAD] = true, [CONN_LINGER] = true, [CONN_CLOSED] = true},
    [CONN_LINGER] = {[CONN_CLOSED] = true},
};

void conn_enter(hc_conn *c, hc_conn_state next)
{
    if (c->state == next)
        return;
    if (!allowed[c->state][next]) {
        hc_log_text(c->loop->shared->log, HC_LOG_ERROR, "connection state %d cannot follow %d",
                    (int)next, (int)c->state);
        next = CONN_CLOSED;
    }
    c->state = next;
}

const hc_settings *conn_settings(const hc_conn *c)
{
    return &c->loop->live->settings;
}

hc_conn *hc_conn_next(const hc_conn *c)
{
    return c->next;
}

/* ---- deadlines ---- */

static void on_timer(uv_timer_t *timer);

/* Most deadlines move before they pass: the timer keeps running and looks again, which costs
 * nothing a request. */
void conn_deadline(hc_conn *c, uint64_t in_ms)
{
    uint64_t now = uv_now(&c->loop->uv);
    c->deadline_ms = in_ms ? now + in_ms : 0;
    if (!in_ms || c->handles == 0)
        return;
    if (!uv_is_active((uv_handle_t *)&c->timer) || uv_timer_get_due_in(&c->timer) > in_ms)
        (void)uv_timer_start(&c->timer, on_timer, in_ms, 0);
}

/* By the timer, since octets inside the TLS library make no socket readable. */
static void rest(hc_conn *c)
{
    c->resting = true;
    (void)uv_timer_start(&c->timer, on_timer, REST_MS, 0);
}

static void read_requests(hc_conn *c);
static void go_on(hc_conn *c);

static bool is_idle(const hc_conn *c)
{
    return c->state == CONN_HEAD && !hc_h1_in_head(&c->decoder) && c->ahead.size == 0;
}

static void deadline_passed(hc_conn *c)
{
    switch (c->state) {
    case CONN_HEAD:
        /* What came in this very moment sets a deadline of its own. */
        if (is_idle(c))
            read_requests(c);
        if (c->state == CONN_HEAD && c->deadline_ms == 0 && c->ahead.size == 0)
            conn_input_late(c);
        break;
    case CONN_BODY:
        conn_input_late(c);
        break;
    case CONN_HANDSHAKE:
    case CONN_PROXY:
        hc_log_event(
            c->loop->shared->log, HC_LOG_INFO, "handshake timed out",
            (hc_log_field[]){{"address", hc_slice_text(c->address)}, {NULL, HC_SLICE_NONE}});
        conn_enter(c, CONN_CLOSED);
        break;
    default: /* the client does not take its response, or lingers */
        conn_enter(c, CONN_CLOSED);
    }
}

static void on_timer(uv_timer_t *timer)
{
    hc_conn *c = timer->data;
    uint64_t now = uv_now(&c->loop->uv);
    bool rested = c->resting, late = c->deadline_ms && now >= c->deadline_ms;
    c->resting = false;
    if (c->deadline_ms > now)
        (void)uv_timer_start(timer, on_timer, c->deadline_ms - now, 0);
    if (!rested && !late)
        return;
    c->pumping = true; /* the pump at the end does the rest */
    if (late) {
        c->deadline_ms = 0;
        deadline_passed(c);
    } else {
        go_on(c);
    }
    c->pumping = false;
    conn_pump(c);
}

/* ---- waiting ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

/* Changing what is waited for is a system call: reading stays on through a request. */
static void watch(hc_conn *c)
{
    int want = 0;
    if (!c->read_paused && !c->peer_ended && !c->read_blocked && !c->resting)
        want |= UV_READABLE;
    if (c->want_write || c->read_blocked)
        want |= UV_WRITABLE;
    if (want == c->events)
        return;
    c->events = want;
    if (want)
        (void)uv_poll_start(&c->poll, want, on_poll);
    else
        (void)uv_poll_stop(&c->poll);
}

/* ---- end of life ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    hc_conn *c = handle->data;
    if (--c->handles > 0)
        return;
    (void)close(c->fd);
    hc_loop *loop = c->loop;
    hc_free(c);
    hc_loop_conn_gone(loop);
}

static void unlink_conn(hc_conn *c)
{
    if (c->previous)
        c->previous->next = c->next;
    else
        c->loop->connections = c->next;
    if (c->next)
        c->next->previous = c->previous;
}

static void destroy(hc_conn *c)
{
    if (c->response.by_handler) {
        c->response.by_handler = false;
        hc_handler *h = hc_app_handler(c->loop->app);
        h->cancel(h, &c->exchange);
    }
    if (c->response.active)
        conn_response_sent(c);
    unlink_conn(c);
    hc_tls_free(c->ssl);
    conn_identity_done(c);
    hc_h1_done(&c->decoder);
    hc_buf_done(&c->ahead);
    hc_body_store_done(&c->body);
    hc_outbox_done(&c->out);
    hc_live_unref(c->live);
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

void hc_conn_abort(hc_conn *c)
{
    conn_enter(c, CONN_CLOSED);
    conn_pump(c);
}

void hc_conn_drain(hc_conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    c->draining = true;
    if (is_idle(c)) {
        c->pumping = true;
        read_requests(c); /* a request may be here that nobody has looked at yet */
        c->pumping = false;
    }
    if (is_idle(c))
        conn_shut(c);
    conn_pump(c);
}

/* ---- writing ---- */

/* A response without a length ends with the close_notify: it may have to wait until the client has
 * taken what is in front of it. */
static void end_writing(hc_conn *c)
{
    bool had_to_wait = c->want_write;
    c->want_write = hc_tls_close_notify(c->ssl) == HC_TLS_WANT_WRITE;
    if (c->want_write) {
        if (!had_to_wait)
            conn_deadline(c, conn_settings(c)->send_timeout_ms);
        return;
    }
    (void)shutdown(c->fd, SHUT_WR);
    conn_deadline(c, HC_LIMIT_DRAIN_MS);
    if (c->peer_ended)
        conn_enter(c, CONN_CLOSED);
}

void conn_shut(hc_conn *c)
{
    if (c->state == CONN_CLOSED || c->state == CONN_LINGER)
        return;
    conn_enter(c, CONN_LINGER);
    c->read_paused = c->want_write = c->read_blocked = c->resting = false;
    end_writing(c);
}

static bool talks_http(const hc_conn *c)
{
    return c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_ANSWER;
}

/* Sends the outbox as far as the socket takes it; of a long one only so much at a time, since a
 * client that keeps up would have the thread for itself. */
static void flush(hc_conn *c)
{
    hc_err err = {0};
    size_t sent = 0;
    if (!talks_http(c))
        return;
    c->want_write = false;
    while (c->out.size && c->state != CONN_CLOSED) {
        hc_slice octets;
        size_t done = 0;
        if (sent >= HC_LIMIT_SENT_A_TURN) {
            c->want_write = true; /* it is writable: poll says so once others had their turn */
            return;
        }
        if (hc_outbox_peek(&c->out, c->loop->scratch, sizeof c->loop->scratch, &octets, &err) !=
            0) {
            hc_log_text(c->loop->shared->log, HC_LOG_ERROR, "%s; the response is cut", err.text);
            conn_enter(c, CONN_CLOSED);
            return;
        }
        hc_tls_result r = hc_tls_write(c->ssl, octets, &done, &err);
        if (r == HC_TLS_DONE) {
            hc_outbox_consume(&c->out, done);
            sent += done;
            if (c->state ==
                CONN_ANSWER) /* no deadline while the application is what is waited for */
                conn_deadline(
                    c, c->out.size || c->response.complete ? conn_settings(c)->send_timeout_ms : 0);
        } else if (r == HC_TLS_WANT_WRITE) {
            c->want_write = true;
            /* All before was taken at once, so nothing is counting yet. */
            if (c->state == CONN_ANSWER && c->deadline_ms == 0)
                conn_deadline(c, conn_settings(c)->send_timeout_ms);
            return;
        } else if (r == HC_TLS_WANT_READ) {
            return;
        } else {
            conn_enter(c, CONN_CLOSED);
        }
    }
}

/* ---- reading ---- */

static void linger_read(hc_conn *c)
{
    for (;;) {
        ssize_t n = recv(c->fd, c->loop->scratch, sizeof c->loop->scratch, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n > 0)
            c->drained_bytes += (uint64_t)n;
        if (n == 0 && c->want_write) { /* says no more, and may still read */
            c->peer_ended = true;
            return;
        }
        if (n <= 0 || c->drained_bytes > HC_LIMIT_DRAIN_BYTES) {
            conn_enter(c, CONN_CLOSED);
            return;
        }
    }
}

static void linger(hc_conn *c, int events)
{
    if (c->want_write && (events & UV_WRITABLE))
        end_writing(c);
    if (c->state == CONN_LINGER && (events & (UV_READABLE | UV_DISCONNECT)))
        linger_read(c);
}

static void read_requests(hc_conn *c)
{
    hc_err err = {0};
    for (int reads = 0;
         !c->read_paused && !c->peer_ended && !c->read_blocked && !c->resting && talks_http(c);
         reads++) {
        size_t done = 0;
        if (reads == HC_LIMIT_READS_A_TURN) {
            rest(c);
            return;
        }
        hc_tls_result r =
            hc_tls_read(c->ssl, c->loop->scratch, sizeof c->loop->scratch, &done, &err);
        if (r == HC_TLS_DONE) {
            conn_input(c, hc_slice_of(c->loop->scratch, done));
            /* Nothing is left inside the library: the next octets make the socket readable. */
            if (done < sizeof c->loop->scratch && !SSL_has_pending(c->ssl))
                return;
        } else if (r == HC_TLS_CLOSED) {
            /* Without a close_notify the client is gone; with one it may still read (RFC 8446
             * section 6.1). */
            if (err.code == HC_ECLOSED)
                conn_enter(c, CONN_CLOSED);
            c->peer_ended = true;
            conn_input_ended(c);
            return;
        } else {
            /* The answer to a KeyUpdate (RFC 8446 section 4.6.3) of a client that does not read. */
            c->read_blocked = r == HC_TLS_WANT_WRITE;
            if (r == HC_TLS_FAILED)
                conn_enter(c, CONN_CLOSED);
            return;
        }
    }
}

static void no_proxy_header(hc_conn *c, const char *reason)
{
    hc_log_event(c->loop->shared->log, HC_LOG_WARNING, "no PROXY header",
                 (hc_log_field[]){{"address", hc_slice_text(c->address)},
                                  {"reason", hc_slice_text(reason)},
                                  {NULL, HC_SLICE_NONE}});
    conn_enter(c, CONN_CLOSED);
}

/* The header stands in front of TLS: only its own octets are taken. An incomplete one is taken as
 * far as it goes, since what stays in the socket makes it readable without end. */
static int take_proxy_header(hc_conn *c, hc_slice peeked, hc_proxy *proxy, hc_err *err)
{
    uint8_t dropped[HC_LIMIT_PROXY_HEADER];
    size_t before = c->ahead.size, header_size = 0;
    if (hc_buf_add(&c->ahead, peeked) != 0)
        return hc_err_set(err, HC_ENOMEM, "no memory");
    int rc = hc_proxy_decode(hc_buf_slice(&c->ahead), &header_size, proxy, err);
    if (rc != 0 && rc != -HC_EAGAIN)
        return rc;
    size_t size = rc == 0 ? header_size - before : peeked.size;
    if (recv(c->fd, dropped, size, 0) != (ssize_t)size)
        return hc_err_set(err, HC_EIO, "the header cannot be read");
    if (rc == -HC_EAGAIN && c->ahead.size >= HC_LIMIT_PROXY_HEADER)
        return hc_err_set(err, HC_EFORMAT, "longer than %d octets", HC_LIMIT_PROXY_HEADER);
    return rc;
}

static void read_proxy_header(hc_conn *c)
{
    uint8_t bytes[HC_LIMIT_PROXY_HEADER];
    hc_err err = {0};
    hc_proxy proxy;
    ssize_t n = recv(c->fd, bytes, sizeof bytes - c->ahead.size, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_enter(c, CONN_CLOSED);
        return;
    }
    int rc = take_proxy_header(c, hc_slice_of(bytes, (size_t)n), &proxy, &err);
    if (rc == -HC_EAGAIN)
        return;
    if (rc != 0) {
        no_proxy_header(c, err.text);
        return;
    }
    hc_buf_done(&c->ahead);
    c->ahead = hc_buf_init(HC_LOOP_SCRATCH + HC_LIMIT_PIPELINE_BYTES);
    if (proxy.known) {
        hc_address_text(&proxy.source, c->address, &c->peer.port);
        hc_address_text(&proxy.destination, c->server_address, &c->peer.server_port);
    }
    conn_enter(c, CONN_HANDSHAKE);
}

/* ---- the pump ---- */

static void pump_once(hc_conn *c)
{
    flush(c);
    if (c->state == CONN_ANSWER && c->response.complete && c->out.size == 0) {
        bool cut = c->response.cut, close = c->response.close || c->draining;
        conn_response_sent(c);
        if (cut)
            conn_enter(c, CONN_CLOSED);
        else if (close)
            conn_shut(c);
        else
            conn_enter(c, CONN_HEAD);
        c->again = true;
    }
    if (c->state == CONN_HEAD && (c->ahead.size || c->peer_ended)) {
        hc_buf ahead = c->ahead;
        bool paused = c->read_paused;
        c->ahead = hc_buf_init(HC_LOOP_SCRATCH + HC_LIMIT_PIPELINE_BYTES);
        c->read_paused = false;
        conn_input(c, hc_buf_slice(&ahead));
        hc_buf_done(&ahead);
        /* What the library read ahead makes no socket readable. */
        if (paused || SSL_has_pending(c->ssl))
            read_requests(c);
        /* What a client sent before it ended its side is still answered. */
        if ((c->state == CONN_HEAD || c->state == CONN_BODY) && c->peer_ended)
            conn_input_ended(c);
    }
}

/* Everything that may free a connection or start its next request happens here, in a loop instead
 * of in depth. */
void conn_pump(hc_conn *c)
{
    c->again = true;
    if (c->pumping)
        return;
    c->pumping = true;
    for (int turns = 0; c->again && c->state != CONN_CLOSED; turns++) {
        if (turns == HC_LIMIT_REQUESTS_A_TURN) {
            rest(c);
            break;
        }
        c->again = false;
        pump_once(c);
    }
    c->pumping = false;
    if (c->state == CONN_CLOSED)
        destroy(c);
    else
        watch(c);
}

/* Takes up what stopped for want of a turn. Of what was read ahead the pump takes care first. */
static void go_on(hc_conn *c)
{
    if (c->ahead.size == 0)
        read_requests(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    hc_conn *c = poll->data;
    bool unblocked = c->read_blocked && (events & UV_WRITABLE);
    c->pumping = true; /* whatever is called below, the pump at the end does the rest */
    c->read_blocked = c->read_blocked && !unblocked;
    if (status < 0)
        conn_enter(c, CONN_CLOSED);
    if (c->state == CONN_PROXY)
        read_proxy_header(c);
    if (c->state == CONN_HANDSHAKE)
        conn_handshake(c);
    else if (c->state == CONN_LINGER)
        linger(c, events);
    /* Also when only writing became possible: a handshake that ends with a write may have read
     * ahead. */
    if (talks_http(c) &&
        ((events & (UV_READABLE | UV_DISCONNECT)) || unblocked || SSL_has_pending(c->ssl)))
        read_requests(c);
    c->pumping = false;
    conn_pump(c);
}

/* ---- the beginning ---- */

static bool is_named_proxy(const hc_settings *s, const hc_address *peer)
{
    for (size_t i = 0; s->proxy_protocol && i < s->proxy_allow_from_count; i++)
        if (hc_network_contains(&s->proxy_allow_from[i], peer))
            return true;
    return false;
}

/* Left alone the kernel holds megabytes for a client that is slow, and then reports no progress for
 * as long as that takes a third of them: such a client would miss --send-timeout although it reads
 * all the time. */
static void bound_send_buffer(int fd)
{
#ifdef TCP_NOTSENT_LOWAT
    int bytes = HC_LIMIT_UNSENT_BYTES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
#else
    (void)fd;
#endif
}

static hc_conn *make(hc_loop *loop, int fd, const hc_address *peer)
{
    hc_conn *c = hc_alloc_zero(1, sizeof *c);
    hc_address own;
    if (!c)
        return NULL;
    c->loop = loop;
    c->fd = fd;
    bound_send_buffer(fd);
    c->live = hc_live_ref(loop->live);
    c->ahead = hc_buf_init(HC_LOOP_SCRATCH + HC_LIMIT_PIPELINE_BYTES);
    /* Whole responses are written at once: waiting for more would cost 40 ms behind a TLS 1.3
     * session. No TCP on a unix socket. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    hc_address_text(peer, c->address, &c->peer.port);
    if (hc_address_of_socket(fd, &own, NULL) == 0)
        hc_address_text(&own, c->server_address, &c->peer.server_port);
    c->peer.connection = atomic_fetch_add(&loop->shared->connections_ever, 1) + 1;
    c->peer.address = c->address;
    c->peer.server_address = c->server_address;
    c->peer.tls_protocol = c->peer.tls_cipher = c->peer.tls_sni = "";
    hc_h1_init(&c->decoder, &loop->live->settings.http);
    hc_body_store_init(&c->body, c->live->settings.worker_tmp_dir);
    hc_outbox_init(&c->out, c->live->settings.worker_tmp_dir);
    return c;
}

void hc_conn_accept(hc_loop *loop, int fd, const hc_address *peer)
{
    hc_err err = {0};
    hc_conn *c = make(loop, fd, peer);
    int rc = c ? conn_tls_begin(c, &err) : hc_err_set(&err, HC_ENOMEM, "no memory");
    if (rc == 0 && uv_poll_init(&loop->uv, &c->poll, fd) != 0)
        rc = hc_err_set(&err, HC_EIO, "cannot watch the socket");
    if (rc != 0) {
        hc_log_text(loop->shared->log, HC_LOG_ERROR, "a connection was dropped: %s", err.text);
        if (c) {
            hc_tls_free(c->ssl);
            hc_live_unref(c->live);
            hc_free(c);
        }
        (void)close(fd);
        return;
    }
    (void)uv_timer_init(&loop->uv, &c->timer);
    c->handles = 2;
    c->poll.data = c->timer.data = c;
    c->next = loop->connections;
    if (c->next)
        c->next->previous = c;
    loop->connections = c;
    atomic_fetch_add(&loop->shared->connections, 1);
    c->state = is_named_proxy(&loop->live->settings, peer) ? CONN_PROXY : CONN_HANDSHAKE;
    conn_deadline(c, loop->live->settings.handshake_timeout_ms);
    watch(c);
}
