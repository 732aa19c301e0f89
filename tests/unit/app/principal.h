/* Clients by certificate, for the tests of app/. */
#ifndef HC_TESTS_UNIT_APP_PRINCIPAL_H
#define HC_TESTS_UNIT_APP_PRINCIPAL_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "identity/lookup.h"
#include "identity/principal.h"
#include "unit.h"

static inline hc_principal *new_principal(long serial)
{
    static EVP_PKEY *key;
    hc_principal *p = NULL;
    hc_err err;
    if (!key)
        key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_non_null(x);
    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    assert_int_equal(X509_set_pubkey(x, key), 1);
    X509_NAME *name = X509_get_subject_name(x);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"alice", -1, -1, 0),
        1);
    assert_int_equal(X509_set_issuer_name(x, name), 1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(hc_principal_new(x, NULL, &p, &err), 0);
    X509_free(x);
    return p;
}

#endif
