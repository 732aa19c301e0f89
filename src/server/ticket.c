#include "server/ticket.h"

#include "base/mem.h"

hc_ticket *hc_ticket_new(hc_principal *principal, const hc_verdict *chain, int64_t full_handshake_s)
{
    hc_ticket *t = hc_alloc_zero(1, sizeof *t);
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    t->principal = principal ? hc_principal_ref(principal) : NULL;
    t->chain = *chain;
    t->full_handshake_s = full_handshake_s;
    return t;
}

void *hc_ticket_ref(void *ticket)
{
    hc_ticket *t = ticket;
    if (t)
        atomic_fetch_add(&t->refs, 1);
    return t;
}

void hc_ticket_unref(void *ticket)
{
    hc_ticket *t = ticket;
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    hc_principal_unref(t->principal);
    hc_free(t);
}

size_t hc_ticket_bytes(const void *ticket)
{
    const hc_ticket *t = ticket;
    size_t bytes = sizeof *t;
    if (!t->principal)
        return bytes;
    bytes += sizeof *t->principal + 4 * hc_cert_der(t->principal->cert).size;
    for (size_t i = 0; i < t->principal->chain_count; i++)
        bytes += 4 * hc_cert_der(t->principal->chain[i]).size;
    return bytes;
}
