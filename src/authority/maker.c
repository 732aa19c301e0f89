#include "authority/maker.h"

#include <openssl/err.h>
#include <stdio.h>

#include "authority/ca_files.h"
#include "authority/issue.h"

void hc_maker_done(hc_maker *m)
{
    X509_free(m->ca);
    EVP_PKEY_free(m->ca_key);
    hc_keystore_close(&m->store);
}

void hc_maker_say(hc_maker *m, hc_state_event event, const char *file, const char *host)
{
    m->report(m->arg, event, file, host);
}

void hc_pair_done(hc_pair *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    p->key = NULL;
    p->cert = NULL;
}

static int mismatch(hc_maker *m, const hc_pair *p)
{
    ERR_clear_error();
    return hc_err_set(m->err, HC_EDENIED,
                      "%s/%s does not belong to the key %s; nothing was changed: move one of them "
                      "away, or put the right one back",
                      m->store.path, p->cert_name, p->key_name);
}

int hc_pair_find(hc_maker *m, const char *stem, hc_pair *p)
{
    (void)snprintf(p->key_name, sizeof(p->key_name), "%s.key", stem);
    (void)snprintf(p->cert_name, sizeof(p->cert_name), "%s.pem", stem);
    int rc = hc_keystore_exists(&m->store, p->key_name, &p->key_found, m->err);
    if (rc == 0)
        rc = hc_keystore_exists(&m->store, p->cert_name, &p->cert_found, m->err);
    if (rc == 0 && p->key_found)
        rc = hc_keystore_read_key(&m->store, p->key_name, m->ca_passphrase, &p->key, m->err);
    if (rc == 0 && p->cert_found)
        rc = hc_keystore_read_cert(&m->store, p->cert_name, &p->cert, m->err);
    if (rc == 0 && p->key && p->cert && X509_check_private_key(p->cert, p->key) != 1)
        rc = mismatch(m, p);
    return rc;
}

static bool is_ca(const hc_pair *p)
{
    return strcmp(p->key_name, "ca/ca.key") == 0;
}

int hc_pair_ensure_key(hc_maker *m, hc_key_type type, hc_pair *p)
{
    if (p->key_found) {
        hc_maker_say(m, HC_STATE_FOUND, p->key_name, NULL);
        return 0;
    }
    int rc = hc_key_new(type, &p->key, m->err);
    if (rc == 0)
        rc = hc_keystore_write_key(&m->store, p->key_name, p->key,
                                   is_ca(p) ? m->ca_passphrase : HC_SLICE_NONE, m->err);
    if (rc == 0)
        hc_maker_say(m, HC_STATE_MADE, p->key_name, NULL);
    return rc;
}

int hc_pair_sign(hc_maker *m, const hc_profile *profile, const hc_holder *holder, hc_pair *p)
{
    bool is_ca = profile->kind == HC_PROFILE_CA;
    if (!is_ca && !m->ca_key)
        return hc_err_set(m->err, HC_ENOENT,
                          "%s/%s cannot be made without the CA's key: put %s/ca/ca.key back, or "
                          "make no new certificate here",
                          m->store.path, p->cert_name, m->store.path);
    return hc_issue(profile, holder, p->key, is_ca ? NULL : m->ca, is_ca ? NULL : m->ca_key,
                    &p->cert, m->err);
}

int hc_pair_write_cert(hc_maker *m, hc_pair *p)
{
    int rc = hc_keystore_write_cert(&m->store, p->cert_name, p->cert, m->err);
    if (rc == 0)
        hc_maker_say(m, HC_STATE_MADE, p->cert_name, NULL);
    return rc;
}

static bool signed_by(X509 *cert, X509 *ca)
{
    bool yes =
        X509_check_issued(ca, cert) == X509_V_OK && X509_verify(cert, X509_get0_pubkey(ca)) == 1;
    ERR_clear_error();
    return yes;
}

void hc_pair_inspect(hc_maker *m, const hc_pair *p)
{
    time_t now = (time_t)m->now_s;
    hc_maker_say(m, HC_STATE_FOUND, p->cert_name, NULL);
    if (m->ca && !signed_by(p->cert, m->ca))
        hc_maker_say(m, HC_STATE_OTHER_ISSUER, p->cert_name, NULL);
    if (X509_cmp_time(X509_get0_notAfter(p->cert), &now) < 0)
        hc_maker_say(m, HC_STATE_EXPIRED, p->cert_name, NULL);
}

static int make_ca(hc_maker *m, hc_pair *p)
{
    hc_holder holder = {.now_s = m->now_s};
    const hc_profile *profile = hc_profile_builtin(HC_SLICE_LITERAL("ca"));
    int rc = hc_pair_ensure_key(m, profile->key, p);
    if (rc == 0)
        rc = hc_pair_sign(m, profile, &holder, p);
    return rc == 0 ? hc_pair_write_cert(m, p) : rc;
}

int hc_maker_ca(hc_maker *m, bool make)
{
    hc_pair p = {.key = NULL};
    bool unfinished = false; /* a change of the CA whose process was killed */
    int rc = hc_keystore_exists(&m->store, "ca/next.pem", &unfinished, m->err);
    if (rc == 0 && unfinished)
        rc = hc_ca_settle(&m->store, &unfinished, m->err);
    if (rc == 0)
        rc = hc_pair_find(m, "ca/ca", &p);
    if (rc == 0 && p.cert_found && make) {
        hc_maker_say(m, p.key_found ? HC_STATE_FOUND : HC_STATE_KEY_AWAY, p.key_name, NULL);
        hc_pair_inspect(m, &p);
    } else if (rc == 0 && !p.cert_found && make) {
        rc = make_ca(m, &p);
    } else if (rc == 0 && !p.cert_found) {
        rc = hc_err_set(m->err, HC_ENOENT, "%s has no CA; run `handclasp init` for one",
                        m->store.path);
    }
    if (rc != 0) {
        hc_pair_done(&p);
        return rc;
    }
    m->ca = p.cert;
    m->ca_key = p.key;
    return 0;
}
