/* What may happen to records, each with its audit row: once for all engines.
 *
 * Every function is to be called within a write transaction (hc_registry_begin … commit), so that
 * several changes can be one; nothing is on disk, and nobody is let in or kept out, before the
 * commit. A change that changes nothing writes no audit row and returns 0. What was
 * and what is now stands in the audit as JSON objects: {"status":"suspended","reason":"lost"}. */
#ifndef HC_REGISTRY_CHANGE_H
#define HC_REGISTRY_CHANGE_H

#include <openssl/x509.h>

#include "registry/registry.h"
#include "x509/cert.h"

typedef struct hc_actor {
    hc_slice who; /* "uid 0 (root)", "client alice", "server": for the audit */
    int64_t now_ms;
} hc_actor;

/* Names: as hc_client_name_check. Roles: 1 to HC_LIMIT_ROLE octets out of A-Z a-z 0-9 . _ : @ / +
 * -, at most HC_LIMIT_ROLES. Attributes: a JSON object of at most HC_LIMIT_CLIENT_ATTRIBUTES
 * octets. */
int hc_client_name_check(hc_slice name, hc_err *err) HC_MUST_CHECK;
/* Well-formed, sorted, each once; `out` (HC_LIMIT_CLIENT_ROLES octets of room) gets them with one
 * space between two. */
int hc_roles_normalize(const hc_slice *roles, size_t count, hc_buf *out, hc_err *err) HC_MUST_CHECK;
int hc_attributes_check(hc_slice json, hc_err *err) HC_MUST_CHECK;

int hc_registry_begin(hc_registry *r, bool write, hc_err *err) HC_MUST_CHECK;
int hc_registry_commit(hc_registry *r, hc_err *err) HC_MUST_CHECK;
void hc_registry_rollback(hc_registry *r);

/* -HC_EEXIST where the name is taken. */
int hc_change_add_client(hc_registry *r, const hc_actor *a, hc_slice name, hc_slice roles,
                         hc_slice attributes, int64_t *id, hc_err *err) HC_MUST_CHECK;
/* Suspends, resumes (ACTIVE) or revokes; a revoked one cannot be suspended (-HC_EINVAL). Revoking
 * revokes every active certificate of it too, with `reason_code`; these stay revoked when the
 * record is made active again. `reason`: a person's words. */
int hc_change_client_status(hc_registry *r, const hc_actor *a, int64_t client_id,
                            hc_client_status status, hc_slice reason, int reason_code,
                            hc_err *err) HC_MUST_CHECK;
int hc_change_client_roles(hc_registry *r, const hc_actor *a, int64_t client_id, hc_slice roles,
                           hc_err *err) HC_MUST_CHECK;
int hc_change_client_attributes(hc_registry *r, const hc_actor *a, int64_t client_id,
                                hc_slice attributes, hc_err *err) HC_MUST_CHECK;
/* -HC_EDENIED where it has a revoked certificate that may not have ended: nobody would know any
 * more that it is revoked. */
int hc_change_remove_client(hc_registry *r, const hc_actor *a, int64_t client_id,
                            hc_err *err) HC_MUST_CHECK;

/* A certificate for a client. -HC_EEXIST where it is on record already (with this client: 0, and
 * its id); a row that came as its serial alone becomes this certificate where it is this client's.
 * `keep_der`: for certificates that we issued. */
typedef struct hc_certificate_new {
    int64_t client_id;
    const hc_cert *cert;
    hc_certificate_origin origin;
    hc_slice approved_by;
    int64_t replaces;
    bool keep_der;
} hc_certificate_new;
int hc_change_add_certificate(hc_registry *r, const hc_actor *a, const hc_certificate_new *c,
                              int64_t *id, hc_err *err) HC_MUST_CHECK;
/* Issuer and serial alone; pinned later to the first certificate seen. */
int hc_change_add_serial(hc_registry *r, const hc_actor *a, int64_t client_id,
                         const uint8_t issuer_sha256[32], hc_slice issuer, hc_slice issuer_key_id,
                         const hc_serial *serial, int64_t *id, hc_err *err) HC_MUST_CHECK;
/* A certificate was seen for a row that came as a serial alone. -HC_EEXIST where another one was
 * first. */
int hc_change_pin_certificate(hc_registry *r, const hc_actor *a, int64_t certificate_id,
                              const hc_cert *cert, hc_err *err) HC_MUST_CHECK;
int hc_change_revoke_certificate(hc_registry *r, const hc_actor *a, int64_t certificate_id,
                                 int reason_code, hc_err *err) HC_MUST_CHECK;

#endif
