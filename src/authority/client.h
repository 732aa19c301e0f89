/* A client's first certificate, or another one: key, record, row and file, so that none of them is
 * without the other whatever kills the program.
 *
 * The key's file comes first, then record, row (with the certificate) and audit in one transaction,
 * then the certificate's file. Run again, it completes what was begun. Blocks on the disk, and for
 * the folder's lock. */
#ifndef HC_AUTHORITY_CLIENT_H
#define HC_AUTHORITY_CLIENT_H

#include "authority/state.h"

typedef struct hc_client_plan {
    const char *path; /* the state folder */
    hc_registry *registry;
    const hc_actor *actor;
    const char *name;
    bool another;       /* also where the client has a certificate here that is in force */
    int64_t lifetime_s; /* 0: as usual */
    int64_t now_s;
    /* Within the transaction, once there is a record: what else it should say. NULL: nothing. */
    int (*record)(void *arg, int64_t client_id, hc_err *err);
    void *record_arg;
} hc_client_plan;

/* Files are clients/NAME.key and .pem, NAME-2 for a second one, and so on; reported in the order
 * made or found. -HC_EDENIED where the client's record is not active. */
int hc_client_issue(const hc_client_plan *plan, hc_state_report report, void *arg,
                    hc_err *err) HC_MUST_CHECK;

#endif
