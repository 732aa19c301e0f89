#include "tls/context.h"

#include <stdatomic.h>

#include <openssl/err.h>

#include "base/limits.h"
#include "base/mem.h"
#include "tls/credentials.h"
#include "tls/queue.h"
#include "tls/session_bytes.h"

/* Mozilla's server-side TLS guidelines, version 5.7, "intermediate". Its three DHE suites are left
 * out: every client of that table has ECDHE, and finite-field exchanges let a client make the
 * server compute for nearly nothing (CVE-2002-20001). */
#define INTERMEDIATE_CIPHERS                                                                       \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
/* AES-128 first, as in Mozilla's list: its handshakes hash with SHA-256, which processors have in
 * hardware. */
#define TLS13_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define MODERN_GROUPS "X25519:P-256:P-384"
/* Mozilla's three, and last P-521: in TLS 1.2 a client's ECDSA certificate is refused unless its
 * curve is among the groups. */
#define INTERMEDIATE_GROUPS MODERN_GROUPS ":P-521"

#define LIFETIME_MAX_S     ((int64_t)7 * 24 * 60 * 60) /* RFC 8446 section 4.6.1 */
#define CA_NAMES_BYTES_MAX 16384
#define SECURITY_LEVEL     2 /* SSL_CTX_set_security_level(3): 112 bits, no SHA-1 */

struct hc_tls_context {
    atomic_size_t references;
    SSL_CTX *ssl_ctx;
    hc_tls_hooks hooks;
    bool require;
};

static hc_tls_context *context_of(const SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static int verify(X509_STORE_CTX *store, void *arg)
{
    const hc_tls_context *c = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    if (ssl && c->hooks.verify && c->hooks.verify(ssl, store) == 1)
        return 1;
    if (X509_STORE_CTX_get_error(store) == X509_V_OK)
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static int session_new(SSL *ssl, SSL_SESSION *session)
{
    const hc_tls_context *c = context_of(ssl);
    if (hc_session_note_chain(ssl, session))
        (void)c->hooks.session_new(ssl, session);
    return 0; /* OpenSSL drops its reference: nobody here keeps the object itself */
}

static SSL_SESSION *session_get(SSL *ssl, const unsigned char *id, int id_size, int *copy)
{
    const hc_tls_context *c = context_of(ssl);
    *copy = 0; /* the reference goes to OpenSSL */
    if (id_size <= 0)
        return NULL;
    SSL_SESSION *session = c->hooks.session_get(ssl, hc_slice_of(id, (size_t)id_size));
    /* FAIL_IF_NO_PEER_CERT is not looked at again when a session resumes. */
    if (session && c->require && !SSL_SESSION_get0_peer(session)) {
        SSL_SESSION_free(session);
        return NULL;
    }
    return session;
}

static bool offers(const unsigned char *in, unsigned in_size, hc_slice protocol)
{
    for (unsigned at = 0; at < in_size && in[at] < in_size - at; at += 1u + in[at])
        if (hc_slice_equal(hc_slice_of(in + at + 1, in[at]), protocol))
            return true;
    return false;
}

/* RFC 7301 section 3.2: no protocol in common ends the handshake; no extension at all is HTTP/1.1.
 * A client that speaks nothing newer says "http/1.0" (curl --http1.0). */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *arg)
{
    static const char *const spoken[] = {"http/1.1", "http/1.0"};
    (void)ssl;
    (void)arg;
    for (size_t i = 0; i < HC_COUNT(spoken); i++) {
        hc_slice protocol = hc_slice_text(spoken[i]);
        if (offers(in, in_size, protocol)) {
            *out = protocol.at;
            *out_size = (unsigned char)protocol.size;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Any name will do, there being one policy; but only of an accepted one does OpenSSL still know in
 * a resumed TLS 1.2 session. RFC 6066 section 3 wants it acknowledged, too. */
static int accept_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static int set_protocols(SSL_CTX *ctx, const hc_tls_config *config, hc_err *err)
{
    bool modern = config->policy == HC_TLS_MODERN;
    int oldest = modern ? TLS1_3_VERSION : TLS1_2_VERSION;
    const char *groups = modern ? MODERN_GROUPS : INTERMEDIATE_GROUPS;
    const char *ciphers = config->ciphers ? config->ciphers : INTERMEDIATE_CIPHERS;
    if (SSL_CTX_set_min_proto_version(ctx, oldest) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(ctx, groups) != 1)
        return hc_tls_queue_error(err, "cannot set the TLS versions and groups");
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
        return hc_err_set(
            err, HC_EINVAL,
            "\"%s\" names no cipher (%s): give a list as \"openssl ciphers\" takes it", ciphers,
            hc_tls_queue_reason());
    if (SSL_CTX_set_ciphersuites(ctx, TLS13_CIPHERS) != 1)
        return hc_tls_queue_error(err, "cannot set the ciphers of TLS 1.3");
    /* After the list, which could carry a @SECLEVEL of its own. */
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* The client knows whether it has AES in hardware: one that offers ChaCha20 first gets it. */
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* An end without close_notify is an error of its own, since it may be a truncation (RFC 8446
     * section 6.1). */
    SSL_CTX_clear_options(ctx,
                          SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
    /* One system call a record instead of two; who reads asks SSL_has_pending before it waits. */
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, accept_name);
    return 0;
}

static int set_sessions(hc_tls_context *c, const hc_tls_config *config, hc_err *err)
{
    SSL_CTX *ctx = c->ssl_ctx;
    bool resume = c->hooks.session_new && c->hooks.session_get && config->session_lifetime_s > 0;
    int64_t lifetime_s = config->session_lifetime_s;
    if (lifetime_s > LIFETIME_MAX_S)
        lifetime_s = LIFETIME_MAX_S;
    if (SSL_CTX_set_session_id_context(ctx, config->session_context,
                                       sizeof(config->session_context)) != 1 ||
        SSL_CTX_set_max_early_data(ctx, 0) != 1 ||
        SSL_CTX_set_num_tickets(ctx, resume ? 1 : 0) != 1)
        return hc_tls_queue_error(err, "cannot set up TLS sessions");
    if (!resume) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        return 0;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
                                            SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_set_timeout(ctx, (long)lifetime_s);
    SSL_CTX_sess_set_new_cb(ctx, session_new);
    SSL_CTX_sess_set_get_cb(ctx, session_get);
    return 0;
}

static size_t encoded_bytes(const STACK_OF(X509_NAME) * names)
{
    size_t size = 0;
    for (int i = 0; i < sk_X509_NAME_num(names); i++) {
        int one = i2d_X509_NAME(sk_X509_NAME_value(names, i), NULL);
        size += 2 + (one > 0 ? (size_t)one : 0);
    }
    return size;
}

static int set_request(hc_tls_context *c, const hc_tls_config *config, hc_err *err)
{
    SSL_CTX *ctx = c->ssl_ctx;
    if (!config->ask) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    /* Without a hook nothing could be refused but everything. */
    if (!c->hooks.verify)
        return hc_err_set(err, HC_EINVAL,
                          "client certificates are asked for, but nothing verifies");
    SSL_CTX_set_verify(
        ctx, SSL_VERIFY_PEER | (config->require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify, c);
    SSL_CTX_set_max_cert_list(ctx, HC_LIMIT_CERT_CHAIN_BYTES);
    if (!config->ca_names || encoded_bytes(config->ca_names) > CA_NAMES_BYTES_MAX)
        return 0;
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(config->ca_names);
    if (!names)
        return hc_tls_queue_error(err, "cannot copy the names of the CAs");
    SSL_CTX_set_client_CA_list(ctx, names);
    return 0;
}

static int use_credentials(SSL_CTX *ctx, const hc_tls_config *config, hc_err *err)
{
    hc_tls_credentials own;
    int rc = hc_tls_credentials_load(config, &own, err);
    if (rc < 0)
        return rc;
    if (SSL_CTX_use_cert_and_key(ctx, own.leaf, own.key, own.chain, 1) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        hc_err reason;
        rc = hc_tls_queue_error(&reason, config->certificate_name);
        rc = hc_err_set(err, rc == -HC_ENOMEM ? HC_ENOMEM : HC_EDENIED,
                        "OpenSSL does not use the certificate in %s", reason.text);
    }
    hc_tls_credentials_done(&own);
    return rc;
}

int hc_tls_context_new(const hc_tls_config *config, hc_tls_context **out, hc_err *err)
{
    int rc;
    ERR_clear_error();
    hc_tls_context *c = hc_alloc_zero(1, sizeof(*c));
    if (!c)
        return hc_err_set(err, HC_ENOMEM, "no memory for a TLS context");
    atomic_init(&c->references, 1);
    c->hooks = config->hooks;
    c->require = config->ask && config->require;
    c->ssl_ctx = SSL_CTX_new(TLS_server_method());
    if (!c->ssl_ctx || SSL_CTX_set_app_data(c->ssl_ctx, c) != 1) {
        rc = hc_tls_queue_error(err, "cannot make a TLS context");
        goto out;
    }
    rc = set_protocols(c->ssl_ctx, config, err);
    if (rc == 0)
        rc = set_sessions(c, config, err);
    if (rc == 0)
        rc = set_request(c, config, err);
    if (rc == 0)
        rc = use_credentials(c->ssl_ctx, config, err);
    if (rc == 0)
        *out = c;
out:
    ERR_clear_error();
    if (rc < 0)
        hc_tls_context_unref(c);
    return rc;
}

hc_tls_context *hc_tls_context_ref(hc_tls_context *c)
{
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void hc_tls_context_unref(hc_tls_context *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(c->ssl_ctx);
    hc_free(c);
}

X509 *hc_tls_context_certificate(const hc_tls_context *c)
{
    return SSL_CTX_get0_certificate(c->ssl_ctx);
}

int hc_tls_accept(hc_tls_context *c, int fd, void *owner, SSL **out, hc_err *err)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(c->ssl_ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_set_app_data(ssl, owner) != 1) {
        SSL_free(ssl);
        return hc_tls_queue_error(err, "cannot make a TLS connection");
    }
    SSL_set_accept_state(ssl);
    (void)hc_tls_context_ref(c); /* the hooks are reached through it; hc_tls_free gives it back */
    *out = ssl;
    return 0;
}

void *hc_tls_owner(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

void hc_tls_free(SSL *ssl)
{
    if (!ssl)
        return;
    hc_tls_context *c = context_of(ssl);
    /* SSL_free marks the session of a connection that was not shut down as not resumable. */
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
    hc_tls_context_unref(c);
}
