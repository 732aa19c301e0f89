#include "core.h"

#include <stdio.h>
#include <unistd.h>

/* One request from the application's call to the END frame. Functions return 0, or -1 with an
 * exception that is the application's failure (logged, END failed), not the lane's. */

static void report(hcp_lane *lane, PyObject *env, PyObject *problem)
{
    PyObject *done = PyObject_CallFunctionObjArgs(lane->report, env, problem, NULL);
    if (!done)
        PyErr_WriteUnraisable(lane->report);
    Py_XDECREF(done);
}

static void report_text(hcp_lane *lane, PyObject *env, const char *text)
{
    PyObject *problem = PyUnicode_FromString(text);
    if (problem)
        report(lane, env, problem);
    else
        PyErr_Clear();
    Py_XDECREF(problem);
}

/* The exception that is set, as an object; then none is set. */
static PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        (void)PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Logs the exception that is set, unless it only says that nobody takes the response any more. True
 * for a KeyboardInterrupt, which ends serving; SystemExit from a view does not, as under gunicorn.
 */
static bool take_failure(hcp_lane *lane, PyObject *env)
{
    bool interrupt = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
    bool gone = (lane->gone || lane->cancelled) && PyErr_ExceptionMatches(PyExc_BrokenPipeError);
    PyObject *problem = take_exception();
    if (problem && !gone && !interrupt)
        report(lane, env, problem);
    Py_XDECREF(problem);
    return interrupt;
}

/* PEP 3333, "Handling the Content-Length Header": a response that is one block has that block's
 * length. */
static void set_length(hcp_exchange *x, uint64_t size, char text[24])
{
    if (!x->status || x->head_sent || x->length >= 0 || x->head.status == 204 ||
        x->head.status == 304 || (x->head_request && size == 0))
        return;
    int digits = snprintf(text, 24, "%llu", (unsigned long long)size);
    hc_pair *pair = &x->lane->pairs[x->head.header_count++];
    pair->name = HC_SLICE_LITERAL("Content-Length");
    pair->value = hc_slice_of(text, (size_t)digits);
    x->length = (int64_t)size;
}

static int put_block(hcp_exchange *x, PyObject *block)
{
    if (!PyBytes_Check(block)) {
        PyErr_Format(PyExc_TypeError, "the application must yield bytes, not %.100s",
                     Py_TYPE(block)->tp_name);
        return -1;
    }
    return PyBytes_GET_SIZE(block) ? hcp_exchange_put(x, block) : 0;
}

/* A response that needs no more blocks: the rest would be thrown away. */
static bool is_enough(const hcp_exchange *x)
{
    return x->excess || x->lane->cancelled || (x->head_sent && hcp_exchange_bodiless(x));
}

/* Nothing more is to be sent; an iterable is still run to its end. */
static bool is_complete(const hcp_exchange *x)
{
    return x->length >= 0 && x->body_octets == (uint64_t)x->length;
}

/* A list or tuple is all there: its blocks go together. */
static int put_sequence(hcp_exchange *x, PyObject *blocks)
{
    char text[24];
    if (PySequence_Fast_GET_SIZE(blocks) == 1) {
        PyObject *only = PySequence_Fast_GET_ITEM(blocks, 0);
        if (PyBytes_Check(only)) {
            set_length(x, (uint64_t)PyBytes_GET_SIZE(only), text);
            if (x->status && hcp_exchange_put_head(x) < 0) /* `text` does not outlive this */
                return -1;
        }
    }
    /* The size is asked for each time: a list may change while others run. */
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(blocks) && !is_enough(x); i++) {
        PyObject *block = Py_NewRef(PySequence_Fast_GET_ITEM(blocks, i));
        int rc = put_block(x, block);
        Py_DECREF(block);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* PEP 3333, "Buffering and Streaming": each block is sent before the next is asked for. */
static int put_iterable(hcp_exchange *x, PyObject *iterable)
{
    PyObject *blocks = PyObject_GetIter(iterable);
    if (!blocks)
        return -1;
    int rc = 0;
    while (rc == 0 && !is_enough(x)) {
        PyObject *block = PyIter_Next(blocks);
        if (!block) {
            rc = PyErr_Occurred() ? -1 : 0;
            break;
        }
        rc = put_block(x, block);
        Py_DECREF(block);
        if (rc == 0)
            rc = hcp_lane_flush(x->lane);
        if (rc == 0 && !is_complete(x))
            (void)hcp_lane_is_cancelled(x->lane); /* is_enough sees it */
    }
    Py_DECREF(blocks);
    return rc;
}

/* 1 where the front has been given the file, 0 where it must be read here. */
static int put_file(hcp_exchange *x, PyObject *wrapper)
{
    int fd;
    hc_lane_file file;
    hc_channel *channel = &x->lane->channel;
    if (!x->status || x->body_octets)
        return 0;
    int rc = hcp_file_wrapper_region(wrapper, x->lane->state, &fd, &file);
    if (rc <= 0)
        return rc;
    char text[24];
    set_length(x, file.size, text);
    if (hcp_exchange_put_head(x) < 0)
        return -1;
    if (hcp_exchange_bodiless(x))
        return 1;
    if (x->length >= 0 && file.size > (uint64_t)x->length)
        file.size = (uint64_t)x->length; /* no excess: the rest of a file is not what was meant */
    if (file.size == 0)
        return 1;
    x->body_octets = file.size;
    channel->out_fd = fd;
    channel->out_fd_at = channel->out.size;
    if (hc_lane_add_file(&channel->out, &file) != 0) {
        channel->out_fd = -1;
        PyErr_NoMemory();
        return -1;
    }
    return hcp_lane_flush(x->lane) < 0 ? -1 : 1;
}

static int put_response(hcp_exchange *x, PyObject *response)
{
    if (PyList_CheckExact(response) || PyTuple_CheckExact(response))
        return put_sequence(x, response);
    if (Py_TYPE(response) == x->lane->state->file_wrapper_type) {
        int rc = put_file(x, response);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
    }
    return put_iterable(x, response);
}

/* A response without a body still has a head. */
static int finish_head(hcp_exchange *x)
{
    char text[24];
    if (x->head_sent)
        return 0;
    if (!x->status) {
        PyErr_SetString(PyExc_AssertionError, "the application did not call start_response");
        return -1;
    }
    set_length(x, 0, text);
    return hcp_exchange_put_head(x);
}

/* Content-Length was promised to the client: the front cuts the connection where less came. */
static bool is_short(const hcp_exchange *x)
{
    return !hcp_exchange_bodiless(x) && x->length >= 0 && x->body_octets < (uint64_t)x->length;
}

/* PEP 3333: close() is called whatever happened. True for a KeyboardInterrupt. */
static bool close_response(hcp_lane *lane, PyObject *env, PyObject *response)
{
    if (PyList_CheckExact(response) || PyTuple_CheckExact(response))
        return false;
    PyObject *close = PyObject_GetAttr(response, lane->state->keys[HCP_close]);
    PyObject *closed = NULL;
    if (close)
        closed = PyObject_CallNoArgs(close);
    else if (PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    Py_XDECREF(close);
    Py_XDECREF(closed);
    return PyErr_Occurred() && take_failure(lane, env);
}

/* Sends what is there before a close() that may take long, unless there is none and END goes with
 * it. */
static int send_response(hcp_exchange *x, PyObject *response)
{
    if (put_response(x, response) < 0 || finish_head(x) < 0)
        return -1;
    if (PyList_CheckExact(response) || PyTuple_CheckExact(response))
        return 0;
    return hcp_lane_flush(x->lane);
}

/* 1 where it was interrupted; `failed` where the response is not what it should be. */
static int answer(hcp_lane *lane, PyObject *env, hcp_exchange *x, bool *failed)
{
    bool interrupt = false;
    PyObject *arguments[] = {NULL, env, (PyObject *)x};
    PyObject *response =
        PyObject_Vectorcall(lane->app, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    *failed = !response || send_response(x, response) < 0;
    if (*failed)
        interrupt = take_failure(lane, env);
    if (response)
        interrupt = close_response(lane, env, response) || interrupt;
    Py_XDECREF(response);
    if (*failed || lane->gone || lane->cancelled)
        return interrupt;
    if (x->excess)
        report_text(lane, env,
                    "the response was cut: it had more octets than its Content-Length says");
    *failed = is_short(x);
    if (*failed)
        report_text(lane, env, "the response has fewer octets than its Content-Length says");
    return interrupt;
}

/* The application may keep wsgi.input; the descriptor of a large body is not its to keep. */
static void close_input(hcp_lane *lane, PyObject *env, PyObject *input)
{
    PyObject *closed = PyObject_CallMethodNoArgs(input, lane->state->keys[HCP_close]);
    if (!closed)
        (void)take_failure(lane, env);
    Py_XDECREF(closed);
}

int hcp_respond(hcp_lane *lane, const hc_lane_request *request, int fd)
{
    bool failed = true;
    bool head = hc_slice_equal_text(request->method, "HEAD");
    hcp_exchange *x = hcp_exchange_new(lane, head);
    if (!x) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    PyObject *input = NULL;
    PyObject *env = hcp_environ_new(lane, request, fd, x);
    if (!env) {
        hcp_exchange_end(x);
        Py_DECREF(x);
        return -1;
    }
    if (fd >= 0)
        input = Py_XNewRef(PyDict_GetItem(env, lane->state->keys[HCP_WSGI_INPUT]));
    int interrupt = answer(lane, env, x, &failed);
    hcp_lane_finish(lane);
    hcp_exchange_end(x);
    if (input)
        close_input(lane, env, input);
    int rc = 0;
    if (!lane->gone) {
        rc = hc_lane_add_end(&lane->channel.out, failed) == 0 ? hcp_lane_flush(lane) : -1;
        if (rc < 0 && !PyErr_Occurred())
            PyErr_NoMemory();
    }
    Py_XDECREF(input);
    Py_DECREF(env);
    Py_DECREF(x);
    if (interrupt) {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
        return -1;
    }
    return rc;
}
