#include "x509/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "../unit.h"
#include "weak_moduli.h"

static EVP_PKEY *rsa(const char *modulus_hex, const char *exponent_hex)
{
    BIGNUM *n = NULL, *e = NULL;
    EVP_PKEY *key = NULL;
    assert_true(BN_hex2bn(&n, modulus_hex) > 0 && BN_hex2bn(&e, exponent_hex) > 0);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return key;
}

/* Judges and frees `key`; `says` is part of the refusal, NULL where there is none. */
static void judged(EVP_PKEY *key, const char *says)
{
    hc_err err = {0};
    assert_non_null(key);
    int rc = hc_key_check(key, &err);
    EVP_PKEY_free(key);
    if (!says && rc != 0)
        fail_msg("%s", err.text);
    if (says && (rc != -HC_EDENIED || !strstr(err.text, says)))
        fail_msg("%d, %s", rc, err.text);
}

static void each_kind_is_made_and_certified(void **state)
{
    (void)state;
    for (hc_key_type type = HC_KEY_P256; type <= HC_KEY_RSA_2048; type++) {
        EVP_PKEY *key = NULL;
        hc_err err = {0};
        assert_int_equal(hc_key_new(type, &key, &err), 0);
        for (hc_key_type other = HC_KEY_P256; other < HC_KEY_TYPES; other++)
            assert_int_equal(hc_key_is(key, other), other == type);
        judged(key, NULL);
    }
}

static void a_longer_rsa_key_is_of_the_shorter_kinds_too(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_RSA_gen(3100);
    assert_true(hc_key_is(key, HC_KEY_RSA_2048));
    assert_true(hc_key_is(key, HC_KEY_RSA_3072));
    assert_false(hc_key_is(key, HC_KEY_RSA_4096));
    EVP_PKEY_free(key);
}

static void kinds_have_names_in_any_spelling(void **state)
{
    (void)state;
    hc_key_type type = HC_KEY_TYPES;
    for (hc_key_type t = HC_KEY_P256; t < HC_KEY_TYPES; t++) {
        assert_true(hc_key_type_parse(hc_slice_text(hc_key_type_name(t)), &type));
        assert_int_equal(type, t);
    }
    assert_true(hc_key_type_parse(S("P256"), &type));
    assert_int_equal(type, HC_KEY_P256);
    assert_true(hc_key_type_parse(S("Ed25519"), &type));
    assert_int_equal(type, HC_KEY_ED25519);
    assert_true(hc_key_type_parse(S("rsa"), &type));
    assert_int_equal(type, HC_KEY_RSA_2048);
    static const char *const bad[] = {"", "p-25", "p-2566", "rsa-1024", "dsa", "-"};
    for (size_t i = 0; i < HC_COUNT(bad); i++)
        assert_false(hc_key_type_parse(hc_slice_text(bad[i]), &type));
}

static void each_kind_signs_with_a_digest_of_its_strength(void **state)
{
    (void)state;
    static const struct {
        const char *group, *digest;
    } curves[] = {{"P-256", "SHA2-256"}, {"P-384", "SHA2-384"}, {"P-521", "SHA2-512"}};
    for (size_t i = 0; i < HC_COUNT(curves); i++) {
        EVP_PKEY *key = EVP_EC_gen(curves[i].group);
        assert_true(EVP_MD_is_a(hc_key_digest(key), curves[i].digest));
        EVP_PKEY_free(key);
    }
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_null(hc_key_digest(key));
    EVP_PKEY_free(key);
    key = rsa(modulus_honest, "10001");
    assert_true(EVP_MD_is_a(hc_key_digest(key), "SHA2-256"));
    EVP_PKEY_free(key);
}

static void an_honest_rsa_key_passes(void **state)
{
    (void)state;
    judged(rsa(modulus_honest, "10001"), NULL);
    judged(rsa(modulus_honest, "ffffffff00000001"), NULL);
}

static void rsa_below_2048_bits_is_refused(void **state)
{
    (void)state;
    judged(EVP_RSA_gen(1024), "RSA with 1024 bits");
    judged(EVP_RSA_gen(2040), "RSA with 2040 bits");
}

static void monstrous_rsa_is_refused_before_it_costs_time(void **state)
{
    (void)state;
    static char modulus[4097];
    memset(modulus, 'f', sizeof(modulus) - 1);
    judged(rsa(modulus, "10001"), "more than 8192 bits");
    judged(rsa(modulus_honest, "10000000000000001"), "more than 64 bits");
}

static void a_small_or_even_exponent_is_refused(void **state)
{
    (void)state;
    judged(rsa(modulus_honest, "3"), "exponent");
    judged(rsa(modulus_honest, "ffff"), "exponent");
    judged(rsa(modulus_honest, "10002"), "exponent");
}

static void a_modulus_with_a_small_factor_is_refused(void **state)
{
    (void)state;
    char even[sizeof(modulus_honest)];
    judged(rsa(modulus_small_factor, "10001"), "small factor");
    memcpy(even, modulus_honest, sizeof(even));
    even[sizeof(even) - 2] = '4';
    judged(rsa(even, "10001"), "small factor");
}

static void a_modulus_of_infineon_is_refused(void **state)
{
    (void)state;
    judged(rsa(modulus_roca, "10001"), "CVE-2017-15361");
}

static void a_modulus_with_close_factors_is_refused(void **state)
{
    (void)state;
    judged(rsa(modulus_close, "10001"), "close to each other");
}

static void weak_and_unusual_curves_are_refused(void **state)
{
    (void)state;
    judged(EVP_EC_gen("P-192"), "EC with 192 bits");
    judged(EVP_EC_gen("P-521"), NULL);
}

static void a_curve_that_is_written_out_is_refused(void **state)
{
    (void)state;
    unsigned char *der = NULL;
    EVP_PKEY *named = EVP_EC_gen("P-256");
    assert_int_equal(EVP_PKEY_set_utf8_string_param(named, OSSL_PKEY_PARAM_EC_ENCODING, "explicit"),
                     1);
    int size = i2d_PUBKEY(named, &der);
    const unsigned char *at = der;
    assert_true(size > 0);
    judged(d2i_PUBKEY(NULL, &at, size), "written out");
    OPENSSL_free(der);
    EVP_PKEY_free(named);
}

static EVP_PKEY *ed25519(uint8_t first, uint8_t middle, uint8_t last)
{
    uint8_t point[32];
    memset(point, middle, sizeof(point));
    point[0] = first;
    point[31] = last;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point, sizeof(point));
}

static void an_ed25519_point_of_small_order_is_refused(void **state)
{
    (void)state;
    judged(ed25519(0, 0, 0), "small order");
    judged(ed25519(1, 0, 0), "small order");
    judged(ed25519(1, 0, 0x80), "small order");
    judged(ed25519(0xec, 0xff, 0x7f), "small order");
    judged(ed25519(0xee, 0xff, 0xff), "small order");
    judged(ed25519(0xeb, 0xff, 0x7f), NULL);
    judged(ed25519(9, 0, 0), NULL);
}

static void keys_of_other_kinds_are_refused(void **state)
{
    (void)state;
    judged(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), "of this kind");
    judged(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), NULL);
}

static void a_key_has_the_digest_that_its_certificate_has(void **state)
{
    (void)state;
    uint8_t one[32], again[32], other[32];
    hc_err err = {0};
    EVP_PKEY *key = EVP_EC_gen("P-256"), *second = EVP_EC_gen("P-256");
    assert_int_equal(hc_key_sha256(key, one, &err), 0);
    assert_int_equal(hc_key_sha256(key, again, &err), 0);
    assert_int_equal(hc_key_sha256(second, other, &err), 0);
    assert_memory_equal(one, again, 32);
    assert_memory_not_equal(one, other, 32);
    EVP_PKEY_free(key);
    EVP_PKEY_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_made_and_certified),
        cmocka_unit_test(a_longer_rsa_key_is_of_the_shorter_kinds_too),
        cmocka_unit_test(kinds_have_names_in_any_spelling),
        cmocka_unit_test(each_kind_signs_with_a_digest_of_its_strength),
        cmocka_unit_test(an_honest_rsa_key_passes),
        cmocka_unit_test(rsa_below_2048_bits_is_refused),
        cmocka_unit_test(monstrous_rsa_is_refused_before_it_costs_time),
        cmocka_unit_test(a_small_or_even_exponent_is_refused),
        cmocka_unit_test(a_modulus_with_a_small_factor_is_refused),
        cmocka_unit_test(a_modulus_of_infineon_is_refused),
        cmocka_unit_test(a_modulus_with_close_factors_is_refused),
        cmocka_unit_test(weak_and_unusual_curves_are_refused),
        cmocka_unit_test(a_curve_that_is_written_out_is_refused),
        cmocka_unit_test(an_ed25519_point_of_small_order_is_refused),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
        cmocka_unit_test(a_key_has_the_digest_that_its_certificate_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
