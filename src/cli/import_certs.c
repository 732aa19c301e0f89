#include "cli/import_certs.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>

#include "base/limits.h"
#include "x509/pem.h"

typedef struct reader {
    hc_import_each each;
    void *arg;
    size_t count;
} reader;

static bool is_der(hc_slice bytes)
{
    /* A SEQUENCE of more than 127 octets; in text the second octet would be ASCII. */
    return bytes.size > 2 && bytes.at[0] == 0x30 && bytes.at[1] >= 0x80;
}

bool hc_import_is_certs(hc_slice bytes)
{
    static const char mark[] = "-----BEGIN ";
    return is_der(bytes) || (bytes.size && memmem(bytes.at, bytes.size, mark, sizeof(mark) - 1));
}

static int tell(reader *r, X509 *x, hc_err *err)
{
    return r->each(r->arg, x, ++r->count, err);
}

/* All of `der`, or nothing: what is behind a certificate would be lost. */
static X509 *whole_cert(hc_slice der)
{
    const unsigned char *at = der.at;
    X509 *x = der.size <= HC_LIMIT_CERT_BYTES ? d2i_X509(NULL, &at, (long)der.size) : NULL;
    ERR_clear_error();
    if (x && at == der.at + der.size)
        return x;
    X509_free(x);
    return NULL;
}

static int read_cert(reader *r, hc_slice der, hc_err *err)
{
    X509 *x = whole_cert(der);
    int rc =
        x ? tell(r, x, err) : hc_err_set(err, HC_EFORMAT, "a certificate in it cannot be decoded");
    X509_free(x);
    return rc;
}

static int read_bundle(reader *r, hc_slice der, hc_err *err)
{
    const unsigned char *at = der.at;
    PKCS7 *p = d2i_PKCS7(NULL, &at, (long)der.size);
    const STACK_OF(X509) *certs = NULL;
    int rc = 0;
    ERR_clear_error();
    if (!p || at != der.at + der.size)
        rc = hc_err_set(err, HC_EFORMAT, "neither a certificate nor a PKCS#7 bundle");
    else if (!PKCS7_type_is_signed(p) || !p->d.sign || !p->d.sign->cert)
        rc = hc_err_set(err, HC_EFORMAT, "the PKCS#7 bundle has no certificates");
    else
        certs = p->d.sign->cert;
    for (int i = 0; rc == 0 && certs && i < sk_X509_num(certs); i++)
        rc = tell(r, sk_X509_value(certs, i), err);
    PKCS7_free(p);
    return rc;
}

static int read_der(reader *r, hc_slice der, hc_err *err)
{
    X509 *x = whole_cert(der);
    if (!x)
        return read_bundle(r, der, err);
    int rc = tell(r, x, err);
    X509_free(x);
    return rc;
}

static int visit(void *arg, const char *label, hc_slice der, hc_err *err)
{
    if (hc_pem_is_certificate(label))
        return read_cert(arg, der, err);
    if (strcmp(label, PEM_STRING_PKCS7) == 0 || strcmp(label, PEM_STRING_PKCS7_SIGNED) == 0 ||
        strcmp(label, PEM_STRING_CMS) == 0)
        return read_bundle(arg, der, err);
    return 0;
}

int hc_import_certs(hc_slice bytes, hc_import_each each, void *arg, hc_err *err)
{
    reader r = {each, arg, 0};
    int rc = is_der(bytes) ? read_der(&r, bytes, err) : hc_pem_each(bytes, visit, &r, err);
    if (rc == 0 && r.count == 0)
        rc = hc_err_set(err, HC_EFORMAT, "no certificate in it");
    return rc;
}
