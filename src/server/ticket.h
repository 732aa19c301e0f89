/* What a stored TLS session carries besides its secrets: who the client was found to be, and when.
 * Immutable, counted by reference. (Not a ticket of RFC 5077: those are off.) */
#ifndef HC_SERVER_TICKET_H
#define HC_SERVER_TICKET_H

#include <stdatomic.h>

#include "identity/principal.h"

typedef struct hc_ticket {
    atomic_uint refs;
    hc_principal *principal;  /* NULL: no certificate came */
    hc_verdict chain;         /* without the record, which is looked up at each resumption */
    int64_t full_handshake_s; /* resuming does not renew this */
} hc_ticket;

hc_ticket *hc_ticket_new(hc_principal *principal, const hc_verdict *chain,
                         int64_t full_handshake_s);
/* As the session store wants them. */
void *hc_ticket_ref(void *ticket);
void hc_ticket_unref(void *ticket);
/* What it holds in memory, about: decoded certificates weigh a few times their DER. */
size_t hc_ticket_bytes(const void *ticket);

#endif
