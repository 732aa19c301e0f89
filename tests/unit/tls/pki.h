/* Keys and certificates made in the test, through OpenSSL. Failure ends the test. */
#ifndef HC_TESTS_UNIT_TLS_PKI_H
#define HC_TESTS_UNIT_TLS_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/slice.h"

typedef struct pki_identity {
    EVP_PKEY *key;
    X509 *certificate;
} pki_identity;

/* "RSA:2048" "RSA-PSS:2048" "EC:P-256" "ED25519" "ED448" "DSA" … */
EVP_PKEY *pki_key(const char *kind);
/* `issuer` NULL: signed by itself, a CA. `padding`: bytes of a comment extension, to make it large.
 */
X509 *pki_certificate(const char *common_name, EVP_PKEY *key, const pki_identity *issuer,
                      size_t padding);
/* Signs anew, after a change. */
void pki_sign(X509 *certificate, EVP_PKEY *issuer_key);
pki_identity pki_identity_new(const char *common_name, const char *kind,
                              const pki_identity *issuer);
void pki_identity_done(pki_identity *id);

/* Text to be freed with free(). `passphrase` NULL: not encrypted. */
char *pki_certificate_pem(X509 *certificate);
char *pki_key_pem(EVP_PKEY *key, const char *passphrase);
char *pki_key_pem_traditional(EVP_PKEY *key, const char *passphrase);

#endif
