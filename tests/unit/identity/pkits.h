/* NIST's Public Key Interoperability Test Suite (PKITS, data of 2011): one S/MIME message a test,
 * which carries the certificates and the CRLs of its path.
 *
 * The data is not in this tree: Debian has it in python3-cryptography-vectors; PKITS_DATA names
 * another folder. A test includes this once. */
#ifndef HC_TESTS_UNIT_IDENTITY_PKITS_H
#define HC_TESTS_UNIT_IDENTITY_PKITS_H

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "identity/trust.h"
#include "unit.h"

#define PKITS_DEBIAN "/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data"

typedef struct pkits_message {
    X509 *leaf; /* borrowed from certs */
    STACK_OF(X509) * certs;
    STACK_OF(X509_CRL) * crls;
} pkits_message;

static inline const char *pkits_folder(void)
{
    const char *named = getenv("PKITS_DATA");
    return named && *named ? named : PKITS_DEBIAN;
}

static inline bool pkits_is_there(void)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/smime", pkits_folder());
    return access(path, R_OK) == 0;
}

static inline BIO *pkits_open(const char *folder, const char *before, const char *title,
                              const char *after)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s/%s%s%s", pkits_folder(), folder, before, title, after);
    BIO *bio = BIO_new_file(path, "rb");
    if (!bio)
        fail_msg("%s cannot be opened", path);
    return bio;
}

static inline X509 *pkits_anchor(void)
{
    BIO *bio = pkits_open("certs", "", "TrustAnchorRootCertificate", ".crt");
    X509 *x = d2i_X509_bio(bio, NULL);
    assert_non_null(x);
    BIO_free(bio);
    return x;
}

static inline pkits_message pkits_read(const char *title)
{
    pkits_message m = {0};
    BIO *content = NULL;
    BIO *bio = pkits_open("smime", "Signed", title, ".eml");
    CMS_ContentInfo *cms = SMIME_read_CMS(bio, &content);
    if (!cms)
        fail_msg("%s: not an S/MIME message", title);
    m.certs = CMS_get1_certs(cms);
    m.crls = CMS_get1_crls(cms);
    CMS_SignerInfo *signer = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    for (int i = 0; i < sk_X509_num(m.certs); i++) {
        if (CMS_SignerInfo_cert_cmp(signer, sk_X509_value(m.certs, i)) == 0)
            m.leaf = sk_X509_value(m.certs, i);
    }
    assert_non_null(m.leaf);
    CMS_ContentInfo_free(cms);
    BIO_free(content);
    BIO_free(bio);
    ERR_clear_error();
    return m;
}

static inline void pkits_done(pkits_message *m)
{
    sk_X509_pop_free(m->certs, X509_free);
    sk_X509_CRL_pop_free(m->crls, X509_CRL_free);
}

/* What an operator who trusts the anchor and wants CRLs would name: the anchor, and below it the
 * CAs that the named ones certified. */
static inline STACK_OF(X509) * pkits_operators_cas(X509 *anchor, const pkits_message *m)
{
    STACK_OF(X509) *cas = sk_X509_new_null();
    sk_X509_push(cas, anchor);
    for (int i = 0; i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);
        for (int j = 0; j < sk_X509_num(m->certs); j++) {
            X509 *x = sk_X509_value(m->certs, j);
            if (x != m->leaf && sk_X509_find(cas, x) < 0 && X509_check_issued(ca, x) == X509_V_OK &&
                X509_verify(x, X509_get0_pubkey(ca)) == 1)
                sk_X509_push(cas, x); /* and the loop goes on to it */
        }
    }
    ERR_clear_error();
    return cas;
}

static inline hc_slice pkits_bytes(BIO *bio)
{
    char *at = NULL;
    long size = BIO_get_mem_data(bio, &at);
    return hc_slice_of(at, (size_t)size);
}

/* hc_trust_load with these, in PEM as it takes them. */
static inline int pkits_load(const STACK_OF(X509) * cas, const STACK_OF(X509_CRL) * crls,
                             int64_t now_s, hc_trust **out, hc_err *err)
{
    BIO *ca_text = BIO_new(BIO_s_mem());
    BIO *crl_text = BIO_new(BIO_s_mem());
    for (int i = 0; i < sk_X509_num(cas); i++)
        assert_int_equal(PEM_write_bio_X509(ca_text, sk_X509_value(cas, i)), 1);
    for (int i = 0; i < sk_X509_CRL_num(crls); i++)
        assert_int_equal(PEM_write_bio_X509_CRL(crl_text, sk_X509_CRL_value(crls, i)), 1);
    hc_trust_source ca_source = {"ca-file", pkits_bytes(ca_text)};
    hc_trust_source crl_source = {"crl-file", pkits_bytes(crl_text)};
    hc_trust_config config = {.cas = &ca_source,
                              .ca_count = 1,
                              .crls = &crl_source,
                              .crl_count = crls ? 1 : 0,
                              .generation = 1,
                              .now_s = now_s};
    int rc = hc_trust_load(&config, out, err);
    BIO_free(ca_text);
    BIO_free(crl_text);
    return rc;
}

#endif
