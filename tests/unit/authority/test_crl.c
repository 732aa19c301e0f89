#include "authority/crl.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "../faults.h"
#include "../unit.h"
#include "authority/issue.h"
#include "base/clock.h"

#define NOW_S  ((int64_t)1767225600) /* 2026-01-01 */
#define WEEK_S (7 * HC_PROFILE_DAY_S)

static EVP_PKEY *key;
static X509 *ca;

static const hc_crl_terms terms = {7, NOW_S, NOW_S + WEEK_S};

static int begin(void **state)
{
    (void)state;
    hc_holder h = {.now_s = NOW_S};
    hc_err err = {0};
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, &err), 0);
    assert_int_equal(hc_issue(hc_profile_builtin(S("ca")), &h, key, NULL, NULL, &ca, &err), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    X509_free(ca);
    EVP_PKEY_free(key);
    return 0;
}

static hc_revoked revoked(uint32_t serial, int64_t at_s, int reason)
{
    hc_revoked r = {.serial = {.size = 4}, .revoked_s = at_s, .reason = reason};
    for (size_t i = 0; i < 4; i++)
        r.serial.octets[i] = (uint8_t)(serial >> (24 - 8 * i));
    return r;
}

static X509_CRL *signed_list(const hc_revoked *rows, size_t count, const hc_crl_terms *t)
{
    hc_crl *c = NULL;
    X509_CRL *crl = NULL;
    hc_err err = {0};
    assert_int_equal(hc_crl_new(&c, &err), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(hc_crl_add(c, &rows[i], &err), 0);
    if (hc_crl_sign(c, t, ca, key, &crl, &err) != 0)
        fail_msg("%s", err.text);
    hc_crl_free(c);
    return crl;
}

static X509_REVOKED *entry_of(X509_CRL *crl, uint32_t serial)
{
    X509_REVOKED *entry = NULL;
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    assert_int_equal(ASN1_INTEGER_set_uint64(number, serial), 1);
    int found = X509_CRL_get0_by_serial(crl, &entry, number);
    ASN1_INTEGER_free(number);
    return found ? entry : NULL;
}

/* -1: none is said. */
static long reason_of(X509_REVOKED *entry)
{
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
    long value = reason ? ASN1_ENUMERATED_get(reason) : -1;
    ASN1_ENUMERATED_free(reason);
    return value;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    assert_int_equal(ASN1_TIME_to_tm(t, &tm), 1);
    return timegm(&tm);
}

static void an_empty_list_says_who_when_and_which(void **state)
{
    (void)state;
    X509_CRL *crl = signed_list(NULL, 0, &terms);
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    AUTHORITY_KEYID *id = X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, NULL, NULL);
    assert_int_equal(X509_CRL_get_version(crl), X509_CRL_VERSION_2);
    assert_int_equal(X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(ca)), 0);
    assert_int_equal(X509_CRL_verify(crl, key), 1);
    assert_int_equal(X509_CRL_get_signature_nid(crl), NID_ecdsa_with_SHA256);
    assert_int_equal(ASN1_INTEGER_get(number), 7);
    assert_int_equal(ASN1_OCTET_STRING_cmp(id->keyid, X509_get0_subject_key_id(ca)), 0);
    assert_int_equal(seconds_of(X509_CRL_get0_lastUpdate(crl)), NOW_S);
    assert_int_equal(seconds_of(X509_CRL_get0_nextUpdate(crl)), NOW_S + WEEK_S);
    assert_null(X509_CRL_get_REVOKED(crl)); /* section 5.1.2.6: absent where none is revoked */
    assert_int_equal(sk_X509_EXTENSION_num(X509_CRL_get0_extensions(crl)), 2);
    AUTHORITY_KEYID_free(id);
    ASN1_INTEGER_free(number);
    X509_CRL_free(crl);
}

static void each_entry_has_its_date_and_reason(void **state)
{
    (void)state;
    const hc_revoked rows[] = {revoked(0x90000001, NOW_S - 50, HC_REASON_NONE),
                               revoked(0x10000001, NOW_S - 90, 1),
                               revoked(0x10000002, NOW_S - 20, 0)};
    X509_CRL *crl = signed_list(rows, 3, &terms);
    assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 3);
    assert_int_equal(seconds_of(X509_REVOKED_get0_revocationDate(entry_of(crl, 0x10000001))),
                     NOW_S - 90);
    assert_int_equal(reason_of(entry_of(crl, 0x10000001)), 1);
    assert_int_equal(reason_of(entry_of(crl, 0x10000002)), -1); /* unspecified is not said */
    assert_int_equal(reason_of(entry_of(crl, 0x90000001)), -1); /* and its top bit is no sign */
    assert_null(entry_of(crl, 0x10000003));
    X509_CRL_free(crl);
}

static void a_serial_that_comes_twice_is_listed_once_and_from_the_first(void **state)
{
    (void)state;
    const hc_revoked rows[] = {revoked(5u << 24, NOW_S - 10, 4), revoked(5u << 24, NOW_S - 99, 1),
                               revoked(5u << 24, NOW_S - 50, 3)};
    X509_CRL *crl = signed_list(rows, 3, &terms);
    assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 1);
    assert_int_equal(reason_of(entry_of(crl, 5u << 24)), 1);
    X509_CRL_free(crl);
}

/* "Tidy" of another program dropped what was revoked and still good. */
static void what_has_ended_is_dropped_one_list_later_and_nothing_else_is(void **state)
{
    (void)state;
    hc_revoked rows[] = {revoked(1u << 24, NOW_S, 1), revoked(2u << 24, NOW_S, 1),
                         revoked(3u << 24, NOW_S, 1), revoked(4u << 24, NOW_S, 1)};
    rows[0].not_after_s = NOW_S - WEEK_S - 1;
    rows[1].not_after_s = NOW_S - WEEK_S;
    rows[2].not_after_s = NOW_S + 1;
    X509_CRL *crl = signed_list(rows, 4, &terms);
    assert_null(entry_of(crl, 1u << 24));
    assert_non_null(entry_of(crl, 2u << 24));
    assert_non_null(entry_of(crl, 3u << 24));
    assert_non_null(entry_of(crl, 4u << 24));
    X509_CRL_free(crl);
}

static void what_cannot_stand_on_a_list_is_refused(void **state)
{
    (void)state;
    hc_crl *c = NULL;
    hc_err err = {0};
    hc_revoked zero = {.serial = {.size = 0}, .reason = 1}, negative = revoked(1u << 24, 0, 1);
    negative.serial.negative = true;
    assert_int_equal(hc_crl_new(&c, &err), 0);
    assert_int_equal(hc_crl_add(c, &zero, &err), -HC_EINVAL);
    assert_int_equal(hc_crl_add(c, &negative, &err), -HC_EINVAL);
    static const int bad[] = {7, 8, 11, 100, -2};
    for (size_t i = 0; i < HC_COUNT(bad); i++) {
        hc_revoked r = revoked(1u << 24, NOW_S, bad[i]);
        assert_int_equal(hc_crl_add(c, &r, &err), -HC_EINVAL);
    }
    hc_crl_free(c);
    hc_crl_free(NULL);
}

static void only_a_ca_with_its_own_key_signs_one_that_ends(void **state)
{
    (void)state;
    hc_crl *c = NULL;
    X509_CRL *crl = NULL;
    X509 *alice = NULL;
    EVP_PKEY *other = EVP_EC_gen("P-256");
    hc_holder h = {.name = "alice", .now_s = NOW_S};
    hc_crl_terms backwards = {1, NOW_S, NOW_S};
    hc_err err = {0};
    assert_int_equal(hc_crl_new(&c, &err), 0);
    assert_int_equal(hc_issue(hc_profile_builtin(S("client")), &h, other, ca, key, &alice, &err),
                     0);
    assert_int_equal(hc_crl_sign(c, &terms, ca, other, &crl, &err), -HC_EINVAL);
    assert_int_equal(hc_crl_sign(c, &terms, alice, other, &crl, &err), -HC_EDENIED);
    assert_int_equal(hc_crl_sign(c, &backwards, ca, key, &crl, &err), -HC_EINVAL);
    assert_null(crl);
    X509_free(alice);
    EVP_PKEY_free(other);
    hc_crl_free(c);
}

static void der_and_pem_say_the_same(void **state)
{
    (void)state;
    const hc_revoked row = revoked(1u << 24, NOW_S, 1);
    X509_CRL *crl = signed_list(&row, 1, &terms);
    hc_buf der = hc_buf_init(10000), pem = hc_buf_init(10000), small = hc_buf_init(10);
    hc_err err = {0};
    assert_int_equal(hc_crl_der(crl, &der, &err), 0);
    assert_int_equal(hc_crl_pem(crl, &pem, &err), 0);
    assert_int_equal(hc_crl_der(crl, &small, &err), -HC_ELIMIT);
    assert_int_equal(hc_crl_pem(crl, &small, &err), -HC_ELIMIT);
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
    X509_CRL *again = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
    const unsigned char *at = der.at;
    X509_CRL *once_more = d2i_X509_CRL(NULL, &at, (long)der.size);
    assert_int_equal(X509_CRL_match(again, once_more), 0);
    X509_CRL_free(again);
    X509_CRL_free(once_more);
    X509_CRL_free(crl);
    BIO_free(bio);
    hc_buf_done(&der);
    hc_buf_done(&pem);
}

static void a_hundred_thousand_entries_are_a_matter_of_a_second(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    hc_crl *c = NULL;
    X509_CRL *crl = NULL;
    hc_err err = {0};
    hc_buf der = hc_buf_init(100u << 20);
    clock_t from = clock();
    assert_int_equal(hc_crl_new(&c, &err), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        hc_revoked r = revoked(0x10000000 + i * 2654435761u % 0x60000000, NOW_S - i, 1);
        assert_int_equal(hc_crl_add(c, &r, &err), 0);
    }
    assert_int_equal(hc_crl_sign(c, &terms, ca, key, &crl, &err), 0);
    assert_int_equal(hc_crl_der(crl, &der, &err), 0);
    double took_s = (double)(clock() - from) / CLOCKS_PER_SEC;
    print_message("%d entries, %zu octets: %.0f ms of CPU\n", COUNT, der.size, took_s * 1000);
    assert_true(took_s < 10); /* of the sanitizers' slowest build too */
    hc_buf_done(&der);
    X509_CRL_free(crl);
    hc_crl_free(c);
}

static int add_and_sign(void)
{
    hc_crl *c = NULL;
    X509_CRL *crl = NULL;
    hc_buf out = hc_buf_init(100000);
    int rc = hc_crl_new(&c, NULL);
    for (uint32_t i = 0; rc == 0 && i < 100; i++) {
        hc_revoked r = revoked(0x10000000 + i, NOW_S, 1);
        rc = hc_crl_add(c, &r, NULL);
    }
    if (rc == 0)
        rc = hc_crl_sign(c, &terms, ca, key, &crl, NULL);
    if (rc == 0)
        rc = hc_crl_der(crl, &out, NULL);
    hc_buf_done(&out);
    X509_CRL_free(crl);
    hc_crl_free(c);
    return rc;
}

static void failing_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    int rc = -1;
    for (size_t nth = 1; rc != 0; nth++) {
        faults_begin(nth);
        rc = add_and_sign();
        long live = faults_live;
        faults_end();
        assert_true(rc == 0 || rc == -HC_ENOMEM);
        assert_int_equal(live, 0);
        assert_true(nth < 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_says_who_when_and_which),
        cmocka_unit_test(each_entry_has_its_date_and_reason),
        cmocka_unit_test(a_serial_that_comes_twice_is_listed_once_and_from_the_first),
        cmocka_unit_test(what_has_ended_is_dropped_one_list_later_and_nothing_else_is),
        cmocka_unit_test(what_cannot_stand_on_a_list_is_refused),
        cmocka_unit_test(only_a_ca_with_its_own_key_signs_one_that_ends),
        cmocka_unit_test(der_and_pem_say_the_same),
        cmocka_unit_test(a_hundred_thousand_entries_are_a_matter_of_a_second),
        cmocka_unit_test(failing_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
