/* Preloaded into a server under test: makes calls of its front fail, as a control file asks.
 *
 * The file named by HANDCLASP_FAULTS is a shared array of hc_fault, one for each kind. A test
 * writes `every` (0: never) and `mode`, and reads back how many calls there were and how many
 * failed. Other processes of the server are left alone: only `handclasp front` is the front. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROL_FD 3 /* HC_FRONT_CONTROL_FD */

enum { FAULT_ALLOC, FAULT_ACCEPT, FAULT_SEND, FAULT_RECEIVE, FAULT_FILE, FAULT_EPOLL, FAULTS };

typedef struct hc_fault {
    atomic_uint every; /* the n-th call fails; 0: none */
    int mode;          /* the errno to fail with; 0: do it, but only for a part */
    atomic_uint calls, failed;
} hc_fault;

static hc_fault *faults; /* NULL in every process but the front */

#define REAL(type, name, ...)                                                                      \
    static type (*real_##name)(__VA_ARGS__);                                                       \
    if (!real_##name)                                                                              \
    real_##name = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static bool is_front(void)
{
    char line[4096] = {0};
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 && strcmp(line + strlen(line) + 1, "front") == 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("HANDCLASP_FAULTS");
    if (!path || !is_front())
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        _exit(99);
    void *at = mmap(NULL, FAULTS * sizeof(hc_fault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        _exit(99);
    faults = at;
}

static bool is_due(int kind)
{
    if (!faults)
        return false;
    unsigned every = atomic_load(&faults[kind].every);
    if (every == 0 || (atomic_fetch_add(&faults[kind].calls, 1) + 1) % every != 0)
        return false;
    atomic_fetch_add(&faults[kind].failed, 1);
    return true;
}

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

/* Of a call on a stream socket. Not on the channel to the supervisor, by which the test sees what
 * happens; and no lane is reset as long as its worker lives. */
static bool is_due_on(int kind, int fd)
{
    if (!faults || fd == CONTROL_FD || option_of(fd, SO_TYPE) != SOCK_STREAM)
        return false;
    if (faults[kind].mode == ECONNRESET && option_of(fd, SO_DOMAIN) == AF_UNIX)
        return false;
    return is_due(kind);
}

static int fail(int kind)
{
    errno = faults[kind].mode;
    return -1;
}

/* Half of it, where there is a half. */
static size_t part(size_t size)
{
    return size > 1 ? size / 2 : size;
}

/* ---- memory ---- */

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size)
{
    return is_due(FAULT_ALLOC) ? no_memory() : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_due(FAULT_ALLOC) ? no_memory() : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return is_due(FAULT_ALLOC) ? no_memory() : __libc_realloc(old, size);
}

/* ---- sockets ---- */

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict size, int flags)
{
    REAL(int, accept4, int, struct sockaddr *restrict, socklen_t *restrict, int);
    return is_due(FAULT_ACCEPT) ? fail(FAULT_ACCEPT) : real_accept4(fd, address, size, flags);
}

ssize_t write(int fd, const void *at, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t);
    if (!is_due_on(FAULT_SEND, fd))
        return real_write(fd, at, size);
    return faults[FAULT_SEND].mode ? fail(FAULT_SEND) : real_write(fd, at, part(size));
}

ssize_t send(int fd, const void *at, size_t size, int flags)
{
    REAL(ssize_t, send, int, const void *, size_t, int);
    if (!is_due_on(FAULT_SEND, fd))
        return real_send(fd, at, size, flags);
    return faults[FAULT_SEND].mode ? fail(FAULT_SEND) : real_send(fd, at, part(size), flags);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
    if (!is_due_on(FAULT_SEND, fd))
        return real_sendmsg(fd, msg, flags);
    if (faults[FAULT_SEND].mode)
        return fail(FAULT_SEND);
    struct msghdr shorter = *msg;
    struct iovec first = {msg->msg_iov[0].iov_base, part(msg->msg_iov[0].iov_len)};
    shorter.msg_iov = &first;
    shorter.msg_iovlen = 1;
    return real_sendmsg(fd, &shorter, flags);
}

ssize_t read(int fd, void *at, size_t size)
{
    REAL(ssize_t, read, int, void *, size_t);
    if (!is_due_on(FAULT_RECEIVE, fd))
        return real_read(fd, at, size);
    return faults[FAULT_RECEIVE].mode ? fail(FAULT_RECEIVE) : real_read(fd, at, part(size));
}

ssize_t recv(int fd, void *at, size_t size, int flags)
{
    REAL(ssize_t, recv, int, void *, size_t, int);
    if (!is_due_on(FAULT_RECEIVE, fd))
        return real_recv(fd, at, size, flags);
    return faults[FAULT_RECEIVE].mode ? fail(FAULT_RECEIVE) : real_recv(fd, at, part(size), flags);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    REAL(ssize_t, recvmsg, int, struct msghdr *, int);
    if (!is_due_on(FAULT_RECEIVE, fd))
        return real_recvmsg(fd, msg, flags);
    if (faults[FAULT_RECEIVE].mode)
        return fail(FAULT_RECEIVE);
    msg->msg_iov[0].iov_len = part(msg->msg_iov[0].iov_len < 32 ? msg->msg_iov[0].iov_len : 32);
    return real_recvmsg(fd, msg, flags);
}

/* Only libuv's trial of a descriptor (uv__io_check_fd), of which the program is told: where the
 * kernel refuses one later, libuv ends the process. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    REAL(int, epoll_ctl, int, int, int, struct epoll_event *);
    if (operation == EPOLL_CTL_ADD && event->data.fd == -1 && is_due(FAULT_EPOLL))
        return fail(FAULT_EPOLL);
    return real_epoll_ctl(epoll, operation, fd, event);
}

/* ---- files, by the names they have with 64-bit offsets ---- */

int open64(const char *path, int flags, ...)
{
    REAL(int, open64, const char *, int, ...);
    bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) || temporary ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (temporary && faults && faults[FAULT_FILE].mode && is_due(FAULT_FILE))
        return fail(FAULT_FILE);
    return real_open64(path, flags, mode);
}

/* What the program falls back to where open64 fails; a failure is to be one. */
int mkostemp64(char *path, int flags)
{
    REAL(int, mkostemp64, char *, int);
    return faults && faults[FAULT_FILE].mode ? fail(FAULT_FILE) : real_mkostemp64(path, flags);
}

ssize_t pwrite64(int fd, const void *at, size_t size, off64_t offset)
{
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    if (!is_due(FAULT_FILE))
        return real_pwrite64(fd, at, size, offset);
    return faults[FAULT_FILE].mode ? fail(FAULT_FILE) : real_pwrite64(fd, at, part(size), offset);
}
