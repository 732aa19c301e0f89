#include "authority/ca.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "authority/ca_files.h"
#include "authority/issue.h"
#include "x509/csr.h"
#include "x509/ossl.h"

void hc_ca_done(hc_ca *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    sk_X509_pop_free(ca->chain, X509_free);
    *ca = (hc_ca){NULL, NULL, NULL};
}

/* NULL in `out` where there is no such file. */
static int read_key(const hc_keystore *k, const char *name, hc_slice passphrase, EVP_PKEY **out,
                    hc_err *err)
{
    bool found = false;
    *out = NULL;
    int rc = hc_keystore_exists(k, name, &found, err);
    return rc == 0 && found ? hc_keystore_read_key(k, name, passphrase, out, err) : rc;
}

static int check_pair(const hc_keystore *k, const hc_ca *ca, hc_err *err)
{
    if (!ca->cert)
        return hc_err_set(err, HC_ENOENT, "there is no CA in %s: handclasp init makes one",
                          k->path);
    if (ca->key && X509_check_private_key(ca->cert, ca->key) != 1) {
        ERR_clear_error();
        return hc_err_set(err, HC_EDENIED,
                          "%s/ca/ca.pem does not belong to the key ca/ca.key; put the right one "
                          "back",
                          k->path);
    }
    return 0;
}

int hc_ca_load(const hc_keystore *k, hc_slice passphrase, hc_ca *out, hc_err *err)
{
    hc_ca ca = {NULL, NULL, NULL};
    bool finished = false;
    int rc = hc_ca_settle(k, &finished, err);
    if (rc == 0)
        rc = hc_ca_read_cert(k, "ca/ca.pem", &ca.cert, err);
    if (rc == 0)
        rc = read_key(k, "ca/ca.key", passphrase, &ca.key, err);
    if (rc == 0)
        rc = hc_ca_read_chain(k, "ca/chain.pem", &ca.chain, err);
    if (rc == 0)
        rc = check_pair(k, &ca, err);
    if (rc == 0)
        *out = ca;
    else
        hc_ca_done(&ca);
    return rc;
}

/* A key whose certificate is lost, or was never written by an `init` that was killed, would not be
 * kept as an old CA's: the new key would overwrite the only copy. */
static int check_key_is_kept(const hc_keystore *k, hc_err *err)
{
    bool replaced = false, has_key = false, has_cert = false;
    int rc = hc_keystore_exists(k, "ca/next.key", &replaced, err);
    if (rc == 0)
        rc = hc_keystore_exists(k, "ca/ca.key", &has_key, err);
    if (rc == 0)
        rc = hc_keystore_exists(k, "ca/ca.pem", &has_cert, err);
    if (rc == 0 && replaced && has_key && !has_cert)
        rc = hc_err_set(err, HC_EDENIED,
                        "%s/ca/ca.key is there without its certificate ca/ca.pem: put that back, "
                        "or move the key away",
                        k->path);
    return rc;
}

/* Writes what was decided, next.pem last, and carries it out. */
static int install(const hc_keystore *k, X509 *cert, STACK_OF(X509) * chain, hc_err *err)
{
    bool finished = false;
    int rc = check_key_is_kept(k, err);
    if (rc == 0)
        rc = hc_ca_write_chain(k, "ca/next-chain.pem", chain, err);
    if (rc == 0)
        rc = hc_keystore_write_cert(k, "ca/next.pem", cert, err);
    return rc == 0 ? hc_ca_settle(k, &finished, err) : rc;
}

/* The key of that name, or a new one written under it. */
static int ensure_key(const hc_keystore *k, const char *name, hc_key_type type, hc_slice passphrase,
                      EVP_PKEY **out, hc_err *err)
{
    int rc = read_key(k, name, passphrase, out, err);
    if (rc != 0 || *out)
        return rc;
    rc = hc_key_new(type, out, err);
    return rc == 0 ? hc_keystore_write_key(k, name, *out, passphrase, err) : rc;
}

/* A new key is not left in the clear beside one that is encrypted, because an option was forgotten,
 * nor under a second passphrase: a server has one for all. */
static int check_passphrase(const hc_keystore *k, hc_slice passphrase, hc_err *err)
{
    EVP_PKEY *present = NULL;
    int rc = read_key(k, "ca/ca.key", passphrase, &present, err);
    EVP_PKEY_free(present);
    return rc;
}

int hc_ca_rotate(const hc_keystore *k, const hc_profile *profile, const char *name,
                 hc_slice passphrase, int64_t now_s, hc_err *err)
{
    hc_holder holder = {.name = name, .now_s = now_s};
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    bool finished = false;
    int rc = hc_keystore_folder(k, "ca", err);
    if (rc == 0)
        rc = hc_ca_settle(k, &finished, err);
    if (rc != 0 || finished)
        return rc;
    rc = check_passphrase(k, passphrase, err);
    if (rc == 0)
        rc = ensure_key(k, "ca/next.key", profile->key, passphrase, &key, err);
    if (rc == 0)
        rc = hc_issue(profile, &holder, key, NULL, NULL, &cert, err);
    if (rc == 0)
        rc = install(k, cert, NULL, err);
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}

static int add_pem(X509_REQ *req, hc_buf *pem, hc_err *err)
{
    char *at = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    int rc = 0;
    if (!bio || PEM_write_bio_X509_REQ(bio, req) != 1) {
        rc = hc_ossl_failed(err, "cannot write a certification request");
    } else {
        long size = BIO_get_mem_data(bio, &at);
        rc = hc_buf_add(pem, hc_slice_of(at, (size_t)size));
        if (rc != 0)
            rc = hc_err_set(err, -rc, "a certification request cannot be kept");
    }
    BIO_free(bio);
    return rc;
}

int hc_ca_request(const hc_keystore *k, hc_key_type type, const char *name, hc_slice passphrase,
                  hc_buf *pem, hc_err *err)
{
    EVP_PKEY *key = NULL;
    X509_REQ *req = NULL;
    int rc = hc_profile_check_name(hc_slice_text(name), err);
    if (rc == 0)
        rc = hc_keystore_folder(k, "ca", err);
    if (rc == 0)
        rc = check_passphrase(k, passphrase, err);
    if (rc == 0)
        rc = ensure_key(k, "ca/request.key", type, passphrase, &key, err);
    if (rc == 0 && !hc_key_is(key, type))
        rc = hc_err_set(err, HC_EEXIST,
                        "%s/ca/request.key is there, of another request, and is no %s key: remove "
                        "it, or ask for its kind",
                        k->path, hc_key_type_name(type));
    if (rc == 0)
        rc = hc_csr_make(key, name, &req, err);
    if (rc == 0)
        rc = add_pem(req, pem, err);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return rc;
}

static bool belongs(X509 *cert, EVP_PKEY *key)
{
    bool yes = key && X509_check_private_key(cert, key) == 1;
    ERR_clear_error();
    return yes;
}

/* The key comes to lie in next.key, unless it is ca.key's. What lies there is of a call that
 * decided nothing. A request's key keeps its name until the decision is made. */
static int place_key(const hc_keystore *k, X509 *cert, EVP_PKEY *given, hc_slice passphrase,
                     bool *of_request, hc_err *err)
{
    EVP_PKEY *requested = NULL, *present = NULL;
    bool left_over = false;
    int rc = hc_keystore_exists(k, "ca/next.key", &left_over, err);
    if (rc == 0 && left_over)
        rc = hc_keystore_remove(k, "ca/next.key", err);
    if (rc == 0 && given)
        return hc_keystore_write_key(k, "ca/next.key", given, passphrase, err);
    if (rc == 0)
        rc = read_key(k, "ca/request.key", passphrase, &requested, err);
    if (rc == 0)
        rc = read_key(k, "ca/ca.key", passphrase, &present, err);
    *of_request = rc == 0 && belongs(cert, requested);
    if (*of_request)
        rc = hc_keystore_link(k, "ca/request.key", "ca/next.key", err);
    else if (rc == 0 && !belongs(cert, present))
        rc = hc_err_set(err, HC_EDENIED,
                        "this certificate belongs neither to the key of a request (ca/request.key) "
                        "nor to ca/ca.key: give its key too");
    EVP_PKEY_free(requested);
    EVP_PKEY_free(present);
    return rc;
}

/* Whether it is the active one already. */
static int is_active(const hc_keystore *k, X509 *cert, bool *out, hc_err *err)
{
    X509 *active = NULL;
    int rc = hc_ca_read_cert(k, "ca/ca.pem", &active, err);
    *out = active && X509_cmp(active, cert) == 0;
    X509_free(active);
    return rc;
}

static int import(const hc_keystore *k, X509 *cert, STACK_OF(X509) * chain, EVP_PKEY *key,
                  hc_slice passphrase, int64_t now_s, hc_err *err)
{
    bool finished = false, active = false, of_request = false;
    int rc = hc_ca_check(cert, chain, key, now_s, err);
    if (rc == 0)
        rc = hc_keystore_folder(k, "ca", err);
    if (rc == 0)
        rc = hc_ca_settle(k, &finished, err);
    if (rc == 0)
        rc = is_active(k, cert, &active, err);
    if (rc != 0 || active)
        return rc;
    rc = check_passphrase(k, passphrase, err);
    if (rc == 0)
        rc = place_key(k, cert, key, passphrase, &of_request, err);
    if (rc == 0)
        rc = install(k, cert, chain, err);
    return rc == 0 && of_request ? hc_keystore_remove(k, "ca/request.key", err) : rc;
}

int hc_ca_import(const hc_keystore *k, hc_slice pem, EVP_PKEY *key, hc_slice passphrase,
                 int64_t now_s, hc_err *err)
{
    STACK_OF(X509) *chain = NULL;
    int rc = hc_ca_parse_chain(pem, &chain, err);
    if (rc != 0)
        return rc;
    X509 *cert = sk_X509_shift(chain);
    rc = cert ? import(k, cert, chain, key, passphrase, now_s, err)
              : hc_err_set(err, HC_EFORMAT, "there is no certificate in it (PEM is wanted)");
    X509_free(cert);
    sk_X509_pop_free(chain, X509_free);
    return rc;
}
