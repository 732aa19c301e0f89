/* The listening sockets of a server: opened once by the supervisor, copied to each front. */
#ifndef HC_SERVER_LISTENERS_H
#define HC_SERVER_LISTENERS_H

#include "base/buf.h"
#include "server/settings.h"

typedef struct hc_listeners {
    int fds[HC_LIMIT_LISTENERS];
    size_t count;
} hc_listeners;

/* That every --bind is written as an address; opens nothing. */
int hc_listeners_check(const hc_settings *settings, hc_err *err) HC_MUST_CHECK;

/* Those that a service manager handed over, else each --bind. On failure none is open. */
int hc_listeners_open(hc_listeners *l, const hc_settings *settings, hc_err *err) HC_MUST_CHECK;
/* --metrics-bind: none where it is not given; loopback alone, since nobody is asked for a
 * certificate there. */
int hc_listeners_open_metrics(hc_listeners *l, const hc_settings *settings,
                              hc_err *err) HC_MUST_CHECK;
/* Closes, and removes the files of unix sockets. */
void hc_listeners_done(hc_listeners *l);
/* "https://127.0.0.1:8443, https://[::1]:8443". */
int hc_listeners_text(const hc_listeners *l, const char *scheme, hc_buf *out) HC_MUST_CHECK;
/* One of them. */
int hc_listeners_one_text(const hc_listeners *l, size_t index, const char *scheme,
                          hc_buf *out) HC_MUST_CHECK;

#endif
