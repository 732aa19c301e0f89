#include "server/loop_thread.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/authority_link.h"
#include "server/conn.h"
#include "server/metrics_http.h"

#define ACCEPTS_A_TURN      16 /* so that a storm of connections does not starve those that are open */
#define ACCEPT_PAUSE_MS     100
#define ACCEPT_LOG_EVERY_MS 10000

struct hc_message {
    void (*run)(void *arg);
    void *arg;
    hc_message *next;
};

bool hc_loop_post(hc_loop *loop, void (*run)(void *arg), void *arg)
{
    hc_message *m = hc_alloc(sizeof *m);
    if (!m)
        return false;
    *m = (hc_message){run, arg, NULL};
    (void)pthread_mutex_lock(&loop->inbox_lock);
    bool taken = !loop->ended;
    if (taken) {
        *loop->inbox_end = m;
        loop->inbox_end = &m->next;
        (void)uv_async_send(
            &loop->wake); /* under the lock: the handle is not closed before `ended` */
    }
    (void)pthread_mutex_unlock(&loop->inbox_lock);
    if (!taken)
        hc_free(m);
    return taken;
}

static void close_loop(hc_loop *loop);

static void run_inbox(hc_loop *loop)
{
    (void)pthread_mutex_lock(&loop->inbox_lock);
    hc_message *m = loop->inbox;
    loop->inbox = NULL;
    loop->inbox_end = &loop->inbox;
    (void)pthread_mutex_unlock(&loop->inbox_lock);
    while (m) {
        hc_message *next = m->next;
        m->run(m->arg);
        hc_free(m);
        m = next;
    }
}

static void on_wake(uv_async_t *wake)
{
    hc_loop *loop = wake->data;
    run_inbox(loop);
    if (!loop->ended)
        return;
    /* A lane on its way here belongs to nobody else: it is received, and then closed. */
    run_inbox(loop);
    close_loop(loop);
}

static bool post_by_index(void *arg, unsigned thread, void (*run)(void *), void *run_arg)
{
    hc_loop *loop = arg;
    return hc_loop_post(&loop->all[thread], run, run_arg);
}

static void on_ask(void *arg, uint64_t token, int64_t client_id, const uint8_t sha256[32],
                   hc_slice question)
{
    hc_loop *loop = arg;
    hc_authority_link_ask(loop->shared->authority, loop, token, client_id, sha256, question);
}

static hc_app_config app_config(const hc_live *live)
{
    return (hc_app_config){live->settings.timeout_ms, live->settings.remote_user,
                           hc_buf_slice(&live->server_frame), live->settings.max_requests,
                           live->settings.max_requests_jitter};
}

int hc_loop_init(hc_loop *loop, hc_shared *shared, hc_loop *all, unsigned index, hc_live *live,
                 hc_err *err)
{
    loop->shared = shared;
    loop->all = all;
    loop->index = index;
    loop->live = hc_live_ref(live);
    loop->inbox_end = &loop->inbox;
    int rc = uv_loop_init(&loop->uv);
    if (rc != 0)
        return hc_err_set(err, HC_EIO, "cannot make an event loop: %s", uv_strerror(rc));
    if (pthread_mutex_init(&loop->inbox_lock, NULL) != 0)
        return hc_err_set(err, HC_ENOMEM, "no memory for a lock");
    rc = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (rc != 0)
        return hc_err_set(err, HC_EIO, "cannot make an event loop: %s", uv_strerror(rc));
    loop->wake.data = loop;
    (void)uv_timer_init(&loop->uv, &loop->drain_timer);
    loop->drain_timer.data = loop;
    (void)uv_timer_init(&loop->uv, &loop->accept_timer);
    loop->accept_timer.data = loop;
    hc_app_setup setup = {.loop = &loop->uv,
                          .pool = shared->pool,
                          .thread = index,
                          .post = post_by_index,
                          .post_arg = loop,
                          .ask = shared->authority ? on_ask : NULL,
                          .ask_arg = loop};
    rc = hc_app_new(&setup, &loop->app, err);
    if (rc == 0) {
        hc_app_config config = app_config(live);
        hc_app_configure(loop->app, &config);
    }
    return rc;
}

static void *run_thread(void *arg)
{
    hc_loop *loop = arg;
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    return NULL;
}

int hc_loop_start(hc_loop *loop, hc_err *err)
{
    int rc = pthread_create(&loop->thread, NULL, run_thread, loop);
    return rc == 0 ? 0 : hc_err_errno(err, rc, "cannot start a thread");
}

static void free_handle(uv_handle_t *handle)
{
    hc_free(handle);
}

static void close_listeners(hc_loop *loop)
{
    for (size_t i = 0; i < loop->listener_count; i++)
        uv_close((uv_handle_t *)loop->listeners[i], free_handle);
    loop->listener_count = 0;
    loop->listening = false;
}

static void end_loop(void *arg)
{
    hc_loop *loop = arg;
    (void)pthread_mutex_lock(&loop->inbox_lock);
    loop->ended = true;
    (void)pthread_mutex_unlock(&loop->inbox_lock);
}

static void close_loop(hc_loop *loop)
{
    close_listeners(loop);
    hc_metrics_http_close(loop);
    if (loop->index == 0 && loop->shared->authority)
        hc_authority_link_unwatch(loop->shared->authority);
    while (loop->connections)
        hc_conn_abort(loop->connections);
    hc_app_free(loop->app);
    loop->app = NULL;
    uv_close((uv_handle_t *)&loop->drain_timer, NULL);
    uv_close((uv_handle_t *)&loop->accept_timer, NULL);
    uv_close((uv_handle_t *)&loop->wake, NULL);
}

void hc_loop_stop(hc_loop *loop)
{
    if (hc_loop_post(loop, end_loop, loop))
        (void)pthread_join(loop->thread, NULL);
}

void hc_loop_done(hc_loop *loop)
{
    (void)uv_loop_close(&loop->uv);
    while (loop->inbox) {
        hc_message *m = loop->inbox;
        loop->inbox = m->next;
        hc_free(m);
    }
    (void)pthread_mutex_destroy(&loop->inbox_lock);
    hc_live_unref(loop->live);
}

static void listen_again(void *arg);

void hc_loop_configure(hc_loop *loop, hc_live *live)
{
    hc_app_config config = app_config(live);
    hc_live *old = loop->live;
    loop->live = live;
    hc_app_configure(loop->app, &config);
    hc_live_unref(old);
    listen_again(loop); /* --worker-connections may have grown */
}

hc_slice hc_loop_date(hc_loop *loop)
{
    int64_t now = hc_clock_wall_s();
    if (now != loop->date_s) {
        loop->date_s = now;
        hc_http_date(now, loop->date);
    }
    return hc_slice_text(loop->date);
}

void hc_loops_measure(const hc_loop *all, const hc_live *live, hc_metrics_sum *out)
{
    const hc_shared *s = all->shared;
    hc_pool_counts pool = hc_pool_count(s->pool);
    hc_session_stats sessions =
        s->sessions ? hc_session_store_stats(s->sessions) : (hc_session_stats){0};
    *out = (hc_metrics_sum){.gauges = {.generation = live->generation,
                                       .connections = atomic_load(&s->connections),
                                       .connections_ever = atomic_load(&s->connections_ever),
                                       .sessions = sessions.entries,
                                       .session_bytes = sessions.bytes,
                                       .workers = pool.workers,
                                       .lanes = pool.lanes,
                                       .busy = pool.busy,
                                       .waiting = pool.waiting,
                                       .draining = atomic_load(&s->draining),
                                       .ends = live->ends}};
    if (s->follower) {
        out->gauges.has_registry = true;
        hc_follower_facts_now(s->follower, &out->gauges.registry);
    }
    for (unsigned i = 0; i < s->loop_count; i++)
        hc_metrics_sum_add(out, &all[i].metrics);
}

/* ---- accepting ---- */

static void on_connection(uv_poll_t *poll, int status, int events);

static void listen_again(void *arg)
{
    hc_loop *loop = arg;
    if (loop->listening || loop->draining)
        return;
    for (size_t i = 0; i < loop->listener_count; i++)
        (void)uv_poll_start(loop->listeners[i], UV_READABLE, on_connection);
    loop->listening = true;
}

static void stop_listening(hc_loop *loop)
{
    for (size_t i = 0; i < loop->listener_count; i++)
        (void)uv_poll_stop(loop->listeners[i]);
    loop->listening = false;
}

/* Full: new connections wait in the kernel's queue until one of ours has ended. */
static bool full(const hc_loop *loop)
{
    return atomic_load(&loop->shared->connections) >= loop->live->settings.worker_connections;
}

static void on_accept_timer(uv_timer_t *timer)
{
    listen_again(timer->data);
}

/* Out of descriptors or memory: a listener stays readable, and would keep the thread from all else.
 */
static void pause_listening(hc_loop *loop, int errno_value)
{
    hc_err err;
    uint64_t now = hc_clock_monotonic_ms();
    stop_listening(loop);
    (void)uv_timer_start(&loop->accept_timer, on_accept_timer, ACCEPT_PAUSE_MS, 0);
    if (loop->accept_failed_ms && now - loop->accept_failed_ms < ACCEPT_LOG_EVERY_MS)
        return;
    loop->accept_failed_ms = now;
    (void)hc_err_errno(&err, errno_value, "connections wait and cannot be accepted");
    hc_log_text(loop->shared->log, HC_LOG_ERROR, "%s", err.text);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    hc_loop *loop = poll->data;
    uv_os_fd_t listener;
    (void)events;
    if (status < 0 || uv_fileno((uv_handle_t *)poll, &listener) != 0)
        return;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        if (full(loop)) {
            stop_listening(loop);
            return;
        }
        hc_address peer = {.size = sizeof peer.storage};
        int fd = accept4(listener, (struct sockaddr *)&peer.storage, &peer.size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hc_conn_accept(loop, fd, &peer);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (errno != EAGAIN)
                pause_listening(loop, errno);
            return;
        }
    }
}

void hc_loop_listen(hc_loop *loop, int fd)
{
    uv_poll_t *poll = loop->listener_count < HC_LIMIT_LISTENERS ? hc_alloc(sizeof *poll) : NULL;
    if (!poll || uv_poll_init(&loop->uv, poll, fd) != 0) {
        hc_free(poll);
        hc_log_text(loop->shared->log, HC_LOG_ERROR, "cannot watch a listening socket");
        return;
    }
    poll->data = loop;
    loop->listeners[loop->listener_count++] = poll;
    loop->listening = false;
    listen_again(loop); /* the others too: where the server is full they find out */
}

/* ---- the end ---- */

static void drained(hc_loop *loop)
{
    if (loop->drained)
        return;
    loop->drained = true;
    (void)uv_timer_stop(&loop->drain_timer);
    hc_shared *s = loop->shared;
    if (atomic_fetch_sub(&s->loops_draining, 1) == 1)
        s->events.drained(s->events.arg);
}

static void on_drain_timeout(uv_timer_t *timer)
{
    hc_loop *loop = timer->data;
    while (loop->connections)
        hc_conn_abort(loop->connections);
    drained(loop);
}

void hc_loop_drain(hc_loop *loop, uint64_t grace_ms)
{
    if (loop->draining)
        return;
    loop->draining = true;
    close_listeners(loop);
    for (hc_conn *c = loop->connections, *next; c; c = next) {
        next = hc_conn_next(c);
        hc_conn_drain(c);
    }
    if (loop->connections)
        (void)uv_timer_start(&loop->drain_timer, on_drain_timeout, grace_ms, 0);
    else
        drained(loop);
}

void hc_loop_conn_gone(hc_loop *loop)
{
    uint64_t before = atomic_fetch_sub(&loop->shared->connections, 1);
    if (loop->draining) {
        if (!loop->connections)
            drained(loop);
        return;
    }
    /* Every thread that found the server full stopped to listen. */
    if (before == loop->live->settings.worker_connections)
        for (unsigned i = 0; i < loop->shared->loop_count; i++)
            (void)hc_loop_post(&loop->all[i], listen_again, &loop->all[i]);
    listen_again(loop);
}
