/* The state folder that `handclasp init` makes: a CA, the server's certificate, the registry,
 * clients with their certificates.
 *
 * What exists is never changed; what is missing is made. A key is written before its certificate,
 * so a process that is killed leaves a key alone at worst, and the next call makes the certificate
 * for it. A certificate that does not match its key is an error. Concurrent calls wait for each
 * other. */
#ifndef HC_AUTHORITY_STATE_H
#define HC_AUTHORITY_STATE_H

#include "authority/keystore.h"
#include "authority/profile.h"
#include "registry/change.h"

typedef struct hc_state_plan {
    const char *path;
    const char *const *hosts; /* of the server's certificate; none: localhost. "localhost" means
                                 127.0.0.1 and ::1 too */
    size_t host_count;
    const char *const *clients;
    size_t client_count;
    const char *registry;   /* a URL, relative to the folder; NULL: none. A new handclasp.yaml says
                               this; in an old one it was read by the caller */
    const hc_actor *actor;  /* for the audit; with a registry */
    hc_slice ca_passphrase; /* of the CA's key, a new one's too; empty: none */
    int64_t now_s;
} hc_state_plan;

typedef enum hc_state_event {
    HC_STATE_MADE,
    HC_STATE_FOUND,        /* was there and stays as it is */
    HC_STATE_KEY_AWAY,     /* a client's certificate without its key: the client has it, it is to be
                              hoped */
    HC_STATE_OTHER_ISSUER, /* found, and not signed by this CA */
    HC_STATE_EXPIRED,      /* found, and of no use any more */
    HC_STATE_LACKS_HOST,   /* found, and does not name `host` */
    HC_STATE_NOT_ON_RECORD, /* found, and the registry does not know it */
} hc_state_event;

#define HC_STATE_CONFIG   "handclasp.yaml"
#define HC_STATE_REGISTRY "sqlite:registry.db"

/* `file` is relative to the folder; `host` is NULL but for HC_STATE_LACKS_HOST. */
typedef void (*hc_state_report)(void *arg, hc_state_event event, const char *file,
                                const char *host);

/* Reports each file, in the order made. On failure what was made before stays, and a next call goes
 * on from there. */
int hc_state_init(const hc_state_plan *plan, hc_state_report report, void *arg,
                  hc_err *err) HC_MUST_CHECK;

#endif
