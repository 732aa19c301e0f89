/* Log files, opened by the supervisor while it may: so that a front under a user of its own needs
 * no rights to them. */
#ifndef HC_SERVER_LOG_FILE_H
#define HC_SERVER_LOG_FILE_H

#include "base/err.h"

/* Appended to, made with 0640; `out` stays as it is for NULL and "-". `option` is for errors. */
int hc_log_file_open(const char *option, const char *path, int *out, hc_err *err) HC_MUST_CHECK;
/* Puts `path` in the place of descriptor `fd`; nothing for NULL and "-". Until it can be opened the
 * old one stays. */
int hc_log_file_redirect(const char *path, int fd, hc_err *err) HC_MUST_CHECK;

#endif
