/* Revocation lists of one issuer (RFC 5280 section 5): complete, direct, signed, in memory.
 *
 * The owner gathers what is revoked with hc_crl_add, in any order, then signs once. Where the rows
 * come from, and that the number grows with each list, is the caller's business. Not thread-safe; a
 * list of 100 000 entries takes a third of a second. */
#ifndef HC_AUTHORITY_CRL_H
#define HC_AUTHORITY_CRL_H

#include <openssl/x509.h>

#include "base/buf.h"
#include "x509/reason.h"
#include "x509/serial.h"

typedef struct hc_revoked {
    hc_serial serial;
    int64_t revoked_s;
    int64_t not_after_s; /* of the certificate; 0: not known, then it is listed for ever */
    int reason;          /* x509/reason.h */
} hc_revoked;

typedef struct hc_crl hc_crl;

int hc_crl_new(hc_crl **out, hc_err *err) HC_MUST_CHECK;
void hc_crl_free(hc_crl *c); /* NULL is fine */
/* Of one serial that comes twice the earliest revocation counts. -HC_EINVAL where the serial is not
 * positive or the reason none to revoke for, -HC_ELIMIT past HC_LIMIT_CRL_ENTRIES. */
int hc_crl_add(hc_crl *c, const hc_revoked *r, hc_err *err) HC_MUST_CHECK;

typedef struct hc_crl_terms {
    uint64_t number; /* greater than that of every list before (section 5.2.3) */
    int64_t this_update_s;
    int64_t next_update_s;
} hc_crl_terms;

/* `issuer` may sign lists and has `key`. A certificate that has ended is left out once it has stood
 * on a list beyond its end (section 3.3): from one lifetime of a list after it. The caller frees
 * with X509_CRL_free. */
int hc_crl_sign(hc_crl *c, const hc_crl_terms *terms, X509 *issuer, EVP_PKEY *key, X509_CRL **out,
                hc_err *err) HC_MUST_CHECK;
/* Appends the list to `out`. */
int hc_crl_der(X509_CRL *crl, hc_buf *out, hc_err *err) HC_MUST_CHECK;
int hc_crl_pem(X509_CRL *crl, hc_buf *out, hc_err *err) HC_MUST_CHECK;

#endif
