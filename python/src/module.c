#include "certificate.h"
#include "core.h"

static const char *const key_texts[HCP_KEYS] = {
#define HCP_NAME(name)        [HCP_##name] = #name,
#define HCP_NAMED(name, text) [HCP_##name] = text,
    HCP_WORDS(HCP_NAME) HCP_PHRASES(HCP_NAMED)
#undef HCP_NAME
#undef HCP_NAMED
};

static const char *const common_headers[] = {
    "HTTP_HOST",          "HTTP_USER_AGENT",      "HTTP_ACCEPT",
    "HTTP_CONNECTION",    "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE",
    "HTTP_COOKIE",        "HTTP_REFERER",         "HTTP_ORIGIN",
    "HTTP_AUTHORIZATION", "HTTP_CACHE_CONTROL",   "HTTP_IF_NONE_MATCH",
    "HTTP_RANGE",         "HTTP_IF_RANGE",        "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_MATCH",      "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO",
    "HTTP_DATE",          "HTTP_X_REQUESTED_WITH"};

static int init_texts(hcp_state *state)
{
    for (int i = 0; i < HCP_KEYS; i++) {
        if (!(state->keys[i] = PyUnicode_InternFromString(key_texts[i])))
            return -1;
    }
    if (!(state->common_headers = PyDict_New()))
        return -1;
    for (size_t i = 0; i < HC_COUNT(common_headers); i++) {
        PyObject *name = PyUnicode_InternFromString(common_headers[i]);
        if (!name)
            return -1;
        int rc = PyDict_SetItem(state->common_headers, name, name);
        Py_DECREF(name);
        if (rc < 0)
            return -1;
    }
    state->version = Py_BuildValue("(ii)", 1, 0);
    return state->version ? 0 : -1;
}

static int init_io(hcp_state *state)
{
    PyObject *io = PyImport_ImportModule("io");
    if (!io)
        return -1;
    state->bytes_io = PyObject_GetAttrString(io, "BytesIO");
    state->file_io = PyObject_GetAttrString(io, "FileIO");
    state->buffered_reader = PyObject_GetAttrString(io, "BufferedReader");
    Py_DECREF(io);
    return state->bytes_io && state->file_io && state->buffered_reader ? 0 : -1;
}

static PyTypeObject *new_type(PyObject *module, PyType_Spec *spec)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
}

static int module_exec(PyObject *module)
{
    hcp_state *state = PyModule_GetState(module);
    if (init_texts(state) < 0 || init_io(state) < 0)
        return -1;
    if (!(state->crew_type = new_type(module, &hcp_crew_spec)) ||
        !(state->lane_type = new_type(module, &hcp_lane_spec)) ||
        !(state->exchange_type = new_type(module, &hcp_exchange_spec)) ||
        !(state->file_wrapper_type = new_type(module, &hcp_file_wrapper_spec)))
        return -1;
    if (hc_py_add_certificate(module) < 0 || PyModule_AddType(module, state->crew_type) < 0 ||
        PyModule_AddType(module, state->lane_type) < 0 ||
        PyModule_AddType(module, state->file_wrapper_type) < 0 ||
        PyModule_AddStringConstant(module, "__version__", HC_VERSION) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "LANE_PROTOCOL", HC_LANE_PROTOCOL);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    hcp_state *state = PyModule_GetState(module);
    Py_VISIT(state->crew_type);
    Py_VISIT(state->lane_type);
    Py_VISIT(state->exchange_type);
    Py_VISIT(state->file_wrapper_type);
    Py_VISIT(state->common_headers);
    Py_VISIT(state->bytes_io);
    Py_VISIT(state->file_io);
    Py_VISIT(state->buffered_reader);
    return 0;
}

static int module_clear(PyObject *module)
{
    hcp_state *state = PyModule_GetState(module);
    Py_CLEAR(state->crew_type);
    Py_CLEAR(state->lane_type);
    Py_CLEAR(state->exchange_type);
    Py_CLEAR(state->file_wrapper_type);
    Py_CLEAR(state->common_headers);
    Py_CLEAR(state->bytes_io);
    Py_CLEAR(state->file_io);
    Py_CLEAR(state->buffered_reader);
    Py_CLEAR(state->version);
    for (int i = 0; i < HCP_KEYS; i++)
        Py_CLEAR(state->keys[i]);
    return 0;
}

static void module_free(void *module)
{
    (void)module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

PyModuleDef hcp_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "handclasp._core",
    .m_doc = "The worker's side of a lane: requests in, the application called, responses out.",
    .m_size = sizeof(hcp_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&hcp_module);
}
