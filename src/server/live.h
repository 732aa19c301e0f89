/* What is in force: everything of one configuration that a connection needs, as one immutable
 * value.
 *
 * Counted by reference; a reload makes a new one and the old goes with its last connection. Made on
 * the front's main thread, read by all. */
#ifndef HC_SERVER_LIVE_H
#define HC_SERVER_LIVE_H

#include <stdatomic.h>

#include "identity/trust.h"
#include "server/metrics.h"
#include "server/settings.h"
#include "tls/context.h"
#include "x509/cert.h"

typedef struct hc_live {
    atomic_uint refs;
    hc_settings settings; /* its own copy */
    hc_handshake_policy handshake;
    hc_tls_context *tls;
    hc_trust *trust; /* NULL where no mode asks for a certificate */
    uint64_t generation;
    hc_cert_ends ends;
    hc_buf server_frame; /* an encoded SERVER frame for lanes */
} hc_live;

int hc_live_new(const hc_settings *settings, const hc_files *files, uint64_t generation,
                const hc_tls_hooks *hooks, hc_live **out, hc_err *err) HC_MUST_CHECK;
hc_live *hc_live_ref(hc_live *live);
void hc_live_unref(hc_live *live);

#endif
