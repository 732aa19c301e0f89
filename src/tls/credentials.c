#include "tls/credentials.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/limits.h"
#include "tls/queue.h"

typedef struct passphrase {
    hc_slice text;
    bool asked, too_long;
} passphrase;

/* OpenSSL asks on the terminal where it has no callback, and a server must never wait there: this
 * one always answers, with what the configuration has or with a failure. */
static int answer_passphrase(char *out, int room, int writing, void *arg)
{
    passphrase *p = arg;
    (void)writing;
    p->asked = true;
    p->too_long = p->text.size > (size_t)(room > 0 ? room : 0);
    if (p->text.size == 0 || p->too_long)
        return -1;
    memcpy(out, p->text.at, p->text.size);
    return (int)p->text.size;
}

static int open_pem(hc_slice pem, const char *name, BIO **out, hc_err *err)
{
    if (pem.size > HC_LIMIT_PEM_FILE_BYTES)
        return hc_err_set(err, HC_ELIMIT, "%s is larger than %u bytes", name,
                          (unsigned)HC_LIMIT_PEM_FILE_BYTES);
    if (pem.size == 0)
        return hc_err_set(err, HC_EFORMAT, "%s is empty", name);
    *out = BIO_new_mem_buf(pem.at, (int)pem.size);
    return *out ? 0 : hc_tls_queue_error(err, name);
}

static int key_unreadable(const char *name, const passphrase *p, hc_err *err)
{
    unsigned long code = ERR_peek_last_error();
    if (p->asked && p->text.size == 0) {
        ERR_clear_error();
        return hc_err_set(err, HC_EDENIED,
                          "the key in %s is encrypted: name a file with its passphrase, "
                          "--keyfile-passphrase-file",
                          name);
    }
    if (p->too_long) {
        ERR_clear_error();
        return hc_err_set(err, HC_ELIMIT, "the passphrase for %s is too long: at most %d bytes",
                          name, HC_LIMIT_PASSPHRASE);
    }
    if (p->asked) {
        ERR_clear_error();
        return hc_err_set(err, HC_EDENIED,
                          "the passphrase does not open the key in %s: check "
                          "--keyfile-passphrase-file, also for a newline too many",
                          name);
    }
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        return hc_tls_queue_error(err, name);
    return hc_err_set(err, HC_EFORMAT,
                      "%s holds no private key in PEM form that can be read (%s): it begins with "
                      "\"-----BEGIN PRIVATE KEY-----\" or one for EC, RSA or ENCRYPTED",
                      name, hc_tls_queue_reason());
}

static int load_key(const hc_tls_config *config, EVP_PKEY **out, hc_err *err)
{
    passphrase p = {.text = config->passphrase};
    BIO *bio = NULL;
    int rc = open_pem(config->key_pem, config->key_name, &bio, err);
    if (rc < 0)
        return rc;
    *out = PEM_read_bio_PrivateKey(bio, NULL, answer_passphrase, &p);
    BIO_free(bio);
    return *out ? 0 : key_unreadable(config->key_name, &p, err);
}

/* TLS 1.3 knows three curves for ECDSA, RFC 8446 section 4.2.3; a key on another one would start a
 * server that no client can reach. */
static bool curve_is_known(const EVP_PKEY *key)
{
    static const char *const known[] = {"prime256v1", "secp384r1", "secp521r1"};
    char name[64] = "";
    size_t size = 0;
    if (EVP_PKEY_get_group_name(key, name, sizeof(name), &size) != 1)
        return false;
    for (size_t i = 0; i < HC_COUNT(known); i++) {
        if (strcmp(name, known[i]) == 0)
            return true;
    }
    return false;
}

static int check_strength(const EVP_PKEY *key, const char *name, hc_err *err)
{
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448"))
        return 0;
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS")) {
        if (bits >= 2048)
            return 0;
        return hc_err_set(err, HC_EDENIED,
                          "the key in %s is too weak: RSA with %d bits; make one with at least "
                          "2048, or a P-256 key",
                          name, bits);
    }
    if (EVP_PKEY_is_a(key, "EC")) {
        if (curve_is_known(key))
            return 0;
        return hc_err_set(err, HC_EDENIED,
                          "the key in %s is on a curve that TLS does not use or that is too weak "
                          "(%d bits): make one on P-256, P-384 or P-521",
                          name, bits);
    }
    return hc_err_set(err, HC_EDENIED,
                      "the key in %s is of a kind that TLS servers do not use: make an EC (P-256), "
                      "RSA or Ed25519 key",
                      name);
}

/* -HC_ENOENT at the end of the file. */
static int next_certificate(BIO *bio, const char *name, X509 **out, hc_err *err)
{
    passphrase none = {0};
    *out = PEM_read_bio_X509(bio, NULL, answer_passphrase, &none);
    if (*out)
        return 0;
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) {
        ERR_clear_error();
        return -HC_ENOENT;
    }
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        return hc_tls_queue_error(err, name);
    return hc_err_set(err, HC_EFORMAT,
                      "a certificate in %s cannot be read (%s): is the file complete?", name,
                      hc_tls_queue_reason());
}

static int read_certificates(BIO *bio, const char *name, hc_tls_credentials *out, hc_err *err)
{
    out->chain = sk_X509_new_null();
    if (!out->chain)
        return hc_tls_queue_error(err, name);
    for (;;) {
        X509 *one = NULL;
        int rc = next_certificate(bio, name, &one, err);
        if (rc == -HC_ENOENT)
            break;
        if (rc < 0)
            return rc;
        if (!out->leaf) {
            out->leaf = one;
        } else if (sk_X509_num(out->chain) + 1 == HC_LIMIT_CERT_CHAIN) {
            X509_free(one);
            return hc_err_set(err, HC_ELIMIT,
                              "%s holds more than %d certificates: give the server's own and its "
                              "intermediates alone",
                              name, HC_LIMIT_CERT_CHAIN);
        } else if (sk_X509_push(out->chain, one) <= 0) {
            X509_free(one);
            return hc_tls_queue_error(err, name);
        }
    }
    if (!out->leaf)
        return hc_err_set(err, HC_EFORMAT,
                          "%s holds no certificate in PEM form: it begins with "
                          "\"-----BEGIN CERTIFICATE-----\"",
                          name);
    return 0;
}

static int load_certificates(const hc_tls_config *config, hc_tls_credentials *out, hc_err *err)
{
    BIO *bio = NULL;
    int rc = open_pem(config->certificate_pem, config->certificate_name, &bio, err);
    if (rc < 0)
        return rc;
    rc = read_certificates(bio, config->certificate_name, out, err);
    BIO_free(bio);
    return rc;
}

static int check_match(const hc_tls_config *config, const hc_tls_credentials *c, hc_err *err)
{
    bool in_chain = false;
    bool match = X509_check_private_key(c->leaf, c->key) == 1;
    for (int i = 0; !match && !in_chain && i < sk_X509_num(c->chain); i++)
        in_chain = X509_check_private_key(sk_X509_value(c->chain, i), c->key) == 1;
    ERR_clear_error();
    if (match)
        return 0;
    if (in_chain)
        return hc_err_set(err, HC_EINVAL,
                          "the certificates in %s stand in the wrong order: the server's own, for "
                          "the key in %s, comes first, then the one that signed it",
                          config->certificate_name, config->key_name);
    return hc_err_set(err, HC_EINVAL,
                      "the key in %s does not belong to the certificate in %s: give the pair that "
                      "was made together",
                      config->key_name, config->certificate_name);
}

int hc_tls_credentials_load(const hc_tls_config *config, hc_tls_credentials *out, hc_err *err)
{
    hc_tls_credentials c = {0};
    ERR_clear_error();
    int rc = load_certificates(config, &c, err);
    if (rc == 0)
        rc = load_key(config, &c.key, err);
    if (rc == 0)
        rc = check_strength(c.key, config->key_name, err);
    if (rc == 0)
        rc = check_match(config, &c, err);
    if (rc == 0)
        *out = c;
    else
        hc_tls_credentials_done(&c);
    return rc;
}

void hc_tls_credentials_done(hc_tls_credentials *c)
{
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    *c = (hc_tls_credentials){0};
}
