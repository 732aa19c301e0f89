#include "core.h"

#include <errno.h>
#include <pthread.h>
#include <structmember.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* The lanes of a process and the threads that serve them: a thread that has the GIL takes the next
 * request, on whichever lane it came (docs/decisions/0018).
 *
 * No request is left behind: a thread puts a lane into the queue only while it is on its way to the
 * GIL and, once there, to the queue. So there are never more lanes in the queue than threads that
 * will look there. */
typedef struct hcp_crew {
    PyObject_HEAD PyObject *lanes; /* tuple */
    Py_ssize_t joined;             /* how many of them, from the first on, are this crew's */
    int epoll, end;                /* `end` is readable when no lane is open any more */
    pthread_mutex_t lock;
    bool has_lock;
    hcp_lane *queue, **queue_end; /* under the lock, as every lane's `turn` and `next` */
    Py_ssize_t open;              /* lanes that have not ended */
    unsigned threads;             /* within serve() */
    unsigned busy;                /* of these within a request */
    PyObject *weak;
} hcp_crew;

static hcp_crew *of_lane(const hcp_lane *lane)
{
    return (hcp_crew *)lane->crew;
}

bool hcp_crew_is_at_work(const hcp_lane *lane)
{
    return lane->crew && of_lane(lane)->threads > 0;
}

/* ---- turns ---- */

static void put_in_queue(hcp_crew *crew, hcp_lane *lane)
{
    lane->turn = HCP_TURN_QUEUED;
    lane->next = NULL;
    *crew->queue_end = lane;
    crew->queue_end = &lane->next;
}

/* Waits for one lane with something to read, and puts it into the queue. 0, or errno. Without the
 * GIL, except where it cannot wait. */
static int harvest(hcp_crew *crew, int timeout_ms)
{
    struct epoll_event event;
    int got = epoll_wait(crew->epoll, &event, 1, timeout_ms);
    if (got < 0)
        return errno;
    hcp_lane *lane = got ? event.data.ptr : NULL;
    if (!lane) /* the end of all, or nothing in time */
        return 0;
    (void)pthread_mutex_lock(&crew->lock);
    if (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        lane->ends = true;
    if (lane->turn == HCP_TURN_NONE)
        put_in_queue(crew, lane);
    else if (lane->turn == HCP_TURN_TAKEN)
        lane->turn = HCP_TURN_AGAIN;
    (void)pthread_mutex_unlock(&crew->lock);
    return 0;
}

/* NULL: none. Its turn has begun. One that was closed in the queue has none. */
static hcp_lane *take_queued(hcp_crew *crew)
{
    hcp_lane *lane;
    (void)pthread_mutex_lock(&crew->lock);
    do {
        lane = crew->queue;
        if (!lane)
            break;
        crew->queue = lane->next;
        if (!crew->queue)
            crew->queue_end = &crew->queue;
        lane->turn = HCP_TURN_TAKEN;
    } while (lane->channel.fd < 0);
    (void)pthread_mutex_unlock(&crew->lock);
    return lane;
}

/* Nothing more will come than what is there: that is said once, so it is read to its end. */
static bool lane_ends(hcp_crew *crew, const hcp_lane *lane)
{
    (void)pthread_mutex_lock(&crew->lock);
    bool ends = lane->ends;
    (void)pthread_mutex_unlock(&crew->lock);
    return ends;
}

/* The lane is put into the queue again where more has come meanwhile, or an interrupt left what was
 * told already: true. */
static bool end_turn(hcp_crew *crew, hcp_lane *lane)
{
    (void)pthread_mutex_lock(&crew->lock);
    bool again = lane->turn == HCP_TURN_AGAIN || lane->ends || hc_channel_has_part(&lane->channel);
    lane->turn = HCP_TURN_NONE;
    if (again)
        put_in_queue(crew, lane);
    (void)pthread_mutex_unlock(&crew->lock);
    return again;
}

/* A child that was forked in C has the same epoll set and the same sockets: so a lane is not taken
 * out of the set, and the front is told of its end by more than this close. */
static void end_lane(hcp_crew *crew, hcp_lane *lane)
{
    if (lane->channel.fd < 0) /* forgotten */
        return;
    (void)shutdown(lane->channel.fd, SHUT_RDWR);
    (void)close(lane->channel.fd);
    lane->channel.fd = -1;
    if (--crew->open == 0)
        (void)eventfd_write(crew->end, 1);
}

void hcp_crew_close(hcp_lane *lane)
{
    if (lane->crew)
        end_lane(of_lane(lane), lane);
    else
        (void)close(lane->channel.fd);
    lane->channel.fd = -1;
}

/* ---- serving ---- */

/* One request of a lane, or what came without one. -1 with an exception; the lane is gone except
 * for an interrupt. True in `due` where the caller is to look at the queue. */
static int take_turn(hcp_crew *crew, hcp_lane *lane, bool *due)
{
    crew->busy++;
    int rc = hcp_lane_answer(lane, lane_ends(crew, lane));
    crew->busy--;
    *due = !lane->gone && end_turn(crew, lane);
    if (lane->gone)
        end_lane(crew, lane);
    return rc;
}

/* Until one is in the queue, or a signal came. -1 with an exception. */
static int wait_for_lane(hcp_crew *crew)
{
    PyThreadState *state = PyEval_SaveThread(); /* GIL: given up while waiting for a request */
    int problem = harvest(crew, -1);
    PyEval_RestoreThread(state);
    if (problem == EINTR)
        return PyErr_CheckSignals();
    if (problem == 0)
        return 0;
    errno = problem;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* The lane whose turn it is; NULL where none is open any more, or with an exception. A thread that
 * is `due` has put one into the queue. Nobody goes on at once while another is within a request: it
 * may be waiting for nothing but the GIL. */
static hcp_lane *next_lane(hcp_crew *crew, bool due)
{
    while (crew->open) {
        hcp_lane *lane = due || crew->busy == 0 ? take_queued(crew) : NULL;
        if (!lane && crew->busy == 0 && harvest(crew, 0) == 0)
            lane = take_queued(crew);
        if (lane)
            return lane;
        if (wait_for_lane(crew) < 0)
            return NULL;
        due = true;
    }
    return NULL;
}

static int greet(hcp_crew *crew)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(crew->lanes); i++) {
        hcp_lane *lane = (hcp_lane *)PyTuple_GET_ITEM(crew->lanes, i);
        if (lane->greeted || lane->channel.fd < 0)
            continue;
        int rc = hcp_lane_greet(lane);
        if (lane->gone)
            end_lane(crew, lane);
        return rc;
    }
    return 0;
}

static PyObject *crew_serve(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    hcp_crew *crew = (hcp_crew *)self;
    hcp_lane *lane;
    crew->threads++;
    int rc = greet(crew);
    bool due = true; /* the thread before this one may have been interrupted */
    while (rc == 0 && (lane = next_lane(crew, due)))
        rc = take_turn(crew, lane, &due);
    crew->threads--;
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* The lanes are the parent's, and so are the threads that hold locks. */
static PyObject *crew_forget(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    hcp_crew *crew = (hcp_crew *)self;
    for (Py_ssize_t i = 0; i < crew->joined; i++) {
        hcp_lane *lane = (hcp_lane *)PyTuple_GET_ITEM(crew->lanes, i);
        if (lane->channel.fd >= 0)
            (void)close(lane->channel.fd);
        lane->channel.fd = -1;
        lane->gone = true;
        lane->sending = lane->asking = false;
    }
    crew->open = 0;
    Py_RETURN_NONE;
}

/* ---- the object ---- */

static int watch(hcp_crew *crew, int fd, hcp_lane *lane)
{
    /* A lane is reported once for what has come, not until it is read. */
    struct epoll_event event = {.events = EPOLLIN | (lane ? EPOLLRDHUP | EPOLLET : 0),
                                .data.ptr = lane};
    if (epoll_ctl(crew->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static int add_lane(hcp_crew *crew, PyObject *object, PyTypeObject *lane_type)
{
    if (!Py_IS_TYPE(object, lane_type)) {
        PyErr_SetString(PyExc_TypeError, "a crew serves lanes");
        return -1;
    }
    hcp_lane *lane = (hcp_lane *)object;
    if (lane->crew || lane->channel.fd < 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        lane->crew ? "the lane is being served" : "the lane is closed");
        return -1;
    }
    if (watch(crew, lane->channel.fd, lane) < 0)
        return -1;
    lane->crew = (PyObject *)crew;
    crew->joined++;
    crew->open++;
    return 0;
}

static int init_crew(hcp_crew *crew, PyObject *lanes, PyTypeObject *lane_type)
{
    if (pthread_mutex_init(&crew->lock, NULL) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    crew->has_lock = true;
    crew->epoll = epoll_create1(EPOLL_CLOEXEC);
    crew->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (crew->epoll < 0 || crew->end < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    crew->lanes = PySequence_Tuple(lanes);
    if (!crew->lanes || watch(crew, crew->end, NULL) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(crew->lanes); i++)
        if (add_lane(crew, PyTuple_GET_ITEM(crew->lanes, i), lane_type) < 0)
            return -1;
    return 0;
}

static PyObject *crew_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", NULL};
    PyObject *lanes;
    hcp_state *state = PyType_GetModuleState(type);
    if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, "O:Crew", names, &lanes))
        return NULL;
    hcp_crew *crew = (hcp_crew *)type->tp_alloc(type, 0);
    if (!crew)
        return NULL;
    crew->epoll = crew->end = -1;
    crew->queue_end = &crew->queue;
    if (init_crew(crew, lanes, state->lane_type) < 0) {
        Py_DECREF(crew);
        return NULL;
    }
    return (PyObject *)crew;
}

static int crew_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((hcp_crew *)self)->lanes);
    return 0;
}

static void crew_dealloc(PyObject *self)
{
    hcp_crew *crew = (hcp_crew *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (crew->weak)
        PyObject_ClearWeakRefs(self);
    for (Py_ssize_t i = 0; i < crew->joined; i++) {
        hcp_lane *lane = (hcp_lane *)PyTuple_GET_ITEM(crew->lanes, i);
        lane->crew = NULL;
        lane->turn = HCP_TURN_NONE;
    }
    if (crew->epoll >= 0)
        (void)close(crew->epoll);
    if (crew->end >= 0)
        (void)close(crew->end);
    if (crew->has_lock)
        (void)pthread_mutex_destroy(&crew->lock);
    Py_CLEAR(crew->lanes);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef crew_methods[] = {
    {"serve", crew_serve, METH_NOARGS,
     "Says hello to the front on one lane, then answers requests on all of them until the front "
     "has closed each or stop() was called on it. For as many threads as there are lanes."},
    {"forget", crew_forget, METH_NOARGS,
     "For a forked child: closes the lanes here alone. What still runs on them has lost its "
     "front."},
    {0},
};

static PyMemberDef crew_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(hcp_crew, weak), READONLY, NULL},
    {0},
};

static PyType_Slot crew_slots[] = {
    {Py_tp_doc, "Crew(lanes)\n--\n\nThe lanes of a process, for the threads that serve them."},
    {Py_tp_new, crew_new},
    {Py_tp_dealloc, crew_dealloc},
    {Py_tp_traverse, crew_traverse},
    {Py_tp_methods, crew_methods},
    {Py_tp_members, crew_members},
    {0, NULL},
};

PyType_Spec hcp_crew_spec = {
    .name = "handclasp._core.Crew",
    .basicsize = sizeof(hcp_crew),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = crew_slots,
};
