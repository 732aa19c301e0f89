#include "authority/issue.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "authority/serial.h"
#include "authority/subject.h"
#include "x509/ossl.h"

/* RFC 5280 section 4.2.1.2, method 1: SHA-1 of the key's bits, as an identifier and not as a
 * signature. */
static int key_identifier(X509 *x, uint8_t out[20], hc_err *err)
{
    unsigned size = 0;
    if (X509_pubkey_digest(x, EVP_sha1(), out, &size) != 1 || size != 20)
        return hc_ossl_failed(err, "cannot make a key identifier");
    return 0;
}

#define CA_NAME_BYTES 32

/* The name of a CA shows its key, so that two CAs of one program differ in name too. */
static int ca_name(X509 *x, char out[CA_NAME_BYTES], hc_err *err)
{
    uint8_t id[20];
    int rc = key_identifier(x, id, err);
    if (rc == 0)
        (void)snprintf(out, CA_NAME_BYTES, "Handclasp CA %02x%02x%02x%02x", id[0], id[1], id[2],
                       id[3]);
    return rc;
}

/* A server's first host, where it fits: clients look at the subjectAltName alone. */
static const char *server_name(const hc_holder *h)
{
    for (size_t i = 0; i < h->san_count; i++)
        if (h->sans[i].type == HC_SAN_DNS || h->sans[i].type == HC_SAN_IP)
            return strlen(h->sans[i].value) <= HC_PROFILE_NAME_BYTES ? h->sans[i].value : NULL;
    return NULL;
}

static int set_subject(const hc_profile *p, const hc_holder *h, X509 *x, hc_err *err)
{
    char made[CA_NAME_BYTES];
    const char *name = h->name;
    X509_NAME *subject = NULL;
    int rc = 0;
    if (!name && p->kind == HC_PROFILE_SERVER)
        name = server_name(h);
    if (!name && p->kind == HC_PROFILE_CA) {
        rc = ca_name(x, made, err);
        name = made;
    }
    if (rc == 0)
        rc = hc_subject_make(p->subject, name, &subject, err);
    if (rc == 0 && X509_set_subject_name(x, subject) != 1)
        rc = hc_ossl_failed(err, "cannot set the subject");
    X509_NAME_free(subject);
    return rc;
}

/* ASN1_TIME_set writes UTCTime until 2049 and GeneralizedTime from 2050, as RFC 5280
 * section 4.1.2.5 wants. */
static int set_validity(const hc_profile *p, const hc_holder *h, X509 *x, X509 *issuer, hc_err *err)
{
    time_t from = (time_t)(h->now_s - HC_PROFILE_BACKDATE_S);
    time_t until = (time_t)(h->now_s + p->lifetime_s);
    if (!ASN1_TIME_set(X509_getm_notBefore(x), from) ||
        !ASN1_TIME_set(X509_getm_notAfter(x), until))
        return hc_ossl_failed(err, "cannot set the validity");
    if (!issuer)
        return 0;
    time_t now = (time_t)h->now_s;
    if (X509_cmp_time(X509_get0_notAfter(issuer), &now) <= 0)
        return hc_err_set(err, HC_EDENIED, "the CA's certificate has expired");
    if (ASN1_TIME_compare(X509_get0_notBefore(issuer), X509_get0_notBefore(x)) > 0 &&
        X509_set1_notBefore(x, X509_get0_notBefore(issuer)) != 1)
        return hc_ossl_failed(err, "cannot set the validity");
    if (ASN1_TIME_compare(X509_get0_notAfter(issuer), X509_get0_notAfter(x)) < 0 &&
        X509_set1_notAfter(x, X509_get0_notAfter(issuer)) != 1)
        return hc_ossl_failed(err, "cannot set the validity");
    return 0;
}

static int add_extension(X509 *x, int nid, void *value, bool critical, hc_err *err)
{
    if (!value || X509_add1_ext_i2d(x, nid, value, critical, X509V3_ADD_APPEND) != 1)
        return hc_ossl_failed(err, OBJ_nid2sn(nid));
    return 0;
}

/* Section 4.2.1.9: critical. */
static int add_basic_constraints(const hc_profile *p, X509 *x, hc_err *err)
{
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
    int rc = 0;
    if (basic && p->kind == HC_PROFILE_CA) {
        basic->ca = 0xff;
        basic->pathlen = ASN1_INTEGER_new();
        if (!basic->pathlen || ASN1_INTEGER_set(basic->pathlen, p->path_length) != 1)
            rc = hc_ossl_failed(err, "basicConstraints");
    }
    if (rc == 0)
        rc = add_extension(x, NID_basic_constraints, basic, true, err);
    BASIC_CONSTRAINTS_free(basic);
    return rc;
}

/* Section 4.2.1.3: critical. Bits are numbered from the most significant. An end entity signs and
 * does nothing else, whatever its key: RFC 8410 section 5 and RFC 8813 section 3 forbid the
 * encipherments for EdDSA and EC, and an RSA key that may only sign is of no use to who attacks
 * RSA key exchange. */
static int add_key_usage(const hc_profile *p, X509 *x, hc_err *err)
{
    enum { DIGITAL_SIGNATURE = 0, KEY_CERT_SIGN = 5, CRL_SIGN = 6 };
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    bool set;
    if (p->kind == HC_PROFILE_CA)
        set = bits && ASN1_BIT_STRING_set_bit(bits, KEY_CERT_SIGN, 1) &&
              ASN1_BIT_STRING_set_bit(bits, CRL_SIGN, 1);
    else
        set = bits && ASN1_BIT_STRING_set_bit(bits, DIGITAL_SIGNATURE, 1);
    int rc =
        set ? add_extension(x, NID_key_usage, bits, true, err) : hc_ossl_failed(err, "keyUsage");
    ASN1_BIT_STRING_free(bits);
    return rc;
}

/* Section 4.2.1.12 */
static int add_purpose(const hc_profile *p, X509 *x, hc_err *err)
{
    if (p->kind == HC_PROFILE_CA)
        return 0;
    ASN1_OBJECT *purpose =
        OBJ_nid2obj(p->kind == HC_PROFILE_SERVER ? NID_server_auth : NID_client_auth);
    EXTENDED_KEY_USAGE *purposes = sk_ASN1_OBJECT_new_null();
    int rc = 0;
    if (!purposes || !purpose || sk_ASN1_OBJECT_push(purposes, purpose) < 1)
        rc = hc_ossl_failed(err, "extendedKeyUsage");
    else
        rc = add_extension(x, NID_ext_key_usage, purposes, false, err);
    /* The objects are OpenSSL's static ones. */
    sk_ASN1_OBJECT_free(purposes);
    return rc;
}

/* Sections 4.2.1.1 and 4.2.1.2. A root needs no authority key identifier. */
static int add_key_identifiers(X509 *x, X509 *issuer, hc_err *err)
{
    uint8_t id[20];
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *authority = NULL;
    int rc = key_identifier(x, id, err);
    if (rc == 0 && (!octets || ASN1_OCTET_STRING_set(octets, id, sizeof(id)) != 1))
        rc = hc_ossl_failed(err, "subjectKeyIdentifier");
    if (rc == 0)
        rc = add_extension(x, NID_subject_key_identifier, octets, false, err);
    if (rc != 0 || !issuer)
        goto out;
    authority = AUTHORITY_KEYID_new();
    const ASN1_OCTET_STRING *of_issuer = X509_get0_subject_key_id(issuer);
    if (authority && of_issuer)
        authority->keyid = ASN1_OCTET_STRING_dup(of_issuer);
    if (!authority || !authority->keyid)
        rc = hc_err_set(err, HC_EDENIED, "the CA's certificate has no subject key identifier");
    else
        rc = add_extension(x, NID_authority_key_identifier, authority, false, err);
out:
    AUTHORITY_KEYID_free(authority);
    ASN1_OCTET_STRING_free(octets);
    return rc;
}

/* Section 4.2.1.6: critical where the subject is empty. */
static int add_sans(const hc_holder *h, X509 *x, hc_err *err)
{
    GENERAL_NAMES *names = NULL;
    bool critical = X509_NAME_entry_count(X509_get_subject_name(x)) == 0;
    if (h->san_count == 0)
        return critical ? hc_err_set(err, HC_EINVAL,
                                     "the subject is empty, and no alternative "
                                     "name is given")
                        : 0;
    int rc = hc_san_make(h->sans, h->san_count, &names, err);
    if (rc == 0)
        rc = add_extension(x, NID_subject_alt_name, names, critical, err);
    GENERAL_NAMES_free(names);
    return rc;
}

static DIST_POINT *distribution_point(const char *url)
{
    hc_san san = {HC_SAN_URI, url};
    DIST_POINT *point = DIST_POINT_new();
    DIST_POINT_NAME *name = DIST_POINT_NAME_new();
    if (!point || !name || hc_san_make(&san, 1, &name->name.fullname, NULL) != 0) {
        DIST_POINT_NAME_free(name);
        DIST_POINT_free(point);
        return NULL;
    }
    name->type = 0; /* fullName */
    point->distpoint = name;
    return point;
}

/* Section 4.2.1.13. Of a CA's own certificate the operator of its root decides. */
static int add_crl_url(const hc_profile *p, X509 *x, hc_err *err)
{
    if (!*p->crl_url)
        return 0;
    STACK_OF(DIST_POINT) *points = sk_DIST_POINT_new_null();
    DIST_POINT *point = distribution_point(p->crl_url);
    int rc;
    if (points && point && sk_DIST_POINT_push(points, point) > 0) {
        rc = add_extension(x, NID_crl_distribution_points, points, false, err);
    } else {
        DIST_POINT_free(point);
        rc = hc_ossl_failed(err, "cRLDistributionPoints");
    }
    sk_DIST_POINT_pop_free(points, DIST_POINT_free);
    return rc;
}

static int set_fixed_fields(X509 *x, EVP_PKEY *key, hc_err *err)
{
    ASN1_INTEGER *serial = NULL;
    int rc = hc_serial_new(&serial, err);
    if (rc == 0 && (X509_set_version(x, X509_VERSION_3) != 1 ||
                    X509_set_serialNumber(x, serial) != 1 || X509_set_pubkey(x, key) != 1))
        rc = hc_ossl_failed(err, "cannot begin a certificate");
    ASN1_INTEGER_free(serial);
    return rc;
}

static int add_extensions(const hc_profile *p, const hc_holder *h, X509 *x, X509 *issuer,
                          hc_err *err)
{
    int rc = add_basic_constraints(p, x, err);
    if (rc == 0)
        rc = add_key_usage(p, x, err);
    if (rc == 0)
        rc = add_purpose(p, x, err);
    if (rc == 0)
        rc = add_key_identifiers(x, issuer, err);
    if (rc == 0)
        rc = add_sans(h, x, err);
    return rc == 0 ? add_crl_url(p, x, err) : rc;
}

static int fill(const hc_profile *p, const hc_holder *h, X509 *x, EVP_PKEY *key, X509 *issuer,
                hc_err *err)
{
    int rc = set_fixed_fields(x, key, err);
    if (rc == 0)
        rc = set_subject(p, h, x, err);
    if (rc == 0 && X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) != 1)
        rc = hc_ossl_failed(err, "cannot set the issuer");
    if (rc == 0)
        rc = set_validity(p, h, x, issuer, err);
    return rc == 0 ? add_extensions(p, h, x, issuer, err) : rc;
}

/* Section 4.2.1.9: pathLenConstraint counts the CAs below; -1: no bound. */
static bool allows_ca_below(X509 *issuer, int path_length)
{
    long allowed = X509_get_pathlen(issuer);
    return allowed < 0 || allowed > path_length;
}

static int check_issuer(const hc_profile *p, X509 *issuer, EVP_PKEY *issuer_key, hc_err *err)
{
    if (!issuer && !issuer_key && p->kind == HC_PROFILE_CA)
        return 0;
    if (!issuer || !issuer_key || X509_check_private_key(issuer, issuer_key) != 1) {
        ERR_clear_error();
        return hc_err_set(err, HC_EINVAL, "the CA's certificate and key do not belong together");
    }
    if (X509_check_ca(issuer) != 1 || !(X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN))
        return hc_err_set(err, HC_EDENIED, "the CA's certificate may not sign certificates");
    if (p->kind == HC_PROFILE_CA && !allows_ca_below(issuer, p->path_length))
        return hc_err_set(err, HC_EDENIED,
                          "the CA's certificate allows no such CA below it "
                          "(pathLenConstraint)");
    return 0;
}

int hc_issue(const hc_profile *profile, const hc_holder *holder, EVP_PKEY *key, X509 *issuer,
             EVP_PKEY *issuer_key, X509 **out, hc_err *err)
{
    EVP_PKEY *signer = issuer_key ? issuer_key : key;
    X509 *x = NULL;
    int rc = check_issuer(profile, issuer, issuer_key, err);
    if (rc == 0)
        rc = hc_profile_check_holder(profile, holder, err);
    if (rc == 0)
        rc = hc_profile_check_key(profile, key, err);
    if (rc != 0)
        return rc;
    x = X509_new();
    rc = x ? fill(profile, holder, x, key, issuer, err)
           : hc_ossl_failed(err, "cannot begin a certificate");
    if (rc == 0 && X509_sign(x, signer, hc_key_digest(signer)) <= 0)
        rc = hc_ossl_failed(err, "cannot sign");
    if (rc == 0)
        *out = x;
    else
        X509_free(x);
    return rc;
}

int hc_sign_csr(const hc_profile *profile, const hc_holder *holder, const hc_csr *csr, X509 *issuer,
                EVP_PKEY *issuer_key, X509 **out, hc_err *err)
{
    EVP_PKEY *key = hc_csr_key(csr);
    if (!issuer || !issuer_key)
        return hc_err_set(err, HC_EINVAL, "a request is signed by a CA");
    if (EVP_PKEY_eq(key, X509_get0_pubkey(issuer)) == 1)
        return hc_err_set(err, HC_EDENIED, "the request is made with the CA's own key");
    ERR_clear_error(); /* keys of two kinds are compared with an error */
    return hc_issue(profile, holder, key, issuer, issuer_key, out, err);
}
