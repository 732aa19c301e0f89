#include "registry/registry.h"

#include <string.h>

#include "base/mem.h"
#include "registry/sqlite.h"

typedef struct registry_kind {
    const char *scheme;
    int (*open)(const char *path, hc_registry_access access, uint64_t wait_ms, hc_registry **out,
                hc_err *err);
} registry_kind;

static const registry_kind kinds[] = {{"sqlite", hc_sqlite_open}};

/* "SCHEME:PATH" or "SCHEME:///PATH"; `path` points into `url`. */
static int parse_url(const char *url, const registry_kind **kind, const char **path, hc_err *err)
{
    const char *colon = url ? strchr(url, ':') : NULL;
    for (size_t i = 0; colon && i < HC_COUNT(kinds); i++) {
        if (!hc_slice_equal_text(hc_slice_of(url, (size_t)(colon - url)), kinds[i].scheme))
            continue;
        const char *rest = colon + 1;
        if (strncmp(rest, "//", 2) == 0) {
            rest += 2;
            if (*rest != '/')
                return hc_err_set(err, HC_EINVAL, "%s: an absolute path has three slashes: %s:///…",
                                  url, kinds[i].scheme);
        }
        if (*rest == '\0')
            return hc_err_set(err, HC_EINVAL, "%s: a path is missing", url);
        *kind = &kinds[i];
        *path = rest;
        return 0;
    }
    return hc_err_set(err, HC_EINVAL, "%s: no registry: 'sqlite:PATH' is one", url ? url : "");
}

int hc_registry_check_url(const char *url, hc_err *err)
{
    const registry_kind *kind = NULL;
    const char *path = NULL;
    return parse_url(url, &kind, &path, err);
}

/* Never a word that an engine reads another way, as SQLite does ":memory:" and "file:". */
static char *join_path(const char *base, const char *path)
{
    if (*path == '/')
        return hc_strdup(path);
    base = base && *base ? base : ".";
    size_t size = strlen(base) + 1 + strlen(path) + 1;
    const char *dot = *base == '/' || *base == '.' ? "" : "./";
    size += strlen(dot);
    char *out = hc_alloc(size);
    if (out)
        (void)snprintf(out, size, "%s%s/%s", dot, base, path);
    return out;
}

int hc_registry_file(const char *url, const char *base, char **out, hc_err *err)
{
    const registry_kind *kind = NULL;
    const char *path = NULL;
    int rc = parse_url(url, &kind, &path, err);
    if (rc)
        return rc;
    char *file = join_path(base, path);
    if (!file)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    *out = file;
    return 0;
}

int hc_registry_open(const hc_registry_options *o, hc_registry **out, hc_err *err)
{
    const registry_kind *kind = NULL;
    const char *path = NULL;
    char *file = NULL;
    int rc = parse_url(o->url, &kind, &path, err);
    if (rc == 0)
        rc = hc_registry_file(o->url, o->base, &file, err);
    if (rc == 0)
        rc = kind->open(file, o->access, o->wait_ms, out, err);
    hc_free(file);
    return rc;
}

void hc_registry_close(hc_registry *r)
{
    if (r)
        r->engine->close(r);
}

static const char *const client_statuses[] = {
    [HC_CLIENT_ACTIVE] = "active",
    [HC_CLIENT_SUSPENDED] = "suspended",
    [HC_CLIENT_REVOKED] = "revoked",
};

const char *hc_client_status_name(hc_client_status s)
{
    return s >= HC_CLIENT_ACTIVE && s <= HC_CLIENT_REVOKED ? client_statuses[s] : "";
}

bool hc_client_status_parse(hc_slice name, hc_client_status *out)
{
    for (hc_client_status s = HC_CLIENT_ACTIVE; s <= HC_CLIENT_REVOKED; s++) {
        if (hc_slice_equal_text(name, client_statuses[s])) {
            *out = s;
            return true;
        }
    }
    return false;
}

const char *hc_certificate_status_name(hc_certificate_status s)
{
    return s == HC_CERTIFICATE_ACTIVE ? "active" : s == HC_CERTIFICATE_REVOKED ? "revoked" : "";
}

const char *hc_certificate_origin_name(hc_certificate_origin o)
{
    static const char *const names[] = {
        [HC_ORIGIN_ISSUED] = "issued",     [HC_ORIGIN_SIGNED] = "signed",
        [HC_ORIGIN_ENROLLED] = "enrolled", [HC_ORIGIN_IMPORTED] = "imported",
        [HC_ORIGIN_SERIAL] = "serial",
    };
    return o >= HC_ORIGIN_ISSUED && o <= HC_ORIGIN_SERIAL ? names[o] : "";
}
