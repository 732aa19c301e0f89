#include "authority/client.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "authority/maker.h"
#include "base/mem.h"

/* clients/NAME to clients/NAME-1000. */
#define PAIRS_MAX HC_LIMIT_CLIENT_CERTIFICATES

/* What the registry has of a certificate. */
typedef struct row {
    bool found;
    int64_t id, client_id, not_after_s;
    bool active;
} row;

static int on_row(void *arg, const hc_certificate_row *found)
{
    row *r = arg;
    /* Several certificates over one key: the one that is in force. */
    if (!r->found || found->status == HC_CERTIFICATE_ACTIVE)
        *r = (row){true, found->id, found->client_id, found->not_after_s,
                   found->status == HC_CERTIFICATE_ACTIVE};
    return 0;
}

static int row_of_cert(hc_maker *m, X509 *cert, row *out)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    hc_certificate_filter f = {.sha256 = digest};
    *out = (row){false, 0, 0, 0, false};
    if (X509_digest(cert, EVP_sha256(), digest, NULL) != 1)
        return hc_err_set(m->err, HC_ETLS, "cannot make the digest of a certificate");
    return m->registry->engine->certificates(m->registry, &f, on_row, out, m->err);
}

static int row_of_key(hc_maker *m, EVP_PKEY *key, row *out)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    hc_certificate_filter f = {.key_sha256 = digest};
    *out = (row){false, 0, 0, 0, false};
    int rc = hc_key_sha256(key, digest, m->err);
    if (rc != 0)
        return rc;
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

static int ensure_record(hc_maker *m, const char *name, int64_t *id)
{
    record found = {0, HC_CLIENT_ACTIVE};
    hc_client_filter f = {.name = hc_slice_text(name)};
    int rc = m->registry->engine->clients(m->registry, &f, on_client, &found, m->err);
    if (rc == 0 && found.id == 0)
        return hc_change_add_client(m->registry, m->actor, f.name, HC_SLICE_NONE, HC_SLICE_NONE, id,
                                    m->err);
    if (rc == 0 && found.status != HC_CLIENT_ACTIVE)
        rc = hc_err_set(m->err, HC_EDENIED,
                        "%s is %s; `handclasp client resume` lets the client in again", name,
                        hc_client_status_name(found.status));
    *id = found.id;
    return rc;
}

/* --- one pair --- */

/* The certificate over the pair's key, with its row. */
static int sign_on_record(hc_maker *m, const hc_client_plan *plan, int64_t client_id, hc_pair *p)
{
    hc_profile profile = *hc_profile_builtin(HC_SLICE_LITERAL("client"));
    hc_holder holder = {.name = plan->name, .now_s = plan->now_s};
    hc_cert *cert = NULL;
    hc_certificate_new new = {.client_id = client_id,
                              .origin = HC_ORIGIN_ISSUED,
                              .approved_by = m->actor->who,
                              .keep_der = true};
    int64_t id;
    if (plan->lifetime_s)
        profile.lifetime_s = plan->lifetime_s;
    int rc = hc_pair_sign(m, &profile, &holder, p);
    if (rc == 0)
        rc = hc_cert_from_x509(p->cert, &cert, m->err);
    new.cert = cert;
    if (rc == 0)
        rc = hc_change_add_certificate(m->registry, m->actor, &new, &id, m->err);
    hc_cert_unref(cert);
    return rc;
}

typedef enum next { USE, TAKEN, HAS_ONE } next;

/* Whether this name's pair is one to complete. A pair with a row comes out with its certificate. */
static int judge(hc_maker *m, int64_t client_id, bool another, hc_pair *p, next *out)
{
    row r = {false, 0, 0, 0, false};
    int rc = 0;
    *out = TAKEN;
    if (p->cert_found) {
        rc = row_of_cert(m, p->cert, &r);
        if (r.found && r.client_id == client_id && r.active && r.not_after_s > m->now_s && !another)
            *out = HAS_ONE;
        return rc;
    }
    if (p->key)
        rc = row_of_key(m, p->key, &r);
    if (rc == 0 && r.found && r.client_id == client_id && r.active)
        rc = m->registry->engine->certificate_der(m->registry, r.id, on_der, &p->cert, m->err);
    /* A key whose certificate was revoked, or is another client's, is not used again. */
    if (!r.found || p->cert)
        *out = USE;
    return rc == -HC_ENOENT ? 0 : rc;
}

static int find_place(hc_maker *m, const char *name, int64_t client_id, bool another, hc_pair *p,
                      next *what)
{
    char stem[HC_PAIR_NAME_BYTES];
    int rc = 0;
    *what = TAKEN;
    for (unsigned n = 1; rc == 0 && *what == TAKEN && n <= PAIRS_MAX; n++) {
        hc_pair_done(p);
        (void)snprintf(stem, sizeof(stem), n == 1 ? "clients/%s" : "clients/%s-%u", name, n);
        rc = hc_pair_find(m, stem, p);
        if (rc == 0)
            rc = judge(m, client_id, another, p, what);
    }
    if (rc == 0 && *what == TAKEN)
        rc = hc_err_set(m->err, HC_ELIMIT, "%s has %u certificates in clients/; move old ones away",
                        name, PAIRS_MAX);
    return rc;
}

/* Within the transaction. */
static int prepare(hc_maker *m, const hc_client_plan *plan, hc_pair *p, next *what)
{
    int64_t client_id = 0;
    int rc = ensure_record(m, plan->name, &client_id);
    if (rc == 0 && plan->record)
        rc = plan->record(plan->record_arg, client_id, m->err);
    if (rc == 0)
        rc = find_place(m, plan->name, client_id, plan->another, p, what);
    if (rc != 0 || *what == HAS_ONE)
        return rc;
    rc = hc_pair_ensure_key(m, p);
    if (rc == 0 && !p->cert)
        rc = sign_on_record(m, plan, client_id, p);
    return rc;
}

static int issue(hc_maker *m, const hc_client_plan *plan)
{
    hc_pair p = {.key = NULL};
    next what = TAKEN;
    int rc = hc_registry_begin(m->registry, true, m->err);
    if (rc != 0)
        return rc;
    rc = prepare(m, plan, &p, &what);
    if (rc == 0)
        rc = hc_registry_commit(m->registry, m->err);
    else
        hc_registry_rollback(m->registry);
    if (rc == 0 && what == USE) {
        rc = hc_pair_write_cert(m, &p);
    } else if (rc == 0) {
        hc_maker_say(m, p.key_found ? HC_STATE_FOUND : HC_STATE_KEY_AWAY, p.key_name, NULL);
        hc_pair_inspect(m, &p);
    }
    hc_pair_done(&p);
    return rc;
}

int hc_client_issue(const hc_client_plan *plan, hc_state_report report, void *arg, hc_err *err)
{
    hc_maker m = {.store = {-1, plan->path},
                  .now_s = plan->now_s,
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
        rc = issue(&m, plan);
    hc_maker_done(&m);
    return rc;
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
    row r;
    char *owner = NULL;
    int rc = row_of_cert(m, p->cert, &r);
    hc_client_filter f = {.id = r.client_id};
    if (rc == 0 && !r.found) {
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
    hc_holder holder = {.name = name, .now_s = m->now_s};
    int rc = m->ca_key ? hc_pair_ensure_key(m, p) : 0;
    if (rc == 0)
        rc = hc_pair_sign(m, hc_profile_builtin(HC_SLICE_LITERAL("client")), &holder, p);
    return rc == 0 ? hc_pair_write_cert(m, p) : rc;
}

int hc_maker_init_client(hc_maker *m, const char *name)
{
    hc_client_plan plan = {.name = name, .another = true, .now_s = m->now_s};
    char stem[HC_PAIR_NAME_BYTES];
    hc_pair p = {.key = NULL};
    (void)snprintf(stem, sizeof(stem), "clients/%s", name);
    int rc = hc_pair_find(m, stem, &p);
    if (rc == 0 && p.cert_found) {
        hc_maker_say(m, p.key_found ? HC_STATE_FOUND : HC_STATE_KEY_AWAY, p.key_name, NULL);
        hc_pair_inspect(m, &p);
        rc = m->registry ? check_record(m, name, &p) : 0;
    } else if (rc == 0) {
        rc = m->registry ? issue(m, &plan) : make_without_record(m, name, &p);
    }
    hc_pair_done(&p);
    return rc;
}
