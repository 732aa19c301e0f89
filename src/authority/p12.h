/* PKCS#12 (RFC 7292): a key with its certificates in one file, for browsers, phones and mail
 * programs; and reading what a company's CA hands out.
 *
 * Only for the operator: nothing that a client sends is ever read here. Pure functions over memory;
 * each takes a tenth of a second and more, which is the point of a passphrase. */
#ifndef HC_AUTHORITY_P12_H
#define HC_AUTHORITY_P12_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct hc_p12 {
    const char *name; /* shown by what imports it: the client's name */
    EVP_PKEY *key;
    X509 *cert;
    STACK_OF(X509) * chain; /* without `cert`; may be NULL */
} hc_p12;

/* Appends the file to `out`. PBES2 with AES-256-CBC and HMAC-SHA256, and an HMAC-SHA256 over all.
 * `legacy`: triple DES and SHA-1, for what reads nothing better (older phones and Windows),
 * -HC_ETLS where OpenSSL has them no more. `passphrase` is UTF-8, 1 to
 * HC_LIMIT_PASSPHRASE octets. */
int hc_p12_write(const hc_p12 *p, hc_slice passphrase, bool legacy, hc_buf *out,
                 hc_err *err) HC_MUST_CHECK;

/* `out` owns what it gets; hc_p12_done frees it. `name` stays NULL. A file without key or
 * certificate, of more than HC_LIMIT_PKCS12_BYTES, without a MAC or with one of more than
 * HC_LIMIT_PKCS12_ITERATIONS is refused: -HC_EFORMAT; a wrong passphrase is -HC_EDENIED. What the
 * MAC does not cover is not looked at. */
int hc_p12_read(hc_slice file, hc_slice passphrase, hc_p12 *out, hc_err *err) HC_MUST_CHECK;
void hc_p12_done(hc_p12 *p);

#endif
