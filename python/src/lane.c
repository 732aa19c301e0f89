#include "core.h"

#include <errno.h>
#include <structmember.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_AT_ONCE 16384 /* more than this is copied to the kernel without the GIL */

static PyObject *raise_err(int rc, const hc_err *err)
{
    PyObject *type = rc == -HC_EIO       ? PyExc_OSError
                     : rc == -HC_ENOMEM  ? PyExc_MemoryError
                     : rc == -HC_ECLOSED ? PyExc_BrokenPipeError
                                         : PyExc_RuntimeError;
    PyErr_SetString(type, err->text);
    return NULL;
}

int hcp_lane_flush(hcp_lane *lane)
{
    hc_channel *channel = &lane->channel;
    if (channel->out.size == 0)
        return 0;
    if (lane->gone || lane->sending) {
        PyErr_SetString(lane->gone ? PyExc_BrokenPipeError : PyExc_RuntimeError,
                        lane->gone ? "the lane was closed" : "another thread sends on this lane");
        return -1;
    }
    hc_err err = {0};
    int rc = -HC_EAGAIN;
    bool stop = false;
    /* A socket pair has room for most responses: one system call that cannot wait. Giving up the
     * GIL for it would hand it to another thread, for 5 ms where that one computes. */
    if (channel->out.size <= SEND_AT_ONCE)
        rc = hc_channel_flush_now(channel, &err);
    while (rc == -HC_EAGAIN) {
        lane->sending = true;
        (void)PyThread_acquire_lock(lane->sender, WAIT_LOCK); /* free but for a moment */
        /* GIL: given up while the front makes room. The channel is ours: `sending` keeps others off
         * it. */
        Py_BEGIN_ALLOW_THREADS rc = hc_channel_flush(channel, &err);
        Py_END_ALLOW_THREADS if (rc == -HC_EAGAIN)
        {
            /* Still `sending`: this may run signal handlers, and with them other threads. */
            stop = PyErr_CheckSignals() < 0;
        }
        lane->sending = false;
        PyThread_release_lock(lane->sender);
        if (stop) {
            lane->gone = true; /* half a frame is out: the lane is of no more use */
            return -1;
        }
    }
    if (rc != 0) {
        lane->gone = true;
        raise_err(rc, &err);
    }
    return rc == 0 ? 0 : -1;
}

static void wait_for_others(hcp_lane *lane)
{
    while (lane->asking || lane->sending) {
        PyThread_type_lock lock = lane->asking ? lane->asker : lane->sender;
        /* GIL: given up until the other thread is done. */
        Py_BEGIN_ALLOW_THREADS if (PyThread_acquire_lock(lock, WAIT_LOCK))
            PyThread_release_lock(lock);
        Py_END_ALLOW_THREADS
    }
}

void hcp_lane_finish(hcp_lane *lane)
{
    lane->current = NULL;
    wait_for_others(lane);
    if (lane->stopping && lane->channel.fd >= 0)
        (void)shutdown(lane->channel.fd, SHUT_RD);
}

bool hcp_lane_is_cancelled(hcp_lane *lane)
{
    uint8_t type = 0;
    if (lane->cancelled || lane->gone || lane->sending || lane->asking)
        return lane->cancelled || lane->gone;
    /* The frame stays where it is: once this request is over it is a late one. An end of what the
     * front sends says nothing about the response: after stop() that is how it looks. */
    lane->cancelled =
        hc_channel_peek_now(&lane->channel, &type, NULL) == 0 && type == HC_LANE_CANCEL;
    return lane->cancelled;
}

static int on_cert(hcp_lane *lane, hc_slice payload)
{
    hc_lane_cert cert;
    hc_slice chain[HC_LIMIT_CERT_CHAIN];
    hc_err err = {0};
    int rc = hc_lane_decode_cert(payload, &cert, lane->pairs, HC_LANE_VARIABLES, chain,
                                 HC_COUNT(chain), &err);
    if (rc != 0)
        raise_err(rc, &err);
    return rc == 0 ? hcp_environ_certificate(lane, &cert) : -1;
}

static int on_client(hcp_lane *lane, hc_slice payload)
{
    hc_lane_client client;
    hc_err err = {0};
    int rc = hc_lane_decode_client(payload, &client, &err);
    if (rc != 0)
        raise_err(rc, &err);
    return rc == 0 ? hcp_environ_client(lane, &client) : -1;
}

static int on_server(hcp_lane *lane, hc_slice payload)
{
    hc_lane_server server;
    hc_err err = {0};
    int rc = hc_lane_decode_server(payload, &server, lane->pairs, HC_LANE_VARIABLES, &err);
    if (rc != 0)
        raise_err(rc, &err);
    return rc == 0 ? hcp_environ_server(lane, &server) : -1;
}

static int on_request(hcp_lane *lane, hc_slice payload, int fd)
{
    hc_lane_request request;
    hc_err err = {0};
    int rc = hc_lane_decode_request(payload, &request, lane->pairs, HC_LANE_HEADERS, &err);
    if (rc == 0 && (fd >= 0) != (request.body_kind == HC_LANE_BODY_FILE))
        rc = hc_err_set(&err, HC_EFORMAT, "a REQUEST frame's body is not where it says");
    if (rc != 0) {
        raise_err(rc, &err);
        return -1;
    }
    lane->cancelled = false;
    lane->current = hcp_environ_current(lane, request.slot);
    rc = hcp_respond(lane, &request, fd);
    lane->current = NULL;
    if (rc < 0)
        return -1;
    PyObject *done = lane->after ? PyObject_CallNoArgs(lane->after) : Py_NewRef(Py_None);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int on_frame(hcp_lane *lane, const hc_lane_header *header, hc_slice payload, int fd)
{
    if (header->type == HC_LANE_REQUEST)
        return on_request(lane, payload, fd);
    if (fd < 0 && header->type == HC_LANE_CERT)
        return on_cert(lane, payload);
    if (fd < 0 && header->type == HC_LANE_CLIENT)
        return on_client(lane, payload);
    if (fd < 0 && header->type == HC_LANE_SERVER)
        return on_server(lane, payload);
    if (fd < 0 && header->type == HC_LANE_CANCEL && payload.size == 0)
        return 0; /* of a request that has had its END */
    if (fd >= 0)
        (void)close(fd);
    PyErr_Format(PyExc_RuntimeError, "the front sent a frame of type %d", header->type);
    return -1;
}

/* A front that closes the lane has no more use for what it asked: that is an end, not a failure.
 * Any other failure but an interrupt leaves a lane that is of no more use. */
static int is_served(hcp_lane *lane, int rc)
{
    if (rc == 0 || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
        return rc;
    if (lane->gone && PyErr_ExceptionMatches(PyExc_BrokenPipeError)) {
        PyErr_Clear();
        return 0;
    }
    lane->gone = true;
    return -1;
}

int hcp_lane_greet(hcp_lane *lane)
{
    lane->greeted = true;
    if (hc_lane_add_hello(&lane->channel.out) != 0) {
        lane->gone = true;
        PyErr_NoMemory();
        return -1;
    }
    return is_served(lane, hcp_lane_flush(lane));
}

/* What has come of the next frame; waits for the rest of one that has begun. As hc_channel_read. */
static int next_frame(hcp_lane *lane, hc_lane_header *header, hc_slice *payload, int *fd,
                      hc_err *err)
{
    int got = hc_channel_read_now(&lane->channel, header, payload, fd, err);
    while (got == -HC_EAGAIN && hc_channel_has_part(&lane->channel) && PyErr_CheckSignals() == 0) {
        /* GIL: given up while waiting for the front. */
        Py_BEGIN_ALLOW_THREADS got = hc_channel_read(&lane->channel, header, payload, fd, err);
        Py_END_ALLOW_THREADS
    }
    return got;
}

int hcp_lane_answer(hcp_lane *lane, bool to_the_end)
{
    int rc = 0;
    bool answered = false;
    /* What comes behind a request comes after its END, and is told anew. */
    while (rc == 0 && !lane->gone && (!answered || to_the_end || lane->stopping)) {
        hc_lane_header header;
        hc_slice payload;
        hc_err err = {0};
        int fd = -1;
        int got = next_frame(lane, &header, &payload, &fd, &err);
        if (got == -HC_EAGAIN)
            return PyErr_Occurred() ? -1 : 0;
        if (got != 0) {
            lane->gone = true;
            if (got != -HC_ECLOSED)
                raise_err(got, &err);
            return got == -HC_ECLOSED ? 0 : -1;
        }
        rc = on_frame(lane, &header, payload, fd);
        answered = header.type == HC_LANE_REQUEST && !hc_channel_has_part(&lane->channel);
    }
    return is_served(lane, rc);
}

/* Waits for the front's answer; the caller has the channel's reading end to itself. */
static PyObject *read_answer(hcp_lane *lane)
{
    while (!lane->gone) {
        hc_lane_header header;
        hc_slice payload;
        hc_err err = {0};
        int fd = -1, got;
        /* GIL: given up while the authority works. */
        Py_BEGIN_ALLOW_THREADS got = hc_channel_read(&lane->channel, &header, &payload, &fd, &err);
        Py_END_ALLOW_THREADS if (fd >= 0)(void) close(fd);
        if (got == 0 && fd < 0 && header.type == HC_LANE_ANSWER)
            return PyBytes_FromStringAndSize((const char *)payload.at, (Py_ssize_t)payload.size);
        if (got == 0 && fd < 0 && header.type == HC_LANE_CANCEL && payload.size == 0) {
            lane->cancelled = true; /* the view will see it; what it asked is done all the same */
            continue;
        }
        if (got == -HC_EAGAIN && PyErr_CheckSignals() == 0)
            continue;
        lane->gone = true; /* an answer may still come, and it is nobody's */
        if (got == 0)
            PyErr_Format(PyExc_RuntimeError, "the front sent a frame of type %d", header.type);
        else if (got != -HC_EAGAIN)
            raise_err(got, &err);
        return NULL;
    }
    PyErr_SetString(PyExc_BrokenPipeError, "the lane was closed");
    return NULL;
}

static PyObject *ask(hcp_lane *lane, hc_slice question)
{
    PyObject *answer = NULL;
    lane->asking = true;
    (void)PyThread_acquire_lock(lane->asker, WAIT_LOCK); /* free but for a moment */
    if (hc_lane_add_ask(&lane->channel.out, question) != 0)
        PyErr_NoMemory();
    else if (hcp_lane_flush(lane) == 0)
        answer = read_answer(lane);
    lane->asking = false;
    PyThread_release_lock(lane->asker);
    return answer;
}

static PyObject *lane_ask(PyObject *self, PyObject *args)
{
    hcp_lane *lane = (hcp_lane *)self;
    PyObject *client, *question;
    if (!PyArg_ParseTuple(args, "OS:ask", &client, &question))
        return NULL;
    if (PyBytes_GET_SIZE(question) > HC_LIMIT_ASK_BYTES) {
        PyErr_Format(PyExc_ValueError, "a question has %d octets at most", HC_LIMIT_ASK_BYTES);
        return NULL;
    }
    wait_for_others(lane);
    if (lane->current != client) {
        PyErr_SetString(PyExc_RuntimeError, "the request of this client is over: ask while it is "
                                            "being answered");
        return NULL;
    }
    return ask(lane, hc_slice_of(PyBytes_AS_STRING(question), (size_t)PyBytes_GET_SIZE(question)));
}

static PyObject *lane_stop(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    hcp_lane *lane = (hcp_lane *)self;
    /* What the front has sent is still answered; what it sends from now on it is told at once was
     * not taken. Within a request that is its END: the view, or a thread it left, may still wait
     * for an answer. */
    lane->stopping = true;
    if (!lane->current && !lane->asking && lane->channel.fd >= 0)
        (void)shutdown(lane->channel.fd, SHUT_RD);
    Py_RETURN_NONE;
}

static PyObject *lane_close(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    hcp_lane *lane = (hcp_lane *)self;
    if (lane->channel.fd >= 0 && hcp_crew_is_at_work(lane)) {
        PyErr_SetString(PyExc_RuntimeError, "the lane is being served");
        return NULL;
    }
    if (lane->channel.fd >= 0)
        hcp_crew_close(lane);
    Py_RETURN_NONE;
}

static PyObject *lane_fileno(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return PyLong_FromLong(((hcp_lane *)self)->channel.fd);
}

static int init_lane(hcp_lane *lane, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd",     "app",   "certificate", "client",       "report",
                            "errors", "after", "multithread", "multiprocess", NULL};
    PyObject *app, *certificate_type = NULL, *client_type = NULL, *report = NULL, *errors = NULL,
                   *after = NULL;
    int fd, multithread = 0, multiprocess = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iO|$OOOOOpp:Lane", names, &fd, &app,
                                     &certificate_type, &client_type, &report, &errors, &after,
                                     &multithread, &multiprocess))
        return -1;
    if (!certificate_type || !client_type || !report || !errors) {
        PyErr_SetString(PyExc_TypeError, "Lane needs certificate, client, report and errors");
        return -1;
    }
    lane->app = Py_NewRef(app);
    lane->certificate_type = Py_NewRef(certificate_type);
    lane->client_type = Py_NewRef(client_type);
    lane->report = Py_NewRef(report);
    lane->errors = Py_NewRef(errors);
    lane->after = after && after != Py_None ? Py_NewRef(after) : NULL;
    lane->multithread = multithread;
    lane->multiprocess = multiprocess;
    lane->sender = PyThread_allocate_lock();
    lane->asker = PyThread_allocate_lock();
    lane->pairs = PyMem_Calloc(HC_LANE_VARIABLES, sizeof(*lane->pairs));
    if (!lane->sender || !lane->asker || !lane->pairs) {
        PyErr_NoMemory();
        return -1;
    }
    if (hcp_environ_reset(lane) < 0)
        return -1;
    hc_channel_init(&lane->channel, fd);
    return 0;
}

static PyObject *lane_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    hcp_lane *lane = (hcp_lane *)type->tp_alloc(type, 0);
    if (!lane)
        return NULL;
    hc_channel_init(&lane->channel, -1); /* before anything can fail: 0 is a descriptor too */
    lane->state = PyType_GetModuleState(type);
    if (!lane->state || init_lane(lane, args, kwargs) < 0) {
        Py_DECREF(lane);
        return NULL;
    }
    return (PyObject *)lane;
}

static int lane_traverse(PyObject *self, visitproc visit, void *arg)
{
    hcp_lane *lane = (hcp_lane *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(lane->app);
    Py_VISIT(lane->certificate_type);
    Py_VISIT(lane->client_type);
    Py_VISIT(lane->errors);
    Py_VISIT(lane->report);
    Py_VISIT(lane->after);
    Py_VISIT(lane->base);
    Py_VISIT(lane->server);
    Py_VISIT(lane->no_certificate);
    for (size_t i = 0; i < HC_COUNT(lane->slots); i++) {
        Py_VISIT(lane->slots[i].variables);
        Py_VISIT(lane->slots[i].certificate);
        Py_VISIT(lane->slots[i].client);
        Py_VISIT(lane->slots[i].prototype);
    }
    return 0;
}

static int lane_clear(PyObject *self)
{
    hcp_lane *lane = (hcp_lane *)self;
    Py_CLEAR(lane->app);
    Py_CLEAR(lane->certificate_type);
    Py_CLEAR(lane->client_type);
    Py_CLEAR(lane->errors);
    Py_CLEAR(lane->report);
    Py_CLEAR(lane->after);
    Py_CLEAR(lane->base);
    Py_CLEAR(lane->server);
    Py_CLEAR(lane->no_certificate);
    for (size_t i = 0; i < HC_COUNT(lane->slots); i++) {
        Py_CLEAR(lane->slots[i].variables);
        Py_CLEAR(lane->slots[i].certificate);
        Py_CLEAR(lane->slots[i].client);
        Py_CLEAR(lane->slots[i].prototype);
    }
    return 0;
}

static void lane_dealloc(PyObject *self)
{
    hcp_lane *lane = (hcp_lane *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)lane_clear(self);
    for (int i = 0; i < HCP_KEYS; i++)
        Py_CLEAR(lane->last[i]);
    for (size_t i = 0; i < HC_COUNT(lane->headers); i++)
        Py_CLEAR(lane->headers[i].key);
    if (lane->channel.fd >= 0)
        (void)close(lane->channel.fd);
    hc_channel_done(&lane->channel);
    PyMem_Free(lane->pairs);
    if (lane->sender)
        PyThread_free_lock(lane->sender);
    if (lane->asker)
        PyThread_free_lock(lane->asker);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef lane_methods[] = {
    {"ask", lane_ask, METH_VARARGS,
     "ask(client, question: bytes) -> bytes\n\n"
     "Asks the authority about the client of the request that is being answered."},
    {"stop", lane_stop, METH_NOARGS,
     "Ends the lane when what the front has sent is answered. From any thread."},
    {"close", lane_close, METH_NOARGS, "Closes the descriptor."},
    {"fileno", lane_fileno, METH_NOARGS, "The descriptor, -1 when closed."},
    {0},
};

static PyType_Slot lane_slots[] = {
    {Py_tp_doc,
     "Lane(fd, app, *, certificate, client, report, errors, after=None, multithread=False, "
     "multiprocess=False)\n--\n\n"
     "One end of a lane to the front, and the WSGI application that answers on it.\n\n"
     "fd: a stream socket in blocking mode; the lane owns it from now on.\n"
     "certificate: called with (der, chain, variables) once a client certificate.\n"
     "client: called with (lane, name, roles, attributes) once a record; texts.\n"
     "report: called with (environ, problem) for the log; problem is an exception or a sentence.\n"
     "errors: wsgi.errors.\n"
     "after: called without arguments after each request."},
    {Py_tp_new, lane_new},
    {Py_tp_dealloc, lane_dealloc},
    {Py_tp_traverse, lane_traverse},
    {Py_tp_clear, lane_clear},
    {Py_tp_methods, lane_methods},
    {0, NULL},
};

PyType_Spec hcp_lane_spec = {
    .name = "handclasp._core.Lane",
    .basicsize = sizeof(hcp_lane),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = lane_slots,
};
