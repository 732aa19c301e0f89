/* PKCS#12 files that an operator reads: whatever comes, it is refused, or key and certificate are
 * there. Once as they are, and once with a MAC of their own over what the fuzzer made of the rest:
 * otherwise nothing would be seen behind the MAC. */
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <stdlib.h>

#include "authority/p12.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const hc_slice passphrase = {(const uint8_t *)"secret", 6};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_file(hc_slice bytes)
{
    hc_p12 got = {NULL, NULL, NULL, NULL};
    hc_err err = {0};
    int rc = hc_p12_read(bytes, passphrase, &got, &err);
    must(rc == 0 || rc == -HC_EFORMAT || rc == -HC_EDENIED);
    must((rc == 0) == (got.key && got.cert));
    must(rc == 0 || err.text[0]);
    hc_p12_done(&got);
    must(ERR_peek_error() == 0);
}

/* Iterations inside of it cost the fuzzer time and tell nothing: five octets and more are left out.
 */
static bool is_quick(hc_slice bytes)
{
    for (size_t i = 0; i + 2 < bytes.size; i++)
        if (bytes.at[i] == V_ASN1_INTEGER && bytes.at[i + 1] >= 3 && bytes.at[i + 1] <= 8 &&
            bytes.at[i + 2] != 0)
            return false;
    return true;
}

static void try_with_mac(hc_slice bytes)
{
    const unsigned char *at = bytes.at;
    unsigned char *der = NULL;
    PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)bytes.size);
    if (p12 && PKCS12_set_mac(p12, "secret", -1, NULL, 8, 1, EVP_sha256()) == 1) {
        int size = i2d_PKCS12(p12, &der);
        ERR_clear_error();
        if (size > 0)
            try_file(hc_slice_of(der, (size_t)size));
    }
    OPENSSL_free(der);
    PKCS12_free(p12);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hc_slice in = hc_slice_of(data, size);
    if (size > HC_LIMIT_PKCS12_BYTES || !is_quick(in))
        return 0;
    try_file(in);
    try_with_mac(in);
    return 0;
}
