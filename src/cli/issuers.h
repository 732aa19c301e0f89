/* Which CA a person means by a name: for serials that come without their certificates. */
#ifndef HC_CLI_ISSUERS_H
#define HC_CLI_ISSUERS_H

#include "base/err.h"
#include "base/slice.h"
#include "x509/cert.h"

typedef struct hc_issuer {
    uint8_t name_sha256[32]; /* of the Name in DER */
    hc_cert *cert;
    char *folded;    /* its name, as two spellings of it compare */
    hc_slice key_id; /* its subject key identifier; empty: none */
} hc_issuer;

typedef struct hc_issuers {
    hc_issuer *at;
    size_t count;
} hc_issuers;

/* Every certificate of a PEM or DER file; `name` is for errors. */
int hc_issuers_add(hc_issuers *all, hc_slice file, const char *name, hc_err *err) HC_MUST_CHECK;
void hc_issuers_done(hc_issuers *all);
/* RFC 2253 text in any case, with or without spaces behind its commas. -HC_ENOENT where no CA has
 * that name, -HC_EDENIED where two with different keys have. */
int hc_issuers_find(const hc_issuers *all, hc_slice name, const hc_issuer **out,
                    hc_err *err) HC_MUST_CHECK;

#endif
