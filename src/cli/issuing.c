#include "cli/issuing.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/hardening.h"
#include "server/read_file.h"

#define CONFIG_LIMIT_BYTES (1u << 20)

int hc_ca_passphrase(const char *flag, const hc_settings *s, hc_secret *out, hc_err *err)
{
    const char *path = flag ? flag : s->ca_passphrase_file;
    return hc_passphrase_of_ca(path, getenv("CREDENTIALS_DIRECTORY"), out, err);
}

int hc_profiles_of(const hc_serve_args *server, hc_profiles *out, hc_err *err)
{
    char path[4096];
    hc_file_bytes file = {NULL, NULL, 0};
    (void)snprintf(path, sizeof(path), "%s/" HC_STATE_CONFIG, server->settings.state);
    const char *name = server->config ? server->config : path;
    int rc = hc_read_file(name, CONFIG_LIMIT_BYTES, &file, err);
    if (rc == -HC_ENOENT && !server->config)
        rc = 0;
    if (rc == 0)
        rc = hc_profiles_load(hc_slice_of(file.at, file.size), name, out, err);
    hc_file_bytes_done(&file);
    return rc;
}

static int find_profile(const hc_issue_args *a, const hc_profiles *all, const hc_profile **out,
                        hc_err *err)
{
    const char *name = a->profile ? a->profile : "client";
    *out = hc_profiles_find(all, hc_slice_text(name));
    return *out ? 0
                : hc_err_set(err, HC_EINVAL,
                             "--profile: there is no profile %s; client, device and server are "
                             "built in, handclasp.yaml may have others below profiles:",
                             name);
}

static int parse_sans(const hc_strings *texts, hc_san **out, hc_err *err)
{
    hc_san *sans = hc_alloc_zero(texts->count + 1, sizeof(*sans));
    if (!sans)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    *out = sans;
    for (size_t i = 0; i < texts->count; i++) {
        hc_slice text = hc_slice_text(texts->at[i]);
        ptrdiff_t colon = hc_slice_find(text, ':');
        if (colon < 0 || !hc_san_type_parse(hc_slice_of(text.at, (size_t)colon), &sans[i].type))
            return hc_err_set(err, HC_EINVAL,
                              "--san %s: a name with its type is wanted: email:, DNS:, URI: or IP: "
                              "before it",
                              texts->at[i]);
        sans[i].value = texts->at[i] + colon + 1;
        int rc = hc_san_check(&sans[i], err);
        if (rc != 0)
            return hc_err_context(err, "--san");
    }
    return 0;
}

int hc_issuing_open(const hc_issue_args *a, const hc_records *r, hc_issuing *out, hc_err *err)
{
    const hc_profile *profile = NULL;
    *out = (hc_issuing){.sans = NULL};
    hc_protect_memory();
    int rc = hc_profiles_of(&r->server, &out->profiles, err);
    if (rc == 0)
        rc = find_profile(a, &out->profiles, &profile, err);
    if (rc == 0)
        rc = parse_sans(&a->sans, &out->sans, err);
    if (rc == 0)
        rc = hc_ca_passphrase(a->ca_passphrase_file, &r->server.settings, &out->passphrase, err);
    if (rc != 0) {
        hc_issuing_done(out);
        return rc;
    }
    out->plan = (hc_client_plan){.path = r->server.settings.state,
                                 .registry = r->registry,
                                 .actor = &r->actor,
                                 .ca_passphrase = hc_secret_slice(&out->passphrase),
                                 .profile = profile,
                                 .sans = out->sans,
                                 .san_count = a->sans.count,
                                 .lifetime_s = (int64_t)a->days * HC_PROFILE_DAY_S,
                                 .now_s = hc_clock_wall_s()};
    return 0;
}

void hc_issuing_done(hc_issuing *i)
{
    hc_profiles_done(&i->profiles);
    hc_free(i->sans);
    hc_secret_done(&i->passphrase);
    *i = (hc_issuing){.sans = NULL};
}
