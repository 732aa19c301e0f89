#include <signal.h>
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

/* A connection that offers `session` (may be NULL). */
static peer_pair connect_with(peer_server *s, SSL_CTX *client, SSL_SESSION *session)
{
    peer_pair p;
    peer_open(&p, s, client);
    if (session)
        assert_int_equal(SSL_set_session(p.client, session), 1);
    peer_handshake(&p);
    if (p.result != HC_TLS_DONE || p.client_done != 1)
        fail_msg("server %d %d \"%s\", client %d %d", p.result, p.failure, p.err.text,
                 p.client_done, p.client_reason);
    return p;
}

static SSL_SESSION *full(peer_server *s, SSL_CTX *client)
{
    peer_pair p = connect_with(s, client, NULL);
    assert_false(SSL_session_reused(p.server));
    SSL_SESSION *session = SSL_get1_session(p.client);
    peer_close(&p);
    return session;
}

static bool resumes(peer_server *s, SSL_CTX *client, SSL_SESSION *session)
{
    peer_pair p = connect_with(s, client, session);
    bool reused = SSL_session_reused(p.server);
    assert_int_equal(SSL_session_reused(p.client), reused);
    peer_assert_talks(&p);
    peer_close(&p);
    return reused;
}

static void a_session_resumes_with_the_client_and_its_chain_in_both_versions(void **state)
{
    (void)state;
    pki_identity middle = {.key = pki_key("EC:P-256")};
    middle.certificate = pki_certificate("intermediate", middle.key, &pki.ca, 0);
    hc_tls_config config = peer_config(&pki);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        peer_server s;
        peer_server_init(&s, &config);
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        assert_int_equal(SSL_CTX_add1_chain_cert(client, middle.certificate), 1);
        SSL_SESSION *session = full(&s, client);
        assert_int_equal(s.new_calls, 1);
        assert_int_equal(s.kept_calls, 1);
        assert_int_equal(s.verify_calls, 1);
        peer_pair p = connect_with(&s, client, session);
        assert_true(SSL_session_reused(p.server));
        assert_int_equal(s.verify_calls, 1);
        assert_int_equal(s.new_calls, versions[v] == TLS1_3_VERSION ? 2 : 1);
        assert_int_equal(X509_cmp(SSL_get0_peer_certificate(p.server), pki.client.certificate), 0);
        STACK_OF(X509) *chain = SSL_get_peer_cert_chain(p.server);
        assert_int_equal(sk_X509_num(chain), 1);
        assert_int_equal(X509_cmp(sk_X509_value(chain, 0), middle.certificate), 0);
        peer_close(&p);
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
        peer_server_done(&s);
    }
    pki_identity_done(&middle);
}

static SSL_SESSION *asks_for_a_name(peer_server *s, SSL_CTX *client, SSL_SESSION *session)
{
    peer_pair p;
    peer_open(&p, s, client);
    assert_int_equal(SSL_set_tlsext_host_name(p.client, "shop.example"), 1);
    if (session)
        assert_int_equal(SSL_set_session(p.client, session), 1);
    peer_handshake(&p);
    assert_int_equal(p.result, HC_TLS_DONE);
    assert_int_equal(SSL_session_reused(p.server), session != NULL);
    assert_string_equal(SSL_get_servername(p.server, TLSEXT_NAMETYPE_host_name), "shop.example");
    SSL_SESSION *made = SSL_get1_session(p.client);
    peer_close(&p);
    return made;
}

static void a_resumed_session_knows_the_name_that_was_asked_for(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        SSL_SESSION *first = asks_for_a_name(&s, client, NULL);
        SSL_SESSION *second = asks_for_a_name(&s, client, first);
        SSL_SESSION_free(second);
        SSL_SESSION_free(first);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void what_the_client_holds_is_a_name_and_no_ticket(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        SSL_SESSION *session = full(&s, client);
        const unsigned char *name;
        size_t size = 0;
        if (versions[v] == TLS1_3_VERSION) {
            SSL_SESSION_get0_ticket(session, &name, &size);
        } else {
            unsigned id_size;
            assert_false(SSL_SESSION_has_ticket(session));
            name = SSL_SESSION_get_id(session, &id_size);
            size = id_size;
        }
        assert_int_equal(size, s.last_id_size);
        assert_memory_equal(name, s.last_id, size);
        assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void every_resumption_in_tls_1_3_gives_one_new_session(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_3_VERSION);
    SSL_SESSION *session = full(&s, client);
    for (int i = 2; i < 30; i++) {
        peer_pair p = connect_with(&s, client, session);
        assert_true(SSL_session_reused(p.server));
        assert_int_equal(s.new_calls, i);
        SSL_SESSION_free(session);
        session = SSL_get1_session(p.client);
        peer_close(&p);
    }
    assert_int_equal(s.verify_calls, 1);
    assert_int_equal(hc_session_store_stats(s.store).entries, 29);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void a_session_that_is_not_found_means_a_full_handshake(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        SSL_SESSION *session = full(&s, client);
        hc_session_store_clear(s.store);
        s.verify_calls = 0;
        assert_false(resumes(&s, client, session));
        assert_int_equal(s.verify_calls, 1);
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void a_session_of_another_listener_or_policy_does_not_resume(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server one, other;
    peer_server_init(&one, &config);
    config.session_context[31] ^= 1;
    peer_server_init(&other, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        SSL_SESSION *session = full(&one, client);
        hc_session_store *own = other.store;
        other.store = one.store; /* found, and yet not for here */
        other.found_calls = 0;
        assert_false(resumes(&other, client, session));
        assert_int_equal(other.found_calls, 1);
        other.store = own;
        assert_true(resumes(&one, client, session));
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    peer_server_done(&one);
    peer_server_done(&other);
}

static void a_hello_retry_request_looks_twice_and_resumes(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_3_VERSION);
    assert_int_equal(SSL_CTX_set1_groups_list(client, "X448:P-256"), 1);
    SSL_SESSION *session = full(&s, client);
    assert_true(resumes(&s, client, session));
    assert_int_equal(s.get_calls, 2);
    assert_int_equal(s.found_calls, 2);
    assert_int_equal(s.new_calls, 2);
    assert_int_equal(hc_session_store_stats(s.store).entries, 2);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void a_session_that_goes_between_two_hellos_means_a_full_handshake(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_3_VERSION);
    assert_int_equal(SSL_CTX_set1_groups_list(client, "X448:P-256"), 1);
    SSL_SESSION *session = full(&s, client);
    s.get_limit = 1;
    assert_false(resumes(&s, client, session));
    assert_int_equal(s.get_calls, 2);
    assert_int_equal(s.found_calls, 1);
    assert_int_equal(s.verify_calls, 2);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

static void an_aborted_connection_does_not_cost_the_session(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        SSL_SESSION *session = full(&s, client);
        uint8_t octet;
        size_t done;
        for (int i = 0; i < 3; i++) {
            peer_pair p = connect_with(&s, client, session);
            assert_true(SSL_session_reused(p.server));
            /* Octets that are no record end the connection with a fatal alert. */
            assert_int_equal(write(p.relay[0],
                                   "\x17\x03\x03\x00\x20"
                                   "0123456789abcdef0123456789abcdef",
                                   37),
                             37);
            assert_int_equal(hc_tls_read(p.server, &octet, 1, &done, &p.err), HC_TLS_FAILED);
            peer_close(&p);
        }
        assert_true(resumes(&s, client, session));
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void a_session_without_a_certificate_does_not_resume_where_one_is_required(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server strict, loose;
    peer_server_init(&strict, &config);
    config.require = false;
    peer_server_init(&loose, &config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(NULL, versions[v]);
        SSL_SESSION *session = full(&loose, client);
        hc_session_store *own = strict.store;
        strict.store = loose.store;
        peer_pair p;
        peer_open(&p, &strict, client);
        assert_int_equal(SSL_set_session(p.client, session), 1);
        strict.found_calls = 0;
        peer_handshake(&p);
        assert_int_equal(strict.found_calls, 1);
        assert_int_equal(p.result, HC_TLS_FAILED);
        assert_int_equal(p.failure, HC_TLS_FAILURE_NO_CERTIFICATE);
        peer_close(&p);
        strict.store = own;
        assert_true(resumes(&loose, client, session));
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    peer_server_done(&strict);
    peer_server_done(&loose);
}

static void assert_nothing_resumes(const hc_tls_config *config)
{
    peer_server s;
    peer_server_init(&s, config);
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        SSL_SESSION *session = full(&s, client);
        assert_false(SSL_SESSION_is_resumable(session) && resumes(&s, client, session));
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    assert_int_equal(s.new_calls, 0);
    assert_int_equal(s.get_calls, 0);
    peer_server_done(&s);
}

static void nothing_resumes_without_a_lifetime_or_hooks(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    config.session_lifetime_s = 0;
    assert_nothing_resumes(&config);
    config = peer_config(&pki);
    config.hooks.session_new = NULL;
    config.hooks.session_get = NULL;
    assert_nothing_resumes(&config);
}

static void a_session_lives_as_long_as_configured_and_at_most_seven_days(void **state)
{
    static const struct {
        int64_t configured_s;
        long lives_s;
    } cases[] = {{60, 60}, {INT64_MAX, 7 * 24 * 60 * 60}};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        hc_tls_config config = peer_config(&pki);
        config.session_lifetime_s = cases[i].configured_s;
        peer_server s;
        peer_server_init(&s, &config);
        for (size_t v = 0; v < HC_COUNT(versions); v++) {
            SSL_CTX *client = peer_client(&pki.client, versions[v]);
            peer_pair p = connect_with(&s, client, NULL);
            SSL_SESSION *session = SSL_get0_session(p.server);
            assert_int_equal(SSL_SESSION_get_timeout(session), cases[i].lives_s);
            if (versions[v] == TLS1_3_VERSION)
                assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(SSL_get0_session(p.client)),
                                 cases[i].lives_s);
            int64_t end_s = (int64_t)SSL_SESSION_get_time(session) + cases[i].lives_s;
            void *attachment;
            hc_slice id = {s.last_id, s.last_id_size};
            session = hc_session_store_get(s.store, id, end_s - 2, &attachment);
            assert_non_null(session);
            SSL_SESSION_free(session);
            assert_null(hc_session_store_get(s.store, id, end_s, &attachment));
            peer_close(&p);
            SSL_CTX_free(client);
        }
        peer_server_done(&s);
    }
}

static void a_guessed_name_resumes_nothing(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_2_VERSION);
    SSL_SESSION *session = full(&s, client);
    const unsigned char *id;
    unsigned size;
    uint8_t other[32];
    id = SSL_SESSION_get_id(session, &size);
    memcpy(other, id, size);
    other[size - 1] ^= 1;
    assert_int_equal(SSL_SESSION_set1_id(session, other, size), 1);
    assert_false(resumes(&s, client, session));
    /* Nor does the right name with another master secret. */
    SSL_SESSION_free(session);
    session = full(&s, client);
    SSL_SESSION *forged = SSL_SESSION_dup(session);
    static const unsigned char secret[48] = {1};
    assert_int_equal(SSL_SESSION_set1_master_key(forged, secret, sizeof(secret)), 1);
    peer_pair p;
    peer_open(&p, &s, client);
    assert_int_equal(SSL_set_session(p.client, forged), 1);
    peer_handshake(&p);
    assert_int_not_equal(p.client_done, 1);
    assert_int_not_equal(p.result, HC_TLS_DONE);
    peer_close(&p);
    assert_true(resumes(&s, client, session));
    SSL_SESSION_free(forged);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_resumes_with_the_client_and_its_chain_in_both_versions),
        cmocka_unit_test(a_resumed_session_knows_the_name_that_was_asked_for),
        cmocka_unit_test(what_the_client_holds_is_a_name_and_no_ticket),
        cmocka_unit_test(every_resumption_in_tls_1_3_gives_one_new_session),
        cmocka_unit_test(a_session_that_is_not_found_means_a_full_handshake),
        cmocka_unit_test(a_session_of_another_listener_or_policy_does_not_resume),
        cmocka_unit_test(a_hello_retry_request_looks_twice_and_resumes),
        cmocka_unit_test(a_session_that_goes_between_two_hellos_means_a_full_handshake),
        cmocka_unit_test(an_aborted_connection_does_not_cost_the_session),
        cmocka_unit_test(a_session_without_a_certificate_does_not_resume_where_one_is_required),
        cmocka_unit_test(nothing_resumes_without_a_lifetime_or_hooks),
        cmocka_unit_test(a_session_lives_as_long_as_configured_and_at_most_seven_days),
        cmocka_unit_test(a_guessed_name_resumes_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
