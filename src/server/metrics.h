/* What the front counts: one set of counters a thread, added up when somebody asks.
 *
 * Each set is written by its own thread alone, so counting is a plain load and store without a lock
 * or a locked instruction; any thread may read. No value carries a client's name. */
#ifndef HC_SERVER_METRICS_H
#define HC_SERVER_METRICS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "identity/verdict.h"
#include "registry/follower.h"

#define HC_METRICS_DURATIONS 12 /* upper bounds of the histogram, +Inf besides */
#define HC_METRICS_CLASSES   6  /* status 1xx … 5xx; 0: ended without a response */

extern const double hc_metrics_bounds_s[HC_METRICS_DURATIONS];

typedef atomic_uint_least64_t hc_counter;

typedef struct hc_metrics {
    hc_counter handshakes[2]; /* full, resumed */
    hc_counter refusals[HC_VERDICT_COUNT];
    hc_counter requests[HC_METRICS_CLASSES];
    hc_counter durations[HC_METRICS_DURATIONS + 1]; /* not cumulated */
    hc_counter duration_us;
} hc_metrics;

/* By the set's own thread: */
void hc_metrics_handshake(hc_metrics *m, bool resumed);
void hc_metrics_refusal(hc_metrics *m, hc_verdict_code code);
void hc_metrics_request(hc_metrics *m, int status, uint64_t duration_us);

/* When the certificates in force end, in seconds since 1970; of several the first. 0: there is
 * none. */
typedef struct hc_cert_ends {
    int64_t server_s, ca_s, crl_s;
} hc_cert_ends;

/* What stands beside the counters, at one moment. */
typedef struct hc_gauges {
    uint64_t generation; /* of the configuration */
    uint64_t connections, connections_ever;
    uint64_t sessions, session_bytes;
    unsigned workers; /* that can be given a request */
    unsigned lanes;   /* of these, all */
    unsigned busy;    /* of these, with a request */
    unsigned waiting; /* requests without a lane */
    bool draining;
    bool has_registry;
    hc_follower_facts registry;
    hc_cert_ends ends;
} hc_gauges;

typedef struct hc_metrics_sum {
    uint64_t handshakes[2];
    uint64_t refusals[HC_VERDICT_COUNT];
    uint64_t requests[HC_METRICS_CLASSES];
    uint64_t durations[HC_METRICS_DURATIONS + 1];
    uint64_t duration_us;
    hc_gauges gauges;
} hc_metrics_sum;

/* Adds one thread's counters. Any thread. */
void hc_metrics_sum_add(hc_metrics_sum *sum, const hc_metrics *m);

/* The text format of Prometheus, version 0.0.4. */
int hc_metrics_text(const hc_metrics_sum *sum, hc_buf *out) HC_MUST_CHECK;
/* The front's part of `handclasp status`: one JSON object without a line end. */
int hc_metrics_json(const hc_metrics_sum *sum, hc_buf *out) HC_MUST_CHECK;
/* NULL where clients can be served, else why not: "no worker is ready" … Static text. */
const char *hc_metrics_unhealthy(const hc_gauges *g, int64_t now_s);

#endif
