#include "cli/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/read_file.h"

#define PATH_BYTES 4096

static int failed(const char *path, hc_err *err)
{
    return hc_err_errno(err, errno, "cannot write %s", path);
}

static int write_all(int fd, hc_slice bytes)
{
    while (bytes.size) {
        ssize_t n = write(fd, bytes.at, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes = hc_slice_from(bytes, (size_t)n);
    }
    return fsync(fd);
}

static void sync_folder(const char *path)
{
    char copy[PATH_BYTES];
    (void)snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

/* Whether it may be left as it is. A rename would put a file in the place of /dev/null or
 * /dev/stdout, for all programs, and of a link. */
static int look(const char *path, hc_slice bytes, hc_out_mode mode, bool *same, hc_err *err)
{
    struct stat st;
    hc_file_bytes there = {NULL, NULL, 0};
    *same = false;
    if (strcmp(path, "-") == 0)
        return hc_err_set(err, HC_EINVAL,
                          "-: a file is written, and not standard output: give it a "
                          "name");
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : failed(path, err);
    if (!S_ISREG(st.st_mode))
        return hc_err_set(err, HC_EINVAL, "%s is no regular file: give another name", path);
    if (mode == HC_OUT_REPLACE)
        return 0;
    int rc = hc_read_file(path, bytes.size + 1, &there, NULL);
    *same = rc == 0 && hc_slice_equal(hc_slice_of(there.at, there.size), bytes);
    hc_file_bytes_done(&there);
    return *same ? 0
                 : hc_err_set(err, HC_EEXIST,
                              "%s is there and says something else; it stays: give "
                              "another name, or move it away",
                              path);
}

static bool is_at(int fd, const char *path)
{
    struct stat open_one, there;
    return fstat(fd, &open_one) == 0 && lstat(path, &there) == 0 &&
           open_one.st_ino == there.st_ino && open_one.st_dev == there.st_dev;
}

/* Empty, new and locked; -1: errno. Who writes the same FILE at this moment is waited for; what a
 * process that was killed has left, and no longer holds, is removed. */
static int open_temporary(const char *temporary, bool secret)
{
    for (;;) {
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, secret ? 0600 : 0644);
        bool made = fd >= 0;
        if (!made && errno == EEXIST)
            fd = open(temporary, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && !made)
            continue; /* renamed in between */
        if (fd < 0)
            return -1;
        bool there = flock(fd, LOCK_EX) == 0 && is_at(fd, temporary);
        if (there && made)
            return fd;
        if (there)
            (void)unlink(temporary);
        (void)close(fd);
    }
}

int hc_out_file(const char *path, hc_slice bytes, hc_out_mode mode, bool secret, hc_err *err)
{
    char temporary[PATH_BYTES];
    bool same = false;
    int size = snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    if (size < 0 || (size_t)size >= sizeof(temporary))
        return hc_err_set(err, HC_EINVAL, "%.100s...: the name is too long", path);
    int rc = look(path, bytes, mode, &same, err);
    if (rc != 0 || same)
        return rc;
    int fd = open_temporary(temporary, secret);
    if (fd < 0)
        return failed(path, err);
    if (write_all(fd, bytes) != 0 || rename(temporary, path) != 0) {
        rc = failed(path, err);
        (void)unlink(temporary);
    } else {
        sync_folder(path);
    }
    (void)close(fd);
    return rc;
}
