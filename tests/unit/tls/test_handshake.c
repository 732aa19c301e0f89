#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "unit.h"

static peer_pki pki;

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    peer_pki_init(&pki);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_pki_done(&pki);
    return 0;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
static const char *const kinds[] = {"RSA:2048", "RSA-PSS:2048", "EC:P-256", "EC:P-384",
                                    "EC:P-521", "ED25519",      "ED448"};

static void run(peer_pair *p, peer_server *s, SSL_CTX *client)
{
    peer_open(p, s, client);
    peer_handshake(p);
}

static void assert_done(const peer_pair *p, const char *what)
{
    if (p->result != HC_TLS_DONE || p->client_done != 1)
        fail_msg("%s: server %d %d \"%s\", client %d %d", what, p->result, p->failure, p->err.text,
                 p->client_done, p->client_reason);
}

static void a_server_key_of_every_kind_serves_both_versions(void **state)
{
    (void)state;
    for (size_t k = 0; k < HC_COUNT(kinds); k++) {
        pki_identity own = pki_identity_new("localhost", kinds[k], &pki.ca);
        char *certificate = pki_certificate_pem(own.certificate), *key = pki_key_pem(own.key, NULL);
        hc_tls_config config = peer_config(&pki);
        config.certificate_pem = hc_slice_text(certificate);
        config.key_pem = hc_slice_text(key);
        peer_server s;
        peer_server_init(&s, &config);
        assert_int_equal(X509_cmp(hc_tls_context_certificate(s.context), own.certificate), 0);
        for (size_t v = 0; v < HC_COUNT(versions); v++) {
            SSL_CTX *client = peer_client(&pki.client, versions[v]);
            peer_pair p;
            run(&p, &s, client);
            assert_done(&p, kinds[k]);
            assert_int_equal(SSL_version(p.server), versions[v]);
            peer_assert_talks(&p);
            peer_close(&p);
            SSL_CTX_free(client);
        }
        peer_server_done(&s);
        pki_identity_done(&own);
        free(certificate);
        free(key);
    }
}

static void a_client_key_of_every_kind_is_proven_in_both_versions(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t k = 0; k < HC_COUNT(kinds); k++) {
        pki_identity own = pki_identity_new("alice", kinds[k], &pki.ca);
        for (size_t v = 0; v < HC_COUNT(versions); v++) {
            SSL_CTX *client = peer_client(&own, versions[v]);
            peer_pair p;
            s.verify_calls = 0;
            run(&p, &s, client);
            assert_done(&p, kinds[k]);
            assert_int_equal(s.verify_calls, 1);
            assert_int_equal(X509_cmp(SSL_get0_peer_certificate(p.server), own.certificate), 0);
            peer_close(&p);
            SSL_CTX_free(client);
        }
        pki_identity_done(&own);
    }
    peer_server_done(&s);
}

/* A client with a certificate for one key that signs with another. OpenSSL compares the two when
 * they are set, so the certificate is changed afterwards. */
static SSL_CTX *thief(const pki_identity *victim, const char *own_kind, int version)
{
    pki_identity own = pki_identity_new("alice", own_kind, &pki.ca);
    SSL_CTX *ctx = peer_client(&own, version);
    assert_int_equal(X509_set_pubkey(own.certificate, victim->key), 1);
    pki_sign(own.certificate, pki.ca.key);
    pki_identity_done(&own);
    return ctx;
}

static void a_signature_with_another_key_is_not_proof(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t k = 0; k < HC_COUNT(kinds); k++) {
        pki_identity victim = pki_identity_new("alice", kinds[k], &pki.ca);
        for (size_t v = 0; v < HC_COUNT(versions); v++) {
            SSL_CTX *client = thief(&victim, kinds[k], versions[v]);
            peer_pair p;
            s.verify_calls = 0;
            run(&p, &s, client);
            assert_int_equal(p.result, HC_TLS_FAILED);
            assert_int_equal(p.failure, HC_TLS_FAILURE_KEY_NOT_PROVEN);
            assert_int_equal(s.verify_calls, 1);
            assert_int_equal(p.client_reason, SSL_R_TLSV1_ALERT_DECRYPT_ERROR);
            peer_close(&p);
            SSL_CTX_free(client);
        }
        pki_identity_done(&victim);
    }
    assert_int_equal(s.new_calls, 0);
    peer_server_done(&s);
}

static void a_signature_of_another_kind_is_not_proof(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = thief(&pki.client, "RSA:2048", versions[v]);
        peer_pair p;
        run(&p, &s, client);
        assert_int_equal(p.result, HC_TLS_FAILED);
        assert_int_equal(p.failure, HC_TLS_FAILURE_KEY_NOT_PROVEN);
        peer_close(&p);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

enum { HANDSHAKE = 22, CERTIFICATE = 11, CERTIFICATE_VERIFY = 15 };

/* TLS 1.2 sends these messages in clear, each in a record of its own. */
static size_t drop_message(uint8_t *record, size_t size, void *arg)
{
    return record[0] == HANDSHAKE && record[5] == *(const uint8_t *)arg ? 0 : size;
}

static size_t break_signature(uint8_t *record, size_t size, void *arg)
{
    (void)arg;
    if (record[0] == HANDSHAKE && record[5] == CERTIFICATE_VERIFY)
        record[size - 1] ^= 1;
    return size;
}

static size_t break_certificate(uint8_t *record, size_t size, void *arg)
{
    /* Header 5, message 4, list length 3, certificate length 3, then SEQUENCE. */
    if (record[0] == HANDSHAKE && record[5] == CERTIFICATE)
        record[15 + *(const size_t *)arg] ^= 0x55;
    return size;
}

static peer_pair filtered(peer_server *s, SSL_CTX *client, peer_filter filter, void *arg)
{
    peer_pair p;
    peer_open(&p, s, client);
    p.filter = filter;
    p.filter_arg = arg;
    peer_handshake(&p);
    return p;
}

static void a_missing_or_broken_proof_is_told_from_other_failures(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_2_VERSION);
    uint8_t proof = CERTIFICATE_VERIFY;
    peer_pair p = filtered(&s, client, drop_message, &proof);
    assert_int_equal(p.result, HC_TLS_FAILED);
    assert_int_equal(p.failure, HC_TLS_FAILURE_KEY_NOT_PROVEN);
    peer_close(&p);
    p = filtered(&s, client, break_signature, NULL);
    assert_int_equal(p.result, HC_TLS_FAILED);
    assert_int_equal(p.failure, HC_TLS_FAILURE_KEY_NOT_PROVEN);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void a_certificate_that_cannot_be_decoded_is_malformed(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_2_VERSION);
    static const size_t offsets[] = {0, 4, 8};
    for (size_t i = 0; i < HC_COUNT(offsets); i++) {
        size_t offset = offsets[i];
        peer_pair p = filtered(&s, client, break_certificate, &offset);
        assert_int_equal(p.result, HC_TLS_FAILED);
        assert_int_equal(p.failure, HC_TLS_FAILURE_MALFORMED);
        assert_int_equal(s.verify_calls, 0);
        peer_close(&p);
    }
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void a_chain_over_the_limit_is_malformed(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        for (int i = 0; i < 4; i++)
            assert_int_equal(SSL_CTX_add0_chain_cert(
                                 client, pki_certificate("big", pki.client.key, &pki.ca, 30000)),
                             1);
        peer_pair p;
        run(&p, &s, client);
        assert_int_equal(p.result, HC_TLS_FAILED);
        assert_int_equal(p.failure, HC_TLS_FAILURE_MALFORMED);
        peer_close(&p);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void a_client_without_a_certificate_is_refused_where_one_is_required(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(NULL, versions[v]);
        peer_pair p;
        run(&p, &s, client);
        assert_int_equal(p.result, HC_TLS_FAILED);
        assert_int_equal(p.failure, HC_TLS_FAILURE_NO_CERTIFICATE);
        assert_int_equal(p.client_reason, versions[v] == TLS1_3_VERSION
                                              ? SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED
                                              : SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
        peer_close(&p);
        SSL_CTX_free(client);
    }
    assert_int_equal(s.verify_calls, 0);
    peer_server_done(&s);
}

static void a_client_without_a_certificate_enters_where_none_is_required(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    config.require = false;
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(NULL, 0);
    peer_pair p;
    run(&p, &s, client);
    assert_done(&p, "optional");
    assert_null(SSL_get0_peer_certificate(p.server));
    peer_assert_talks(&p);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void a_certificate_is_not_asked_for_in_mode_none(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    config.ask = false;
    config.hooks.verify = NULL;
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, 0);
    peer_pair p;
    run(&p, &s, client);
    assert_done(&p, "none");
    assert_null(SSL_get0_peer_certificate(p.server));
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void the_hook_refuses_with_the_alert_of_its_error(void **state)
{
    static const struct {
        int error, reason;
    } cases[] = {
        {X509_V_ERR_CERT_HAS_EXPIRED, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED},
        {X509_V_ERR_CERT_REVOKED, SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, SSL_R_TLSV1_ALERT_UNKNOWN_CA},
        {X509_V_OK, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE},
    };
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    s.verify_answer = 0;
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        for (size_t v = 0; v < HC_COUNT(versions); v++) {
            SSL_CTX *client = peer_client(&pki.client, versions[v]);
            s.verify_error = cases[i].error;
            peer_pair p;
            run(&p, &s, client);
            assert_int_equal(p.result, HC_TLS_FAILED);
            assert_int_equal(p.failure, HC_TLS_FAILURE_REFUSED);
            assert_int_equal(p.client_reason, cases[i].reason);
            assert_int_not_equal(SSL_get_verify_result(p.server), X509_V_OK);
            peer_close(&p);
            SSL_CTX_free(client);
        }
    }
    assert_int_equal(s.new_calls, 0);
    peer_server_done(&s);
}

static void only_the_answer_1_admits(void **state)
{
    static const int answers[] = {0, -1, 2};
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t i = 0; i < HC_COUNT(answers); i++) {
        SSL_CTX *client = peer_client(&pki.client, 0);
        s.verify_answer = answers[i];
        peer_pair p;
        run(&p, &s, client);
        assert_int_equal(p.failure, HC_TLS_FAILURE_REFUSED);
        peer_close(&p);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static hc_tls_failure failure_of_octets(peer_server *s, hc_slice octets)
{
    int fds[2];
    SSL *ssl;
    hc_err err = {0};
    hc_tls_failure failure = HC_TLS_FAILURE_OTHER;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(hc_tls_accept(s->context, fds[0], s, &ssl, &err), 0);
    assert_int_equal(write(fds[1], octets.at, octets.size), octets.size);
    assert_int_equal(hc_tls_handshake(ssl, &failure, &err), HC_TLS_FAILED);
    assert_int_equal(err.code, HC_ETLS);
    assert_true(err.text[0] != '\0');
    hc_tls_free(ssl);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return failure;
}

static void plain_http_is_told_from_tls(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    assert_int_equal(failure_of_octets(&s, S("GET / HTTP/1.1\r\n\r\n")), HC_TLS_FAILURE_NOT_TLS);
    assert_int_equal(failure_of_octets(&s, S("DELETE /x HTTP/1.1\r\n")), HC_TLS_FAILURE_NOT_TLS);
    assert_int_equal(failure_of_octets(&s, S("CONNECT x:1 HTTP/1.1\r\n")), HC_TLS_FAILURE_NOT_TLS);
    assert_int_equal(failure_of_octets(&s, S("SSH-2.0-OpenSSH_9.2\r\n")), HC_TLS_FAILURE_NOT_TLS);
    peer_server_done(&s);
}

static void a_client_of_an_old_version_is_told_so(void **state)
{
    static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t i = 0; i < HC_COUNT(old); i++) {
        SSL_CTX *client = peer_client(&pki.client, old[i]);
        peer_pair p;
        run(&p, &s, client);
        assert_int_equal(p.result, HC_TLS_FAILED);
        assert_int_equal(p.failure, HC_TLS_FAILURE_VERSION);
        assert_int_equal(p.client_reason, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
        peer_close(&p);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void the_modern_policy_takes_no_tls_1_2(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    config.policy = HC_TLS_MODERN;
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_2_VERSION);
    peer_pair p;
    run(&p, &s, client);
    assert_int_equal(p.failure, HC_TLS_FAILURE_VERSION);
    peer_close(&p);
    SSL_CTX_free(client);
    client = peer_client(&pki.client, TLS1_3_VERSION);
    run(&p, &s, client);
    assert_done(&p, "modern");
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void a_client_without_a_common_cipher_or_group_is_told_so(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_2_VERSION);
    assert_int_equal(SSL_CTX_set_cipher_list(client, "AES128-SHA"), 1);
    peer_pair p;
    run(&p, &s, client);
    assert_int_equal(p.failure, HC_TLS_FAILURE_VERSION);
    peer_close(&p);
    SSL_CTX_free(client);
    client = peer_client(&pki.client, TLS1_3_VERSION);
    assert_int_equal(SSL_CTX_set1_groups_list(client, "X448"), 1);
    run(&p, &s, client);
    assert_int_equal(p.failure, HC_TLS_FAILURE_VERSION);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void assert_cipher(peer_server *s, int version, const char *offered, const char *chosen)
{
    SSL_CTX *client = peer_client(&pki.client, version);
    assert_int_equal(version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(client, offered)
                                               : SSL_CTX_set_cipher_list(client, offered),
                     1);
    peer_pair p;
    run(&p, s, client);
    assert_done(&p, offered);
    assert_string_equal(SSL_get_cipher_name(p.server), chosen);
    peer_close(&p);
    SSL_CTX_free(client);
}

static void aes_128_is_chosen_unless_the_client_puts_chacha20_first(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    const int new = TLS1_3_VERSION, old = TLS1_2_VERSION;
    const char *aes_128 = "TLS_AES_128_GCM_SHA256", *aes_256 = "TLS_AES_256_GCM_SHA384",
               *chacha = "TLS_CHACHA20_POLY1305_SHA256";
    assert_cipher(&s, new,
                  "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
                  aes_128);
    assert_cipher(&s, new, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", chacha);
    assert_cipher(&s, new, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256", aes_256);
    assert_cipher(&s, old, "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
                  "ECDHE-ECDSA-AES128-GCM-SHA256");
    assert_cipher(&s, old, "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
                  "ECDHE-ECDSA-CHACHA20-POLY1305");
    peer_server_done(&s);
}

static int refuse_server(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 0;
}

static void an_alert_of_the_client_is_told_as_such(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        SSL_CTX_set_verify(client, SSL_VERIFY_PEER, refuse_server);
        peer_pair p;
        run(&p, &s, client);
        assert_int_equal(p.result, HC_TLS_FAILED);
        assert_int_equal(p.failure, HC_TLS_FAILURE_PEER_ALERT);
        assert_non_null(strstr(p.err.text, "alert"));
        peer_close(&p);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void http_1_1_is_chosen_before_1_0_and_nothing_else(void **state)
{
    static const struct {
        const char *offer;
        unsigned size;
        const char *chosen; /* NULL: the handshake ends */
    } cases[] = {
        {"\x08http/1.1", 9, "http/1.1"},
        {"\x02h2\x08http/1.1", 12, "http/1.1"},
        {"\x08http/1.0", 9, "http/1.0"},
        {"\x08http/1.0\x08http/1.1", 18, "http/1.1"},
        {"\x02h2", 3, NULL},
        {"\x08http/0.9", 9, NULL},
        {"\x07http/1.", 8, NULL},
    };
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        SSL_CTX *client = peer_client(&pki.client, 0);
        const unsigned char *chosen;
        unsigned size;
        assert_int_equal(
            SSL_CTX_set_alpn_protos(client, (const unsigned char *)cases[i].offer, cases[i].size),
            0);
        peer_pair p;
        run(&p, &s, client);
        assert_int_equal(p.result, cases[i].chosen ? HC_TLS_DONE : HC_TLS_FAILED);
        SSL_get0_alpn_selected(p.client, &chosen, &size);
        if (cases[i].chosen)
            assert_true(hc_slice_equal_text(hc_slice_of(chosen, size), cases[i].chosen));
        else
            assert_int_equal(p.client_reason, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        peer_close(&p);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void renegotiation_is_refused_and_the_connection_lives(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_2_VERSION);
    peer_pair p;
    uint8_t octets[8];
    size_t done;
    run(&p, &s, client);
    assert_done(&p, "first");
    assert_int_equal(SSL_renegotiate(p.client), 1);
    (void)SSL_do_handshake(p.client);
    peer_relay(&p);
    assert_int_equal(hc_tls_read(p.server, octets, sizeof(octets), &done, &p.err),
                     HC_TLS_WANT_READ);
    peer_relay(&p);
    assert_int_equal(SSL_do_handshake(p.client), -1);
    assert_int_equal(s.verify_calls, 1);
    assert_int_equal(hc_tls_write(p.server, S("still here"), &done, &p.err), HC_TLS_DONE);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void post_handshake_authentication_is_never_asked_for(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    config.require = false;
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_3_VERSION);
    SSL_CTX_set_post_handshake_auth(client, 1);
    peer_pair p;
    run(&p, &s, client);
    assert_done(&p, "post-handshake");
    assert_int_equal(s.verify_calls, 1);
    peer_assert_talks(&p);
    assert_int_equal(s.verify_calls, 1);
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void the_ca_names_are_sent_unless_they_are_too_many(void **state)
{
    (void)state;
    for (int many = 0; many < 2; many++) {
        STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
        for (int i = 0; i < (many ? 2000 : 3); i++)
            (void)sk_X509_NAME_push(names,
                                    X509_NAME_dup(X509_get_subject_name(pki.ca.certificate)));
        hc_tls_config config = peer_config(&pki);
        config.ca_names = names;
        peer_server s;
        peer_server_init(&s, &config);
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        for (size_t v = 0; v < HC_COUNT(versions); v++) {
            SSL_CTX *client = peer_client(&pki.client, versions[v]);
            peer_pair p;
            run(&p, &s, client);
            assert_done(&p, "names");
            assert_int_equal(sk_X509_NAME_num(SSL_get0_peer_CA_list(p.client)) > 0 ? 3 : 0,
                             many ? 0 : 3);
            peer_close(&p);
            SSL_CTX_free(client);
        }
        peer_server_done(&s);
    }
}

static void the_context_outlives_its_owner_while_a_connection_uses_it(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, 0);
    peer_pair p;
    peer_open(&p, &s, client);
    hc_tls_context_unref(s.context);
    s.context = NULL;
    peer_handshake(&p);
    assert_done(&p, "after unref");
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_key_of_every_kind_serves_both_versions),
        cmocka_unit_test(a_client_key_of_every_kind_is_proven_in_both_versions),
        cmocka_unit_test(a_signature_with_another_key_is_not_proof),
        cmocka_unit_test(a_signature_of_another_kind_is_not_proof),
        cmocka_unit_test(a_missing_or_broken_proof_is_told_from_other_failures),
        cmocka_unit_test(a_certificate_that_cannot_be_decoded_is_malformed),
        cmocka_unit_test(a_chain_over_the_limit_is_malformed),
        cmocka_unit_test(a_client_without_a_certificate_is_refused_where_one_is_required),
        cmocka_unit_test(a_client_without_a_certificate_enters_where_none_is_required),
        cmocka_unit_test(a_certificate_is_not_asked_for_in_mode_none),
        cmocka_unit_test(the_hook_refuses_with_the_alert_of_its_error),
        cmocka_unit_test(only_the_answer_1_admits),
        cmocka_unit_test(plain_http_is_told_from_tls),
        cmocka_unit_test(a_client_of_an_old_version_is_told_so),
        cmocka_unit_test(the_modern_policy_takes_no_tls_1_2),
        cmocka_unit_test(a_client_without_a_common_cipher_or_group_is_told_so),
        cmocka_unit_test(aes_128_is_chosen_unless_the_client_puts_chacha20_first),
        cmocka_unit_test(an_alert_of_the_client_is_told_as_such),
        cmocka_unit_test(http_1_1_is_chosen_before_1_0_and_nothing_else),
        cmocka_unit_test(renegotiation_is_refused_and_the_connection_lives),
        cmocka_unit_test(post_handshake_authentication_is_never_asked_for),
        cmocka_unit_test(the_ca_names_are_sent_unless_they_are_too_many),
        cmocka_unit_test(the_context_outlives_its_owner_while_a_connection_uses_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
