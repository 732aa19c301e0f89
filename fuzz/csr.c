/* Certification requests, which anyone may send: whatever comes, what is taken obeys its contract.
 *
 * An input is tried as it is, and once more as the to-be-signed part of a request that is signed by
 * a key of ours: the mutations of a fuzzer never keep a signature. What is taken is certified, and
 * the certificate says what its record says. */
#include <openssl/err.h>
#include <stdlib.h>

#include "authority/issue.h"
#include "base/limits.h"
#include "base/str.h"
#include "x509/csr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_S 1767225600

static EVP_PKEY *ca_key, *key;
static X509 *ca;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static int see(void *arg, hc_san_type type, hc_slice value, int nth)
{
    (void)arg;
    must(type < HC_SAN_TYPES && nth >= 0);
    must(hc_utf8_valid(value) && hc_slice_find(value, 0) < 0);
    return 0;
}

static void certify(const hc_csr *csr)
{
    hc_holder h = {.name = "alice", .now_s = NOW_S};
    X509 *x = NULL;
    const hc_profile *p = hc_profile_builtin(HC_SLICE_LITERAL("client"));
    int rc = hc_sign_csr(p, &h, csr, ca, ca_key, &x, NULL);
    must(rc == 0 || rc == -HC_EDENIED);
    if (rc != 0)
        return;
    must(X509_get_ext_count(x) == 5 && X509_check_ca(x) == 0);
    must(EVP_PKEY_eq(X509_get0_pubkey(x), hc_csr_key(csr)) == 1);
    must(X509_verify(x, ca_key) == 1);
    X509_free(x);
}

static void try_request(hc_slice bytes)
{
    hc_csr *csr = NULL;
    uint8_t digest[32];
    hc_err err = {0};
    int rc = hc_csr_parse(bytes, &csr, &err);
    must(rc <= 0 && (rc == 0) == (csr != NULL));
    must(rc == 0 || (err.code == -rc && err.text[0]));
    if (!csr)
        return;
    must(hc_utf8_valid(hc_slice_text(hc_csr_subject(csr))));
    must(hc_key_check(hc_csr_key(csr), NULL) == 0);
    must(hc_key_sha256(hc_csr_key(csr), digest, NULL) == 0);
    must(memcmp(digest, hc_csr_key_sha256(csr), 32) == 0);
    (void)!hc_csr_sans(csr, see, NULL, NULL);
    certify(csr);
    hc_csr_free(csr);
}

/* With our key and its signature over whatever else the request says. */
static void try_signed(hc_slice bytes)
{
    const unsigned char *at = bytes.at;
    unsigned char *der = NULL;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)bytes.size);
    if (req && X509_REQ_set_pubkey(req, key) == 1 && X509_REQ_sign(req, key, EVP_sha256()) > 0) {
        int size = i2d_X509_REQ(req, &der);
        if (size > 0)
            try_request(hc_slice_of(der, (size_t)size));
    }
    OPENSSL_free(der);
    X509_REQ_free(req);
    ERR_clear_error();
}

static void begin(void)
{
    hc_holder h = {.now_s = NOW_S};
    must(hc_key_new(HC_KEY_P256, &ca_key, NULL) == 0);
    must(hc_key_new(HC_KEY_P256, &key, NULL) == 0);
    must(hc_issue(hc_profile_builtin(HC_SLICE_LITERAL("ca")), &h, ca_key, NULL, NULL, &ca, NULL) ==
         0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hc_slice in = hc_slice_of(data, size);
    if (!ca)
        begin();
    try_request(in);
    if (size <= HC_LIMIT_CSR_BYTES)
        try_signed(in);
    return 0;
}
