#include "core.h"

#include <fcntl.h>
#include <sys/stat.h>

/* PEP 3333, "Optional Platform-Specific File Handling". */
typedef struct file_wrapper {
    PyObject_HEAD PyObject *filelike;
    Py_ssize_t block_octets;
} file_wrapper;

static int file_wrapper_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"filelike", "blksize", NULL};
    file_wrapper *w = (file_wrapper *)self;
    PyObject *filelike;
    Py_ssize_t block_octets = 65536;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:FileWrapper", names, &filelike,
                                     &block_octets))
        return -1;
    if (block_octets <= 0) {
        PyErr_SetString(PyExc_ValueError, "blksize must be positive");
        return -1;
    }
    Py_INCREF(filelike);
    Py_XSETREF(w->filelike, filelike);
    w->block_octets = block_octets;
    return 0;
}

static PyObject *file_wrapper_next(PyObject *self)
{
    file_wrapper *w = (file_wrapper *)self;
    if (!w->filelike)
        return NULL;
    PyObject *block = PyObject_CallMethod(w->filelike, "read", "n", w->block_octets);
    if (!block)
        return NULL;
    int more = PyObject_IsTrue(block);
    if (more > 0)
        return block;
    Py_DECREF(block);
    return NULL; /* the end; or the exception of IsTrue */
}

static PyObject *file_wrapper_close(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    file_wrapper *w = (file_wrapper *)self;
    if (!w->filelike)
        Py_RETURN_NONE;
    PyObject *method = PyObject_GetAttrString(w->filelike, "close");
    if (!method && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *done = method ? PyObject_CallNoArgs(method) : NULL;
    Py_XDECREF(method);
    return done;
}

static int file_wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((file_wrapper *)self)->filelike);
    return 0;
}

static int file_wrapper_clear(PyObject *self)
{
    Py_CLEAR(((file_wrapper *)self)->filelike);
    return 0;
}

static void file_wrapper_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)file_wrapper_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *get_filelike(PyObject *self, void *ignored)
{
    (void)ignored;
    PyObject *filelike = ((file_wrapper *)self)->filelike;
    return Py_NewRef(filelike ? filelike : Py_None);
}

static PyObject *get_blksize(PyObject *self, void *ignored)
{
    (void)ignored;
    return PyLong_FromSsize_t(((file_wrapper *)self)->block_octets);
}

static PyGetSetDef file_wrapper_members[] = {
    {"filelike", get_filelike, NULL, "The file object it was made with.", NULL},
    {"blksize", get_blksize, NULL, "Octets of one read, where the file is read here.", NULL},
    {0},
};

static PyMethodDef file_wrapper_methods[] = {
    {"close", file_wrapper_close, METH_NOARGS, "Closes the file object, where it can be closed."},
    {0},
};

static PyType_Slot file_wrapper_slots[] = {
    {Py_tp_doc, "FileWrapper(filelike, blksize=65536)\n--\n\n"
                "wsgi.file_wrapper: a real file is sent by the front from its descriptor, anything "
                "else is read."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, file_wrapper_init},
    {Py_tp_dealloc, file_wrapper_dealloc},
    {Py_tp_traverse, file_wrapper_traverse},
    {Py_tp_clear, file_wrapper_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, file_wrapper_next},
    {Py_tp_methods, file_wrapper_methods},
    {Py_tp_getset, file_wrapper_members},
    {0, NULL},
};

PyType_Spec hcp_file_wrapper_spec = {
    .name = "handclasp._core.FileWrapper",
    .basicsize = sizeof(file_wrapper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = file_wrapper_slots,
};

/* 1: what read() gives is what the descriptor holds. A GzipFile, say, has a descriptor too, with
 * other octets in it: only the plain files of io are taken at their word. */
static int is_plain_file(PyObject *filelike, hcp_state *state)
{
    if ((PyObject *)Py_TYPE(filelike) == state->file_io)
        return 1;
    if ((PyObject *)Py_TYPE(filelike) != state->buffered_reader)
        return 0;
    PyObject *raw = PyObject_GetAttrString(filelike, "raw");
    if (!raw)
        return -1;
    int plain = (PyObject *)Py_TYPE(raw) == state->file_io;
    Py_DECREF(raw);
    return plain;
}

static int call_for_number(PyObject *self, const char *method, long long *out)
{
    PyObject *number = PyObject_CallMethod(self, method, NULL);
    if (!number)
        return -1;
    *out = PyLong_AsLongLong(number);
    Py_DECREF(number);
    return *out == -1 && PyErr_Occurred() ? -1 : 0;
}

int hcp_file_wrapper_region(PyObject *wrapper, hcp_state *state, int *fd, hc_lane_file *file)
{
    PyObject *filelike = ((file_wrapper *)wrapper)->filelike;
    if (!filelike)
        return 0;
    int plain = is_plain_file(filelike, state);
    if (plain <= 0)
        return plain;
    long long number, offset;
    if (call_for_number(filelike, "fileno", &number) < 0)
        return -1;
    struct stat st;
    if (fstat((int)number, &st) != 0 || !S_ISREG(st.st_mode) ||
        (fcntl((int)number, F_GETFL) & O_ACCMODE) == O_WRONLY)
        return 0;
    if (call_for_number(filelike, "tell", &offset) < 0)
        return -1;
    *fd = (int)number;
    file->offset = (uint64_t)offset;
    file->size = st.st_size > offset ? (uint64_t)(st.st_size - offset) : 0;
    return 1;
}
