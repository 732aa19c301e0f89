#include "authority/p12.h"

#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "x509/ossl.h"

/* Three derivations a file: key, certificates, MAC. Some importers (.NET) refuse more than 600 000
 * in all. */
#define ITERATIONS 150000
/* What such programs were tested with. */
#define LEGACY_ITERATIONS 2048
#define SALT_BYTES        16

/* OpenSSL wants a NUL behind it. The caller frees as a secret of `size + 1`. */
static int terminated(hc_slice passphrase, char **out, hc_err *err)
{
    if (passphrase.size == 0 || passphrase.size > HC_LIMIT_PASSPHRASE ||
        hc_slice_find(passphrase, 0) >= 0 || !hc_utf8_valid(passphrase))
        return hc_err_set(err, HC_EINVAL, "a passphrase of 1 to %d bytes of UTF-8 is wanted",
                          HC_LIMIT_PASSPHRASE);
    char *text = hc_alloc(passphrase.size + 1);
    if (!text)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    memcpy(text, passphrase.at, passphrase.size);
    text[passphrase.size] = '\0';
    *out = text;
    return 0;
}

/* PKCS12_create makes the content without a MAC (-1), since it would choose the digest itself. */
static PKCS12 *make(const hc_p12 *p, const char *passphrase, bool legacy)
{
    int cipher = legacy ? NID_pbe_WithSHA1And3_Key_TripleDES_CBC : NID_aes_256_cbc;
    int iterations = legacy ? LEGACY_ITERATIONS : ITERATIONS;
    PKCS12 *made = PKCS12_create(passphrase, p->name, p->key, p->cert, p->chain, cipher, cipher,
                                 iterations, -1, 0);
    if (made && PKCS12_set_mac(made, passphrase, -1, NULL, SALT_BYTES, iterations,
                               legacy ? EVP_sha1() : EVP_sha256()) == 1)
        return made;
    PKCS12_free(made);
    return NULL;
}

static int add_der(PKCS12 *made, hc_buf *out, hc_err *err)
{
    unsigned char *der = NULL;
    int size = i2d_PKCS12(made, &der);
    if (size <= 0)
        return hc_ossl_failed(err, "cannot write PKCS#12");
    int rc = hc_buf_add(out, hc_slice_of(der, (size_t)size));
    OPENSSL_clear_free(der, (size_t)size);
    return rc == 0 ? 0 : hc_err_set(err, -rc, "PKCS#12 cannot be kept");
}

int hc_p12_write(const hc_p12 *p, hc_slice passphrase, bool legacy, hc_buf *out, hc_err *err)
{
    char *text = NULL;
    int rc = terminated(passphrase, &text, err);
    if (rc != 0)
        return rc;
    PKCS12 *made = make(p, text, legacy);
    if (made)
        rc = add_der(made, out, err);
    else
        rc = hc_ossl_failed(err, legacy ? "OpenSSL makes no PKCS#12 of the old kind (leave out "
                                          "--legacy)"
                                        : "cannot make PKCS#12");
    PKCS12_free(made);
    hc_free_secret(text, passphrase.size + 1);
    return rc;
}

static int malformed(hc_err *err, const char *why)
{
    ERR_clear_error();
    return hc_err_set(err, HC_EFORMAT, "the PKCS#12 file %s", why);
}

/* Before anything is derived from the passphrase. */
static int check_mac(const PKCS12 *p12, hc_err *err)
{
    const ASN1_INTEGER *iterations = NULL;
    if (PKCS12_mac_present(p12) != 1)
        return malformed(err, "has no MAC: nothing says that it is whole");
    PKCS12_get0_mac(NULL, NULL, NULL, &iterations, p12);
    int64_t count = 1;
    if (iterations && (ASN1_INTEGER_get_int64(&count, iterations) != 1 || count < 1 ||
                       count > HC_LIMIT_PKCS12_ITERATIONS))
        return malformed(err, "has a MAC of too many iterations, or of none");
    return 0;
}

static int decode(hc_slice file, PKCS12 **out, hc_err *err)
{
    const unsigned char *at = file.at;
    if (file.size == 0 || file.size > HC_LIMIT_PKCS12_BYTES)
        return malformed(err, "is empty or too large");
    PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)file.size);
    if (!p12)
        return malformed(err, "cannot be decoded");
    if (at != file.at + file.size) {
        PKCS12_free(p12);
        return malformed(err, "has bytes behind its end");
    }
    *out = p12;
    return 0;
}

static int open_p12(PKCS12 *p12, const char *passphrase, hc_p12 *out, hc_err *err)
{
    hc_p12 got = {NULL, NULL, NULL, NULL};
    if (PKCS12_verify_mac(p12, passphrase, -1) != 1) {
        ERR_clear_error();
        return hc_err_set(err, HC_EDENIED, "the passphrase does not open the PKCS#12 file");
    }
    if (PKCS12_parse(p12, passphrase, &got.key, &got.cert, &got.chain) != 1)
        return malformed(err, "cannot be read, though the passphrase is right");
    if (!got.key || !got.cert) {
        hc_p12_done(&got);
        return malformed(err, "is to hold a key and its certificate");
    }
    *out = got;
    ERR_clear_error();
    return 0;
}

int hc_p12_read(hc_slice file, hc_slice passphrase, hc_p12 *out, hc_err *err)
{
    PKCS12 *p12 = NULL;
    char *text = NULL;
    int rc = terminated(passphrase, &text, err);
    if (rc != 0)
        return rc;
    rc = decode(file, &p12, err);
    if (rc == 0)
        rc = check_mac(p12, err);
    if (rc == 0)
        rc = open_p12(p12, text, out, err);
    PKCS12_free(p12);
    hc_free_secret(text, passphrase.size + 1);
    return rc;
}

void hc_p12_done(hc_p12 *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    sk_X509_pop_free(p->chain, X509_free);
    *p = (hc_p12){NULL, NULL, NULL, NULL};
}
