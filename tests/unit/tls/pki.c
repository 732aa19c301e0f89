#include "pki.h"

#include <stdlib.h>

#include <openssl/dsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "unit.h"

static EVP_PKEY *dsa_key(void)
{
    EVP_PKEY *parameters = NULL, *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
    assert_int_equal(EVP_PKEY_paramgen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, 1024), 1);
    assert_int_equal(EVP_PKEY_paramgen(ctx, &parameters), 1);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, parameters, NULL);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(parameters);
    return key;
}

static EVP_PKEY *rsa_pss_key(int bits)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits), 1);
    assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *pki_key(const char *kind)
{
    char name[32] = "";
    const char *detail = strchr(kind, ':');
    memcpy(name, kind, detail ? (size_t)(detail - kind) : strlen(kind));
    EVP_PKEY *key;
    if (strcmp(name, "EC") == 0)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", detail + 1);
    else if (strcmp(name, "DSA") == 0)
        key = dsa_key();
    else if (strcmp(name, "RSA-PSS") == 0)
        key = rsa_pss_key((int)strtol(detail + 1, NULL, 10));
    else if (detail)
        key = EVP_PKEY_Q_keygen(NULL, NULL, name, (size_t)strtoul(detail + 1, NULL, 10));
    else
        key = EVP_PKEY_Q_keygen(NULL, NULL, name);
    assert_non_null(key);
    return key;
}

void pki_sign(X509 *certificate, EVP_PKEY *issuer_key)
{
    bool edwards = EVP_PKEY_is_a(issuer_key, "ED25519") || EVP_PKEY_is_a(issuer_key, "ED448");
    assert_true(X509_sign(certificate, issuer_key, edwards ? NULL : EVP_sha256()) > 0);
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

X509 *pki_certificate(const char *common_name, EVP_PKEY *key, const pki_identity *issuer,
                      size_t padding)
{
    unsigned char serial[16];
    X509 *x = X509_new();
    assert_non_null(x);
    assert_int_equal(RAND_bytes(serial, sizeof(serial)), 1);
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    assert_non_null(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)));
    BN_free(number);
    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    X509_NAME *name = X509_get_subject_name(x);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)common_name, -1, -1, 0),
                     1);
    X509 *signer = issuer ? issuer->certificate : x;
    assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(signer)), 1);
    assert_int_equal(X509_set_pubkey(x, key), 1);
    add_extension(x, signer, NID_basic_constraints,
                  issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    add_extension(x, signer, NID_subject_key_identifier, "hash");
    if (padding) {
        char *text = malloc(padding + 1);
        assert_non_null(text);
        memset(text, 'x', padding);
        text[padding] = '\0';
        add_extension(x, signer, NID_netscape_comment, text);
        free(text);
    }
    pki_sign(x, issuer ? issuer->key : key);
    return x;
}

pki_identity pki_identity_new(const char *common_name, const char *kind, const pki_identity *issuer)
{
    pki_identity id = {.key = pki_key(kind)};
    id.certificate = pki_certificate(common_name, id.key, issuer, 0);
    return id;
}

void pki_identity_done(pki_identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
    *id = (pki_identity){0};
}

static char *text_of(BIO *bio)
{
    char *at;
    long size = BIO_get_mem_data(bio, &at);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    memcpy(text, at, (size_t)size);
    text[size] = '\0';
    BIO_free(bio);
    return text;
}

char *pki_certificate_pem(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
    return text_of(bio);
}

char *pki_key_pem(EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(bio, key, passphrase ? EVP_aes_256_cbc() : NULL, passphrase,
                                      passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
        1);
    return text_of(bio);
}

char *pki_key_pem_traditional(EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(
        PEM_write_bio_PrivateKey_traditional(bio, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                             (const unsigned char *)passphrase,
                                             passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
        1);
    return text_of(bio);
}
