/* The extension module handclasp._door: may this certificate come in, and as whom? For servers that
 * are not ours, which hand certificates over in the middle of a request.
 *
 * A module of its own, so that the workers of `handclasp serve` load no database library. A Door is
 * CAs, CRLs and a registry that is followed by a thread; a Caller is one certificate that was
 * handed over, with what is known of it. Everything is called with the GIL held; the places that
 * give it up are marked "GIL:". Threads do not survive fork: trust and follower are made anew in
 * each process, at its first question. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "identity/lookup.h"
#include "identity/principal.h"
#include "identity/trust.h"
#include "registry/follower.h"

typedef struct sources {
    hc_trust_source *at;
    size_t count;
    PyObject *kept; /* the list that the bytes are in */
} sources;

typedef struct door {
    PyObject_HEAD sources cas, crls;
    char *registry, *base; /* NULL: none */
    bool admit_unknown;
    uint64_t max_age_ms;
    PyObject *report; /* called with a text, or None when it is over; from a thread */
    uint64_t generation;
    hc_trust *trust;
    hc_follower *follower;
    pid_t pid; /* of the process that the two are of */
} door;

typedef struct caller {
    PyObject_HEAD hc_principal *principal;
    PyObject *variables;
    hc_verdict chain, verdict;
    int64_t days_left;
    PyObject *answer; /* for the verdict as it stands; NULL: none yet */
} caller;

typedef struct module_state {
    PyTypeObject *door_type, *caller_type;
} module_state;

static PyModuleDef door_module;

static void raise_err(const hc_err *err)
{
    if (PyErr_Occurred())
        return;
    if (err->code == HC_ENOMEM)
        (void)PyErr_NoMemory();
    else
        PyErr_SetString(PyExc_ValueError, err->text);
}

/* ---- callers ---- */

static int add_variable(void *arg, hc_slice name, hc_slice value)
{
    /* PEP 3333: the octets, as Latin-1. */
    PyObject *key = PyUnicode_DecodeLatin1((const char *)name.at, (Py_ssize_t)name.size, NULL);
    PyObject *text = PyUnicode_DecodeLatin1((const char *)value.at, (Py_ssize_t)value.size, NULL);
    int rc = key && text ? PyDict_SetItem(arg, key, text) : -1;
    Py_XDECREF(key);
    Py_XDECREF(text);
    return rc < 0 ? -HC_ENOMEM : 0;
}

static void caller_free(PyObject *self)
{
    caller *c = (caller *)self;
    PyTypeObject *type = Py_TYPE(self);
    hc_principal_unref(c->principal);
    Py_XDECREF(c->variables);
    Py_XDECREF(c->answer);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *caller_variables(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((caller *)self)->variables);
}

static PyGetSetDef caller_members[] = {
    {"variables", caller_variables, NULL, "SSL_CLIENT_...: what does not change. Copy it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot caller_slots[] = {
    {Py_tp_dealloc, caller_free},
    {Py_tp_getset, caller_members},
    {Py_tp_doc, "A certificate that was handed over."},
    {0, NULL},
};

static PyType_Spec caller_spec = {
    .name = "handclasp._door.Caller",
    .basicsize = sizeof(caller),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = caller_slots,
};

static int decode_x509(PyObject *der, X509 **out, hc_err *err)
{
    hc_cert *cert = NULL;
    if (!PyBytes_Check(der)) {
        PyErr_SetString(PyExc_TypeError, "a DER must be bytes");
        return -HC_EINVAL;
    }
    int rc = hc_cert_from_der(hc_slice_of(PyBytes_AS_STRING(der), (size_t)PyBytes_GET_SIZE(der)),
                              &cert, err);
    if (rc == 0) {
        (void)X509_up_ref(hc_cert_x509(cert));
        *out = hc_cert_x509(cert);
    }
    hc_cert_unref(cert);
    return rc;
}

static int principal_of(PyObject *leaf, PyObject *chain, hc_principal **out, hc_err *err)
{
    X509 *x = NULL;
    STACK_OF(X509) *others = sk_X509_new_null();
    int rc = others ? decode_x509(leaf, &x, err) : hc_err_set(err, HC_ENOMEM, "no memory");
    for (Py_ssize_t i = 0; rc == 0 && i < PyTuple_GET_SIZE(chain); i++) {
        X509 *other = NULL;
        rc = decode_x509(PyTuple_GET_ITEM(chain, i), &other, err);
        if (rc == 0 && sk_X509_push(others, other) == 0) {
            X509_free(other);
            rc = hc_err_set(err, HC_ENOMEM, "no memory");
        }
    }
    if (rc == 0)
        rc = hc_principal_new(x, others, out, err);
    X509_free(x);
    sk_X509_pop_free(others, X509_free);
    return rc;
}

static PyObject *door_caller(PyObject *self, PyObject *args)
{
    PyObject *leaf, *chain;
    hc_err err = {0};
    if (!PyArg_ParseTuple(args, "SO!", &leaf, &PyTuple_Type, &chain))
        return NULL;
    module_state *state = PyType_GetModuleState(Py_TYPE(self));
    caller *c = state ? (caller *)state->caller_type->tp_alloc(state->caller_type, 0) : NULL;
    if (!c)
        return NULL;
    c->variables = PyDict_New();
    if (!c->variables)
        goto out;
    if (principal_of(leaf, chain, &c->principal, &err) == 0 &&
        hc_principal_variables(c->principal, add_variable, c->variables, &err) == 0)
        return (PyObject *)c;
    raise_err(&err);
out:
    Py_DECREF(c);
    return NULL;
}

/* ---- the door ---- */

static void sources_done(sources *s)
{
    hc_free(s->at);
    Py_CLEAR(s->kept);
    *s = (sources){0};
}

/* [(name, bytes), …]; the list is copied, its members are immutable. */
static int take_sources(PyObject *list, sources *out)
{
    PyObject *kept = PySequence_List(list);
    if (!kept)
        return -1;
    size_t count = (size_t)PyList_GET_SIZE(kept);
    hc_trust_source *at = hc_alloc_zero(count ? count : 1, sizeof *at);
    if (!at) {
        Py_DECREF(kept);
        (void)PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const char *bytes;
        Py_ssize_t size;
        PyObject *item = PyList_GET_ITEM(kept, (Py_ssize_t)i);
        if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "sy#", &name, &bytes, &size)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "a source is a tuple of a name and bytes");
            hc_free(at);
            Py_DECREF(kept);
            return -1;
        }
        at[i] = (hc_trust_source){name, hc_slice_of(bytes, (size_t)size)};
    }
    *out = (sources){at, count, kept};
    return 0;
}

static int load_trust(door *d, const sources *cas, const sources *crls, hc_err *err)
{
    hc_trust *trust = NULL;
    hc_trust_config config = {.cas = cas->at,
                              .ca_count = cas->count,
                              .crls = crls->at,
                              .crl_count = crls->count,
                              .generation = ++d->generation,
                              .now_s = hc_clock_wall_s()};
    int rc = hc_trust_load(&config, &trust, err);
    if (rc != 0)
        return rc;
    hc_trust_unref(d->trust);
    d->trust = trust;
    return 0;
}

/* On the follower's thread. */
static void on_report(void *arg, const char *problem)
{
    door *d = arg;
    /* GIL: taken here. Not while the interpreter ends: it would not be given any more. */
    if (!Py_IsInitialized())
        return;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *result = problem ? PyObject_CallFunction(d->report, "s", problem)
                               : PyObject_CallFunction(d->report, "O", Py_None);
    if (!result)
        PyErr_WriteUnraisable(d->report);
    Py_XDECREF(result);
    PyGILState_Release(gil);
}

static int start_follower(door *d, hc_err *err)
{
    hc_follower *follower = NULL;
    hc_follower_config config = {.url = d->registry,
                                 .base = d->base,
                                 .max_age_ms = d->max_age_ms,
                                 .arg = d,
                                 .report = d->report ? on_report : NULL};
    int rc;
    /* GIL: a registry of a million certificates takes a second to load. */
    Py_BEGIN_ALLOW_THREADS rc = hc_follower_start(&config, false, &follower, err);
    Py_END_ALLOW_THREADS if (rc == 0 && d->follower && d->pid == getpid())
    {
        /* Another thread was faster. */
        Py_BEGIN_ALLOW_THREADS hc_follower_stop(follower);
        Py_END_ALLOW_THREADS
    }
    else if (rc == 0)
    {
        d->follower = follower;
    }
    return rc;
}

/* What a fork left behind is not touched: its locks may be held by threads that are gone. */
static int open_here(door *d, hc_err *err)
{
    pid_t here = getpid();
    if (d->pid == here)
        return 0;
    d->trust = NULL;
    d->follower = NULL;
    int rc = load_trust(d, &d->cas, &d->crls, err);
    if (rc == 0 && d->registry)
        rc = start_follower(d, err);
    if (rc == 0)
        d->pid = here;
    return rc;
}

static PyObject *door_load(PyObject *self, PyObject *args)
{
    door *d = (door *)self;
    PyObject *ca_list, *crl_list;
    sources cas = {0}, crls = {0};
    hc_err err = {0};
    if (!PyArg_ParseTuple(args, "OO", &ca_list, &crl_list) || take_sources(ca_list, &cas) < 0)
        return NULL;
    if (take_sources(crl_list, &crls) < 0) {
        sources_done(&cas);
        return NULL;
    }
    int rc = load_trust(d, &cas, &crls, &err);
    if (rc != 0) {
        sources_done(&cas);
        sources_done(&crls);
        raise_err(&err);
        return NULL;
    }
    sources_done(&d->cas);
    sources_done(&d->crls);
    d->cas = cas;
    d->crls = crls;
    Py_RETURN_NONE;
}

static int copy_text(const char *text, char **out)
{
    size_t size = text ? strlen(text) + 1 : 0;
    if (!text)
        return 0;
    *out = hc_alloc(size);
    if (!*out) {
        (void)PyErr_NoMemory();
        return -1;
    }
    memcpy(*out, text, size);
    return 0;
}

static int door_init(PyObject *self, PyObject *args, PyObject *names)
{
    static char *keywords[] = {"cas",           "crls",       "registry", "base",
                               "admit_unknown", "max_age_ms", "report",   NULL};
    door *d = (door *)self;
    PyObject *cas, *crls, *report = NULL;
    const char *registry = NULL, *base = NULL;
    int admit_unknown = 0;
    unsigned long long max_age_ms = HC_REGISTRY_MAX_AGE_MS_DEFAULT;
    hc_err err = {0};
    if (d->generation) {
        PyErr_SetString(PyExc_RuntimeError, "a door is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, names, "OO|$zzpKO", keywords, &cas, &crls, &registry,
                                     &base, &admit_unknown, &max_age_ms, &report))
        return -1;
    if (registry && hc_registry_check_url(registry, &err) != 0) {
        raise_err(&err);
        return -1;
    }
    d->admit_unknown = admit_unknown;
    d->max_age_ms = max_age_ms;
    d->report = report && report != Py_None ? Py_NewRef(report) : NULL;
    if (copy_text(registry, &d->registry) < 0 || copy_text(base, &d->base) < 0 ||
        take_sources(cas, &d->cas) < 0 || take_sources(crls, &d->crls) < 0)
        return -1;
    /* A mistake shows at once; the thread is left to the process that asks. */
    if (load_trust(d, &d->cas, &d->crls, &err) != 0) {
        raise_err(&err);
        return -1;
    }
    return 0;
}

static void door_free(PyObject *self)
{
    door *d = (door *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (d->pid == getpid()) {
        /* GIL: the thread that ends may be waiting for it. */
        Py_BEGIN_ALLOW_THREADS hc_follower_stop(d->follower);
        Py_END_ALLOW_THREADS
    }
    if (d->pid == 0 || d->pid == getpid())
        hc_trust_unref(d->trust);
    sources_done(&d->cas);
    sources_done(&d->crls);
    Py_XDECREF(d->report);
    hc_free(d->registry);
    hc_free(d->base);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the question ---- */

static PyObject *text_or_none(hc_slice text)
{
    return PyUnicode_DecodeUTF8((const char *)text.at, (Py_ssize_t)text.size, "strict");
}

static PyObject *client_tuple(const hc_record *r)
{
    if (!r)
        return Py_NewRef(Py_None);
    PyObject *name = text_or_none(hc_record_name(r));
    PyObject *roles = name ? text_or_none(hc_record_roles(r)) : NULL;
    PyObject *attributes = roles ? text_or_none(hc_record_attributes(r)) : NULL;
    PyObject *out = attributes ? PyTuple_Pack(3, name, roles, attributes) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(roles);
    Py_XDECREF(attributes);
    return out;
}

static PyObject *answer_of(const caller *c, const hc_record *record)
{
    char room[HC_VERDICT_TEXT_BYTES];
    const hc_verdict *v = &c->verdict;
    hc_slice verify = hc_verdict_client_verify(v, room);
    PyObject *client = client_tuple(record);
    return client ? Py_BuildValue("(siiss#LN)", hc_verdict_name(v->code), v->error, v->depth,
                                  v->detail, (const char *)verify.at, (Py_ssize_t)verify.size,
                                  (long long)c->days_left, client)
                  : NULL;
}

static PyObject *door_check(PyObject *self, PyObject *arg)
{
    door *d = (door *)self;
    module_state *state = PyType_GetModuleState(Py_TYPE(self));
    hc_err err = {0};
    if (!state || !Py_IS_TYPE(arg, state->caller_type)) {
        PyErr_SetString(PyExc_TypeError, "only a Caller can be checked");
        return NULL;
    }
    caller *c = (caller *)arg;
    if (open_here(d, &err) != 0) {
        raise_err(&err);
        return NULL;
    }
    int64_t now_s = hc_clock_wall_s(), certificate_id,
            days = hc_principal_days_left(c->principal, now_s);
    uint64_t now_ms = hc_clock_monotonic_ms();
    hc_lookup *lookup = d->follower ? hc_follower_lookup(d->follower) : NULL;
    uint64_t generation = lookup ? lookup->generation(lookup, now_ms) : 0;
    bool usable = !lookup || generation != 0;
    if (c->answer && usable && c->days_left == days &&
        hc_verdict_holds(&c->verdict, hc_trust_generation(d->trust), generation, now_s))
        return Py_NewRef(c->answer);
    if (!hc_verdict_holds(&c->chain, hc_trust_generation(d->trust), 0, now_s) &&
        hc_principal_decide(c->principal, d->trust, now_s, &c->chain, &err) != 0) {
        raise_err(&err);
        return NULL;
    }
    hc_record *record = NULL;
    c->verdict = c->chain;
    c->days_left = days;
    hc_verdict_with_record(&c->verdict, lookup, c->principal->cert, d->admit_unknown, now_ms,
                           &record, &certificate_id);
    PyObject *answer = answer_of(c, record);
    hc_record_unref(record);
    Py_XSETREF(c->answer, Py_XNewRef(answer));
    return answer;
}

static PyMethodDef door_methods[] = {
    {"caller", door_caller, METH_VARARGS,
     "caller(leaf: bytes, chain: tuple[bytes, ...]) -> Caller\n\n"
     "A certificate in DER and what came besides. ValueError where it cannot be read exactly."},
    {"check", door_check, METH_O,
     "check(caller) -> (verdict, error, depth, detail, client_verify, days_left, client)\n\n"
     "`client` is (name, roles separated by spaces, attributes as JSON), or None."},
    {"load", door_load, METH_VARARGS,
     "load(cas, crls)\n\nReplaces both; on ValueError what was there stays."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot door_slots[] = {
    {Py_tp_init, door_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, door_free},
    {Py_tp_methods, door_methods},
    {Py_tp_doc, "Door(cas, crls, *, registry=None, base=None, admit_unknown=False, "
                "max_age_ms=10000, report=None)\n\n"
                "CAs and CRLs as lists of (name, PEM); a registry's URL, relative to `base`."},
    {0, NULL},
};

static PyType_Spec door_spec = {
    .name = "handclasp._door.Door",
    .basicsize = sizeof(door),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = door_slots,
};

/* ---- the module ---- */

static int module_exec(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    state->door_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &door_spec, NULL);
    state->caller_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &caller_spec, NULL);
    if (!state->door_type || !state->caller_type ||
        PyModule_AddType(module, state->door_type) < 0 ||
        PyModule_AddType(module, state->caller_type) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "__version__", HC_VERSION);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);
    Py_VISIT(state->door_type);
    Py_VISIT(state->caller_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->door_type);
    Py_CLEAR(state->caller_type);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static PyModuleDef door_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "handclasp._door",
    .m_doc = "May this certificate come in, and as whom?",
    .m_size = sizeof(module_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__door(void);

PyMODINIT_FUNC PyInit__door(void)
{
    return PyModuleDef_Init(&door_module);
}
