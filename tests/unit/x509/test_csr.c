#include "x509/csr.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "../unit.h"
#include "base/limits.h"
#include "faults.h"
#include "x509/key.h"

static EVP_PKEY *key;

static int begin(void **state)
{
    (void)state;
    hc_err err = {0};
    return hc_key_new(HC_KEY_P256, &key, &err);
}

static int end(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    return 0;
}

static X509_REQ *made(const char *name)
{
    X509_REQ *req = NULL;
    hc_err err = {0};
    assert_int_equal(hc_csr_make(key, name, &req, &err), 0);
    return req;
}

static void add_sans(X509_REQ *req, const char *names, int times)
{
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    for (int i = 0; i < times; i++)
        sk_X509_EXTENSION_push(extensions,
                               X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names));
    assert_int_equal(X509_REQ_add_extensions(req, extensions), 1);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

/* Static memory, one call at a time; frees `req`. */
static hc_slice der_of(X509_REQ *req)
{
    static unsigned char bytes[4000];
    unsigned char *at = bytes;
    int size = i2d_X509_REQ(req, &at);
    X509_REQ_free(req);
    assert_true(size > 0);
    return hc_slice_of(bytes, (size_t)size);
}

static hc_slice pem_of(X509_REQ *req, const char *before)
{
    static char text[8000];
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509_REQ(bio, req), 1);
    X509_REQ_free(req);
    size_t size = strlen(before);
    memcpy(text, before, size);
    int got = BIO_read(bio, text + size, (int)(sizeof(text) - size));
    BIO_free(bio);
    return hc_slice_of(text, size + (size_t)got);
}

static hc_csr *parsed(hc_slice bytes)
{
    hc_csr *c = NULL;
    hc_err err = {0};
    if (hc_csr_parse(bytes, &c, &err) != 0)
        fail_msg("%s", err.text);
    return c;
}

static void refused(hc_slice bytes, int code, const char *says)
{
    hc_csr *c = NULL;
    hc_err err = {0};
    int rc = hc_csr_parse(bytes, &c, &err);
    if (rc != -code || !strstr(err.text, says))
        fail_msg("%d: %s", rc, err.text);
    assert_null(c);
}

static void der_and_pem_say_the_same(void **state)
{
    (void)state;
    uint8_t digest[32];
    hc_err err = {0};
    assert_int_equal(hc_key_sha256(key, digest, &err), 0);
    hc_csr *forms[] = {parsed(der_of(made("meter-1"))), parsed(pem_of(made("meter-1"), "")),
                       parsed(pem_of(made("meter-1"), "a line of text before it\n"))};
    for (size_t i = 0; i < HC_COUNT(forms); i++) {
        assert_string_equal(hc_csr_subject(forms[i]), "CN=meter-1");
        assert_memory_equal(hc_csr_key_sha256(forms[i]), digest, 32);
        assert_int_equal(EVP_PKEY_eq(hc_csr_key(forms[i]), key), 1);
        assert_non_null(hc_csr_req(forms[i]));
        hc_csr_free(forms[i]);
    }
    hc_csr_free(NULL);
}

static int count_san(void *arg, hc_san_type type, hc_slice value, int nth)
{
    (void)nth;
    assert_int_equal(type, HC_SAN_DNS);
    assert_slice(value, "admin.example");
    ++*(int *)arg;
    return 0;
}

static void the_names_it_asks_for_can_be_seen(void **state)
{
    (void)state;
    int count = 0;
    hc_err err = {0};
    X509_REQ *req = made("meter-1");
    hc_csr *without = parsed(der_of(made("meter-1")));
    add_sans(req, "DNS:admin.example", 1);
    assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
    hc_csr *c = parsed(der_of(req));
    assert_int_equal(hc_csr_sans(without, count_san, &count, &err), 0);
    assert_int_equal(count, 0);
    assert_int_equal(hc_csr_sans(c, count_san, &count, &err), 0);
    assert_int_equal(count, 1);
    hc_csr_free(c);
    hc_csr_free(without);
}

static void names_asked_for_twice_are_malformed(void **state)
{
    (void)state;
    int count = 0;
    hc_err err = {0};
    X509_REQ *req = made("meter-1");
    add_sans(req, "DNS:admin.example", 2);
    assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
    hc_csr *c = parsed(der_of(req));
    assert_int_equal(hc_csr_sans(c, count_san, &count, &err), -HC_EFORMAT);
    hc_csr_free(c);
}

static void a_signature_of_another_key_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *other = EVP_EC_gen("P-256");
    X509_REQ *req = made("meter-1");
    assert_true(X509_REQ_sign(req, other, EVP_sha256()) > 0);
    refused(der_of(req), HC_EDENIED, "not signed by the key");
    EVP_PKEY_free(other);
}

static void a_changed_request_is_refused(void **state)
{
    (void)state;
    X509_REQ *req = made("meter-1");
    hc_slice der = der_of(req);
    uint8_t *name = memmem(der.at, der.size, "meter-1", 7);
    name[6] = '2';
    refused(der, HC_EDENIED, "not signed by the key");
}

static void a_weak_key_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *weak = EVP_RSA_gen(1024), *before = key;
    key = weak;
    X509_REQ *req = made("meter-1");
    key = before;
    refused(der_of(req), HC_EDENIED, "RSA with 1024 bits");
    EVP_PKEY_free(weak);
}

static void a_weak_digest_is_refused(void **state)
{
    (void)state;
    X509_REQ *req = made("meter-1");
    assert_true(X509_REQ_sign(req, key, EVP_sha1()) > 0);
    refused(der_of(req), HC_EDENIED, "digest that is too weak");
}

/* Its digest stands in the parameters. */
static void a_weak_digest_of_pss_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *before = key;
    key = EVP_RSA_gen(2048);
    assert_non_null(key);
    X509_REQ *req = made("meter-1");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    assert_int_equal(EVP_DigestSignInit(ctx, &how, EVP_sha1(), NULL, key), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0);
    assert_true(X509_REQ_sign_ctx(req, ctx) > 0);
    EVP_MD_CTX_free(ctx);
    refused(der_of(req), HC_EDENIED, "digest that is too weak");
    EVP_PKEY_free(key);
    key = before;
}

static void another_version_is_refused(void **state)
{
    (void)state;
    X509_REQ *req = made("meter-1");
    assert_int_equal(X509_REQ_set_version(req, 1), 1);
    assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
    refused(der_of(req), HC_EFORMAT, "unknown version");
}

/* What made "alice\0.evil" pass for alice. */
static void a_nul_in_the_subject_is_refused(void **state)
{
    (void)state;
    X509_REQ *req = made("meter-1");
    X509_NAME *name = X509_NAME_new();
    assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
                                                (const unsigned char *)"alice\0.evil", 11, -1, 0),
                     1);
    assert_int_equal(X509_REQ_set_subject_name(req, name), 1);
    X509_NAME_free(name);
    assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
    refused(der_of(req), HC_EFORMAT, "NUL");
}

static void what_is_no_request_is_refused(void **state)
{
    (void)state;
    static uint8_t large[HC_LIMIT_CSR_BYTES + 1] = {0x30};
    hc_slice der = der_of(made("meter-1"));
    uint8_t trailing[4001];
    memcpy(trailing, der.at, der.size);
    trailing[der.size] = 0;
    refused(HC_SLICE_NONE, HC_EFORMAT, "empty");
    refused(S("text"), HC_EFORMAT, "missing");
    refused(S("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
            HC_EFORMAT, "decoded");
    refused(S("-----BEGIN CERTIFICATE REQUEST-----\nAA"), HC_EFORMAT, "PEM");
    refused(S("\x30\x03\x30\x01\x00"), HC_EFORMAT, "decoded");
    refused(hc_slice_of(der.at, der.size - 1), HC_EFORMAT, "decoded");
    refused(hc_slice_of(trailing, der.size + 1), HC_EFORMAT, "behind its end");
    refused(hc_slice_of(large, sizeof(large)), HC_ELIMIT, "more than 65536");
}

static void two_requests_in_one_file_are_refused(void **state)
{
    (void)state;
    char text[8001];
    hc_slice pem = pem_of(made("meter-1"), "");
    memcpy(text, pem.at, pem.size);
    memcpy(text + pem.size, pem.at, pem.size);
    refused(hc_slice_of(text, 2 * pem.size), HC_EFORMAT, "one at a time");
}

static void failing_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    hc_slice der = der_of(made("meter-1"));
    int rc = -1;
    for (size_t nth = 1; rc != 0; nth++) {
        hc_csr *c = NULL;
        faults_begin(nth);
        rc = hc_csr_parse(der, &c, NULL);
        hc_csr_free(c);
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
        cmocka_unit_test(der_and_pem_say_the_same),
        cmocka_unit_test(the_names_it_asks_for_can_be_seen),
        cmocka_unit_test(names_asked_for_twice_are_malformed),
        cmocka_unit_test(a_signature_of_another_key_is_refused),
        cmocka_unit_test(a_changed_request_is_refused),
        cmocka_unit_test(a_weak_key_is_refused),
        cmocka_unit_test(a_weak_digest_is_refused),
        cmocka_unit_test(a_weak_digest_of_pss_is_refused),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(a_nul_in_the_subject_is_refused),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(two_requests_in_one_file_are_refused),
        cmocka_unit_test(failing_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
