/* What a session weighs: private to tls/.
 *
 * A session keeps the chain that its client sent, and libssl shows that to no one who has the
 * session alone. So the chain's size is noted where the connection is at hand: as the session's
 * "ticket application data", which nothing else uses here. Not as its ex_data, since with that and
 * no registered index SSL_SESSION_dup of OpenSSL 3.0 fails. */
#ifndef HC_TLS_SESSION_BYTES_H
#define HC_TLS_SESSION_BYTES_H

#include <openssl/ssl.h>

#include <stdbool.h>
#include <stdint.h>

/* False without memory: then the session must not be kept, or a client's 100 KB would go uncounted.
 */
bool hc_session_note_chain(SSL *ssl, SSL_SESSION *session);
uint64_t hc_session_bytes(SSL_SESSION *session);

#endif
