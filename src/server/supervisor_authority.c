#include <unistd.h>

#include "server/registry_owner.h"
#include "server/supervisor_impl.h"

void supervisor_send_authority(supervisor *s)
{
    hc_err err = {0};
    int fd = hc_authority_child_take_fd(&s->authority);
    if (fd >= 0 && hc_front_link_authority(&s->front, fd, &err) != 0)
        hc_log_text(&s->log, HC_LOG_ERROR, "the front does not get its authority: %s", err.text);
}

void supervisor_hand_over_registry(supervisor *s)
{
    hc_err err = {0};
    if (hc_settings_has_registry(&s->plan.settings) &&
        hc_registry_hand_over(&s->plan.settings, &s->plan.authority, &s->plan.front, &err) != 0)
        hc_log_text(&s->log, HC_LOG_ERROR, "%s", err.text);
    if (hc_authority_child_supply(&s->authority, &err) != 0)
        hc_log_text(&s->log, HC_LOG_ERROR,
                    "no revocation lists of CAs that changed are published: %s", err.text);
}

static void on_opened(void *arg, const char *trouble)
{
    supervisor *s = arg;
    hc_err err = {0};
    if (s->phase != PHASE_STARTING || s->front.state != HC_FRONT_DOWN)
        return; /* clients are served already: it says itself what is wrong */
    if (trouble)
        (void)hc_err_set(&err, HC_EIO, "--registry %s, as the authority's user: %s",
                         s->plan.settings.registry, trouble);
    if (trouble || supervisor_start_front(s, &err) != 0) {
        hc_log_text(&s->log, HC_LOG_ERROR, "%s", err.text);
        supervisor_stop_now(s, HC_EXIT_REFUSED);
    }
}

/* A front that is not configured yet gets it then. */
static void on_fresh(void *arg)
{
    supervisor *s = arg;
    if (s->front.state == HC_FRONT_SERVING || s->front.state == HC_FRONT_CHANGING ||
        s->front.state == HC_FRONT_DRAINING)
        supervisor_send_authority(s);
}

static void on_exited(void *arg, int status)
{
    supervisor *s = arg;
    char how[64];
    hc_worker_exit_text(status, how, sizeof(how));
    if (s->phase == PHASE_STARTING && s->front.state == HC_FRONT_DOWN) {
        hc_log_text(&s->log, HC_LOG_ERROR, "the authority ended before it was ready: %s", how);
        supervisor_stop_now(s, HC_EXIT_REFUSED);
    } else if (s->phase == PHASE_STOPPING) {
        supervisor_end_if_done(s);
    } else if (status != 0) { /* else the front died, and it with it */
        hc_log_text(&s->log, HC_LOG_ERROR, "the authority died: %s; it is restarted", how);
    }
}

int supervisor_begin(supervisor *s, hc_err *err)
{
    const hc_settings *set = &s->plan.settings;
    hc_authority_hooks hooks = {s, on_opened, on_fresh, on_exited};
    hc_authority_child_init(&s->authority, &s->loop, &s->log, &hooks, &s->plan);
    if (!hc_settings_has_registry(set))
        return supervisor_start_front(s, err);
    return hc_authority_child_start(&s->authority, err);
}
