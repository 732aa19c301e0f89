#include "server/worker_command.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/options.h"

extern char **environ;

#define PATH_BYTES 4096

/* Of the supervisor, not for a worker: whoever reads them would answer the service manager in its
 * place. */
static const char *const hidden_variables[] = {
    "NOTIFY_SOCKET=",  "LISTEN_FDS=",    "LISTEN_PID=",
    "LISTEN_FDNAMES=", "WATCHDOG_USEC=", "WATCHDOG_PID="};

/* --- the interpreter --- */

static int find_in_folder(const char *folder, const char *under, char **out)
{
    char path[PATH_BYTES];
    int size = snprintf(path, sizeof(path), "%s%s/python", folder, under);
    if (size < 0 || (size_t)size >= sizeof(path))
        return -HC_ENOENT;
    return hc_spawn_find(path, out, NULL);
}

static int find_beside_binary(char **out)
{
    char path[PATH_BYTES];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (size <= 0)
        return -HC_ENOENT;
    path[size] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return -HC_ENOENT;
    *slash = '\0';
    return find_in_folder(path, "", out);
}

static int find_python(const hc_settings *s, char **out, hc_err *err)
{
    if (s->python && s->python[0]) {
        int rc = hc_spawn_find(s->python, out, err);
        return rc == 0 ? 0 : hc_err_context(err, "--python");
    }
    const char *venv = getenv("VIRTUAL_ENV");
    int rc = -HC_ENOENT;
    if (venv && venv[0])
        rc = find_in_folder(venv, "/bin", out);
    if (rc == -HC_ENOENT)
        rc = find_beside_binary(out);
    if (rc == -HC_ENOENT)
        rc = hc_spawn_find("python3", out, NULL);
    return rc == 0
               ? 0
               : hc_err_set(err, -rc,
                            "there is no Python: activate an environment, or give --python PATH");
}

/* --- arguments and environment --- */

static int add(hc_strings *to, const char *text, hc_err *err)
{
    return hc_strings_add(to, hc_slice_text(text), err);
}

static int add_flag(hc_strings *to, const char *flag, const char *value, hc_err *err)
{
    int rc = add(to, flag, err);
    return rc == 0 ? add(to, value, err) : rc;
}

static int add_lane_numbers(hc_strings *to, unsigned threads, hc_err *err)
{
    hc_buf list = hc_buf_init(HC_LIMIT_WORKER_THREADS * 8);
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < threads; i++)
        rc = hc_buf_printf(&list, "%s%u", i ? "," : "", 3 + i);
    if (rc == 0)
        rc = hc_buf_add_byte(&list, 0);
    rc = rc == 0 ? add_flag(to, "--lane-fds", (const char *)list.at, err)
                 : hc_err_set(err, -rc, "--threads: too many");
    hc_buf_done(&list);
    return rc;
}

static int make_argv(hc_strings *to, const char *python, const hc_settings *s, hc_err *err)
{
    int rc = add_flag(to, python, "-P", err); /* no module of the folder it is started in */
    if (rc == 0)
        rc = add_flag(to, "-m", "handclasp.worker", err);
    if (rc == 0)
        rc = add(to, s->app, err);
    if (rc == 0)
        rc = add_lane_numbers(to, s->threads, err);
    if (rc == 0 && s->workers > 1)
        rc = add(to, "--multiprocess", err);
    if (rc == 0 && s->chdir)
        rc = add_flag(to, "--chdir", s->chdir, err);
    for (size_t i = 0; rc == 0 && i < s->pythonpath.count; i++)
        rc = add_flag(to, "--pythonpath", s->pythonpath.at[i], err);
    return rc;
}

static bool same_name(const char *a, const char *b)
{
    size_t size = strcspn(a, "=");
    return strncmp(a, b, size) == 0 && b[size] == '=';
}

static bool is_replaced(const char *variable, const hc_settings *s)
{
    for (size_t i = 0; i < HC_COUNT(hidden_variables); i++) {
        if (strncmp(variable, hidden_variables[i], strlen(hidden_variables[i])) == 0)
            return true;
    }
    for (size_t i = 0; i < s->env.count; i++) {
        if (same_name(s->env.at[i], variable))
            return true;
    }
    return false;
}

static int make_env(hc_strings *to, const hc_settings *s, hc_err *err)
{
    int rc = 0;
    for (char **v = environ; rc == 0 && *v; v++) {
        if (!is_replaced(*v, s))
            rc = add(to, *v, err);
    }
    for (size_t i = 0; rc == 0 && i < s->env.count; i++)
        rc = add(to, s->env.at[i], err);
    return rc;
}

int hc_worker_command_init(hc_worker_command *c, const hc_settings *s, hc_err *err)
{
    hc_worker_command made = {.threads = s->threads, .umask = (mode_t)s->umask};
    int rc = find_python(s, &made.python, err);
    if (rc == 0)
        rc = hc_identity_lookup("--user", s->user, s->group, &made.identity, err);
    if (rc == 0)
        rc = make_argv(&made.argv, made.python, s, err);
    if (rc == 0)
        rc = make_env(&made.env, s, err);
    if (rc != 0) {
        hc_worker_command_done(&made);
        return rc;
    }
    *c = made;
    return 0;
}

void hc_worker_command_done(hc_worker_command *c)
{
    hc_free(c->python);
    hc_strings_done(&c->argv);
    hc_strings_done(&c->env);
    hc_identity_done(&c->identity);
    *c = (hc_worker_command){0};
}

/* Pointers into `s`, and the NULL that exec wants. */
static char **with_end(const hc_strings *s)
{
    char **at = hc_alloc_zero(s->count + 1, sizeof(*at));
    for (size_t i = 0; at && i < s->count; i++)
        at[i] = s->at[i];
    return at;
}

int hc_worker_command_run(const hc_worker_command *c, const int *fds, size_t fd_count,
                          const struct rlimit *open_files, pid_t *out, hc_err *err)
{
    /* A terminal's Ctrl-C goes to the whole group, but it is the supervisor that ends the workers,
     * in order. */
    static const int ignored[] = {SIGINT, SIGHUP};
    char **argv = with_end(&c->argv), **env = with_end(&c->env);
    int rc = argv && env ? 0 : hc_err_set(err, HC_ENOMEM, "no memory");
    hc_spawn s = {.file = c->python,
                  .argv = argv,
                  .env = env,
                  .fds = fds,
                  .fd_count = fd_count,
                  .identity = &c->identity,
                  .set_umask = true,
                  .umask = c->umask,
                  .open_files = open_files,
                  .ignore = ignored,
                  .ignore_count = HC_COUNT(ignored)};
    if (rc == 0)
        rc = hc_spawn_run(&s, out, err);
    hc_free(argv);
    hc_free(env);
    return rc;
}
