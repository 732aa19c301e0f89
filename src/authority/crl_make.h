/* The revocation list of a CA as the registry has it, numbered.
 *
 * Each list made is a row of the audit (action "crl.make"), which is where its number is kept. A
 * number is greater than the one before and no less than the milliseconds since 1970: it does not
 * go backwards where an older copy of the registry is put back. Blocks on the database; 100 000
 * entries take half a second. */
#ifndef HC_AUTHORITY_CRL_MAKE_H
#define HC_AUTHORITY_CRL_MAKE_H

#include <openssl/x509.h>

#include "base/buf.h"
#include "registry/change.h"

#define HC_CRL_ACTION "crl.make"
/* 40 digits and ".crl" mostly; an identifier may be longer. */
#define HC_CRL_NAME_BYTES (2 * 64 + 5)
#define HC_CRL_LIFETIME_S ((int64_t)7 * 24 * 3600)

/* "SUBJECT-KEY-IDENTIFIER.crl" in lower-case hex: a name that stays when the CA is replaced.
 * -HC_EDENIED where the CA has none. */
int hc_crl_name(X509 *issuer, char out[HC_CRL_NAME_BYTES], hc_err *err) HC_MUST_CHECK;

typedef struct hc_crl_made {
    uint64_t number;
    uint64_t entries; /* revoked certificates that the registry knows of this CA */
    int64_t this_update_s, next_update_s;
    hc_buf der;
} hc_crl_made;

/* One transaction of its own; nothing is handed out before it is committed. `out->der` is the
 * caller's on success. `lifetime_s` 0: HC_CRL_LIFETIME_S. */
int hc_crl_make(hc_registry *r, const hc_actor *a, X509 *issuer, EVP_PKEY *key, int64_t lifetime_s,
                hc_crl_made *out, hc_err *err) HC_MUST_CHECK;

#endif
