/* Strings and dates of ASN.1 as UTF-8 and seconds. For x509/ and identity/, not for others.
 *
 * One place decides what is a character string, what its characters are, and that none of them is
 * NUL. Pure functions; what is appended to a buffer is owned by it. */
#ifndef HC_X509_TEXT_H
#define HC_X509_TEXT_H

#include <openssl/asn1.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

/* Of one text made from a certificate: every octet of it as "\\XX" or more. */
#define HC_ASN1_TEXT_MAX ((size_t)4 * HC_LIMIT_CERT_BYTES)

/* Always false for what is no character string: its octets are no text. */
bool hc_asn1_has_nul(const ASN1_STRING *s);
/* The error for it, the same everywhere. Returns -HC_EFORMAT. */
int hc_asn1_nul_found(hc_err *err, const char *where);
/* Appends the text as UTF-8, not escaped; `where` is for the error. */
int hc_asn1_text(const ASN1_STRING *s, const char *where, hc_buf *out, hc_err *err) HC_MUST_CHECK;

/* Seconds since 1970; -HC_EFORMAT where it is no date, also for NULL. */
int hc_asn1_time(const ASN1_TIME *in, int64_t *out, hc_err *err) HC_MUST_CHECK;

#endif
