#include "authority/issue.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "../unit.h"

/* 2026-01-01T00:00:00Z */
#define NOW_S ((int64_t)1767225600)

static EVP_PKEY *ca_key, *key;
static X509 *ca;

static const hc_profile *profile(const char *name)
{
    return hc_profile_builtin(hc_slice_text(name));
}

static X509 *issued(const hc_profile *p, const hc_holder *h)
{
    X509 *x = NULL;
    hc_err err = {0};
    bool is_ca = p->kind == HC_PROFILE_CA;
    if (hc_issue(p, h, is_ca ? ca_key : key, is_ca ? NULL : ca, is_ca ? NULL : ca_key, &x, &err) !=
        0)
        fail_msg("%s", err.text);
    return x;
}

static int begin(void **state)
{
    (void)state;
    hc_err err = {0};
    hc_holder h = {.now_s = NOW_S};
    assert_int_equal(hc_key_new(HC_KEY_P256, &ca_key, &err), 0);
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, &err), 0);
    ca = issued(profile("ca"), &h);
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
    hc_holder h = {.name = name, .now_s = NOW_S};
    return issued(profile("client"), &h);
}

static X509 *server(const char *const *hosts, size_t count)
{
    hc_san sans[8];
    hc_holder h = {.sans = sans, .san_count = count, .now_s = NOW_S};
    for (size_t i = 0; i < count; i++)
        sans[i] = hc_profile_host(hosts[i]);
    return issued(profile("server"), &h);
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
    hc_holder h = {.name = "alice", .now_s = NOW_S + 3600 * HC_PROFILE_DAY_S};
    X509 *x = issued(profile("client"), &h);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ca)), 0);
    X509_free(x);
}

static void test_an_expired_ca_issues_nothing(void **state)
{
    (void)state;
    hc_holder h = {.name = "alice", .now_s = NOW_S + 3651 * HC_PROFILE_DAY_S};
    X509 *x = NULL;
    hc_err err = {0};
    assert_int_equal(hc_issue(profile("client"), &h, key, ca, ca_key, &x, &err), -HC_EDENIED);
    assert_null(x);
}

/* RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
static void test_dates_change_their_form_in_2050(void **state)
{
    (void)state;
    hc_holder h = {.now_s = 2492467200}; /* 2048-12-25 */
    X509 *x = issued(profile("ca"), &h);
    assert_int_equal(ASN1_STRING_type(X509_get0_notBefore(x)), V_ASN1_UTCTIME);
    assert_int_equal(ASN1_STRING_type(X509_get0_notAfter(x)), V_ASN1_GENERALIZEDTIME);
    X509_free(x);
}

static void test_only_a_ca_with_its_own_key_issues(void **state)
{
    (void)state;
    hc_holder h = {.name = "mallory", .now_s = NOW_S};
    const hc_profile *p = profile("client");
    X509 *alice = client("alice"), *x = NULL;
    hc_err err = {0};
    assert_int_equal(hc_issue(p, &h, key, ca, key, &x, &err), -HC_EINVAL);
    assert_int_equal(hc_issue(p, &h, key, alice, key, &x, &err), -HC_EDENIED); /* leaf signs leaf */
    assert_int_equal(hc_issue(p, &h, key, NULL, NULL, &x, &err), -HC_EINVAL);
    assert_null(x);
    X509_free(alice);
}

static void test_a_ca_signs_another_where_its_path_is_long_enough(void **state)
{
    (void)state;
    hc_profile p = *profile("ca");
    hc_holder h = {.name = "Sub CA", .now_s = NOW_S};
    X509 *root = NULL, *sub = NULL;
    hc_err err = {0};
    p.path_length = 1;
    assert_int_equal(hc_issue(&p, &h, ca_key, NULL, NULL, &root, &err), 0);
    assert_int_equal(X509_get_pathlen(root), 1);
    assert_int_equal(hc_issue(&p, &h, key, root, ca_key, &sub, &err), -HC_EDENIED);
    p.path_length = 0;
    assert_int_equal(hc_issue(&p, &h, key, ca, ca_key, &sub, &err), -HC_EDENIED);
    assert_int_equal(hc_issue(&p, &h, key, root, ca_key, &sub, &err), 0);
    assert_int_equal(X509_check_ca(sub), 1);
    assert_int_equal(X509_verify(sub, ca_key), 1);
    assert_non_null(X509_get0_authority_key_id(sub));
    X509_free(root);
    X509_free(sub);
}

static void test_names_and_hosts_are_checked_again(void **state)
{
    (void)state;
    static const hc_san bad[] = {{HC_SAN_DNS, "localhost"}, {HC_SAN_DNS, "not a host"}},
                        mail[] = {{HC_SAN_EMAIL, "alice@example.org"}};
    static const struct {
        const char *profile;
        hc_holder holder;
    } cases[] = {
        {"client", {.name = "../alice", .now_s = NOW_S}},
        {"client", {.name = NULL, .now_s = NOW_S}},
        {"server", {.sans = bad, .san_count = 2, .now_s = NOW_S}},
        {"server", {.sans = bad, .san_count = 0, .now_s = NOW_S}},
        {"client", {.name = "alice", .sans = bad, .san_count = 1, .now_s = NOW_S}},
        {"device", {.name = "alice", .sans = mail, .san_count = 1, .now_s = NOW_S}},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        X509 *x = NULL;
        hc_err err = {0};
        assert_int_equal(
            hc_issue(profile(cases[i].profile), &cases[i].holder, key, ca, ca_key, &x, &err),
            -HC_EINVAL);
        assert_null(x);
    }
}

static int keep(void *arg, hc_san_type type, hc_slice value, int nth)
{
    (void)nth;
    return hc_buf_printf(arg, "%s:%.*s ", hc_san_type_name(type), HC_SLICE_ARGS(value));
}

static void test_a_device_is_named_in_every_way_that_its_profile_allows(void **state)
{
    (void)state;
    static const hc_san sans[] = {{HC_SAN_URI, "spiffe://example.org/meter-1"},
                                  {HC_SAN_DNS, "meter-1.example"},
                                  {HC_SAN_IP, "10.0.0.7"}};
    hc_holder h = {.name = "meter-1", .sans = sans, .san_count = 3, .now_s = NOW_S};
    hc_buf text = hc_buf_init(1000);
    hc_err err = {0};
    X509 *x = issued(profile("device"), &h);
    assert_int_equal(hc_san_entries(x, keep, &text, &err), 0);
    assert_slice(hc_buf_slice(&text),
                 "URI:spiffe://example.org/meter-1 DNS:meter-1.example IP:10.0.0.7 ");
    assert_int_equal(critical(x, NID_subject_alt_name), 0);
    assert_int_equal(verified(x, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    hc_buf_done(&text);
    X509_free(x);
}

static void test_a_profile_of_ones_own_gives_lifetime_subject_and_crl(void **state)
{
    (void)state;
    hc_profile p = *profile("client");
    hc_holder h = {.name = "alice", .now_s = NOW_S};
    hc_buf subject = hc_buf_init(200);
    hc_err err = {0};
    p.lifetime_s = HC_PROFILE_DAY_S;
    (void)snprintf(p.subject, sizeof(p.subject), "CN={name}, OU=Staff, O=Example");
    (void)snprintf(p.crl_url, sizeof(p.crl_url), "http://pki.example/ca.crl");
    X509 *x = issued(&p, &h);
    assert_int_equal(seconds_of(X509_get0_notAfter(x)), NOW_S + HC_PROFILE_DAY_S);
    assert_int_equal(hc_name_text(X509_get_subject_name(x), &subject, &err), 0);
    assert_slice(hc_buf_slice(&subject), "CN=alice,OU=Staff,O=Example");
    STACK_OF(DIST_POINT) *points = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
    assert_int_equal(sk_DIST_POINT_num(points), 1);
    GENERAL_NAMES *names = sk_DIST_POINT_value(points, 0)->distpoint->name.fullname;
    const ASN1_STRING *url = sk_GENERAL_NAME_value(names, 0)->d.ia5;
    assert_slice(hc_slice_of(ASN1_STRING_get0_data(url), (size_t)ASN1_STRING_length(url)),
                 "http://pki.example/ca.crl");
    assert_int_equal(verified(x, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    sk_DIST_POINT_pop_free(points, DIST_POINT_free);
    hc_buf_done(&subject);
    X509_free(x);
}

static void test_an_empty_subject_without_other_names_is_refused(void **state)
{
    (void)state;
    hc_profile p = *profile("server");
    static const hc_san uri[] = {{HC_SAN_URI, "urn:a:b"}};
    hc_holder h = {.sans = uri, .san_count = 1, .now_s = NOW_S};
    X509 *x = NULL;
    hc_err err = {0};
    assert_int_equal(hc_issue(&p, &h, key, ca, ca_key, &x, &err), -HC_EINVAL);
    assert_null(x);
}

static void test_each_kind_of_key_is_certified_and_signs(void **state)
{
    (void)state;
    static const int signatures[] = {NID_ecdsa_with_SHA256, NID_ecdsa_with_SHA384, NID_ED25519,
                                     NID_sha256WithRSAEncryption};
    for (hc_key_type type = HC_KEY_P256; type <= HC_KEY_RSA_2048; type++) {
        EVP_PKEY *own = NULL;
        X509 *root = NULL, *x = NULL;
        hc_holder of_ca = {.now_s = NOW_S}, h = {.name = "alice", .now_s = NOW_S};
        hc_err err = {0};
        assert_int_equal(hc_key_new(type, &own, &err), 0);
        assert_int_equal(hc_issue(profile("ca"), &of_ca, own, NULL, NULL, &root, &err), 0);
        assert_int_equal(hc_issue(profile("client"), &h, own, root, own, &x, &err), 0);
        assert_int_equal(X509_get_signature_nid(x), signatures[type]);
        assert_int_equal(X509_verify(x, own), 1);
        assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
        X509_free(x);
        X509_free(root);
        EVP_PKEY_free(own);
    }
}

static void test_a_key_that_the_profile_does_not_take_is_refused(void **state)
{
    (void)state;
    hc_profile p = *profile("client");
    hc_holder h = {.name = "alice", .now_s = NOW_S};
    X509 *x = NULL;
    hc_err err = {0};
    p.keys = HC_PROFILE_BIT(HC_KEY_ED25519) | HC_PROFILE_BIT(HC_KEY_RSA_3072);
    assert_int_equal(hc_issue(&p, &h, key, ca, ca_key, &x, &err), -HC_EDENIED);
    assert_non_null(strstr(err.text, "ed25519, rsa-3072"));
    assert_null(x);
}

/* `asks`: for a subjectAltName and more. */
static hc_csr *request(EVP_PKEY *of, bool asks)
{
    X509_REQ *req = NULL;
    hc_csr *csr = NULL;
    unsigned char *der = NULL;
    hc_err err = {0};
    assert_int_equal(hc_csr_make(of, "admin", &req, &err), 0);
    if (asks) {
        STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
        static const struct {
            int nid;
            const char *value;
        } all[] = {{NID_subject_alt_name, "DNS:admin.example"},
                   {NID_basic_constraints, "critical,CA:TRUE"},
                   {NID_key_usage, "keyCertSign"},
                   {NID_ext_key_usage, "serverAuth,codeSigning"},
                   {NID_netscape_comment, "whatever"}};
        for (size_t i = 0; i < HC_COUNT(all); i++)
            sk_X509_EXTENSION_push(list, X509V3_EXT_conf_nid(NULL, NULL, all[i].nid, all[i].value));
        assert_int_equal(X509_REQ_add_extensions(req, list), 1);
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        assert_true(X509_REQ_sign(req, of, EVP_sha256()) > 0);
    }
    int size = i2d_X509_REQ(req, &der);
    assert_int_equal(hc_csr_parse(hc_slice_of(der, (size_t)size), &csr, &err), 0);
    OPENSSL_free(der);
    X509_REQ_free(req);
    return csr;
}

static void test_a_request_gives_its_key_and_nothing_else(void **state)
{
    (void)state;
    hc_holder h = {.name = "alice", .now_s = NOW_S};
    hc_csr *csr = request(key, true);
    X509 *x = NULL;
    hc_err err = {0};
    assert_int_equal(hc_sign_csr(profile("client"), &h, csr, ca, ca_key, &x, &err), 0);
    X509 *same = client("alice");
    assert_int_equal(X509_NAME_cmp(X509_get_subject_name(x), X509_get_subject_name(same)), 0);
    assert_int_equal(X509_get_ext_count(x), X509_get_ext_count(same));
    assert_int_equal(critical(x, NID_subject_alt_name), -1);
    assert_int_equal(X509_check_ca(x), 0);
    assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_CLIENT);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(x), key), 1);
    X509_free(same);
    X509_free(x);
    hc_csr_free(csr);
}

static void test_a_request_with_the_cas_own_key_is_refused(void **state)
{
    (void)state;
    hc_holder h = {.name = "alice", .now_s = NOW_S};
    hc_csr *csr = request(ca_key, false), *other = request(key, false);
    X509 *x = NULL;
    hc_err err = {0};
    assert_int_equal(hc_sign_csr(profile("client"), &h, csr, ca, ca_key, &x, &err), -HC_EDENIED);
    assert_int_equal(hc_sign_csr(profile("client"), &h, other, NULL, NULL, &x, &err), -HC_EINVAL);
    assert_null(x);
    hc_csr_free(csr);
    hc_csr_free(other);
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
        cmocka_unit_test(test_a_ca_signs_another_where_its_path_is_long_enough),
        cmocka_unit_test(test_a_device_is_named_in_every_way_that_its_profile_allows),
        cmocka_unit_test(test_a_profile_of_ones_own_gives_lifetime_subject_and_crl),
        cmocka_unit_test(test_an_empty_subject_without_other_names_is_refused),
        cmocka_unit_test(test_each_kind_of_key_is_certified_and_signs),
        cmocka_unit_test(test_a_key_that_the_profile_does_not_take_is_refused),
        cmocka_unit_test(test_a_request_gives_its_key_and_nothing_else),
        cmocka_unit_test(test_a_request_with_the_cas_own_key_is_refused),
        cmocka_unit_test(test_keys_are_p256_and_differ),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
