#include "server/front.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/authority_link.h"
#include "server/authority_message.h"
#include "server/conn.h"
#include "server/loop_thread.h"
#include "server/metrics_http.h"
#include "server/ticket.h"

struct hc_front {
    hc_shared shared;
    hc_live *live; /* what the next configuration replaces */
    uint64_t generation;
    hc_loop *loops;
    unsigned loop_count;
    unsigned next_loop; /* gets the next lane */
    int listeners[HC_LIMIT_LISTENERS];
    size_t listener_count;
    int access_fd; /* given and not yet used; -1: none */
    bool started, again;
    uint64_t flushed_ms; /* on the follower's thread: when what was seen was last sent */
};

static void on_lane_ready(void *arg, uint32_t worker)
{
    hc_front *f = arg;
    f->shared.events.lane_ready(f->shared.events.arg, worker);
}

static void on_worker_broken(void *arg, uint32_t worker, const char *why)
{
    hc_front *f = arg;
    f->shared.events.worker_broken(f->shared.events.arg, worker, why);
}

static void on_worker_idle(void *arg, uint32_t worker)
{
    hc_front *f = arg;
    f->shared.events.worker_idle(f->shared.events.arg, worker);
}

static void on_worker_spent(void *arg, uint32_t worker)
{
    hc_front *f = arg;
    f->shared.events.worker_spent(f->shared.events.arg, worker);
}

int hc_front_new(const hc_log *log, const hc_front_events *events, bool again, hc_front **out,
                 hc_err *err)
{
    hc_front *f = hc_alloc_zero(1, sizeof *f);
    if (!f)
        return hc_err_set(err, HC_ENOMEM, "no memory for the front");
    f->access_fd = -1;
    f->again = again;
    f->shared.log = log;
    f->shared.events = *events;
    hc_pool_events pool_events = {f, on_lane_ready, on_worker_broken, on_worker_idle,
                                  on_worker_spent};
    int rc = hc_pool_new(&pool_events, &f->shared.pool, err);
    if (rc == 0 && (rc = hc_published_new(&f->shared.published, err)) != 0)
        hc_pool_free(f->shared.pool);
    if (rc != 0) {
        hc_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

typedef struct new_live {
    hc_loop *loop;
    hc_live *live;
} new_live;

static void take_live(void *arg)
{
    new_live *n = arg;
    hc_loop_configure(n->loop, n->live);
    hc_free(n);
}

/* Either every thread has the new configuration in its inbox, or the process has no memory left to
 * go on with. */
static int publish(hc_front *f, hc_live *live, hc_err *err)
{
    for (unsigned i = 0; f->started && i < f->loop_count; i++) {
        new_live *n = hc_alloc(sizeof *n);
        if (!n)
            return hc_err_set(err, HC_ENOMEM, "no memory for the new configuration");
        *n = (new_live){&f->loops[i], hc_live_ref(live)};
        if (!hc_loop_post(&f->loops[i], take_live, n)) {
            hc_live_unref(n->live);
            hc_free(n);
            return hc_err_set(err, HC_ENOMEM, "no memory for the new configuration");
        }
    }
    return 0;
}

void hc_front_access_log(hc_front *f, int fd)
{
    if (f->shared.access) {
        hc_access_log_move(f->shared.access, fd);
        return;
    }
    if (f->access_fd >= 0)
        (void)close(f->access_fd);
    f->access_fd = fd;
}

static int open_access_log(hc_front *f, const hc_settings *s, hc_err *err)
{
    int fd = f->access_fd;
    f->access_fd = -1;
    return fd >= 0
               ? hc_access_log_over(fd, s->access_logformat, f->shared.log, &f->shared.access, err)
               : hc_access_log_open(s->access_logfile, s->access_logformat, f->shared.log,
                                    &f->shared.access, err);
}

/* ---- the registry; on the follower's thread but for opening ---- */

static void on_registry_report(void *arg, const char *problem)
{
    const hc_front *f = arg;
    if (problem)
        hc_log_text(f->shared.log, HC_LOG_ERROR,
                    "the registry cannot be read: %s; clients with a certificate are answered 503 "
                    "once what is known of it is older than --registry-max-age",
                    problem);
    else
        hc_log_text(f->shared.log, HC_LOG_INFO, "the registry can be read again");
}

static bool send_seen(void *arg, const hc_seen *seen, size_t count)
{
    return hc_authority_link_seen(arg, seen, count);
}

static void flush_seen(const hc_front *f)
{
    (void)hc_seen_flush(f->shared.seen, HC_AUTHORITY_SEEN_MAX, send_seen, f->shared.authority);
}

static void on_registry_tick(void *arg)
{
    hc_front *f = arg;
    uint64_t now_ms = hc_clock_monotonic_ms();
    hc_authority_link_retry(f->shared.authority);
    if (now_ms - f->flushed_ms < HC_REGISTRY_SEEN_MS)
        return;
    f->flushed_ms = now_ms;
    flush_seen(f);
}

static void on_pinned(void *arg, int64_t certificate_id, const hc_cert *cert)
{
    const hc_front *f = arg;
    hc_authority_link_pin(f->shared.authority, certificate_id, cert);
}

static int open_registry(hc_front *f, const hc_settings *s, hc_err *err)
{
    hc_shared *shared = &f->shared;
    int rc = 0;
    if (!shared->seen)
        rc = hc_seen_batch_new(&shared->seen, err);
    if (rc == 0 && !shared->authority)
        rc = hc_authority_link_new(&shared->authority, err);
    if (rc != 0)
        return rc;
    hc_follower_config config = {.url = s->registry,
                                 .base = s->state,
                                 .max_age_ms = s->registry_max_age_ms,
                                 .arg = f,
                                 .report = on_registry_report,
                                 .tick = on_registry_tick,
                                 .pinned = on_pinned};
    rc = hc_follower_start(&config, !f->again, &shared->follower, err);
    if (rc != 0)
        return hc_err_context(err, "--registry %s, as the front's user", s->registry);
    shared->lookup = hc_follower_lookup(shared->follower);
    return 0;
}

static void close_registry(hc_front *f)
{
    hc_follower_stop(f->shared.follower);
    if (f->shared.seen && f->shared.authority)
        flush_seen(f);
    hc_authority_link_free(f->shared.authority);
    hc_seen_batch_free(f->shared.seen);
}

static int open_shared(hc_front *f, const hc_settings *s, hc_err *err)
{
    int rc = 0;
    if (s->access_logfile && !f->shared.access)
        rc = open_access_log(f, s, err);
    if (rc == 0 && s->session_cache && !f->shared.sessions) {
        hc_session_config config = {.entries = (size_t)s->session_cache,
                                    .bytes = HC_LIMIT_SESSION_BYTES_DEFAULT,
                                    .attachment_ref = hc_ticket_ref,
                                    .attachment_unref = hc_ticket_unref,
                                    .attachment_bytes = hc_ticket_bytes};
        rc = hc_session_store_new(&config, &f->shared.sessions, err);
    }
    if (rc == 0 && hc_settings_has_registry(s) && !f->shared.follower)
        rc = open_registry(f, s, err);
    return rc;
}

/* Clients will refuse it; a server that ends for it would take its own log away. */
static void warn_of_the_end(const hc_front *f, const hc_live *live)
{
    int64_t left_s = live->ends.server_s - hc_clock_wall_s();
    if (left_s < 0)
        hc_log_text(f->shared.log, HC_LOG_WARNING,
                    "the server's certificate has expired: make a new one and reload");
    else if (left_s < 14 * 86400)
        hc_log_text(f->shared.log, HC_LOG_WARNING,
                    "the server's certificate ends in %lld days: make a new one and reload",
                    (long long)(left_s / 86400));
}

int hc_front_configure(hc_front *f, const hc_settings *settings, const hc_files *files, hc_err *err)
{
    hc_live *live;
    hc_tls_hooks hooks = hc_conn_hooks();
    int rc = hc_live_new(settings, files, ++f->generation, &hooks, &live, err);
    if (rc != 0)
        return rc;
    rc = open_shared(f, settings, err);
    if (rc == 0)
        rc = publish(f, live, err);
    if (rc != 0) {
        hc_live_unref(live);
        return rc;
    }
    hc_live_unref(f->live);
    f->live = live;
    hc_published_allow(f->shared.published, settings->publish_crl != HC_PUBLISH_OFF);
    if (f->shared.follower)
        hc_follower_set_max_age(f->shared.follower, settings->registry_max_age_ms);
    warn_of_the_end(f, live);
    return 0;
}

static unsigned count_threads(const hc_settings *s)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = s->front_threads ? s->front_threads : (unsigned)(cores > 0 ? cores : 1);
    return n < HC_LIMIT_FRONT_THREADS ? n : HC_LIMIT_FRONT_THREADS;
}

int hc_front_start(hc_front *f, hc_err *err)
{
    unsigned count = count_threads(&f->live->settings);
    f->loops = hc_alloc_zero(count, sizeof *f->loops);
    if (!f->loops)
        return hc_err_set(err, HC_ENOMEM, "no memory for threads");
    f->shared.loop_count = count;
    for (unsigned i = 0; i < count; i++) {
        int rc = hc_loop_init(&f->loops[i], &f->shared, f->loops, i, f->live, err);
        if (rc != 0)
            return rc;
    }
    for (unsigned i = 0; i < count; i++) {
        int rc = hc_loop_start(&f->loops[i], err);
        if (rc != 0)
            return rc;
        f->loop_count++;
    }
    f->started = true;
    return 0;
}

typedef struct fd_order {
    hc_loop *loop;
    int fd;
    uint32_t worker;
} fd_order;

static void take_listener(void *arg)
{
    fd_order *o = arg;
    hc_loop_listen(o->loop, o->fd);
    hc_free(o);
}

static void take_lane(void *arg)
{
    fd_order *o = arg;
    hc_shared *s = o->loop->shared;
    hc_err err = {0};
    if (hc_app_add_lane(o->loop->app, o->worker, o->fd, &err) != 0)
        s->events.worker_broken(s->events.arg, o->worker, err.text);
    hc_free(o);
}

static int order(hc_loop *loop, void (*run)(void *), fd_order what, hc_err *err)
{
    fd_order *o = hc_alloc(sizeof *o);
    if (o)
        *o = what;
    if (!o || !hc_loop_post(loop, run, o)) {
        hc_free(o);
        return hc_err_set(err, HC_ENOMEM, "no memory for a message to a thread");
    }
    return 0;
}

int hc_front_listen(hc_front *f, int fd, hc_err *err)
{
    int rc = 0;
    if (f->listener_count == HC_LIMIT_LISTENERS)
        rc = hc_err_set(err, HC_ELIMIT, "more than %d listening sockets", HC_LIMIT_LISTENERS);
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    f->listeners[f->listener_count++] = fd;
    for (unsigned i = 0; i < f->loop_count && rc == 0; i++)
        rc = order(&f->loops[i], take_listener, (fd_order){&f->loops[i], fd, 0}, err);
    return rc;
}

static void take_metrics(void *arg)
{
    fd_order *o = arg;
    hc_err err = {0};
    if (hc_metrics_http_listen(o->loop, o->fd, &err) != 0)
        hc_log_text(o->loop->shared->log, HC_LOG_ERROR, "%s", err.text);
    hc_free(o);
}

static void take_authority(void *arg)
{
    fd_order *o = arg;
    hc_authority_link_take(o->loop->shared->authority, o->loop, o->fd);
    hc_free(o);
}

int hc_front_authority(hc_front *f, int fd, hc_err *err)
{
    int rc = f->shared.authority
                 ? order(&f->loops[0], take_authority, (fd_order){&f->loops[0], fd, 0}, err)
                 : hc_err_set(err, HC_EFORMAT, "an authority without a registry");
    if (rc != 0)
        (void)close(fd);
    return rc;
}

int hc_front_serve_metrics(hc_front *f, int fd, hc_err *err)
{
    int rc = order(&f->loops[0], take_metrics, (fd_order){&f->loops[0], fd, 0}, err);
    if (rc != 0)
        (void)close(fd);
    return rc;
}

int hc_front_add_lane(hc_front *f, uint32_t worker, int fd, hc_err *err)
{
    hc_loop *loop = &f->loops[f->next_loop++ % f->loop_count];
    int flags = fcntl(fd, F_GETFL);
    int rc = flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0
                 ? order(loop, take_lane, (fd_order){loop, fd, worker}, err)
                 : hc_err_errno(err, errno, "cannot make a lane non-blocking");
    if (rc != 0)
        (void)close(fd);
    return rc;
}

static void close_retired(void *arg)
{
    hc_loop *loop = arg;
    hc_app_close_retired(loop->app);
}

void hc_front_retire_worker(hc_front *f, uint32_t worker)
{
    hc_pool_retire(f->shared.pool, worker);
    for (unsigned i = 0; i < f->loop_count; i++)
        (void)hc_loop_post(&f->loops[i], close_retired, &f->loops[i]);
}

typedef struct drain_order {
    hc_loop *loop;
    uint64_t grace_ms;
} drain_order;

static void take_drain(void *arg)
{
    drain_order *o = arg;
    hc_loop_drain(o->loop, o->grace_ms);
    hc_free(o);
}

void hc_front_drain(hc_front *f, uint64_t grace_ms)
{
    atomic_store(&f->shared.loops_draining, f->loop_count);
    atomic_store(&f->shared.draining, true);
    for (unsigned i = 0; i < f->loop_count; i++) {
        drain_order *o = hc_alloc(sizeof *o);
        if (o)
            *o = (drain_order){&f->loops[i], grace_ms};
        if (!o || !hc_loop_post(&f->loops[i], take_drain, o))
            hc_free(o);
    }
}

int hc_front_status(hc_front *f, hc_buf *out)
{
    hc_metrics_sum sum;
    if (!f->started) {
        sum =
            (hc_metrics_sum){.gauges = {.generation = f->live->generation, .ends = f->live->ends}};
        return hc_metrics_json(&sum, out);
    }
    hc_loops_measure(f->loops, f->live, &sum);
    return hc_metrics_json(&sum, out);
}

void hc_front_free(hc_front *f)
{
    for (unsigned i = 0; i < f->loop_count; i++)
        hc_loop_stop(&f->loops[i]);
    for (unsigned i = 0; i < f->loop_count; i++)
        hc_loop_done(&f->loops[i]);
    hc_free(f->loops);
    close_registry(f);
    hc_published_free(f->shared.published);
    for (size_t i = 0; i < f->listener_count; i++)
        (void)close(f->listeners[i]);
    hc_session_store_free(f->shared.sessions);
    hc_access_log_free(f->shared.access);
    if (f->access_fd >= 0)
        (void)close(f->access_fd);
    hc_live_unref(f->live);
    hc_pool_free(f->shared.pool);
    hc_free(f);
}
