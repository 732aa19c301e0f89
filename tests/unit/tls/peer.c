#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/buf.h"
#include "unit.h"

void peer_pki_init(peer_pki *pki)
{
    pki->ca = pki_identity_new("test CA", "EC:P-256", NULL);
    pki->server = pki_identity_new("localhost", "EC:P-256", &pki->ca);
    pki->client = pki_identity_new("alice", "EC:P-256", &pki->ca);
    pki->server_pem = pki_certificate_pem(pki->server.certificate);
    pki->key_pem = pki_key_pem(pki->server.key, NULL);
}

void peer_pki_done(peer_pki *pki)
{
    pki_identity_done(&pki->ca);
    pki_identity_done(&pki->server);
    pki_identity_done(&pki->client);
    free(pki->server_pem);
    free(pki->key_pem);
}

static int on_verify(SSL *ssl, X509_STORE_CTX *store)
{
    peer_server *s = hc_tls_owner(ssl);
    s->verify_calls++;
    if (s->verify_error)
        X509_STORE_CTX_set_error(store, s->verify_error);
    return s->verify_answer;
}

static int on_session_new(SSL *ssl, SSL_SESSION *session)
{
    peer_server *s = hc_tls_owner(ssl);
    unsigned size;
    const unsigned char *id = SSL_SESSION_get_id(session, &size);
    s->new_calls++;
    memcpy(s->last_id, id, size);
    s->last_id_size = size;
    if (s->store)
        s->kept_calls += hc_session_store_put(s->store, session, NULL, NULL) == 0;
    return 0;
}

static SSL_SESSION *on_session_get(SSL *ssl, hc_slice id)
{
    peer_server *s = hc_tls_owner(ssl);
    void *attachment;
    s->get_calls++;
    if (s->get_limit && s->get_calls > s->get_limit)
        return NULL;
    SSL_SESSION *found = s->store ? hc_session_store_get(s->store, id, 0, &attachment) : NULL;
    s->found_calls += found != NULL;
    return found;
}

hc_tls_config peer_config(const peer_pki *pki)
{
    return (hc_tls_config){
        .certificate_name = "server.pem",
        .certificate_pem = hc_slice_text(pki->server_pem),
        .key_name = "server.key",
        .key_pem = hc_slice_text(pki->key_pem),
        .ask = true,
        .require = true,
        .session_context = {1},
        .session_lifetime_s = 3600,
        .hooks = {on_verify, on_session_new, on_session_get},
    };
}

void peer_server_init(peer_server *s, const hc_tls_config *config)
{
    const hc_session_config sessions = {.entries = 100, .bytes = 10u << 20};
    hc_err err = {0};
    *s = (peer_server){.verify_answer = 1};
    if (hc_tls_context_new(config, &s->context, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(hc_session_store_new(&sessions, &s->store, NULL), 0);
}

void peer_server_done(peer_server *s)
{
    hc_tls_context_unref(s->context);
    hc_session_store_free(s->store);
}

SSL_CTX *peer_client(const pki_identity *id, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    if (id) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, id->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, id->key), 1);
    }
    return ctx;
}

void peer_open(peer_pair *p, peer_server *server, SSL_CTX *client)
{
    int left[2], right[2];
    *p = (peer_pair){.result = HC_TLS_WANT_READ, .pending = hc_buf_init(1u << 20)};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, left), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, right), 0);
    p->server_fd = left[0];
    p->relay[0] = left[1];
    p->relay[1] = right[1];
    p->client_fd = right[0];
    assert_int_equal(hc_tls_accept(server->context, p->server_fd, server, &p->server, &p->err), 0);
    p->client = SSL_new(client);
    assert_non_null(p->client);
    assert_int_equal(SSL_set_fd(p->client, p->client_fd), 1);
    SSL_set_connect_state(p->client);
}

static bool move(int from, int to)
{
    uint8_t octets[65536];
    ssize_t size = read(from, octets, sizeof(octets));
    if (size <= 0)
        return false;
    assert_int_equal(write(to, octets, (size_t)size), size);
    return true;
}

/* Record by record, where there is a filter. */
static bool move_records(peer_pair *p)
{
    uint8_t octets[65536];
    ssize_t size = read(p->relay[1], octets, sizeof(octets));
    if (size <= 0)
        return false;
    assert_int_equal(hc_buf_add(&p->pending, hc_slice_of(octets, (size_t)size)), 0);
    while (p->pending.size >= 5) {
        size_t whole = 5 + ((size_t)p->pending.at[3] << 8 | p->pending.at[4]);
        if (p->pending.size < whole)
            break;
        memcpy(octets, p->pending.at, whole);
        hc_buf_consume(&p->pending, whole);
        size_t left = p->filter(octets, whole, p->filter_arg);
        assert_int_equal(write(p->relay[0], octets, left), left);
    }
    return true;
}

static bool relay_once(peer_pair *p)
{
    bool up = p->filter ? move_records(p) : move(p->relay[1], p->relay[0]);
    bool down = move(p->relay[0], p->relay[1]);
    return up || down;
}

void peer_relay(peer_pair *p)
{
    while (relay_once(p))
        continue;
}

static bool step_client(peer_pair *p)
{
    if (p->client_done)
        return false;
    ERR_clear_error();
    int rc = SSL_do_handshake(p->client);
    if (rc == 1) {
        p->client_done = 1;
        return true;
    }
    int why = SSL_get_error(p->client, rc);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return false;
    p->client_done = -1;
    p->client_reason = ERR_GET_REASON(ERR_peek_last_error());
    ERR_clear_error();
    return true;
}

static bool step_server(peer_pair *p)
{
    if (p->result != HC_TLS_WANT_READ && p->result != HC_TLS_WANT_WRITE)
        return false;
    if (p->around_server)
        p->around_server(true);
    p->result = hc_tls_handshake(p->server, &p->failure, &p->err);
    if (p->around_server)
        p->around_server(false);
    return p->result != HC_TLS_WANT_READ && p->result != HC_TLS_WANT_WRITE;
}

/* What comes behind the handshake in TLS 1.3: tickets, and the alert that refuses the client. */
static void read_after(peer_pair *p)
{
    char octet;
    if (p->client_done != 1)
        return;
    ERR_clear_error();
    int rc = SSL_read(p->client, &octet, 1);
    assert_true(rc <= 0);
    if (SSL_get_error(p->client, rc) == SSL_ERROR_SSL) {
        p->client_done = -1;
        p->client_reason = ERR_GET_REASON(ERR_peek_last_error());
    }
    ERR_clear_error();
}

void peer_handshake(peer_pair *p)
{
    for (bool moving = true; moving;) {
        moving = step_client(p);
        moving = relay_once(p) || moving;
        moving = step_server(p) || moving;
        moving = relay_once(p) || moving;
    }
    read_after(p);
}

void peer_close(peer_pair *p)
{
    hc_tls_free(p->server);
    SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->client);
    (void)close(p->server_fd);
    (void)close(p->client_fd);
    (void)close(p->relay[0]);
    (void)close(p->relay[1]);
    hc_buf_done(&p->pending);
}

void peer_assert_talks(peer_pair *p)
{
    uint8_t octets[16];
    size_t done = 0;
    assert_int_equal(SSL_write(p->client, "hello", 5), 5);
    peer_relay(p);
    assert_int_equal(hc_tls_read(p->server, octets, sizeof(octets), &done, &p->err), HC_TLS_DONE);
    assert_slice(hc_slice_of(octets, done), "hello");
    assert_int_equal(hc_tls_write(p->server, S("world"), &done, &p->err), HC_TLS_DONE);
    assert_int_equal(done, 5);
    peer_relay(p);
    assert_int_equal(SSL_read(p->client, octets, sizeof(octets)), 5);
    assert_memory_equal(octets, "world", 5);
}
