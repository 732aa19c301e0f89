#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/str.h"
#include "x509/name.h"
#include "x509/san.h"
#include "x509/text.h"

static const char where[] = "a subjectAltName";

static int add_address(const ASN1_OCTET_STRING *ip, hc_buf *out, hc_err *err)
{
    char text[INET6_ADDRSTRLEN];
    int size = ASN1_STRING_length(ip);
    if (size != 4 && size != 16)
        return hc_err_set(err, HC_EFORMAT, "an iPAddress of %d octets (RFC 5280 section 4.2.1.6)",
                          size);
    if (!inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text, sizeof(text)))
        return hc_err_set(err, HC_EFORMAT, "an iPAddress cannot be written");
    int rc = hc_buf_add_text(out, text);
    return rc < 0 ? hc_err_set(err, -rc, "an iPAddress cannot be kept") : 0;
}

static int add_printed(GENERAL_NAME *name, hc_buf *out, hc_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio)
        return hc_err_set(err, HC_ENOMEM, "no memory for %s", where);
    char *at = NULL;
    hc_slice text = HC_SLICE_NONE;
    if (GENERAL_NAME_print(bio, name) == 1) {
        long size = BIO_get_mem_data(bio, &at);
        text = hc_slice_of(at, size > 0 ? (size_t)size : 0);
    }
    ERR_clear_error();
    int rc = hc_utf8_valid(text) ? hc_buf_add(out, text) : hc_buf_add_text(out, "<unprintable>");
    BIO_free(bio);
    return rc < 0 ? hc_err_set(err, -rc, "%s cannot be kept", where) : 0;
}

static int ignore_attribute(void *arg, const hc_name_attribute *attribute)
{
    (void)arg;
    (void)attribute;
    return 0;
}

/* The string inside an otherName, NULL where it holds none. */
static const ASN1_STRING *other_string(const GENERAL_NAME *name)
{
    const ASN1_TYPE *value = name->d.otherName->value;
    if (!value || value->type == V_ASN1_BOOLEAN || value->type == V_ASN1_NULL ||
        value->type == V_ASN1_OBJECT)
        return NULL;
    return value->value.asn1_string;
}

/* id-on-dnsSRV, which OpenSSL 3.0 has no NID for. */
static bool is_dns_srv(const ASN1_OBJECT *type)
{
    static const char oid[] = "1.3.6.1.5.5.7.8.7";
    char text[sizeof(oid) + 1];
    return OBJ_obj2txt(text, sizeof(text), type, 1) == sizeof(oid) - 1 && strcmp(text, oid) == 0;
}

static hc_san_type other_type(const GENERAL_NAME *name)
{
    int nid = OBJ_obj2nid(name->d.otherName->type_id);
    const ASN1_STRING *string = other_string(name);
    int type = string ? ASN1_STRING_type(string) : -1;
    if (nid == NID_ms_upn && type == V_ASN1_UTF8STRING)
        return HC_SAN_UPN;
    if (type == V_ASN1_IA5STRING && is_dns_srv(name->d.otherName->type_id))
        return HC_SAN_SRV;
    return HC_SAN_OTHER;
}

static hc_san_type type_of(const GENERAL_NAME *name)
{
    switch (name->type) {
    case GEN_EMAIL:
        return HC_SAN_EMAIL;
    case GEN_DNS:
        return HC_SAN_DNS;
    case GEN_URI:
        return HC_SAN_URI;
    case GEN_IPADD:
        return HC_SAN_IP;
    case GEN_OTHERNAME:
        return other_type(name);
    default:
        return HC_SAN_OTHER;
    }
}

static int add_other(GENERAL_NAME *name, hc_buf *out, hc_err *err)
{
    if (name->type == GEN_OTHERNAME) {
        const ASN1_STRING *string = other_string(name);
        if (string && hc_asn1_has_nul(string))
            return hc_asn1_nul_found(err, where);
    }
    if (name->type == GEN_DIRNAME) {
        int rc = hc_name_attributes(name->d.directoryName, ignore_attribute, NULL, err);
        if (rc < 0)
            return rc;
    }
    return add_printed(name, out, err);
}

static int add_value(GENERAL_NAME *name, hc_san_type type, hc_buf *out, hc_err *err)
{
    switch (type) {
    case HC_SAN_EMAIL:
    case HC_SAN_DNS:
    case HC_SAN_URI:
        return hc_asn1_text(name->d.ia5, where, out, err);
    case HC_SAN_IP:
        return add_address(name->d.iPAddress, out, err);
    case HC_SAN_UPN:
    case HC_SAN_SRV:
        return hc_asn1_text(other_string(name), where, out, err);
    default:
        return add_other(name, out, err);
    }
}

int hc_san_each_of(const GENERAL_NAMES *names, hc_san_each each, void *arg, hc_err *err)
{
    int nth[HC_SAN_TYPES] = {0};
    int count = sk_GENERAL_NAME_num(names);
    if (count > HC_LIMIT_SANS)
        return hc_err_set(err, HC_EFORMAT, "more than %d subjectAltName entries", HC_LIMIT_SANS);
    hc_buf text = hc_buf_init(HC_ASN1_TEXT_MAX);
    int rc = 0;
    for (int i = 0; rc == 0 && i < count; i++) {
        GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        hc_san_type type = type_of(name);
        hc_buf_clear(&text);
        rc = add_value(name, type, &text, err);
        if (rc == 0)
            rc = each(arg, type, hc_buf_slice(&text), nth[type]++);
    }
    hc_buf_done(&text);
    return rc;
}

int hc_san_entries(X509 *x, hc_san_each each, void *arg, hc_err *err)
{
    int found = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, &found, NULL);
    if (!names) {
        ERR_clear_error();
        if (found == -1)
            return 0;
        return hc_err_set(err, HC_EFORMAT,
                          found == -2 ? "more than one subjectAltName extension"
                                      : "subjectAltName cannot be decoded");
    }
    int rc = hc_san_each_of(names, each, arg, err);
    GENERAL_NAMES_free(names);
    return rc;
}
