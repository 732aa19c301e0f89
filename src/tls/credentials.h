/* The server's certificate, its chain and its key, from PEM text: private to tls/. */
#ifndef HC_TLS_CREDENTIALS_H
#define HC_TLS_CREDENTIALS_H

#include "tls/context.h"

typedef struct hc_tls_credentials {
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf; may be empty */
    EVP_PKEY *key;
} hc_tls_credentials;

/* Reads both and checks that they fit together and are strong enough. Every error is one line that
 * names the file and says what to do. On failure `out` holds nothing. */
int hc_tls_credentials_load(const hc_tls_config *config, hc_tls_credentials *out,
                            hc_err *err) HC_MUST_CHECK;
void hc_tls_credentials_done(hc_tls_credentials *c);

#endif
