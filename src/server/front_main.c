#include "server/front_main.h"

#include <pthread.h>
#include <unistd.h>

#include "app/spool.h"
#include "server/control.h"
#include "server/control_config.h"
#include "server/front.h"
#include "server/hardening.h"

typedef struct front_process {
    hc_log log;
    hc_front *front; /* NULL before the first configuration */
    bool started;
    int access_fd; /* came before there was a front; -1: none */
    hc_control in;
    pthread_mutex_t post_lock; /* keeps the frames of several threads whole */
} front_process;

/* A supervisor that cannot be told is gone: the end of the control socket says so to the reader. */
static void post(front_process *p, const hc_control_message *m)
{
    (void)pthread_mutex_lock(&p->post_lock);
    int rc = hc_control_post(p->in.fd, m);
    (void)pthread_mutex_unlock(&p->post_lock);
    (void)rc;
}

static void on_lane_ready(void *arg, uint32_t worker)
{
    post(arg, &(hc_control_message){.type = HC_CONTROL_LANE_READY, .worker = worker, .fd = -1});
}

static void on_worker_broken(void *arg, uint32_t worker, const char *why)
{
    post(arg, &(hc_control_message){.type = HC_CONTROL_WORKER_BROKEN,
                                    .worker = worker,
                                    .text = hc_slice_text(why),
                                    .fd = -1});
}

static void on_worker_idle(void *arg, uint32_t worker)
{
    post(arg, &(hc_control_message){.type = HC_CONTROL_WORKER_IDLE, .worker = worker, .fd = -1});
}

static void on_worker_spent(void *arg, uint32_t worker)
{
    post(arg, &(hc_control_message){.type = HC_CONTROL_WORKER_SPENT, .worker = worker, .fd = -1});
}

static void on_drained(void *arg)
{
    post(arg, &(hc_control_message){.type = HC_CONTROL_DRAINED, .fd = -1});
}

/* The level and form of log lines are those of the first configuration: the front's threads read
 * them without a lock. */
static int make_front(front_process *p, const hc_settings *settings, bool again, hc_err *err)
{
    hc_front_events events = {.arg = p,
                              .lane_ready = on_lane_ready,
                              .worker_broken = on_worker_broken,
                              .worker_idle = on_worker_idle,
                              .worker_spent = on_worker_spent,
                              .drained = on_drained};
    if (p->front)
        return 0;
    p->log = (hc_log){
        .fd = 2, .level = settings->log_level, .json = settings->log_json, .role = "front"};
    int rc = hc_front_new(&p->log, &events, again, &p->front, err);
    if (rc == 0 && p->access_fd >= 0) {
        hc_front_access_log(p->front, p->access_fd);
        p->access_fd = -1;
    }
    return rc;
}

/* A folder that this user cannot write to would show with the first large body. */
static int check_spool(const hc_log *log, const hc_settings *settings, hc_err *err)
{
    int fd = -1;
    hc_err why = {0};
    int rc = hc_spool_file(settings->worker_tmp_dir, &fd, &why);
    if (rc == 0) {
        (void)close(fd);
        return 0;
    }
    if (settings->worker_tmp_dir)
        return hc_err_set(err, -rc, "--worker-tmp-dir, as the front's user: %s", why.text);
    hc_log_text(log, HC_LOG_WARNING,
                "large bodies will be refused: %s; give --worker-tmp-dir a folder that the front's "
                "user can write to",
                why.text);
    return 0;
}

static void take_log(front_process *p, const hc_control_message *m)
{
    if (m->type == HC_CONTROL_ERROR_LOG) {
        (void)dup2(m->fd, 2);
        (void)close(m->fd);
    } else if (p->front) {
        hc_front_access_log(p->front, m->fd);
    } else {
        if (p->access_fd >= 0)
            (void)close(p->access_fd);
        p->access_fd = m->fd;
    }
}

static void configure(front_process *p, int fd, bool again)
{
    hc_settings settings = {0};
    hc_files files = {0};
    hc_err err = {0};
    int rc = hc_control_config_open(fd, &settings, &files, &err);
    (void)close(fd);
    if (rc == 0) {
        rc = make_front(p, &settings, again, &err);
        if (rc == 0)
            rc = check_spool(&p->log, &settings, &err);
        if (rc == 0)
            rc = hc_front_configure(p->front, &settings, &files, &err);
        hc_settings_done(&settings);
        hc_files_done(&files);
    }
    hc_control_message answer = {.type = rc == 0 ? HC_CONTROL_CONFIG_OK : HC_CONTROL_CONFIG_BAD,
                                 .fd = -1};
    if (rc != 0)
        answer.text = hc_slice_text(err.text);
    post(p, &answer);
}

/* Threads are started with the first thing to do, so that a configuration can be tried out without
 * any. */
static int started(front_process *p, hc_err *err)
{
    if (p->started)
        return 0;
    if (!p->front)
        return hc_err_set(err, HC_EINVAL, "there is no configuration yet");
    int rc = hc_front_start(p->front, err);
    p->started = rc == 0;
    return rc;
}

static int take_fd(front_process *p, const hc_control_message *m, hc_err *err)
{
    int rc = started(p, err);
    if (rc != 0) {
        (void)close(m->fd);
        return rc;
    }
    if (m->type == HC_CONTROL_LISTEN)
        return hc_front_listen(p->front, m->fd, err);
    if (m->type == HC_CONTROL_METRICS)
        return hc_front_serve_metrics(p->front, m->fd, err);
    if (m->type == HC_CONTROL_AUTHORITY)
        return hc_front_authority(p->front, m->fd, err);
    /* One lane less is that worker's loss, not the server's. */
    if (hc_front_add_lane(p->front, m->worker, m->fd, err) != 0)
        on_worker_broken(p, m->worker, err->text);
    return 0;
}

static void tell_status(front_process *p)
{
    hc_buf text = hc_buf_init(HC_CONTROL_TEXT_MAX);
    if (p->front && hc_front_status(p->front, &text) == 0)
        post(p, &(hc_control_message){
                    .type = HC_CONTROL_STATUS_IS, .text = hc_buf_slice(&text), .fd = -1});
    hc_buf_done(&text);
}

static int obey(front_process *p, const hc_control_message *m, hc_err *err)
{
    switch (m->type) {
    case HC_CONTROL_CONFIG:
    case HC_CONTROL_CONFIG_AGAIN:
        configure(p, m->fd, m->type == HC_CONTROL_CONFIG_AGAIN);
        return 0;
    case HC_CONTROL_LISTEN:
    case HC_CONTROL_METRICS:
    case HC_CONTROL_AUTHORITY:
    case HC_CONTROL_LANE:
        return take_fd(p, m, err);
    case HC_CONTROL_RETIRE:
        if (p->started)
            hc_front_retire_worker(p->front, m->worker);
        return 0;
    case HC_CONTROL_DRAIN:
        if (p->started)
            hc_front_drain(p->front, m->grace_ms);
        else
            on_drained(p);
        return 0;
    case HC_CONTROL_ACCESS_LOG:
    case HC_CONTROL_ERROR_LOG:
        take_log(p, m);
        return 0;
    case HC_CONTROL_STATUS:
        tell_status(p);
        return 0;
    default:
        return hc_err_set(err, HC_EFORMAT, "control message %u is not for the front",
                          (unsigned)m->type);
    }
}

int hc_front_main(int control_fd)
{
    front_process p = {.log = {.fd = 2, .level = HC_LOG_INFO, .role = "front"},
                       .access_fd = -1,
                       .post_lock = PTHREAD_MUTEX_INITIALIZER};
    hc_err err = {0};
    hc_ignore_signals();
    hc_protect_memory();
    hc_control_init(&p.in, control_fd);
    int rc;
    hc_control_message m;
    while ((rc = hc_control_read(&p.in, &m, &err)) == 0) {
        rc = obey(&p, &m, &err);
        if (rc != 0)
            break;
    }
    if (rc != -HC_ECLOSED)
        hc_log_text(&p.log, HC_LOG_ERROR, "the front ends: %s", err.text);
    if (p.front)
        hc_front_free(p.front);
    hc_control_done(&p.in);
    (void)pthread_mutex_destroy(&p.post_lock);
    return rc == -HC_ECLOSED ? 0 : 1;
}
