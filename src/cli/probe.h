/* What a TLS server says about itself in one handshake. Verifies nothing: whoever answers is looked
 * at, not trusted, and nothing is sent to it but the handshake. */
#ifndef HC_CLI_PROBE_H
#define HC_CLI_PROBE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct hc_probe {
    char protocol[16], cipher[64];
    STACK_OF(X509) * chain;    /* as the server sent it, its own certificate first */
    bool asks_for_certificate; /* of the client */
    STACK_OF(X509_NAME) * cas; /* that it names in doing so; NULL or empty: any */
    bool completed; /* the handshake; servers that insist on a certificate may end it before */
} hc_probe;

/* Blocks at most about `timeout_ms`. `server_name` goes into the SNI extension where it is a name.
 */
int hc_probe_server(const char *host, const char *port, const char *server_name,
                    uint64_t timeout_ms, hc_probe *out, hc_err *err) HC_MUST_CHECK;
void hc_probe_done(hc_probe *p);

#endif
