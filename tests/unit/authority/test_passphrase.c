#include "authority/passphrase.h"

#include "../faults.h"
#include "authority/key_pem.h"
#include "folder.h"
#include "x509/key.h"

static void file(const char *name, hc_slice bytes, mode_t mode)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.at, 1, bytes.size, f), bytes.size);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(name, mode), 0);
}

static void test_a_file_gives_its_line(void **state)
{
    (void)state;
    static const struct {
        hc_slice bytes, wanted;
    } cases[] = {{HC_SLICE_LITERAL("secret"), HC_SLICE_LITERAL("secret")},
                 {HC_SLICE_LITERAL("a b\n"), HC_SLICE_LITERAL("a b")},
                 {HC_SLICE_LITERAL("a\r\n"), HC_SLICE_LITERAL("a")}};
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        hc_secret s = {NULL, 0};
        hc_err err = {0};
        file("p", cases[i].bytes, 0600);
        assert_int_equal(hc_passphrase_read("p", &s, &err), 0);
        assert_slice_equal(hc_secret_slice(&s), cases[i].wanted);
        hc_secret_done(&s);
        assert_null(s.at);
    }
}

static void test_the_largest_is_1024_bytes(void **state)
{
    (void)state;
    uint8_t bytes[HC_LIMIT_PASSPHRASE + 2];
    hc_secret s = {NULL, 0};
    hc_err err = {0};
    memset(bytes, 'x', sizeof(bytes));
    file("p", hc_slice_of(bytes, HC_LIMIT_PASSPHRASE), 0600);
    assert_int_equal(hc_passphrase_read("p", &s, &err), 0);
    assert_int_equal(s.size, HC_LIMIT_PASSPHRASE);
    hc_secret_done(&s);
    file("p", hc_slice_of(bytes, HC_LIMIT_PASSPHRASE + 1), 0600);
    assert_int_equal(hc_passphrase_read("p", &s, &err), -HC_EFORMAT);
}

static void test_what_is_no_passphrase_is_an_error(void **state)
{
    (void)state;
    static const hc_slice bad[] = {HC_SLICE_LITERAL(""), HC_SLICE_LITERAL("\n"),
                                   HC_SLICE_LITERAL("a\0b"), HC_SLICE_LITERAL("a\n\n"),
                                   HC_SLICE_LITERAL("a\nb\n")};
    hc_secret s = {NULL, 0};
    hc_err err = {0};
    for (size_t i = 0; i < HC_COUNT(bad); i++) {
        file("p", bad[i], 0600);
        assert_int_equal(hc_passphrase_read("p", &s, &err), -HC_EFORMAT);
    }
    assert_int_equal(hc_passphrase_read(".", &s, &err), -HC_EFORMAT);
    assert_int_equal(hc_passphrase_read("missing", &s, &err), -HC_ENOENT);
    assert_null(s.at);
}

static void test_a_file_that_others_can_read_is_refused(void **state)
{
    (void)state;
    hc_secret s = {NULL, 0};
    hc_err err = {0};
    file("p", S("secret"), 0640);
    assert_int_equal(hc_passphrase_read("p", &s, &err), -HC_EDENIED);
    assert_non_null(strstr(err.text, "chmod 600 p"));
}

static void test_a_credential_of_systemd_is_read(void **state)
{
    (void)state;
    hc_secret s = {NULL, 0};
    hc_err err = {0};
    assert_int_equal(mkdir("credentials", 0500), 0);
    file("credentials/ca-passphrase", S("secret\n"), 0440);
    assert_int_equal(hc_passphrase_credential("credentials", "ca-passphrase", &s, &err), 0);
    assert_slice(hc_secret_slice(&s), "secret");
    hc_secret_done(&s);
    assert_int_equal(hc_passphrase_credential("credentials", "other", &s, &err), -HC_ENOENT);
    assert_int_equal(hc_passphrase_credential(NULL, "ca-passphrase", &s, &err), -HC_ENOENT);
    assert_int_equal(hc_passphrase_credential("", "ca-passphrase", &s, &err), -HC_ENOENT);
}

static void test_a_new_one_can_be_read_aloud_and_differs(void **state)
{
    (void)state;
    hc_secret one = {NULL, 0}, other = {NULL, 0};
    hc_err err = {0};
    assert_int_equal(hc_passphrase_new(&one, &err), 0);
    assert_int_equal(hc_passphrase_new(&other, &err), 0);
    assert_int_equal(one.size, 23);
    for (size_t i = 0; i < one.size; i++)
        assert_non_null(memchr(i % 6 == 5 ? "-" : "abcdefghjkmnpqrstuvwxyz023456789", one.at[i],
                               i % 6 == 5 ? 1 : 32));
    assert_false(hc_slice_equal(hc_secret_slice(&one), hc_secret_slice(&other)));
    hc_secret_done(&one);
    hc_secret_done(&other);
}

static hc_slice pem_of(BIO *bio)
{
    char *at = NULL;
    long size = BIO_get_mem_data(bio, &at);
    return hc_slice_of(at, (size_t)size);
}

static void test_an_encrypted_key_opens_with_its_passphrase_alone(void **state)
{
    (void)state;
    EVP_PKEY *key = NULL, *read = NULL;
    BIO *bio = NULL;
    hc_err err = {0};
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, &err), 0);
    assert_int_equal(hc_key_to_pem(key, S("right"), &bio, &err), 0);
    hc_slice pem = pem_of(bio);
    assert_non_null(memmem(pem.at, pem.size, "BEGIN ENCRYPTED PRIVATE KEY", 27));
    assert_int_equal(hc_key_from_pem(pem, HC_SLICE_NONE, &read, &err), -HC_EDENIED);
    assert_string_equal(err.text, "the key is encrypted: a passphrase is wanted");
    assert_int_equal(hc_key_from_pem(pem, S("wrong"), &read, &err), -HC_EDENIED);
    assert_string_equal(err.text, "the passphrase does not open this key");
    assert_null(read);
    assert_int_equal(hc_key_from_pem(pem, S("right"), &read, &err), 0);
    assert_int_equal(EVP_PKEY_eq(key, read), 1);
    BIO_free(bio);
    EVP_PKEY_free(read);
    EVP_PKEY_free(key);
}

static void test_a_plain_key_is_read_whatever_the_passphrase(void **state)
{
    (void)state;
    EVP_PKEY *key = NULL, *read = NULL;
    BIO *bio = NULL;
    hc_err err = {0};
    assert_int_equal(hc_key_new(HC_KEY_ED25519, &key, &err), 0);
    assert_int_equal(hc_key_to_pem(key, HC_SLICE_NONE, &bio, &err), 0);
    assert_int_equal(hc_key_from_pem(pem_of(bio), S("any"), &read, &err), 0);
    assert_int_equal(EVP_PKEY_eq(key, read), 1);
    BIO_free(bio);
    EVP_PKEY_free(read);
    EVP_PKEY_free(key);
}

static void test_a_passphrase_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[HC_LIMIT_PASSPHRASE + 1];
    EVP_PKEY *key = NULL;
    BIO *bio = NULL;
    hc_err err = {0};
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(hc_key_new(HC_KEY_ED25519, &key, &err), 0);
    assert_int_equal(hc_key_to_pem(key, hc_slice_of(bytes, sizeof(bytes)), &bio, &err), -HC_EINVAL);
    assert_null(bio);
    EVP_PKEY_free(key);
}

static void test_failing_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    file("p", S("secret"), 0600);
    for (size_t nth = 1; nth <= 2; nth++) {
        hc_secret s = {NULL, 0};
        int wanted = nth == 1 ? -HC_ENOMEM : 0;
        faults_begin(nth);
        assert_int_equal(hc_passphrase_read("p", &s, NULL), wanted);
        hc_secret_done(&s);
        assert_int_equal(faults_live, 0);
        faults_begin(nth);
        assert_int_equal(hc_passphrase_new(&s, NULL), wanted);
        hc_secret_done(&s);
        assert_int_equal(faults_live, 0);
        faults_end();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_begin, folder_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_gives_its_line),
        TEST(test_the_largest_is_1024_bytes),
        TEST(test_what_is_no_passphrase_is_an_error),
        TEST(test_a_file_that_others_can_read_is_refused),
        TEST(test_a_credential_of_systemd_is_read),
        TEST(test_a_new_one_can_be_read_aloud_and_differs),
        TEST(test_an_encrypted_key_opens_with_its_passphrase_alone),
        TEST(test_a_plain_key_is_read_whatever_the_passphrase),
        TEST(test_a_passphrase_that_is_too_long_is_refused),
        TEST(test_failing_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
