#include "lane/channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384
#define KEEP_BYTES 131072 /* an empty buffer larger than this is given back */
#define IN_MAX     (HC_LANE_HEADER_BYTES + HC_LIMIT_LANE_FRAME + READ_BYTES)
#define OUT_MAX    (4 * (size_t)HC_LIMIT_LANE_FRAME)

void hc_channel_init(hc_channel *c, int fd)
{
    *c = (hc_channel){
        .fd = fd, .in = hc_buf_init(IN_MAX), .out = hc_buf_init(OUT_MAX), .out_fd = -1};
}

static void close_received(hc_channel *c)
{
    while (c->fd_count)
        (void)close(c->fds[--c->fd_count]);
}

void hc_channel_done(hc_channel *c)
{
    close_received(c);
    hc_buf_done(&c->in);
    hc_buf_done(&c->out);
    c->consume_next = c->out_done = 0;
    c->out_fd = -1;
}

/* What was read and not handed out. */
static hc_slice unread(const hc_channel *c)
{
    return hc_slice_from(hc_buf_slice(&c->in), c->consume_next);
}

bool hc_channel_has_frame(const hc_channel *c)
{
    hc_slice in = unread(c);
    hc_lane_header h;
    if (in.size < HC_LANE_HEADER_BYTES)
        return false;
    return !hc_lane_header_decode(in.at, &h) || in.size - HC_LANE_HEADER_BYTES >= h.size;
}

bool hc_channel_has_part(const hc_channel *c)
{
    return unread(c).size > 0;
}

static int take_fd(hc_channel *c)
{
    int fd = c->fds[0];
    c->fd_count--;
    memmove(c->fds, c->fds + 1, c->fd_count * sizeof(c->fds[0]));
    return fd;
}

/* -HC_EAGAIN where no whole frame is there. */
static int take_frame(hc_channel *c, hc_lane_header *header, hc_slice *payload, int *fd,
                      hc_err *err)
{
    hc_slice in = unread(c);
    if (in.size < HC_LANE_HEADER_BYTES)
        return -HC_EAGAIN;
    hc_lane_header h;
    if (!hc_lane_header_decode(in.at, &h))
        return hc_err_set(err, HC_EFORMAT, "malformed frame header on a lane");
    bool has_fd = h.flags & HC_LANE_HAS_FD;
    /* A descriptor comes with the frame's first octet, so it is here when the header is. */
    if (has_fd && c->fd_count == 0)
        return hc_err_set(err, HC_EFORMAT, "a frame on a lane came without its descriptor");
    if (in.size - HC_LANE_HEADER_BYTES < h.size)
        return -HC_EAGAIN;
    *header = h;
    *payload = hc_slice_of(in.at + HC_LANE_HEADER_BYTES, h.size);
    *fd = has_fd ? take_fd(c) : -1;
    c->consume_next += HC_LANE_HEADER_BYTES + h.size;
    return 0;
}

/* Room for the rest of the frame that has begun, and never for less than READ_BYTES. */
static int make_room(hc_channel *c)
{
    hc_buf_consume(&c->in, c->consume_next);
    c->consume_next = 0;
    if (c->in.size == 0 && c->in.capacity > KEEP_BYTES)
        hc_buf_done(&c->in);
    hc_lane_header h;
    size_t more = READ_BYTES;
    if (c->in.size >= HC_LANE_HEADER_BYTES && hc_lane_header_decode(c->in.at, &h)) {
        size_t missing = HC_LANE_HEADER_BYTES + h.size - c->in.size;
        more = missing > more ? missing : more;
    }
    return hc_buf_reserve(&c->in, more);
}

/* Keeps the descriptors of one message, in their order. More than there is room for are closed
 * here: one that nobody asked for must not stay open. */
static int keep_fds(hc_channel *c, struct msghdr *msg, hc_err *err)
{
    bool surplus = msg->msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *m = CMSG_FIRSTHDR(msg); m; m = CMSG_NXTHDR(msg, m)) {
        if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(m) + i * sizeof(fd), sizeof(fd));
            if (c->fd_count < HC_LANE_FDS) {
                c->fds[c->fd_count++] = fd;
            } else {
                (void)close(fd);
                surplus = true;
            }
        }
    }
    if (surplus)
        return hc_err_set(err, HC_EFORMAT, "more descriptors on a lane than can be taken");
    return 0;
}

static int receive_failed(const hc_channel *c, int errno_value, hc_err *err)
{
    if (errno_value == EAGAIN || errno_value == EWOULDBLOCK || errno_value == EINTR)
        return -HC_EAGAIN;
    if (errno_value == ECONNRESET)
        return c->in.size ? hc_err_set(err, HC_EFORMAT, "a lane ended within a frame")
                          : hc_err_set(err, HC_ECLOSED, "the lane was closed");
    return hc_err_errno(err, errno_value, "cannot read from a lane");
}

static int receive(hc_channel *c, int flags, hc_err *err)
{
    int rc = make_room(c);
    if (rc != 0)
        return hc_err_set(err, -rc, "no memory for a frame on a lane");
    /* Linux ends a read behind the octets that descriptors came with, so nothing left in the buffer
     * means that no frame can ask for them any more. */
    if (c->in.size == 0 && c->fd_count)
        return hc_err_set(err, HC_EFORMAT, "a descriptor came on a lane without a frame");
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(HC_LANE_FDS * sizeof(int))];
    } control;
    struct iovec io = {c->in.at + c->in.size, c->in.capacity - c->in.size};
    struct msghdr msg = {.msg_iov = &io,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | flags);
    if (got < 0)
        return receive_failed(c, errno, err);
    rc = keep_fds(c, &msg, err);
    if (rc != 0)
        return rc;
    if (got == 0)
        return c->in.size ? hc_err_set(err, HC_EFORMAT, "a lane ended within a frame")
                          : hc_err_set(err, HC_ECLOSED, "the lane was closed");
    c->in.size += (size_t)got;
    return 0;
}

static int read_frame(hc_channel *c, int flags, hc_lane_header *header, hc_slice *payload, int *fd,
                      hc_err *err)
{
    int rc = take_frame(c, header, payload, fd, err);
    while (rc == -HC_EAGAIN) {
        rc = receive(c, flags, err);
        if (rc == 0)
            rc = take_frame(c, header, payload, fd, err);
        else
            break;
    }
    if (rc == -HC_EFORMAT)
        close_received(c);
    return rc;
}

int hc_channel_read(hc_channel *c, hc_lane_header *header, hc_slice *payload, int *fd, hc_err *err)
{
    return read_frame(c, 0, header, payload, fd, err);
}

int hc_channel_read_now(hc_channel *c, hc_lane_header *header, hc_slice *payload, int *fd,
                        hc_err *err)
{
    return read_frame(c, MSG_DONTWAIT, header, payload, fd, err);
}

int hc_channel_peek_now(hc_channel *c, uint8_t *type, hc_err *err)
{
    int rc = 0;
    if (unread(c).size < HC_LANE_HEADER_BYTES)
        rc = receive(c, MSG_DONTWAIT, err);
    if (rc != 0)
        return rc;
    hc_slice in = unread(c);
    hc_lane_header h;
    if (in.size < HC_LANE_HEADER_BYTES)
        return -HC_EAGAIN;
    if (!hc_lane_header_decode(in.at, &h))
        return hc_err_set(err, HC_EFORMAT, "malformed frame header on a lane");
    *type = h.type;
    return 0;
}

/* One system call. The descriptor must go with the octet at out_fd_at: what is before it goes first
 * and alone. */
static ssize_t send_some(hc_channel *c, int flags)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct iovec io = {c->out.at + c->out_done, c->out.size - c->out_done};
    struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1};
    if (c->out_fd < 0)
        return send(c->fd, io.iov_base, io.iov_len, flags);
    if (c->out_done < c->out_fd_at)
        return send(c->fd, io.iov_base, c->out_fd_at - c->out_done, flags);
    msg.msg_control = &control;
    msg.msg_controllen = sizeof(control);
    struct cmsghdr *m = CMSG_FIRSTHDR(&msg);
    m->cmsg_level = SOL_SOCKET;
    m->cmsg_type = SCM_RIGHTS;
    m->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(m), &c->out_fd, sizeof(int));
    ssize_t sent = sendmsg(c->fd, &msg, flags);
    if (sent > 0)
        c->out_fd = -1;
    return sent;
}

static int flush(hc_channel *c, int flags, hc_err *err)
{
    while (c->out_done < c->out.size) {
        ssize_t sent = send_some(c, flags);
        if (sent >= 0) {
            c->out_done += (size_t)sent;
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
            return -HC_EAGAIN;
        if (errno == EPIPE || errno == ECONNRESET)
            return hc_err_set(err, HC_ECLOSED, "the lane was closed");
        return hc_err_errno(err, errno, "cannot write to a lane");
    }
    c->out_done = 0;
    hc_buf_clear(&c->out);
    if (c->out.capacity > KEEP_BYTES)
        hc_buf_done(&c->out);
    return 0;
}

int hc_channel_flush(hc_channel *c, hc_err *err)
{
    return flush(c, MSG_NOSIGNAL, err);
}

int hc_channel_flush_now(hc_channel *c, hc_err *err)
{
    return flush(c, MSG_NOSIGNAL | MSG_DONTWAIT, err);
}
