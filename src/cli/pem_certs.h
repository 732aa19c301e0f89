/* The certificates of a file that a person names. */
#ifndef HC_CLI_PEM_CERTS_H
#define HC_CLI_PEM_CERTS_H

#include <openssl/x509.h>

#include "base/err.h"

/* PEM with one or more certificates (anything else in it is skipped), or one in DER. `others`:
 * those behind the first; may be empty, never NULL. The caller frees both. */
int hc_pem_certs_load(const char *path, X509 **first, STACK_OF(X509) * *others,
                      hc_err *err) HC_MUST_CHECK;

#endif
