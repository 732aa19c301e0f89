/* What OpenSSL says about a call of it that failed, as an error of ours. For x509/ and authority/,
 * not for others. */
#ifndef HC_X509_OSSL_H
#define HC_X509_OSSL_H

#include "base/err.h"

/* "WHAT: reason", and OpenSSL's queue is empty again. -HC_ENOMEM where memory was what it lacked,
 * otherwise -HC_ETLS. */
int hc_ossl_failed(hc_err *err, const char *what);

#endif
