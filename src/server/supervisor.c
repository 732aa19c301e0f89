#include "server/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/log_file.h"
#include "server/notify.h"
#include "server/supervisor_impl.h"

extern char **environ;

#define EXIT_MS       5000 /* for a front or worker that has nothing left to do */
#define EXIT_LEAST_MS 1000
#define SLACK_MS      2000 /* for the front to say that it is drained, beyond the grace it was given */
#define FRONT_PAUSE_MS                                                                             \
    50 /* before a front that died is started again: its channel is closed by then */

typedef enum phase_change { CHANGE_READY, CHANGE_DRAIN, CHANGE_STOP } phase_change;

static const int watched_signals[HC_SUPERVISOR_SIGNALS] = {
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};

static bool change_phase(supervisor *s, phase_change change)
{
    static const int8_t transitions[][CHANGE_STOP + 1] = {
        /*                   ready          drain           stop */
        [PHASE_STARTING] = {PHASE_SERVING, PHASE_STOPPING, PHASE_STOPPING},
        [PHASE_SERVING] = {PHASE_SERVING, PHASE_DRAINING, PHASE_STOPPING},
        [PHASE_DRAINING] = {-1, -1, PHASE_STOPPING},
        [PHASE_STOPPING] = {-1, -1, PHASE_STOPPING},
    };
    int next = transitions[s->phase][change];
    if (next < 0)
        return false;
    s->phase = (phase)next;
    return true;
}

/* --- the end --- */

void supervisor_end_if_done(supervisor *s)
{
    if (s->phase == PHASE_STOPPING && s->front.pid == 0 && s->authority.pid == 0 &&
        (s->pool_empty || !s->pool_started))
        uv_stop(&s->loop);
}

void supervisor_stop_now(supervisor *s, int exit_code)
{
    if (s->phase != PHASE_STOPPING)
        s->exit_code = exit_code;
    (void)change_phase(s, CHANGE_STOP);
    hc_front_link_kill(&s->front);
    hc_authority_child_end(&s->authority);
    if (s->pool_started)
        hc_workers_stop(s->pool, 0);
    supervisor_end_if_done(s);
}

static void on_drain_overdue(uv_timer_t *timer)
{
    supervisor *s = timer->data;
    hc_log_text(&s->log, HC_LOG_WARNING, "the front did not end in time and is killed");
    hc_front_link_kill(&s->front);
}

static void drain(supervisor *s, const char *why)
{
    if (s->phase == PHASE_STARTING) {
        supervisor_stop_now(s, 0);
        return;
    }
    if (!change_phase(s, CHANGE_DRAIN))
        return;
    uint64_t grace_ms = s->plan.settings.graceful_timeout_ms;
    hc_log_text(&s->log, HC_LOG_INFO, "%s: finishing what runs, at most %llu s", why,
                (unsigned long long)(grace_ms / 1000));
    s->drain_until_ms = hc_clock_monotonic_ms() + grace_ms;
    hc_notify("STOPPING=1");
    hc_watch_stop(&s->watch);
    hc_workers_freeze(s->pool);
    if (hc_front_link_drain(&s->front, grace_ms))
        (void)uv_timer_start(&s->timer, on_drain_overdue, grace_ms + SLACK_MS, 0);
    else
        supervisor_stop_now(s, 0);
}

static void on_drained(void *arg)
{
    supervisor *s = arg;
    if (s->phase != PHASE_DRAINING)
        return;
    (void)uv_timer_start(&s->timer, on_drain_overdue, EXIT_MS, 0);
    hc_front_link_end(&s->front);
}

/* --- the front --- */

static void forget_next(supervisor *s)
{
    if (!s->next_pending)
        return;
    s->next_pending = false;
    hc_plan_done(&s->next_plan);
    hc_serve_args_done(&s->next_flags);
}

/* Of several reloads that overlap the last one ends it. */
static void notify_reloaded(const supervisor *s)
{
    if (s->phase == PHASE_SERVING && !s->next_pending && !s->rolling)
        hc_notify("READY=1");
}

static void refuse_reload(supervisor *s, const char *why)
{
    hc_log_text(&s->log, HC_LOG_ERROR, "reload refused, what was in force stays: %s", why);
    hc_control_socket_tell_reload(s->control, s->reloads_begun, s->reloads_begun, why);
    forget_next(s);
    notify_reloaded(s);
}

static int copy_fd(int fd, hc_err *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy >= 0 ? copy : hc_err_errno(err, errno, "cannot copy a descriptor");
}

int supervisor_start_front(supervisor *s, hc_err *err)
{
    int fd = copy_fd(s->plan.config_fd, err);
    if (fd < 0)
        return fd;
    int access_fd = -1;
    if (hc_log_file_open("--access-logfile", s->plan.settings.access_logfile, &access_fd, err) !=
        0) {
        (void)close(fd);
        return -HC_EIO;
    }
    s->front_started_ms = hc_clock_monotonic_ms();
    bool again = s->phase == PHASE_SERVING;
    return hc_front_link_start(&s->front, &s->plan.front, access_fd, fd, again, err);
}

static void restart_front_later(supervisor *s);

static void on_restart_front(uv_timer_t *timer)
{
    supervisor *s = timer->data;
    hc_err err = {0};
    if (s->phase != PHASE_SERVING || supervisor_start_front(s, &err) == 0)
        return;
    hc_log_text(&s->log, HC_LOG_ERROR, "cannot start the front: %s", err.text);
    hc_front_link_kill(&s->front);
    if (s->front.pid == 0)
        restart_front_later(s);
}

static void restart_front_later(supervisor *s)
{
    uint64_t served_ms = hc_clock_monotonic_ms() - s->front_started_ms;
    s->front_backoff_ms = hc_worker_backoff_ms(s->front_backoff_ms, served_ms);
    (void)uv_timer_start(&s->timer, on_restart_front, s->front_backoff_ms + FRONT_PAUSE_MS, 0);
}

static void lose_front_while_serving(supervisor *s)
{
    if (s->next_pending)
        refuse_reload(s, "the front died over it");
    if (s->args->lane_count) {
        hc_log_text(&s->log, HC_LOG_ERROR,
                    "the lanes that were inherited are lost with it: ending");
        supervisor_stop_now(s, HC_EXIT_REFUSED);
        return;
    }
    hc_workers_pause(s->pool);
    restart_front_later(s);
}

/* Of the grace what is left, but always enough for atexit handlers, and no more than these need. */
static uint64_t time_to_exit_ms(const supervisor *s)
{
    uint64_t now_ms = hc_clock_monotonic_ms();
    uint64_t left_ms = s->drain_until_ms > now_ms ? s->drain_until_ms - now_ms : 0;
    return left_ms < EXIT_LEAST_MS ? EXIT_LEAST_MS : left_ms > EXIT_MS ? EXIT_MS : left_ms;
}

static void on_front_exited(void *arg, int status)
{
    supervisor *s = arg;
    char how[64];
    hc_worker_exit_text(status, how, sizeof(how));
    switch (s->phase) {
    case PHASE_STARTING:
        hc_log_text(&s->log, HC_LOG_ERROR, "the front ended before it was ready: %s", how);
        supervisor_stop_now(s, HC_EXIT_REFUSED);
        break;
    case PHASE_SERVING:
        hc_log_text(&s->log, HC_LOG_ERROR, "the front died: %s; it is restarted", how);
        lose_front_while_serving(s);
        break;
    case PHASE_DRAINING:
        (void)uv_timer_stop(&s->timer);
        (void)change_phase(s, CHANGE_STOP);
        hc_authority_child_end(&s->authority);
        if (s->pool_started)
            hc_workers_stop(s->pool, time_to_exit_ms(s));
        supervisor_end_if_done(s);
        break;
    case PHASE_STOPPING:
        supervisor_end_if_done(s);
        break;
    }
}

/* --- being ready --- */

static void warn_if_together(const supervisor *s)
{
    if (s->plan.apart && !s->plan.front.drop && geteuid() == 0)
        hc_log_text(&s->log, HC_LOG_WARNING,
                    "the front, which strangers talk to, runs as root; give --front-user a user of "
                    "its own");
    if (s->plan.apart)
        return;
    hc_log_text(
        &s->log, HC_LOG_WARNING,
        "processes are not kept apart: workers run as the user who owns the server's key, so "
        "whoever breaks into the application can reach it; %s",
        geteuid() == 0 ? "give --user" : "start as root with --user");
}

static void announce(supervisor *s)
{
    hc_buf event = hc_buf_init(HC_LIMIT_LOG_LINE / 2);
    char workers[16], threads[16];
    const hc_settings *set = &s->plan.settings;
    size_t prefix = strlen("listening on ");
    int rc = hc_buf_add_text(&event, "listening on ");
    if (rc == 0)
        rc = hc_listeners_text(&s->listeners, "https", &event);
    if (rc == 0)
        rc = hc_buf_add_byte(&event, '\n');
    if (rc != 0) {
        hc_log_text(&s->log, HC_LOG_INFO, "listening");
        goto out;
    }
    /* Before the log line: whoever waits for either may use the other. */
    if (s->args->parent_fd >= 0)
        (void)!write(s->args->parent_fd, event.at + prefix, event.size - prefix);
    event.at[event.size - 1] = '\0';
    (void)snprintf(workers, sizeof(workers), "%u", s->args->lane_count ? 1 : set->workers);
    (void)snprintf(threads, sizeof(threads), "%u", set->threads);
    const char *mode = hc_client_cert_mode_name(set->policy.mode);
    hc_log_field fields[] = {
        {"client_cert", hc_slice_text(mode)},
        {"registry", hc_slice_text(set->registry ? set->registry : "none")},
        {"processes", hc_slice_text(s->plan.apart ? "apart" : "together")},
        {"workers", hc_slice_text(workers)},
        {"threads", hc_slice_text(threads)},
        {NULL, HC_SLICE_NONE},
    };
    hc_log_event(&s->log, HC_LOG_INFO, (const char *)event.at, fields);
    hc_notify("READY=1");
out:
    hc_buf_done(&event);
}

static void send_metrics_sockets(supervisor *s)
{
    hc_err err = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->metrics.count; i++) {
        int fd = copy_fd(s->metrics.fds[i], &err);
        rc = fd < 0 ? fd : hc_front_link_metrics(&s->front, fd, &err);
    }
    if (rc != 0)
        hc_log_text(&s->log, HC_LOG_ERROR, "no metrics: %s", err.text);
}

static int send_listeners(supervisor *s, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->listeners.count; i++) {
        int fd = copy_fd(s->listeners.fds[i], err);
        rc = fd < 0 ? fd : hc_front_link_listen(&s->front, fd, err);
    }
    return rc;
}

/* Only now does the front accept: until then the kernel's backlog holds the clients, and an
 * application that cannot be loaded has refused none. */
static void on_ready(void *arg)
{
    supervisor *s = arg;
    hc_err err = {0};
    bool first = s->phase == PHASE_STARTING;
    if (s->plan.settings.check_config) {
        hc_log_text(&s->log, HC_LOG_INFO, "the configuration is fine");
        supervisor_stop_now(s, 0);
        return;
    }
    if (!change_phase(s, CHANGE_READY))
        return;
    if (send_listeners(s, &err) != 0) {
        hc_log_text(&s->log, HC_LOG_ERROR, "cannot listen: %s", err.text);
        hc_front_link_kill(&s->front);
        return;
    }
    if (first) {
        warn_if_together(s);
        announce(s);
    } else {
        hc_log_text(&s->log, HC_LOG_INFO, "serving again");
    }
}

static void on_lane_ready(void *arg, uint32_t worker)
{
    supervisor *s = arg;
    if (s->args->lane_count == 0)
        hc_workers_on_hello(s->pool, worker);
    else if (s->phase == PHASE_STARTING)
        on_ready(s);
}

static void on_worker_broken(void *arg, uint32_t worker, const char *why)
{
    supervisor *s = arg;
    if (s->args->lane_count)
        hc_log_text(&s->log, HC_LOG_ERROR, "the application: %s", why);
    else
        hc_workers_on_broken(s->pool, worker, why);
}

static int on_lane(void *arg, uint32_t worker, int fd, hc_err *err)
{
    return hc_front_link_lane(&((supervisor *)arg)->front, worker, fd, err);
}

static void on_retire(void *arg, uint32_t worker)
{
    hc_front_link_retire(&((supervisor *)arg)->front, worker);
}

static void on_worker_idle(void *arg, uint32_t worker)
{
    hc_workers_on_idle(((supervisor *)arg)->pool, worker);
}

static void on_worker_spent(void *arg, uint32_t worker)
{
    hc_workers_on_spent(((supervisor *)arg)->pool, worker);
}

static int send_inherited_lanes(supervisor *s, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->args->lane_count; i++) {
        int fd = copy_fd(s->args->lanes[i], err);
        rc = fd < 0 ? fd : hc_front_link_lane(&s->front, 1, fd, err);
        (void)close(s->args->lanes[i]); /* so that the lane ends where the front ends it */
        s->args->lanes[i] = -1;
    }
    return rc;
}

static void start_pool(supervisor *s)
{
    const hc_settings *set = &s->plan.settings;
    s->pool_started = true;
    hc_workers_start(s->pool, &s->plan.command, set->workers, set->graceful_timeout_ms);
}

static void on_first_configured(supervisor *s)
{
    hc_err err = {0};
    if (s->plan.with_workers) {
        start_pool(s);
    } else if (s->plan.settings.check_config) {
        on_ready(s);
    } else if (send_inherited_lanes(s, &err) != 0) {
        hc_log_text(&s->log, HC_LOG_ERROR, "%s", err.text);
        supervisor_stop_now(s, HC_EXIT_REFUSED);
    }
}

/* --- reload --- */

void supervisor_reload(supervisor *s)
{
    hc_err err = {0};
    if (s->phase != PHASE_SERVING) {
        hc_control_socket_tell_reload(s->control, 0, UINT64_MAX,
                                      "the server is starting or ending");
        return;
    }
    if (s->next_pending || s->front.state != HC_FRONT_SERVING) {
        s->reload_again = true;
        return;
    }
    s->reloads_begun++;
    hc_log_text(&s->log, HC_LOG_INFO, "reloading");
    hc_notify_reloading();
    int rc = hc_serve_args_again(&s->flags, environ, &s->next_flags, &err);
    if (rc == 0) {
        s->next_pending = true;
        s->next_plan = (hc_plan){.config_fd = -1};
        rc = hc_plan_make(&s->next_plan, &s->next_flags, &s->log, &err);
    }
    if (rc == 0) {
        rc = copy_fd(s->next_plan.config_fd, &err);
        if (rc >= 0)
            rc = hc_front_link_reconfigure(&s->front, rc, &err);
    }
    if (rc != 0)
        refuse_reload(s, err.text);
}

static void adopt_next(supervisor *s)
{
    s->next_pending = false;
    hc_plan_done(&s->plan);
    s->plan = s->next_plan;
    hc_serve_args_done(&s->flags);
    s->flags = s->next_flags;
    s->log.level = s->plan.settings.log_level;
    s->log.json = s->plan.settings.log_json;
    s->reloads_adopted = s->reloads_begun;
    hc_log_text(&s->log, HC_LOG_INFO, "the new configuration is in force");
    supervisor_hand_over_registry(s);
    s->rolling = s->plan.with_workers;
    if (s->rolling) {
        hc_workers_roll(s->pool, &s->plan.command, s->plan.settings.workers,
                        s->plan.settings.graceful_timeout_ms);
    } else {
        hc_control_socket_tell_reload(s->control, 0, s->reloads_adopted, NULL);
        notify_reloaded(s);
    }
}

static void on_rolled(void *arg, bool all_new)
{
    supervisor *s = arg;
    bool for_reload = s->rolling, front_died = s->front.state == HC_FRONT_DOWN;
    const char *failed =
        front_died ? "options and certificates are in force, but the front died while the new "
                     "workers loaded; it is restarted, and they with it"
        : all_new  ? NULL
                   : "options and certificates are in force, but the new workers failed, and the "
                     "old ones serve on; the log says why";
    s->rolling = false;
    if (!failed)
        hc_log_text(&s->log, HC_LOG_INFO, "the new workers serve, the old ones finish");
    else if (!front_died)
        hc_log_text(&s->log, HC_LOG_ERROR, "the new workers failed, the old ones serve on");
    hc_control_socket_tell_reload(s->control, 0, s->reloads_adopted, failed);
    if (for_reload)
        notify_reloaded(s);
}

static void on_configured(void *arg, const char *refused)
{
    supervisor *s = arg;
    if (s->next_pending) {
        if (refused)
            refuse_reload(s, refused);
        else
            adopt_next(s);
    } else if (refused) {
        hc_log_text(&s->log, HC_LOG_ERROR, "%s", refused);
        if (s->phase == PHASE_STARTING)
            supervisor_stop_now(s, HC_EXIT_REFUSED);
        else
            hc_front_link_kill(&s->front);
    } else if (s->phase == PHASE_STARTING) {
        supervisor_send_authority(s);
        send_metrics_sockets(s);
        on_first_configured(s);
    } else {
        supervisor_send_authority(s);
        send_metrics_sockets(s);
        hc_workers_resume(s->pool);
    }
    if (s->reload_again && s->phase == PHASE_SERVING) {
        s->reload_again = false;
        supervisor_reload(s);
    }
}

static void on_source_changed(void *arg)
{
    supervisor *s = arg;
    if (s->phase != PHASE_SERVING || s->front.state == HC_FRONT_DOWN)
        return;
    hc_log_text(&s->log, HC_LOG_INFO, "a source file has changed: restarting the workers");
    hc_workers_roll_again(s->pool);
}

static void on_pool_failed(void *arg, int exit_code)
{
    supervisor *s = arg;
    supervisor_stop_now(s, s->plan.settings.check_config ? HC_EXIT_REFUSED : exit_code);
}

static void on_pool_empty(void *arg)
{
    supervisor *s = arg;
    s->pool_empty = true;
    supervisor_end_if_done(s);
}

/* --- signals --- */

static void on_interrupt(supervisor *s)
{
    if (s->phase == PHASE_DRAINING)
        supervisor_stop_now(s, 0);
    else
        drain(s, "interrupted");
}

static void on_signal(uv_signal_t *handle, int number)
{
    supervisor *s = handle->data;
    switch (number) {
    case SIGCHLD:
        hc_front_link_reap(&s->front);
        hc_authority_child_reap(&s->authority);
        hc_workers_reap(s->pool);
        break;
    case SIGHUP:
        supervisor_reload(s);
        break;
    case SIGTERM:
        drain(s, "told to end");
        break;
    case SIGINT:
        on_interrupt(s);
        break;
    case SIGQUIT:
        supervisor_stop_now(s, 0);
        break;
    case SIGTTIN:
    case SIGTTOU:
        if (s->pool_started && s->phase == PHASE_SERVING)
            hc_workers_resize(s->pool, number == SIGTTIN ? 1 : -1);
        break;
    case SIGUSR1:
        supervisor_reopen_logs(s);
        break;
    default: /* gunicorn replaces itself by this one */
        hc_log_text(&s->log, HC_LOG_WARNING, "signal %d does nothing here: SIGHUP reloads", number);
    }
}

static void on_parent(uv_poll_t *handle, int status, int events)
{
    supervisor *s = handle->data;
    char octets[64];
    (void)events;
    ssize_t n = status < 0 ? 0 : read(s->args->parent_fd, octets, sizeof(octets));
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    (void)uv_poll_stop(handle);
    drain(s, "the parent process has ended");
}

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    hc_notify("WATCHDOG=1");
}

/* --- setting up and clearing away --- */

static void start_watchdog(supervisor *s)
{
    uint64_t every_ms = hc_notify_watchdog_ms();
    (void)uv_timer_init(&s->loop, &s->watchdog); /* cannot fail */
    if (every_ms)
        (void)uv_timer_start(&s->watchdog, on_watchdog, every_ms, every_ms);
}

static int open_signals(supervisor *s, hc_err *err)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    for (size_t i = 0; i < HC_COUNT(watched_signals); i++) {
        (void)uv_signal_init(&s->loop, &s->signals[i]);
        s->signals[i].data = s;
        int failed = uv_signal_start(&s->signals[i], on_signal, watched_signals[i]);
        if (failed)
            return hc_err_set(err, HC_EIO, "cannot watch for signals: %s", uv_strerror(failed));
    }
    return 0;
}

/* What was inherited must not be inherited on: a copy in the front would keep it open. */
static int open_inherited(supervisor *s, hc_err *err)
{
    for (size_t i = 0; i < s->args->lane_count; i++) {
        if (fcntl(s->args->lanes[i], F_SETFD, FD_CLOEXEC) != 0)
            return hc_err_errno(err, errno, "--inherit-lanes: descriptor %d", s->args->lanes[i]);
    }
    if (s->args->parent_fd < 0)
        return 0;
    int failed = uv_poll_init(&s->loop, &s->parent, s->args->parent_fd);
    if (failed || fcntl(s->args->parent_fd, F_SETFD, FD_CLOEXEC) != 0)
        return hc_err_set(err, HC_EINVAL, "--parent-fd: descriptor %d cannot be watched",
                          s->args->parent_fd);
    s->parent.data = s;
    (void)uv_poll_start(&s->parent, UV_READABLE | UV_DISCONNECT, on_parent);
    return 0;
}

static int open_sockets(supervisor *s, hc_err *err)
{
    const hc_settings *set = &s->plan.settings;
    if (set->check_config)
        return hc_listeners_check(set, err);
    int rc = hc_listeners_open(&s->listeners, set, err);
    if (rc == 0)
        rc = hc_listeners_open_metrics(&s->metrics, set, err);
    if (rc == 0 && set->pidfile) {
        rc = hc_pidfile_write(set->pidfile, err);
        s->pidfile_written = rc == 0;
    }
    if (rc == 0)
        rc = supervisor_open_control(s, err);
    if (rc == 0 && set->reload && s->plan.with_workers)
        rc = hc_watch_start(&s->watch, &s->loop, set, on_source_changed, s, err);
    return rc;
}

static int open_pool(supervisor *s, hc_err *err)
{
    hc_workers_hooks hooks = {.arg = s,
                              .lane = on_lane,
                              .retire = on_retire,
                              .ready = on_ready,
                              .failed = on_pool_failed,
                              .rolled = on_rolled,
                              .empty = on_pool_empty};
    return hc_workers_new(&s->loop, &s->log, &hooks, &s->open_files, &s->pool, err);
}

static int open_all(supervisor *s, hc_err *err)
{
    hc_front_link_hooks hooks = {.arg = s,
                                 .configured = on_configured,
                                 .lane_ready = on_lane_ready,
                                 .worker_broken = on_worker_broken,
                                 .worker_idle = on_worker_idle,
                                 .worker_spent = on_worker_spent,
                                 .drained = on_drained,
                                 .status = supervisor_on_front_status,
                                 .exited = on_front_exited};
    hc_spawn_raise_open_files(&s->open_files);
    hc_front_link_init(&s->front, &s->loop, &s->log, &hooks);
    (void)uv_timer_init(&s->loop, &s->timer); /* cannot fail */
    s->timer.data = s;
    start_watchdog(s);
    int rc = open_pool(s, err);
    if (rc == 0)
        rc = open_signals(s, err);
    if (rc == 0)
        rc = hc_serve_args_parse((int)s->args->flags.count, s->args->flags.at, environ, &s->flags,
                                 err);
    if (rc == 0)
        rc = hc_plan_make(&s->plan, s->args, &s->log, err);
    if (rc == 0)
        rc = hc_log_file_redirect(s->plan.settings.error_logfile, 2, err);
    if (rc == 0)
        rc = open_inherited(s, err);
    if (rc == 0)
        rc = open_sockets(s, err);
    return rc == 0 ? supervisor_begin(s, err) : rc;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_all(supervisor *s)
{
    hc_watch_stop(&s->watch);
    hc_control_socket_close(s->control);
    hc_front_link_kill(&s->front);
    hc_authority_child_end(&s->authority);
    hc_authority_child_kill(&s->authority);
    if (s->pool)
        hc_workers_close(s->pool);
    uv_walk(&s->loop, close_handle, NULL);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&s->loop);
    hc_workers_free(s->pool);
    hc_control_socket_free(s->control);
    hc_listeners_done(&s->listeners);
    hc_listeners_done(&s->metrics);
    if (s->pidfile_written)
        hc_pidfile_remove(s->plan.settings.pidfile);
    forget_next(s);
    hc_plan_done(&s->plan);
    hc_serve_args_done(&s->flags);
}

int hc_supervise(const hc_serve_args *args)
{
    supervisor s = {.args = args,
                    .started_s = hc_clock_wall_s(),
                    .plan = {.config_fd = -1},
                    .next_plan = {.config_fd = -1},
                    .log = {.fd = 2,
                            .level = args->settings.log_level,
                            .json = args->settings.log_json,
                            .role = "supervisor"}};
    hc_err err = {0};
    int failed = uv_loop_init(&s.loop);
    if (failed) {
        hc_log_text(&s.log, HC_LOG_ERROR, "cannot start: %s", uv_strerror(failed));
        return HC_EXIT_REFUSED;
    }
    int rc = open_all(&s, &err);
    if (rc == 0) {
        (void)uv_run(&s.loop, UV_RUN_DEFAULT);
        hc_log_text(&s.log, HC_LOG_INFO, "ended");
    } else {
        hc_log_text(&s.log, HC_LOG_ERROR, "%s", err.text);
        s.exit_code = HC_EXIT_REFUSED;
    }
    close_all(&s);
    return s.exit_code;
}
