/* OpenSSL's memory failing at each allocation in turn: whatever it was about, an error comes back,
 * nothing is left behind, and nothing is half made. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "../unit.h"
#include "authority/crl.h"
#include "authority/issue.h"
#include "authority/key_pem.h"
#include "authority/p12.h"

#define NOW_S ((int64_t)1767225600)

static size_t left; /* allocations until the one that fails; 0: none fails */
static bool failed;

static void *maybe_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (left && --left == 0) {
        failed = true;
        return NULL;
    }
    return realloc(old, size);
}

static void *maybe_malloc(size_t size, const char *file, int line)
{
    return size ? maybe_realloc(NULL, size, file, line) : NULL;
}

static void give_back(void *at, const char *file, int line)
{
    (void)file;
    (void)line;
    free(at);
}

static EVP_PKEY *ca_key, *key;
static X509 *ca, *alice;
static hc_slice csr_der;
static unsigned char *csr_bytes;

static int issue_one(void)
{
    static const hc_san sans[] = {{HC_SAN_URI, "urn:a:b"}, {HC_SAN_IP, "::1"}};
    hc_profile p = *hc_profile_builtin(S("device"));
    hc_holder h = {"alice", sans, 2, NOW_S};
    X509 *x = NULL;
    memcpy(p.crl_url, "http://a.example/", 18);
    int rc = hc_issue(&p, &h, key, ca, ca_key, &x, NULL);
    assert_true((rc == 0) == (x != NULL));
    if (x)
        assert_int_equal(X509_get_ext_count(x), 7);
    X509_free(x);
    return rc;
}

static int issue_ca(void)
{
    hc_holder h = {.now_s = NOW_S};
    X509 *x = NULL;
    int rc = hc_issue(hc_profile_builtin(S("ca")), &h, ca_key, NULL, NULL, &x, NULL);
    assert_true((rc == 0) == (x != NULL));
    X509_free(x);
    return rc;
}

static int parse_request(void)
{
    hc_csr *csr = NULL;
    int rc = hc_csr_parse(csr_der, &csr, NULL);
    assert_true((rc == 0) == (csr != NULL));
    hc_csr_free(csr);
    return rc;
}

static int make_request(void)
{
    X509_REQ *req = NULL;
    int rc = hc_csr_make(key, "alice", &req, NULL);
    X509_REQ_free(req);
    return rc;
}

static int make_crl(void)
{
    hc_crl_terms terms = {1, NOW_S, NOW_S + 100};
    hc_crl *c = NULL;
    X509_CRL *crl = NULL;
    hc_buf out = hc_buf_init(10000);
    hc_revoked r = {.serial = {.size = 1, .octets = {1}}, .revoked_s = NOW_S, .reason = 1};
    assert_int_equal(hc_crl_new(&c, NULL), 0);
    assert_int_equal(hc_crl_add(c, &r, NULL), 0);
    int rc = hc_crl_sign(c, &terms, ca, ca_key, &crl, NULL);
    if (rc == 0) {
        assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 1);
        rc = hc_crl_pem(crl, &out, NULL);
    }
    hc_buf_done(&out);
    X509_CRL_free(crl);
    hc_crl_free(c);
    return rc;
}

static int write_key(void)
{
    BIO *bio = NULL;
    int rc = hc_key_to_pem(key, HC_SLICE_NONE, &bio, NULL);
    BIO_free(bio);
    return rc;
}

static int write_p12(void)
{
    hc_p12 p = {"alice", key, alice, NULL};
    hc_buf out = hc_buf_init(10000);
    int rc = hc_p12_write(&p, S("secret"), true, &out, NULL);
    assert_true(rc == 0 || out.size == 0);
    hc_buf_done(&out);
    return rc;
}

/* OpenSSL keeps what it has fetched: the second call is the one that counts. Some of its failures
 * it makes up for by itself. */
static void allocations_fail(int (*call)(void), size_t step, size_t at_least)
{
    size_t errors = 0;
    int rc = call();
    assert_int_equal(rc, 0);
    for (size_t nth = 1;; nth += step) {
        left = nth;
        failed = false;
        rc = call();
        left = 0;
        ERR_clear_error();
        if (!failed)
            break;
        assert_true(rc <= 0);
        errors += rc < 0;
        assert_true(nth < 20000);
    }
    assert_int_equal(rc, 0);
    if (errors < at_least)
        fail_msg("%zu errors alone", errors);
    assert_int_equal(call(), 0);
}

static void a_certificate_is_whole_or_not_there(void **state)
{
    (void)state;
    allocations_fail(issue_one, 1, 50);
    allocations_fail(issue_ca, 1, 30);
}

static void a_request_is_read_and_made_or_not(void **state)
{
    (void)state;
    allocations_fail(parse_request, 1, 20);
    allocations_fail(make_request, 1, 20);
}

static void a_list_is_whole_or_not_there(void **state)
{
    (void)state;
    allocations_fail(make_crl, 1, 30);
}

static void a_key_is_written_or_not(void **state)
{
    (void)state;
    allocations_fail(write_key, 1, 5);
    allocations_fail(write_p12, 101, 30); /* its old KDF allocates at each iteration */
    ;
}

static int begin(void **state)
{
    (void)state;
    hc_holder h = {.now_s = NOW_S}, of_alice = {.name = "alice", .now_s = NOW_S};
    X509_REQ *req = NULL;
    assert_int_equal(hc_key_new(HC_KEY_P256, &ca_key, NULL), 0);
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, NULL), 0);
    assert_int_equal(hc_issue(hc_profile_builtin(S("ca")), &h, ca_key, NULL, NULL, &ca, NULL), 0);
    assert_int_equal(
        hc_issue(hc_profile_builtin(S("client")), &of_alice, key, ca, ca_key, &alice, NULL), 0);
    assert_int_equal(hc_csr_make(key, "alice", &req, NULL), 0);
    int size = i2d_X509_REQ(req, &csr_bytes);
    csr_der = hc_slice_of(csr_bytes, (size_t)size);
    X509_REQ_free(req);
    return 0;
}

static int end(void **state)
{
    (void)state;
    OPENSSL_free(csr_bytes);
    X509_free(ca);
    X509_free(alice);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return 0;
}

int main(void)
{
    /* Before OpenSSL's first allocation, or it refuses. */
    if (CRYPTO_set_mem_functions(maybe_malloc, maybe_realloc, give_back) != 1)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_whole_or_not_there),
        cmocka_unit_test(a_request_is_read_and_made_or_not),
        cmocka_unit_test(a_list_is_whole_or_not_there),
        cmocka_unit_test(a_key_is_written_or_not),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
