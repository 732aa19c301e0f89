/* The control channel between supervisor and front: small frames over a stream socketpair, at most
 * one descriptor each.
 *
 * A frame is an 8-octet header (u32 payload size, u8 type, u8 1 where a descriptor comes with the
 * first octet, u16 zero), then the payload; integers are little-endian. Which members a type
 * carries stands in one table in control.c. Keys and certificates never stand in a frame: CONFIG
 * brings a sealed memory file (control_config.h). */
#ifndef HC_SERVER_CONTROL_H
#define HC_SERVER_CONTROL_H

#include "base/buf.h"
#include "base/err.h"

#define HC_CONTROL_HEADER_BYTES 8
#define HC_CONTROL_TEXT_MAX     4096 /* bytes of one text; what is longer is cut when it is encoded */
#define HC_CONTROL_FRAME_MAX    (HC_CONTROL_HEADER_BYTES + 16 + HC_CONTROL_TEXT_MAX)
#define HC_CONTROL_FDS          4 /* received and not yet handed out, at most */
#define HC_CONTROL_QUEUE_MAX    (4u << 20)

typedef enum hc_control_type {
    /* supervisor to front */
    HC_CONTROL_CONFIG = 1,     /* fd: put this in force; answered by CONFIG_OK or CONFIG_BAD */
    HC_CONTROL_LISTEN = 2,     /* fd: serve this listening socket */
    HC_CONTROL_LANE = 3,       /* worker, fd: a lane to a thread of this worker */
    HC_CONTROL_RETIRE = 4,     /* worker: no new request to it */
    HC_CONTROL_DRAIN = 5,      /* grace_ms: finish; answered by DRAINED */
    HC_CONTROL_STATUS = 6,     /* answered by STATUS_IS */
    HC_CONTROL_METRICS = 7,    /* fd: serve /metrics and /healthz on this listening socket */
    HC_CONTROL_ACCESS_LOG = 8, /* fd: write access log lines here from now on */
    HC_CONTROL_ERROR_LOG = 9,  /* fd: likewise all other lines */
    HC_CONTROL_AUTHORITY = 10, /* fd: talk to the authority here from now on */
    HC_CONTROL_CONFIG_AGAIN =
        11, /* fd: as CONFIG, to a front in the place of one that died: clients were served */
    /* front to supervisor */
    HC_CONTROL_CONFIG_OK = 16,
    HC_CONTROL_CONFIG_BAD = 17,    /* text: why; what was in force stays */
    HC_CONTROL_LANE_READY = 18,    /* worker: one of its threads said hello */
    HC_CONTROL_WORKER_BROKEN = 19, /* worker, text: hung, or broke the protocol */
    HC_CONTROL_WORKER_IDLE = 20,   /* worker: retired, and its last lane is closed */
    HC_CONTROL_DRAINED = 21,
    HC_CONTROL_STATUS_IS = 22,    /* text: one JSON object */
    HC_CONTROL_WORKER_SPENT = 23, /* worker: it has had its number of requests, and serves on */
} hc_control_type;

typedef struct hc_control_message {
    hc_control_type type;
    uint32_t worker;
    uint64_t grace_ms;
    hc_slice text; /* printable by nobody's word but the sender's: escape it */
    int fd;        /* -1: none */
} hc_control_message;

/* Appends one frame. Members that the type does not carry are ignored; `fd` counts as a flag only.
 */
int hc_control_encode(const hc_control_message *m, hc_buf *out) HC_MUST_CHECK;
/* One frame from the front of `in`: 0 with `used` octets of it; -HC_EAGAIN where it is not whole;
 * -HC_EFORMAT for anything else. `out->text` points into `in`; `out->fd` is 0 where a descriptor
 * belongs to the frame, else -1. */
int hc_control_decode(hc_slice in, size_t *used, hc_control_message *out,
                      hc_err *err) HC_MUST_CHECK;

typedef struct hc_control_fd {
    uint64_t at; /* octets of the stream before the frame it goes with */
    int fd;
} hc_control_fd;

/* One end. Works over a blocking descriptor (the front's reader waits in it) and a non-blocking
 * one. Not thread-safe. */
typedef struct hc_control {
    int fd;
    hc_buf in, out;
    size_t consume_next; /* the frame handed out last */
    int fds[HC_CONTROL_FDS];
    size_t fd_count;
    uint64_t sent; /* octets of the stream written so far: out.at[0] is this one */
    hc_control_fd *pending;
    size_t pending_count, pending_room;
} hc_control;

/* Takes `fd`. */
void hc_control_init(hc_control *c, int fd);
/* Closes the socket and every descriptor that was not handed out or sent. */
void hc_control_done(hc_control *c);

/* Queues a message; takes `m->fd` also where it fails. Write it with hc_control_flush. */
int hc_control_send(hc_control *c, const hc_control_message *m, hc_err *err) HC_MUST_CHECK;
/* 0 when all is written; -HC_EAGAIN, -HC_ECLOSED, -HC_EIO. */
int hc_control_flush(hc_control *c, hc_err *err) HC_MUST_CHECK;
/* The next message; `text` lives until the next call, `fd` is the caller's. 0, -HC_EAGAIN,
 * -HC_ECLOSED (end between frames), -HC_EFORMAT (broken or cut), -HC_EIO. */
int hc_control_read(hc_control *c, hc_control_message *out, hc_err *err) HC_MUST_CHECK;

/* Writes a message without a descriptor over a blocking socket, without allocating, for the front's
 * threads; the caller holds the lock that keeps frames whole. */
int hc_control_post(int fd, const hc_control_message *m) HC_MUST_CHECK;

#endif
