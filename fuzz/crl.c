/* Revocation lists of other CAs, from bytes to the index: whatever comes, what is taken obeys its
 * contract.
 *
 * The input is tried as a file (PEM or DER), and, where it is a list in DER, once more signed with
 * a key that is trusted here: no mutation would get past the signature else. Of a list that is
 * taken, whoever OpenSSL finds in it is revoked. */
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "identity/revocation.h"
#include "x509/serial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 2026-01-01 */
#define NOW          1767225600
#define ENTRIES_SEEN 8

typedef struct world {
    EVP_PKEY *key;
    X509 *ca;
    STACK_OF(X509) * cas;
} world;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static X509 *make_ca(EVP_PKEY *key)
{
    X509 *ca = X509_new();
    X509_NAME *name = X509_get_subject_name(ca);
    must(X509_set_version(ca, 2) == 1);
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"CA", -1, -1, 0) ==
         1);
    must(X509_set_issuer_name(ca, name) == 1);
    ASN1_TIME_set(X509_getm_notBefore(ca), 0);
    ASN1_TIME_set(X509_getm_notAfter(ca), NOW * 2L);
    must(X509_set_pubkey(ca, key) == 1);
    X509_EXTENSION *constraints = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");
    must(X509_add_ext(ca, constraints, -1) == 1);
    X509_EXTENSION_free(constraints);
    must(X509_sign(ca, key, NULL) > 0);
    return ca;
}

static world *the_world(void)
{
    static world w;
    if (!w.ca) {
        w.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        must(w.key != NULL);
        w.ca = make_ca(w.key);
        w.cas = sk_X509_new_null();
        must(sk_X509_push(w.cas, w.ca) > 0);
    }
    return &w;
}

/* Our limit: longer serials are of certificates that are malformed. */
static bool is_ours(const X509_REVOKED *entry)
{
    hc_serial s;
    return hc_serial_from_asn1(X509_REVOKED_get0_serialNumber(entry), &s, NULL) == 0;
}

static void check_entry(const world *w, const hc_revocation *r, X509_REVOKED *entry)
{
    X509 *client = X509_new();
    int known = 0;
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, &known, NULL);
    must(X509_set_serialNumber(client, (ASN1_INTEGER *)X509_REVOKED_get0_serialNumber(entry)) == 1);
    hc_revocation_answer a = hc_revocation_check(r, client, w->ca, NOW);
    if (!is_ours(entry))
        must(a.status == HC_REVOCATION_UNKNOWN);
    else if (!reason || ASN1_ENUMERATED_get(reason) != CRL_REASON_REMOVE_FROM_CRL)
        must(a.status == HC_REVOCATION_REVOKED);
    ASN1_ENUMERATED_free(reason);
    X509_free(client);
}

static void check_taken(const world *w, const hc_revocation *r, X509_CRL *crl)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    X509 *stranger = X509_new();
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(stranger), UINT64_C(0xA5A5A5A5A5A5A5A5));
    for (int i = 0; i < sk_X509_REVOKED_num(entries) && i < ENTRIES_SEEN; i++)
        check_entry(w, r, sk_X509_REVOKED_value(entries, i));
    hc_revocation_answer a = hc_revocation_check(r, stranger, w->ca, NOW);
    if (a.status == HC_REVOCATION_GOOD)
        must(a.valid_from_s <= NOW && NOW < a.valid_until_s && a.error == X509_V_OK);
    must(hc_revocation_until(r) > NOW);
    X509_free(stranger);
}

static hc_revocation *load(const world *w, hc_slice bytes)
{
    hc_revocation *r = NULL;
    hc_err err = {0};
    hc_trust_source source = {"crl", bytes};
    int rc = hc_revocation_load(&source, 1, w->cas, NOW, &r, &err);
    must((rc == 0) == (r != NULL));
    must(rc == 0 || err.text[0] != '\0');
    return r;
}

static void try_signed(const world *w, hc_slice bytes)
{
    const unsigned char *at = bytes.at;
    unsigned char *der = NULL;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)bytes.size);
    if (crl && X509_CRL_set_issuer_name(crl, X509_get_subject_name(w->ca)) == 1 &&
        X509_CRL_sign(crl, w->key, NULL) > 0) {
        int size = i2d_X509_CRL(crl, &der);
        must(size > 0);
        hc_revocation *r = load(w, hc_slice_of(der, (size_t)size));
        if (r)
            check_taken(w, r, crl);
        hc_revocation_free(r);
        OPENSSL_free(der);
    }
    X509_CRL_free(crl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const world *w = the_world();
    hc_slice in = hc_slice_of(data, size);
    hc_revocation_free(load(w, in));
    try_signed(w, in);
    return 0;
}
