/* What follows from the settings: which files are meant, and their contents. */
#include "server/settings.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "registry/registry.h"
#include "server/options.h"
#include "server/publish.h"
#include "server/read_file.h"

#define PATH_BYTES 4096

static int no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "out of memory");
}

/* Where the folder is not known, a relative path stays one. */
static int make_absolute(char **path, hc_err *err)
{
    char folder[PATH_BYTES], joined[2 * PATH_BYTES];
    if (!*path || **path == '/' || strcmp(*path, "-") == 0)
        return 0;
    if (!getcwd(folder, sizeof(folder)))
        return hc_err_errno(err, errno, "cannot tell the current folder");
    const char *relative = strncmp(*path, "./", 2) == 0 ? *path + 2 : *path;
    int size =
        snprintf(joined, sizeof(joined), "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, relative);
    if (size < 0 || (size_t)size >= PATH_BYTES)
        return hc_err_set(err, HC_EINVAL, "the path %.100s… is too long", *path);
    char *copy = hc_strdup(joined);
    if (!copy)
        return no_memory(err);
    hc_free(*path);
    *path = copy;
    return 0;
}

static int make_all_absolute(hc_settings *s, hc_err *err)
{
    char **paths[] = {&s->chdir,
                      &s->state,
                      &s->certfile,
                      &s->keyfile,
                      &s->keyfile_passphrase_file,
                      &s->ca_passphrase_file,
                      &s->worker_tmp_dir,
                      &s->access_logfile,
                      &s->error_logfile,
                      &s->pidfile,
                      &s->control_socket};
    hc_strings *lists[] = {&s->ca_certs, &s->crl};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < HC_COUNT(paths); i++)
        rc = make_absolute(paths[i], err);
    for (size_t l = 0; l < HC_COUNT(lists); l++)
        for (size_t i = 0; rc == 0 && i < lists[l]->count; i++)
            rc = make_absolute(&lists[l]->at[i], err);
    /* A bare name is looked for in PATH. */
    if (rc == 0 && s->python && strchr(s->python, '/'))
        rc = make_absolute(&s->python, err);
    return rc;
}

/* A file of the state folder: its path in `out`, or NULL where it does not exist. */
static int state_file(const hc_settings *s, const char *name, char **out, hc_err *err)
{
    char path[PATH_BYTES];
    struct stat st;
    *out = NULL;
    if (!s->state)
        return 0;
    int size = snprintf(path, sizeof(path), "%s/%s", s->state, name);
    if (size < 0 || (size_t)size >= sizeof(path))
        return hc_err_set(err, HC_EINVAL, "--state: the path is too long");
    if (stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    *out = hc_strdup(path);
    return *out ? 0 : no_memory(err);
}

static int resolve_certificate(hc_settings *s, hc_err *err)
{
    int rc = 0;
    if (!s->certfile && s->keyfile)
        return hc_err_set(err, HC_EINVAL,
                          "--keyfile is given without --certfile: name the certificate too");
    if (s->certfile && !s->keyfile) {
        s->keyfile = hc_strdup(s->certfile);
        return s->keyfile ? 0 : no_memory(err);
    }
    if (s->certfile)
        return 0;
    rc = state_file(s, "server/server.pem", &s->certfile, err);
    if (rc == 0)
        rc = state_file(s, "server/server.key", &s->keyfile, err);
    if (rc != 0 || (s->certfile && s->keyfile))
        return rc;
    if (s->certfile || s->keyfile)
        return hc_err_set(
            err, HC_EINVAL,
            "%s/server has only one of server.pem and server.key; run `handclasp init` to "
            "see what is missing",
            s->state);
    return hc_err_set(
        err, HC_EINVAL,
        "no server certificate: run `handclasp init`, or give --certfile and --keyfile "
        "(looked in %s)",
        s->state ? s->state : "no state folder");
}

static bool asks_for_certificates(const hc_policy *p)
{
    bool asks = p->mode != HC_MODE_NONE;
    for (size_t i = 0; i < p->rule_count; i++)
        asks = asks || p->rules[i].mode != HC_MODE_NONE;
    return asks;
}

/* CAs that were replaced, whose last certificates are still good (authority/ca.h). */
static int add_old_cas(hc_settings *s, hc_err *err)
{
    char name[32];
    int rc = 0;
    for (int n = 1; rc == 0 && n <= HC_LIMIT_OLD_CAS; n++) {
        char *found = NULL;
        (void)snprintf(name, sizeof(name), "ca/old-%d.pem", n);
        rc = state_file(s, name, &found, err);
        if (rc == 0 && found)
            rc = hc_strings_add(&s->ca_certs, hc_slice_text(found), err);
        hc_free(found);
    }
    return rc;
}

static int resolve_cas(hc_settings *s, hc_err *err)
{
    char *found = NULL;
    if (s->ca_certs.count > 0 || !asks_for_certificates(&s->policy))
        return 0;
    int rc = state_file(s, "ca/ca.pem", &found, err);
    if (rc == 0 && found) {
        rc = hc_strings_add(&s->ca_certs, hc_slice_text(found), err);
        if (rc == 0)
            rc = add_old_cas(s, err);
    } else if (rc == 0)
        rc = hc_err_set(
            err, HC_EINVAL,
            "clients are asked for certificates (--client-cert %s), and there is no CA to "
            "check them: run `handclasp init`, or give --ca-certs",
            hc_client_cert_mode_name(s->policy.mode));
    hc_free(found);
    return rc;
}

bool hc_settings_has_registry(const hc_settings *s)
{
    return s->registry && strcmp(s->registry, "none") != 0;
}

/* Wanted and missing: clients would be refused, or worse, let in without their records. */
static int check_registry(const hc_settings *s, hc_err *err)
{
    char *file = NULL;
    int rc = 0;
    if (!hc_settings_has_registry(s) || hc_registry_file(s->registry, s->state, &file, NULL) != 0)
        return 0;
    if (access(file, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        rc = hc_err_set(err, HC_EINVAL, "--registry %s: there is no %s; `handclasp init` makes one",
                        s->registry, file);
    hc_free(file);
    return rc;
}

int hc_settings_resolve_trust(hc_settings *s, hc_err *err)
{
    int rc = make_all_absolute(s, err);
    return rc == 0 ? resolve_cas(s, err) : rc;
}

/* Absent is fine there and present must verify: what the handshake loses is the alert alone. */
static int open_published(hc_settings *s, hc_err *err)
{
    hc_slice path = HC_SLICE_LITERAL(HC_PUBLISH_PATH);
    if (s->publish_crl != HC_PUBLISH_ANYONE || !hc_settings_has_registry(s) ||
        hc_policy_mode_for(&s->policy, HC_SLICE_LITERAL("GET"), path) != HC_MODE_REQUIRED)
        return 0;
    return hc_policy_add(&s->policy, HC_SLICE_LITERAL(HC_PUBLISH_PATH "=optional"), err);
}

int hc_settings_resolve(hc_settings *s, hc_err *err)
{
    int rc = make_all_absolute(s, err);
    if (rc == 0)
        rc = resolve_certificate(s, err);
    if (rc == 0)
        rc = resolve_cas(s, err);
    if (rc == 0)
        rc = open_published(s, err);
    return rc == 0 ? check_registry(s, err) : rc;
}

void hc_files_done(hc_files *f)
{
    hc_file_bytes_done(&f->certificate);
    hc_file_bytes_done(&f->key);
    hc_file_bytes_done(&f->passphrase);
    for (size_t i = 0; i < f->ca_count; i++)
        hc_file_bytes_done(&f->cas[i]);
    for (size_t i = 0; i < f->crl_count; i++)
        hc_file_bytes_done(&f->crls[i]);
    hc_free(f->cas);
    hc_free(f->crls);
    memset(f, 0, sizeof(*f));
}

static int load_list(const hc_strings *names, const char *option, hc_file_bytes **at, size_t *count,
                     hc_err *err)
{
    if (names->count == 0)
        return 0;
    *at = hc_alloc_zero(names->count, sizeof(**at));
    if (!*at)
        return no_memory(err);
    for (; *count < names->count; (*count)++) {
        int rc = hc_read_file(names->at[*count], HC_LIMIT_PEM_FILE_BYTES, &(*at)[*count], err);
        if (rc != 0)
            return hc_err_context(err, "%s", option);
    }
    return 0;
}

static int warn_of_readers(const char *path, hc_strings *warnings, hc_err *err)
{
    char text[PATH_BYTES + 100];
    if (!warnings)
        return 0;
    (void)snprintf(text, sizeof(text), "other users have access to %.*s; do: chmod 600 %.*s",
                   PATH_BYTES / 2, path, PATH_BYTES / 2, path);
    return hc_strings_add(warnings, hc_slice_text(text), err);
}

static int load_key(const hc_settings *s, hc_files *f, hc_strings *warnings, hc_err *err)
{
    bool exposed = false;
    int rc = hc_read_secret_file(s->keyfile, HC_LIMIT_PEM_FILE_BYTES, &f->key, &exposed, err);
    if (rc != 0)
        return hc_err_context(err, "--keyfile");
    if (exposed)
        rc = warn_of_readers(s->keyfile, warnings, err);
    if (rc != 0 || !s->keyfile_passphrase_file)
        return rc;
    rc = hc_read_secret_file(s->keyfile_passphrase_file, HC_LIMIT_PASSPHRASE + 2, &f->passphrase,
                             &exposed, err);
    if (rc != 0)
        return hc_err_context(err, "--keyfile-passphrase-file");
    if (exposed)
        rc = warn_of_readers(s->keyfile_passphrase_file, warnings, err);
    return rc;
}

/* The first line: what an editor adds behind it is not part of the passphrase. */
static int trim_passphrase(hc_file_bytes *p, hc_err *err)
{
    size_t size = 0;
    if (!p->at)
        return 0;
    while (size < p->size && p->at[size] != '\n' && p->at[size] != '\r')
        size++;
    p->size = size;
    if (size > 0)
        return 0;
    return hc_err_set(err, HC_EINVAL, "--keyfile-passphrase-file: the first line of %s is empty",
                      p->name);
}

/* A folder without a list is a mistake, like a file without one: nobody would be refused. */
static int add_crl_folder(const char *folder, hc_strings *files, hc_err *err)
{
    static const char *const endings[] = {".pem", ".crl", ".der"};
    size_t before = files->count;
    int rc = hc_list_folder(folder, endings, HC_COUNT(endings), HC_LIMIT_CRL_NUMBER, files, err);
    if (rc == 0 && files->count == before)
        rc = hc_err_set(err, HC_EINVAL, "no CRL in %s (files named *.pem, *.crl or *.der)", folder);
    return rc;
}

static int load_crls(const hc_settings *s, hc_files *f, hc_err *err)
{
    hc_strings files = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->crl.count; i++) {
        if (hc_is_folder(s->crl.at[i]))
            rc = add_crl_folder(s->crl.at[i], &files, err);
        else
            rc = hc_strings_add(&files, hc_slice_text(s->crl.at[i]), err);
    }
    if (rc != 0)
        rc = hc_err_context(err, "--crl");
    else
        rc = load_list(&files, "--crl", &f->crls, &f->crl_count, err);
    hc_strings_done(&files);
    return rc;
}

static int load_trust(const hc_settings *s, hc_files *f, hc_err *err)
{
    int rc = load_list(&s->ca_certs, "--ca-certs", &f->cas, &f->ca_count, err);
    return rc == 0 ? load_crls(s, f, err) : rc;
}

int hc_files_load_trust(const hc_settings *s, hc_files *out, hc_err *err)
{
    hc_files f;
    memset(&f, 0, sizeof(f));
    int rc = load_trust(s, &f, err);
    if (rc == 0)
        *out = f;
    else
        hc_files_done(&f);
    return rc;
}

int hc_files_load(const hc_settings *s, hc_files *out, hc_strings *warnings, hc_err *err)
{
    hc_files f;
    memset(&f, 0, sizeof(f));
    if (!s->certfile || !s->keyfile)
        return hc_err_set(
            err, HC_EINVAL,
            "no server certificate: run `handclasp init`, or give --certfile and --keyfile");
    int rc = hc_read_file(s->certfile, HC_LIMIT_PEM_FILE_BYTES, &f.certificate, err);
    if (rc != 0)
        rc = hc_err_context(err, "--certfile");
    if (rc == 0)
        rc = load_key(s, &f, warnings, err);
    if (rc == 0)
        rc = trim_passphrase(&f.passphrase, err);
    if (rc == 0)
        rc = load_trust(s, &f, err);
    if (rc == 0)
        *out = f;
    else
        hc_files_done(&f);
    return rc;
}
