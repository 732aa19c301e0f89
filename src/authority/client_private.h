/* What the files of client.h share: what the registry has of a key or a certificate. */
#ifndef HC_AUTHORITY_CLIENT_PRIVATE_H
#define HC_AUTHORITY_CLIENT_PRIVATE_H

#include "authority/client.h"
#include "authority/maker.h"

/* Of several the one in force; id 0: none. */
typedef struct hc_client_cert {
    int64_t id, client_id, not_after_s, replaces;
    bool active;
} hc_client_cert;

int hc_client_cert_of(hc_maker *m, X509 *cert, hc_client_cert *out) HC_MUST_CHECK;
int hc_client_cert_of_key(hc_maker *m, const uint8_t key_sha256[32],
                          hc_client_cert *out) HC_MUST_CHECK;
/* NULL in `out` where it is not kept. */
int hc_client_cert_load(hc_maker *m, int64_t id, X509 **out) HC_MUST_CHECK;

/* Its id; 0 where there is none and none is to be made. -HC_EDENIED where it is not active. */
int hc_client_record(hc_maker *m, const char *name, bool make, int64_t *id) HC_MUST_CHECK;
/* Of a plan that made the certificate: row, DER and audit. */
int hc_client_put_on_record(hc_maker *m, X509 *x, const hc_certificate_new *about) HC_MUST_CHECK;

typedef struct hc_renewal {
    int64_t replaces;  /* the certificate to renew */
    int64_t successor; /* that it has already; 0: none */
    hc_san *sans;      /* what it says, of kinds that the profile allows */
    size_t san_count;
} hc_renewal;
/* `certificate_id` 0: the client's newest, of which there must be one. `profile` becomes that of
 * the old certificate where the plan says so. */
int hc_renewal_find(hc_maker *m, const hc_client_plan *plan, int64_t client_id,
                    int64_t certificate_id, hc_profile *profile, hc_renewal *out) HC_MUST_CHECK;
void hc_renewal_done(hc_renewal *r);

#endif
