#include "identity/verdict.h"

#include <openssl/ssl.h>

#include "identity/verdict_error.h"
#include "trust_case.h"

static void every_verdict_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HC_VERDICT_COUNT; i++) {
        hc_verdict_code back;
        const char *name = hc_verdict_name((hc_verdict_code)i);
        assert_non_null(name);
        assert_true(hc_verdict_parse(hc_slice_text(name), &back));
        assert_int_equal(back, i);
    }
    assert_string_equal(hc_verdict_name(HC_VERDICT_OK), "ok");
    assert_string_equal(hc_verdict_name(HC_VERDICT_REFUSED_BY_POLICY), "refused-by-policy");
}

static void names_nobody_knows_are_not_verdicts(void **state)
{
    (void)state;
    hc_verdict_code code = HC_VERDICT_REVOKED;
    assert_false(hc_verdict_parse(S(""), &code));
    assert_false(hc_verdict_parse(S("OK"), &code));
    assert_false(hc_verdict_parse(S("ok "), &code));
    assert_false(hc_verdict_parse(S("unknown-verdict"), &code));
    assert_int_equal(code, HC_VERDICT_REVOKED);
    assert_string_equal(hc_verdict_name(HC_VERDICT_COUNT), "unknown-verdict");
}

static void memory_nobody_filled_in_admits_nobody(void **state)
{
    (void)state;
    hc_verdict v = {0};
    assert_int_not_equal(v.code, HC_VERDICT_OK);
}

static void no_openssl_error_is_ok(void **state)
{
    (void)state;
    for (int error = -10; error < 300; error++) {
        hc_verdict_code code = hc_verdict_from_error(error);
        assert_int_not_equal(code, HC_VERDICT_OK);
        assert_true(code > HC_VERDICT_OK && code <= HC_VERDICT_STATUS_UNKNOWN);
    }
    assert_int_equal(hc_verdict_from_error(9999), HC_VERDICT_UNTRUSTED_ISSUER);
    assert_true(hc_verdict_error_is_internal(X509_V_ERR_OUT_OF_MEM));
    assert_false(hc_verdict_error_is_internal(X509_V_ERR_CERT_HAS_EXPIRED));
}

static int refuse_with(X509_STORE_CTX *ctx, void *arg)
{
    X509_STORE_CTX_set_error(ctx, hc_verdict_alert_error(arg));
    return 0;
}

static SSL_CTX *context(const SSL_METHOD *method, const char *certificate, const char *key)
{
    SSL_CTX *c = SSL_CTX_new(method);
    assert_non_null(c);
    X509 *x = vector_chain_certificate(certificate);
    assert_int_equal(SSL_CTX_use_certificate(c, x), 1);
    X509_free(x);
    char path[512];
    snprintf(path, sizeof(path), HC_VECTORS "/keys/%s.key", key);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(c, path, SSL_FILETYPE_PEM), 1);
    return c;
}

static void remember_alert(const SSL *ssl, int where, int value)
{
    if ((where & SSL_CB_WRITE_ALERT) == SSL_CB_WRITE_ALERT)
        *(int *)SSL_get_app_data(ssl) = value & 0xFF;
}

/* A handshake in memory, in which the server refuses with the error for `v`; the alert it sends. */
static int alert_for(const hc_verdict *v)
{
    int alert = -1;
    SSL_CTX *server_context = context(TLS_server_method(), "server", "server");
    SSL_CTX *client_context = context(TLS_client_method(), "alice", "client");
    SSL_CTX_set_verify(server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(server_context, refuse_with, (void *)(uintptr_t)v);
    SSL *server = SSL_new(server_context);
    SSL *client = SSL_new(client_context);
    SSL_set_app_data(server, &alert);
    SSL_set_info_callback(server, remember_alert);
    BIO *one = NULL;
    BIO *other = NULL;
    assert_int_equal(BIO_new_bio_pair(&one, 0, &other, 0), 1);
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, other, other);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int i = 0; i < 20 && alert < 0; i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(server_context);
    SSL_CTX_free(client_context);
    return alert;
}

static void every_verdict_has_the_alert_that_the_rfc_names(void **state)
{
    static const int wanted[HC_VERDICT_COUNT] = {
        [HC_VERDICT_NO_CERTIFICATE] = SSL_AD_BAD_CERTIFICATE, /* never sent: OpenSSL's own */
        [HC_VERDICT_MALFORMED] = SSL_AD_BAD_CERTIFICATE,
        [HC_VERDICT_UNTRUSTED_ISSUER] = SSL_AD_UNKNOWN_CA,
        [HC_VERDICT_NOT_YET_VALID] = SSL_AD_CERTIFICATE_EXPIRED,
        [HC_VERDICT_EXPIRED] = SSL_AD_CERTIFICATE_EXPIRED,
        [HC_VERDICT_WRONG_PURPOSE] = SSL_AD_UNSUPPORTED_CERTIFICATE,
        [HC_VERDICT_WEAK_KEY] = SSL_AD_BAD_CERTIFICATE,
        [HC_VERDICT_KEY_NOT_PROVEN] = SSL_AD_DECRYPT_ERROR,
        [HC_VERDICT_REVOKED] = SSL_AD_CERTIFICATE_REVOKED,
        [HC_VERDICT_STATUS_UNKNOWN] = SSL_AD_CERTIFICATE_UNKNOWN,
        [HC_VERDICT_NOT_IN_REGISTRY] = SSL_AD_HANDSHAKE_FAILURE,
        [HC_VERDICT_RECORD_MISMATCH] = SSL_AD_HANDSHAKE_FAILURE,
        [HC_VERDICT_SUSPENDED] = SSL_AD_HANDSHAKE_FAILURE,
        [HC_VERDICT_REFUSED_BY_POLICY] = SSL_AD_HANDSHAKE_FAILURE,
        [HC_VERDICT_REFUSED_BY_APP] = SSL_AD_HANDSHAKE_FAILURE,
        [HC_VERDICT_REGISTRY_UNAVAILABLE] = SSL_AD_INTERNAL_ERROR,
    };
    (void)state;
    for (unsigned i = 0; i < HC_VERDICT_COUNT; i++) {
        hc_verdict v = {.code = (hc_verdict_code)i};
        if (i == HC_VERDICT_OK) {
            assert_int_equal(hc_verdict_alert_error(&v), X509_V_OK);
            continue;
        }
        assert_int_not_equal(hc_verdict_alert_error(&v), X509_V_OK);
        int alert = alert_for(&v);
        if (alert != wanted[i])
            fail_msg("%s sends alert %d, not %d", hc_verdict_name(v.code), alert, wanted[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verdict_has_a_name_of_its_own),
        cmocka_unit_test(names_nobody_knows_are_not_verdicts),
        cmocka_unit_test(memory_nobody_filled_in_admits_nobody),
        cmocka_unit_test(no_openssl_error_is_ok),
        cmocka_unit_test(every_verdict_has_the_alert_that_the_rfc_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
