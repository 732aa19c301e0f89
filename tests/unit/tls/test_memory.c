/* OpenSSL's own allocations: counted, to check what the session store believes that a session
 * weighs, and made to fail, one after the other. */
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "peer.h"
#include "unit.h"

static size_t live_bytes;
static long until_failure; /* allocations until one fails; 0: none fails */
static bool armed;
static size_t failed;

static bool fails(void)
{
    if (!armed || until_failure == 0 || --until_failure != 0)
        return false;
    failed++;
    return true;
}

static void *counted_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    void *at = fails() ? NULL : malloc(size);
    live_bytes += at ? malloc_usable_size(at) + 8 : 0;
    return at;
}

static void counted_free(void *at, const char *file, int line)
{
    (void)file;
    (void)line;
    live_bytes -= at ? malloc_usable_size(at) + 8 : 0;
    free(at);
}

static void *counted_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (fails())
        return NULL;
    size_t before = old ? malloc_usable_size(old) + 8 : 0;
    void *at = realloc(old, size);
    if (at)
        live_bytes += malloc_usable_size(at) + 8 - before;
    return at;
}

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

/* What a session in the store holds when its connection is gone, against the estimate. */
static void weigh(const char *kind, size_t padding, int chain, int version)
{
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    pki_identity own = {.key = pki_key(kind)};
    own.certificate = pki_certificate("alice", own.key, &pki.ca, padding);
    SSL_CTX *client = peer_client(&own, version);
    for (int i = 0; i < chain; i++)
        assert_int_equal(
            SSL_CTX_add0_chain_cert(client, pki_certificate("more", own.key, &pki.ca, padding)), 1);
    peer_pair p;
    for (int i = 0; i < 2; i++) { /* the first pays for what OpenSSL makes once */
        hc_session_store_clear(s.store);
        peer_open(&p, &s, client);
        peer_handshake(&p);
        assert_int_equal(p.result, HC_TLS_DONE);
        peer_close(&p);
    }
    uint64_t estimate = hc_session_store_stats(s.store).bytes;
    assert_int_equal(hc_session_store_stats(s.store).entries, 1);
    size_t with = live_bytes;
    hc_session_store_clear(s.store);
    size_t weight = with - live_bytes;
    print_message("%s padding %zu chain %d: %zu bytes, estimate %zu\n", kind, padding, chain,
                  weight, (size_t)estimate);
    assert_true(weight > 1000);
    assert_true(estimate >= weight);
    assert_true(estimate <= 4 * weight);
    SSL_CTX_free(client);
    pki_identity_done(&own);
    peer_server_done(&s);
}

static void the_estimate_of_a_session_is_not_below_what_it_weighs(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        weigh("EC:P-256", 0, 0, version);
        weigh("ED25519", 0, 0, version);
        weigh("RSA:2048", 0, 0, version);
        weigh("RSA:2048", 0, 3, version);
        weigh("EC:P-256", 5000, 0, version);
        weigh("EC:P-256", 9000, 8, version);
    }
}

static void arm(bool inside)
{
    armed = inside;
}

static void a_context_fails_cleanly_whichever_allocation_fails(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    hc_tls_context *c;
    bool reached_end = false;
    long refused = 0;
    for (long nth = 1; !reached_end; nth += nth < 200 ? 1 : 5) {
        hc_err err = {0};
        c = NULL;
        until_failure = nth;
        armed = true;
        int rc = hc_tls_context_new(&config, &c, &err);
        armed = false;
        reached_end = until_failure > 0;
        assert_int_equal(rc == 0, c != NULL);
        assert_int_equal(-rc, err.code);
        refused += rc != 0;
        hc_tls_context_unref(c);
        assert_true(nth < 1000000);
    }
    assert_true(refused > 100);
}

static void a_handshake_never_completes_without_proof_whichever_allocation_fails(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t v = 0; v < HC_COUNT(versions); v++) {
        SSL_CTX *client = peer_client(&pki.client, versions[v]);
        bool reached_end = false;
        long broken = 0;
        for (long nth = 1; !reached_end; nth += 3) {
            peer_pair p;
            s.verify_calls = 0;
            peer_open(&p, &s, client);
            p.around_server = arm;
            until_failure = nth;
            peer_handshake(&p);
            reached_end = until_failure > 0;
            if (p.result == HC_TLS_DONE) {
                assert_int_equal(s.verify_calls, 1);
                assert_non_null(SSL_get0_peer_certificate(p.server));
            } else {
                assert_true(p.result == HC_TLS_FAILED);
                assert_int_not_equal(p.err.code, 0);
                broken++;
            }
            peer_close(&p);
        }
        assert_true(broken > 50);
        SSL_CTX_free(client);
    }
    peer_server_done(&s);
}

static void a_store_gives_nothing_half_made_whichever_allocation_fails(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    peer_server s;
    peer_server_init(&s, &config);
    SSL_CTX *client = peer_client(&pki.client, TLS1_3_VERSION);
    peer_pair p;
    peer_open(&p, &s, client);
    peer_handshake(&p);
    assert_int_equal(p.result, HC_TLS_DONE);
    hc_slice id = {s.last_id, s.last_id_size};
    bool reached_end = false;
    for (long nth = 1; !reached_end; nth++) {
        void *attachment;
        until_failure = nth;
        armed = true;
        SSL_SESSION *session = hc_session_store_get(s.store, id, 0, &attachment);
        armed = false;
        reached_end = until_failure > 0;
        if (session)
            assert_non_null(SSL_SESSION_get0_peer(session));
        assert_int_equal(session != NULL, reached_end);
        SSL_SESSION_free(session);
    }
    peer_close(&p);
    SSL_CTX_free(client);
    peer_server_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_estimate_of_a_session_is_not_below_what_it_weighs),
        cmocka_unit_test(a_context_fails_cleanly_whichever_allocation_fails),
        cmocka_unit_test(a_handshake_never_completes_without_proof_whichever_allocation_fails),
        cmocka_unit_test(a_store_gives_nothing_half_made_whichever_allocation_fails),
    };
    if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, setup, teardown);
}
