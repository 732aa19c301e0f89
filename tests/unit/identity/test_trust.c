/* What loads as trust and what does not; chains and the rules they obey or break. */
#include "identity/trust.h"

#include <openssl/x509v3.h>

#include "base/buf.h"
#include "trust_case.h"

#define OK(cas, sent)                                                                              \
    {                                                                                              \
        cas, NULL, sent, 0, HC_VERDICT_OK, 0, 0, ""                                                \
    }

static void good_certificates_are_admitted(void **state)
{
    static const trust_case rows[] = {
        OK("ca", "alice"),
        OK("ca", "rsa"),
        OK("ca", "ed25519"),
        OK("ca", "no-extensions"),
        OK("ca", "no-key-usage"),
        OK("ca", "server-and-client"),
        OK("ca", "not-critical-unknown"),
        OK("ca", "alice ca"),
        OK("ca", "via-intermediate intermediate"),
        OK("ca", "via-intermediate intermediate ca"),
        OK("ca", "via-intermediate ca intermediate"),
        OK("ca intermediate", "via-intermediate"),
        OK("ca", "inside-constraints intermediate-name-constraints"),
        OK("other-ca ca", "alice"),
        OK("ca-renewed", "alice"),
        OK("ca ca-expired", "alice"),
        OK("ca-expired ca", "alice"),
    };
    (void)state;
    trust_case_check_all(rows);
}

static void certificates_of_others_are_refused(void **state)
{
    static const trust_case rows[] = {
        {"ca", NULL, "of-other-ca", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0, "issuer"},
        {"ca", NULL, "of-other-ca other-ca", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, 1, "Other CA"},
        {"ca", NULL, "of-same-name-ca", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0, NULL},
        {"ca", NULL, "of-same-name-ca-without-aki", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_CERT_SIGNATURE_FAILURE, 0, "signature"},
        {"ca", NULL, "tampered", 0, HC_VERDICT_UNTRUSTED_ISSUER, X509_V_ERR_CERT_SIGNATURE_FAILURE,
         0, NULL},
        {"ca", NULL, "self-signed", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, 0, "self-signed"},
        {"ca", NULL, "via-intermediate", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0, NULL},
        OK("other-ca", "of-other-ca"),
        OK("same-name-ca ca", "of-same-name-ca"),
        OK("version-1-ca", "of-version-1-ca"),
    };
    (void)state;
    trust_case_check_all(rows);
}

static void a_client_cannot_issue(void **state)
{
    static const trust_case rows[] = {
        {"ca", NULL, "signed-by-alice alice", 0, HC_VERDICT_UNTRUSTED_ISSUER, X509_V_ERR_INVALID_CA,
         1, "alice"},
        {"ca", NULL, "via-intermediate intermediate-not-ca", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_INVALID_CA, 1, NULL},
        {"ca", NULL, "via-intermediate intermediate-only-cert-sign", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_INVALID_CA, 1, "Issuing CA"},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void path_length_and_name_constraints_hold(void **state)
{
    static const trust_case rows[] = {
        {"ca", NULL, "via-sub-intermediate sub-intermediate intermediate", 0,
         HC_VERDICT_UNTRUSTED_ISSUER, X509_V_ERR_PATH_LENGTH_EXCEEDED, 2, "Issuing CA"},
        {"ca", NULL, "outside-constraints intermediate-name-constraints", 0,
         HC_VERDICT_UNTRUSTED_ISSUER, X509_V_ERR_PERMITTED_VIOLATION, 0, NULL},
        /* Also where the operator named the intermediate as well as its root. */
        {"ca intermediate", NULL, "via-sub-intermediate sub-intermediate", 0,
         HC_VERDICT_UNTRUSTED_ISSUER, X509_V_ERR_PATH_LENGTH_EXCEEDED, 2, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void names_that_a_ca_excludes_are_refused(void **state)
{
    static const trust_case rows[] = {
        OK("ca", "outside-exclusion intermediate-excludes"),
        {"ca", NULL, "inside-exclusion intermediate-excludes", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_EXCLUDED_VIOLATION, 0, "excluded"},
    };
    (void)state;
    trust_case_check_all(rows);
}

/* RFC 5280 section 6.1.5 (g). */
static void a_policy_that_a_ca_demands_must_be_there(void **state)
{
    static const trust_case rows[] = {
        OK("ca", "with-policy intermediate-demands-policy"),
        OK("ca", "with-other-policy intermediate"),
        {"ca", NULL, "with-other-policy intermediate-demands-policy", 0,
         HC_VERDICT_UNTRUSTED_ISSUER, X509_V_ERR_NO_EXPLICIT_POLICY, 0, "policy"},
        {"ca", NULL, "via-intermediate intermediate-demands-policy", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_NO_EXPLICIT_POLICY, 0, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

/* OpenSSL CVE-2023-0464: a tree that grew without bound. */
static void a_thousand_policies_end_in_a_refusal_or_not_but_soon(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    hc_verdict v;
    STACK_OF(X509) *chain = trust_case_chain("with-many-policies intermediate");
    int rc = hc_trust_decide(t, sk_X509_value(chain, 0), chain, VECTOR_NOW, &v, NULL);
    assert_int_equal(v.code, rc == 0 ? HC_VERDICT_OK : HC_VERDICT_STATUS_UNKNOWN);
    sk_X509_pop_free(chain, X509_free);
    hc_trust_unref(t);
}

static void time_is_checked_for_every_certificate(void **state)
{
    const int64_t end = 1735689600;   /* 2025-01-01 */
    const int64_t begin = 1798761600; /* 2027-01-01 */
    const trust_case rows[] = {
        {"ca", NULL, "expired", 0, HC_VERDICT_EXPIRED, X509_V_ERR_CERT_HAS_EXPIRED, 0, "expired"},
        {"ca", NULL, "expired", end - 1, HC_VERDICT_OK, 0, 0, NULL},
        {"ca", NULL, "expired", end, HC_VERDICT_EXPIRED, X509_V_ERR_CERT_HAS_EXPIRED, 0, NULL},
        {"ca", NULL, "future", 0, HC_VERDICT_NOT_YET_VALID, X509_V_ERR_CERT_NOT_YET_VALID, 0,
         "not yet"},
        {"ca", NULL, "future", begin - 1, HC_VERDICT_NOT_YET_VALID, X509_V_ERR_CERT_NOT_YET_VALID,
         0, NULL},
        {"ca", NULL, "future", begin, HC_VERDICT_OK, 0, 0, NULL},
        {"ca", NULL, "via-intermediate intermediate-expired", 0, HC_VERDICT_EXPIRED,
         X509_V_ERR_CERT_HAS_EXPIRED, 1, "CN=Example Issuing CA"},
        {"ca-expired", NULL, "alice", 0, HC_VERDICT_EXPIRED, X509_V_ERR_CERT_HAS_EXPIRED, 1,
         "Client CA"},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void only_client_purposes_are_admitted(void **state)
{
    static const trust_case rows[] = {
        {"ca", NULL, "server-only", 0, HC_VERDICT_WRONG_PURPOSE, X509_V_ERR_INVALID_PURPOSE, 0,
         "purpose"},
        {"ca", NULL, "any-purpose", 0, HC_VERDICT_WRONG_PURPOSE, X509_V_ERR_INVALID_PURPOSE, 0,
         NULL},
        {"ca", NULL, "key-encipherment-only", 0, HC_VERDICT_WRONG_PURPOSE,
         X509_V_ERR_INVALID_PURPOSE, 0, NULL},
        {"ca", NULL, "key-agreement-only", 0, HC_VERDICT_WRONG_PURPOSE, X509_V_ERR_INVALID_PURPOSE,
         0, NULL},
        {"ca", NULL, "via-intermediate intermediate-for-servers", 0, HC_VERDICT_WRONG_PURPOSE,
         X509_V_ERR_INVALID_PURPOSE, 1, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void an_empty_list_of_purposes_admits_nobody(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    hc_verdict v = trust_case_decide(t, "empty-eku", VECTOR_NOW);
    assert_true(v.code == HC_VERDICT_WRONG_PURPOSE || v.code == HC_VERDICT_MALFORMED);
    hc_trust_unref(t);
}

static void weak_keys_and_signatures_are_refused(void **state)
{
    static const trust_case rows[] = {
        {"ca", NULL, "rsa1024", 0, HC_VERDICT_WEAK_KEY, X509_V_ERR_EE_KEY_TOO_SMALL, 0, NULL},
        {"ca", NULL, "sha1", 0, HC_VERDICT_WEAK_KEY, X509_V_ERR_CA_MD_TOO_WEAK, 0, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void malformed_certificates_are_refused_before_all_else(void **state)
{
    static const trust_case rows[] = {
        {"ca", NULL, "nul-in-cn", 0, HC_VERDICT_MALFORMED, 0, 0, "NUL"},
        {"ca", NULL, "serial-21-octets", 0, HC_VERDICT_MALFORMED, 0, 0, "20 octets"},
        {"ca", NULL, "alice nul-in-cn", 0, HC_VERDICT_MALFORMED, 0, 1, "NUL"},
        {"ca", NULL, "critical-unknown", 0, HC_VERDICT_MALFORMED,
         X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, 0, "critical"},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void chains_may_have_eight_intermediates_and_no_more(void **state)
{
    static const trust_case rows[] = {
        OK("ca", "below-level-8 level-1 level-2 level-3 level-4 level-5 level-6 level-7 level-8"),
    };
    (void)state;
    trust_case_check_all(rows);
    hc_trust *t = trust_case_trust("ca", NULL);
    hc_verdict v = trust_case_decide(
        t, "below-level-9 level-1 level-2 level-3 level-4 level-5 level-6 level-7 level-8 level-9",
        VECTOR_NOW);
    assert_int_equal(v.code, HC_VERDICT_UNTRUSTED_ISSUER);
    v = trust_case_decide(t,
                          "alice level-1 level-2 level-3 level-4 level-5 level-6 level-7 level-8 "
                          "level-9 bob",
                          VECTOR_NOW);
    assert_int_equal(v.code, HC_VERDICT_UNTRUSTED_ISSUER);
    assert_int_equal(v.error, X509_V_ERR_CERT_CHAIN_TOO_LONG);
    hc_trust_unref(t);
}

static void an_intermediate_alone_can_be_named(void **state)
{
    static const trust_case rows[] = {
        OK("intermediate", "via-intermediate"),
        OK("intermediate", "via-intermediate intermediate"),
        {"intermediate", NULL, "alice", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0, NULL},
        /* What it says of those below it counts. */
        {"intermediate", NULL, "via-sub-intermediate sub-intermediate", 0,
         HC_VERDICT_UNTRUSTED_ISSUER, X509_V_ERR_PATH_LENGTH_EXCEEDED, 2, NULL},
        OK("intermediate-excludes", "outside-exclusion"),
        {"intermediate-excludes", NULL, "inside-exclusion", 0, HC_VERDICT_UNTRUSTED_ISSUER,
         X509_V_ERR_EXCLUDED_VIOLATION, 0, NULL},
        /* Its root is expired and named: then that counts. */
        {"intermediate ca-expired", NULL, "via-intermediate", 0, HC_VERDICT_EXPIRED,
         X509_V_ERR_CERT_HAS_EXPIRED, 2, NULL},
    };
    (void)state;
    trust_case_check_all(rows);
}

static void cas_that_certify_each_other_end_chains(void **state)
{
    static const trust_case rows[] = {OK("cross-signed-a cross-signed-b", "below-cross-signed-a")};
    (void)state;
    trust_case_check_all(rows);
}

static void a_victims_certificate_in_ones_own_chain_changes_nothing(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    assert_int_equal(trust_case_decide(t, "of-other-ca alice", VECTOR_NOW).code,
                     HC_VERDICT_UNTRUSTED_ISSUER);
    assert_int_equal(trust_case_decide(t, "self-signed alice ca", VECTOR_NOW).code,
                     HC_VERDICT_UNTRUSTED_ISSUER);
    hc_trust_unref(t);
}

/* The first error alone, in OpenSSL's order: a chain that leads nowhere comes before its dates. */
static void the_first_error_is_the_one_reported(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("other-ca", NULL);
    hc_verdict v = trust_case_decide(t, "expired", VECTOR_NOW);
    assert_int_equal(v.code, HC_VERDICT_UNTRUSTED_ISSUER);
    assert_int_equal(v.error, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    hc_trust_unref(t);
}

static void names_are_the_subjects_each_once(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca other-ca same-name-ca ca-renewed ca", NULL);
    assert_int_equal(sk_X509_num(hc_trust_cas(t)), 4);
    assert_int_equal(sk_X509_NAME_num(hc_trust_names(t)), 2);
    assert_int_equal(hc_trust_generation(t), 7);
    hc_trust_unref(hc_trust_ref(t));
    hc_trust_unref(t);
    hc_trust_unref(NULL);
}

static int load_text(hc_slice text, hc_err *err)
{
    hc_trust *t = NULL;
    hc_trust_source source = {"the-file", text};
    hc_trust_config config = {.cas = &source, .ca_count = 1, .now_s = VECTOR_NOW};
    int rc = hc_trust_load(&config, &t, err);
    hc_trust_unref(t);
    return rc;
}

static void assert_load_fails(hc_slice text, int rc, const char *word)
{
    hc_err err = {0};
    assert_int_equal(load_text(text, &err), rc);
    assert_int_equal(load_text(text, NULL), rc);
    if (!strstr(err.text, word) || !strstr(err.text, "the-file"))
        fail_msg("\"%s\" does not say \"%s\" and which file", err.text, word);
}

static void a_ca_file_without_a_ca_is_an_error(void **state)
{
    (void)state;
    vector *leaf = vector_read("chains", "alice", ".pem");
    vector *key = vector_read("keys", "ca", ".key");
    vector *crl = vector_read("crls", "empty", ".pem");
    vector *der = vector_read("names", "plain", ".der");
    assert_load_fails(HC_SLICE_NONE, -HC_EFORMAT, "no CA certificate");
    assert_load_fails(S("just words\n"), -HC_EFORMAT, "no CA certificate");
    assert_load_fails(vector_slice(key), -HC_EFORMAT, "no CA certificate");
    assert_load_fails(vector_slice(der), -HC_EFORMAT, "no CA certificate");
    assert_load_fails(vector_slice(leaf), -HC_EFORMAT, "not a CA certificate");
    assert_load_fails(vector_slice(crl), -HC_EFORMAT, "--crl");
    free(leaf);
    free(key);
    free(crl);
    free(der);
}

static void no_ca_file_at_all_is_an_error(void **state)
{
    (void)state;
    hc_trust *t = NULL;
    hc_trust_config config = {.now_s = VECTOR_NOW};
    assert_int_equal(hc_trust_load(&config, &t, NULL), -HC_EINVAL);
    assert_null(t);
}

static hc_buf joined(const char *before, const vector *v, const char *after)
{
    hc_buf text = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_buf_add_text(&text, before), 0);
    assert_int_equal(hc_buf_add(&text, vector_slice(v)), 0);
    assert_int_equal(hc_buf_add_text(&text, after), 0);
    return text;
}

static void text_and_keys_around_cas_are_skipped(void **state)
{
    (void)state;
    vector *ca = vector_read("chains", "ca", ".pem");
    vector *key = vector_read("keys", "ca", ".key");
    hc_buf text = joined("# our CA, since 2020\r\n\r\n", ca, "\nthe end\n");
    assert_int_equal(load_text(hc_buf_slice(&text), NULL), 0);
    assert_int_equal(hc_buf_add(&text, vector_slice(key)), 0);
    assert_int_equal(load_text(hc_buf_slice(&text), NULL), 0);
    hc_buf_done(&text);
    text = joined("\xEF\xBB\xBF", ca, ""); /* saved by an editor that writes a byte order mark */
    assert_int_equal(load_text(hc_buf_slice(&text), NULL), 0);
    hc_buf_done(&text);
    free(ca);
    free(key);
}

static void a_broken_block_beside_a_good_one_is_an_error(void **state)
{
    static const char *const broken[] = {
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n@@@@\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE----\nAAAA\n-----END CERTIFICATE-----\n",
        " -----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n",
    };
    (void)state;
    vector *ca = vector_read("chains", "ca", ".pem");
    for (size_t i = 0; i < HC_COUNT(broken); i++) {
        hc_buf text = joined("", ca, broken[i]);
        assert_load_fails(hc_buf_slice(&text), -HC_EFORMAT, "");
        hc_buf_done(&text);
        text = joined(broken[i], ca, "");
        assert_load_fails(hc_buf_slice(&text), -HC_EFORMAT, "");
        hc_buf_done(&text);
    }
    free(ca);
}

static void octets_behind_a_ca_in_its_block_are_an_error(void **state)
{
    (void)state;
    X509 *ca = vector_chain_certificate("ca");
    uint8_t der[2048] = {0};
    unsigned char *at = der;
    char *text = NULL;
    int size = i2d_X509(ca, &at);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio(bio, "CERTIFICATE", "", der, size + 1) > 0);
    long text_size = BIO_get_mem_data(bio, &text);
    assert_load_fails(hc_slice_of(text, (size_t)text_size), -HC_EFORMAT, "octets behind");
    BIO_free(bio);
    X509_free(ca);
}

static void truncated_ca_files_are_errors(void **state)
{
    (void)state;
    vector *ca = vector_read("chains", "ca", ".pem");
    for (size_t cut = 0; cut < ca->size - 1; cut += 13)
        assert_int_equal(load_text(hc_slice_of(ca->bytes, cut), NULL), -HC_EFORMAT);
    free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_certificates_are_admitted),
        cmocka_unit_test(certificates_of_others_are_refused),
        cmocka_unit_test(a_client_cannot_issue),
        cmocka_unit_test(path_length_and_name_constraints_hold),
        cmocka_unit_test(names_that_a_ca_excludes_are_refused),
        cmocka_unit_test(a_policy_that_a_ca_demands_must_be_there),
        cmocka_unit_test(a_thousand_policies_end_in_a_refusal_or_not_but_soon),
        cmocka_unit_test(time_is_checked_for_every_certificate),
        cmocka_unit_test(only_client_purposes_are_admitted),
        cmocka_unit_test(an_empty_list_of_purposes_admits_nobody),
        cmocka_unit_test(weak_keys_and_signatures_are_refused),
        cmocka_unit_test(malformed_certificates_are_refused_before_all_else),
        cmocka_unit_test(chains_may_have_eight_intermediates_and_no_more),
        cmocka_unit_test(an_intermediate_alone_can_be_named),
        cmocka_unit_test(cas_that_certify_each_other_end_chains),
        cmocka_unit_test(a_victims_certificate_in_ones_own_chain_changes_nothing),
        cmocka_unit_test(the_first_error_is_the_one_reported),
        cmocka_unit_test(names_are_the_subjects_each_once),
        cmocka_unit_test(a_ca_file_without_a_ca_is_an_error),
        cmocka_unit_test(no_ca_file_at_all_is_an_error),
        cmocka_unit_test(text_and_keys_around_cas_are_skipped),
        cmocka_unit_test(a_broken_block_beside_a_good_one_is_an_error),
        cmocka_unit_test(octets_behind_a_ca_in_its_block_are_an_error),
        cmocka_unit_test(truncated_ca_files_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
