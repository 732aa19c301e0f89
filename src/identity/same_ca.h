/* Which CA certificates are of one CA: one that changed its key goes on speaking, in its CRLs, of
 * the certificates that the old key signed (RFC 5280 section 6.3.3 (f)). For identity/ alone.
 *
 * Of one CA are certificates of one name with one key; or of which one certifies the other
 * (self-issued, RFC 5280 section 3.2); or that one CA above certifies. Two roots of one name are
 * two CAs. Immutable; any thread may read. */
#ifndef HC_IDENTITY_SAME_CA_H
#define HC_IDENTITY_SAME_CA_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "base/err.h"

typedef struct hc_same_ca hc_same_ca;

/* Holds references to `cas`. Blocks for a signature check a pair of one name. */
int hc_same_ca_new(const STACK_OF(X509) * cas, hc_same_ca **out, hc_err *err) HC_MUST_CHECK;
void hc_same_ca_free(hc_same_ca *s); /* NULL is fine */
/* Name and key: certificates of one CA that never changed its key. */
bool hc_same_key(const X509 *a, const X509 *b) HC_MUST_CHECK;
/* `ca` is one of the list; `other` may be any certificate. */
bool hc_same_ca_is(const hc_same_ca *s, const X509 *ca, const X509 *other) HC_MUST_CHECK;

#endif
