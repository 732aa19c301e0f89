/* Which certificates of its issuer a CRL speaks of: all, or those that issuingDistributionPoint
 * says (RFC 5280 section 5.2.5). For identity/ alone.
 *
 * Understood: only the certificates of users or of CAs, and one distribution point by its full or
 * relative name. Lists for some reasons, of attribute certificates, and indirect ones are refused:
 * taken for whole they would let others pass. */
#ifndef HC_IDENTITY_CRL_SCOPE_H
#define HC_IDENTITY_CRL_SCOPE_H

#include <openssl/x509v3.h>
#include <stdbool.h>

#include "base/err.h"

typedef struct hc_crl_scope {
    bool only_users;
    bool only_cas;
    DIST_POINT_NAME *point; /* owned; NULL: whatever distribution point a certificate names */
} hc_crl_scope;

/* -HC_EFORMAT for a scope that is not supported; `out` is then untouched. */
int hc_crl_scope_read(const X509_CRL *crl, hc_crl_scope *out, hc_err *err) HC_MUST_CHECK;
void hc_crl_scope_done(hc_crl_scope *s);
bool hc_crl_scope_covers(const hc_crl_scope *s, X509 *cert) HC_MUST_CHECK;
/* Lists of one scope may be united. False where in doubt. */
bool hc_crl_scope_equal(const hc_crl_scope *a, const hc_crl_scope *b) HC_MUST_CHECK;

#endif
