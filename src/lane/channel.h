/* One end of a lane: frames in and out over a stream socket, with descriptors (SCM_RIGHTS).
 *
 * Works for a blocking descriptor (the worker: calls wait) and a non-blocking one (the front:
 * -HC_EAGAIN, call again when readable or writable). Takes no lock and no GIL. The channel owns
 * descriptors that were received and not taken. */
#ifndef HC_LANE_CHANNEL_H
#define HC_LANE_CHANNEL_H

#include "lane/frame.h"

#define HC_LANE_FDS 4 /* received and not yet taken, at most */

typedef struct hc_channel {
    int fd;
    hc_buf in;  /* what was read and not yet consumed */
    hc_buf out; /* what is to be written */
    size_t out_done;
    int fds[HC_LANE_FDS];
    size_t fd_count;
    int out_fd; /* goes with the octet at out_fd_at; -1: none. Stays the caller's: closed by it
                   after the flush */
    size_t out_fd_at;
    size_t consume_next; /* octets of `in` that were handed out: dropped before more is received */
} hc_channel;

void hc_channel_init(hc_channel *c, int fd);
/* Frees buffers and closes received descriptors; not `fd`. */
void hc_channel_done(hc_channel *c);

/* The next whole frame; `payload` lives until the next call. 0, -HC_EAGAIN (would block; or a
 * signal came), -HC_ECLOSED (end between frames), -HC_EFORMAT (broken or cut frame, a descriptor
 * missing or too many), -HC_EIO, -HC_ENOMEM. A frame with HC_LANE_HAS_FD has its descriptor in `fd`
 * (taken by the caller, close-on-exec), else -1. After -HC_EFORMAT the lane is of no more use. */
int hc_channel_read(hc_channel *c, hc_lane_header *header, hc_slice *payload, int *fd,
                    hc_err *err) HC_MUST_CHECK;
/* The same, and never waits, also where the descriptor is a blocking one. */
int hc_channel_read_now(hc_channel *c, hc_lane_header *header, hc_slice *payload, int *fd,
                        hc_err *err) HC_MUST_CHECK;
/* The type of the next frame once its header is here, without taking it: 0, or as hc_channel_read.
 * Never waits, also where the descriptor is a blocking one. Ends the life of the last payload. */
int hc_channel_peek_now(hc_channel *c, uint8_t *type, hc_err *err) HC_MUST_CHECK;
/* The next frame (or the finding that it is broken) is there: hc_channel_read will make no system
 * call. */
bool hc_channel_has_frame(const hc_channel *c);
/* Octets were read and not handed out: the next frame, or the beginning of it. */
bool hc_channel_has_part(const hc_channel *c);
/* Writes c->out; 0 when all is written (and the buffer empty again), -HC_EAGAIN (would block; or a
 * signal came), -HC_ECLOSED (EPIPE), -HC_EIO. */
int hc_channel_flush(hc_channel *c, hc_err *err) HC_MUST_CHECK;
/* The same, and never waits, also where the descriptor is a blocking one. */
int hc_channel_flush_now(hc_channel *c, hc_err *err) HC_MUST_CHECK;

#endif
