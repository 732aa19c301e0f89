#include "authority/issue.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "../unit.h"

/* 2026-01-01T00:00:00Z */
#define NOW_S ((int64_t)1767225600)

static EVP_PKEY *ca_key, *key;
static X509 *ca;

static X509 *issued(const hc_profile *p)
{
    X509 *x = NULL;
    hc_err err = {0};
    bool is_ca = p->kind == HC_PROFILE_CA;
    if (hc_issue(p, is_ca ? ca_key : key, is_ca ? NULL : ca, is_ca ? NULL : ca_key, &x, &err) != 0)
        fail_msg("%s", err.text);
    return x;
}

static int begin(void **state)
{
    (void)state;
    hc_err err = {0};
    hc_profile p = {.kind = HC_PROFILE_CA, .now_s = NOW_S};
    assert_int_equal(hc_key_new(&ca_key, &err), 0);
    assert_int_equal(hc_key_new(&key, &err), 0);
    ca = issued(&p);
    return 0;
}

static int end(void **state)
{
    (void)state;
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return 0;
}

static X509 *client(const char *name)
{
    hc_profile p = {.kind = HC_PROFILE_CLIENT, .name = name, .now_s = NOW_S};
    return issued(&p);
}

static X509 *server(const char *const *hosts, size_t count)
{
    hc_profile p = {.kind = HC_PROFILE_SERVER, .hosts = hosts, .host_count = count, .now_s = NOW_S};
    return issued(&p);
}

static int critical(X509 *x, int nid)
{
    int at = X509_get_ext_by_NID(x, nid, -1);
    return at < 0 ? -1 : X509_EXTENSION_get_critical(X509_get_ext(x, at));
}

/* RFC 5280's algorithm as OpenSSL has it, strict, at NOW_S. */
static int verified(X509 *leaf, int purpose)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, ca), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    X509_STORE_CTX_set_time(ctx, X509_V_FLAG_X509_STRICT, (time_t)NOW_S);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx),
                                X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    (void)X509_verify_cert(ctx);
    int error = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return error;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    assert_int_equal(ASN1_TIME_to_tm(t, &tm), 1);
    return timegm(&tm);
}

static void test_a_ca_signs_leaves_and_lists_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(X509_get_version(ca), X509_VERSION_3);
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_int_equal(critical(ca, NID_basic_constraints), 1);
    assert_int_equal(critical(ca, NID_key_usage), 1);
    assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(critical(ca, NID_subject_key_identifier), 0);
    assert_int_equal(critical(ca, NID_ext_key_usage), -1);
    assert_int_equal(X509_verify(ca, ca_key), 1);
    assert_int_equal(X509_NAME_cmp(X509_get_subject_name(ca), X509_get_issuer_name(ca)), 0);
}

static void test_a_client_is_for_clients_alone(void **state)
{
    (void)state;
    X509 *x = client("alice");
    assert_int_equal(verified(x, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    assert_int_equal(verified(x, X509_PURPOSE_SSL_SERVER), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_CLIENT);
    assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
    assert_int_equal(critical(x, NID_key_usage), 1);
    assert_int_equal(X509_check_ca(x), 0);
    assert_int_equal(critical(x, NID_subject_alt_name), -1);
    X509_free(x);
}

static void test_a_server_is_for_servers_alone_and_names_its_hosts(void **state)
{
    (void)state;
    static const char *const hosts[] = {"localhost", "127.0.0.1", "::1", "*.shop.example"};
    X509 *x = server(hosts, HC_COUNT(hosts));
    assert_int_equal(verified(x, X509_PURPOSE_SSL_SERVER), X509_V_OK);
    assert_int_equal(verified(x, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(X509_check_host(x, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "a.shop.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "shop.example", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "::2", 0), 0);
    /* An address is no DNS name (RFC 5280 section 4.2.1.6). */
    assert_int_equal(X509_check_host(x, "127.0.0.1", 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL),
                     0);
    assert_int_equal(critical(x, NID_subject_alt_name), 0);
    X509_free(x);
}

/* RFC 5280 section 4.2.1.6: where the subject is empty the alternative names are critical. */
static void test_a_host_too_long_for_a_common_name_leaves_the_subject_empty(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "a-rather-long-name-for-a-host.in-a-rather-deep-zone.of-the-example.example"};
    X509 *x = server(hosts, 1);
    assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(x)), 0);
    assert_int_equal(critical(x, NID_subject_alt_name), 1);
    assert_int_equal(verified(x, X509_PURPOSE_SSL_SERVER), X509_V_OK);
    X509_free(x);
}

static void test_names_are_utf8(void **state)
{
    (void)state;
    X509 *x = client("J\xc3\xbcrgen");
    X509_NAME_ENTRY *entry = X509_NAME_get_entry(X509_get_subject_name(x), 0);
    ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
    assert_int_equal(ASN1_STRING_type(value), V_ASN1_UTF8STRING);
    assert_slice(hc_slice_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)),
                 "J\xc3\xbcrgen");
    X509_free(x);
}

static void test_key_identifiers_lead_to_the_ca(void **state)
{
    (void)state;
    X509 *x = client("alice");
    assert_int_equal(
        ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(x), X509_get0_subject_key_id(ca)), 0);
    assert_int_not_equal(
        ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(x), X509_get0_subject_key_id(ca)), 0);
    assert_int_equal(critical(x, NID_authority_key_identifier), 0);
    assert_null(X509_get0_authority_key_id(ca));
    X509_free(x);
}

static void test_a_leaf_lives_a_year_and_begins_a_little_earlier(void **state)
{
    (void)state;
    X509 *x = client("alice");
    assert_int_equal(seconds_of(X509_get0_notBefore(x)), seconds_of(X509_get0_notBefore(ca)));
    assert_int_equal(seconds_of(X509_get0_notBefore(ca)), NOW_S - HC_PROFILE_BACKDATE_S);
    assert_int_equal(seconds_of(X509_get0_notAfter(x)), NOW_S + 365 * HC_PROFILE_DAY_S);
    assert_int_equal(seconds_of(X509_get0_notAfter(ca)), NOW_S + 3650 * HC_PROFILE_DAY_S);
    X509_free(x);
}

static void test_a_leaf_does_not_outlive_its_ca(void **state)
{
    (void)state;
    hc_profile p = {
        .kind = HC_PROFILE_CLIENT, .name = "alice", .now_s = NOW_S + 3600 * HC_PROFILE_DAY_S};
    X509 *x = issued(&p);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ca)), 0);
    X509_free(x);
}

static void test_an_expired_ca_issues_nothing(void **state)
{
    (void)state;
    hc_profile p = {
        .kind = HC_PROFILE_CLIENT, .name = "alice", .now_s = NOW_S + 3651 * HC_PROFILE_DAY_S};
    X509 *x = NULL;
    hc_err err = {0};
    assert_int_equal(hc_issue(&p, key, ca, ca_key, &x, &err), -HC_EDENIED);
    assert_null(x);
}

/* RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
static void test_dates_change_their_form_in_2050(void **state)
{
    (void)state;
    hc_profile p = {.kind = HC_PROFILE_CA, .now_s = 2492467200}; /* 2048-12-25 */
    X509 *x = issued(&p);
    assert_int_equal(ASN1_STRING_type(X509_get0_notBefore(x)), V_ASN1_UTCTIME);
    assert_int_equal(ASN1_STRING_type(X509_get0_notAfter(x)), V_ASN1_GENERALIZEDTIME);
    X509_free(x);
}

static void test_only_a_ca_with_its_own_key_issues(void **state)
{
    (void)state;
    hc_profile p = {.kind = HC_PROFILE_CLIENT, .name = "mallory", .now_s = NOW_S};
    X509 *alice = client("alice"), *x = NULL;
    hc_err err = {0};
    assert_int_equal(hc_issue(&p, key, ca, key, &x, &err), -HC_EINVAL);
    assert_int_equal(hc_issue(&p, key, alice, key, &x, &err), -HC_EDENIED); /* leaf signs leaf */
    assert_int_equal(hc_issue(&p, key, NULL, NULL, &x, &err), -HC_EINVAL);
    p.kind = HC_PROFILE_CA;
    assert_int_equal(hc_issue(&p, key, ca, ca_key, &x, &err), -HC_EINVAL);
    assert_null(x);
    X509_free(alice);
}

static void test_names_and_hosts_are_checked_again(void **state)
{
    (void)state;
    static const char *const bad_hosts[] = {"localhost", "not a host"};
    hc_profile profiles[] = {
        {.kind = HC_PROFILE_CLIENT, .name = "../alice", .now_s = NOW_S},
        {.kind = HC_PROFILE_CLIENT, .name = NULL, .now_s = NOW_S},
        {.kind = HC_PROFILE_SERVER, .hosts = bad_hosts, .host_count = 2, .now_s = NOW_S},
        {.kind = HC_PROFILE_SERVER, .hosts = bad_hosts, .host_count = 0, .now_s = NOW_S},
    };
    for (size_t i = 0; i < HC_COUNT(profiles); i++) {
        X509 *x = NULL;
        hc_err err = {0};
        assert_int_equal(hc_issue(&profiles[i], key, ca, ca_key, &x, &err), -HC_EINVAL);
        assert_null(x);
    }
}

static void test_keys_are_p256_and_differ(void **state)
{
    (void)state;
    char group[32];
    assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof(group), NULL), 1);
    assert_string_equal(group, "prime256v1");
    assert_int_not_equal(EVP_PKEY_eq(key, ca_key), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ca_signs_leaves_and_lists_and_nothing_else),
        cmocka_unit_test(test_a_client_is_for_clients_alone),
        cmocka_unit_test(test_a_server_is_for_servers_alone_and_names_its_hosts),
        cmocka_unit_test(test_a_host_too_long_for_a_common_name_leaves_the_subject_empty),
        cmocka_unit_test(test_names_are_utf8),
        cmocka_unit_test(test_key_identifiers_lead_to_the_ca),
        cmocka_unit_test(test_a_leaf_lives_a_year_and_begins_a_little_earlier),
        cmocka_unit_test(test_a_leaf_does_not_outlive_its_ca),
        cmocka_unit_test(test_an_expired_ca_issues_nothing),
        cmocka_unit_test(test_dates_change_their_form_in_2050),
        cmocka_unit_test(test_only_a_ca_with_its_own_key_issues),
        cmocka_unit_test(test_names_and_hosts_are_checked_again),
        cmocka_unit_test(test_keys_are_p256_and_differ),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
