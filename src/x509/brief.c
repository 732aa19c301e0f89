/* hc_cert_brief_of: what a log line says about a certificate that our rules may refuse. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/str.h"
#include "x509/cert.h"

/* A copy that ends with a whole character, so that what was cut stays well-formed. */
static void copy_cut(hc_slice text, char *out, size_t out_size)
{
    size_t size = 0;
    while (size < text.size) {
        uint32_t point;
        size_t step = hc_utf8_next(hc_slice_from(text, size), &point);
        if (step == 0)
            step = 1;
        if (size + step >= out_size)
            break;
        size += step;
    }
    if (size > 0)
        memcpy(out, text.at, size);
    out[size] = '\0';
}

static void name_brief(const X509_NAME *name, char *out, size_t out_size)
{
    out[0] = '\0';
    BIO *bio = name ? BIO_new(BIO_s_mem()) : NULL;
    if (!bio)
        return;
    /* ESC_CTRL is part of RFC 2253's flags: a NUL becomes "\00" and stays visible. */
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        char *at = NULL;
        long size = BIO_get_mem_data(bio, &at);
        copy_cut(hc_slice_of(at, size > 0 ? (size_t)size : 0), out, out_size);
    }
    BIO_free(bio);
}

/* A serial of any size, the first octets of one that is too long for hc_serial. */
static void serial_brief(const ASN1_INTEGER *serial, hc_cert_brief *out)
{
    hc_serial s;
    if (!serial)
        return;
    if (hc_serial_from_asn1(serial, &s, NULL) == 0) {
        hc_serial_hex(&s, out->serial_hex);
        hc_serial_decimal(&s, out->serial_decimal);
        return;
    }
    const uint8_t *at = ASN1_STRING_get0_data(serial);
    size_t at_hex = 0;
    for (int i = 0; i < HC_LIMIT_SERIAL_OCTETS; i++)
        at_hex += (size_t)snprintf(out->serial_hex + at_hex, sizeof(out->serial_hex) - at_hex,
                                   "%02x", at[i]);
    snprintf(out->serial_hex + at_hex, sizeof(out->serial_hex) - at_hex, "...");
    snprintf(out->serial_decimal, sizeof(out->serial_decimal), "(%d octets)",
             ASN1_STRING_length(serial));
}

void hc_cert_brief_of(X509 *x, hc_cert_brief *out)
{
    *out = (hc_cert_brief){0};
    if (!x)
        return;
    name_brief(X509_get_subject_name(x), out->subject, sizeof(out->subject));
    name_brief(X509_get_issuer_name(x), out->issuer, sizeof(out->issuer));
    serial_brief(X509_get0_serialNumber(x), out);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (X509_digest(x, EVP_sha256(), digest, &size) == 1) {
        for (unsigned i = 0; i < 32 && i < size; i++)
            snprintf(out->sha256_hex + 2 * (size_t)i, 3, "%02x", digest[i]);
    }
    ERR_clear_error();
}
