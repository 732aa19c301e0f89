#include <stdio.h>
#include <stdlib.h>

#include <openssl/ec.h>
#include <openssl/pem.h>

#include "faults.h"
#include "peer.h"
#include "unit.h"

static peer_pki pki;

static int setup(void **state)
{
    (void)state;
    peer_pki_init(&pki);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_pki_done(&pki);
    return 0;
}

static int restore(void **state)
{
    (void)state;
    faults_end();
    return 0;
}

static void assert_taken(const hc_tls_config *config)
{
    hc_tls_context *c = NULL;
    hc_err err = {0};
    if (hc_tls_context_new(config, &c, &err) != 0)
        fail_msg("%s", err.text);
    hc_tls_context_unref(c);
}

/* One line with the code and, where not NULL, the words. The output is untouched; `err` may be
 * NULL. */
static void assert_refused(const hc_tls_config *config, int code, const char *file,
                           const char *words)
{
    hc_tls_context *const untouched = (hc_tls_context *)&pki;
    hc_tls_context *c = untouched;
    hc_err err = {0};
    int rc = hc_tls_context_new(config, &c, &err);
    if (rc != -code || err.code != code)
        fail_msg("%d \"%s\"", rc, err.text);
    assert_ptr_equal(c, untouched);
    assert_null(strchr(err.text, '\n'));
    if ((file && !strstr(err.text, file)) || (words && !strstr(err.text, words)))
        fail_msg("\"%s\" does not name \"%s\", \"%s\"", err.text, file, words);
    assert_int_equal(hc_tls_context_new(config, &c, NULL), -code);
}

static char *joined(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 1;
    char *out = malloc(size);
    assert_non_null(out);
    (void)snprintf(out, size, "%s%s", a, b);
    return out;
}

typedef struct pair_text {
    pki_identity id;
    char *certificate;
} pair_text;

static pair_text pair_of(const char *kind)
{
    pair_text p = {.id = pki_identity_new("localhost", kind, &pki.ca)};
    p.certificate = pki_certificate_pem(p.id.certificate);
    return p;
}

static void pair_done(pair_text *p)
{
    pki_identity_done(&p->id);
    free(p->certificate);
}

static void a_key_is_read_in_every_form_and_with_its_passphrase(void **state)
{
    static const char *const kinds[] = {"EC:P-256", "RSA:2048"};
    (void)state;
    for (size_t k = 0; k < HC_COUNT(kinds); k++) {
        pair_text own = pair_of(kinds[k]);
        char *forms[] = {pki_key_pem(own.id.key, NULL), pki_key_pem(own.id.key, "open sesame"),
                         pki_key_pem_traditional(own.id.key, NULL),
                         pki_key_pem_traditional(own.id.key, "open sesame")};
        for (size_t i = 0; i < HC_COUNT(forms); i++) {
            hc_tls_config config = peer_config(&pki);
            config.certificate_pem = hc_slice_text(own.certificate);
            config.key_pem = hc_slice_text(forms[i]);
            bool encrypted = i % 2;
            if (encrypted) {
                assert_refused(&config, HC_EDENIED, "server.key", "--keyfile-passphrase-file");
                config.passphrase = S("open sesame\n");
                assert_refused(&config, HC_EDENIED, "server.key", "does not open");
                config.passphrase = S("open sesame");
            }
            assert_taken(&config);
            free(forms[i]);
        }
        pair_done(&own);
    }
}

static void a_passphrase_over_the_limit_is_refused_as_such(void **state)
{
    (void)state;
    static uint8_t text[5000];
    memset(text, 'x', sizeof(text));
    char *key = pki_key_pem(pki.server.key, "x");
    hc_tls_config config = peer_config(&pki);
    config.key_pem = hc_slice_text(key);
    config.passphrase = hc_slice_of(text, sizeof(text));
    assert_refused(&config, HC_ELIMIT, "server.key", "too long");
    free(key);
}

static void certificate_and_key_may_stand_in_one_file(void **state)
{
    (void)state;
    char *orders[] = {joined(pki.server_pem, pki.key_pem), joined(pki.key_pem, pki.server_pem)};
    for (size_t i = 0; i < HC_COUNT(orders); i++) {
        hc_tls_config config = peer_config(&pki);
        config.certificate_pem = config.key_pem = hc_slice_text(orders[i]);
        assert_taken(&config);
        free(orders[i]);
    }
}

static void ec_parameters_before_a_key_are_passed_over(void **state)
{
    (void)state;
    static const char parameters[] = "-----BEGIN EC PARAMETERS-----\n"
                                     "BggqhkjOPQMBBw==\n"
                                     "-----END EC PARAMETERS-----\n";
    char *text = joined(parameters, pki.key_pem);
    hc_tls_config config = peer_config(&pki);
    config.key_pem = hc_slice_text(text);
    assert_taken(&config);
    free(text);
}

static void a_key_of_another_certificate_is_refused(void **state)
{
    static const char *const kinds[] = {"EC:P-256", "EC:P-384", "RSA:2048", "ED25519"};
    (void)state;
    for (size_t k = 0; k < HC_COUNT(kinds); k++) {
        EVP_PKEY *other = pki_key(kinds[k]);
        char *text = pki_key_pem(other, NULL);
        hc_tls_config config = peer_config(&pki);
        config.key_pem = hc_slice_text(text);
        assert_refused(&config, HC_EINVAL, "server.key", "does not belong");
        assert_refused(&config, HC_EINVAL, "server.pem", NULL);
        EVP_PKEY_free(other);
        free(text);
    }
}

static void a_chain_in_the_wrong_order_is_refused_as_such(void **state)
{
    (void)state;
    char *ca = pki_certificate_pem(pki.ca.certificate);
    char *right = joined(pki.server_pem, ca), *wrong = joined(ca, pki.server_pem);
    hc_tls_config config = peer_config(&pki);
    config.certificate_pem = hc_slice_text(right);
    assert_taken(&config);
    config.certificate_pem = hc_slice_text(wrong);
    assert_refused(&config, HC_EINVAL, "server.pem", "order");
    free(ca);
    free(right);
    free(wrong);
}

static void a_key_that_is_weak_or_of_no_use_is_refused(void **state)
{
    static const struct {
        const char *kind, *words;
    } cases[] = {
        {"RSA:1024", "too weak"},   {"RSA-PSS:1024", "too weak"}, {"EC:P-224", "P-256"},
        {"EC:prime192v1", "P-256"}, {"EC:secp256k1", "P-256"},    {"EC:brainpoolP256r1", "P-256"},
        {"DSA", "P-256"},           {"X25519", "P-256"},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        EVP_PKEY *key = pki_key(cases[i].kind);
        char *text = pki_key_pem(key, NULL);
        hc_tls_config config = peer_config(&pki);
        config.key_pem = hc_slice_text(text);
        assert_refused(&config, HC_EDENIED, "server.key", cases[i].words);
        EVP_PKEY_free(key);
        free(text);
    }
}

static void a_certificate_signed_with_sha_1_is_refused(void **state)
{
    (void)state;
    pki_identity own = pki_identity_new("localhost", "EC:P-256", &pki.ca);
    assert_true(X509_sign(own.certificate, pki.ca.key, EVP_sha1()) > 0);
    char *certificate = pki_certificate_pem(own.certificate), *key = pki_key_pem(own.key, NULL);
    hc_tls_config config = peer_config(&pki);
    config.certificate_pem = hc_slice_text(certificate);
    config.key_pem = hc_slice_text(key);
    assert_refused(&config, HC_EDENIED, "server.pem", "too weak");
    pki_identity_done(&own);
    free(certificate);
    free(key);
}

static void an_expired_certificate_is_the_callers_to_judge(void **state)
{
    (void)state;
    pki_identity own = pki_identity_new("localhost", "EC:P-256", &pki.ca);
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(own.certificate), -60));
    pki_sign(own.certificate, pki.ca.key);
    char *certificate = pki_certificate_pem(own.certificate), *key = pki_key_pem(own.key, NULL);
    hc_tls_config config = peer_config(&pki);
    config.certificate_pem = hc_slice_text(certificate);
    config.key_pem = hc_slice_text(key);
    assert_taken(&config);
    pki_identity_done(&own);
    free(certificate);
    free(key);
}

static void a_file_that_holds_no_certificate_or_key_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"hello\n", "-----BEGIN NONSENSE-----\n", "\n"};
    hc_tls_config config = peer_config(&pki);
    config.certificate_pem = HC_SLICE_NONE;
    assert_refused(&config, HC_EFORMAT, "server.pem", "empty");
    config = peer_config(&pki);
    config.key_pem = HC_SLICE_NONE;
    assert_refused(&config, HC_EFORMAT, "server.key", "empty");
    for (size_t i = 0; i < HC_COUNT(texts); i++) {
        config = peer_config(&pki);
        config.certificate_pem = hc_slice_text(texts[i]);
        assert_refused(&config, HC_EFORMAT, "server.pem", NULL);
        config = peer_config(&pki);
        config.key_pem = hc_slice_text(texts[i]);
        assert_refused(&config, HC_EFORMAT, "server.key", "BEGIN PRIVATE KEY");
    }
    config = peer_config(&pki);
    config.key_pem = config.certificate_pem;
    assert_refused(&config, HC_EFORMAT, "server.key", "no private key");
    config.certificate_pem = hc_slice_text(pki.key_pem);
    assert_refused(&config, HC_EFORMAT, "server.pem", "no certificate");
}

static void a_file_that_was_cut_or_damaged_is_refused(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    char *chain = joined(pki.server_pem, pki.server_pem);
    size_t whole = strlen(pki.server_pem);
    for (size_t cut = 40; cut + 40 < whole; cut += 97) {
        config.certificate_pem = hc_slice_of(chain, cut);
        assert_refused(&config, HC_EFORMAT, "server.pem", NULL);
        config.certificate_pem = hc_slice_of(chain, whole + cut);
        assert_refused(&config, HC_EFORMAT, "server.pem", "complete");
    }
    memcpy(chain + whole + 100, "!!!!", 4);
    config.certificate_pem = hc_slice_of(chain, 2 * whole);
    assert_refused(&config, HC_EFORMAT, "server.pem", "complete");
    config = peer_config(&pki);
    for (size_t cut = 30; cut + 30 < strlen(pki.key_pem); cut += 31) {
        config.key_pem = hc_slice_of(pki.key_pem, cut);
        assert_refused(&config, HC_EFORMAT, "server.key", NULL);
    }
    free(chain);
}

static void a_bundle_of_many_cas_is_no_chain(void **state)
{
    (void)state;
    char *text = joined("", pki.server_pem);
    for (int i = 0; i < 10; i++) {
        char *longer = joined(text, pki.server_pem);
        free(text);
        text = longer;
    }
    hc_tls_config config = peer_config(&pki);
    config.certificate_pem = hc_slice_text(text);
    assert_refused(&config, HC_ELIMIT, "server.pem", "intermediates");
    config.certificate_pem.size -= strlen(pki.server_pem);
    assert_taken(&config);
    free(text);
}

static void asking_for_certificates_that_nothing_verifies_is_refused(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    config.hooks.verify = NULL;
    assert_refused(&config, HC_EINVAL, NULL, "nothing verifies");
}

static void a_cipher_list_is_checked_and_cannot_lower_the_security_level(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    config.ciphers = "NO-SUCH-CIPHER";
    assert_refused(&config, HC_EINVAL, "NO-SUCH-CIPHER", "openssl ciphers");
    config.ciphers = "ALL:eNULL:@SECLEVEL=0";
    hc_tls_context *c = NULL;
    SSL *ssl = NULL;
    assert_int_equal(hc_tls_context_new(&config, &c, NULL), 0);
    assert_int_equal(hc_tls_accept(c, 0, NULL, &ssl, NULL), 0);
    assert_int_equal(SSL_get_security_level(ssl), 2);
    STACK_OF(SSL_CIPHER) *usable = SSL_get1_supported_ciphers(ssl);
    assert_true(sk_SSL_CIPHER_num(usable) > 3);
    for (int i = 0; i < sk_SSL_CIPHER_num(usable); i++)
        assert_true(SSL_CIPHER_get_bits(sk_SSL_CIPHER_value(usable, i), NULL) >= 112);
    sk_SSL_CIPHER_free(usable);
    hc_tls_free(ssl);
    hc_tls_context_unref(c);
}

static void the_policy_stands_in_every_connection(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    hc_tls_context *c = NULL;
    SSL *ssl = NULL;
    int owner;
    assert_int_equal(hc_tls_context_new(&config, &c, NULL), 0);
    assert_int_equal(hc_tls_accept(c, 0, &owner, &ssl, NULL), 0);
    assert_ptr_equal(hc_tls_owner(ssl), &owner);
    const uint64_t wanted = SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
    const uint64_t unwanted = SSL_OP_IGNORE_UNEXPECTED_EOF;
    assert_int_equal(SSL_get_options(ssl) & wanted, wanted);
    assert_int_equal(SSL_get_options(ssl) & unwanted, 0);
    assert_int_equal(SSL_get_min_proto_version(ssl), TLS1_2_VERSION);
    assert_int_equal(SSL_get_max_early_data(ssl), 0);
    assert_int_equal(SSL_get_num_tickets(ssl), 1);
    assert_null(SSL_CTX_get_keylog_callback(SSL_get_SSL_CTX(ssl)));
    hc_tls_free(ssl);
    hc_tls_context_unref(c);
}

static void every_allocation_that_fails_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    hc_tls_config config = peer_config(&pki);
    hc_tls_context *c = NULL;
    int rc = -1;
    for (size_t nth = 1; rc != 0 && nth < 50; nth++) {
        hc_err err = {0};
        faults_begin(nth);
        rc = hc_tls_context_new(&config, &c, &err);
        if (rc != 0) {
            assert_int_equal(rc, -HC_ENOMEM);
            assert_int_equal(err.code, HC_ENOMEM);
            assert_int_equal(faults_live, 0);
        }
    }
    assert_int_equal(rc, 0);
    hc_tls_context_unref(c);
    assert_int_equal(faults_live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_read_in_every_form_and_with_its_passphrase),
        cmocka_unit_test(a_passphrase_over_the_limit_is_refused_as_such),
        cmocka_unit_test(certificate_and_key_may_stand_in_one_file),
        cmocka_unit_test(ec_parameters_before_a_key_are_passed_over),
        cmocka_unit_test(a_key_of_another_certificate_is_refused),
        cmocka_unit_test(a_chain_in_the_wrong_order_is_refused_as_such),
        cmocka_unit_test(a_key_that_is_weak_or_of_no_use_is_refused),
        cmocka_unit_test(a_certificate_signed_with_sha_1_is_refused),
        cmocka_unit_test(an_expired_certificate_is_the_callers_to_judge),
        cmocka_unit_test(a_file_that_holds_no_certificate_or_key_is_refused),
        cmocka_unit_test(a_file_that_was_cut_or_damaged_is_refused),
        cmocka_unit_test(a_bundle_of_many_cas_is_no_chain),
        cmocka_unit_test(asking_for_certificates_that_nothing_verifies_is_refused),
        cmocka_unit_test(a_cipher_list_is_checked_and_cannot_lower_the_security_level),
        cmocka_unit_test(the_policy_stands_in_every_connection),
        cmocka_unit_test_teardown(every_allocation_that_fails_is_an_error_and_leaks_nothing,
                                  restore),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
