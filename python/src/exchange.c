#include "core.h"

#include <string.h>
#include <structmember.h>

#define GATHER_BYTES                                                                               \
    65536 /* what is sent together at most, where the application has it all at once */

static bool is_field_vchar(uint8_t c)
{
    return (c >= ' ' && c != 0x7f) || c == '\t';
}

/* RFC 9110 section 5.6.2 */
static bool is_token_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool all(hc_slice text, bool (*test)(uint8_t))
{
    for (size_t i = 0; i < text.size; i++) {
        if (!test(text.at[i]))
            return false;
    }
    return true;
}

/* The octets of a str as PEP 3333 means it: every character below U+0100. The slice lives as long
 * as the str. */
static int native_octets(PyObject *text, const char *what, hc_slice *out)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s", what, Py_TYPE(text)->tp_name);
        return -1;
    }
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0)
        return -1;
#endif
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s has a character outside Latin-1: %R", what, text);
        return -1;
    }
    *out = hc_slice_of(PyUnicode_1BYTE_DATA(text), (size_t)PyUnicode_GET_LENGTH(text));
    return 0;
}

static int wrong(const char *what, PyObject *value)
{
    PyErr_Format(PyExc_ValueError, "%s: %R", what, value);
    return -1;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* "200 OK" into its code and reason. */
static int parse_status(PyObject *status, hc_lane_head *head)
{
    hc_slice text;
    if (native_octets(status, "the status", &text) < 0)
        return -1;
    if (text.size < 3 || !all(hc_slice_of(text.at, 3), is_digit) ||
        (text.size > 3 && text.at[3] != ' ') || !all(text, is_field_vchar))
        return wrong("a status is three digits, a space and a reason", status);
    unsigned code = (unsigned)(text.at[0] - '0') * 100 + (unsigned)(text.at[1] - '0') * 10 +
                    (unsigned)(text.at[2] - '0');
    /* 1xx is no final response: the client would wait for another. */
    if (code < 200 || code > 599)
        return wrong("a status must be between 200 and 599", status);
    head->status = (uint16_t)code;
    head->reason = hc_slice_from(text, 4);
    return 0;
}

static int parse_length(hc_slice value, PyObject *text, int64_t *length)
{
    uint64_t n = 0;
    if (value.size == 0 || value.size > 18 || !all(value, is_digit))
        return wrong("Content-Length must be a decimal number", text);
    for (size_t i = 0; i < value.size; i++)
        n = n * 10 + (uint64_t)(value.at[i] - '0');
    if (*length >= 0 && (uint64_t)*length != n)
        return wrong("Content-Length is given twice and differs", text);
    *length = (int64_t)n;
    return 0;
}

/* PEP 3333, "The start_response() Callable": hop-by-hop headers are the server's. The wish to close
 * the connection is let through; the front decides. */
static bool is_hop_by_hop(hc_slice name, hc_slice value)
{
    static const char *const names[] = {
        "proxy-authenticate", "proxy-authorization", "te",     "trailer",
        "trailers",           "transfer-encoding",   "upgrade"};
    if (hc_slice_equal_nocase(name, HC_SLICE_LITERAL("connection")))
        return !hc_slice_equal_nocase(value, HC_SLICE_LITERAL("close"));
    if (name.size < 2 || name.size > 19)
        return false;
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        if (hc_slice_equal_nocase(name, hc_slice_text(names[i])))
            return true;
    }
    return false;
}

static int parse_header(PyObject *item, hc_pair *out, int64_t *length)
{
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
        PyErr_Format(PyExc_TypeError, "a header must be a tuple of two str, not %R", item);
        return -1;
    }
    PyObject *name = PyTuple_GET_ITEM(item, 0), *value = PyTuple_GET_ITEM(item, 1);
    if (native_octets(name, "a header name", &out->name) < 0 ||
        native_octets(value, "a header value", &out->value) < 0)
        return -1;
    if (out->name.size == 0 || out->name.size > UINT16_MAX || !all(out->name, is_token_char))
        return wrong("not a header name", name);
    if (!all(out->value, is_field_vchar))
        return wrong("a header value has a control character", item);
    if (is_hop_by_hop(out->name, out->value))
        return wrong("a hop-by-hop header is the server's to send", item);
    if (hc_slice_equal_nocase(out->name, HC_SLICE_LITERAL("content-length")))
        return parse_length(out->value, item, length);
    return 0;
}

/* Where this fails nothing is set any more: lane->pairs may already hold parts of both. */
static int set_head(hcp_exchange *x, PyObject *status, PyObject *header_list)
{
    hc_lane_head head = {.headers = x->lane->pairs};
    int64_t length = -1;
    Py_CLEAR(x->status);
    Py_CLEAR(x->headers);
    if (parse_status(status, &head) < 0)
        return -1;
    if (!PyList_Check(header_list)) {
        PyErr_Format(PyExc_TypeError, "the headers must be a list, not %.100s",
                     Py_TYPE(header_list)->tp_name);
        return -1;
    }
    /* One place is kept for a Content-Length of ours. */
    if (PyList_GET_SIZE(header_list) >= HC_LANE_HEADERS) {
        PyErr_Format(PyExc_ValueError, "a response may have %d headers", HC_LANE_HEADERS - 1);
        return -1;
    }
    PyObject *headers = PyList_AsTuple(header_list);
    if (!headers)
        return -1;
    head.header_count = (size_t)PyTuple_GET_SIZE(headers);
    for (size_t i = 0; i < head.header_count; i++) {
        if (parse_header(PyTuple_GET_ITEM(headers, (Py_ssize_t)i), &x->lane->pairs[i], &length) <
            0) {
            Py_DECREF(headers);
            return -1;
        }
    }
    x->status = Py_NewRef(status);
    x->headers = headers;
    x->head = head;
    x->length = length;
    return 0;
}

/* "raise exc_info[1].with_traceback(exc_info[2])" */
static void raise_again(PyObject *exc_info)
{
    PyObject *value = PyTuple_GET_ITEM(exc_info, 1), *traceback = PyTuple_GET_ITEM(exc_info, 2);
    if (!PyExceptionInstance_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "exc_info holds no exception");
        return;
    }
    if (traceback != Py_None && PyException_SetTraceback(value, traceback) < 0)
        return;
    PyErr_SetObject((PyObject *)Py_TYPE(value), value);
}

/* True where the exchange takes calls of the application now; else an exception. */
static bool is_open(const hcp_exchange *x, const char *what)
{
    if (!x->lane)
        PyErr_Format(PyExc_RuntimeError, "%s was called after the response had ended", what);
    else if (x->lane->sending)
        PyErr_Format(PyExc_RuntimeError, "%s was called while another thread sends", what);
    else
        return true;
    return false;
}

static PyObject *exchange_write(PyObject *self, PyObject *octets)
{
    hcp_exchange *x = (hcp_exchange *)self;
    if (!is_open(x, "write"))
        return NULL;
    if (!PyBytes_Check(octets)) {
        PyErr_Format(PyExc_TypeError, "write takes bytes, not %.100s", Py_TYPE(octets)->tp_name);
        return NULL;
    }
    if (hcp_lane_is_cancelled(x->lane)) {
        PyErr_SetString(PyExc_BrokenPipeError, "the client has gone");
        return NULL;
    }
    if (PyBytes_GET_SIZE(octets) == 0)
        Py_RETURN_NONE;
    /* The exchange may end while this sends, where this thread is not the one that serves. */
    hcp_lane *lane = (hcp_lane *)Py_NewRef((PyObject *)x->lane);
    int rc = hcp_exchange_put(x, octets);
    if (rc == 0)
        rc = hcp_lane_flush(lane);
    Py_DECREF(lane);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef write_def = {"write", exchange_write, METH_O,
                                "write(body: bytes) -> None\n\nPEP 3333; for old code."};

static int check_exc_info(PyObject *exc_info)
{
    if (PyTuple_Check(exc_info) && PyTuple_GET_SIZE(exc_info) == 3)
        return 0;
    PyErr_SetString(PyExc_TypeError, "exc_info must be the tuple of sys.exc_info()");
    return -1;
}

/* start_response(status, headers, exc_info=None) */
static PyObject *exchange_call(PyObject *self, PyObject *const *args, size_t nargsf,
                               PyObject *kwnames)
{
    hcp_exchange *x = (hcp_exchange *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    Py_ssize_t named = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (!is_open(x, "start_response"))
        return NULL;
    if (count < 2 || count + named > 3 ||
        (named && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "exc_info"))) {
        PyErr_SetString(PyExc_TypeError, "start_response takes (status, headers, exc_info=None)");
        return NULL;
    }
    PyObject *exc_info = count + named == 3 && args[2] != Py_None ? args[2] : NULL;
    if (exc_info && check_exc_info(exc_info) < 0)
        return NULL;
    if (exc_info && x->head_sent) {
        raise_again(exc_info);
        return NULL;
    }
    if (!exc_info && x->status) {
        PyErr_SetString(PyExc_AssertionError,
                        "start_response was called a second time without exc_info");
        return NULL;
    }
    if (set_head(x, args[0], args[1]) < 0)
        return NULL;
    return PyCFunction_New(&write_def, self);
}

/* UTF-8 for the log alone: cut rather than refused, and a text with surrogates is no reason to lose
 * the line. A new reference that `out` points into. */
static PyObject *log_octets(PyObject *text, size_t max, hc_slice *out)
{
    PyObject *octets = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (!octets)
        return NULL;
    size_t size = (size_t)PyBytes_GET_SIZE(octets);
    *out = hc_slice_of(PyBytes_AS_STRING(octets), size > max ? max : size);
    return octets;
}

/* Asks for `open` last: encoding may have let another thread run. */
static int put_refused(hcp_exchange *x, PyObject *reason, PyObject *verdict)
{
    hc_lane_refused refused = {.verdict = HC_SLICE_LITERAL("refused-by-app")};
    PyObject *named = NULL;
    PyObject *because = log_octets(reason, HC_LANE_REASON, &refused.reason);
    if (because && verdict)
        named = log_octets(verdict, HC_LANE_VERDICT_NAME, &refused.verdict);
    int rc = because && (!verdict || named) && is_open(x, "handclasp.refuse") ? 0 : -1;
    if (rc == 0 && !x->refused) {
        x->refused = hc_lane_add_refused(&x->lane->channel.out, &refused) == 0;
        if (!x->refused) {
            PyErr_NoMemory();
            rc = -1;
        }
    }
    Py_XDECREF(named);
    Py_XDECREF(because);
    return rc;
}

static PyObject *exchange_refused(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"reason", "verdict", NULL};
    PyObject *reason, *verdict = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U|U:refuse", names, &reason, &verdict) ||
        put_refused((hcp_exchange *)self, reason, verdict) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef refuse_def = {
    "refuse", (PyCFunction)(void (*)(void))exchange_refused, METH_VARARGS | METH_KEYWORDS,
    "refuse(reason: str, verdict: str = 'refused-by-app') -> None\n\n"
    "Logs that the application refused this client, once a request; the response is the "
    "application's to give. verdict: refused-by-app, no-certificate where the client sent none, "
    "or environ['handclasp.verdict'] where that is what it was refused for; any other is logged "
    "as refused-by-app."};

PyObject *hcp_exchange_refuse(hcp_exchange *x)
{
    return PyCFunction_New(&refuse_def, (PyObject *)x);
}

hcp_exchange *hcp_exchange_new(hcp_lane *lane, bool head_request)
{
    hcp_exchange *x = PyObject_New(hcp_exchange, lane->state->exchange_type);
    if (!x)
        return NULL;
    x->vectorcall = exchange_call;
    x->lane = (hcp_lane *)Py_NewRef((PyObject *)lane);
    x->status = x->headers = NULL;
    x->head = (hc_lane_head){0};
    x->length = -1;
    x->body_octets = 0;
    x->head_request = head_request;
    x->head_sent = x->excess = x->refused = false;
    return x;
}

void hcp_exchange_end(hcp_exchange *x)
{
    Py_CLEAR(x->lane);
    Py_CLEAR(x->status);
    Py_CLEAR(x->headers);
}

bool hcp_exchange_bodiless(const hcp_exchange *x)
{
    return x->head_request || x->head.status == 204 || x->head.status == 304;
}

int hcp_exchange_put_head(hcp_exchange *x)
{
    if (x->lane->sending) {
        PyErr_SetString(PyExc_RuntimeError, "another thread sends on this lane");
        return -1;
    }
    if (x->head_sent)
        return 0;
    if (!x->status) {
        PyErr_SetString(PyExc_AssertionError,
                        "the application gave a body before it called start_response");
        return -1;
    }
    int rc = hc_lane_add_head(&x->lane->channel.out, &x->head);
    if (rc == -HC_ENOMEM)
        PyErr_NoMemory();
    else if (rc != 0)
        PyErr_SetString(PyExc_ValueError, "the response's headers are too large");
    x->head_sent = rc == 0;
    return rc == 0 ? 0 : -1;
}

/* The front will not send octets past Content-Length: they would be taken for the next response. */
static size_t within_length(hcp_exchange *x, size_t size)
{
    uint64_t left = x->length < 0 ? UINT64_MAX : (uint64_t)x->length - x->body_octets;
    x->excess = x->excess || size > left;
    return size > left ? (size_t)left : size;
}

int hcp_exchange_put(hcp_exchange *x, PyObject *octets)
{
    if (hcp_exchange_put_head(x) < 0)
        return -1;
    if (hcp_exchange_bodiless(x))
        return 0;
    hc_channel *channel = &x->lane->channel;
    size_t left = within_length(x, (size_t)PyBytes_GET_SIZE(octets));
    const char *at = PyBytes_AS_STRING(octets);
    x->body_octets += left;
    while (left) {
        size_t part = left < HC_LANE_DATA_PART ? left : HC_LANE_DATA_PART;
        if (hc_lane_add_data(&channel->out, hc_slice_of(at, part)) != 0) {
            PyErr_NoMemory();
            return -1;
        }
        at += part;
        left -= part;
        if (channel->out.size < GATHER_BYTES)
            continue;
        if (hcp_lane_flush(x->lane) < 0)
            return -1;
        if (left && hcp_lane_is_cancelled(x->lane))
            return 0;
    }
    return 0;
}

static void exchange_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    hcp_exchange_end((hcp_exchange *)self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMemberDef exchange_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(hcp_exchange, vectorcall), READONLY, NULL},
    {0},
};

static PyType_Slot exchange_slots[] = {
    {Py_tp_doc, "start_response(status, headers, exc_info=None)\n\nPEP 3333."},
    {Py_tp_dealloc, exchange_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, exchange_members},
    {0, NULL},
};

PyType_Spec hcp_exchange_spec = {
    .name = "handclasp._core.StartResponse",
    .basicsize = sizeof(hcp_exchange),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = exchange_slots,
};
