/* Whole small files, bounded: configuration, certificates, keys. */
#ifndef HC_SERVER_READ_FILE_H
#define HC_SERVER_READ_FILE_H

#include "server/settings.h"

/* Regular files alone: a pipe or device that never ends cannot hold up a start. -HC_ENOENT where
 * there is none, -HC_ELIMIT past `limit`. May block on a slow disk. `out` is the caller's. */
int hc_read_file(const char *path, size_t limit_bytes, hc_file_bytes *out,
                 hc_err *err) HC_MUST_CHECK;
/* The same; `others_may_read` says whether group or others have permission. */
int hc_read_secret_file(const char *path, size_t limit_bytes, hc_file_bytes *out,
                        bool *others_may_read, hc_err *err) HC_MUST_CHECK;
void hc_file_bytes_done(hc_file_bytes *b); /* overwrites, then frees */

#endif
