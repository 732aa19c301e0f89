#include "authority/state.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority/maker.h"
#include "base/mem.h"

static const char ignore_file[] = "# Keys: never into a repository.\n*\n";
static const char config_file[] =
    "# Options of `handclasp serve` for this state folder; flags and HANDCLASP_... variables win "
    "over it.\n"
    "# `handclasp help serve` lists them. A line is a long flag without its dashes: \"workers: "
    "4\".\n\n"
    "# Where clients' records are kept: `handclasp client` lists and changes them. none: a "
    "certificate of\n"
    "# the CA in ca/ is enough to come in.\n"
    "registry: ";

static bool names_host(X509 *cert, const char *host)
{
    uint8_t octets[16];
    size_t size = hc_san_address(host, octets);
    if (size > 0)
        return X509_check_ip(cert, octets, size, 0) == 1;
    return X509_check_host(cert, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}

static int found_server(hc_maker *m, const hc_state_plan *plan, const hc_pair *p)
{
    if (!p->key_found)
        return hc_err_set(m->err, HC_ENOENT,
                          "%s/%s is there without its key %s: put the key back, or move the "
                          "certificate away for a new one",
                          m->store.path, p->cert_name, p->key_name);
    hc_maker_say(m, HC_STATE_FOUND, p->key_name, NULL);
    hc_pair_inspect(m, p);
    for (size_t i = 0; i < plan->host_count; i++)
        if (!names_host(p->cert, plan->hosts[i]))
            hc_maker_say(m, HC_STATE_LACKS_HOST, p->cert_name, plan->hosts[i]);
    return 0;
}

/* The plan's hosts, each once; "localhost" brings its addresses. Returns their number. */
static size_t all_hosts(const hc_state_plan *plan, const char *out[HC_PROFILE_HOSTS_MAX])
{
    static const char *const local[] = {"localhost", "127.0.0.1", "::1"};
    size_t count = 0, candidates = 0;
    const char *all[HC_PROFILE_HOSTS_MAX + HC_COUNT(local)];
    bool is_local = plan->host_count == 0;
    for (size_t i = 0; i < plan->host_count; i++) {
        all[candidates++] = plan->hosts[i];
        is_local = is_local || strcmp(plan->hosts[i], "localhost") == 0;
    }
    for (size_t i = 0; is_local && i < HC_COUNT(local); i++)
        all[candidates++] = local[i];
    for (size_t i = 0; i < candidates && count < HC_PROFILE_HOSTS_MAX; i++) {
        bool seen = false;
        for (size_t n = 0; n < count; n++)
            seen = seen || strcmp(out[n], all[i]) == 0;
        if (!seen)
            out[count++] = all[i];
    }
    return count;
}

static int make_server(hc_maker *m, const hc_state_plan *plan, hc_pair *p)
{
    const char *hosts[HC_PROFILE_HOSTS_MAX];
    hc_san sans[HC_PROFILE_HOSTS_MAX];
    hc_holder holder = {.sans = sans, .now_s = m->now_s};
    holder.san_count = all_hosts(plan, hosts);
    for (size_t i = 0; i < holder.san_count; i++)
        sans[i] = hc_profile_host(hosts[i]);
    const hc_profile *profile = hc_profile_builtin(HC_SLICE_LITERAL("server"));
    int rc = m->ca_key ? hc_pair_ensure_key(m, profile->key, p) : 0;
    if (rc == 0)
        rc = hc_pair_sign(m, profile, &holder, p);
    return rc == 0 ? hc_pair_write_cert(m, p) : rc;
}

static int init_server(hc_maker *m, const hc_state_plan *plan)
{
    hc_pair p = {.key = NULL};
    int rc = hc_keystore_folder(&m->store, "server", m->err);
    if (rc == 0)
        rc = hc_pair_find(m, "server/server", &p);
    if (rc == 0)
        rc = p.cert_found ? found_server(m, plan, &p) : make_server(m, plan, &p);
    hc_pair_done(&p);
    return rc;
}

static int init_text(hc_maker *m, const char *name, const char *text)
{
    bool found;
    int rc = hc_keystore_exists(&m->store, name, &found, m->err);
    if (rc == 0 && !found)
        rc = hc_keystore_write(&m->store, name, hc_slice_text(text), false, m->err);
    if (rc == 0)
        hc_maker_say(m, found ? HC_STATE_FOUND : HC_STATE_MADE, name, NULL);
    return rc;
}

static int init_config(hc_maker *m, const hc_state_plan *plan)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "%s%s\n", config_file,
                   plan->registry ? plan->registry : "none");
    return init_text(m, HC_STATE_CONFIG, text);
}

/* Left open for the clients. */
static int init_registry(hc_maker *m, const hc_state_plan *plan)
{
    enum { WAIT_MS = 10000 };
    hc_registry_options o = {plan->registry, plan->path, HC_REGISTRY_CREATE, WAIT_MS};
    char *file = NULL;
    if (!plan->registry)
        return 0;
    int rc = hc_registry_file(plan->registry, plan->path, &file, m->err);
    struct stat st;
    bool found = rc == 0 && stat(file, &st) == 0 && st.st_size > 0;
    if (rc == 0)
        rc = hc_registry_open(&o, &m->registry, m->err);
    if (rc == 0) {
        size_t size = strlen(plan->path);
        const char *at = strncmp(file, "./", 2) == 0 && plan->path[0] != '.' ? file + 2 : file;
        bool inside = strncmp(at, plan->path, size) == 0 && at[size] == '/';
        hc_maker_say(m, found ? HC_STATE_FOUND : HC_STATE_MADE, inside ? at + size + 1 : at, NULL);
    }
    hc_free(file);
    return rc;
}

/* Before anything is made. */
static int check_plan(const hc_state_plan *plan, hc_err *err)
{
    int rc = 0;
    if (plan->host_count > HC_PROFILE_HOSTS_MAX)
        return hc_err_set(err, HC_EINVAL, "--host: given more than %d times", HC_PROFILE_HOSTS_MAX);
    for (size_t i = 0; rc == 0 && i < plan->host_count; i++)
        if ((rc = hc_profile_check_host(hc_slice_text(plan->hosts[i]), err)) != 0)
            rc = hc_err_context(err, "--host");
    for (size_t i = 0; rc == 0 && i < plan->client_count; i++)
        if ((rc = hc_profile_check_name(hc_slice_text(plan->clients[i]), err)) != 0)
            rc = hc_err_context(err, "--client");
    return rc;
}

static int init_all(hc_maker *m, const hc_state_plan *plan)
{
    int rc = hc_keystore_folder(&m->store, ".", m->err);
    if (rc == 0)
        rc = init_text(m, ".gitignore", ignore_file);
    if (rc == 0)
        rc = init_config(m, plan);
    if (rc == 0)
        rc = hc_keystore_folder(&m->store, "ca", m->err);
    if (rc == 0)
        rc = hc_maker_ca(m, true);
    if (rc == 0)
        rc = init_server(m, plan);
    if (rc == 0)
        rc = init_registry(m, plan);
    if (rc == 0)
        rc = hc_keystore_folder(&m->store, "clients", m->err);
    for (size_t i = 0; rc == 0 && i < plan->client_count; i++)
        rc = hc_maker_init_client(m, plan->clients[i]);
    return rc;
}

int hc_state_init(const hc_state_plan *plan, hc_state_report report, void *arg, hc_err *err)
{
    hc_maker m = {.store = {-1, plan->path},
                  .now_s = plan->now_s,
                  .actor = plan->actor,
                  .ca_passphrase = plan->ca_passphrase,
                  .report = report,
                  .arg = arg,
                  .err = err};
    int rc = check_plan(plan, err);
    if (rc == 0)
        rc = hc_keystore_open(plan->path, &m.store, err);
    if (rc == 0)
        rc = init_all(&m, plan);
    hc_registry_close(m.registry);
    hc_maker_done(&m);
    return rc;
}
