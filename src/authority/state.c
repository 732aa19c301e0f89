#include "authority/state.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "authority/issue.h"

#define NAME_BYTES 160

static const char ignore_file[] = "# Keys: never into a repository.\n*\n";
static const char config_file[] = "# Options of `handclasp serve` for this state folder; flags and "
                                  "HANDCLASP_... variables win over it.\n"
                                  "# `handclasp help serve` lists them. A line is a long flag "
                                  "without its dashes: \"workers: 4\".\n\n"
                                  "# Where clients' records are kept. none: a certificate of the "
                                  "CA in ca/ is enough to come in.\n"
                                  "registry: none\n";

typedef struct maker {
    const hc_state_plan *plan;
    hc_state_report report;
    void *arg;
    hc_keystore store;
    X509 *ca;
    EVP_PKEY *ca_key; /* NULL where it is kept elsewhere */
    hc_err *err;
} maker;

/* A key and its certificate, on their way into the store or found in it. */
typedef struct pair {
    char key_name[NAME_BYTES], cert_name[NAME_BYTES];
    bool key_found, cert_found;
    EVP_PKEY *key;
    X509 *cert;
} pair;

static void pair_done(pair *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    p->key = NULL;
    p->cert = NULL;
}

static void say(maker *m, hc_state_event event, const char *file, const char *host)
{
    m->report(m->arg, event, file, host);
}

static int mismatch(maker *m, const pair *p)
{
    ERR_clear_error();
    return hc_err_set(m->err, HC_EDENIED,
                      "%s/%s does not belong to the key %s; nothing was changed: move one of them "
                      "away, or put the right one back",
                      m->store.path, p->cert_name, p->key_name);
}

/* Reads what is there. */
static int find_pair(maker *m, const char *stem, pair *p)
{
    (void)snprintf(p->key_name, sizeof(p->key_name), "%s.key", stem);
    (void)snprintf(p->cert_name, sizeof(p->cert_name), "%s.pem", stem);
    int rc = hc_keystore_exists(&m->store, p->key_name, &p->key_found, m->err);
    if (rc == 0)
        rc = hc_keystore_exists(&m->store, p->cert_name, &p->cert_found, m->err);
    if (rc == 0 && p->key_found)
        rc = hc_keystore_read_key(&m->store, p->key_name, HC_SLICE_NONE, &p->key, m->err);
    if (rc == 0 && p->cert_found)
        rc = hc_keystore_read_cert(&m->store, p->cert_name, &p->cert, m->err);
    if (rc == 0 && p->key && p->cert && X509_check_private_key(p->cert, p->key) != 1)
        rc = mismatch(m, p);
    return rc;
}

static int ensure_key(maker *m, pair *p)
{
    if (p->key_found) {
        say(m, HC_STATE_FOUND, p->key_name, NULL);
        return 0;
    }
    int rc = hc_key_new(HC_KEY_P256, &p->key, m->err);
    if (rc == 0)
        rc = hc_keystore_write_key(&m->store, p->key_name, p->key, HC_SLICE_NONE, m->err);
    if (rc == 0)
        say(m, HC_STATE_MADE, p->key_name, NULL);
    return rc;
}

static int no_ca_key(maker *m, const pair *p)
{
    return hc_err_set(m->err, HC_ENOENT,
                      "%s/%s cannot be made without the CA's key: put %s/ca/ca.key back, or run "
                      "without --client and --host",
                      m->store.path, p->cert_name, m->store.path);
}

/* Key, then certificate. The caller found out that the certificate is missing. */
static int make_pair(maker *m, const char *profile_name, const hc_holder *holder, pair *p)
{
    const hc_profile *profile = hc_profile_builtin(hc_slice_text(profile_name));
    bool is_ca = profile->kind == HC_PROFILE_CA;
    if (!is_ca && !m->ca_key)
        return no_ca_key(m, p);
    int rc = ensure_key(m, p);
    if (rc == 0)
        rc = hc_issue(profile, holder, p->key, is_ca ? NULL : m->ca, is_ca ? NULL : m->ca_key,
                      &p->cert, m->err);
    if (rc == 0)
        rc = hc_keystore_write_cert(&m->store, p->cert_name, p->cert, m->err);
    if (rc == 0)
        say(m, HC_STATE_MADE, p->cert_name, NULL);
    return rc;
}

static bool signed_by(X509 *cert, X509 *ca)
{
    bool yes =
        X509_check_issued(ca, cert) == X509_V_OK && X509_verify(cert, X509_get0_pubkey(ca)) == 1;
    ERR_clear_error();
    return yes;
}

/* What a person should know about a certificate that stays. */
static void inspect_found(maker *m, const pair *p)
{
    time_t now = (time_t)m->plan->now_s;
    say(m, HC_STATE_FOUND, p->cert_name, NULL);
    if (m->ca && !signed_by(p->cert, m->ca))
        say(m, HC_STATE_OTHER_ISSUER, p->cert_name, NULL);
    if (X509_cmp_time(X509_get0_notAfter(p->cert), &now) < 0)
        say(m, HC_STATE_EXPIRED, p->cert_name, NULL);
}

static int init_ca(maker *m)
{
    hc_holder holder = {.now_s = m->plan->now_s};
    pair p = {.key = NULL};
    int rc = hc_keystore_folder(&m->store, "ca", m->err);
    if (rc == 0)
        rc = find_pair(m, "ca/ca", &p);
    if (rc == 0 && p.cert_found) {
        say(m, p.key_found ? HC_STATE_FOUND : HC_STATE_KEY_AWAY, p.key_name, NULL);
        inspect_found(m, &p);
    } else if (rc == 0) {
        rc = make_pair(m, "ca", &holder, &p);
    }
    if (rc == 0) {
        m->ca = p.cert;
        m->ca_key = p.key;
        return 0;
    }
    pair_done(&p);
    return rc;
}

static bool names_host(X509 *cert, const char *host)
{
    uint8_t octets[16];
    size_t size = hc_san_address(host, octets);
    if (size > 0)
        return X509_check_ip(cert, octets, size, 0) == 1;
    return X509_check_host(cert, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}

static int found_server(maker *m, const pair *p)
{
    if (!p->key_found)
        return hc_err_set(m->err, HC_ENOENT,
                          "%s/%s is there without its key %s: put the key back, or move the "
                          "certificate away for a new one",
                          m->store.path, p->cert_name, p->key_name);
    say(m, HC_STATE_FOUND, p->key_name, NULL);
    inspect_found(m, p);
    for (size_t i = 0; i < m->plan->host_count; i++)
        if (!names_host(p->cert, m->plan->hosts[i]))
            say(m, HC_STATE_LACKS_HOST, p->cert_name, m->plan->hosts[i]);
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

static int init_server(maker *m)
{
    const char *hosts[HC_PROFILE_HOSTS_MAX];
    hc_san sans[HC_PROFILE_HOSTS_MAX];
    hc_holder holder = {.sans = sans, .now_s = m->plan->now_s};
    pair p = {.key = NULL};
    holder.san_count = all_hosts(m->plan, hosts);
    for (size_t i = 0; i < holder.san_count; i++)
        sans[i] = hc_profile_host(hosts[i]);
    int rc = hc_keystore_folder(&m->store, "server", m->err);
    if (rc == 0)
        rc = find_pair(m, "server/server", &p);
    if (rc == 0)
        rc = p.cert_found ? found_server(m, &p) : make_pair(m, "server", &holder, &p);
    pair_done(&p);
    return rc;
}

static int init_client(maker *m, const char *name)
{
    hc_holder holder = {.name = name, .now_s = m->plan->now_s};
    char stem[NAME_BYTES];
    pair p = {.key = NULL};
    (void)snprintf(stem, sizeof(stem), "clients/%s", name);
    int rc = find_pair(m, stem, &p);
    if (rc == 0 && p.cert_found) {
        say(m, p.key_found ? HC_STATE_FOUND : HC_STATE_KEY_AWAY, p.key_name, NULL);
        inspect_found(m, &p);
    } else if (rc == 0) {
        rc = make_pair(m, "client", &holder, &p);
    }
    pair_done(&p);
    return rc;
}

static int init_text(maker *m, const char *name, const char *text)
{
    bool found;
    int rc = hc_keystore_exists(&m->store, name, &found, m->err);
    if (rc == 0 && !found)
        rc = hc_keystore_write(&m->store, name, hc_slice_text(text), false, m->err);
    if (rc == 0)
        say(m, found ? HC_STATE_FOUND : HC_STATE_MADE, name, NULL);
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

static int init_all(maker *m)
{
    int rc = hc_keystore_folder(&m->store, ".", m->err);
    if (rc == 0)
        rc = init_text(m, ".gitignore", ignore_file);
    if (rc == 0)
        rc = init_text(m, "handclasp.yaml", config_file);
    if (rc == 0)
        rc = init_ca(m);
    if (rc == 0)
        rc = init_server(m);
    if (rc == 0)
        rc = hc_keystore_folder(&m->store, "clients", m->err);
    for (size_t i = 0; rc == 0 && i < m->plan->client_count; i++)
        rc = init_client(m, m->plan->clients[i]);
    return rc;
}

int hc_state_init(const hc_state_plan *plan, hc_state_report report, void *arg, hc_err *err)
{
    maker m = {.plan = plan, .report = report, .arg = arg, .store = {-1, plan->path}, .err = err};
    int rc = check_plan(plan, err);
    if (rc == 0)
        rc = hc_keystore_open(plan->path, &m.store, err);
    if (rc == 0)
        rc = init_all(&m);
    X509_free(m.ca);
    EVP_PKEY_free(m.ca_key);
    hc_keystore_close(&m.store);
    return rc;
}
