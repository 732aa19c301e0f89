#include "server/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int hc_log_file_open(const char *option, const char *path, int *out, hc_err *err)
{
    if (!path || strcmp(path, "-") == 0)
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0)
        return hc_err_errno(err, errno, "%s %s", option, path);
    *out = fd;
    return 0;
}

int hc_log_file_redirect(const char *path, int fd, hc_err *err)
{
    int opened = -1;
    int rc = hc_log_file_open("--error-logfile", path, &opened, err);
    if (rc != 0 || opened < 0)
        return rc;
    if (dup2(opened, fd) < 0)
        rc = hc_err_errno(err, errno, "--error-logfile %s", path);
    (void)close(opened);
    return rc;
}
