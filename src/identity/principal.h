/* Who a connection is: the certificate, the chain the peer sent with it, and (with a registry) the
 * client's record.
 *
 * Immutable, reference-counted atomically: the session store and several connections may share one.
 * The verdict is not part of it, since verdicts age. */
#ifndef HC_IDENTITY_PRINCIPAL_H
#define HC_IDENTITY_PRINCIPAL_H

#include "identity/trust.h"
#include "x509/cert.h"
#include "x509/variables.h"

typedef struct hc_principal {
    _Atomic unsigned refs;
    hc_cert *cert;   /* never NULL: no certificate is no principal */
    hc_cert **chain; /* what the peer sent besides, in its order */
    size_t chain_count;
} hc_principal;

/* From a handshake: `leaf` and the peer's `chain` (leaf excluded or included: it is skipped; may be
 * NULL). */
int hc_principal_new(X509 *leaf, STACK_OF(X509) * chain, hc_principal **out,
                     hc_err *err) HC_MUST_CHECK;
hc_principal *hc_principal_ref(hc_principal *p);
void hc_principal_unref(hc_principal *p);
/* The same certificate and the same chain, whichever handshakes they came from. */
bool hc_principal_same(const hc_principal *a, const hc_principal *b);
/* Every variable about it that does not change while it is connected: SSL_CLIENT_…, chain included.
 */
int hc_principal_variables(const hc_principal *p, hc_variable_each each, void *arg,
                           hc_err *err) HC_MUST_CHECK;
/* SSL_CLIENT_V_REMAIN. */
int64_t hc_principal_days_left(const hc_principal *p, int64_t now_s);

/* The verdict still stands: same generations, not past good_until. */
bool hc_verdict_holds(const hc_verdict *v, uint64_t chain_generation, uint64_t record_generation,
                      int64_t now_s);
/* Decides again, for an open connection or a resumption, from what the principal kept. */
int hc_principal_decide(const hc_principal *p, hc_trust *t, int64_t now_s, hc_verdict *out,
                        hc_err *err) HC_MUST_CHECK;

#endif
