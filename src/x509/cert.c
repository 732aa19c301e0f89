#include "x509/cert.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "x509/name.h"
#include "x509/pem.h"
#include "x509/text.h"

#define SHA256_BYTES 32

struct hc_cert {
    atomic_uint refs;
    X509 *x509;
    uint8_t *der;
    size_t der_size;
    char *subject;
    char *issuer;
    int64_t not_before;
    int64_t not_after;
    hc_serial serial;
    char serial_hex[HC_SERIAL_HEX_BYTES];
    char serial_decimal[HC_SERIAL_DECIMAL_BYTES];
    uint8_t sha256[SHA256_BYTES];
    char sha256_hex[2 * SHA256_BYTES + 1];
    uint8_t issuer_sha256[SHA256_BYTES];
};

static int no_memory(hc_err *err)
{
    return hc_err_set(err, HC_ENOMEM, "no memory for a certificate");
}

static void write_hex(const uint8_t *bytes, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static int digest(const uint8_t *bytes, size_t size, uint8_t out[SHA256_BYTES], hc_err *err)
{
    unsigned digest_size = 0;
    if (EVP_Digest(bytes, size, out, &digest_size, EVP_sha256(), NULL) == 1)
        return 0;
    ERR_clear_error();
    return hc_err_set(err, HC_ETLS, "SHA-256 is not to be had");
}

static int keep_der(hc_cert *c, hc_err *err)
{
    int size = i2d_X509(c->x509, NULL);
    if (size <= 0) {
        ERR_clear_error();
        return hc_err_set(err, HC_EFORMAT, "a certificate cannot be encoded");
    }
    if (size > HC_LIMIT_CERT_BYTES)
        return hc_err_set(err, HC_EFORMAT, "a certificate is larger than %d octets",
                          HC_LIMIT_CERT_BYTES);
    c->der = hc_alloc((size_t)size);
    if (!c->der)
        return no_memory(err);
    unsigned char *at = c->der;
    size = i2d_X509(c->x509, &at);
    if (size <= 0)
        return no_memory(err);
    c->der_size = (size_t)size;
    int rc = digest(c->der, c->der_size, c->sha256, err);
    if (rc == 0)
        write_hex(c->sha256, SHA256_BYTES, c->sha256_hex);
    return rc;
}

static int digest_issuer(hc_cert *c, hc_err *err)
{
    const unsigned char *der = NULL;
    size_t size = 0;
    if (X509_NAME_get0_der(X509_get_issuer_name(c->x509), &der, &size) == 1)
        return digest(der, size, c->issuer_sha256, err);
    ERR_clear_error();
    return hc_err_set(err, HC_EFORMAT, "the issuer's name cannot be encoded");
}

static int keep_name(const X509_NAME *name, char **out, hc_err *err)
{
    hc_buf text = hc_buf_init(HC_ASN1_TEXT_MAX);
    int rc = hc_name_text(name, &text, err);
    if (rc == 0) {
        rc = hc_buf_add_byte(&text, 0);
        if (rc < 0)
            rc = no_memory(err);
    }
    if (rc < 0) {
        hc_buf_done(&text);
        return rc;
    }
    *out = (char *)text.at;
    return 0;
}

static int ignore_san(void *arg, hc_san_type type, hc_slice value, int nth)
{
    (void)arg;
    (void)type;
    (void)value;
    (void)nth;
    return 0;
}

/* OpenSSL decodes what it knows once and keeps the result inside the certificate, behind its own
 * lock. */
static int check_extensions(X509 *x, hc_err *err)
{
    X509_check_purpose(x, -1, 0);
    uint32_t flags = X509_get_extension_flags(x);
    ERR_clear_error();
    if (flags & EXFLAG_INVALID)
        return hc_err_set(err, HC_EFORMAT,
                          "an extension cannot be decoded or stands there twice (RFC 5280 section "
                          "4.2)");
    return hc_san_entries(x, ignore_san, NULL, err);
}

static int fill(hc_cert *c, hc_err *err)
{
    int rc = keep_der(c, err);
    if (rc == 0)
        rc = hc_serial_from_asn1(X509_get0_serialNumber(c->x509), &c->serial, err);
    if (rc == 0) {
        hc_serial_hex(&c->serial, c->serial_hex);
        hc_serial_decimal(&c->serial, c->serial_decimal);
        rc = keep_name(X509_get_subject_name(c->x509), &c->subject, err);
    }
    if (rc == 0)
        rc = keep_name(X509_get_issuer_name(c->x509), &c->issuer, err);
    if (rc == 0)
        rc = digest_issuer(c, err);
    if (rc == 0)
        rc = hc_asn1_time(X509_get0_notBefore(c->x509), &c->not_before, err);
    if (rc == 0)
        rc = hc_asn1_time(X509_get0_notAfter(c->x509), &c->not_after, err);
    if (rc == 0)
        rc = check_extensions(c->x509, err);
    return rc;
}

int hc_cert_from_x509(X509 *x, hc_cert **out, hc_err *err)
{
    hc_cert *c = hc_alloc_zero(1, sizeof(*c));
    if (!c)
        return no_memory(err);
    atomic_init(&c->refs, 1);
    if (X509_up_ref(x) != 1) {
        hc_free(c);
        return no_memory(err);
    }
    c->x509 = x;
    int rc = fill(c, err);
    if (rc != 0) {
        hc_cert_unref(c);
        return rc;
    }
    *out = c;
    return 0;
}

int hc_cert_from_der(hc_slice der, hc_cert **out, hc_err *err)
{
    if (der.size == 0 || der.size > HC_LIMIT_CERT_BYTES)
        return hc_err_set(err, HC_EFORMAT, "a certificate has 1 to %d octets, not %zu",
                          HC_LIMIT_CERT_BYTES, der.size);
    const unsigned char *at = der.at;
    X509 *x = d2i_X509(NULL, &at, (long)der.size);
    ERR_clear_error();
    if (!x)
        return hc_err_set(err, HC_EFORMAT, "not a certificate in DER");
    hc_cert *c = NULL;
    int rc = 0;
    if (at != der.at + der.size)
        rc = hc_err_set(err, HC_EFORMAT, "%zu octets behind the certificate",
                        (size_t)(der.at + der.size - at));
    if (rc == 0)
        rc = hc_cert_from_x509(x, &c, err);
    X509_free(x);
    /* BER that is not DER would give one certificate several fingerprints. */
    if (rc == 0 && !hc_slice_equal(hc_cert_der(c), der)) {
        hc_cert_unref(c);
        rc = hc_err_set(err, HC_EFORMAT, "the certificate is not in DER (RFC 5280 section 4.1)");
    }
    if (rc == 0)
        *out = c;
    return rc;
}

static int take_first(void *arg, const char *label, hc_slice der, hc_err *err)
{
    if (!hc_pem_is_certificate(label))
        return 0;
    int rc = hc_cert_from_der(der, (hc_cert **)arg, err);
    return rc < 0 ? rc : 1;
}

int hc_cert_from_pem(hc_slice pem, hc_cert **out, hc_err *err)
{
    hc_cert *c = NULL;
    int rc = hc_pem_each(pem, take_first, &c, err);
    if (rc < 0)
        return rc;
    if (!c)
        return hc_err_set(err, HC_ENOENT, "no PEM block CERTIFICATE");
    *out = c;
    return 0;
}

hc_cert *hc_cert_ref(hc_cert *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void hc_cert_unref(hc_cert *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    X509_free(c->x509);
    hc_free(c->der);
    hc_free(c->subject);
    hc_free(c->issuer);
    hc_free(c);
}

X509 *hc_cert_x509(const hc_cert *c)
{
    return c->x509;
}

hc_slice hc_cert_der(const hc_cert *c)
{
    return hc_slice_of(c->der, c->der_size);
}

const uint8_t *hc_cert_sha256(const hc_cert *c)
{
    return c->sha256;
}

const char *hc_cert_sha256_hex(const hc_cert *c)
{
    return c->sha256_hex;
}

const hc_serial *hc_cert_serial(const hc_cert *c)
{
    return &c->serial;
}

const char *hc_cert_serial_hex(const hc_cert *c)
{
    return c->serial_hex;
}

const char *hc_cert_serial_decimal(const hc_cert *c)
{
    return c->serial_decimal;
}

const char *hc_cert_subject(const hc_cert *c)
{
    return c->subject;
}

const char *hc_cert_issuer(const hc_cert *c)
{
    return c->issuer;
}

const uint8_t *hc_cert_issuer_sha256(const hc_cert *c)
{
    return c->issuer_sha256;
}

hc_slice hc_cert_issuer_key_id(const hc_cert *c)
{
    const ASN1_OCTET_STRING *id = X509_get0_authority_key_id(c->x509);
    return id ? hc_slice_of(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id))
              : HC_SLICE_NONE;
}

int hc_cert_key_sha256(const hc_cert *c, uint8_t out[SHA256_BYTES], hc_err *err)
{
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x509), &der);
    int rc = size > 0 ? digest(der, (size_t)size, out, err)
                      : hc_err_set(err, HC_EFORMAT, "the public key cannot be encoded");
    OPENSSL_free(der);
    ERR_clear_error();
    return rc;
}

int64_t hc_cert_not_before(const hc_cert *c)
{
    return c->not_before;
}

int64_t hc_cert_not_after(const hc_cert *c)
{
    return c->not_after;
}
