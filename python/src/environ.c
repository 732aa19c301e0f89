#include "core.h"

#include <stdio.h>
#include <unistd.h>

#define REMEMBER_OCTETS 512 /* longer values are made each time */

/* PEP 3333: octets are carried as the characters U+0000 to U+00FF. */
static PyObject *text_of(hc_slice octets)
{
    return PyUnicode_DecodeLatin1((const char *)octets.at, (Py_ssize_t)octets.size, NULL);
}

/* Steals `value`, which may be NULL after an exception. */
static int set_own(PyObject *dict, PyObject *key, PyObject *value)
{
    if (!value)
        return -1;
    int rc = PyDict_SetItem(dict, key, value);
    Py_DECREF(value);
    return rc;
}

static bool same_text(PyObject *text, hc_slice octets)
{
    return (size_t)PyUnicode_GET_LENGTH(text) == octets.size &&
           (octets.size == 0 || memcmp(PyUnicode_1BYTE_DATA(text), octets.at, octets.size) == 0);
}

/* environ[key] = octets; the str of the last request is used again where it is equal, as most are
 * on a kept connection. */
static int set_text(hcp_lane *lane, PyObject *env, hcp_key key, hc_slice octets)
{
    PyObject *last = lane->last[key];
    if (!last || !same_text(last, octets)) {
        PyObject *text = text_of(octets);
        if (!text)
            return -1;
        if (octets.size > REMEMBER_OCTETS)
            return set_own(env, lane->state->keys[key], text);
        Py_XSETREF(lane->last[key], text);
        last = text;
    }
    return PyDict_SetItem(env, lane->state->keys[key], last);
}

static int set_number(hcp_lane *lane, PyObject *env, hcp_key key, int64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%lld", (long long)number);
    return set_text(lane, env, key, hc_slice_of(text, (size_t)size));
}

static int set_key(hcp_lane *lane, PyObject *env, hcp_key key, PyObject *value)
{
    return PyDict_SetItem(env, lane->state->keys[key], value);
}

static int set_word(hcp_lane *lane, PyObject *env, hcp_key key, hcp_key value)
{
    return set_key(lane, env, key, lane->state->keys[value]);
}

/* {name: value} of what the front sent; Latin-1 as all of environ. */
static PyObject *dict_of(const hc_pair *pairs, size_t count)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < count; i++) {
        PyObject *name = text_of(pairs[i].name);
        if (!name || set_own(dict, name, text_of(pairs[i].value)) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(name);
    }
    return dict;
}

/* What every request of this lane has. */
static PyObject *make_base(hcp_lane *lane)
{
    PyObject *base = lane->server ? PyDict_Copy(lane->server) : PyDict_New();
    if (!base)
        return NULL;
    if (set_word(lane, base, HCP_SCRIPT_NAME, HCP_EMPTY) < 0 ||
        set_word(lane, base, HCP_SERVER_SOFTWARE, HCP_SOFTWARE) < 0 ||
        set_word(lane, base, HCP_HTTPS, HCP_ON) < 0 ||
        set_word(lane, base, HCP_WSGI_URL_SCHEME, HCP_SCHEME) < 0 ||
        set_key(lane, base, HCP_WSGI_VERSION, lane->state->version) < 0 ||
        set_key(lane, base, HCP_WSGI_ERRORS, lane->errors) < 0 ||
        set_key(lane, base, HCP_WSGI_MULTITHREAD, lane->multithread ? Py_True : Py_False) < 0 ||
        set_key(lane, base, HCP_WSGI_MULTIPROCESS, lane->multiprocess ? Py_True : Py_False) < 0 ||
        set_key(lane, base, HCP_WSGI_RUN_ONCE, Py_False) < 0 ||
        set_key(lane, base, HCP_WSGI_INPUT_TERMINATED, Py_True) < 0 ||
        set_key(lane, base, HCP_WSGI_FILE_WRAPPER, (PyObject *)lane->state->file_wrapper_type) <
            0 ||
        set_key(lane, base, HCP_HC_CLIENT, Py_None) < 0)
        Py_CLEAR(base);
    return base;
}

int hcp_environ_reset(hcp_lane *lane)
{
    PyObject *base = make_base(lane);
    PyObject *without = base ? PyDict_Copy(base) : NULL;
    if (!without || set_key(lane, without, HCP_HC_CERTIFICATE, Py_None) < 0) {
        Py_XDECREF(base);
        Py_XDECREF(without);
        return -1;
    }
    Py_XSETREF(lane->base, base);
    Py_XSETREF(lane->no_certificate, without);
    for (size_t i = 0; i < HC_COUNT(lane->slots); i++)
        Py_CLEAR(lane->slots[i].prototype);
    return 0;
}

int hcp_environ_server(hcp_lane *lane, const hc_lane_server *server)
{
    PyObject *dict = dict_of(server->variables, server->variable_count);
    if (!dict)
        return -1;
    Py_XSETREF(lane->server, dict);
    lane->multiprocess = server->multiprocess;
    lane->multithread = server->multithread;
    return hcp_environ_reset(lane);
}

static PyObject *bytes_of(hc_slice octets)
{
    return PyBytes_FromStringAndSize((const char *)octets.at, (Py_ssize_t)octets.size);
}

static PyObject *make_certificate(hcp_lane *lane, const hc_lane_cert *cert, PyObject *variables)
{
    PyObject *chain = PyTuple_New((Py_ssize_t)cert->chain_count);
    for (size_t i = 0; chain && i < cert->chain_count; i++) {
        PyObject *der = bytes_of(cert->chain[i]);
        if (!der)
            Py_CLEAR(chain);
        else
            PyTuple_SET_ITEM(chain, (Py_ssize_t)i, der);
    }
    PyObject *der = chain ? bytes_of(cert->der) : NULL;
    PyObject *certificate =
        der ? PyObject_CallFunctionObjArgs(lane->certificate_type, der, chain, variables, NULL)
            : NULL;
    Py_XDECREF(der);
    Py_XDECREF(chain);
    return certificate;
}

int hcp_environ_certificate(hcp_lane *lane, const hc_lane_cert *cert)
{
    hcp_slot *slot = &lane->slots[cert->slot];
    PyObject *variables = dict_of(cert->variables, cert->variable_count);
    PyObject *certificate = variables ? make_certificate(lane, cert, variables) : NULL;
    if (!certificate) {
        Py_XDECREF(variables);
        return -1;
    }
    Py_XSETREF(slot->variables, variables);
    Py_XSETREF(slot->certificate, certificate);
    Py_CLEAR(slot->client); /* the front says whose it is, where it is somebody's */
    Py_CLEAR(slot->prototype);
    return 0;
}

static PyObject *make_client(hcp_lane *lane, const hc_lane_client *client)
{
    const hc_slice texts[] = {client->name, client->roles, client->attributes};
    PyObject *arguments[1 + HC_COUNT(texts)] = {(PyObject *)lane}, *made = NULL;
    size_t count = 0;
    for (; count < HC_COUNT(texts); count++) {
        PyObject *text = PyUnicode_DecodeUTF8((const char *)texts[count].at,
                                              (Py_ssize_t)texts[count].size, NULL);
        if (!text)
            break;
        arguments[1 + count] = text;
    }
    if (count == HC_COUNT(texts))
        made = PyObject_Vectorcall(lane->client_type, arguments, 1 + HC_COUNT(texts), NULL);
    while (count)
        Py_DECREF(arguments[count--]);
    return made;
}

int hcp_environ_client(hcp_lane *lane, const hc_lane_client *client)
{
    hcp_slot *slot = &lane->slots[client->slot];
    PyObject *made = NULL;
    if (!slot->variables) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the front named the client of a certificate that it never sent");
        return -1;
    }
    if (client->known && !(made = make_client(lane, client)))
        return -1;
    Py_XSETREF(slot->client, made);
    Py_CLEAR(slot->prototype);
    return 0;
}

PyObject *hcp_environ_current(const hcp_lane *lane, uint16_t slot)
{
    PyObject *client = slot == HC_LANE_NO_SLOT ? NULL : lane->slots[slot].client;
    return client ? client : Py_None;
}

static PyObject *make_prototype(hcp_lane *lane, hcp_slot *slot)
{
    PyObject *prototype = PyDict_Copy(lane->base);
    /* What the lane says itself wins over a variable of the same name. */
    if (prototype && (PyDict_Merge(prototype, slot->variables, 0) < 0 ||
                      set_key(lane, prototype, HCP_HC_CERTIFICATE, slot->certificate) < 0 ||
                      (slot->client && set_key(lane, prototype, HCP_HC_CLIENT, slot->client) < 0)))
        Py_CLEAR(prototype);
    return prototype;
}

static PyObject *copy_prototype(hcp_lane *lane, uint16_t number)
{
    if (number == HC_LANE_NO_SLOT)
        return PyDict_Copy(lane->no_certificate);
    hcp_slot *slot = &lane->slots[number];
    if (!slot->variables) {
        PyErr_SetString(PyExc_RuntimeError, "the front named a certificate that it never sent");
        return NULL;
    }
    if (!slot->prototype && !(slot->prototype = make_prototype(lane, slot)))
        return NULL;
    return PyDict_Copy(slot->prototype);
}

/* "HTTP_" and the name in upper case with "_" for "-". Names that another spelling could be
 * mistaken for (a "_" in them, say) never get here: the front drops them, and so does this. */
static PyObject *header_text(hc_slice name)
{
    PyObject *text = PyUnicode_New((Py_ssize_t)name.size + 5, 127);
    if (!text)
        return NULL;
    Py_UCS1 *at = PyUnicode_1BYTE_DATA(text);
    memcpy(at, "HTTP_", 5);
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        at[5 + i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
    }
    return text;
}

static bool is_name_octet(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static hcp_header_kind kind_of(hc_slice name)
{
    bool safe = name.size > 0;
    for (size_t i = 0; i < name.size; i++)
        safe = safe && is_name_octet(name.at[i]);
    if (!safe)
        return HCP_HEADER_DROP;
    if (hc_slice_equal_nocase(name, HC_SLICE_LITERAL("cookie")))
        return HCP_HEADER_COOKIE;
    /* The transfer coding is undone when the body gets here, so neither framing header is true of
     * it any more. */
    if (hc_slice_equal_nocase(name, HC_SLICE_LITERAL("content-length")) ||
        hc_slice_equal_nocase(name, HC_SLICE_LITERAL("transfer-encoding")))
        return HCP_HEADER_LENGTH;
    return HCP_HEADER_PLAIN;
}

/* A new reference. Never interned where the client chose the name: such strings may live for ever
 * (Python 3.12). */
static PyObject *make_key(hcp_state *state, hc_slice name)
{
    if (hc_slice_equal_nocase(name, HC_SLICE_LITERAL("content-type")))
        return Py_NewRef(state->keys[HCP_CONTENT_TYPE]);
    PyObject *text = header_text(name);
    PyObject *common = text ? PyDict_GetItemWithError(state->common_headers, text) : NULL;
    if (common) {
        Py_DECREF(text);
        return Py_NewRef(common);
    }
    return text;
}

static size_t hash_of(hc_slice name)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.size; i++)
        hash = (hash ^ name.at[i]) * 16777619u;
    return (hash ^ hash >> 15) % HCP_HEADERS;
}

/* The remembered header of this name, or `fresh` filled in (then `fresh->key` is the caller's to
 * release). */
static const hcp_header *find_header(hcp_lane *lane, hc_slice name, hcp_header *fresh)
{
    hcp_header *known = &lane->headers[hash_of(name)];
    if (known->key && known->size == name.size && memcmp(known->name, name.at, name.size) == 0)
        return known;
    fresh->kind = kind_of(name);
    fresh->key = fresh->kind == HCP_HEADER_DROP ? Py_NewRef(Py_None) : make_key(lane->state, name);
    if (!fresh->key || name.size > sizeof(fresh->name))
        return fresh->key ? fresh : NULL;
    fresh->size = (uint8_t)name.size;
    memcpy(fresh->name, name.at, name.size);
    Py_XDECREF(known->key);
    *known = *fresh;
    fresh->key = NULL;
    return known;
}

/* RFC 9110 section 5.3: several fields of one name are one list. */
static int join(PyObject *env, PyObject *key, PyObject *value, const char *separator)
{
    PyObject *before = PyDict_GetItemWithError(env, key);
    if (!before)
        return -1;
    return set_own(env, key, PyUnicode_FromFormat("%U%s%U", before, separator, value));
}

static int add_header(hcp_lane *lane, PyObject *env, const hc_pair *pair, bool *has_body)
{
    hcp_header fresh = {0};
    const hcp_header *h = find_header(lane, pair->name, &fresh);
    if (!h)
        return -1;
    int rc = 0;
    if (h->kind == HCP_HEADER_LENGTH) {
        *has_body = true;
    } else if (h->kind != HCP_HEADER_DROP) {
        PyObject *value = text_of(pair->value);
        Py_ssize_t before = PyDict_GET_SIZE(env);
        if (!value || !PyDict_SetDefault(env, h->key, value))
            rc = -1;
        else if (PyDict_GET_SIZE(env) == before)
            rc = join(env, h->key, value, h->kind == HCP_HEADER_COOKIE ? "; " : ",");
        Py_XDECREF(value);
    }
    Py_XDECREF(fresh.key);
    return rc;
}

static int add_headers(hcp_lane *lane, PyObject *env, const hc_lane_request *r)
{
    bool has_body = r->body_size > 0;
    for (size_t i = 0; i < r->header_count; i++) {
        if (add_header(lane, env, &r->headers[i], &has_body) < 0)
            return -1;
    }
    /* The body is here whole, so its size is known even where the client sent it in chunks. */
    return has_body ? set_number(lane, env, HCP_CONTENT_LENGTH, (int64_t)r->body_size) : 0;
}

/* Host without its port; then the bound address. Never empty (PEP 3333). IPv6 stays in brackets
 * (RFC 3875 section 4.1.14). */
static int add_server_name(hcp_lane *lane, PyObject *env, const hc_lane_request *r)
{
    hc_slice name = r->host;
    size_t end = name.size;
    while (end && name.at[end - 1] >= '0' && name.at[end - 1] <= '9')
        end--;
    if (end && name.at[end - 1] == ':')
        name.size = end - 1;
    char bracketed[64];
    if (name.size == 0) {
        name = r->server_address;
        if (hc_slice_find(name, ':') >= 0 && name.size < sizeof(bracketed) - 3) {
            int size = snprintf(bracketed, sizeof(bracketed), "[%.*s]", HC_SLICE_ARGS(name));
            name = hc_slice_of(bracketed, (size_t)size);
        }
    }
    if (name.size == 0)
        name = HC_SLICE_LITERAL("localhost");
    return set_text(lane, env, HCP_SERVER_NAME, name) < 0
               ? -1
               : set_number(lane, env, HCP_SERVER_PORT, r->server_port ? r->server_port : 443);
}

static const struct {
    hcp_key key;
    size_t offset;
    bool unless_empty; /* as mod_ssl, which sets no empty variable */
} texts[] = {
    {HCP_REQUEST_METHOD, offsetof(hc_lane_request, method), false},
    {HCP_PATH_INFO, offsetof(hc_lane_request, path), false},
    {HCP_QUERY_STRING, offsetof(hc_lane_request, query), false},
    {HCP_REQUEST_URI, offsetof(hc_lane_request, target), false},
    {HCP_REMOTE_ADDR, offsetof(hc_lane_request, remote_address), false},
    {HCP_SSL_CLIENT_VERIFY, offsetof(hc_lane_request, client_verify), false},
    {HCP_SSL_PROTOCOL, offsetof(hc_lane_request, tls_protocol), true},
    {HCP_SSL_CIPHER, offsetof(hc_lane_request, tls_cipher), true},
    {HCP_SSL_SESSION_ID, offsetof(hc_lane_request, tls_session_id), true},
    {HCP_SSL_TLS_SNI, offsetof(hc_lane_request, tls_sni), true},
    {HCP_REMOTE_USER, offsetof(hc_lane_request, remote_user), true},
    {HCP_HC_VERDICT, offsetof(hc_lane_request, verdict_name), false},
    {HCP_HC_VERDICT_DETAIL, offsetof(hc_lane_request, verdict_detail), false},
};

static int add_texts(hcp_lane *lane, PyObject *env, const hc_lane_request *r)
{
    for (size_t i = 0; i < HC_COUNT(texts); i++) {
        hc_slice octets;
        memcpy(&octets, (const char *)r + texts[i].offset, sizeof(octets));
        if (texts[i].unless_empty && octets.size == 0)
            continue;
        if (set_text(lane, env, texts[i].key, octets) < 0)
            return -1;
    }
    PyObject *uri = PyDict_GetItemWithError(env, lane->state->keys[HCP_REQUEST_URI]);
    if (!uri || set_key(lane, env, HCP_RAW_URI, uri) < 0)
        return -1;
    return r->remote_user.size ? set_word(lane, env, HCP_AUTH_TYPE, HCP_CLIENT_CERT) : 0;
}

static int add_numbers(hcp_lane *lane, PyObject *env, const hc_lane_request *r)
{
    PyObject *const *keys = lane->state->keys;
    if (set_word(lane, env, HCP_SERVER_PROTOCOL, r->http_minor ? HCP_HTTP_1_1 : HCP_HTTP_1_0) < 0 ||
        set_number(lane, env, HCP_REMOTE_PORT, r->remote_port) < 0 ||
        set_number(lane, env, HCP_SSL_CIPHER_USEKEYSIZE, r->cipher_bits) < 0 ||
        set_number(lane, env, HCP_SSL_CIPHER_ALGKEYSIZE, r->cipher_algorithm_bits) < 0 ||
        set_word(lane, env, HCP_SSL_SESSION_RESUMED, r->resumed ? HCP_Resumed : HCP_Initial) < 0)
        return -1;
    if (r->slot != HC_LANE_NO_SLOT &&
        set_number(lane, env, HCP_SSL_CLIENT_V_REMAIN, r->days_left) < 0)
        return -1;
    if (set_own(env, keys[HCP_HC_ERROR], PyLong_FromUnsignedLong(r->error)) < 0 ||
        set_own(env, keys[HCP_HC_DEPTH], PyLong_FromUnsignedLong(r->depth)) < 0)
        return -1;
    return set_own(env, keys[HCP_HC_CONNECTION], PyLong_FromUnsignedLongLong(r->connection));
}

/* A file object over the body's file, which the front wrote and whose offset both share. */
static PyObject *open_body(hcp_state *state, int fd)
{
    PyObject *raw = NULL, *reader = NULL;
    if (lseek(fd, 0, SEEK_SET) < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    else
        raw = PyObject_CallFunction(state->file_io, "is", fd, "rb");
    if (!raw) {
        (void)close(fd);
        return NULL;
    }
    reader = PyObject_CallOneArg(state->buffered_reader, raw);
    Py_DECREF(raw);
    return reader;
}

static PyObject *make_input(hcp_lane *lane, const hc_lane_request *r, int fd)
{
    if (fd >= 0)
        return open_body(lane->state, fd);
    if (r->body.size == 0)
        return PyObject_CallNoArgs(lane->state->bytes_io);
    PyObject *octets = bytes_of(r->body);
    PyObject *input = octets ? PyObject_CallOneArg(lane->state->bytes_io, octets) : NULL;
    Py_XDECREF(octets);
    return input;
}

PyObject *hcp_environ_new(hcp_lane *lane, const hc_lane_request *request, int fd,
                          hcp_exchange *exchange)
{
    PyObject *const *keys = lane->state->keys;
    PyObject *input = make_input(lane, request, fd);
    PyObject *env = input ? copy_prototype(lane, request->slot) : NULL;
    if (env && (add_texts(lane, env, request) < 0 || add_numbers(lane, env, request) < 0 ||
                add_server_name(lane, env, request) < 0 || add_headers(lane, env, request) < 0 ||
                PyDict_SetItem(env, keys[HCP_WSGI_INPUT], input) < 0 ||
                set_own(env, keys[HCP_HC_REFUSE], hcp_exchange_refuse(exchange)) < 0))
        Py_CLEAR(env);
    Py_XDECREF(input);
    return env;
}
