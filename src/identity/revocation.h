/* Revocation lists as an index of our own: verified once when loaded, then looked up by issuer and
 * serial.
 *
 * Left to OpenSSL, a CRL of 100 000 entries costs each handshake milliseconds. Every CRL must be
 * signed by a CA of the set that it is loaded with, be current, be complete for its scope
 * (crl_scope.h; no delta, no indirect CRL) and hold nothing critical that is not understood;
 * anything else is an error at load. Several CRLs of one issuer are united, whatever their numbers
 * and times: what one of them revokes is revoked. So are those of a CA that changed its key
 * (same_ca.h). Immutable once loaded; any thread may read it; nothing blocks.
 *
 * OCSP has its place beside hc_revocation_check, not in it: an answer has to be waited for, and a
 * TLS server of OpenSSL's cannot wait in its verifier. The place is after the handshake, with the
 * request held: a second source of hc_revocation_answer, asked where this one says
 * HC_REVOCATION_UNKNOWN for want of a list, whose thisUpdate and nextUpdate bound the verdict as a
 * CRL's do, and of which silence, "unknown" and staleness are HC_REVOCATION_UNKNOWN too. */
#ifndef HC_IDENTITY_REVOCATION_H
#define HC_IDENTITY_REVOCATION_H

#include <openssl/x509.h>

#include "base/err.h"
#include "identity/trust.h"

typedef struct hc_revocation hc_revocation;

/* At least one CRL in each source (PEM, or one CRL in DER). Errors name the source. */
int hc_revocation_load(const hc_trust_source *crls, size_t count, const STACK_OF(X509) * cas,
                       int64_t now_s, hc_revocation **out, hc_err *err) HC_MUST_CHECK;
void hc_revocation_free(hc_revocation *r); /* NULL is fine */

typedef enum hc_revocation_status {
    HC_REVOCATION_UNKNOWN = 0, /* no CRL of this issuer that is current */
    HC_REVOCATION_GOOD,
    HC_REVOCATION_REVOKED,
} hc_revocation_status;

typedef struct hc_revocation_answer {
    hc_revocation_status status;
    int error;             /* X509_V_ERR_CERT_REVOKED, _UNABLE_TO_GET_CRL, _DIFFERENT_CRL_SCOPE,
                              _CRL_HAS_EXPIRED, _CRL_NOT_YET_VALID */
    int64_t revoked_at_s;  /* where revoked */
    int reason;            /* CRL_REASON_…, CRL_REASON_NONE where the CRL gives none */
    int64_t valid_from_s;  /* where good: from then … */
    int64_t valid_until_s; /* … to just before then */
} hc_revocation_answer;

/* Of `cert`, which the chain says was issued by `issuer`. */
hc_revocation_answer hc_revocation_check(const hc_revocation *r, X509 *cert, X509 *issuer,
                                         int64_t now_s) HC_MUST_CHECK;
/* When the first of the lists goes out of date; 0 where there is none. */
int64_t hc_revocation_until(const hc_revocation *r);

#endif
