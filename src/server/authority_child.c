#include "server/authority_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/authority_main.h"
#include "server/ca_supply.h"
#include "server/packet.h"
#include "server/registry_owner.h"
#include "server/workers.h"

extern char **environ;

#define EXIT_MS  5000
#define PAUSE_MS 50

const char *hc_authority_state_name(hc_authority_state state)
{
    static const char *const names[] = {
        [HC_AUTHORITY_NONE] = "none",       [HC_AUTHORITY_DOWN] = "down",
        [HC_AUTHORITY_OPENING] = "opening", [HC_AUTHORITY_RUNNING] = "running",
        [HC_AUTHORITY_ENDING] = "ending",
    };
    return names[state];
}

void hc_authority_child_init(hc_authority_child *c, uv_loop_t *loop, const hc_log *log,
                             const hc_authority_hooks *hooks, const hc_plan *plan)
{
    *c = (hc_authority_child){.loop = loop,
                              .log = log,
                              .hooks = *hooks,
                              .plan = plan,
                              .front_fd = -1,
                              .supply_fd = -1,
                              .report_fd = -1};
    (void)uv_timer_init(loop, &c->timer); /* cannot fail */
    c->timer.data = c;
}

/* ---- what it says about opening the registry ---- */

static void on_report_closed(uv_handle_t *handle)
{
    hc_authority_child *c = handle->data;
    (void)close(c->report_fd);
    c->report_fd = -1;
}

static void close_report(hc_authority_child *c)
{
    if (c->report_fd >= 0 && !uv_is_closing((uv_handle_t *)&c->report))
        uv_close((uv_handle_t *)&c->report, on_report_closed);
}

static void on_report(uv_poll_t *handle, int status, int events)
{
    hc_authority_child *c = handle->data;
    (void)events;
    size_t room = sizeof c->trouble - 1 - c->trouble_size;
    ssize_t n = status < 0 ? 0 : read(c->report_fd, c->trouble + c->trouble_size, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        c->trouble_size += (size_t)n;
        return;
    }
    c->trouble[c->trouble_size] = '\0';
    close_report(c);
    /* Without a word it has died: SIGCHLD tells. */
    if (c->state != HC_AUTHORITY_OPENING || c->trouble_size == 0)
        return;
    c->state = HC_AUTHORITY_RUNNING;
    bool opened = strcmp(c->trouble, HC_AUTHORITY_OPENED) == 0;
    c->hooks.opened(c->hooks.arg, opened ? NULL : c->trouble);
}

static int watch_report(hc_authority_child *c, int fd, hc_err *err)
{
    int failed = uv_poll_init(c->loop, &c->report, fd);
    if (failed)
        return hc_err_set(err, HC_EIO, "cannot watch the authority: %s", uv_strerror(failed));
    c->report.data = c;
    c->report_fd = fd;
    c->trouble_size = 0;
    (void)uv_poll_start(&c->report, UV_READABLE, on_report);
    return 0;
}

/* ---- the process ---- */

static int spawn(hc_authority_child *c, const int fds[2], hc_err *err)
{
    static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
    static const char *const levels[] = {[HC_LOG_DEBUG] = "debug",
                                         [HC_LOG_INFO] = "info",
                                         [HC_LOG_WARNING] = "warning",
                                         [HC_LOG_ERROR] = "error"};
    const hc_settings *s = &c->plan->settings;
    const char *argv[] = {"handclasp",
                          "authority",
                          s->registry,
                          s->state ? s->state : "",
                          levels[s->log_level],
                          s->log_json ? "json" : "text",
                          NULL};
    hc_spawn child = {.file = "/proc/self/exe",
                      .argv = (char *const *)argv,
                      .env = environ,
                      .fds = fds,
                      .fd_count = 3,
                      .identity = &c->plan->authority,
                      .ignore = ignored,
                      .ignore_count = HC_COUNT(ignored)};
    return hc_spawn_run(&child, &c->pid, err);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

int hc_authority_child_supply(hc_authority_child *c, hc_err *err)
{
    int fd = -1;
    if (c->supply_fd < 0)
        return 0;
    int rc = hc_ca_supply_seal(&c->plan->settings, &fd, err);
    if (rc == 0 && hc_packet_send(c->supply_fd, HC_SLICE_LITERAL("C"), fd, MSG_DONTWAIT) < 0)
        rc = hc_err_errno(err, errno, "the authority does not take the CAs");
    close_fd(&fd);
    return rc;
}

int hc_authority_child_start(hc_authority_child *c, hc_err *err)
{
    int pair[2] = {-1, -1}, report[2] = {-1, -1}, supply[2] = {-1, -1};
    int rc = hc_registry_hand_over(&c->plan->settings, &c->plan->authority, &c->plan->front, err);
    if (rc == 0 && c->report_fd >= 0)
        rc = hc_err_set(err, HC_EBUSY, "the authority is still ending");
    if (rc == 0 && (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 ||
                    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, supply) != 0 ||
                    pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0))
        rc = hc_err_errno(err, errno, "cannot make the authority's sockets");
    close_fd(&c->supply_fd);
    c->supply_fd = supply[0];
    if (rc == 0)
        rc = hc_authority_child_supply(c, err); /* waits there for the process */
    if (rc == 0)
        rc = spawn(c, (int[]){pair[1], report[1], supply[1]}, err);
    close_fd(&supply[1]);
    close_fd(&pair[1]);
    close_fd(&report[1]);
    if (rc == 0) {
        c->state = HC_AUTHORITY_OPENING;
        c->started_ms = hc_clock_monotonic_ms();
        rc = watch_report(c, report[0], err);
    }
    if (rc != 0) { /* one that was started reads the end of its socket, and exits */
        close_fd(&pair[0]);
        close_fd(&report[0]);
        close_fd(&c->supply_fd);
        return rc;
    }
    close_fd(&c->front_fd);
    c->front_fd = pair[0];
    return 0;
}

int hc_authority_child_take_fd(hc_authority_child *c)
{
    int fd = c->front_fd;
    c->front_fd = -1;
    return fd;
}

static void restart_later(hc_authority_child *c);

static void on_restart(uv_timer_t *timer)
{
    hc_authority_child *c = timer->data;
    hc_err err = {0};
    if (hc_authority_child_start(c, &err) == 0) {
        c->hooks.fresh(c->hooks.arg);
        return;
    }
    hc_log_text(c->log, HC_LOG_ERROR, "cannot start the authority: %s", err.text);
    restart_later(c);
}

static void restart_later(hc_authority_child *c)
{
    uint64_t served_ms = hc_clock_monotonic_ms() - c->started_ms;
    c->backoff_ms = hc_worker_backoff_ms(c->backoff_ms, served_ms);
    (void)uv_timer_start(&c->timer, on_restart, c->backoff_ms + PAUSE_MS, 0);
}

static void on_overdue(uv_timer_t *timer)
{
    hc_authority_child *c = timer->data;
    hc_log_text(c->log, HC_LOG_WARNING, "the authority did not end in time and is killed");
    hc_authority_child_kill(c);
}

void hc_authority_child_end(hc_authority_child *c)
{
    if (c->state == HC_AUTHORITY_NONE)
        return;
    c->state = HC_AUTHORITY_ENDING;
    close_fd(&c->front_fd); /* where the front never had it: its end is what tells */
    (void)uv_timer_stop(&c->timer);
    if (c->pid > 0)
        (void)uv_timer_start(&c->timer, on_overdue, EXIT_MS, 0);
}

void hc_authority_child_kill(hc_authority_child *c)
{
    if (c->pid > 0)
        (void)kill(c->pid, SIGKILL);
}

void hc_authority_child_reap(hc_authority_child *c)
{
    int status;
    if (c->pid <= 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
        return;
    c->pid = 0;
    (void)uv_timer_stop(&c->timer);
    close_report(c);
    close_fd(&c->front_fd);
    close_fd(&c->supply_fd);
    if (c->state != HC_AUTHORITY_ENDING) {
        c->state = HC_AUTHORITY_DOWN;
        restart_later(c);
    }
    c->hooks.exited(c->hooks.arg, status);
}
