#include "server/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef union space {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
} space;

ssize_t hc_packet_send(int socket, hc_slice packet, int fd, int flags)
{
    space control = {.bytes = {0}};
    struct iovec io = {(void *)packet.at, packet.size};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    return sendmsg(socket, &m, flags | MSG_NOSIGNAL);
}

static void take_fds(struct msghdr *m, int *fd)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
            if (*fd < 0)
                *fd = one;
            else
                (void)close(one);
        }
    }
}

ssize_t hc_packet_receive(int socket, void *at, size_t size, int flags, int *fd)
{
    space control;
    struct iovec io = {at, size};
    struct msghdr m = {.msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    *fd = -1;
    ssize_t n = recvmsg(socket, &m, flags | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return n;
    take_fds(&m, fd);
    if (!(m.msg_flags & MSG_TRUNC))
        return n;
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    errno = EMSGSIZE;
    return -1;
}
