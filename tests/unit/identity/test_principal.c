#include "identity/principal.h"

#include "base/mem.h"
#include "faults.h"
#include "trust_case.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static hc_principal *principal_of(const char *sent, bool leaf_in_chain)
{
    hc_principal *p = NULL;
    hc_err err = {0};
    STACK_OF(X509) *chain = trust_case_chain(sent);
    X509 *leaf = sk_X509_value(chain, 0);
    if (!leaf_in_chain)
        leaf = sk_X509_shift(chain);
    if (hc_principal_new(leaf, chain, &p, &err) != 0)
        fail_msg("%s: %s", sent, err.text);
    if (!leaf_in_chain)
        X509_free(leaf);
    sk_X509_pop_free(chain, X509_free);
    return p;
}

static void the_leaf_is_no_part_of_the_chain(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        hc_principal *p = principal_of("via-intermediate intermediate ca", with);
        assert_string_equal(hc_cert_subject(p->cert), "CN=via-intermediate,O=Example");
        assert_int_equal(p->chain_count, 2);
        assert_string_equal(hc_cert_subject(p->chain[0]), "CN=Example Issuing CA,O=Example");
        assert_string_equal(hc_cert_subject(p->chain[1]), "CN=Example Client CA,O=Example");
        hc_principal_unref(p);
    }
    hc_principal *p = principal_of("alice alice", false);
    assert_int_equal(p->chain_count, 0);
    hc_principal_unref(p);
}

static void a_principal_lives_until_its_last_reference(void **state)
{
    (void)state;
    hc_principal *p = principal_of("alice", true);
    assert_ptr_equal(hc_principal_ref(p), p);
    hc_principal_unref(p);
    assert_string_equal(hc_cert_serial_hex(p->cert), "1000");
    hc_principal_unref(p);
    hc_principal_unref(NULL);
}

static void a_malformed_certificate_is_no_principal(void **state)
{
    (void)state;
    static const char *const sent[] = {"nul-in-cn", "serial-21-octets", "alice nul-in-cn"};
    for (size_t i = 0; i < HC_COUNT(sent); i++) {
        hc_principal *p = NULL;
        STACK_OF(X509) *chain = trust_case_chain(sent[i]);
        assert_int_equal(hc_principal_new(sk_X509_value(chain, 0), chain, &p, NULL), -HC_EFORMAT);
        assert_null(p);
        sk_X509_pop_free(chain, X509_free);
    }
}

static void too_many_certificates_are_refused(void **state)
{
    (void)state;
    hc_principal *p = NULL;
    STACK_OF(X509) *chain = trust_case_chain(
        "alice level-1 level-2 level-3 level-4 level-5 level-6 level-7 level-8 level-9 bob");
    assert_int_equal(hc_principal_new(sk_X509_value(chain, 0), chain, &p, NULL), -HC_ELIMIT);
    assert_null(p);
    sk_X509_pop_free(chain, X509_free);
}

static void a_kept_principal_is_decided_about_like_a_new_one(void **state)
{
    static const struct {
        const char *crls, *sent;
        hc_verdict_code code;
    } rows[] = {
        {NULL, "alice", HC_VERDICT_OK},
        {"alice-revoked", "alice", HC_VERDICT_REVOKED},
        {NULL, "expired", HC_VERDICT_EXPIRED},
        {NULL, "via-intermediate intermediate", HC_VERDICT_OK},
        {NULL, "via-intermediate", HC_VERDICT_UNTRUSTED_ISSUER},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        hc_trust *t = trust_case_trust("ca", rows[i].crls);
        hc_principal *p = principal_of(rows[i].sent, true);
        hc_verdict v;
        assert_int_equal(hc_principal_decide(p, t, VECTOR_NOW, &v, NULL), 0);
        assert_int_equal(v.code, rows[i].code);
        assert_int_equal(v.chain_generation, 7);
        hc_principal_unref(p);
        hc_trust_unref(t);
    }
}

static void a_verdict_holds_for_its_generations_and_its_time(void **state)
{
    (void)state;
    hc_verdict v = {
        .code = HC_VERDICT_OK, .good_until_s = 1000, .chain_generation = 3, .record_generation = 5};
    assert_true(hc_verdict_holds(&v, 3, 5, 999));
    assert_true(hc_verdict_holds(&v, 3, 5, 1000));
    assert_false(hc_verdict_holds(&v, 3, 5, 1001));
    assert_false(hc_verdict_holds(&v, 4, 5, 999));
    assert_false(hc_verdict_holds(&v, 2, 5, 999));
    assert_false(hc_verdict_holds(&v, 3, 6, 999));
}

static void a_verdict_does_not_outlast_the_certificate(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    hc_verdict v = trust_case_decide(t, "ends-in-2026", VECTOR_NOW);
    assert_true(hc_verdict_holds(&v, 7, 0, 1780272000 - 1));
    assert_false(hc_verdict_holds(&v, 7, 0, 1780272000));
    hc_trust_unref(t);
}

static void principals_survive_every_failing_allocation(void **state)
{
    (void)state;
    STACK_OF(X509) *chain = trust_case_chain("via-intermediate intermediate ca");
    int rc = -1;
    for (size_t n = 1; rc != 0; n++) {
        hc_principal *p = NULL;
        faults_begin(n);
        rc = hc_principal_new(sk_X509_value(chain, 0), chain, &p, NULL);
        assert_true(rc == 0 || (rc == -HC_ENOMEM && !p));
        hc_principal_unref(p);
        faults_end();
        assert_int_equal(faults_live, 0);
        assert_true(n < 1000);
    }
    sk_X509_pop_free(chain, X509_free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_leaf_is_no_part_of_the_chain),
        cmocka_unit_test(a_principal_lives_until_its_last_reference),
        cmocka_unit_test(a_malformed_certificate_is_no_principal),
        cmocka_unit_test(too_many_certificates_are_refused),
        cmocka_unit_test(a_kept_principal_is_decided_about_like_a_new_one),
        cmocka_unit_test(a_verdict_holds_for_its_generations_and_its_time),
        cmocka_unit_test(a_verdict_does_not_outlast_the_certificate),
        cmocka_unit_test_teardown(principals_survive_every_failing_allocation, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
