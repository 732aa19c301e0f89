/* One TLS context (SSL_CTX) a listener and configuration: keys, protocol policy, callbacks. It
 * makes no accept/deny decision: verification and sessions are the caller's, through hc_tls_hooks.
 *
 * No tickets, no internal cache, no renegotiation, no compression, no post-handshake
 * authentication; TLS 1.2 and 1.3 (RFC 8446, RFC 5246). Reference-counted; shared by threads. */
#ifndef HC_TLS_CONTEXT_H
#define HC_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/slice.h"

typedef enum hc_tls_policy { HC_TLS_INTERMEDIATE, HC_TLS_MODERN } hc_tls_policy;

typedef struct hc_tls_hooks {
    /* Instead of OpenSSL's own verification: 1 goes on, 0 ends the handshake with the alert for the
     * error that was set by X509_STORE_CTX_set_error. Called only where a certificate came. */
    int (*verify)(SSL *ssl, X509_STORE_CTX *store);
    /* Sessions, as SSL_CTX_sess_set_…_cb; both NULL: nothing resumes. `get` returns an object that
     * only this handshake uses (a duplicate), or NULL for a full handshake. It is called twice
     * where a HelloRetryRequest is sent, and what it returns may still not be used: only
     * SSL_session_reused, after the handshake, says whether it was. `new` is called once a full
     * handshake, and once more for each resumed one in TLS 1.3, always after the client's Finished
     * has verified. */
    int (*session_new)(SSL *ssl,
                       SSL_SESSION *session); /* must not keep `session` itself; returns 0 */
    SSL_SESSION *(*session_get)(SSL *ssl, hc_slice id);
} hc_tls_hooks;

typedef struct hc_tls_config {
    hc_tls_policy policy;
    const char *certificate_name; /* for errors */
    hc_slice certificate_pem;     /* leaf first, then its chain */
    const char *key_name;
    hc_slice key_pem;
    hc_slice passphrase; /* empty where the key is not encrypted */
    bool ask;            /* send a CertificateRequest */
    bool require;        /* alert where no certificate comes */
    /* For the request; copied. A list over 16 KB is not sent (Schannel and Java refuse such a
     * message): the client then chooses its certificate without it, RFC 8446 section 4.2.4. */
    const STACK_OF(X509_NAME) * ca_names;
    uint8_t session_context[32]; /* what sessions are keyed to: listener, policy */
    int64_t session_lifetime_s;  /* 0: nothing resumes; at most 7 days, RFC 8446 section 4.6.1 */
    const char *ciphers;         /* TLS 1.2 list in OpenSSL's syntax; NULL: the policy's */
    hc_tls_hooks hooks;
} hc_tls_config;

typedef struct hc_tls_context hc_tls_context;

/* Refuses: key and certificate that do not match, an encrypted key without its passphrase (nothing
 * ever asks on a terminal), a key weaker than policy (RSA < 2048, curve < 256), `ask` without a
 * verify hook. That a certificate has expired is not refused: the caller warns. */
int hc_tls_context_new(const hc_tls_config *config, hc_tls_context **out,
                       hc_err *err) HC_MUST_CHECK;
hc_tls_context *hc_tls_context_ref(hc_tls_context *c);
void hc_tls_context_unref(hc_tls_context *c);
/* The server's own certificate. Borrowed. */
X509 *hc_tls_context_certificate(const hc_tls_context *c);

/* A server connection over `fd` (not taken). `owner` comes back from hc_tls_owner in hooks. */
int hc_tls_accept(hc_tls_context *c, int fd, void *owner, SSL **out, hc_err *err) HC_MUST_CHECK;
void *hc_tls_owner(const SSL *ssl);
/* Ends it so that one aborted connection does not cost the session for all: SSL_set_shutdown, then
 * SSL_free. */
void hc_tls_free(SSL *ssl);

#endif
