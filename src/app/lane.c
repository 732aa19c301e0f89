#include "app/lane.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

static void on_poll(uv_poll_t *poll, int status, int events)
{
    app_lane *lane = poll->data;
    if (!lane)
        return;
    app_lane_ready(lane, status < 0 ? UV_READABLE : events);
}

static void free_handle(uv_handle_t *handle)
{
    hc_free(handle);
}

int app_lane_watch(app_lane *lane, int events, hc_err *err)
{
    if (!lane->poll) {
        lane->poll = hc_alloc(sizeof *lane->poll);
        if (!lane->poll)
            return hc_err_set(err, HC_ENOMEM, "no memory for a lane");
        int rc = uv_poll_init(lane->app->setup.loop, lane->poll, lane->channel.fd);
        if (rc != 0) {
            hc_free(lane->poll);
            lane->poll = NULL;
            return hc_err_set(err, HC_EIO, "cannot watch a lane: %s", uv_strerror(rc));
        }
        lane->poll->data = lane;
        lane->events = 0;
    }
    if (lane->events != events) {
        int rc = uv_poll_start(lane->poll, events, on_poll);
        if (rc != 0)
            return hc_err_set(err, HC_EIO, "cannot watch a lane: %s", uv_strerror(rc));
        lane->events = events;
    }
    return 0;
}

static void unwatch(app_lane *lane)
{
    if (!lane->poll)
        return;
    (void)uv_poll_stop(lane->poll);
    lane->poll->data = NULL;
    uv_close((uv_handle_t *)lane->poll, free_handle);
    lane->poll = NULL;
    lane->events = 0;
}

void app_lane_unlink(app_lane *lane)
{
    hc_app *app = lane->app;
    if (lane->previous)
        lane->previous->next = lane->next;
    else
        app->lanes = lane->next;
    if (lane->next)
        lane->next->previous = lane->previous;
    lane->previous = lane->next = NULL;
    unwatch(lane);
}

void app_lane_link(app_lane *lane, hc_app *app)
{
    lane->app = app;
    lane->previous = NULL;
    lane->next = app->lanes;
    if (app->lanes)
        app->lanes->previous = lane;
    app->lanes = lane;
}

static void close_body_file(app_lane *lane)
{
    if (lane->body_file >= 0)
        (void)close(lane->body_file);
    lane->body_file = -1;
    lane->channel.out_fd = -1;
}

void app_lane_destroy(app_lane *lane)
{
    close_body_file(lane);
    app_slots_done(lane);
    int fd = lane->channel.fd;
    hc_channel_done(&lane->channel);
    (void)close(fd);
    hc_free(lane);
}

static void not_busy(app_lane *lane)
{
    if (lane->state == LANE_BUSY || lane->state == LANE_FINISHING)
        atomic_fetch_sub(&lane->worker->busy, 1);
}

void app_lane_close(app_lane *lane, const char *why)
{
    hc_exchange *x = lane->exchange;
    hc_pool *pool = lane->app->setup.pool;
    not_busy(lane);
    app_take_from_idle(lane);
    app_lane_unlink(lane);
    hc_pool_lane_closed(pool, lane->worker);
    app_lane_destroy(lane);
    if (x)
        x->respond->fail(x, 502, why);
}

static int flush(app_lane *lane, hc_err *err)
{
    int rc = hc_channel_flush(&lane->channel, err);
    if (rc == 0) {
        close_body_file(lane);
        return app_lane_watch(lane, UV_READABLE, err);
    }
    if (rc == -HC_EAGAIN)
        return app_lane_watch(lane, UV_READABLE | UV_WRITABLE, err);
    return rc;
}

/* Whom a question of this request's view is about. */
static void keep_client(app_lane *lane, const hc_exchange *x)
{
    lane->has_client = x->principal && x->record;
    if (!lane->has_client)
        return;
    lane->client_id = hc_record_client_id(x->record);
    memcpy(lane->sha256, hc_cert_sha256(x->principal->cert), sizeof lane->sha256);
}

/* Each worker its own end, so that they do not end together: by its number, spread by a
 * multiplication (Knuth's). */
static uint64_t requests_of(const app_lane *lane)
{
    const hc_app_config *c = &lane->app->config;
    uint32_t spread = lane->worker->number * 2654435761u;
    return c->max_requests ? c->max_requests + spread % (c->max_requests_jitter + 1) : 0;
}

int app_lane_send(app_lane *lane, hc_exchange *x, hc_err *err)
{
    int rc = app_request_encode(lane, x, err);
    if (rc != 0) {
        close_body_file(lane);
        return rc;
    }
    rc = flush(lane, err);
    if (rc != 0)
        return rc == -HC_ELIMIT ? -HC_EIO : rc;
    lane->state = LANE_BUSY;
    lane->exchange = x;
    lane->head_came = lane->refusal_came = false;
    keep_client(lane, x);
    lane->since_ms = hc_clock_monotonic_ms();
    x->handler_state = lane;
    atomic_fetch_add(&lane->worker->busy, 1);
    hc_pool_request(lane->app->setup.pool, lane->worker, requests_of(lane));
    return 0;
}

void app_lane_let_go(app_lane *lane, bool cancel)
{
    hc_err err;
    size_t at;
    lane->exchange = NULL;
    lane->state = LANE_FINISHING;
    lane->since_ms = hc_clock_monotonic_ms();
    if (!cancel)
        return;
    /* Without memory for it the worker runs on to its end, which is only slower. */
    if (hc_lane_begin(&lane->channel.out, HC_LANE_CANCEL, 0, &at) == 0 &&
        hc_lane_end(&lane->channel.out, at) == 0)
        (void)!flush(lane, &err);
}

/* The exchange has ended with this call; the rest of what the worker sends is dropped. */
static void completed(app_lane *lane)
{
    app_lane_let_go(lane, false);
}

static int give_head(app_lane *lane, hc_slice payload, hc_err *err)
{
    hc_app *app = lane->app;
    hc_exchange *x = lane->exchange;
    hc_lane_head h;
    if (lane->head_came)
        return hc_err_set(err, HC_EFORMAT, "a second HEAD for one request");
    int rc = hc_lane_decode_head(payload, &h, app->pairs, HC_COUNT(app->pairs), err);
    if (rc != 0)
        return rc;
    lane->head_came = true;
    for (size_t i = 0; i < h.header_count; i++)
        app->headers[i] = (hc_header){h.headers[i].name, h.headers[i].value};
    hc_response_head head = {h.status, h.reason, app->headers, h.header_count};
    rc = x->respond->head(x, &head, err);
    if (rc == HC_RESPONSE_COMPLETE) {
        completed(lane);
    } else if (rc < 0) {
        app_lane_let_go(lane, true);
        x->respond->fail(x, 500, err->text);
    }
    return 0;
}

static int give_octets(app_lane *lane, const hc_lane_header *h, hc_slice payload, int *fd,
                       hc_err *err)
{
    hc_exchange *x = lane->exchange;
    int rc;
    if (!lane->head_came)
        return hc_err_set(err, HC_EFORMAT, "body octets before the HEAD");
    if (h->type == HC_LANE_DATA) {
        rc = x->respond->data(x, payload, err);
    } else {
        hc_lane_file f;
        rc = hc_lane_decode_file(payload, &f, err);
        if (rc != 0)
            return rc;
        rc = x->respond->file(x, *fd, f.offset, f.size, err);
        *fd = -1;
    }
    if (rc == HC_RESPONSE_COMPLETE) {
        completed(lane);
    } else if (rc < 0) {
        app_lane_let_go(lane, true);
        x->respond->fail(x, 500, err->text);
    }
    return 0;
}

static int give_refusal(app_lane *lane, hc_slice payload, hc_err *err)
{
    hc_exchange *x = lane->exchange;
    hc_lane_refused refused;
    hc_verdict_code verdict;
    if (lane->refusal_came)
        return hc_err_set(err, HC_EFORMAT, "a second REFUSED for one request");
    int rc = hc_lane_decode_refused(payload, &refused, err);
    if (rc != 0)
        return rc;
    lane->refusal_came = true;
    if (!hc_verdict_parse(refused.verdict, &verdict))
        verdict = HC_VERDICT_REFUSED_BY_APP;
    x->respond->refused(x, verdict, refused.reason);
    return 0;
}

static const char unavailable[] = "{\"ok\":false,\"code\":\"unavailable\",\"error\":\"%s\"}";

static void answer_unavailable(app_lane *lane, const char *why)
{
    char text[sizeof unavailable + 80];
    int size = snprintf(text, sizeof text, unavailable, why);
    app_lane_answer(lane, hc_slice_of(text, (size_t)size));
}

void app_lane_answer(app_lane *lane, hc_slice answer)
{
    hc_err err = {0};
    lane->asked = 0;
    int rc = hc_lane_add_answer(&lane->channel.out, answer);
    if (rc == -HC_ELIMIT && answer.size > HC_LIMIT_ANSWER_BYTES) {
        answer_unavailable(lane, "the answer is too long");
        return;
    }
    if (rc != 0)
        (void)hc_err_set(&err, -rc, "no memory for the answer to what a view asks");
    if (rc == 0)
        rc = flush(lane, &err);
    /* Its view would wait for ever. Where the worker died poll finds out. */
    if (rc != 0 && rc != -HC_ECLOSED)
        hc_pool_broken(lane->app->setup.pool, lane->worker, err.text);
}

/* Also for a client that is gone: the view does not know that yet, and what it asks is to be done.
 */
static int take_ask(app_lane *lane, hc_slice question, hc_err *err)
{
    hc_app *app = lane->app;
    if (lane->asked)
        return hc_err_set(err, HC_EFORMAT, "a second ASK before the ANSWER");
    if (question.size > HC_LIMIT_ASK_BYTES)
        return hc_err_set(err, HC_EFORMAT, "an ASK of %zu octets", question.size);
    /* No two threads have a token in common. */
    lane->asked = (uint64_t)app->setup.thread << 48 | ++app->asked;
    if (!lane->has_client)
        answer_unavailable(lane, "this client has no record");
    else if (!app->setup.ask)
        answer_unavailable(lane, "this server has no registry");
    else
        app->setup.ask(app->setup.ask_arg, lane->asked, lane->client_id, lane->sha256, question);
    return 0;
}

static int give_end(app_lane *lane, hc_slice payload, hc_err *err)
{
    hc_exchange *x = lane->exchange;
    bool failed;
    int rc = hc_lane_decode_end(payload, &failed, err);
    if (rc != 0)
        return rc;
    if (lane->body_file >= 0)
        return hc_err_set(err, HC_EFORMAT, "an END for a request that was not read");
    if (lane->asked)
        return hc_err_set(err, HC_EFORMAT, "an END before the ANSWER to an ASK");
    not_busy(lane);
    lane->exchange = NULL;
    lane->state = LANE_IDLE;
    if (x && (failed || !lane->head_came))
        x->respond->fail(x, 500, "the application failed; its traceback is in the log");
    else if (x)
        x->respond->end(x);
    app_lane_is_idle(lane);
    return 0;
}

static int take_hello(app_lane *lane, hc_slice payload, hc_err *err)
{
    uint32_t protocol;
    int rc = hc_lane_decode_hello(payload, &protocol, err);
    if (rc != 0)
        return rc;
    if (protocol != HC_LANE_PROTOCOL)
        return hc_err_set(err, HC_EFORMAT,
                          "the worker speaks lane protocol %u, this program %u: install handclasp "
                          "again in the application's environment",
                          (unsigned)protocol, (unsigned)HC_LANE_PROTOCOL);
    lane->state = LANE_IDLE;
    hc_pool_lane_ready(lane->app->setup.pool, lane->worker);
    app_lane_is_idle(lane);
    return 0;
}

static int take_frame(app_lane *lane, const hc_lane_header *h, hc_slice payload, int *fd,
                      hc_err *err)
{
    if (lane->state == LANE_STARTING && h->type == HC_LANE_HELLO)
        return take_hello(lane, payload, err);
    if (lane->state != LANE_BUSY && lane->state != LANE_FINISHING)
        return hc_err_set(err, HC_EFORMAT, "frame %u on a lane without a request", h->type);
    if (h->type == HC_LANE_END)
        return give_end(lane, payload, err);
    if (h->type < HC_LANE_HEAD)
        return hc_err_set(err, HC_EFORMAT, "frame %u from a worker", h->type);
    if (h->type == HC_LANE_ASK)
        return take_ask(lane, payload, err);
    if (lane->state == LANE_FINISHING)
        return 0;
    if (h->type == HC_LANE_HEAD)
        return give_head(lane, payload, err);
    if (h->type == HC_LANE_REFUSED)
        return give_refusal(lane, payload, err);
    return give_octets(lane, h, payload, fd, err);
}

/* One read of the socket, then every whole frame that came with it. */
static int read_frames(app_lane *lane, hc_err *err)
{
    int rc;
    do {
        hc_lane_header h;
        hc_slice payload;
        int fd = -1;
        rc = hc_channel_read(&lane->channel, &h, &payload, &fd, err);
        if (rc == 0)
            rc = take_frame(lane, &h, payload, &fd, err);
        if (fd >= 0)
            (void)close(fd);
    } while (rc == 0 && hc_channel_has_frame(&lane->channel));
    return rc == -HC_EAGAIN ? 0 : rc;
}

static void end_lane(app_lane *lane, int rc, const hc_err *err)
{
    if (rc == -HC_ECLOSED) {
        app_lane_close(lane, "the worker died while it worked on this request");
        return;
    }
    hc_pool_broken(lane->app->setup.pool, lane->worker, err->text);
    app_lane_close(lane, "the worker broke the lane's protocol");
}

void app_lane_ready(app_lane *lane, int events)
{
    hc_err err = {0};
    int rc = 0;
    if (events & UV_WRITABLE)
        rc = flush(lane, &err);
    lane->in_use = true; /* a response that ends may start a request that finds this lane idle */
    if (rc == 0 && (events & (UV_READABLE | UV_DISCONNECT)))
        rc = read_frames(lane, &err);
    lane->in_use = false;
    if (rc != 0) {
        end_lane(lane, rc, &err);
        return;
    }
    if (lane->exchange) {
        lane->exchange->respond->flush(lane->exchange);
    } else if (lane->state == LANE_IDLE) {
        app_lane_settle(lane);
    }
}
