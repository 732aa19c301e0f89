#include "x509/csr.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#include "base/limits.h"
#include "base/mem.h"
#include "x509/key.h"
#include "x509/ossl.h"
#include "x509/pem.h"
#include "x509/text.h"

struct hc_csr {
    X509_REQ *req;
    hc_buf subject; /* with its NUL */
    uint8_t key_sha256[32];
};

static int malformed(hc_err *err, const char *why)
{
    ERR_clear_error();
    return hc_err_set(err, HC_EFORMAT, "the certification request %s", why);
}

static int decode(hc_slice der, X509_REQ **out, hc_err *err)
{
    const unsigned char *at = der.at;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)der.size);
    if (!req)
        return malformed(err, "cannot be decoded (PEM or DER of PKCS#10 is wanted)");
    if (at != der.at + der.size) {
        X509_REQ_free(req);
        return malformed(err, "has bytes behind its end");
    }
    *out = req;
    return 0;
}

typedef struct finder {
    X509_REQ *req;
} finder;

static int visit(void *arg, const char *label, hc_slice der, hc_err *err)
{
    finder *f = arg;
    if (strcmp(label, PEM_STRING_X509_REQ) != 0 && strcmp(label, PEM_STRING_X509_REQ_OLD) != 0)
        return 0; /* EC PARAMETERS and keys stand before it in files that people have */
    if (f->req)
        return malformed(err, "is not alone: one at a time is wanted");
    return decode(der, &f->req, err);
}

static int read_bytes(hc_slice bytes, X509_REQ **out, hc_err *err)
{
    finder f = {NULL};
    if (bytes.size > HC_LIMIT_CSR_BYTES)
        return hc_err_set(err, HC_ELIMIT, "the certification request has more than %d octets",
                          HC_LIMIT_CSR_BYTES);
    if (bytes.size == 0)
        return malformed(err, "is empty");
    if (bytes.at[0] == 0x30) /* a SEQUENCE; no text that is PEM begins so */
        return decode(bytes, out, err);
    int rc = hc_pem_each(bytes, visit, &f, err);
    if (rc == 0 && !f.req)
        rc = malformed(err, "is missing: a block CERTIFICATE REQUEST is wanted");
    if (rc == 0)
        *out = f.req;
    else
        X509_REQ_free(f.req);
    return rc;
}

static int check_digest(const X509_REQ *req, hc_err *err)
{
    const X509_ALGOR *algorithm = NULL;
    int nid = NID_undef;
    X509_REQ_get0_signature(req, NULL, &algorithm);
    if (hc_signature_digest(algorithm, &nid) != 0)
        return malformed(err, "has an unknown signature algorithm");
    if (hc_digest_is_weak(nid))
        return hc_err_set(err, HC_EDENIED,
                          "the certification request is signed with a digest that is too weak (%s)",
                          OBJ_nid2sn(nid));
    return 0;
}

/* RFC 2986 section 3: the signature proves possession of the key. The key's rules come first, so
 * that no signature of a monstrous key is computed. */
static int check_possession(X509_REQ *req, hc_err *err)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    if (!key)
        return malformed(err, "has a key that cannot be decoded");
    int rc = hc_key_check(key, err);
    if (rc == 0)
        rc = check_digest(req, err);
    if (rc == 0 && X509_REQ_verify(req, key) != 1) {
        ERR_clear_error();
        rc = hc_err_set(err, HC_EDENIED,
                        "the certification request is not signed by the key that it is for");
    }
    return rc;
}

static int fill(hc_csr *c, hc_err *err)
{
    /* RFC 2986 section 4.1: version 1 is 0. */
    if (X509_REQ_get_version(c->req) != X509_REQ_VERSION_1)
        return malformed(err, "has an unknown version");
    int rc = check_possession(c->req, err);
    if (rc == 0)
        rc = hc_key_sha256(X509_REQ_get0_pubkey(c->req), c->key_sha256, err);
    if (rc == 0)
        rc = hc_name_text(X509_REQ_get_subject_name(c->req), &c->subject, err);
    if (rc == 0 && hc_buf_add_byte(&c->subject, 0) < 0)
        rc = hc_err_set(err, HC_ENOMEM, "no memory for a certification request");
    return rc;
}

int hc_csr_parse(hc_slice bytes, hc_csr **out, hc_err *err)
{
    hc_csr *c = hc_alloc_zero(1, sizeof(*c));
    if (!c)
        return hc_err_set(err, HC_ENOMEM, "no memory for a certification request");
    c->subject = hc_buf_init(HC_ASN1_TEXT_MAX);
    int rc = read_bytes(bytes, &c->req, err);
    if (rc == 0)
        rc = fill(c, err);
    if (rc == 0)
        *out = c;
    else
        hc_csr_free(c);
    return rc;
}

void hc_csr_free(hc_csr *c)
{
    if (!c)
        return;
    X509_REQ_free(c->req);
    hc_buf_done(&c->subject);
    hc_free(c);
}

X509_REQ *hc_csr_req(const hc_csr *c)
{
    return c->req;
}

EVP_PKEY *hc_csr_key(const hc_csr *c)
{
    return X509_REQ_get0_pubkey(c->req);
}

const uint8_t *hc_csr_key_sha256(const hc_csr *c)
{
    return c->key_sha256;
}

const char *hc_csr_subject(const hc_csr *c)
{
    return (const char *)c->subject.at;
}

int hc_csr_sans(const hc_csr *c, hc_san_each each, void *arg, hc_err *err)
{
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(c->req);
    int found = 0, rc = 0;
    GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, &found, NULL);
    if (names)
        rc = hc_san_each_of(names, each, arg, err);
    else if (found != -1)
        rc = malformed(err, "has a subjectAltName that cannot be decoded, or two");
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    ERR_clear_error();
    return rc;
}

int hc_csr_make(EVP_PKEY *key, const char *name, X509_REQ **out, hc_err *err)
{
    X509_REQ *req = X509_REQ_new();
    bool ok =
        req && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
        X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(req), NID_commonName, MBSTRING_UTF8,
                                   (const unsigned char *)name, -1, -1, 0) == 1 &&
        X509_REQ_set_pubkey(req, key) == 1 && X509_REQ_sign(req, key, hc_key_digest(key)) > 0;
    if (!ok) {
        X509_REQ_free(req);
        return hc_ossl_failed(err, "cannot make a certification request");
    }
    *out = req;
    return 0;
}
