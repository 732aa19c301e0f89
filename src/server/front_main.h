/* The front's process: `handclasp front`, started by the supervisor with its control socket as
 * descriptor 3.
 *
 * Turns control messages into calls of front.h, and what the front's threads report into control
 * messages. Ends when the control socket does: nothing of a server outlives its supervisor. */
#ifndef HC_SERVER_FRONT_MAIN_H
#define HC_SERVER_FRONT_MAIN_H

#define HC_FRONT_CONTROL_FD 3

/* Returns the process's exit code. Blocks until the server ends. Takes `control_fd`. */
int hc_front_main(int control_fd);

#endif
