#include "server/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/slice.h"
#include "base/str.h"

#define PATH_BYTES 4096

void hc_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t size = path ? strlen(path) : 0;
    if (size < 2 || size >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, size);
    if (path[0] == '@') /* the abstract namespace */
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
    (void)close(fd);
}

void hc_notify_reloading(void)
{
    char state[64];
    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)hc_clock_monotonic_us());
    hc_notify(state);
}

static uint64_t number_of(const char *text)
{
    uint64_t value = 0;
    return text && hc_parse_u64(hc_slice_text(text), &value) ? value : 0;
}

uint64_t hc_notify_watchdog_ms(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t interval_ms = number_of(getenv("WATCHDOG_USEC")) / 1000;
    if (pid && number_of(pid) != (uint64_t)getpid())
        return 0;
    return interval_ms == 1 ? 1 : interval_ms / 2;
}

int hc_notify_sockets(void)
{
    uint64_t count = number_of(getenv("LISTEN_FDS"));
    if (number_of(getenv("LISTEN_PID")) != (uint64_t)getpid() || count > HC_LIMIT_LISTENERS)
        return 0;
    for (int i = 0; i < (int)count; i++) {
        if (fcntl(HC_NOTIFY_FIRST_FD + i, F_SETFD, FD_CLOEXEC) != 0)
            return 0;
    }
    return (int)count;
}

/* 0 where there is no file or no number in it. */
static pid_t read_pid(const char *path)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text));
    (void)close(fd);
    hc_slice line = hc_slice_of(text, n > 0 ? (size_t)n : 0);
    ptrdiff_t end = hc_slice_find(line, '\n');
    uint64_t pid = 0;
    if (end >= 0)
        line.size = (size_t)end;
    return hc_parse_u64(line, &pid) && pid <= INT32_MAX ? (pid_t)pid : 0;
}

int hc_pidfile_write(const char *path, hc_err *err)
{
    char temporary[PATH_BYTES], text[32];
    pid_t other = read_pid(path);
    if (other > 0 && other != getpid() && (kill(other, 0) == 0 || errno == EPERM))
        return hc_err_set(err, HC_EBUSY, "--pid %s: process %d is running already", path,
                          (int)other);
    int size = snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
    if (size < 0 || (size_t)size >= sizeof(temporary))
        return hc_err_set(err, HC_EINVAL, "--pid: the path is too long");
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return hc_err_errno(err, errno, "--pid %s: cannot write it", path);
    size = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    bool written = write(fd, text, (size_t)size) == size;
    if (close(fd) != 0 || !written || rename(temporary, path) != 0) {
        int rc = hc_err_errno(err, errno, "--pid %s: cannot write it", path);
        (void)unlink(temporary);
        return rc;
    }
    return 0;
}

void hc_pidfile_remove(const char *path)
{
    if (read_pid(path) == getpid())
        (void)unlink(path);
}
