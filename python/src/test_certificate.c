/* Certificates for tests without TLS: real ones, with a key that is thrown away and an issuer that
 * nobody trusts. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/attr.h"
#include "certificate.h"

typedef struct test_certificate {
    const char *serial; /* hex */
    long long not_before, not_after;
    PyObject *subject; /* sequence of (type, value) */
    PyObject *sans;    /* sequence of (type, value) */
} test_certificate;

static int openssl_failed(const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    PyErr_Format(PyExc_ValueError, "%s: %s", what, reason ? reason : "refused by OpenSSL");
    ERR_clear_error();
    return -1;
}

/* Both texts of one pair; borrowed from the sequence. */
static int pair_texts(PyObject *sequence, Py_ssize_t at, const char **type, const char **value)
{
    PyObject *pair = PySequence_Fast_GET_ITEM(sequence, at);
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "expected a tuple of type and value, not %R", pair);
        return -1;
    }
    *type = PyUnicode_AsUTF8(PyTuple_GET_ITEM(pair, 0));
    *value = *type ? PyUnicode_AsUTF8(PyTuple_GET_ITEM(pair, 1)) : NULL;
    return *value ? 0 : -1;
}

static int set_subject(X509 *x, PyObject *subject)
{
    X509_NAME *name = X509_get_subject_name(x);
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(subject); i++) {
        const char *type, *value;
        if (pair_texts(subject, i, &type, &value) < 0)
            return -1;
        if (!X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, (const unsigned char *)value, -1,
                                        -1, 0))
            return openssl_failed("a subject attribute");
    }
    X509_NAME *issuer = X509_NAME_new();
    const unsigned char *issuer_cn = (const unsigned char *)"Handclasp test CA";
    int done = issuer &&
               X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_UTF8, issuer_cn, -1, -1, 0) &&
               X509_set_issuer_name(x, issuer);
    X509_NAME_free(issuer);
    return done ? 0 : openssl_failed("the issuer");
}

static int san_type(const char *type)
{
    static const struct {
        const char *name;
        int type;
    } types[] = {{"dns", GEN_DNS}, {"email", GEN_EMAIL}, {"uri", GEN_URI}, {"ip", GEN_IPADD}};
    for (size_t i = 0; i < HC_COUNT(types); i++) {
        if (strcmp(types[i].name, type) == 0)
            return types[i].type;
    }
    PyErr_Format(PyExc_ValueError, "a test certificate cannot have a subjectAltName of type %s",
                 type);
    return -1;
}

static int add_san(GENERAL_NAMES *names, const char *type_name, const char *value)
{
    int type = san_type(type_name);
    if (type < 0)
        return -1;
    GENERAL_NAME *name = a2i_GENERAL_NAME(NULL, NULL, NULL, type, value, 0);
    if (!name)
        return openssl_failed("a subjectAltName");
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int set_sans(X509 *x, PyObject *sans)
{
    if (PySequence_Fast_GET_SIZE(sans) == 0)
        return 0;
    int rc = -1;
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    if (!names) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sans); i++) {
        const char *type, *value;
        if (pair_texts(sans, i, &type, &value) < 0 || add_san(names, type, value) < 0)
            goto out;
    }
    if (X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
        openssl_failed("the subjectAltNames");
    else
        rc = 0;
out:
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return rc;
}

static int set_serial(X509 *x, const char *hex)
{
    BIGNUM *number = NULL;
    size_t size = strlen(hex);
    int done = size > 0 && BN_hex2bn(&number, hex) == (int)size &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
    BN_free(number);
    return done ? 0 : openssl_failed("the serial number");
}

static int set_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    int done = extension && X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
    return done ? 0 : openssl_failed("an extension");
}

static int set_time(ASN1_TIME *at, long long seconds)
{
    return ASN1_TIME_set(at, (time_t)seconds) ? 0 : openssl_failed("the validity");
}

static int fill_in(X509 *x, EVP_PKEY *key, const test_certificate *wanted)
{
    if (!X509_set_version(x, X509_VERSION_3) || !X509_set_pubkey(x, key))
        return openssl_failed("a test certificate");
    if (set_serial(x, wanted->serial) < 0 || set_subject(x, wanted->subject) < 0 ||
        set_time(X509_getm_notBefore(x), wanted->not_before) < 0 ||
        set_time(X509_getm_notAfter(x), wanted->not_after) < 0 ||
        set_extension(x, NID_basic_constraints, "critical,CA:FALSE") < 0 ||
        set_extension(x, NID_key_usage, "critical,digitalSignature") < 0 ||
        set_extension(x, NID_ext_key_usage, "clientAuth") < 0 || set_sans(x, wanted->sans) < 0)
        return -1;
    return X509_sign(x, key, EVP_sha256()) ? 0 : openssl_failed("the signature");
}

static PyObject *make(const test_certificate *wanted)
{
    PyObject *der = NULL;
    unsigned char *at = NULL;
    int size;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    if (!key || !x) {
        openssl_failed("a test certificate");
        goto out;
    }
    if (fill_in(x, key, wanted) < 0)
        goto out;
    size = i2d_X509(x, &at);
    if (size <= 0)
        openssl_failed("a test certificate");
    else
        der = PyBytes_FromStringAndSize((const char *)at, size);
out:
    OPENSSL_free(at);
    X509_free(x);
    EVP_PKEY_free(key);
    return der;
}

static PyObject *make_test_certificate(PyObject *module, PyObject *args, PyObject *kwargs)
{
    (void)module;
    static char *names[] = {"subject", "serial", "not_before", "not_after", "sans", NULL};
    test_certificate wanted = {0};
    PyObject *subject, *sans, *der = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OsLLO:make_test_certificate", names, &subject,
                                     &wanted.serial, &wanted.not_before, &wanted.not_after, &sans))
        return NULL;
    wanted.subject = PySequence_Fast(subject, "subject must be a sequence of (type, value)");
    wanted.sans =
        wanted.subject ? PySequence_Fast(sans, "sans must be a sequence of (type, value)") : NULL;
    if (wanted.sans)
        der = make(&wanted);
    Py_XDECREF(wanted.subject);
    Py_XDECREF(wanted.sans);
    return der;
}

static PyMethodDef methods[] = {
    {"make_test_certificate", (PyCFunction)(void (*)(void))make_test_certificate,
     METH_VARARGS | METH_KEYWORDS,
     "make_test_certificate(subject, serial, not_before, not_after, sans) -> bytes\n\n"
     "The DER of a client certificate whose key is thrown away: for tests without TLS."},
    {NULL, NULL, 0, NULL},
};

int hc_py_add_test_certificate(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
