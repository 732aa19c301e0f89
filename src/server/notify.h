/* What a service manager wants to know and what it hands over: sd_notify(3) over $NOTIFY_SOCKET,
 * sockets by sd_listen_fds(3); and the pid file, for those that have neither. */
#ifndef HC_SERVER_NOTIFY_H
#define HC_SERVER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* "READY=1", "STOPPING=1", "WATCHDOG=1". Does nothing where nobody asked; a manager that cannot be
 * told is no error. */
void hc_notify(const char *state);
/* "RELOADING=1" with the time, as Type=notify-reload wants it; READY=1 ends it. */
void hc_notify_reloading(void);
/* How often to say "WATCHDOG=1": half of what the manager waits; 0: it does not watch. */
uint64_t hc_notify_watchdog_ms(void);

/* How many sockets were handed to this process: descriptors 3, 4, …; 0: none. They are made
 * close-on-exec. */
#define HC_NOTIFY_FIRST_FD 3
int hc_notify_sockets(void);

/* Refuses where a process with the number in the file is alive. */
int hc_pidfile_write(const char *path, hc_err *err) HC_MUST_CHECK;
/* Only where it is still ours. */
void hc_pidfile_remove(const char *path);

#endif
