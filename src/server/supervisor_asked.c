#include <errno.h>
#include <unistd.h>

#include "server/log_file.h"
#include "server/status.h"
#include "server/supervisor_impl.h"

static void tell_status(supervisor *s, hc_slice front_says)
{
    static const char *const phases[] = {[PHASE_STARTING] = "starting",
                                         [PHASE_SERVING] = "serving",
                                         [PHASE_DRAINING] = "draining",
                                         [PHASE_STOPPING] = "stopping"};
    hc_status status = {.phase = phases[s->phase],
                        .started_s = s->started_s,
                        .plan = &s->plan,
                        .listeners = &s->listeners,
                        .metrics = &s->metrics,
                        .front = &s->front,
                        .authority = &s->authority,
                        .workers = s->pool_started ? s->pool : NULL,
                        .front_says = front_says};
    hc_buf line = hc_buf_init(HC_CONTROL_ANSWER_BYTES);
    if (hc_status_write(&status, &line) == 0)
        hc_control_socket_tell_status(s->control, hc_buf_slice(&line));
    hc_buf_done(&line);
}

void supervisor_on_front_status(void *arg, hc_slice json)
{
    tell_status(arg, json);
}

static void on_status_wanted(void *arg, bool late)
{
    supervisor *s = arg;
    if (late || !hc_front_link_ask_status(&s->front))
        tell_status(s, HC_SLICE_NONE);
}

static uint64_t on_next_reload(void *arg)
{
    return ((supervisor *)arg)->reloads_begun + 1;
}

static void on_reload_wanted(void *arg)
{
    supervisor_reload(arg);
}

int supervisor_open_control(supervisor *s, hc_err *err)
{
    const hc_settings *set = &s->plan.settings;
    hc_control_socket_hooks hooks = {s, on_status_wanted, on_next_reload, on_reload_wanted};
    hc_buf path = hc_buf_init(HC_LIMIT_LOG_LINE);
    int rc = 0;
    if (set->control_socket)
        rc = hc_buf_add_text(&path, set->control_socket);
    else if (!set->state || access(set->state, F_OK) != 0)
        return 0;
    else
        rc = hc_buf_printf(&path, "%s/" HC_CONTROL_SOCKET_NAME, set->state);
    if (rc == 0)
        rc = hc_buf_add_byte(&path, 0);
    rc = rc == 0 ? hc_control_socket_open((const char *)path.at, &s->loop, &s->log, &hooks,
                                          &s->control, err)
                 : hc_err_set(err, -rc, "the path of the control socket is too long");
    hc_buf_done(&path);
    if (rc == 0 || set->control_socket)
        return rc == 0 ? 0 : hc_err_context(err, "--control-socket");
    hc_log_text(&s->log, HC_LOG_WARNING,
                "no control socket, so status and reload will not find this server: %s", err->text);
    *err = (hc_err){0};
    return 0;
}

/* After their files were moved away. Workers hold the descriptor that they were started with, so
 * they are replaced where it was a file. */
void supervisor_reopen_logs(supervisor *s)
{
    const hc_settings *set = &s->plan.settings;
    hc_err err = {0};
    int access_fd = -1, error_fd = -1;
    if (s->phase != PHASE_SERVING)
        return;
    bool to_file = set->error_logfile && strcmp(set->error_logfile, "-") != 0;
    int rc = hc_log_file_open("--access-logfile", set->access_logfile, &access_fd, &err);
    if (rc == 0)
        rc = hc_log_file_open("--error-logfile", set->error_logfile, &error_fd, &err);
    if (rc == 0 && to_file && dup2(error_fd, 2) < 0)
        rc = hc_err_errno(&err, errno, "--error-logfile");
    int sent = hc_front_link_logs(&s->front, access_fd, error_fd, rc == 0 ? &err : NULL);
    if (rc != 0 || sent != 0)
        hc_log_text(&s->log, HC_LOG_ERROR, "logs stay where they are: %s", err.text);
    else
        hc_log_text(&s->log, HC_LOG_INFO, "the log files were opened anew");
    if (rc == 0 && to_file && s->pool_started)
        hc_workers_roll_again(s->pool);
}
