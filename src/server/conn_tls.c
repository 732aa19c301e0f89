#include <openssl/err.h>

#include "base/clock.h"
#include "base/str.h"
#include "server/conn_impl.h"

/* ---- hooks, called by OpenSSL within the handshake ---- */

/* Decides about the certificate that came. Possession of its key is proven only later in the
 * handshake. */
static int on_verify(SSL *ssl, X509_STORE_CTX *store)
{
    hc_conn *c = hc_tls_owner(ssl);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    hc_err err = {0};
    X509_free(c->who.presented);
    c->who.presented = leaf && X509_up_ref(leaf) == 1 ? leaf : NULL;
    if (!c->who.presented || !c->live->trust)
        return 0;
    if (hc_trust_decide(c->live->trust, leaf, X509_STORE_CTX_get0_untrusted(store),
                        hc_clock_wall_s(), &c->who.chain, &err) != 0)
        hc_log_text(c->loop->shared->log, HC_LOG_ERROR, "no decision about a certificate: %s",
                    err.text);
    c->who.verdict = c->who.chain;
    hc_verdict_code code = c->who.chain.code;
    X509_STORE_CTX_set_error_depth(store, c->who.chain.depth);
    X509_STORE_CTX_set_error(store, code == HC_VERDICT_OK ? X509_V_OK
                                                          : hc_verdict_alert_error(&c->who.chain));
    /* What cannot be read is refused in every mode: there is nothing to hand on. */
    return code == HC_VERDICT_OK || (!c->live->handshake.enforce && code != HC_VERDICT_MALFORMED);
}

static hc_slice id_of(const SSL_SESSION *session)
{
    unsigned size = 0;
    const unsigned char *id = SSL_SESSION_get_id(session, &size);
    return hc_slice_of(id, size);
}

/* What the record makes of the chain's verdict; `cert` NULL: none came. */
static void look_up(hc_conn *c, const hc_live *live, const hc_cert *cert)
{
    hc_conn_identity *who = &c->who;
    hc_record_unref(who->record);
    who->record = NULL;
    who->certificate_id = 0;
    who->verdict = who->chain;
    if (cert)
        hc_verdict_with_record(&who->verdict, c->loop->shared->lookup, cert,
                               live->settings.admit_unknown, hc_clock_monotonic_ms(), &who->record,
                               &who->certificate_id);
}

/* Who this is, once possession of the key is proven: from the store where OpenSSL really resumed
 * the session it got, else from what the peer sent. A verdict that a session brought along must not
 * outlive that session's refusal. */
static int settle_identity(hc_conn *c, hc_err *err)
{
    hc_conn_identity *who = &c->who;
    if (who->principal)
        return 0;
    if (SSL_session_reused(c->ssl)) {
        if (!who->resumed)
            return hc_err_set(err, HC_ETLS, "a session was resumed that the store did not give");
        who->principal = who->resumed->principal ? hc_principal_ref(who->resumed->principal) : NULL;
        who->full_handshake_s = who->resumed->full_handshake_s;
        return 0;
    }
    X509 *leaf = SSL_get0_peer_certificate(c->ssl);
    who->full_handshake_s = hc_clock_wall_s();
    who->resumed_id_size = 0;
    if (!leaf) {
        who->chain = (hc_verdict){.code = HC_VERDICT_NO_CERTIFICATE};
        look_up(c, c->live, NULL);
        return 0;
    }
    int rc = hc_principal_new(leaf, SSL_get_peer_cert_chain(c->ssl), &who->principal, err);
    if (rc == 0)
        look_up(c, c->live, who->principal->cert);
    return rc;
}

/* The store stays where a reload says that none is wanted any more. */
static bool keeps_sessions(const hc_conn *c)
{
    return c->live->settings.session_cache && c->loop->shared->sessions;
}

/* None for a refused certificate; a resumed TLS 1.3 session replaces the one it came from. */
static int on_session_new(SSL *ssl, SSL_SESSION *session)
{
    hc_conn *c = hc_tls_owner(ssl);
    hc_err err = {0};
    const hc_verdict *v = &c->who.verdict;
    if (!keeps_sessions(c) || settle_identity(c, &err) != 0)
        return 0;
    bool anonymous =
        v->code == HC_VERDICT_NO_CERTIFICATE && !c->who.principal && !c->live->handshake.require;
    bool known = v->code == HC_VERDICT_OK && c->who.principal;
    if (!known && !anonymous)
        return 0;
    hc_ticket *t = hc_ticket_new(c->who.principal, &c->who.chain, c->who.full_handshake_s);
    if (!t)
        return 0;
    if (hc_session_store_put(c->loop->shared->sessions, session, t, &err) == 0 &&
        c->who.resumed_id_size)
        hc_session_store_remove(c->loop->shared->sessions,
                                hc_slice_of(c->who.resumed_id, c->who.resumed_id_size));
    hc_ticket_unref(t);
    return 0;
}

/* The verdict of the stored session, made anew where it does not hold any more, and the record as
 * it is now. */
static bool still_welcome(hc_conn *c, const hc_ticket *t, int64_t now)
{
    const hc_live *live = c->live;
    int64_t age = now - t->full_handshake_s;
    if (age < 0 || age > (int64_t)(live->settings.session_lifetime_ms / 1000))
        return false;
    c->who.chain = t->chain;
    look_up(c, live, NULL);
    if (!t->principal)
        return !live->handshake.require;
    if (!live->trust)
        return false;
    if (!hc_verdict_holds(&t->chain, hc_trust_generation(live->trust), 0, now) &&
        hc_principal_decide(t->principal, live->trust, now, &c->who.chain, NULL) != 0)
        return false;
    look_up(c, live, t->principal->cert);
    return c->who.verdict.code == HC_VERDICT_OK;
}

/* No session unless its verdict still stands: the handshake is then a full one, in TLS 1.2 and 1.3
 * alike. A HelloRetryRequest makes OpenSSL ask twice. */
static SSL_SESSION *on_session_get(SSL *ssl, hc_slice id)
{
    hc_conn *c = hc_tls_owner(ssl);
    void *attachment = NULL;
    int64_t now = hc_clock_wall_s();
    if (!keeps_sessions(c) || id.size > sizeof c->who.resumed_id)
        return NULL;
    SSL_SESSION *session = hc_session_store_get(c->loop->shared->sessions, id, now, &attachment);
    hc_ticket_unref(c->who.resumed);
    c->who.resumed = attachment;
    if (session && (!attachment || !still_welcome(c, attachment, now))) {
        SSL_SESSION_free(session);
        session = NULL;
    }
    if (!session) {
        hc_ticket_unref(c->who.resumed);
        c->who.resumed = NULL;
        c->who.chain = (hc_verdict){0};
        look_up(c, c->live, NULL);
        return NULL;
    }
    c->who.resumed_id_size = id.size;
    memcpy(c->who.resumed_id, id.at, id.size);
    return session;
}

hc_tls_hooks hc_conn_hooks(void)
{
    return (hc_tls_hooks){on_verify, on_session_new, on_session_get};
}

/* ---- the handshake ---- */

int conn_tls_begin(hc_conn *c, hc_err *err)
{
    return hc_tls_accept(c->live->tls, c->fd, c, &c->ssl, err);
}

static void describe_connection(hc_conn *c)
{
    int algorithm_bits = 0;
    c->peer.tls_protocol = SSL_get_version(c->ssl);
    c->peer.tls_cipher = SSL_get_cipher_name(c->ssl);
    c->peer.tls_cipher_bits = SSL_CIPHER_get_bits(SSL_get_current_cipher(c->ssl), &algorithm_bits);
    c->peer.tls_cipher_algorithm_bits = algorithm_bits;
    c->peer.tls_resumed = SSL_session_reused(c->ssl) == 1;
    const char *sni = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
    if (sni && (size_t)snprintf(c->sni, sizeof c->sni, "%s", sni) < sizeof c->sni)
        c->peer.tls_sni = c->sni;
    const SSL_SESSION *session = SSL_get_session(c->ssl);
    hc_slice id = session ? id_of(session) : HC_SLICE_NONE;
    for (size_t i = 0; i < id.size && i < SSL_MAX_SSL_SESSION_ID_LENGTH; i++)
        (void)snprintf(c->session_id + 2 * i, 3, "%02x", id.at[i]);
    c->peer.tls_session_id = hc_slice_text(c->session_id);
}

static void established(hc_conn *c)
{
    hc_err err = {0};
    if (settle_identity(c, &err) != 0) {
        hc_log_text(c->loop->shared->log, HC_LOG_ERROR, "a connection was dropped: %s", err.text);
        conn_enter(c, CONN_CLOSED);
        return;
    }
    hc_ticket_unref(c->who.resumed);
    c->who.resumed = NULL;
    X509_free(c->who.presented);
    c->who.presented = NULL;
    describe_connection(c);
    hc_metrics_handshake(&c->loop->metrics, c->peer.tls_resumed);
    conn_enter(c, CONN_HEAD);
    conn_deadline(c, conn_settings(c)->header_timeout_ms);
}

static hc_verdict verdict_of(const hc_conn *c, hc_tls_failure failure)
{
    hc_verdict v = c->who.verdict;
    if (failure == HC_TLS_FAILURE_REFUSED && v.code != HC_VERDICT_OK)
        return v;
    v = (hc_verdict){.code = HC_VERDICT_MALFORMED};
    if (failure == HC_TLS_FAILURE_NO_CERTIFICATE)
        v.code = HC_VERDICT_NO_CERTIFICATE;
    else if (failure == HC_TLS_FAILURE_KEY_NOT_PROVEN)
        v.code = HC_VERDICT_KEY_NOT_PROVEN;
    return v;
}

static void log_failed_handshake(hc_conn *c, hc_tls_failure failure, const hc_err *err)
{
    if (failure == HC_TLS_FAILURE_NO_CERTIFICATE || failure == HC_TLS_FAILURE_REFUSED ||
        failure == HC_TLS_FAILURE_KEY_NOT_PROVEN || failure == HC_TLS_FAILURE_MALFORMED) {
        hc_verdict v = verdict_of(c, failure);
        conn_log_refusal(c, &v, c->who.presented,
                         v.code == HC_VERDICT_MALFORMED && !c->who.presented
                             ? hc_slice_text(err->text)
                             : HC_SLICE_NONE);
        return;
    }
    static const char *const events[] = {
        [HC_TLS_FAILURE_OTHER] = "handshake failed",
        [HC_TLS_FAILURE_PEER_ALERT] = "client ended the handshake",
        [HC_TLS_FAILURE_NOT_TLS] = "client does not speak TLS",
        [HC_TLS_FAILURE_VERSION] = "no TLS version or cipher in common",
    };
    hc_log_event(c->loop->shared->log, HC_LOG_INFO, events[failure],
                 (hc_log_field[]){{"address", hc_slice_text(c->address)},
                                  {"reason", hc_slice_text(err->text)},
                                  {NULL, HC_SLICE_NONE}});
}

void conn_handshake(hc_conn *c)
{
    hc_err err = {0};
    hc_tls_failure failure = HC_TLS_FAILURE_OTHER;
    c->want_write = false;
    switch (hc_tls_handshake(c->ssl, &failure, &err)) {
    case HC_TLS_DONE:
        established(c);
        break;
    case HC_TLS_WANT_WRITE:
        c->want_write = true;
        break;
    case HC_TLS_WANT_READ:
        break;
    case HC_TLS_CLOSED:
        if (failure == HC_TLS_FAILURE_PEER_ALERT)
            log_failed_handshake(c, failure, &err);
        conn_enter(c, CONN_CLOSED);
        break;
    case HC_TLS_FAILED:
        log_failed_handshake(c, failure, &err);
        conn_shut(c); /* the alert is on its way: give the client the time to read it */
        break;
    }
}

/* ---- later ---- */

/* The chain's verdict stands or falls by its own; true where it was made anew. */
static bool check_chain(hc_conn *c, const hc_live *live)
{
    hc_err err = {0};
    int64_t now = hc_clock_wall_s();
    if (!live->trust) {
        /* Nobody asks for certificates any more: this one proves nothing. */
        c->who.chain = (hc_verdict){.code = HC_VERDICT_STATUS_UNKNOWN};
        return true;
    }
    if (hc_verdict_holds(&c->who.chain, hc_trust_generation(live->trust), 0, now))
        return false;
    if (hc_principal_decide(c->who.principal, live->trust, now, &c->who.chain, &err) != 0)
        hc_log_text(c->loop->shared->log, HC_LOG_ERROR, "no decision about a certificate: %s",
                    err.text);
    return true;
}

/* Something in the registry has changed since the verdict, or it cannot be trusted any more. */
static bool record_may_differ(const hc_conn *c)
{
    hc_lookup *l = c->loop->shared->lookup;
    return l && c->who.chain.code == HC_VERDICT_OK &&
           l->generation(l, hc_clock_monotonic_ms()) != c->who.verdict.record_generation;
}

void conn_check_verdict(hc_conn *c)
{
    if (!c->who.principal)
        return;
    if (check_chain(c, c->loop->live) || record_may_differ(c))
        look_up(c, c->loop->live, c->who.principal->cert);
}

void conn_note_seen(hc_conn *c)
{
    hc_conn_identity *who = &c->who;
    if (who->verdict.code != HC_VERDICT_OK || !who->certificate_id)
        return;
    uint64_t now_ms = hc_clock_monotonic_ms();
    if (who->seen_ms && now_ms - who->seen_ms < HC_REGISTRY_SEEN_MS)
        return;
    who->seen_ms = now_ms;
    hc_seen_note(c->loop->shared->seen, who->certificate_id, hc_clock_wall_s());
}

void conn_identity_done(hc_conn *c)
{
    hc_principal_unref(c->who.principal);
    hc_record_unref(c->who.record);
    hc_ticket_unref(c->who.resumed);
    X509_free(c->who.presented);
    c->who = (hc_conn_identity){0};
}
