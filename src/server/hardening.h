/* What the processes that strangers talk to, or that hold something, do first: no signals, no new
 * rights, memory that no debugger reads. */
#ifndef HC_SERVER_HARDENING_H
#define HC_SERVER_HARDENING_H

/* The supervisor alone says when to end: a terminal's or a service manager's signal to the whole
 * group must not. A file past `ulimit -f` is an error of that one request. */
void hc_ignore_signals(void);
/* Must not be read by a debugger of the same user, nor land in a core file. Also for commands that
 * hold the key of a CA. */
void hc_protect_memory(void);

#endif
