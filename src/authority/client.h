/* A client's first certificate, or another one: key, record, row and file, so that none of them is
 * without the other whatever kills the program.
 *
 * The key's file comes first, then record, row (with the certificate) and audit in one transaction,
 * then the certificate's file. Run again, it completes what was begun. Blocks on the disk, and for
 * the folder's lock. */
#ifndef HC_AUTHORITY_CLIENT_H
#define HC_AUTHORITY_CLIENT_H

#include "authority/state.h"
#include "x509/csr.h"

typedef struct hc_client_plan {
    const char *path; /* the state folder */
    hc_registry *registry;
    const hc_actor *actor;
    hc_slice ca_passphrase; /* of the CA's key; empty: none */
    const char *name;
    const hc_profile *profile; /* NULL: the built-in "client" */
    /* Of a renewal without `profile`: that of the old certificate is found among these. */
    const hc_profiles *profiles;
    const hc_san *sans;
    size_t san_count;
    bool another;       /* also where the client has a certificate here that is in force */
    int64_t lifetime_s; /* 0: the profile's */
    int64_t now_s;
    /* Within the transaction, once there is a record: what else it should say. NULL: nothing. */
    int (*record)(void *arg, int64_t client_id, hc_err *err);
    void *record_arg;
} hc_client_plan;

/* Files are clients/NAME.key and .pem, NAME-2 for a second one, and so on; reported in the order
 * made or found. -HC_EDENIED where the client's record is not active. */
int hc_client_issue(const hc_client_plan *plan, hc_state_report report, void *arg,
                    hc_err *err) HC_MUST_CHECK;

/* A new key and certificate in the place of one that stays good. `certificate_id` 0: the client's
 * only one; -HC_EINVAL where it has several. One that was renewed already, by a certificate that is
 * in force, is not renewed again: what that run did not finish is. `another`, `record` and, unless
 * there are some, `sans` of the plan are not looked at: the names are those of the old one, as far
 * as the profile allows them. -HC_ENOENT where its profile is not among `profiles`. */
int hc_client_renew(const hc_client_plan *plan, int64_t certificate_id, hc_state_report report,
                    void *arg, hc_err *err) HC_MUST_CHECK;

typedef struct hc_client_signed {
    X509 *cert;
    bool again; /* it was on record already */
} hc_client_signed;

/* A certificate for a request's key, on record when this returns 0. The same request gives the same
 * certificate, as long as that is in force. -HC_EDENIED for a key that another client has or had,
 * or that belongs to a certificate that was revoked; -HC_ENOENT where there is no record and
 * `create` is false. The caller frees the certificate. */
int hc_client_sign(const hc_client_plan *plan, const hc_csr *csr, bool create,
                   hc_client_signed *out, hc_err *err) HC_MUST_CHECK;

#endif
