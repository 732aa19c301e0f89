/* PEM files: every block in turn (RFC 7468).
 *
 * Text between blocks is skipped, as everybody does. A block that cannot be read is an error, also
 * one whose first line is spoilt so that OpenSSL would take it for text: skipping it would leave
 * out a CA or a CRL without a word. Pure functions over borrowed bytes; they do not block. */
#ifndef HC_X509_PEM_H
#define HC_X509_PEM_H

#include "base/err.h"
#include "base/slice.h"

/* `label` is what stands behind BEGIN; `der` is still encrypted where the block was. Both live
 * until the callback returns. Returns 0 to go on, 1 to stop with success, a negative HC_E… to stop.
 */
typedef int (*hc_pem_visit)(void *arg, const char *label, hc_slice der, hc_err *err);

/* 0 also where there is no block at all. */
int hc_pem_each(hc_slice pem, hc_pem_visit visit, void *arg, hc_err *err) HC_MUST_CHECK;
/* "CERTIFICATE" and its old spelling "X509 CERTIFICATE". */
bool hc_pem_is_certificate(const char *label);

#endif
