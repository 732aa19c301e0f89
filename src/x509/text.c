#include "x509/text.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <time.h>

/* Octets a character of an ASN.1 string type takes; 0 for UTF-8, -1 for what is no character
 * string. */
static int character_width(int type)
{
    switch (type) {
    case V_ASN1_UTF8STRING:
        return 0;
    case V_ASN1_NUMERICSTRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_T61STRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_VISIBLESTRING:
    case V_ASN1_UTCTIME:
    case V_ASN1_GENERALIZEDTIME:
        return 1;
    case V_ASN1_BMPSTRING:
        return 2;
    case V_ASN1_UNIVERSALSTRING:
        return 4;
    default:
        return -1;
    }
}

bool hc_asn1_has_nul(const ASN1_STRING *s)
{
    static const uint8_t nul[4];
    int width = character_width(ASN1_STRING_type(s));
    if (width < 0)
        return false;
    size_t step = width ? (size_t)width : 1;
    const uint8_t *at = ASN1_STRING_get0_data(s);
    size_t size = (size_t)ASN1_STRING_length(s);
    for (size_t i = 0; i + step <= size; i += step) {
        if (memcmp(at + i, nul, step) == 0)
            return true;
    }
    return false;
}

int hc_asn1_nul_found(hc_err *err, const char *where)
{
    return hc_err_set(err, HC_EFORMAT, "a NUL octet in %s", where);
}

/* What is no character string: "#" and its DER, RFC 4514 section 2.4. mod_ssl gives the bare
 * octets, which lets a CN of type OCTET STRING pass for a text. */
static int add_dump(const ASN1_STRING *s, hc_buf *out, hc_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio)
        return hc_err_set(err, HC_ENOMEM, "no memory for a name");
    char *text = NULL;
    int rc = -HC_ETLS;
    if (ASN1_STRING_print_ex(bio, s, ASN1_STRFLGS_DUMP_ALL | ASN1_STRFLGS_DUMP_DER) >= 0) {
        long size = BIO_get_mem_data(bio, &text);
        rc = hc_buf_add(out, hc_slice_of(text, (size_t)size));
    }
    BIO_free(bio);
    return rc < 0 ? hc_err_set(err, -rc, "a name cannot be written") : 0;
}

int hc_asn1_text(const ASN1_STRING *s, const char *where, hc_buf *out, hc_err *err)
{
    if (character_width(ASN1_STRING_type(s)) < 0)
        return add_dump(s, out, err);
    if (hc_asn1_has_nul(s))
        return hc_asn1_nul_found(err, where);
    unsigned char *text = NULL;
    int size = ASN1_STRING_to_UTF8(&text, s);
    if (size < 0) {
        ERR_clear_error();
        return hc_err_set(err, HC_EFORMAT, "%s is not well-formed in its character set", where);
    }
    int rc = hc_buf_add(out, hc_slice_of(text, (size_t)size));
    OPENSSL_free(text);
    return rc < 0 ? hc_err_set(err, -rc, "%s cannot be kept", where) : 0;
}

int hc_asn1_time(const ASN1_TIME *in, int64_t *out, hc_err *err)
{
    struct tm parts;
    /* NULL would make ASN1_TIME_to_tm answer with the present time. */
    if (!in || ASN1_TIME_to_tm(in, &parts) != 1) {
        ERR_clear_error();
        return hc_err_set(err, HC_EFORMAT, "a date is not well-formed (RFC 5280 section 4.1.2.5)");
    }
    *out = (int64_t)timegm(&parts);
    return 0;
}
