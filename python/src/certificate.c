#include "certificate.h"

#include "base/limits.h"
#include "x509/cert.h"
#include "x509/name.h"
#include "x509/variables.h"

/* A list of RDNs, each a list of (type, OID, value), while it is being made. */
typedef struct name_lists {
    PyObject *rdns;
    int last;
} name_lists;

static PyObject *text_of(hc_slice text)
{
    return PyUnicode_DecodeUTF8((const char *)text.at, (Py_ssize_t)text.size, "strict");
}

/* Appends and gives up the reference; `item` NULL is an exception of before. */
static int append_new(PyObject *list, PyObject *item)
{
    if (!item)
        return -1;
    int rc = PyList_Append(list, item);
    Py_DECREF(item);
    return rc;
}

static PyObject *texts_tuple(const hc_slice *texts, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple && i < count; i++) {
        PyObject *text = text_of(texts[i]);
        if (!text)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, text);
    }
    return tuple;
}

static int add_attribute(void *arg, const hc_name_attribute *attribute)
{
    name_lists *lists = arg;
    if (attribute->rdn != lists->last && append_new(lists->rdns, PyList_New(0)) < 0)
        return -HC_ENOMEM;
    lists->last = attribute->rdn;
    PyObject *rdn = PyList_GET_ITEM(lists->rdns, PyList_GET_SIZE(lists->rdns) - 1);
    const hc_slice texts[] = {attribute->key, attribute->oid, attribute->value};
    return append_new(rdn, texts_tuple(texts, 3)) < 0 ? -HC_ENOMEM : 0;
}

/* A callback of ours that stopped has set an exception of its own. */
static PyObject *raise_err(const hc_err *err)
{
    if (PyErr_Occurred())
        return NULL;
    if (err->code == HC_ENOMEM)
        return PyErr_NoMemory();
    PyErr_SetString(PyExc_ValueError, err->text);
    return NULL;
}

static PyObject *decode_name(const X509_NAME *name)
{
    hc_err err = {0};
    name_lists lists = {PyList_New(0), -1};
    if (!lists.rdns)
        return NULL;
    if (hc_name_attributes(name, add_attribute, &lists, &err) < 0) {
        Py_DECREF(lists.rdns);
        return raise_err(&err);
    }
    return lists.rdns;
}

static const char *san_name(hc_san_type type)
{
    switch (type) {
    case HC_SAN_EMAIL:
        return "email";
    case HC_SAN_DNS:
        return "dns";
    case HC_SAN_URI:
        return "uri";
    case HC_SAN_IP:
        return "ip";
    case HC_SAN_UPN:
        return "upn";
    case HC_SAN_SRV:
    case HC_SAN_OTHER:
        break;
    }
    return "other";
}

static int add_san(void *arg, hc_san_type type, hc_slice value, int nth_of_type)
{
    (void)nth_of_type;
    const hc_slice texts[] = {hc_slice_text(san_name(type)), value};
    return append_new(arg, texts_tuple(texts, 2)) < 0 ? -HC_ENOMEM : 0;
}

static PyObject *decode_sans(X509 *x)
{
    hc_err err = {0};
    PyObject *sans = PyList_New(0);
    if (!sans)
        return NULL;
    if (hc_san_entries(x, add_san, sans, &err) < 0) {
        Py_DECREF(sans);
        return raise_err(&err);
    }
    return sans;
}

static const char *key_type(const EVP_PKEY *key)
{
    const char *name = key ? EVP_PKEY_get0_type_name(key) : NULL;
    return name ? name : "unknown";
}

/* Takes the reference to `value`; NULL is an exception of before. */
static int put(PyObject *dict, const char *name, PyObject *value)
{
    if (!value)
        return -1;
    int rc = PyDict_SetItemString(dict, name, value);
    Py_DECREF(value);
    return rc;
}

static PyObject *decode(const hc_cert *cert)
{
    X509 *x = hc_cert_x509(cert);
    EVP_PKEY *key = X509_get0_pubkey(x);
    PyObject *out = PyDict_New();
    if (!out)
        return NULL;
    if (put(out, "serial", PyUnicode_FromString(hc_cert_serial_hex(cert))) < 0 ||
        put(out, "subject", decode_name(X509_get_subject_name(x))) < 0 ||
        put(out, "issuer", decode_name(X509_get_issuer_name(x))) < 0 ||
        put(out, "sans", decode_sans(x)) < 0 ||
        put(out, "not_before", PyLong_FromLongLong(hc_cert_not_before(cert))) < 0 ||
        put(out, "not_after", PyLong_FromLongLong(hc_cert_not_after(cert))) < 0 ||
        put(out, "public_key_type", PyUnicode_FromString(key_type(key))) < 0 ||
        put(out, "public_key_bits", PyLong_FromLong(key ? EVP_PKEY_get_bits(key) : 0)) < 0)
        Py_CLEAR(out);
    return out;
}

static int add_variable(void *arg, hc_slice name, hc_slice value)
{
    PyObject *key = text_of(name);
    /* PEP 3333: the octets, as Latin-1. */
    PyObject *text =
        key ? PyUnicode_DecodeLatin1((const char *)value.at, (Py_ssize_t)value.size, NULL) : NULL;
    int rc = text ? PyDict_SetItem(arg, key, text) : -1;
    Py_XDECREF(key);
    Py_XDECREF(text);
    return rc < 0 ? -HC_ENOMEM : 0;
}

static PyObject *variables(const hc_cert *cert)
{
    hc_err err = {0};
    PyObject *out = PyDict_New();
    if (!out)
        return NULL;
    if (hc_variables_client(cert, add_variable, out, &err) < 0) {
        Py_DECREF(out);
        return raise_err(&err);
    }
    return out;
}

static PyObject *with_certificate(PyObject *der, PyObject *(*use)(const hc_cert *cert))
{
    hc_err err = {0};
    hc_cert *cert = NULL;
    if (!PyBytes_Check(der)) {
        PyErr_Format(PyExc_TypeError, "a DER must be bytes, not %.100s", Py_TYPE(der)->tp_name);
        return NULL;
    }
    hc_slice in = hc_slice_of(PyBytes_AS_STRING(der), (size_t)PyBytes_GET_SIZE(der));
    if (hc_cert_from_der(in, &cert, &err) < 0)
        return raise_err(&err);
    PyObject *result = use(cert);
    hc_cert_unref(cert);
    return result;
}

static PyObject *decode_certificate(PyObject *module, PyObject *der)
{
    (void)module;
    return with_certificate(der, decode);
}

static PyObject *certificate_variables(PyObject *module, PyObject *der)
{
    (void)module;
    return with_certificate(der, variables);
}

static PyMethodDef methods[] = {
    {"decode_certificate", decode_certificate, METH_O,
     "decode_certificate(der: bytes) -> dict\n\n"
     "What a certificate says, by OpenSSL. ValueError where it cannot be represented exactly."},
    {"certificate_variables", certificate_variables, METH_O,
     "certificate_variables(der: bytes) -> dict\n\n"
     "The SSL_CLIENT_... variables of a certificate, as in environ."},
    {NULL, NULL, 0, NULL},
};

int hc_py_add_certificate(PyObject *module)
{
    return PyModule_AddFunctions(module, methods) < 0 ? -1 : hc_py_add_test_certificate(module);
}
