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
/* Whether there is a folder of this name. */
bool hc_is_folder(const char *path) HC_MUST_CHECK;
/* Adds the paths of the files of a folder whose names end so (".pem"), in the order of their names.
 * Hidden ones are left out, as an editor's or rsync's half of a file is. -HC_ELIMIT past
 * `count_max`. */
int hc_list_folder(const char *folder, const char *const *endings, size_t ending_count,
                   size_t count_max, hc_strings *out, hc_err *err) HC_MUST_CHECK;
void hc_file_bytes_done(hc_file_bytes *b); /* overwrites, then frees */

#endif
