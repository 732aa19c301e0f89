/* Non-blocking TLS input and output, with one contract: octets done, or what to wait for, or why it
 * is over.
 *
 * OpenSSL reads ahead: octets may wait inside the SSL while the descriptor is not readable. So ask
 * SSL_has_pending before waiting for the descriptor, also right after the handshake and when
 * reading is taken up again after a pause. The process must ignore SIGPIPE. One thread at a time
 * for each SSL. */
#ifndef HC_TLS_IO_H
#define HC_TLS_IO_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/slice.h"

typedef enum hc_tls_result {
    HC_TLS_DONE, /* the handshake is complete, or `*done` octets were moved */
    HC_TLS_WANT_READ,
    HC_TLS_WANT_WRITE,
    HC_TLS_CLOSED, /* close_notify (err: HC_OK), or the socket ended without one (err: HC_ECLOSED)
                    */
    HC_TLS_FAILED, /* fatal: the alert, where there is one to send, was handed to the socket */
} hc_tls_result;

/* What made a handshake fail, told from OpenSSL's error queue (which is emptied). */
typedef enum hc_tls_failure {
    HC_TLS_FAILURE_OTHER,          /* protocol error, peer gone … */
    HC_TLS_FAILURE_PEER_ALERT,     /* the client ended it: it does not trust us, perhaps */
    HC_TLS_FAILURE_NO_CERTIFICATE, /* required and none came */
    HC_TLS_FAILURE_REFUSED,        /* our verify hook said no */
    HC_TLS_FAILURE_KEY_NOT_PROVEN, /* CertificateVerify did not verify */
    HC_TLS_FAILURE_MALFORMED, /* the client's certificate could not be decoded, or was too long */
    HC_TLS_FAILURE_NOT_TLS,   /* "GET / HTTP/1.1" in clear, for instance */
    HC_TLS_FAILURE_VERSION,   /* no protocol version or cipher in common */
} hc_tls_failure;

/* `failure` is set where the result is HC_TLS_FAILED or HC_TLS_CLOSED. */
hc_tls_result hc_tls_handshake(SSL *ssl, hc_tls_failure *failure, hc_err *err);
hc_tls_result hc_tls_read(SSL *ssl, uint8_t *into, size_t room, size_t *done, hc_err *err);
/* May take a part of `octets`. After HC_TLS_WANT_… call again with the same octets, at the same or
 * another address, and as many or more of them. */
hc_tls_result hc_tls_write(SSL *ssl, hc_slice octets, size_t *done, hc_err *err);
/* Sends close_notify; does not wait for the peer's. HC_TLS_WANT_WRITE: the socket is full, call
 * again; else HC_TLS_DONE, also where there is nobody left to tell. */
hc_tls_result hc_tls_close_notify(SSL *ssl);

#endif
