/* The supervisor: opens the sockets, reads the certificate files, starts and restarts front and
 * workers, turns signals into orders. No TLS, no Python.
 *
 * SIGTERM, SIGINT: finish what runs, then end; SIGINT again, SIGQUIT: end at once. SIGHUP: read
 * configuration and files again, then new workers before old; what cannot be put in force changes
 * nothing. SIGTTIN, SIGTTOU: one worker more, one fewer. */
#ifndef HC_SERVER_SUPERVISOR_H
#define HC_SERVER_SUPERVISOR_H

#include "server/options.h"

enum {
    HC_EXIT_REFUSED = 1, /* configuration, sockets, files */
    HC_EXIT_WORKER = 3,  /* a worker could not be started (as gunicorn has it) */
    HC_EXIT_APP = 4,     /* the application could not be loaded */
};

/* Serves until told to end; returns the process's exit code. `args` stays the caller's. Installs
 * signal handlers and raises the limit of open files of this process. */
int hc_supervise(const hc_serve_args *args);

#endif
