#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

#define READ_BYTES 16384

enum { HAS_WORKER = 1, HAS_GRACE = 2, HAS_TEXT = 4, HAS_FD = 8, KNOWN = 16 };

static const uint8_t shapes[] = {
    [HC_CONTROL_CONFIG] = KNOWN | HAS_FD,
    [HC_CONTROL_LISTEN] = KNOWN | HAS_FD,
    [HC_CONTROL_LANE] = KNOWN | HAS_WORKER | HAS_FD,
    [HC_CONTROL_RETIRE] = KNOWN | HAS_WORKER,
    [HC_CONTROL_DRAIN] = KNOWN | HAS_GRACE,
    [HC_CONTROL_STATUS] = KNOWN,
    [HC_CONTROL_ACCESS_LOG] = KNOWN | HAS_FD,
    [HC_CONTROL_ERROR_LOG] = KNOWN | HAS_FD,
    [HC_CONTROL_AUTHORITY] = KNOWN | HAS_FD,
    [HC_CONTROL_CONFIG_AGAIN] = KNOWN | HAS_FD,
    [HC_CONTROL_METRICS] = KNOWN | HAS_FD,
    [HC_CONTROL_CONFIG_OK] = KNOWN,
    [HC_CONTROL_CONFIG_BAD] = KNOWN | HAS_TEXT,
    [HC_CONTROL_LANE_READY] = KNOWN | HAS_WORKER,
    [HC_CONTROL_WORKER_BROKEN] = KNOWN | HAS_WORKER | HAS_TEXT,
    [HC_CONTROL_WORKER_IDLE] = KNOWN | HAS_WORKER,
    [HC_CONTROL_DRAINED] = KNOWN,
    [HC_CONTROL_WORKER_SPENT] = KNOWN | HAS_WORKER,
    [HC_CONTROL_STATUS_IS] = KNOWN | HAS_TEXT,
};

static unsigned shape_of(unsigned type)
{
    return type < HC_COUNT(shapes) ? shapes[type] : 0;
}

static size_t payload_bytes(unsigned shape, size_t text_bytes)
{
    return (shape & HAS_WORKER ? sizeof(uint32_t) : 0) +
           (shape & HAS_GRACE ? sizeof(uint64_t) : 0) +
           (shape & HAS_TEXT ? sizeof(uint16_t) + text_bytes : 0);
}

int hc_control_encode(const hc_control_message *m, hc_buf *out)
{
    unsigned shape = shape_of((unsigned)m->type);
    hc_slice text = m->text;
    if (!shape)
        return -HC_EINVAL;
    if (text.size > HC_CONTROL_TEXT_MAX)
        text.size = HC_CONTROL_TEXT_MAX;
    size_t size = payload_bytes(shape, text.size);
    /* All or nothing: half a frame in the buffer would break the stream. */
    int rc = hc_buf_reserve(out, HC_CONTROL_HEADER_BYTES + size);
    if (rc == 0)
        rc = hc_buf_add_u32(out, (uint32_t)size);
    if (rc == 0)
        rc = hc_buf_add_u8(out, (uint8_t)m->type);
    if (rc == 0)
        rc = hc_buf_add_u8(out, shape & HAS_FD ? 1 : 0);
    if (rc == 0)
        rc = hc_buf_add_u16(out, 0);
    if (rc == 0 && shape & HAS_WORKER)
        rc = hc_buf_add_u32(out, m->worker);
    if (rc == 0 && shape & HAS_GRACE)
        rc = hc_buf_add_u64(out, m->grace_ms);
    if (rc == 0 && shape & HAS_TEXT)
        rc = hc_buf_add_field16(out, text);
    return rc;
}

static int decode_payload(hc_slice payload, unsigned shape, hc_control_message *out, hc_err *err)
{
    hc_cursor c = hc_cursor_of(payload);
    if (shape & HAS_WORKER)
        (void)hc_cursor_u32(&c, &out->worker);
    if (shape & HAS_GRACE)
        (void)hc_cursor_u64(&c, &out->grace_ms);
    if (shape & HAS_TEXT)
        (void)hc_cursor_field16(&c, &out->text);
    if (!hc_cursor_done(&c) || out->text.size > HC_CONTROL_TEXT_MAX)
        return hc_err_set(err, HC_EFORMAT, "control message %u is malformed", (unsigned)out->type);
    return 0;
}

int hc_control_decode(hc_slice in, size_t *used, hc_control_message *out, hc_err *err)
{
    hc_cursor c = hc_cursor_of(in);
    uint32_t size = 0;
    uint8_t type = 0, has_fd = 0;
    uint16_t zero = 0;
    if (!hc_cursor_u32(&c, &size) || !hc_cursor_u8(&c, &type) || !hc_cursor_u8(&c, &has_fd) ||
        !hc_cursor_u16(&c, &zero))
        return -HC_EAGAIN;
    unsigned shape = shape_of(type);
    if (!shape || zero != 0 || has_fd != (shape & HAS_FD ? 1 : 0) ||
        size > HC_CONTROL_FRAME_MAX - HC_CONTROL_HEADER_BYTES)
        return hc_err_set(err, HC_EFORMAT, "not a control message (type %u, %u octets)", type,
                          size);
    hc_slice payload;
    if (!hc_cursor_bytes(&c, size, &payload))
        return -HC_EAGAIN;
    hc_control_message m = {.type = (hc_control_type)type, .fd = has_fd ? 0 : -1};
    int rc = decode_payload(payload, shape, &m, err);
    if (rc != 0)
        return rc;
    *out = m;
    *used = HC_CONTROL_HEADER_BYTES + size;
    return 0;
}

void hc_control_init(hc_control *c, int fd)
{
    *c = (hc_control){.fd = fd,
                      .in = hc_buf_init(READ_BYTES + HC_CONTROL_FRAME_MAX),
                      .out = hc_buf_init(HC_CONTROL_QUEUE_MAX)};
}

void hc_control_done(hc_control *c)
{
    for (size_t i = 0; i < c->fd_count; i++)
        (void)close(c->fds[i]);
    for (size_t i = 0; i < c->pending_count; i++)
        (void)close(c->pending[i].fd);
    hc_free(c->pending);
    hc_buf_done(&c->in);
    hc_buf_done(&c->out);
    if (c->fd >= 0)
        (void)close(c->fd);
    *c = (hc_control){.fd = -1};
}

static int make_pending_room(hc_control *c)
{
    if (c->pending_count < c->pending_room)
        return 0;
    size_t room = c->pending_room ? c->pending_room * 2 : 16;
    hc_control_fd *at = hc_realloc(c->pending, room * sizeof(*at));
    if (!at)
        return -HC_ENOMEM;
    c->pending = at;
    c->pending_room = room;
    return 0;
}

int hc_control_send(hc_control *c, const hc_control_message *m, hc_err *err)
{
    bool with_fd = shape_of((unsigned)m->type) & HAS_FD;
    uint64_t at = c->sent + c->out.size;
    int rc = -HC_EINVAL;
    if (with_fd == (m->fd >= 0))
        rc = with_fd ? make_pending_room(c) : 0;
    if (rc == 0)
        rc = hc_control_encode(m, &c->out);
    if (rc != 0) {
        if (m->fd >= 0)
            (void)close(m->fd);
        return hc_err_set(err, -rc, "cannot queue control message %u: %s", (unsigned)m->type,
                          hc_err_name(rc));
    }
    if (with_fd)
        c->pending[c->pending_count++] = (hc_control_fd){at, m->fd};
    return 0;
}

typedef union control_space {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(HC_CONTROL_FDS * sizeof(int))];
} control_space;

/* One sendmsg: from the next octet up to the next frame that brings a descriptor, with the
 * descriptor where it is due. */
static ssize_t send_some(hc_control *c, bool *with_fd)
{
    struct iovec io = {c->out.at, c->out.size};
    struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1};
    control_space space = {.align = {0}};
    size_t next = 0;
    *with_fd = c->pending_count > 0 && c->pending[0].at == c->sent;
    if (*with_fd) {
        msg.msg_control = space.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &c->pending[0].fd, sizeof(int));
        next = 1;
    }
    if (next < c->pending_count)
        io.iov_len = (size_t)(c->pending[next].at - c->sent);
    ssize_t n;
    do
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

static void drop_first_pending(hc_control *c)
{
    (void)close(c->pending[0].fd);
    c->pending_count--;
    memmove(c->pending, c->pending + 1, c->pending_count * sizeof(*c->pending));
}

int hc_control_flush(hc_control *c, hc_err *err)
{
    while (c->out.size) {
        bool with_fd;
        ssize_t n = send_some(c, &with_fd);
        /* ETOOMANYREFS: the peer has not yet taken the descriptors in flight. */
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETOOMANYREFS))
            return -HC_EAGAIN;
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return hc_err_set(err, HC_ECLOSED, "the control channel is closed");
        if (n < 0)
            return hc_err_errno(err, errno, "cannot write to the control channel");
        if (with_fd)
            drop_first_pending(c);
        c->sent += (uint64_t)n;
        hc_buf_consume(&c->out, (size_t)n);
    }
    return 0;
}

static int keep_fds(hc_control *c, struct msghdr *msg, hc_err *err)
{
    int rc = msg->msg_flags & MSG_CTRUNC ? -HC_EFORMAT : 0;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
            if (c->fd_count < HC_CONTROL_FDS) {
                c->fds[c->fd_count++] = fd;
            } else {
                (void)close(fd);
                rc = -HC_EFORMAT;
            }
        }
    }
    return rc == 0 ? 0
                   : hc_err_set(err, HC_EFORMAT, "descriptors were lost on the control channel");
}

static int receive(hc_control *c, hc_err *err)
{
    int rc = hc_buf_reserve(&c->in, READ_BYTES);
    if (rc != 0)
        return hc_err_set(err, -rc, "no room for a control message");
    struct iovec io = {c->in.at + c->in.size, READ_BYTES};
    control_space space;
    struct msghdr msg = {.msg_iov = &io,
                         .msg_iovlen = 1,
                         .msg_control = space.bytes,
                         .msg_controllen = sizeof(space.bytes)};
    ssize_t n;
    do
        n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return -HC_EAGAIN;
    if (n < 0 && errno != ECONNRESET)
        return hc_err_errno(err, errno, "cannot read from the control channel");
    if (n <= 0)
        return c->in.size
                   ? hc_err_set(err, HC_EFORMAT, "the control channel ended within a message")
                   : hc_err_set(err, HC_ECLOSED, "the control channel is closed");
    c->in.size += (size_t)n;
    return keep_fds(c, &msg, err);
}

static int take_fd(hc_control *c, hc_control_message *m, hc_err *err)
{
    if (c->fd_count == 0)
        return hc_err_set(err, HC_EFORMAT, "control message %u came without its descriptor",
                          (unsigned)m->type);
    m->fd = c->fds[0];
    c->fd_count--;
    memmove(c->fds, c->fds + 1, c->fd_count * sizeof(c->fds[0]));
    return 0;
}

int hc_control_read(hc_control *c, hc_control_message *out, hc_err *err)
{
    hc_buf_consume(&c->in, c->consume_next);
    c->consume_next = 0;
    hc_control_message m;
    int rc;
    while ((rc = hc_control_decode(hc_buf_slice(&c->in), &c->consume_next, &m, err)) ==
           -HC_EAGAIN) {
        rc = receive(c, err);
        if (rc != 0)
            return rc;
    }
    if (rc == 0 && m.fd >= 0)
        rc = take_fd(c, &m, err);
    if (rc == 0)
        *out = m;
    return rc;
}

int hc_control_post(int fd, const hc_control_message *m)
{
    uint8_t bytes[HC_CONTROL_FRAME_MAX];
    hc_buf frame = {bytes, 0, sizeof(bytes), sizeof(bytes)};
    if (shape_of((unsigned)m->type) & HAS_FD)
        return -HC_EINVAL;
    int rc = hc_control_encode(m, &frame);
    size_t done = 0;
    while (rc == 0 && done < frame.size) {
        ssize_t n = send(fd, frame.at + done, frame.size - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            rc = errno == EPIPE || errno == ECONNRESET ? -HC_ECLOSED : -HC_EIO;
        else if (n > 0)
            done += (size_t)n;
    }
    return rc;
}
