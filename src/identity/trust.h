/* Trust: the CAs, CRLs and rules of one listener, immutable, and the decision about a chain against
 * them.
 *
 * Loaded from bytes (the supervisor opens the files), counted by reference, shared by all threads.
 * Whatever is missing, empty, unreadable or stale is an error at load: nothing here falls back to
 * the system's roots. The decision is a pure function of certificate, chain, trust and time; it
 * reports the first error and its depth. */
#ifndef HC_IDENTITY_TRUST_H
#define HC_IDENTITY_TRUST_H

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "base/err.h"
#include "identity/verdict.h"

typedef struct hc_trust hc_trust;

typedef struct hc_trust_source {
    const char *name; /* for errors: the file's path */
    hc_slice pem;
} hc_trust_source;

typedef struct hc_trust_config {
    const hc_trust_source *cas; /* at least one, with at least one CA certificate each */
    size_t ca_count;
    const hc_trust_source *crls; /* none: revocation is not checked by CRL */
    size_t crl_count;
    bool crl_leaf_only; /* the CRLs are asked about clients' certificates, not about CAs' */
    int64_t max_age_s; /* a verdict is good for at most this long after a full handshake; 0: no such
                          bound */
    uint64_t generation; /* of this trust; larger than any before it */
    int64_t now_s;       /* CRLs already past nextUpdate are refused at load */
} hc_trust_config;

int hc_trust_load(const hc_trust_config *config, hc_trust **out, hc_err *err) HC_MUST_CHECK;
hc_trust *hc_trust_ref(hc_trust *t);
void hc_trust_unref(hc_trust *t);
uint64_t hc_trust_generation(const hc_trust *t);
/* Subjects of the CAs, for the CertificateRequest (RFC 8446 section 4.2.4). Borrowed. */
const STACK_OF(X509_NAME) * hc_trust_names(const hc_trust *t);
/* The CA certificates themselves, for `check-config` and warnings about their end. Borrowed. */
const STACK_OF(X509) * hc_trust_cas(const hc_trust *t);
/* When the first of the CRLs goes out of date, in seconds since 1970; 0 where there is none. */
int64_t hc_trust_crl_until(const hc_trust *t);

/* Decides; fills in every field of `out`. Returns 0 whatever the verdict; negative (memory,
 * OpenSSL) means that no decision was possible, and `out` is then HC_VERDICT_STATUS_UNKNOWN: fail
 * closed. `untrusted` may be NULL. Results are cached inside the trust by the SHA-256 of all
 * certificates given (bounded); thread-safe. */
int hc_trust_decide(hc_trust *t, X509 *leaf, STACK_OF(X509) * untrusted, int64_t now_s,
                    hc_verdict *out, hc_err *err) HC_MUST_CHECK;

/* The X509_V_ERR_… that makes OpenSSL send the alert this verdict asks for (RFC 8446 section 6.2).
 */
int hc_verdict_alert_error(const hc_verdict *v);

#endif
