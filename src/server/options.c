#include "server/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "server/read_file.h"

/* What was given on each level. */
typedef struct levels {
    hc_given_list flags, environment, file;
} levels;

static void levels_done(levels *l)
{
    hc_given_done(&l->flags);
    hc_given_done(&l->environment);
    hc_given_done(&l->file);
}

/* The last value of an option, from the flags or else the environment; NULL where neither has it.
 */
static const char *given_text(const levels *l, const char *name)
{
    const hc_given_list *lists[] = {&l->flags, &l->environment};
    for (size_t n = 0; n < HC_COUNT(lists); n++)
        for (size_t i = lists[n]->count; i > 0; i--)
            if (strcmp(lists[n]->at[i - 1].option->name, name) == 0)
                return lists[n]->at[i - 1].value;
    return NULL;
}

static int number_of_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > HC_LIMIT_WORKERS ? HC_LIMIT_WORKERS : (int)cores;
}

static const char *variable(char *const *environment, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; environment && environment[i]; i++)
        if (strncmp(environment[i], name, size) == 0 && environment[i][size] == '=')
            return environment[i] + size + 1;
    return NULL;
}

static mode_t inherited_umask(void)
{
    mode_t mask = umask(077);
    (void)umask(mask);
    return mask;
}

/* Defaults that the table cannot hold, because they are made at run time. */
static int set_made_defaults(hc_serve_args *a, char *const *environment, hc_err *err)
{
    hc_options table = hc_serve_options();
    a->settings.umask = inherited_umask() & 0777;
    a->settings.workers = (unsigned)number_of_cores();
    a->parent_fd = -1;
    const char *concurrency = variable(environment, "WEB_CONCURRENCY");
    if (!concurrency || !*concurrency)
        return 0;
    int rc = hc_option_set(hc_option_find(table, HC_SLICE_LITERAL("workers")), a,
                           hc_slice_text(concurrency), err);
    return rc == 0 || rc == -HC_ENOMEM ? rc : hc_err_context(err, "WEB_CONCURRENCY");
}

static int read_config(const char *path, bool must_exist, hc_given_list *out, hc_err *err)
{
    hc_file_bytes bytes = {NULL, NULL, 0};
    hc_err why = {0};
    int rc = hc_read_file(path, HC_LIMIT_CONFIG_BYTES, &bytes, &why);
    if (rc == -HC_ENOENT && !must_exist)
        return 0;
    if (rc != 0)
        return hc_err_set(err, rc == -HC_ENOMEM ? HC_ENOMEM : HC_EINVAL, "--config: %s", why.text);
    rc =
        hc_options_from_file(hc_serve_options(), hc_slice_of(bytes.at, bytes.size), path, out, err);
    hc_file_bytes_done(&bytes);
    return rc;
}

/* The file that -c names, or the one in the state folder; which may not send us to another state
 * folder. */
static int read_file_level(levels *l, hc_err *err)
{
    const char *config = given_text(l, "config");
    size_t size = config ? strlen(config) : 0;
    if (size > 3 && strcmp(config + size - 3, ".py") == 0)
        return hc_err_set(err, HC_EINVAL,
                          "--config: a YAML file is wanted, not Python: the same names, \"workers: "
                          "4\" for \"workers = 4\"");
    if (config)
        return read_config(config, true, &l->file, err);
    const char *state = given_text(l, "state");
    char path[4096];
    int written =
        snprintf(path, sizeof(path), "%s/handclasp.yaml", state && *state ? state : ".handclasp");
    if (written < 0 || (size_t)written >= sizeof(path))
        return hc_err_set(err, HC_EINVAL, "--state: the path is too long");
    int rc = read_config(path, false, &l->file, err);
    for (size_t i = 0; rc == 0 && i < l->file.count; i++)
        if (strcmp(l->file.at[i].option->name, "state") == 0)
            rc = hc_err_set(err, HC_EINVAL,
                            "%s: the file in a state folder cannot name another; use --state",
                            l->file.at[i].where);
    return rc;
}

static int apply_levels(const levels *l, hc_serve_args *a, hc_err *err)
{
    hc_options table = hc_serve_options();
    const hc_given_list *order[] = {&l->file, &l->environment, &l->flags};
    int rc = hc_options_apply_defaults(table, a, err);
    for (size_t i = 0; rc == 0 && i < HC_COUNT(order); i++)
        rc = hc_options_apply(table, order[i], a, &a->notices, err);
    return rc;
}

static int parse_all(int argc, char *const *argv, char *const *environment, levels *l,
                     hc_serve_args *a, hc_err *err)
{
    hc_options table = hc_serve_options();
    int rc = set_made_defaults(a, environment, err);
    if (rc == 0)
        rc = hc_options_from_flags(table, argc, argv, &l->flags, err);
    for (size_t i = 0; rc == 0 && i < l->flags.count; i++)
        if (l->flags.at[i].option->flags & HC_OPTION_STOPS) {
            a->help = true;
            return 0;
        }
    if (rc == 0)
        rc = hc_options_from_environment(table, environment, &l->environment, &a->notices, err);
    if (rc == 0)
        rc = read_file_level(l, err);
    if (rc == 0)
        rc = apply_levels(l, a, err);
    for (int i = 0; rc == 0 && i < argc; i++)
        rc = hc_strings_add(&a->flags, hc_slice_text(argv[i]), err);
    return rc;
}

int hc_serve_args_parse(int argc, char *const *argv, char *const *environment, hc_serve_args *out,
                        hc_err *err)
{
    levels l;
    memset(&l, 0, sizeof(l));
    memset(out, 0, sizeof(*out));
    int rc = parse_all(argc, argv, environment, &l, out, err);
    levels_done(&l);
    if (rc != 0)
        hc_serve_args_done(out);
    return rc;
}

void hc_serve_args_done(hc_serve_args *a)
{
    hc_options_done(hc_serve_options(), a);
    hc_strings_done(&a->notices);
    hc_strings_done(&a->flags);
    memset(a, 0, sizeof(*a));
    a->parent_fd = -1;
}

int hc_settings_defaults(hc_settings *out, hc_err *err)
{
    hc_serve_args a;
    memset(&a, 0, sizeof(a));
    int rc = set_made_defaults(&a, NULL, err);
    if (rc == 0)
        rc = hc_options_apply_defaults(hc_serve_options(), &a, err);
    if (rc == 0) {
        *out = a.settings;
        memset(&a.settings, 0, sizeof(a.settings));
    }
    hc_serve_args_done(&a);
    return rc;
}

/* All values of one option, each behind its length. */
static int values_of(const hc_option *o, const hc_serve_args *a, hc_buf *out)
{
    hc_buf value = hc_buf_init(HC_LIMIT_CONFIG_BYTES);
    int rc = 0;
    for (size_t i = 0; rc == 0; i++) {
        hc_buf_clear(&value);
        rc = hc_option_get(o, a, i, &value);
        if (rc <= 0)
            break;
        rc = hc_buf_add_field32(out, hc_buf_slice(&value));
    }
    hc_buf_done(&value);
    return rc;
}

static int copy_values(const hc_option *o, hc_slice values, hc_serve_args *to, hc_err *err)
{
    hc_cursor c = hc_cursor_of(values);
    hc_slice value;
    int rc = 0;
    hc_option_clear(o, to);
    while (rc == 0 && hc_cursor_field32(&c, &value))
        rc = hc_option_set(o, to, value, err);
    return rc;
}

static int keep_value(const hc_option *o, const hc_serve_args *running, hc_serve_args *out,
                      hc_err *err)
{
    hc_buf old = hc_buf_init(2 * HC_LIMIT_CONFIG_BYTES),
           new = hc_buf_init(2 * HC_LIMIT_CONFIG_BYTES);
    char notice[160];
    int rc = values_of(o, running, &old);
    if (rc == 0)
        rc = values_of(o, out, &new);
    if (rc != 0) {
        rc = hc_err_set(err, rc, "out of memory");
    } else if (!hc_slice_equal(hc_buf_slice(&old), hc_buf_slice(&new))) {
        (void)snprintf(notice, sizeof(notice),
                       "a changed %s takes effect at a restart, not at a reload", o->name);
        rc = hc_strings_add(&out->notices, hc_slice_text(notice), err);
        if (rc == 0)
            rc = copy_values(o, hc_buf_slice(&old), out, err);
    }
    hc_buf_done(&old);
    hc_buf_done(&new);
    return rc;
}

int hc_serve_args_again(const hc_serve_args *running, char *const *environment, hc_serve_args *out,
                        hc_err *err)
{
    hc_options table = hc_serve_options();
    int rc =
        hc_serve_args_parse((int)running->flags.count, running->flags.at, environment, out, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < table.count; i++) {
        const hc_option *o = &table.at[i];
        if (!(o->flags & (HC_OPTION_RELOADABLE | HC_OPTION_FLAG_ONLY)))
            rc = keep_value(o, running, out, err);
    }
    if (rc != 0)
        hc_serve_args_done(out);
    return rc;
}
