#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "authority/ca.h"
#include "x509/ossl.h"

#define AUTH_LEVEL 2 /* OpenSSL's for 112 bits */

static int refuse(hc_err *err, const char *why)
{
    ERR_clear_error();
    return hc_err_set(err, HC_EDENIED, "this certificate cannot be the CA's: %s", why);
}

static int check_extensions(X509 *cert, hc_err *err)
{
    if (X509_check_ca(cert) != 1 || (X509_get_extension_flags(cert) & EXFLAG_INVALID))
        return refuse(err, "it is none (basicConstraints, RFC 5280 section 4.2.1.9)");
    uint32_t usage = X509_get_key_usage(cert);
    if (!(usage & KU_KEY_CERT_SIGN) || !(usage & KU_CRL_SIGN))
        return refuse(err, "it may not sign certificates and CRLs (keyUsage, section 4.2.1.3)");
    if (!X509_get0_subject_key_id(cert))
        return refuse(err, "it has no subject key identifier (section 4.2.1.2)");
    if (X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 1) != 1)
        return refuse(err, "its extendedKeyUsage leaves out clients (section 4.2.1.12)");
    return 0;
}

static int check_time(X509 *cert, int64_t now_s, hc_err *err)
{
    time_t now = (time_t)now_s;
    if (X509_cmp_time(X509_get0_notBefore(cert), &now) >= 0)
        return refuse(err, "it is not valid yet");
    if (X509_cmp_time(X509_get0_notAfter(cert), &now) <= 0)
        return refuse(err, "it has expired");
    return 0;
}

static int check_key(X509 *cert, EVP_PKEY *key, hc_err *err)
{
    EVP_PKEY *public = X509_get0_pubkey(cert);
    if (!public)
        return refuse(err, "its key cannot be decoded");
    int rc = hc_key_check(public, err);
    if (rc == 0 && key && X509_check_private_key(cert, key) != 1)
        rc = refuse(err, "the private key is not its own");
    return rc;
}

/* A path's last certificate does not count for pathLenConstraint (section 4.2.1.9), but ours is to
 * have some below it. */
static int check_above(STACK_OF(X509) * chain, hc_err *err)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *parent = sk_X509_value(chain, i);
        long allowed = X509_get_pathlen(parent);
        if (allowed >= 0 && allowed < i + 1)
            return refuse(err, "a CA above it allows no CA at its place (pathLenConstraint)");
        if (X509_check_purpose(parent, X509_PURPOSE_SSL_CLIENT, 1) != 1)
            return refuse(err, "a CA above it is none for clients");
    }
    return 0;
}

/* As RFC 5280 section 6 wants it, from the last certificate that was given. */
static int verify(X509 *cert, STACK_OF(X509) * chain, int64_t now_s, hc_err *err)
{
    int above = chain ? sk_X509_num(chain) : 0;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *top = above ? sk_X509_value(chain, above - 1) : cert;
    int rc = 0;
    if (!store || !ctx || X509_STORE_add_cert(store, top) != 1 ||
        X509_STORE_CTX_init(ctx, store, cert, chain) != 1) {
        rc = hc_ossl_failed(err, "cannot verify a CA");
        goto out;
    }
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_CHECK_SS_SIGNATURE;
    (void)X509_VERIFY_PARAM_set_flags(param, flags);
    X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    if (X509_verify_cert(ctx) != 1)
        rc = refuse(err, X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    /* None was left out: an order that leads nowhere would be served so. */
    else if (sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) != above + 1)
        rc = refuse(err, "the CAs given with it are not those above it, each once");
out:
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return rc;
}

static int check_digest(X509 *cert, hc_err *err)
{
    int nid = NID_undef;
    if (hc_signature_digest(X509_get0_tbs_sigalg(cert), &nid) != 0)
        return refuse(err, "its signature algorithm is unknown");
    if (hc_digest_is_weak(nid))
        return refuse(err, "it is signed with a digest that is too weak");
    return 0;
}

int hc_ca_check(X509 *cert, STACK_OF(X509) * chain, EVP_PKEY *key, int64_t now_s, hc_err *err)
{
    int rc = check_extensions(cert, err);
    if (rc == 0)
        rc = check_time(cert, now_s, err);
    if (rc == 0)
        rc = check_key(cert, key, err);
    if (rc == 0)
        rc = check_digest(cert, err);
    if (rc == 0)
        rc = check_above(chain, err);
    return rc == 0 ? verify(cert, chain, now_s, err) : rc;
}
