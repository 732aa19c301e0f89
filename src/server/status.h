/* What `handclasp status` says: one JSON object about the whole server. */
#ifndef HC_SERVER_STATUS_H
#define HC_SERVER_STATUS_H

#include "server/authority_child.h"
#include "server/front_link.h"
#include "server/listeners.h"
#include "server/supervisor_plan.h"
#include "server/workers.h"

typedef struct hc_status {
    const char *phase;
    int64_t started_s; /* wall clock */
    const hc_plan *plan;
    const hc_listeners *listeners, *metrics;
    const hc_front_link *front;
    const hc_authority_child *authority;
    const hc_workers *workers; /* NULL: the calling process serves the lanes itself */
    hc_slice front_says;       /* what hc_metrics_json made; empty where it did not answer */
} hc_status;

/* One line, without its end. */
int hc_status_write(const hc_status *s, hc_buf *out) HC_MUST_CHECK;

#endif
