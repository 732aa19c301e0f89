#include "authority/p12.h"

#include <openssl/pkcs12.h>

#include "../faults.h"
#include "../unit.h"
#include "authority/issue.h"
#include "base/limits.h"

static EVP_PKEY *key;
static X509 *ca, *alice;
static hc_p12 whole;

static int begin(void **state)
{
    (void)state;
    hc_holder h = {.now_s = 1767225600}, of_alice = {.name = "alice", .now_s = 1767225600};
    EVP_PKEY *ca_key = NULL;
    hc_err err = {0};
    assert_int_equal(hc_key_new(HC_KEY_P256, &ca_key, &err), 0);
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, &err), 0);
    assert_int_equal(hc_issue(hc_profile_builtin(S("ca")), &h, ca_key, NULL, NULL, &ca, &err), 0);
    assert_int_equal(
        hc_issue(hc_profile_builtin(S("client")), &of_alice, key, ca, ca_key, &alice, &err), 0);
    EVP_PKEY_free(ca_key);
    whole = (hc_p12){"alice", key, alice, sk_X509_new_null()};
    sk_X509_push(whole.chain, ca);
    return 0;
}

static int end(void **state)
{
    (void)state;
    sk_X509_free(whole.chain);
    X509_free(ca);
    X509_free(alice);
    EVP_PKEY_free(key);
    return 0;
}

static hc_buf written(hc_slice passphrase, bool legacy)
{
    hc_buf out = hc_buf_init(100000);
    hc_err err = {0};
    if (hc_p12_write(&whole, passphrase, legacy, &out, &err) != 0)
        fail_msg("%s", err.text);
    return out;
}

static void either_kind_comes_back_as_it_was(void **state)
{
    (void)state;
    for (int legacy = 0; legacy < 2; legacy++) {
        hc_buf file = written(S("J\xc3\xbcrgen's secret"), legacy);
        hc_p12 got = {.key = NULL};
        hc_err err = {0};
        if (hc_p12_read(hc_buf_slice(&file), S("J\xc3\xbcrgen's secret"), &got, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(EVP_PKEY_eq(got.key, key), 1);
        assert_int_equal(X509_cmp(got.cert, alice), 0);
        assert_int_equal(sk_X509_num(got.chain), 1);
        assert_int_equal(X509_cmp(sk_X509_value(got.chain, 0), ca), 0);
        hc_p12_done(&got);
        hc_buf_done(&file);
    }
}

static bool contains_oid(const hc_buf *file, int nid)
{
    const ASN1_OBJECT *oid = OBJ_nid2obj(nid);
    return memmem(file->at, file->size, OBJ_get0_data(oid), OBJ_length(oid)) != NULL;
}

static void the_modern_kind_has_nothing_old_in_it(void **state)
{
    (void)state;
    hc_buf file = written(S("secret"), false);
    const unsigned char *at = file.at;
    PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)file.size);
    const X509_ALGOR *mac = NULL;
    const ASN1_OBJECT *digest = NULL;
    const ASN1_INTEGER *iterations = NULL;
    PKCS12_get0_mac(NULL, &mac, NULL, &iterations, p12);
    X509_ALGOR_get0(&digest, NULL, NULL, mac);
    assert_int_equal(OBJ_obj2nid(digest), NID_sha256);
    assert_true(ASN1_INTEGER_get(iterations) >= 100000);
    assert_true(contains_oid(&file, NID_pbes2));
    assert_true(contains_oid(&file, NID_aes_256_cbc));
    assert_true(contains_oid(&file, NID_hmacWithSHA256));
    assert_false(contains_oid(&file, NID_pbe_WithSHA1And3_Key_TripleDES_CBC));
    assert_false(contains_oid(&file, NID_pbe_WithSHA1And40BitRC2_CBC));
    PKCS12_free(p12);
    hc_buf_done(&file);
}

static void the_old_kind_is_triple_des(void **state)
{
    (void)state;
    hc_buf file = written(S("secret"), true);
    assert_true(contains_oid(&file, NID_pbe_WithSHA1And3_Key_TripleDES_CBC));
    assert_false(contains_oid(&file, NID_pbes2));
    hc_buf_done(&file);
}

static void refused(hc_slice file, hc_slice passphrase, int code, const char *says)
{
    hc_p12 got = {.key = NULL};
    hc_err err = {0};
    int rc = hc_p12_read(file, passphrase, &got, &err);
    if (rc != -code || !strstr(err.text, says))
        fail_msg("%d: %s", rc, err.text);
    assert_null(got.key);
}

static void a_wrong_passphrase_or_a_changed_byte_opens_nothing(void **state)
{
    (void)state;
    hc_buf file = written(S("secret"), false);
    refused(hc_buf_slice(&file), S("Secret"), HC_EDENIED, "does not open");
    file.at[file.size / 2] ^= 1;
    refused(hc_buf_slice(&file), S("secret"), HC_EDENIED, "does not open");
    hc_buf_done(&file);
}

static void what_is_no_such_file_is_refused(void **state)
{
    (void)state;
    static uint8_t large[HC_LIMIT_PKCS12_BYTES + 1];
    hc_buf file = written(S("secret"), false);
    refused(HC_SLICE_NONE, S("secret"), HC_EFORMAT, "empty");
    refused(hc_slice_of(large, sizeof(large)), S("secret"), HC_EFORMAT, "too large");
    refused(S("nonsense"), S("secret"), HC_EFORMAT, "decoded");
    refused(hc_slice_of(file.at, file.size - 1), S("secret"), HC_EFORMAT, "decoded");
    assert_int_equal(hc_buf_add_byte(&file, 0), 0);
    refused(hc_buf_slice(&file), S("secret"), HC_EFORMAT, "behind its end");
    hc_buf_done(&file);
}

/* Static memory, one call at a time; frees `p12`. */
static hc_slice der_of(PKCS12 *p12)
{
    static unsigned char bytes[10000];
    unsigned char *at = bytes;
    assert_non_null(p12);
    int size = i2d_PKCS12(p12, &at);
    PKCS12_free(p12);
    assert_true(size > 0);
    return hc_slice_of(bytes, (size_t)size);
}

static PKCS12 *bare(EVP_PKEY *k, X509 *cert)
{
    return PKCS12_create("secret", NULL, k, cert, NULL, NID_aes_256_cbc, NID_aes_256_cbc, 1, -1, 0);
}

static void a_file_without_mac_key_or_certificate_is_refused(void **state)
{
    (void)state;
    PKCS12 *no_key = bare(NULL, alice);
    refused(der_of(bare(key, alice)), S("secret"), HC_EFORMAT, "no MAC");
    assert_int_equal(PKCS12_set_mac(no_key, "secret", -1, NULL, 8, 1, EVP_sha256()), 1);
    refused(der_of(no_key), S("secret"), HC_EFORMAT, "a key and its certificate");
}

static void a_mac_that_would_take_for_ever_is_refused(void **state)
{
    (void)state;
    hc_buf file = written(S("secret"), false);
    /* 150 000 as it stands in the file, and 10 million. */
    uint8_t *at = memmem(file.at, file.size, "\x02\x03\x02\x49\xf0", 5), *next = at;
    while (next) { /* the MAC's is the last */
        at = next;
        next = memmem(at + 1, file.size - (size_t)(at + 1 - file.at), "\x02\x03\x02\x49\xf0", 5);
    }
    assert_non_null(at);
    memcpy(at, "\x02\x03\x7f\xff\xff", 5);
    refused(hc_buf_slice(&file), S("secret"), HC_EFORMAT, "too many iterations");
    memcpy(at, "\x02\x03\x80\xff\xff", 5);
    refused(hc_buf_slice(&file), S("secret"), HC_EFORMAT, "too many iterations");
    hc_buf_done(&file);
}

static void a_passphrase_that_no_program_could_type_is_refused(void **state)
{
    (void)state;
    static uint8_t large[HC_LIMIT_PASSPHRASE + 1];
    hc_buf out = hc_buf_init(100000);
    hc_err err = {0};
    memset(large, 'x', sizeof(large));
    const hc_slice bad[] = {HC_SLICE_NONE, S("a\0b"), S("\xff"), hc_slice_of(large, sizeof(large))};
    for (size_t i = 0; i < HC_COUNT(bad); i++) {
        assert_int_equal(hc_p12_write(&whole, bad[i], false, &out, &err), -HC_EINVAL);
        refused(S("x"), bad[i], HC_EINVAL, "UTF-8");
    }
    assert_int_equal(out.size, 0);
}

static void failing_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    hc_buf file = written(S("secret"), true);
    for (size_t nth = 1; nth <= 3; nth++) {
        hc_buf out = hc_buf_init(100000);
        hc_p12 got = {.key = NULL};
        faults_begin(nth);
        assert_int_equal(hc_p12_write(&whole, S("secret"), true, &out, NULL),
                         nth < 3 ? -HC_ENOMEM : 0);
        hc_buf_done(&out);
        assert_int_equal(faults_live, 0);
        faults_begin(nth);
        assert_int_equal(hc_p12_read(hc_buf_slice(&file), S("secret"), &got, NULL),
                         nth < 2 ? -HC_ENOMEM : 0);
        assert_int_equal(faults_live, 0);
        faults_end();
        hc_p12_done(&got);
    }
    hc_buf_done(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(either_kind_comes_back_as_it_was),
        cmocka_unit_test(the_modern_kind_has_nothing_old_in_it),
        cmocka_unit_test(the_old_kind_is_triple_des),
        cmocka_unit_test(a_wrong_passphrase_or_a_changed_byte_opens_nothing),
        cmocka_unit_test(what_is_no_such_file_is_refused),
        cmocka_unit_test(a_file_without_mac_key_or_certificate_is_refused),
        cmocka_unit_test(a_mac_that_would_take_for_ever_is_refused),
        cmocka_unit_test(a_passphrase_that_no_program_could_type_is_refused),
        cmocka_unit_test(failing_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
