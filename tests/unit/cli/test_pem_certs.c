#include "cli/pem_certs.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../unit.h"
#include "authority/issue.h"
#include "base/limits.h"

static char file[40];
static X509 *cert;

static int begin(void **state)
{
    (void)state;
    EVP_PKEY *key = NULL;
    hc_holder h = {.now_s = 1767225600};
    hc_err err = {0};
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, &err), 0);
    assert_int_equal(hc_issue(hc_profile_builtin(S("ca")), &h, key, NULL, NULL, &cert, &err), 0);
    EVP_PKEY_free(key);
    (void)snprintf(file, sizeof(file), "/tmp/handclasp-pem-XXXXXX");
    int fd = mkstemp(file);
    return fd < 0 ? -1 : close(fd);
}

static int end(void **state)
{
    (void)state;
    X509_free(cert);
    return unlink(file);
}

/* `head`, then the certificate `count` times in PEM, then `tail`. */
static void put_pem(const char *head, int count, const char *tail)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs(head, f) >= 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(PEM_write_X509(f, cert), 1);
    assert_true(fputs(tail, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_loaded(int others_wanted)
{
    X509 *first = NULL;
    STACK_OF(X509) *others = NULL;
    hc_err err = {0};
    assert_int_equal(hc_pem_certs_load(file, &first, &others, &err), 0);
    assert_int_equal(X509_cmp(first, cert), 0);
    assert_int_equal(sk_X509_num(others), others_wanted);
    X509_free(first);
    sk_X509_pop_free(others, X509_free);
}

static void assert_refused(int code)
{
    X509 *first = NULL;
    STACK_OF(X509) *others = NULL;
    hc_err err = {0};
    assert_int_equal(hc_pem_certs_load(file, &first, &others, &err), -code);
    assert_null(first);
    assert_null(others);
    assert_non_null(strstr(err.text, file));
}

static void test_one_certificate_or_a_chain_is_read(void **state)
{
    (void)state;
    put_pem("", 1, "");
    assert_loaded(0);
    put_pem("Certificate:\n  Data: of `openssl x509 -text`\n", 3, "\n# the end\n");
    assert_loaded(2);
}

static void test_der_is_read(void **state)
{
    (void)state;
    FILE *f = fopen(file, "w");
    assert_int_equal(i2d_X509_fp(f, cert), 1);
    assert_int_equal(fclose(f), 0);
    assert_loaded(0);
    f = fopen(file, "a");
    assert_int_equal(fputc(0, f), 0);
    assert_int_equal(fclose(f), 0);
    assert_refused(HC_EFORMAT);
}

static void test_a_broken_certificate_is_not_skipped(void **state)
{
    (void)state;
    put_pem("", 1, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_refused(HC_EFORMAT);
}

static void test_a_file_without_certificates_is_an_error(void **state)
{
    (void)state;
    put_pem("", 0, "");
    assert_refused(HC_EFORMAT);
    put_pem("hello", 0, "");
    assert_refused(HC_EFORMAT);
    put_pem("", HC_LIMIT_CERT_CHAIN + 2, "");
    assert_refused(HC_ELIMIT);
}

static void test_a_missing_file_is_named(void **state)
{
    (void)state;
    X509 *first = NULL;
    STACK_OF(X509) *others = NULL;
    hc_err err = {0};
    assert_int_equal(hc_pem_certs_load("/nonexistent/x.pem", &first, &others, &err), -HC_ENOENT);
    assert_string_equal(err.text, "/nonexistent/x.pem does not exist");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_certificate_or_a_chain_is_read),
        cmocka_unit_test(test_der_is_read),
        cmocka_unit_test(test_a_broken_certificate_is_not_skipped),
        cmocka_unit_test(test_a_file_without_certificates_is_an_error),
        cmocka_unit_test(test_a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
