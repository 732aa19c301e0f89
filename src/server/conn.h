/* A connection, as the loop sees it: accepted, told to drain, ended. The rest is its own
 * (conn_impl.h). */
#ifndef HC_SERVER_CONN_H
#define HC_SERVER_CONN_H

#include "server/loop_thread.h"

/* Takes `fd`. A connection that cannot be made is closed and logged. */
void hc_conn_accept(hc_loop *loop, int fd, const hc_address *peer);
/* Closes it now; what a client was being told is cut. */
void hc_conn_abort(hc_conn *c);
/* Ends it when its request is done; at once where it is idle. */
void hc_conn_drain(hc_conn *c);
hc_conn *hc_conn_next(const hc_conn *c);
/* For the TLS context. */
hc_tls_hooks hc_conn_hooks(void);

#endif
