/* A file that a person named: whole or not there. */
#ifndef HC_CLI_OUT_FILE_H
#define HC_CLI_OUT_FILE_H

#include "base/err.h"
#include "base/slice.h"

typedef enum hc_out_mode {
    HC_OUT_NEW,     /* one that says the same may be there; another is -HC_EEXIST */
    HC_OUT_REPLACE, /* whatever file is there */
} hc_out_mode;

/* Written under a temporary name beside its own, synced, renamed. `secret`: 0600, else 0644
 * less the umask. A device, pipe or symbolic link of that name stays: -HC_EINVAL. */
int hc_out_file(const char *path, hc_slice bytes, hc_out_mode mode, bool secret,
                hc_err *err) HC_MUST_CHECK;

#endif
