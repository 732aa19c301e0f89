/* How a worker process is started: interpreter, arguments, environment, user. Made from the
 * settings once a configuration, so that a mistake shows before anything is started. */
#ifndef HC_SERVER_WORKER_COMMAND_H
#define HC_SERVER_WORKER_COMMAND_H

#include "server/settings.h"
#include "server/spawn.h"

typedef struct hc_worker_command {
    char *python;
    hc_strings argv; /* without the NULL at the end */
    hc_strings env;
    hc_identity identity;
    mode_t umask;
    unsigned threads; /* lanes: descriptors 3, 4, … */
} hc_worker_command;

/* The interpreter: --python, else the active environment's, else the one beside this binary, else
 * python3 in PATH. */
int hc_worker_command_init(hc_worker_command *c, const hc_settings *settings,
                           hc_err *err) HC_MUST_CHECK;
void hc_worker_command_done(hc_worker_command *c);

/* Starts one; `fds` are its lanes, `open_files` the limit to give it. */
int hc_worker_command_run(const hc_worker_command *c, const int *fds, size_t fd_count,
                          const struct rlimit *open_files, pid_t *out, hc_err *err) HC_MUST_CHECK;

#endif
