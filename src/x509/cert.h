/* A certificate as an immutable value, decoded once and shared.
 *
 * hc_cert is reference-counted (atomically) and may be read by any thread. It is made from bytes or
 * from OpenSSL's X509; a certificate whose names, serial or extensions cannot be represented
 * exactly (a NUL inside a name, a serial over 20 octets, more than HC_LIMIT_SANS names) is refused
 * with -HC_EFORMAT and a text that says which. Nothing here says whether a certificate is trusted:
 * that is identity/. */
#ifndef HC_X509_CERT_H
#define HC_X509_CERT_H

#include <openssl/x509.h>

#include "base/err.h"
#include "base/slice.h"
#include "x509/serial.h"

typedef struct hc_cert hc_cert;

/* Takes its own reference of `x`. */
int hc_cert_from_x509(X509 *x, hc_cert **out, hc_err *err) HC_MUST_CHECK;
/* Exactly one certificate, no trailing bytes. */
int hc_cert_from_der(hc_slice der, hc_cert **out, hc_err *err) HC_MUST_CHECK;
/* The first certificate of a PEM text; -HC_ENOENT where there is none. */
int hc_cert_from_pem(hc_slice pem, hc_cert **out, hc_err *err) HC_MUST_CHECK;
hc_cert *hc_cert_ref(hc_cert *c);
void hc_cert_unref(hc_cert *c); /* NULL is fine */

X509 *hc_cert_x509(const hc_cert *c);             /* borrowed */
hc_slice hc_cert_der(const hc_cert *c);           /* borrowed, for the life of c; likewise below */
const uint8_t *hc_cert_sha256(const hc_cert *c);  /* 32 bytes, of the DER */
const char *hc_cert_sha256_hex(const hc_cert *c); /* 64 lower-case digits */
const hc_serial *hc_cert_serial(const hc_cert *c);
const char *hc_cert_serial_hex(const hc_cert *c);
const char *hc_cert_serial_decimal(const hc_cert *c);
const char *
hc_cert_subject(const hc_cert *c); /* RFC 2253, UTF-8, as mod_ssl writes it; "" where empty */
const char *hc_cert_issuer(const hc_cert *c);
const uint8_t *hc_cert_issuer_sha256(const hc_cert *c); /* 32 bytes, of the issuer's Name in DER */
/* The authority key identifier (RFC 5280 section 4.2.1.1); empty where there is none. */
hc_slice hc_cert_issuer_key_id(const hc_cert *c);
/* SHA-256 of the SubjectPublicKeyInfo in DER. */
int hc_cert_key_sha256(const hc_cert *c, uint8_t out[32], hc_err *err) HC_MUST_CHECK;
int64_t hc_cert_not_before(const hc_cert *c); /* seconds since 1970, UTC */
int64_t hc_cert_not_after(const hc_cert *c);

/* For a log line about a certificate that may be malformed: best effort, never fails, cut to fit.
 */
typedef struct hc_cert_brief {
    char subject[512];
    char issuer[512];
    char serial_hex[64];
    char serial_decimal[64];
    char sha256_hex[65];
} hc_cert_brief;
void hc_cert_brief_of(X509 *x, hc_cert_brief *out);

#endif
