/* The extension module handclasp._door: may this certificate come in, and as whom? For servers that
 * are not ours, which hand certificates over in the middle of a request.
 *
 * A module of its own, so that the workers of `handclasp serve` load no database library. A Door is
 * CAs, CRLs and a registry that is followed by a thread; a Caller is one certificate that was
 * handed over, with what is known of it. Everything is called with the GIL held and keeps it; the
 * places that give it up are marked "GIL:". The follower's thread runs no Python: it could be asked
 * to while the interpreter ends, or from another interpreter's threads. It does not survive fork,
 * so each process starts one of its own at its first question; the trust is inherited, since nobody
 * who forks with the GIL held finds it in use. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "identity/lookup.h"
#include "identity/principal.h"
#include "identity/trust.h"
#include "registry/follower.h"

typedef struct door {
    PyObject_HEAD char *registry, *base; /* NULL: none */
    bool admit_unknown;
    uint64_t max_age_ms;
    PyObject *report;    /* called with a text, or None when it is over; NULL: nobody */
    uint64_t generation; /* of `trust` */
    hc_trust *trust;
    hc_follower *follower;
    pid_t pid;            /* of the process that the follower is of; 0: none */
    pid_t starting;       /* of the process in which a thread starts one; 0: none */
    _Atomic(char *) news; /* the follower's last report, ours to free; "": over; NULL: was told */
} door;

typedef struct caller {
    PyObject_HEAD door *owner;
    hc_principal *principal;
    PyObject *variables;
    hc_verdict chain, verdict;
    const hc_follower *follower; /* whom `verdict` rests on */
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
    Py_XDECREF(c->owner);
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
    c->owner = (door *)Py_NewRef(self);
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

/* [(name, bytes), …]. What `out` says is in `list`, which must stay as it is. */
static int read_sources(PyObject *list, hc_trust_source **out, size_t *count)
{
    Py_ssize_t size = PyList_GET_SIZE(list);
    hc_trust_source *at = hc_alloc_zero(size ? (size_t)size : 1, sizeof *at);
    if (!at) {
        (void)PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        const char *name, *bytes;
        Py_ssize_t length;
        PyObject *item = PyList_GET_ITEM(list, i);
        if (!PyTuple_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "a source is a tuple of a name and bytes");
            hc_free(at);
            return -1;
        }
        if (!PyArg_ParseTuple(item, "sy#", &name, &bytes, &length)) {
            hc_free(at);
            return -1;
        }
        at[i] = (hc_trust_source){name, hc_slice_of(bytes, (size_t)length)};
    }
    *out = at;
    *count = (size_t)size;
    return 0;
}

static int load_trust(door *d, PyObject *cas, PyObject *crls)
{
    hc_err err = {0};
    hc_trust *trust = NULL;
    hc_trust_source *ca_sources = NULL, *crl_sources = NULL;
    size_t ca_count, crl_count;
    int rc = -1;
    if (read_sources(cas, &ca_sources, &ca_count) < 0 ||
        read_sources(crls, &crl_sources, &crl_count) < 0)
        goto out;
    hc_trust_config config = {.cas = ca_sources,
                              .ca_count = ca_count,
                              .crls = crl_sources,
                              .crl_count = crl_count,
                              .generation = d->generation + 1,
                              .now_s = hc_clock_wall_s()};
    rc = hc_trust_load(&config, &trust, &err);
    if (rc != 0) {
        raise_err(&err);
        goto out;
    }
    hc_trust_unref(d->trust);
    d->trust = trust;
    d->generation++;
out:
    hc_free(ca_sources);
    hc_free(crl_sources);
    return rc;
}

static PyObject *door_load(PyObject *self, PyObject *args)
{
    PyObject *cas, *crls;
    if (!PyArg_ParseTuple(args, "O!O!", &PyList_Type, &cas, &PyList_Type, &crls) ||
        load_trust((door *)self, cas, crls) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* On the follower's thread: no Python here. */
static void on_report(void *arg, const char *problem)
{
    door *d = arg;
    hc_free(atomic_exchange(&d->news, hc_strdup(problem ? problem : "")));
}

static void tell_news(door *d)
{
    if (!d->report || !atomic_load_explicit(&d->news, memory_order_relaxed))
        return;
    char *text = atomic_exchange(&d->news, NULL);
    if (!text)
        return;
    PyObject *said = *text ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace")
                           : Py_NewRef(Py_None);
    hc_free(text);
    PyObject *result = said ? PyObject_CallOneArg(d->report, said) : NULL;
    if (!result)
        PyErr_WriteUnraisable(d->report);
    Py_XDECREF(result);
    Py_XDECREF(said);
}

static int start_follower(door *d, hc_follower **out, hc_err *err)
{
    hc_follower_config config = {.url = d->registry,
                                 .base = d->base,
                                 .max_age_ms = d->max_age_ms,
                                 .arg = d,
                                 .report = on_report};
    sigset_t all, before;
    int rc;
    (void)sigfillset(&all);
    /* GIL: a registry of a million certificates takes a second to load. Signals are for the threads
     * of the server that we are in. */
    Py_BEGIN_ALLOW_THREADS;
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = hc_follower_start(&config, false, out, err);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    Py_END_ALLOW_THREADS;
    return rc;
}

/* A follower of this process. What a fork left behind is not touched: its locks may be held by
 * threads that are gone. */
static int follow_here(door *d, hc_err *err)
{
    pid_t here = getpid();
    if (!d->registry || d->pid == here)
        return 0;
    while (d->starting == here) {
        /* GIL: the thread that starts it needs it to say so. No lock, which a fork could leave
         * taken. */
        Py_BEGIN_ALLOW_THREADS;
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        Py_END_ALLOW_THREADS;
    }
    if (d->pid == here)
        return 0;
    d->starting = here;
    d->follower = NULL;
    int rc = start_follower(d, &d->follower, err);
    d->starting = 0;
    if (rc == 0)
        d->pid = here;
    return rc;
}

static void stop_follower(door *d)
{
    hc_follower *follower = d->pid == getpid() ? d->follower : NULL;
    if (!follower)
        return;
    d->follower = NULL;
    d->pid = 0;
    /* GIL: it may be reading the database. */
    Py_BEGIN_ALLOW_THREADS;
    hc_follower_stop(follower);
    Py_END_ALLOW_THREADS;
}

static PyObject *door_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    stop_follower((door *)self);
    Py_RETURN_NONE;
}

static int copy_text(const char *text, char **out)
{
    if (!text)
        return 0;
    *out = hc_strdup(text);
    if (!*out)
        (void)PyErr_NoMemory();
    return *out ? 0 : -1;
}

static PyObject *door_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    static char *keywords[] = {"cas",           "crls",       "registry", "base",
                               "admit_unknown", "max_age_ms", "report",   NULL};
    PyObject *cas, *crls, *report = Py_None;
    const char *registry = NULL, *base = NULL;
    int admit_unknown = 0;
    unsigned long max_age_ms = HC_REGISTRY_MAX_AGE_MS_DEFAULT;
    hc_err err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, names, "O!O!|$zzpkO", keywords, &PyList_Type, &cas,
                                     &PyList_Type, &crls, &registry, &base, &admit_unknown,
                                     &max_age_ms, &report))
        return NULL;
    if (registry && hc_registry_check_url(registry, &err) != 0) {
        raise_err(&err);
        return NULL;
    }
    door *d = (door *)type->tp_alloc(type, 0);
    if (!d)
        return NULL;
    atomic_init(&d->news, NULL);
    d->admit_unknown = admit_unknown;
    d->max_age_ms = max_age_ms;
    d->report = report != Py_None ? Py_NewRef(report) : NULL;
    if (copy_text(registry, &d->registry) < 0 || copy_text(base, &d->base) < 0 ||
        load_trust(d, cas, crls) < 0) {
        Py_DECREF(d);
        return NULL;
    }
    return (PyObject *)d;
}

static void door_free(PyObject *self)
{
    door *d = (door *)self;
    PyTypeObject *type = Py_TYPE(self);
    stop_follower(d);
    hc_free(atomic_exchange(&d->news, NULL));
    hc_trust_unref(d->trust);
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

static PyObject *answer_of(const hc_verdict *v, int64_t days_left, const hc_record *record)
{
    char room[HC_VERDICT_TEXT_BYTES];
    hc_slice verify = hc_verdict_client_verify(v, room);
    PyObject *client = client_tuple(record);
    return client ? Py_BuildValue("(siiss#LN)", hc_verdict_name(v->code), v->error, v->depth,
                                  v->detail, (const char *)verify.at, (Py_ssize_t)verify.size,
                                  (long long)days_left, client)
                  : NULL;
}

/* Nothing that could let another thread run comes between the lookup and what is decided by it, nor
 * between the members of `c` that belong together. */
static PyObject *decide(door *d, caller *c, int64_t now_s, int64_t days)
{
    hc_err err = {0};
    hc_record *record = NULL;
    int64_t certificate_id;
    hc_verdict chain = c->chain;
    if (d->registry && !d->follower) {
        PyErr_SetString(PyExc_RuntimeError, "the registry is not followed");
        return NULL;
    }
    if (!hc_verdict_holds(&chain, d->generation, 0, now_s) &&
        hc_principal_decide(c->principal, d->trust, now_s, &chain, &err) != 0) {
        raise_err(&err);
        return NULL;
    }
    const hc_follower *follower = d->follower;
    hc_verdict verdict = chain;
    hc_verdict_with_record(&verdict, d->follower ? hc_follower_lookup(d->follower) : NULL,
                           c->principal->cert, d->admit_unknown, hc_clock_monotonic_ms(), &record,
                           &certificate_id);
    PyObject *answer = answer_of(&verdict, days, record);
    hc_record_unref(record);
    if (!answer)
        return NULL;
    c->chain = chain;
    c->verdict = verdict;
    c->follower = follower;
    c->days_left = days;
    Py_XSETREF(c->answer, Py_NewRef(answer));
    return answer;
}

static bool answer_holds(const door *d, const caller *c, int64_t now_s, int64_t days)
{
    uint64_t generation = 0;
    if (!c->answer || c->days_left != days || c->follower != d->follower)
        return false;
    if (d->follower) {
        hc_lookup *lookup = hc_follower_lookup(d->follower);
        generation = lookup->generation(lookup, hc_clock_monotonic_ms());
        if (!generation)
            return false;
    }
    return hc_verdict_holds(&c->verdict, d->generation, generation, now_s);
}

static PyObject *door_check(PyObject *self, PyObject *arg)
{
    door *d = (door *)self;
    module_state *state = PyType_GetModuleState(Py_TYPE(self));
    hc_err err = {0};
    if (!state || !Py_IS_TYPE(arg, state->caller_type) || ((caller *)arg)->owner != d) {
        PyErr_SetString(PyExc_TypeError, "a door checks its own callers alone");
        return NULL;
    }
    caller *c = (caller *)arg;
    tell_news(d);
    if (follow_here(d, &err) != 0) {
        raise_err(&err);
        return NULL;
    }
    int64_t now_s = hc_clock_wall_s();
    int64_t days = hc_principal_days_left(c->principal, now_s);
    return answer_holds(d, c, now_s, days) ? Py_NewRef(c->answer) : decide(d, c, now_s, days);
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
    {"close", door_close, METH_NOARGS,
     "close()\n\nEnds the thread; the next question starts another one."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot door_slots[] = {
    {Py_tp_new, door_new},
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
