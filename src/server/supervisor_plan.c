#include "server/supervisor_plan.h"

#include <unistd.h>

#include "base/mem.h"
#include "registry/registry.h"
#include "server/control_config.h"

static int copy_settings(const hc_settings *from, hc_settings *to, hc_err *err)
{
    hc_buf encoded = hc_buf_init(HC_LIMIT_CONFIG_BYTES);
    int rc = hc_settings_encode(from, &encoded, err);
    if (rc == 0)
        rc = hc_settings_decode(hc_buf_slice(&encoded), to, err);
    hc_buf_done(&encoded);
    return rc;
}

/* A check changes nothing, so the file may not yet be one that the front's user can read: it is
 * looked at here, and the front goes without. */
static int check_registry(hc_settings *s, hc_err *err)
{
    hc_registry *r = NULL;
    hc_registry_options o = {s->registry, s->state, HC_REGISTRY_READ, s->registry_max_age_ms};
    int rc = hc_registry_open(&o, &r, err);
    if (rc != 0)
        return hc_err_context(err, "--registry %s", s->registry);
    hc_registry_close(r);
    char *none = hc_strdup("none");
    if (!none)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    hc_free(s->registry);
    s->registry = none;
    return 0;
}

static void log_lines(const hc_log *log, hc_log_level level, const hc_strings *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        hc_log_text(log, level, "%s", lines->at[i]);
}

static int seal_files(hc_plan *p, const hc_log *log, hc_err *err)
{
    hc_files files = {0};
    hc_strings warnings = {0};
    int rc = hc_files_load(&p->settings, &files, &warnings, err);
    if (rc == 0) {
        log_lines(log, HC_LOG_WARNING, &warnings);
        rc = hc_control_config_seal(&p->settings, &files, &p->config_fd, err);
        hc_files_done(&files);
    }
    hc_strings_done(&warnings);
    return rc;
}

/* Users that are to be apart, and are not, would be a promise broken in silence. */
static int look_up_authority(hc_plan *p, hc_err *err)
{
    const hc_settings *s = &p->settings;
    if (!s->authority_user)
        return 0;
    int rc = hc_identity_lookup("--authority-user", s->authority_user, NULL, &p->authority, err);
    if (rc != 0 || !p->authority.drop)
        return rc;
    if (p->with_workers && p->command.identity.drop && p->command.identity.uid == p->authority.uid)
        return hc_err_set(
            err, HC_EINVAL,
            "--authority-user %s is also the user of the workers: whoever breaks into "
            "the application could write the registry; give --user another one",
            s->authority_user);
    if (p->front.drop && p->front.uid == p->authority.uid)
        return hc_err_set(err, HC_EINVAL,
                          "--authority-user %s is also the user of the front, which strangers talk "
                          "to; give --front-user another one",
                          s->authority_user);
    return 0;
}

static int look_up_users(hc_plan *p, hc_err *err)
{
    const hc_settings *s = &p->settings;
    const hc_identity *worker = &p->command.identity;
    int rc =
        s->front_user ? hc_identity_lookup("--front-user", s->front_user, NULL, &p->front, err) : 0;
    uid_t front = p->front.drop ? p->front.uid : geteuid();
    if (rc == 0 && p->front.drop && p->with_workers && worker->uid == front)
        rc = hc_err_set(err, HC_EINVAL,
                        "--front-user %s is also the user of the workers: whoever breaks into the "
                        "application could reach the server's key; give --user another one",
                        s->front_user);
    if (rc == 0)
        rc = look_up_authority(p, err);
    p->apart = worker->drop && worker->uid != 0 && worker->uid != geteuid() && worker->uid != front;
    return rc;
}

int hc_plan_make(hc_plan *p, const hc_serve_args *args, const hc_log *log, hc_err *err)
{
    hc_plan made = {.config_fd = -1};
    log_lines(log, HC_LOG_WARNING, &args->notices);
    int rc = copy_settings(&args->settings, &made.settings, err);
    if (rc == 0)
        rc = hc_settings_resolve(&made.settings, err);
    if (rc == 0 &&
        made.settings
            .check_config) /* the application is loaded once: that shows what there is to see */
        made.settings.workers = made.settings.threads = 1;
    if (rc == 0 && made.settings.check_config && hc_settings_has_registry(&made.settings))
        rc = check_registry(&made.settings, err);
    made.with_workers = rc == 0 && args->lane_count == 0 && made.settings.app;
    if (made.with_workers)
        rc = hc_worker_command_init(&made.command, &made.settings, err);
    if (rc == 0)
        rc = look_up_users(&made, err);
    if (rc == 0)
        rc = seal_files(&made, log, err);
    if (rc != 0) {
        hc_plan_done(&made);
        return rc;
    }
    *p = made;
    return 0;
}

void hc_plan_done(hc_plan *p)
{
    hc_settings_done(&p->settings);
    hc_worker_command_done(&p->command);
    hc_identity_done(&p->front);
    hc_identity_done(&p->authority);
    if (p->config_fd >= 0)
        (void)close(p->config_fd);
    *p = (hc_plan){.config_fd = -1};
}
