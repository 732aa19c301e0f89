/* The certificates of a file that somebody else made: PEM, DER, or a PKCS#7 bundle in either (RFC
 * 2315, certs-only). Pure: bytes in, certificates out. */
#ifndef HC_CLI_IMPORT_CERTS_H
#define HC_CLI_IMPORT_CERTS_H

#include <openssl/x509.h>

#include "base/err.h"
#include "base/slice.h"

/* 0 to go on, a negative HC_E… to stop: that is then the result. `number` counts from 1. */
typedef int (*hc_import_each)(void *arg, X509 *x, size_t number, hc_err *err);

/* DER, or text with PEM in it; else it may be CSV. */
bool hc_import_is_certs(hc_slice bytes);
/* Blocks of PEM that are no certificates are skipped. -HC_EFORMAT where there is no certificate, or
 * one that cannot be decoded. */
int hc_import_certs(hc_slice bytes, hc_import_each each, void *arg, hc_err *err) HC_MUST_CHECK;

#endif
