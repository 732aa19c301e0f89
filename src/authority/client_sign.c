/* Certificates for keys that were made elsewhere. */
#include <openssl/err.h>

#include "authority/ca.h"
#include "authority/ca_files.h"
#include "authority/client_private.h"
#include "authority/issue.h"

typedef struct signing {
    const hc_client_plan *plan;
    const hc_csr *csr;
    bool create;
    hc_profile profile;
} signing;

/* Who has or had this key. */
typedef struct owners {
    int64_t client_id; /* who asks; 0: nobody yet */
    bool revoked;
    int64_t usable; /* a certificate of this client's that is in force */
    int64_t now_s;
    char other[HC_LIMIT_CLIENT_NAME + 1];
    const hc_maker *maker;
} owners;

static bool by_active_ca(const hc_maker *m, const hc_certificate_row *row)
{
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(m->ca);
    return id && hc_slice_equal(row->issuer_key_id, hc_slice_of(ASN1_STRING_get0_data(id),
                                                                (size_t)ASN1_STRING_length(id)));
}

static int on_owner(void *arg, const hc_certificate_row *row)
{
    owners *o = arg;
    if (row->client_id != o->client_id)
        (void)snprintf(o->other, sizeof(o->other), "%.*s", HC_SLICE_ARGS(row->client_name));
    else if (row->status == HC_CERTIFICATE_REVOKED)
        o->revoked = true;
    else if (row->not_after_s > o->now_s && by_active_ca(o->maker, row))
        o->usable = row->id;
    return 0;
}

static int check_key(hc_maker *m, const hc_csr *csr, int64_t client_id, int64_t *usable)
{
    owners o = {.client_id = client_id, .now_s = m->now_s, .maker = m};
    hc_certificate_filter f = {.key_sha256 = hc_csr_key_sha256(csr)};
    int rc = m->registry->engine->certificates(m->registry, &f, on_owner, &o, m->err);
    if (rc == 0 && o.other[0])
        rc = hc_err_set(m->err, HC_EDENIED,
                        "the key of this request is on record with %s; a key belongs to one client",
                        o.other);
    else if (rc == 0 && o.revoked)
        rc = hc_err_set(m->err, HC_EDENIED,
                        "a certificate of this key was revoked; make a new key and a new request");
    *usable = o.usable;
    return rc;
}

static int sign(hc_maker *m, const signing *s, int64_t client_id, X509 **out)
{
    const hc_client_plan *plan = s->plan;
    hc_holder holder = {
        .name = plan->name, .sans = plan->sans, .san_count = plan->san_count, .now_s = plan->now_s};
    hc_certificate_new about = {.client_id = client_id, .origin = HC_ORIGIN_SIGNED};
    if (!m->ca_key)
        return hc_err_set(m->err, HC_ENOENT,
                          "nothing can be signed without the CA's key: put %s/ca/ca.key back",
                          m->store.path);
    int rc = hc_sign_csr(&s->profile, &holder, s->csr, m->ca, m->ca_key, out, m->err);
    return rc == 0 ? hc_client_put_on_record(m, *out, &about) : rc;
}

/* --- keys of this folder, of which the registry has no rows --- */

typedef struct own_key {
    EVP_PKEY *key;
    bool found;
} own_key;

static void compare(own_key *o, const EVP_PKEY *key)
{
    o->found = o->found || (key && EVP_PKEY_eq(o->key, key) == 1);
    ERR_clear_error(); /* keys of two kinds are compared with an error */
}

static int on_ca(void *arg, const hc_ca_entry *entry)
{
    compare(arg, X509_get0_pubkey(entry->cert));
    return 0;
}

/* The server's, an old CA's, or that of a CA to come: a client is none of them. */
static int check_not_ours(hc_maker *m, const hc_csr *csr)
{
    own_key o = {hc_csr_key(csr), false};
    X509 *server = NULL;
    EVP_PKEY *requested = NULL;
    bool has_request = false;
    int rc = hc_ca_each(&m->store, on_ca, &o, m->err);
    if (rc == 0)
        rc = hc_ca_read_cert(&m->store, "server/server.pem", &server, m->err);
    if (rc == 0)
        rc = hc_keystore_exists(&m->store, "ca/request.key", &has_request, m->err);
    if (rc == 0 && has_request)
        rc =
            hc_keystore_read_key(&m->store, "ca/request.key", m->ca_passphrase, &requested, m->err);
    if (rc == 0) {
        compare(&o, server ? X509_get0_pubkey(server) : NULL);
        compare(&o, requested);
    }
    X509_free(server);
    EVP_PKEY_free(requested);
    if (rc == 0 && o.found)
        rc = hc_err_set(m->err, HC_EDENIED,
                        "the request is made with the server's own key, or a CA's; make a new key");
    return rc;
}

/* Within the transaction. */
static int run(hc_maker *m, const signing *s, hc_client_signed *out)
{
    int64_t client_id = 0, usable = 0;
    int rc = hc_client_record(m, s->plan->name, s->create, &client_id);
    if (rc == 0 && !client_id)
        rc = hc_err_set(m->err, HC_ENOENT,
                        "there is no client %s; --create makes the record with the certificate",
                        s->plan->name);
    if (rc == 0)
        rc = check_key(m, s->csr, client_id, &usable);
    if (rc == 0 && usable)
        rc = hc_client_cert_load(m, usable, &out->cert);
    out->again = out->cert != NULL;
    return rc == 0 && !out->cert ? sign(m, s, client_id, &out->cert) : rc;
}

static int run_in_folder(hc_maker *m, const signing *s, hc_client_signed *out)
{
    int rc = hc_keystore_open(s->plan->path, &m->store, m->err);
    if (rc == 0)
        rc = hc_maker_ca(m, false);
    if (rc == 0)
        rc = check_not_ours(m, s->csr);
    if (rc == 0)
        rc = hc_registry_begin(m->registry, true, m->err);
    if (rc != 0)
        return rc;
    rc = run(m, s, out);
    if (rc == 0)
        return hc_registry_commit(m->registry, m->err);
    hc_registry_rollback(m->registry);
    return rc;
}

int hc_client_sign(const hc_client_plan *plan, const hc_csr *csr, bool create,
                   hc_client_signed *out, hc_err *err)
{
    signing s = {.plan = plan, .csr = csr, .create = create};
    hc_maker m = {.store = {-1, plan->path},
                  .now_s = plan->now_s,
                  .ca_passphrase = plan->ca_passphrase,
                  .registry = plan->registry,
                  .actor = plan->actor,
                  .err = err};
    *out = (hc_client_signed){NULL, false};
    s.profile = plan->profile ? *plan->profile : *hc_profile_builtin(HC_SLICE_LITERAL("client"));
    if (plan->lifetime_s)
        s.profile.lifetime_s = plan->lifetime_s;
    int rc = hc_profile_check_name(hc_slice_text(plan->name), err);
    if (rc == 0)
        rc = run_in_folder(&m, &s, out);
    if (rc != 0) {
        X509_free(out->cert);
        out->cert = NULL;
    }
    hc_maker_done(&m);
    return rc;
}
