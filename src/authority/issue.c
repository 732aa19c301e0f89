#include "authority/issue.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "authority/serial.h"
#include "base/str.h"

/* OpenSSL's last word, with what we were about to do. */
static int tls_error(hc_err *err, const char *what)
{
    char reason[160] = "out of memory";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, reason, sizeof(reason));
    ERR_clear_error();
    return hc_err_set(err, HC_ETLS, "%s: %s", what, reason);
}

int hc_key_new(EVP_PKEY **out, hc_err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return tls_error(err, "cannot make a key");
    *out = key;
    return 0;
}

/* RFC 5280 section 4.2.1.2, method 1: SHA-1 of the key's bits, as an identifier and not as a
 * signature. */
static int key_identifier(X509 *x, uint8_t out[20], hc_err *err)
{
    unsigned size = 0;
    if (X509_pubkey_digest(x, EVP_sha1(), out, &size) != 1 || size != 20)
        return tls_error(err, "cannot make a key identifier");
    return 0;
}

/* UTF8String, as RFC 5280 section 4.1.2.4 wants: OpenSSL's choice for these attributes. */
static int set_common_name(X509 *x, const char *name, hc_err *err)
{
    X509_NAME *subject = X509_NAME_new();
    int rc = 0;
    if (!subject ||
        (name && X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                            (const unsigned char *)name, -1, -1, 0) != 1) ||
        X509_set_subject_name(x, subject) != 1)
        rc = tls_error(err, "cannot set the subject");
    X509_NAME_free(subject);
    return rc;
}

/* The name of a CA shows its key, so that two CAs of one program differ in name too. */
static int set_ca_name(X509 *x, hc_err *err)
{
    uint8_t id[20];
    char name[HC_PROFILE_NAME_BYTES];
    int rc = key_identifier(x, id, err);
    if (rc != 0)
        return rc;
    (void)snprintf(name, sizeof(name), "Handclasp CA %02x%02x%02x%02x", id[0], id[1], id[2], id[3]);
    return set_common_name(x, name, err);
}

/* A server's first host, where it fits: clients look at the subjectAltName alone. */
static const char *server_name(const hc_profile *p)
{
    return strlen(p->hosts[0]) <= HC_PROFILE_NAME_BYTES ? p->hosts[0] : NULL;
}

static int set_subject(const hc_profile *p, X509 *x, hc_err *err)
{
    switch (p->kind) {
    case HC_PROFILE_CA:
        return set_ca_name(x, err);
    case HC_PROFILE_SERVER:
        return set_common_name(x, server_name(p), err);
    case HC_PROFILE_CLIENT:
        break;
    }
    return set_common_name(x, p->name, err);
}

static int64_t lifetime_s(hc_profile_kind kind)
{
    switch (kind) {
    case HC_PROFILE_CA:
        return HC_PROFILE_CA_LIFETIME_S;
    case HC_PROFILE_SERVER:
        return HC_PROFILE_SERVER_LIFETIME_S;
    case HC_PROFILE_CLIENT:
        break;
    }
    return HC_PROFILE_CLIENT_LIFETIME_S;
}

/* ASN1_TIME_set writes UTCTime until 2049 and GeneralizedTime from 2050, as RFC 5280
 * section 4.1.2.5 wants. */
static int set_validity(const hc_profile *p, X509 *x, X509 *issuer, hc_err *err)
{
    time_t from = (time_t)(p->now_s - HC_PROFILE_BACKDATE_S);
    time_t until = (time_t)(p->now_s + lifetime_s(p->kind));
    if (!ASN1_TIME_set(X509_getm_notBefore(x), from) ||
        !ASN1_TIME_set(X509_getm_notAfter(x), until))
        return tls_error(err, "cannot set the validity");
    if (!issuer)
        return 0;
    time_t now = (time_t)p->now_s;
    if (X509_cmp_time(X509_get0_notAfter(issuer), &now) <= 0)
        return hc_err_set(err, HC_EDENIED, "the CA's certificate has expired");
    if (ASN1_TIME_compare(X509_get0_notBefore(issuer), X509_get0_notBefore(x)) > 0 &&
        X509_set1_notBefore(x, X509_get0_notBefore(issuer)) != 1)
        return tls_error(err, "cannot set the validity");
    if (ASN1_TIME_compare(X509_get0_notAfter(issuer), X509_get0_notAfter(x)) < 0 &&
        X509_set1_notAfter(x, X509_get0_notAfter(issuer)) != 1)
        return tls_error(err, "cannot set the validity");
    return 0;
}

static int add_extension(X509 *x, int nid, void *value, bool critical, hc_err *err)
{
    if (!value || X509_add1_ext_i2d(x, nid, value, critical, X509V3_ADD_APPEND) != 1)
        return tls_error(err, OBJ_nid2sn(nid));
    return 0;
}

/* Section 4.2.1.9: critical; a CA of ours signs no other CA. */
static int add_basic_constraints(const hc_profile *p, X509 *x, hc_err *err)
{
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
    int rc = 0;
    if (basic && p->kind == HC_PROFILE_CA) {
        basic->ca = 0xff;
        basic->pathlen = ASN1_INTEGER_new();
        if (!basic->pathlen || ASN1_INTEGER_set(basic->pathlen, 0) != 1)
            rc = tls_error(err, "basicConstraints");
    }
    if (rc == 0)
        rc = add_extension(x, NID_basic_constraints, basic, true, err);
    BASIC_CONSTRAINTS_free(basic);
    return rc;
}

/* Section 4.2.1.3: critical. Bits are numbered from the most significant. */
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
    int rc = set ? add_extension(x, NID_key_usage, bits, true, err) : tls_error(err, "keyUsage");
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
        rc = tls_error(err, "extendedKeyUsage");
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
        rc = tls_error(err, "subjectKeyIdentifier");
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

static GENERAL_NAME *general_name(const char *host)
{
    uint8_t octets[16];
    size_t size = hc_profile_address(host, octets);
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(size ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    int set = value &&
              (size ? ASN1_STRING_set(value, octets, (int)size) : ASN1_STRING_set(value, host, -1));
    if (!name || !set) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, size ? GEN_IPADD : GEN_DNS, value);
    return name;
}

/* Section 4.2.1.6: critical where the subject is empty. */
static int add_hosts(const hc_profile *p, X509 *x, hc_err *err)
{
    if (p->kind != HC_PROFILE_SERVER)
        return 0;
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    int rc = names ? 0 : tls_error(err, "subjectAltName");
    for (size_t i = 0; rc == 0 && i < p->host_count; i++) {
        GENERAL_NAME *name = general_name(p->hosts[i]);
        if (!name || sk_GENERAL_NAME_push(names, name) < 1) {
            GENERAL_NAME_free(name);
            rc = tls_error(err, "subjectAltName");
        }
    }
    if (rc == 0)
        rc = add_extension(x, NID_subject_alt_name, names, server_name(p) == NULL, err);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return rc;
}

static int set_fixed_fields(X509 *x, EVP_PKEY *key, hc_err *err)
{
    ASN1_INTEGER *serial = NULL;
    int rc = hc_serial_new(&serial, err);
    if (rc == 0 && (X509_set_version(x, X509_VERSION_3) != 1 ||
                    X509_set_serialNumber(x, serial) != 1 || X509_set_pubkey(x, key) != 1))
        rc = tls_error(err, "cannot begin a certificate");
    ASN1_INTEGER_free(serial);
    return rc;
}

static int fill(const hc_profile *p, X509 *x, EVP_PKEY *key, X509 *issuer, hc_err *err)
{
    int rc = set_fixed_fields(x, key, err);
    if (rc == 0)
        rc = set_subject(p, x, err);
    if (rc == 0 && X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) != 1)
        rc = tls_error(err, "cannot set the issuer");
    if (rc == 0)
        rc = set_validity(p, x, issuer, err);
    if (rc == 0)
        rc = add_basic_constraints(p, x, err);
    if (rc == 0)
        rc = add_key_usage(p, x, err);
    if (rc == 0)
        rc = add_purpose(p, x, err);
    if (rc == 0)
        rc = add_key_identifiers(x, issuer, err);
    return rc == 0 ? add_hosts(p, x, err) : rc;
}

static int check(const hc_profile *p, X509 *issuer, EVP_PKEY *issuer_key, hc_err *err)
{
    int rc = 0;
    if (p->kind == HC_PROFILE_CA)
        return issuer || issuer_key ? hc_err_set(err, HC_EINVAL, "a CA of ours signs itself") : 0;
    if (!issuer || !issuer_key || X509_check_private_key(issuer, issuer_key) != 1) {
        ERR_clear_error();
        return hc_err_set(err, HC_EINVAL, "the CA's certificate and key do not belong together");
    }
    if (X509_check_ca(issuer) != 1 || !(X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN))
        return hc_err_set(err, HC_EDENIED, "the CA's certificate may not sign certificates");
    if (p->kind == HC_PROFILE_CLIENT)
        return hc_profile_check_name(hc_slice_text(p->name), err);
    if (p->host_count == 0 || p->host_count > HC_PROFILE_HOSTS_MAX)
        return hc_err_set(err, HC_EINVAL, "a server has 1 to %d hosts", HC_PROFILE_HOSTS_MAX);
    for (size_t i = 0; rc == 0 && i < p->host_count; i++)
        rc = hc_profile_check_host(hc_slice_text(p->hosts[i]), err);
    return rc;
}

/* A P-256 key signs with SHA-256; Ed25519 and Ed448 name their own digest. */
static const EVP_MD *digest_for(EVP_PKEY *key)
{
    bool own = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");
    return own ? NULL : EVP_sha256();
}

int hc_issue(const hc_profile *profile, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
             X509 **out, hc_err *err)
{
    EVP_PKEY *signer = issuer_key ? issuer_key : key;
    X509 *x = NULL;
    int rc = check(profile, issuer, issuer_key, err);
    if (rc != 0)
        return rc;
    x = X509_new();
    rc = x ? fill(profile, x, key, issuer, err) : tls_error(err, "cannot begin a certificate");
    if (rc == 0 && X509_sign(x, signer, digest_for(signer)) <= 0)
        rc = tls_error(err, "cannot sign");
    if (rc == 0)
        *out = x;
    else
        X509_free(x);
    return rc;
}
