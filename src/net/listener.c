#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"

#define BIND_TEXT_BYTES 300 /* a DNS name has at most 255 octets */

static int usage(const char *bind_text, const char *why, hc_err *err)
{
    return hc_err_set(err, HC_EINVAL,
                      "cannot listen on \"%s\": %s; write HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH "
                      "or fd://N",
                      bind_text, why);
}

/* What the operator can do about a failed bind or listen. */
static int bind_failed(const char *bind_text, int errno_value, hc_err *err)
{
    switch (errno_value) {
    case EADDRINUSE:
        return hc_err_set(err, HC_EBUSY,
                          "cannot listen on %s: another program listens there already; stop it or "
                          "choose another address with --bind",
                          bind_text);
    case EACCES:
    case EPERM:
        return hc_err_set(err, HC_EDENIED,
                          "cannot listen on %s: permission denied; ports below 1024 need root or "
                          "CAP_NET_BIND_SERVICE, a unix socket a folder that can be written",
                          bind_text);
    case EADDRNOTAVAIL:
        return hc_err_set(err, HC_EINVAL,
                          "cannot listen on %s: no interface of this machine has that address",
                          bind_text);
    default:
        return hc_err_errno(err, errno_value, "cannot listen on %s", bind_text);
    }
}

static void close_keeping_errno(int fd)
{
    int saved = errno;
    (void)close(fd);
    errno = saved;
}

/* The descriptor, or -1 with errno. */
static int open_address(const hc_address *a, int backlog)
{
    int family = a->storage.ss_family;
    int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* Without SO_REUSEADDR a restart fails for as long as an old connection is in TIME_WAIT;
     * without IPV6_V6ONLY the IPv4 socket of the same port could not be bound beside it. */
    if ((family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
        bind(fd, (const struct sockaddr *)&a->storage, a->size) != 0 || listen(fd, backlog) != 0) {
        close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

/* 0 where `path` is free now: it did not exist, or was a socket that nobody serves. */
static int free_unix_path(const struct sockaddr_un *at, const char *bind_text, hc_err *err)
{
    struct stat status;
    if (lstat(at->sun_path, &status) != 0)
        return errno == ENOENT ? 0 : hc_err_errno(err, errno, "cannot listen on %s", bind_text);
    if (!S_ISSOCK(status.st_mode))
        return hc_err_set(err, HC_EINVAL,
                          "cannot listen on %s: the file exists and is not a socket; remove it or "
                          "choose another path",
                          bind_text);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return hc_err_errno(err, errno, "cannot listen on %s", bind_text);
    int rc = connect(fd, (const struct sockaddr *)at, sizeof(*at));
    int why = rc == 0 ? EADDRINUSE : errno;
    (void)close(fd);
    /* EAGAIN is a full backlog: somebody serves it. Only "refused" shows that nobody does. */
    if (why == EAGAIN)
        why = EADDRINUSE;
    if (why != ECONNREFUSED && why != ENOENT)
        return bind_failed(bind_text, why, err);
    if (unlink(at->sun_path) != 0 && errno != ENOENT)
        return bind_failed(bind_text, errno, err);
    return 0;
}

static int check_path(const char *bind_text, hc_slice path, hc_err *err)
{
    if (path.size == 0)
        return usage(bind_text, "the path is empty", err);
    if (path.size >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return usage(bind_text, "the path is longer than 107 bytes", err);
    return 0;
}

static int open_unix(const char *bind_text, hc_slice path, int backlog, int *fd, hc_err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int rc = check_path(bind_text, path, err);
    if (rc < 0)
        return rc;
    memcpy(at.sun_path, path.at, path.size);
    rc = free_unix_path(&at, bind_text, err);
    if (rc < 0)
        return rc;
    hc_address a = {.size = sizeof(at)};
    memcpy(&a.storage, &at, sizeof(at));
    *fd = open_address(&a, backlog);
    return *fd < 0 ? bind_failed(bind_text, errno, err) : 0;
}

static int read_number(const char *bind_text, hc_slice digits, int *fd, hc_err *err)
{
    uint64_t number = 0;
    if (!hc_parse_u64(digits, &number) || number < 3 || number > 65535)
        return usage(bind_text, "N is the number of an inherited socket, 3 or more", err);
    *fd = (int)number;
    return 0;
}

static int adopt_fd(const char *bind_text, hc_slice digits, int *out, hc_err *err)
{
    int fd = -1;
    int listening = 0;
    socklen_t size = sizeof(listening);
    int rc = read_number(bind_text, digits, &fd, err);
    if (rc < 0)
        return rc;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
        return hc_err_set(err, HC_EINVAL,
                          "cannot listen on %s: this descriptor is not a listening socket; was it "
                          "inherited from systemd or the program that starts this one?",
                          bind_text);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return hc_err_errno(err, errno, "cannot listen on %s", bind_text);
    *out = fd;
    return 0;
}

/* "HOST:PORT" apart, without the brackets of an IPv6 address. An empty host is every interface. */
static int split_host(const char *bind_text, hc_slice in, char host[BIND_TEXT_BYTES], char port[6],
                      hc_err *err)
{
    size_t colon = in.size;
    while (colon > 0 && in.at[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return usage(bind_text, "the port is missing", err);
    hc_slice name = {in.at, colon - 1};
    hc_slice digits = hc_slice_from(in, colon);
    uint64_t number = 0;
    if (digits.size > 5 || !hc_parse_u64(digits, &number) || number > 65535)
        return usage(bind_text, "the port is a number from 0 to 65535", err);
    if (name.size >= 2 && name.at[0] == '[' && name.at[name.size - 1] == ']') {
        name = (hc_slice){name.at + 1, name.size - 2};
        if (hc_slice_find(name, ':') < 0)
            return usage(bind_text, "the brackets hold no IPv6 address", err);
    } else if (hc_slice_find(name, ':') >= 0) {
        return usage(bind_text, "an IPv6 address stands in brackets", err);
    }
    if (name.size)
        memcpy(host, name.at, name.size);
    host[name.size] = '\0';
    (void)snprintf(port, 6, "%u", (unsigned)number);
    return 0;
}

/* A resolver may name one address twice. */
static bool named_before(const struct addrinfo *first, const struct addrinfo *info)
{
    for (; first != info; first = first->ai_next) {
        if (first->ai_addrlen == info->ai_addrlen &&
            memcmp(first->ai_addr, info->ai_addr, info->ai_addrlen) == 0)
            return true;
    }
    return false;
}

static in_port_t *port_of(hc_address *a)
{
    return a->storage.ss_family == AF_INET ? &((struct sockaddr_in *)&a->storage)->sin_port
                                           : &((struct sockaddr_in6 *)&a->storage)->sin6_port;
}

/* Port 0 means any, but one for all addresses of the host: the first that was opened tells. */
static int use_port_of(int fd, hc_address *a, hc_err *err)
{
    hc_address first;
    int rc = hc_address_of_socket(fd, &first, err);
    if (rc == 0)
        *port_of(a) = *port_of(&first);
    return rc;
}

/* A host without IPv6 still resolves "localhost" to ::1; that alone is no reason to fail. */
static bool family_is_absent(int errno_value, int family)
{
    return errno_value == EAFNOSUPPORT || (family == AF_INET6 && errno_value == EADDRNOTAVAIL);
}

static int open_all(const char *bind_text, const struct addrinfo *list, bool any_port, int backlog,
                    int *fds, size_t room, size_t *count, hc_err *err)
{
    int absent = 0;
    for (const struct addrinfo *info = list; info; info = info->ai_next) {
        if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
            info->ai_addrlen > sizeof(struct sockaddr_storage) || named_before(list, info))
            continue;
        if (*count == room)
            return hc_err_set(err, HC_ELIMIT,
                              "cannot listen on %s: too many addresses in all, at most %zu fit",
                              bind_text, room);
        hc_address a = {.size = info->ai_addrlen};
        memcpy(&a.storage, info->ai_addr, info->ai_addrlen);
        if (any_port && *count > 0) {
            int rc = use_port_of(fds[0], &a, err);
            if (rc < 0)
                return rc;
        }
        int fd = open_address(&a, backlog);
        if (fd >= 0)
            fds[(*count)++] = fd;
        else if (family_is_absent(errno, info->ai_family))
            absent = errno;
        else
            return bind_failed(bind_text, errno, err);
    }
    return *count == 0 ? bind_failed(bind_text, absent ? absent : EADDRNOTAVAIL, err) : 0;
}

static int open_host(const char *bind_text, hc_slice in, int backlog, int *fds, size_t room,
                     size_t *count, hc_err *err)
{
    char host[BIND_TEXT_BYTES] = "", port[6] = "";
    int rc = split_host(bind_text, in, host, port, err);
    if (rc < 0)
        return rc;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    rc = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
    if (rc != 0)
        return hc_err_set(err, HC_ENOENT,
                          "cannot listen on %s: the host name has no address here (%s)", bind_text,
                          gai_strerror(rc));
    size_t opened = 0;
    rc = open_all(bind_text, list, strcmp(port, "0") == 0, backlog, fds, room, &opened, err);
    freeaddrinfo(list);
    if (rc < 0) {
        while (opened > 0)
            (void)close(fds[--opened]);
        return rc;
    }
    *count = opened;
    return 0;
}

static const hc_slice unix_prefix = {(const uint8_t *)"unix:", 5};
static const hc_slice fd_prefix = {(const uint8_t *)"fd://", 5};

static int copy_text(hc_slice bind, char text[BIND_TEXT_BYTES], hc_err *err)
{
    if (bind.size >= BIND_TEXT_BYTES)
        return hc_err_set(err, HC_EINVAL, "an address to listen on has at most %zu bytes",
                          (size_t)BIND_TEXT_BYTES - 1);
    for (size_t i = 0; i < bind.size; i++) {
        if (bind.at[i] < ' ' || bind.at[i] == 0x7f)
            return hc_err_set(err, HC_EINVAL, "an address to listen on holds a control character");
        text[i] = (char)bind.at[i];
    }
    text[bind.size] = '\0';
    return 0;
}

int hc_listener_check(hc_slice bind, hc_err *err)
{
    char text[BIND_TEXT_BYTES], host[BIND_TEXT_BYTES], port[6];
    int fd = -1;
    int rc = copy_text(bind, text, err);
    if (rc < 0)
        return rc;
    if (hc_slice_starts_with(bind, unix_prefix))
        return check_path(text, hc_slice_from(bind, unix_prefix.size), err);
    if (hc_slice_starts_with(bind, fd_prefix))
        return read_number(text, hc_slice_from(bind, fd_prefix.size), &fd, err);
    return split_host(text, bind, host, port, err);
}

int hc_listener_open(hc_slice bind, int backlog, int *fds, size_t room, size_t *count, hc_err *err)
{
    char text[BIND_TEXT_BYTES];
    int rc = copy_text(bind, text, err);
    if (rc < 0)
        return rc;
    bool is_unix = hc_slice_starts_with(bind, unix_prefix);
    if (!is_unix && !hc_slice_starts_with(bind, fd_prefix))
        return open_host(text, bind, backlog, fds, room, count, err);
    if (room == 0)
        return hc_err_set(err, HC_ELIMIT, "cannot listen on %s: too many addresses", text);
    int fd = -1;
    rc = is_unix ? open_unix(text, hc_slice_from(bind, unix_prefix.size), backlog, &fd, err)
                 : adopt_fd(text, hc_slice_from(bind, fd_prefix.size), &fd, err);
    if (rc < 0)
        return rc;
    fds[0] = fd;
    *count = 1;
    return 0;
}
