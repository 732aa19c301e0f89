/* /healthz and /metrics over plain HTTP on loopback: scrapers and probes hold no certificate.
 *
 * One thread of the front serves it, on its loop: bounded in connections, each with one request and
 * one deadline. Nothing of the application can be reached here, and nothing said here names a
 * client. */
#ifndef HC_SERVER_METRICS_HTTP_H
#define HC_SERVER_METRICS_HTTP_H

#include "server/loop_thread.h"

typedef struct hc_metrics_http hc_metrics_http;

/* Serves one more listening socket (taken, also on failure). On the loop's thread, as all here. */
int hc_metrics_http_listen(hc_loop *loop, int fd, hc_err *err) HC_MUST_CHECK;
/* Closes sockets and connections; the loop must turn once more. */
void hc_metrics_http_close(hc_loop *loop);

#endif
