#include "server/front_link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/front_main.h"
#include "server/spawn.h"

extern char **environ;

#define NOT_ALLOWED (-1)

static const int8_t transitions[][HC_FRONT_EXITED + 1] = {
#define NO NOT_ALLOWED
    /* clang-format off */
    /*                        spawned            configured         refused           reconfigure        drain              end              exited */
    [HC_FRONT_DOWN]     = {HC_FRONT_STARTING, NO,                NO,               NO,                NO,                NO,              NO},
    [HC_FRONT_STARTING] = {NO,                HC_FRONT_SERVING,  HC_FRONT_ENDING,  NO,                NO,                HC_FRONT_ENDING, HC_FRONT_DOWN},
    [HC_FRONT_SERVING]  = {NO,                NO,                NO,               HC_FRONT_CHANGING, HC_FRONT_DRAINING, HC_FRONT_ENDING, HC_FRONT_DOWN},
    [HC_FRONT_CHANGING] = {NO,                HC_FRONT_SERVING,  HC_FRONT_SERVING, NO,                HC_FRONT_DRAINING, HC_FRONT_ENDING, HC_FRONT_DOWN},
    /* an answer to a configuration may still be on the way */
    [HC_FRONT_DRAINING] = {NO,                HC_FRONT_DRAINING, HC_FRONT_DRAINING, NO,               NO,                HC_FRONT_ENDING, HC_FRONT_DOWN},
    [HC_FRONT_ENDING]   = {NO,                HC_FRONT_ENDING,   HC_FRONT_ENDING,  NO,                NO,                HC_FRONT_ENDING, HC_FRONT_DOWN},
/* clang-format on */
#undef NO
};

bool hc_front_state_change(hc_front_state *state, hc_front_change change)
{
    int next = transitions[*state][change];
    if (next == NOT_ALLOWED)
        return false;
    *state = (hc_front_state)next;
    return true;
}

void hc_front_link_init(hc_front_link *l, uv_loop_t *loop, const hc_log *log,
                        const hc_front_link_hooks *hooks)
{
    *l = (hc_front_link){.loop = loop, .log = log, .hooks = *hooks};
}

/* --- the channel --- */

static void on_poll(uv_poll_t *handle, int status, int events);

static void on_poll_closed(uv_handle_t *handle)
{
    hc_front_link *l = handle->data;
    /* Not before: the loop must not watch a number that another descriptor has taken. */
    hc_control_done(&l->control);
    l->polling = false;
}

static void close_channel(hc_front_link *l)
{
    if (!l->open)
        return;
    l->open = false;
    uv_close((uv_handle_t *)&l->poll, on_poll_closed);
}

/* The front cannot be talked to any more: what is left is its end, which SIGCHLD brings. */
static void lose_channel(hc_front_link *l, const char *why)
{
    hc_log_text(l->log, HC_LOG_ERROR, "the front is ended: %s", why);
    hc_front_link_kill(l);
}

static void watch(hc_front_link *l)
{
    int events = UV_READABLE | (l->control.out.size ? UV_WRITABLE : 0);
    (void)uv_poll_start(&l->poll, events, on_poll);
}

static void flush(hc_front_link *l)
{
    hc_err err = {0};
    int rc = hc_control_flush(&l->control, &err);
    /* Where it is closed the front has ended, and is reaped. */
    if (rc == -HC_ECLOSED)
        close_channel(l);
    else if (rc != 0 && rc != -HC_EAGAIN)
        lose_channel(l, err.text);
    else
        watch(l);
}

static int send_message(hc_front_link *l, const hc_control_message *m, hc_err *err)
{
    if (!l->open) {
        if (m->fd >= 0)
            (void)close(m->fd);
        return hc_err_set(err, HC_ECLOSED, "the front is not running");
    }
    int rc = hc_control_send(&l->control, m, err);
    if (rc == 0)
        watch(l); /* written by the loop: a hook may be on the stack here */
    return rc;
}

static void on_answer(hc_front_link *l, const hc_control_message *m)
{
    bool ok = m->type == HC_CONTROL_CONFIG_OK;
    char why[HC_CONTROL_TEXT_MAX + 1];
    memcpy(why, m->text.at ? (const void *)m->text.at : "", m->text.size);
    why[m->text.size] = '\0';
    if (!hc_front_state_change(&l->state, ok ? HC_FRONT_CONFIGURED : HC_FRONT_REFUSED))
        lose_channel(l, "it answered a configuration that was not sent");
    else if (l->state != HC_FRONT_DRAINING)
        l->hooks.configured(l->hooks.arg, ok ? NULL : why);
}

static void dispatch(hc_front_link *l, const hc_control_message *m)
{
    char why[HC_CONTROL_TEXT_MAX + 1];
    switch (m->type) {
    case HC_CONTROL_CONFIG_OK:
    case HC_CONTROL_CONFIG_BAD:
        on_answer(l, m);
        break;
    case HC_CONTROL_LANE_READY:
        l->hooks.lane_ready(l->hooks.arg, m->worker);
        break;
    case HC_CONTROL_WORKER_BROKEN:
        memcpy(why, m->text.at ? (const void *)m->text.at : "", m->text.size);
        why[m->text.size] = '\0';
        l->hooks.worker_broken(l->hooks.arg, m->worker, why);
        break;
    case HC_CONTROL_WORKER_IDLE:
        l->hooks.worker_idle(l->hooks.arg, m->worker);
        break;
    case HC_CONTROL_WORKER_SPENT:
        l->hooks.worker_spent(l->hooks.arg, m->worker);
        break;
    case HC_CONTROL_DRAINED:
        l->hooks.drained(l->hooks.arg);
        break;
    case HC_CONTROL_STATUS_IS:
        l->hooks.status(l->hooks.arg, m->text);
        break;
    default:
        if (m->fd >= 0)
            (void)close(m->fd);
        lose_channel(l, "it sent a message that is not the front's to send");
    }
}

static void read_messages(hc_front_link *l)
{
    hc_control_message m;
    hc_err err = {0};
    int rc = 0;
    while (l->open && (rc = hc_control_read(&l->control, &m, &err)) == 0)
        dispatch(l, &m);
    if (!l->open || rc == -HC_EAGAIN)
        return;
    if (rc == -HC_ECLOSED)
        close_channel(l);
    else
        lose_channel(l, err.text);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    hc_front_link *l = handle->data;
    if (status < 0 || events & UV_READABLE)
        read_messages(l);
    if (l->open)
        flush(l);
}

/* --- the process --- */

static int spawn_front(hc_front_link *l, const hc_identity *identity, int child_fd, hc_err *err)
{
    static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
    char name[] = "handclasp", command[] = "front";
    char *const argv[] = {name, command, NULL};
    hc_spawn s = {
        .file = "/proc/self/exe", /* of this very version, also when it was replaced on disk */
        .argv = argv,
        .env = environ,
        .fds = &child_fd,
        .fd_count = 1,
        .identity = identity,
        .ignore = ignored,
        .ignore_count = HC_COUNT(ignored)};
    return hc_spawn_run(&s, &l->pid, err);
}

static int open_channel(hc_front_link *l, int fd, hc_err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return hc_err_errno(err, errno, "cannot set up the control channel");
    int failed = uv_poll_init(l->loop, &l->poll, fd);
    if (failed)
        return hc_err_set(err, HC_EIO, "cannot watch the control channel: %s", uv_strerror(failed));
    l->poll.data = l;
    hc_control_init(&l->control, fd);
    l->open = l->polling = true;
    return 0;
}

int hc_front_link_start(hc_front_link *l, const hc_identity *identity, int access_fd, int config_fd,
                        bool again, hc_err *err)
{
    int pair[2] = {-1, -1};
    int rc;
    if (l->state != HC_FRONT_DOWN || l->polling)
        rc = hc_err_set(err, HC_EBUSY, "the front is already running");
    else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        rc = hc_err_errno(err, errno, "cannot make the control channel");
    else
        rc = spawn_front(l, identity, pair[1], err);
    if (pair[1] >= 0)
        (void)close(pair[1]);
    if (rc == 0) {
        (void)hc_front_state_change(&l->state, HC_FRONT_SPAWNED);
        rc = open_channel(l, pair[0], err);
    }
    if (rc != 0) {
        if (pair[0] >= 0) /* a front that was started reads the end of its channel, and exits */
            (void)close(pair[0]);
        (void)close(config_fd);
        if (access_fd >= 0)
            (void)close(access_fd);
        return rc;
    }
    rc = hc_front_link_logs(l, access_fd, -1, err);
    if (rc != 0) {
        (void)close(config_fd);
        return rc;
    }
    hc_control_type type = again ? HC_CONTROL_CONFIG_AGAIN : HC_CONTROL_CONFIG;
    return send_message(l, &(hc_control_message){.type = type, .fd = config_fd}, err);
}

int hc_front_link_logs(hc_front_link *l, int access_fd, int error_fd, hc_err *err)
{
    int rc = 0;
    if (access_fd >= 0)
        rc = send_message(l, &(hc_control_message){.type = HC_CONTROL_ACCESS_LOG, .fd = access_fd},
                          err);
    if (rc == 0 && error_fd >= 0)
        rc = send_message(l, &(hc_control_message){.type = HC_CONTROL_ERROR_LOG, .fd = error_fd},
                          err);
    else if (error_fd >= 0)
        (void)close(error_fd);
    return rc;
}

int hc_front_link_reconfigure(hc_front_link *l, int config_fd, hc_err *err)
{
    if (!hc_front_state_change(&l->state, HC_FRONT_RECONFIGURE)) {
        (void)close(config_fd);
        return hc_err_set(err, HC_EBUSY, "the front is busy with a change or ends");
    }
    return send_message(l, &(hc_control_message){.type = HC_CONTROL_CONFIG, .fd = config_fd}, err);
}

int hc_front_link_listen(hc_front_link *l, int fd, hc_err *err)
{
    return send_message(l, &(hc_control_message){.type = HC_CONTROL_LISTEN, .fd = fd}, err);
}

int hc_front_link_metrics(hc_front_link *l, int fd, hc_err *err)
{
    return send_message(l, &(hc_control_message){.type = HC_CONTROL_METRICS, .fd = fd}, err);
}

int hc_front_link_authority(hc_front_link *l, int fd, hc_err *err)
{
    return send_message(l, &(hc_control_message){.type = HC_CONTROL_AUTHORITY, .fd = fd}, err);
}

int hc_front_link_lane(hc_front_link *l, uint32_t worker, int fd, hc_err *err)
{
    return send_message(
        l, &(hc_control_message){.type = HC_CONTROL_LANE, .worker = worker, .fd = fd}, err);
}

/* Where the message is lost the front is lost too, and with it every lane. */
void hc_front_link_retire(hc_front_link *l, uint32_t worker)
{
    hc_err err = {0};
    int rc = send_message(
        l, &(hc_control_message){.type = HC_CONTROL_RETIRE, .worker = worker, .fd = -1}, &err);
    if (rc != 0 && l->open)
        lose_channel(l, err.text);
}

bool hc_front_link_ask_status(hc_front_link *l)
{
    hc_err err = {0};
    return l->open &&
           send_message(l, &(hc_control_message){.type = HC_CONTROL_STATUS, .fd = -1}, &err) == 0;
}

const char *hc_front_state_name(hc_front_state state)
{
    static const char *const names[] = {
        [HC_FRONT_DOWN] = "down",         [HC_FRONT_STARTING] = "starting",
        [HC_FRONT_SERVING] = "serving",   [HC_FRONT_CHANGING] = "changing",
        [HC_FRONT_DRAINING] = "draining", [HC_FRONT_ENDING] = "ending",
    };
    return names[state];
}

bool hc_front_link_drain(hc_front_link *l, uint64_t grace_ms)
{
    hc_err err = {0};
    if (!hc_front_state_change(&l->state, HC_FRONT_DRAIN))
        return false;
    return send_message(
               l, &(hc_control_message){.type = HC_CONTROL_DRAIN, .grace_ms = grace_ms, .fd = -1},
               &err) == 0;
}

void hc_front_link_end(hc_front_link *l)
{
    (void)hc_front_state_change(&l->state, HC_FRONT_END);
    close_channel(l);
}

void hc_front_link_kill(hc_front_link *l)
{
    if (l->pid > 0)
        (void)kill(l->pid, SIGKILL);
    hc_front_link_end(l);
}

void hc_front_link_reap(hc_front_link *l)
{
    int status;
    if (l->pid <= 0 || waitpid(l->pid, &status, WNOHANG) != l->pid)
        return;
    /* What it said last is worth hearing: why it refused a configuration, that it was drained. */
    if (l->open)
        read_messages(l);
    l->pid = 0;
    close_channel(l);
    (void)hc_front_state_change(&l->state, HC_FRONT_EXITED);
    l->hooks.exited(l->hooks.arg, status);
}
