/* OpenSSL's error queue as text: private to tls/. Each call empties the queue of the calling
 * thread. */
#ifndef HC_TLS_QUEUE_H
#define HC_TLS_QUEUE_H

#include "base/err.h"

/* The reason of the last error, static text; "unknown error" where the queue is empty. */
const char *hc_tls_queue_reason(void);
/* "`what`: reason"; -HC_ENOMEM where memory was the reason, else -HC_ETLS. */
int hc_tls_queue_error(hc_err *err, const char *what);

#endif
