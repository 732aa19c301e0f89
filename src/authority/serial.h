/* Serial numbers of certificates we issue (RFC 5280 section 4.1.2.2). */
#ifndef HC_AUTHORITY_SERIAL_H
#define HC_AUTHORITY_SERIAL_H

#include <openssl/asn1.h>

#include "base/err.h"

/* Positive, 20 octets, from OpenSSL's generator for secrets: nobody can foresee one. The caller
 * frees. */
int hc_serial_new(ASN1_INTEGER **out, hc_err *err) HC_MUST_CHECK;

#endif
