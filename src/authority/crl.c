#include "authority/crl.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "x509/key.h"
#include "x509/ossl.h"

#define REASON_UNSPECIFIED 0

struct hc_crl {
    hc_revoked *at;
    size_t count, capacity;
};

int hc_crl_new(hc_crl **out, hc_err *err)
{
    hc_crl *c = hc_alloc_zero(1, sizeof(*c));
    if (!c)
        return hc_err_set(err, HC_ENOMEM, "no memory for a CRL");
    *out = c;
    return 0;
}

void hc_crl_free(hc_crl *c)
{
    if (!c)
        return;
    hc_free(c->at);
    hc_free(c);
}

static int grow(hc_crl *c, hc_err *err)
{
    size_t capacity = c->capacity ? 2 * c->capacity : 64;
    hc_revoked *at = hc_realloc(c->at, capacity * sizeof(*at));
    if (!at)
        return hc_err_set(err, HC_ENOMEM, "no memory for a CRL");
    c->at = at;
    c->capacity = capacity;
    return 0;
}

/* Section 5.3.1: removeFromCRL is for delta CRLs. */
static bool is_reason(int reason)
{
    int same = 0;
    return reason == HC_REASON_NONE ||
           (hc_reason_parse(hc_slice_text(hc_reason_name(reason)), &same) && same == reason);
}

int hc_crl_add(hc_crl *c, const hc_revoked *r, hc_err *err)
{
    if (r->serial.negative || r->serial.size == 0)
        return hc_err_set(err, HC_EINVAL, "a serial that is not positive cannot stand on a CRL");
    if (!is_reason(r->reason))
        return hc_err_set(err, HC_EINVAL, "%d is no reason to revoke for (RFC 5280 section 5.3.1)",
                          r->reason);
    if (c->count == HC_LIMIT_CRL_ENTRIES)
        return hc_err_set(err, HC_ELIMIT, "a CRL has at most %u entries", HC_LIMIT_CRL_ENTRIES);
    int rc = c->count == c->capacity ? grow(c, err) : 0;
    if (rc == 0)
        c->at[c->count++] = *r;
    return rc;
}

/* As numbers: shorter is smaller, since there are no leading zeros. */
static int compare_serials(const hc_serial *a, const hc_serial *b)
{
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return memcmp(a->octets, b->octets, a->size);
}

static int compare(const void *left, const void *right)
{
    const hc_revoked *a = left, *b = right;
    int order = compare_serials(&a->serial, &b->serial);
    if (order != 0)
        return order;
    return a->revoked_s < b->revoked_s ? -1 : a->revoked_s > b->revoked_s;
}

static int set_time(ASN1_TIME **out, int64_t at_s)
{
    *out = ASN1_TIME_set(NULL, (time_t)at_s);
    return *out ? 1 : 0;
}

/* Section 5.3.1: "unspecified" is said by saying nothing. */
static int set_reason(X509_REVOKED *entry, int reason)
{
    if (reason == HC_REASON_NONE || reason == REASON_UNSPECIFIED)
        return 1;
    ASN1_ENUMERATED *value = ASN1_ENUMERATED_new();
    int ok = value && ASN1_ENUMERATED_set(value, reason) == 1 &&
             X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, value, 0, X509V3_ADD_APPEND) == 1;
    ASN1_ENUMERATED_free(value);
    return ok;
}

static ASN1_INTEGER *serial_of(const hc_serial *s)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    if (number && ASN1_STRING_set(number, s->octets, s->size) == 1)
        return number;
    ASN1_INTEGER_free(number);
    return NULL;
}

static int add_entry(X509_CRL *crl, const hc_revoked *r)
{
    ASN1_TIME *at = NULL;
    ASN1_INTEGER *serial = serial_of(&r->serial);
    X509_REVOKED *entry = X509_REVOKED_new();
    int ok = entry && serial && set_time(&at, r->revoked_s) &&
             X509_REVOKED_set_serialNumber(entry, serial) == 1 &&
             X509_REVOKED_set_revocationDate(entry, at) == 1 && set_reason(entry, r->reason) &&
             X509_CRL_add0_revoked(crl, entry) == 1;
    if (!ok)
        X509_REVOKED_free(entry);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(at);
    return ok;
}

static int add_entries(hc_crl *c, const hc_crl_terms *terms, X509_CRL *crl, hc_err *err)
{
    int64_t lifetime_s = terms->next_update_s - terms->this_update_s;
    if (c->count)
        qsort(c->at, c->count, sizeof(*c->at), compare);
    for (size_t i = 0; i < c->count; i++) {
        const hc_revoked *r = &c->at[i];
        bool again = i > 0 && compare_serials(&r->serial, &r[-1].serial) == 0;
        bool ended = r->not_after_s && r->not_after_s + lifetime_s < terms->this_update_s;
        if (!again && !ended && !add_entry(crl, r))
            return hc_ossl_failed(err, "cannot add to a CRL");
    }
    return 0;
}

static int set_terms(const hc_crl_terms *terms, X509_CRL *crl, X509 *issuer, hc_err *err)
{
    ASN1_TIME *this_update = NULL, *next_update = NULL;
    bool ok = X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
              X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
              set_time(&this_update, terms->this_update_s) &&
              set_time(&next_update, terms->next_update_s) &&
              X509_CRL_set1_lastUpdate(crl, this_update) == 1 &&
              X509_CRL_set1_nextUpdate(crl, next_update) == 1;
    ASN1_TIME_free(this_update);
    ASN1_TIME_free(next_update);
    return ok ? 0 : hc_ossl_failed(err, "cannot begin a CRL");
}

/* Sections 5.2.1 and 5.2.3 */
static int add_extensions(const hc_crl_terms *terms, X509_CRL *crl, X509 *issuer, hc_err *err)
{
    const ASN1_OCTET_STRING *of_issuer = X509_get0_subject_key_id(issuer);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    if (authority && of_issuer)
        authority->keyid = ASN1_OCTET_STRING_dup(of_issuer);
    bool ok = number && authority && authority->keyid &&
              ASN1_INTEGER_set_uint64(number, terms->number) == 1 &&
              X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, authority, 0,
                                    X509V3_ADD_APPEND) == 1 &&
              X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, X509V3_ADD_APPEND) == 1;
    AUTHORITY_KEYID_free(authority);
    ASN1_INTEGER_free(number);
    return ok ? 0 : hc_ossl_failed(err, "cannot extend a CRL");
}

static int check(const hc_crl_terms *terms, X509 *issuer, EVP_PKEY *key, hc_err *err)
{
    if (terms->next_update_s <= terms->this_update_s)
        return hc_err_set(err, HC_EINVAL, "a CRL ends after it begins");
    if (X509_check_private_key(issuer, key) != 1) {
        ERR_clear_error();
        return hc_err_set(err, HC_EINVAL, "the CA's certificate and key do not belong together");
    }
    /* Section 4.2.1.3 */
    if (X509_check_ca(issuer) != 1 || !(X509_get_key_usage(issuer) & KU_CRL_SIGN))
        return hc_err_set(err, HC_EDENIED, "the CA's certificate may not sign CRLs");
    if (!X509_get0_subject_key_id(issuer))
        return hc_err_set(err, HC_EDENIED, "the CA's certificate has no subject key identifier");
    return 0;
}

int hc_crl_sign(hc_crl *c, const hc_crl_terms *terms, X509 *issuer, EVP_PKEY *key, X509_CRL **out,
                hc_err *err)
{
    int rc = check(terms, issuer, key, err);
    if (rc != 0)
        return rc;
    X509_CRL *crl = X509_CRL_new();
    rc = crl ? set_terms(terms, crl, issuer, err) : hc_ossl_failed(err, "cannot begin a CRL");
    if (rc == 0)
        rc = add_extensions(terms, crl, issuer, err);
    if (rc == 0)
        rc = add_entries(c, terms, crl, err);
    if (rc == 0 && X509_CRL_sign(crl, key, hc_key_digest(key)) <= 0)
        rc = hc_ossl_failed(err, "cannot sign a CRL");
    if (rc == 0)
        *out = crl;
    else
        X509_CRL_free(crl);
    return rc;
}

int hc_crl_der(X509_CRL *crl, hc_buf *out, hc_err *err)
{
    int size = i2d_X509_CRL(crl, NULL);
    if (size <= 0)
        return hc_ossl_failed(err, "cannot write a CRL");
    int rc = hc_buf_reserve(out, (size_t)size);
    if (rc != 0)
        return hc_err_set(err, -rc, "a CRL cannot be kept");
    unsigned char *at = out->at + out->size;
    if (i2d_X509_CRL(crl, &at) != size)
        return hc_ossl_failed(err, "cannot write a CRL");
    out->size += (size_t)size;
    return 0;
}

int hc_crl_pem(X509_CRL *crl, hc_buf *out, hc_err *err)
{
    char *at = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    int rc = 0;
    if (!bio || PEM_write_bio_X509_CRL(bio, crl) != 1) {
        rc = hc_ossl_failed(err, "cannot write a CRL");
    } else {
        long size = BIO_get_mem_data(bio, &at);
        rc = hc_buf_add(out, hc_slice_of(at, (size_t)size));
        if (rc != 0)
            rc = hc_err_set(err, -rc, "a CRL cannot be kept");
    }
    BIO_free(bio);
    return rc;
}
