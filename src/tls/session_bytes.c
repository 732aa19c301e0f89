#include "tls/session_bytes.h"

#include <string.h>

#include <openssl/x509.h>

/* From counting what a stored session holds with OpenSSL 3.0 (tests/unit/tls/test_memory.c does it
 * again): the structure with its strings, and for each certificate the decoded form with its key,
 * which grows with the DER. Up to a half is added for what verification leaves in a certificate. */
#define SESSION_BYTES          2048
#define CERTIFICATE_BYTES      4096
#define CERTIFICATE_DER_FACTOR 4

static uint64_t certificate_bytes(X509 *x)
{
    int der = x ? i2d_X509(x, NULL) : 0;
    return x ? CERTIFICATE_BYTES + CERTIFICATE_DER_FACTOR * (uint64_t)(der > 0 ? der : 0) : 0;
}

bool hc_session_note_chain(SSL *ssl, SSL_SESSION *session)
{
    uint64_t bytes = 0;
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl); /* on a server without the leaf */
    for (int i = 0; i < sk_X509_num(chain); i++)
        bytes += certificate_bytes(sk_X509_value(chain, i));
    return SSL_SESSION_set1_ticket_appdata(session, &bytes, sizeof(bytes)) == 1;
}

uint64_t hc_session_bytes(SSL_SESSION *session)
{
    uint64_t chain = 0;
    void *noted = NULL;
    size_t size = 0;
    if (SSL_SESSION_get0_ticket_appdata(session, &noted, &size) == 1 && size == sizeof(chain))
        memcpy(&chain, noted, size);
    return SESSION_BYTES + certificate_bytes(SSL_SESSION_get0_peer(session)) + chain;
}
