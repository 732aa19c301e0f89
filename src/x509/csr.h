/* A certification request (PKCS#10, RFC 2986) as an immutable value, from bytes of anyone.
 *
 * hc_csr_parse takes PEM or DER, bounded, and refuses what cannot be certified whoever asks:
 * malformed (-HC_EFORMAT), a key that is too weak (x509/key.h), not signed by its own key, signed
 * with a weak digest (-HC_EDENIED). Nothing that a request asks for is ever copied into a
 * certificate but its key; subject and names are shown so that a caller can refuse or report them.
 * May take milliseconds; any thread. */
#ifndef HC_X509_CSR_H
#define HC_X509_CSR_H

#include <openssl/x509.h>

#include "x509/san.h"

typedef struct hc_csr hc_csr;

int hc_csr_parse(hc_slice bytes, hc_csr **out, hc_err *err) HC_MUST_CHECK;
void hc_csr_free(hc_csr *c); /* NULL is fine */

X509_REQ *hc_csr_req(const hc_csr *c);             /* borrowed, like all below */
EVP_PKEY *hc_csr_key(const hc_csr *c);             /* public */
const uint8_t *hc_csr_key_sha256(const hc_csr *c); /* 32 bytes, of the SubjectPublicKeyInfo */
const char *hc_csr_subject(const hc_csr *c);       /* RFC 2253, UTF-8; "" where empty */
/* The subjectAltName it asks for; none: no call. */
int hc_csr_sans(const hc_csr *c, hc_san_each each, void *arg, hc_err *err) HC_MUST_CHECK;

/* The other direction, for an intermediate CA: a request of `key` for the name CN=`name`, signed.
 * The caller frees. */
int hc_csr_make(EVP_PKEY *key, const char *name, X509_REQ **out, hc_err *err) HC_MUST_CHECK;

#endif
