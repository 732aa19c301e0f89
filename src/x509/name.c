#include "x509/name.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include "base/limits.h"
#include "x509/text.h"

#define OID_TEXT_BYTES 256

/* ssl_var_lookup_ssl_cert_dn_rec of mod_ssl, those that it exports. */
static const struct {
    int nid;
    const char *key;
} short_forms[] = {
    {NID_countryName, "C"},
    {NID_stateOrProvinceName, "ST"},
    {NID_localityName, "L"},
    {NID_organizationName, "O"},
    {NID_organizationalUnitName, "OU"},
    {NID_commonName, "CN"},
    {NID_title, "T"},
    {NID_initials, "I"},
    {NID_givenName, "G"},
    {NID_surname, "S"},
    {NID_description, "D"},
    {NID_serialNumber, "SerialNumber"},
    {NID_userId, "UID"},
    {NID_pkcs9_emailAddress, "Email"},
};

static int check_name(const X509_NAME *name, hc_err *err)
{
    int count = X509_NAME_entry_count(name);
    if (count > HC_LIMIT_NAME_ATTRIBUTES)
        return hc_err_set(err, HC_EFORMAT, "a distinguished name has more than %d attributes",
                          HC_LIMIT_NAME_ATTRIBUTES);
    for (int i = 0; i < count; i++) {
        if (hc_asn1_has_nul(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i))))
            return hc_asn1_nul_found(err, "a distinguished name");
    }
    return 0;
}

int hc_name_text(const X509_NAME *name, hc_buf *out, hc_err *err)
{
    int rc = check_name(name, err);
    if (rc < 0 || X509_NAME_entry_count(name) == 0)
        return rc;
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio)
        return hc_err_set(err, HC_ENOMEM, "no memory for a name");
    char *text = NULL;
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0) {
        ERR_clear_error();
        rc = hc_err_set(err, HC_ETLS, "a distinguished name cannot be written");
        goto out;
    }
    long size = BIO_get_mem_data(bio, &text);
    rc = hc_buf_add(out, hc_slice_of(text, size > 0 ? (size_t)size : 0));
    if (rc < 0)
        rc = hc_err_set(err, -rc, "a distinguished name cannot be kept");
out:
    BIO_free(bio);
    return rc;
}

static hc_slice key_of(const ASN1_OBJECT *object, hc_slice oid)
{
    int nid = OBJ_obj2nid(object);
    for (size_t i = 0; i < HC_COUNT(short_forms); i++) {
        if (short_forms[i].nid == nid)
            return hc_slice_text(short_forms[i].key);
    }
    return oid;
}

static int nth_of(const X509_NAME *name, int index)
{
    const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(X509_NAME_get_entry(name, index));
    int nth = 0;
    for (int i = 0; i < index; i++) {
        if (OBJ_cmp(X509_NAME_ENTRY_get_object(X509_NAME_get_entry(name, i)), object) == 0)
            nth++;
    }
    return nth;
}

static int attribute_at(const X509_NAME *name, int index, hc_buf *text, hc_name_each each,
                        void *arg, hc_err *err)
{
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, index);
    const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
    char oid[OID_TEXT_BYTES];
    int oid_size = OBJ_obj2txt(oid, sizeof(oid), object, 1);
    if (oid_size <= 0 || (size_t)oid_size >= sizeof(oid))
        return hc_err_set(err, HC_EFORMAT, "an attribute type of a distinguished name is too long");
    hc_buf_clear(text);
    int rc = hc_asn1_text(X509_NAME_ENTRY_get_data(entry), "a distinguished name", text, err);
    if (rc < 0)
        return rc;
    hc_slice oid_text = hc_slice_of(oid, (size_t)oid_size);
    hc_name_attribute attribute = {
        .key = key_of(object, oid_text),
        .oid = oid_text,
        .value = hc_buf_slice(text),
        .rdn = X509_NAME_ENTRY_set(entry),
        .nth = nth_of(name, index),
    };
    return each(arg, &attribute);
}

int hc_name_attributes(const X509_NAME *name, hc_name_each each, void *arg, hc_err *err)
{
    hc_buf text = hc_buf_init(HC_ASN1_TEXT_MAX);
    int rc = check_name(name, err);
    int count = X509_NAME_entry_count(name);
    for (int i = 0; rc == 0 && i < count; i++)
        rc = attribute_at(name, i, &text, each, arg, err);
    hc_buf_done(&text);
    return rc;
}
