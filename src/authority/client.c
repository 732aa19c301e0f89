#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "authority/client_private.h"
#include "base/mem.h"

/* clients/NAME to clients/NAME-1000. */
#define PAIRS_MAX HC_LIMIT_CLIENT_CERTIFICATES

/* --- what the registry has --- */

static int on_row(void *arg, const hc_certificate_row *found)
{
    hc_client_cert *r = arg;
    /* Several certificates over one key: the one that is in force. */
    if (!r->id || found->status == HC_CERTIFICATE_ACTIVE)
        *r = (hc_client_cert){.id = found->id,
                              .client_id = found->client_id,
                              .not_after_s = found->not_after_s,
                              .replaces = found->replaces,
                              .active = found->status == HC_CERTIFICATE_ACTIVE};
    return 0;
}

int hc_client_cert_of(hc_maker *m, X509 *cert, hc_client_cert *out)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    hc_certificate_filter f = {.sha256 = digest};
    *out = (hc_client_cert){0};
    if (X509_digest(cert, EVP_sha256(), digest, NULL) != 1)
        return hc_err_set(m->err, HC_ETLS, "cannot make the digest of a certificate");
    return m->registry->engine->certificates(m->registry, &f, on_row, out, m->err);
}

int hc_client_cert_of_key(hc_maker *m, const uint8_t key_sha256[32], hc_client_cert *out)
{
    hc_certificate_filter f = {.key_sha256 = key_sha256};
    *out = (hc_client_cert){0};
    return m->registry->engine->certificates(m->registry, &f, on_row, out, m->err);
}

static int on_der(void *arg, hc_slice der)
{
    X509 **out = arg;
    const unsigned char *at = der.at;
    *out = d2i_X509(NULL, &at, (long)der.size);
    ERR_clear_error();
    return *out ? 0 : -HC_EFORMAT;
}

int hc_client_cert_load(hc_maker *m, int64_t id, X509 **out)
{
    *out = NULL;
    int rc = m->registry->engine->certificate_der(m->registry, id, on_der, out, m->err);
    return rc == -HC_ENOENT ? 0 : rc;
}

/* --- the record --- */

typedef struct record {
    int64_t id;
    hc_client_status status;
} record;

static int on_client(void *arg, const hc_client_row *found)
{
    *(record *)arg = (record){found->id, found->status};
    return 0;
}

int hc_client_record(hc_maker *m, const char *name, bool make, int64_t *id)
{
    record found = {0, HC_CLIENT_ACTIVE};
    hc_client_filter f = {.name = hc_slice_text(name)};
    int rc = m->registry->engine->clients(m->registry, &f, on_client, &found, m->err);
    if (rc == 0 && found.id == 0 && make)
        return hc_change_add_client(m->registry, m->actor, f.name, HC_SLICE_NONE, HC_SLICE_NONE, id,
                                    m->err);
    if (rc == 0 && found.status != HC_CLIENT_ACTIVE)
        rc = hc_err_set(m->err, HC_EDENIED,
                        "%s is %s; `handclasp client resume` lets the client in again", name,
                        hc_client_status_name(found.status));
    *id = found.id;
    return rc;
}

int hc_client_put_on_record(hc_maker *m, X509 *x, const hc_certificate_new *about)
{
    hc_certificate_new new = *about;
    hc_cert *cert = NULL;
    int64_t id;
    int rc = hc_cert_from_x509(x, &cert, m->err);
    new.cert = cert;
    new.approved_by = m->actor->who;
    new.keep_der = true;
    if (rc == 0)
        rc = hc_change_add_certificate(m->registry, m->actor, &new, &id, m->err);
    hc_cert_unref(cert);
    return rc;
}

/* --- one pair --- */

/* One run: what is issued, and whether in the place of another one. */
typedef struct issuance {
    hc_client_plan plan;
    hc_profile profile;
    int64_t client_id;
    bool renews;
    int64_t certificate_id; /* to renew; 0: to be found */
    hc_renewal renewal;
} issuance;

/* The certificate over the pair's key, with its row. */
static int sign_on_record(hc_maker *m, const issuance *i, hc_pair *p)
{
    hc_holder holder = {.name = i->plan.name,
                        .sans = i->plan.sans,
                        .san_count = i->plan.san_count,
                        .now_s = i->plan.now_s};
    if (i->renews && i->plan.san_count == 0) {
        holder.sans = i->renewal.sans;
        holder.san_count = i->renewal.san_count;
    }
    int rc = hc_pair_sign(m, &i->profile, &holder, p);
    hc_certificate_new about = {
        .client_id = i->client_id, .origin = HC_ORIGIN_ISSUED, .replaces = i->renewal.replaces};
    return rc == 0 ? hc_client_put_on_record(m, p->cert, &about) : rc;
}

typedef enum next { USE, TAKEN, HAS_ONE } next;

/* Whether this name's pair is one to complete. A pair with a row comes out with its certificate. */
static int judge(hc_maker *m, const issuance *i, hc_pair *p, next *out)
{
    hc_client_cert r = {0};
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int rc = 0;
    *out = TAKEN;
    if (p->cert_found) {
        rc = hc_client_cert_of(m, p->cert, &r);
        bool in_force = r.id && r.client_id == i->client_id && r.active && r.not_after_s > m->now_s;
        if (i->renews ? r.id && r.id == i->renewal.successor : in_force && !i->plan.another)
            *out = HAS_ONE;
        return rc;
    }
    if (p->key && (rc = hc_key_sha256(p->key, digest, m->err)) == 0)
        rc = hc_client_cert_of_key(m, digest, &r);
    if (rc == 0 && i->renews && r.id != i->renewal.successor)
        return 0;
    if (rc == 0 && r.id && r.client_id == i->client_id && r.active)
        rc = hc_client_cert_load(m, r.id, &p->cert);
    /* A key whose certificate was revoked, or is another client's, is not used again. */
    if (!r.id || p->cert)
        *out = USE;
    return rc;
}

static int find_place(hc_maker *m, const issuance *i, hc_pair *p, next *what)
{
    char stem[HC_PAIR_NAME_BYTES];
    int rc = 0;
    *what = TAKEN;
    for (unsigned n = 1; rc == 0 && *what == TAKEN && n <= PAIRS_MAX; n++) {
        hc_pair_done(p);
        (void)snprintf(stem, sizeof(stem), n == 1 ? "clients/%s" : "clients/%s-%u", i->plan.name,
                       n);
        rc = hc_pair_find(m, stem, p);
        if (rc == 0)
            rc = judge(m, i, p, what);
    }
    if (rc == 0 && *what == TAKEN && i->renewal.successor)
        *what = HAS_ONE; /* key and certificate are with the client by now */
    else if (rc == 0 && *what == TAKEN)
        rc = hc_err_set(m->err, HC_ELIMIT, "%s has %u certificates in clients/; move old ones away",
                        i->plan.name, PAIRS_MAX);
    return rc;
}

/* Within the transaction. */
static int prepare(hc_maker *m, issuance *i, hc_pair *p, next *what)
{
    const hc_client_plan *plan = &i->plan;
    int rc = hc_client_record(m, plan->name, !i->renews, &i->client_id);
    if (rc == 0 && !i->renews && plan->record)
        rc = plan->record(plan->record_arg, i->client_id, m->err);
    if (rc == 0 && i->renews)
        rc = hc_renewal_find(m, plan, i->client_id, i->certificate_id, &i->profile, &i->renewal);
    if (rc == 0 && plan->lifetime_s)
        i->profile.lifetime_s = plan->lifetime_s;
    if (rc == 0)
        rc = find_place(m, i, p, what);
    if (rc != 0 || *what == HAS_ONE)
        return rc;
    rc = hc_pair_ensure_key(m, i->profile.key, p);
    if (rc == 0 && !p->cert)
        rc = sign_on_record(m, i, p);
    return rc;
}

static int run(hc_maker *m, issuance *i)
{
    hc_pair p = {.key = NULL};
    next what = TAKEN;
    i->profile =
        i->plan.profile ? *i->plan.profile : *hc_profile_builtin(HC_SLICE_LITERAL("client"));
    int rc = hc_registry_begin(m->registry, true, m->err);
    if (rc != 0)
        return rc;
    rc = prepare(m, i, &p, &what);
    if (rc == 0)
        rc = hc_registry_commit(m->registry, m->err);
    else
        hc_registry_rollback(m->registry);
    if (rc == 0 && what == USE) {
        rc = hc_pair_write_cert(m, &p);
    } else if (rc == 0 && p.cert) {
        hc_maker_say(m, p.key_found ? HC_STATE_FOUND : HC_STATE_KEY_AWAY, p.key_name, NULL);
        hc_pair_inspect(m, &p);
    }
    hc_pair_done(&p);
    hc_renewal_done(&i->renewal);
    return rc;
}

static int run_in_folder(issuance *i, hc_state_report report, void *arg, hc_err *err)
{
    const hc_client_plan *plan = &i->plan;
    hc_maker m = {.store = {-1, plan->path},
                  .now_s = plan->now_s,
                  .ca_passphrase = plan->ca_passphrase,
                  .registry = plan->registry,
                  .actor = plan->actor,
                  .report = report,
                  .arg = arg,
                  .err = err};
    int rc = hc_profile_check_name(hc_slice_text(plan->name), err);
    if (rc == 0)
        rc = hc_keystore_open(plan->path, &m.store, err);
    if (rc == 0)
        rc = hc_keystore_folder(&m.store, "clients", err);
    if (rc == 0)
        rc = hc_maker_ca(&m, false);
    if (rc == 0)
        rc = run(&m, i);
    hc_maker_done(&m);
    return rc;
}

int hc_client_issue(const hc_client_plan *plan, hc_state_report report, void *arg, hc_err *err)
{
    issuance i = {.plan = *plan};
    return run_in_folder(&i, report, arg, err);
}

int hc_client_renew(const hc_client_plan *plan, int64_t certificate_id, hc_state_report report,
                    void *arg, hc_err *err)
{
    issuance i = {.plan = *plan, .renews = true, .certificate_id = certificate_id};
    return run_in_folder(&i, report, arg, err);
}

/* --- init --- */

static int on_owner(void *arg, const hc_client_row *found)
{
    char **out = arg;
    char *name = hc_alloc(found->name.size + 1);
    if (!name)
        return -HC_ENOMEM;
    memcpy(name, found->name.at, found->name.size);
    name[found->name.size] = '\0';
    *out = name;
    return 0;
}

/* A certificate that stays is not put on record: whoever removed it had a reason. */
static int check_record(hc_maker *m, const char *name, const hc_pair *p)
{
    hc_client_cert r;
    char *owner = NULL;
    int rc = hc_client_cert_of(m, p->cert, &r);
    hc_client_filter f = {.id = r.client_id};
    if (rc == 0 && !r.id) {
        hc_maker_say(m, HC_STATE_NOT_ON_RECORD, p->cert_name, NULL);
        return 0;
    }
    if (rc == 0)
        rc = m->registry->engine->clients(m->registry, &f, on_owner, &owner, m->err);
    if (rc == 0 && owner && strcmp(owner, name) != 0)
        rc = hc_err_set(m->err, HC_EDENIED,
                        "%s/%s is a certificate of %s; `handclasp client issue %s` makes one under "
                        "another name",
                        m->store.path, p->cert_name, owner, name);
    hc_free(owner);
    return rc;
}

static int make_without_record(hc_maker *m, const char *name, hc_pair *p)
{
    const hc_profile *profile = hc_profile_builtin(HC_SLICE_LITERAL("client"));
    hc_holder holder = {.name = name, .now_s = m->now_s};
    int rc = m->ca_key ? hc_pair_ensure_key(m, profile->key, p) : 0;
    if (rc == 0)
        rc = hc_pair_sign(m, profile, &holder, p);
    return rc == 0 ? hc_pair_write_cert(m, p) : rc;
}

int hc_maker_init_client(hc_maker *m, const char *name)
{
    issuance i = {.plan = {.name = name, .another = true, .now_s = m->now_s}};
    char stem[HC_PAIR_NAME_BYTES];
    hc_pair p = {.key = NULL};
    (void)snprintf(stem, sizeof(stem), "clients/%s", name);
    int rc = hc_pair_find(m, stem, &p);
    if (rc == 0 && p.cert_found) {
        hc_maker_say(m, p.key_found ? HC_STATE_FOUND : HC_STATE_KEY_AWAY, p.key_name, NULL);
        hc_pair_inspect(m, &p);
        rc = m->registry ? check_record(m, name, &p) : 0;
    } else if (rc == 0) {
        rc = m->registry ? run(m, &i) : make_without_record(m, name, &p);
    }
    hc_pair_done(&p);
    return rc;
}
