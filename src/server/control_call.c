/* What both ends of the control socket share, and the caller's side. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/control_address.h"
#include "server/control_socket.h"

#define PATH_BYTES 4096

int hc_control_address_of(const char *path, hc_control_address *out, hc_err *err)
{
    char folder[PATH_BYTES] = ".";
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    *out = (hc_control_address){.folder = -1, .un = {.sun_family = AF_UNIX}};
    if (slash && (size_t)(slash - path) >= sizeof(folder))
        return hc_err_set(err, HC_EINVAL, "the path %.60s… is too long", path);
    if (slash)
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path);
    out->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->folder < 0 && errno == ENOENT)
        return hc_err_set(err, HC_ENOENT, "there is no folder %s", folder);
    if (out->folder < 0)
        return hc_err_errno(err, errno, "%s", folder);
    int size = snprintf(out->un.sun_path, sizeof(out->un.sun_path), "/proc/self/fd/%d/%s",
                        out->folder, name);
    if (size < 0 || (size_t)size >= sizeof(out->un.sun_path) || !*name) {
        hc_control_address_done(out);
        return hc_err_set(err, HC_EINVAL, "%s: not the name of a control socket", path);
    }
    out->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)size + 1);
    return 0;
}

void hc_control_address_done(hc_control_address *a)
{
    if (a->folder >= 0)
        (void)close(a->folder);
    a->folder = -1;
}

static int connect_to(const char *path, int *out, hc_err *err)
{
    hc_control_address address;
    int rc = hc_control_address_of(path, &address, err);
    if (rc != 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        rc = hc_err_errno(err, errno, "cannot make a socket");
    else if (connect(fd, (struct sockaddr *)&address.un, address.size) != 0)
        rc = errno == ENOENT || errno == ECONNREFUSED
                 ? hc_err_set(err, HC_ENOENT, "nobody listens at %s", path)
                 : hc_err_errno(err, errno, "%s", path);
    hc_control_address_done(&address);
    if (rc == 0)
        *out = fd;
    else if (fd >= 0)
        (void)close(fd);
    return rc;
}

static int wait_for(int fd, uint64_t until_ms, hc_err *err)
{
    for (;;) {
        uint64_t now_ms = hc_clock_monotonic_ms();
        int left_ms = until_ms == UINT64_MAX ? -1
                      : until_ms > now_ms    ? (int)(until_ms - now_ms)
                                             : 0;
        int n = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, left_ms);
        if (n > 0)
            return 0;
        if (n == 0)
            return hc_err_set(err, HC_EBUSY, "the server did not answer in time");
        if (errno != EINTR)
            return hc_err_errno(err, errno, "cannot wait for the server");
    }
}

static int read_answer(int fd, uint64_t until_ms, hc_buf *answer, hc_err *err)
{
    char octets[4096];
    for (;;) {
        int rc = wait_for(fd, until_ms, err);
        ssize_t n = rc == 0 ? read(fd, octets, sizeof(octets)) : 0;
        if (rc == 0 && n > 0)
            rc = hc_buf_add(answer, hc_slice_of(octets, (size_t)n));
        else if (rc == 0)
            rc = hc_err_set(err, HC_ECLOSED, "the server ended, or does not answer this user");
        if (rc != 0)
            return rc;
        if (answer->at[answer->size - 1] == '\n') {
            answer->size--;
            return 0;
        }
    }
}

int hc_control_call(const char *path, const char *word, uint64_t timeout_ms, hc_buf *answer,
                    hc_err *err)
{
    int fd = -1;
    char line[64];
    int size = snprintf(line, sizeof(line), "%s\n", word);
    uint64_t until_ms = timeout_ms ? hc_clock_monotonic_ms() + timeout_ms : UINT64_MAX;
    int rc = connect_to(path, &fd, err);
    if (rc != 0)
        return rc;
    if (send(fd, line, (size_t)size, MSG_NOSIGNAL) != size)
        rc = hc_err_errno(err, errno, "cannot talk to the server");
    if (rc == 0)
        rc = read_answer(fd, until_ms, answer, err);
    (void)close(fd);
    return rc;
}
