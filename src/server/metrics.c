#include "server/metrics.h"

#include <inttypes.h>
#include <stdio.h>

const double hc_metrics_bounds_s[HC_METRICS_DURATIONS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                          0.1,   0.25,   0.5,   1,    2.5,   10};

/* The set has one writer: what it loads is what it stored last. */
static void add(hc_counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void hc_metrics_handshake(hc_metrics *m, bool resumed)
{
    add(&m->handshakes[resumed], 1);
}

void hc_metrics_refusal(hc_metrics *m, hc_verdict_code code)
{
    if ((unsigned)code < HC_VERDICT_COUNT)
        add(&m->refusals[code], 1);
}

void hc_metrics_request(hc_metrics *m, int status, uint64_t duration_us)
{
    static const uint32_t bounds_us[HC_METRICS_DURATIONS] = {
        1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};
    size_t bucket = 0;
    while (bucket < HC_METRICS_DURATIONS && duration_us > bounds_us[bucket])
        bucket++;
    add(&m->requests[status >= 100 && status < 600 ? status / 100 : 0], 1);
    add(&m->durations[bucket], 1);
    add(&m->duration_us, duration_us);
}

static void add_all(uint64_t *sums, const hc_counter *counters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += atomic_load_explicit(&counters[i], memory_order_relaxed);
}

void hc_metrics_sum_add(hc_metrics_sum *sum, const hc_metrics *m)
{
    add_all(sum->handshakes, m->handshakes, HC_COUNT(m->handshakes));
    add_all(sum->refusals, m->refusals, HC_COUNT(m->refusals));
    add_all(sum->requests, m->requests, HC_COUNT(m->requests));
    add_all(sum->durations, m->durations, HC_COUNT(m->durations));
    add_all(&sum->duration_us, &m->duration_us, 1);
}

const char *hc_metrics_unhealthy(const hc_gauges *g, int64_t now_s)
{
    if (g->draining)
        return "the server is ending";
    if (g->lanes == 0)
        return "no worker is ready";
    if (g->ends.server_s && g->ends.server_s <= now_s)
        return "the server's certificate has expired";
    if (g->ends.crl_s && g->ends.crl_s <= now_s)
        return "a CRL is out of date";
    if (g->has_registry && !g->registry.trusted)
        return "the registry cannot be read";
    return NULL;
}

/* ---- Prometheus ---- */

static int head(hc_buf *out, const char *name, const char *type, const char *help)
{
    return hc_buf_printf(out, "# HELP handclasp_%s %s\n# TYPE handclasp_%s %s\n", name, help, name,
                         type);
}

static int add_handshakes(const hc_metrics_sum *s, hc_buf *out)
{
    int rc = head(out, "handshakes_total", "counter", "TLS handshakes completed.");
    for (int i = 0; rc == 0 && i < 2; i++)
        rc = hc_buf_printf(out, "handclasp_handshakes_total{resumed=\"%s\"} %" PRIu64 "\n",
                           i ? "true" : "false", s->handshakes[i]);
    return rc;
}

static int add_refusals(const hc_metrics_sum *s, hc_buf *out)
{
    int rc = head(out, "refusals_total", "counter", "Clients refused, by verdict.");
    for (int i = 0; rc == 0 && i < HC_VERDICT_COUNT; i++)
        if (i != HC_VERDICT_OK)
            rc = hc_buf_printf(out, "handclasp_refusals_total{verdict=\"%s\"} %" PRIu64 "\n",
                               hc_verdict_name((hc_verdict_code)i), s->refusals[i]);
    return rc;
}

static int add_requests(const hc_metrics_sum *s, hc_buf *out)
{
    static const char *const classes[HC_METRICS_CLASSES] = {"none", "1xx", "2xx",
                                                            "3xx",  "4xx", "5xx"};
    int rc = head(out, "requests_total", "counter",
                  "Requests ended, by class of the response's status; none: without a response.");
    for (size_t i = 0; rc == 0 && i < HC_METRICS_CLASSES; i++)
        if (i != 1) /* never the last word to a request */
            rc = hc_buf_printf(out, "handclasp_requests_total{status=\"%s\"} %" PRIu64 "\n",
                               classes[i], s->requests[i]);
    return rc;
}

static int add_durations(const hc_metrics_sum *s, hc_buf *out)
{
    uint64_t count = 0;
    int rc = head(out, "request_duration_seconds", "histogram",
                  "From a request's first octet to its response's last.");
    for (size_t i = 0; rc == 0 && i < HC_METRICS_DURATIONS; i++) {
        count += s->durations[i];
        rc =
            hc_buf_printf(out, "handclasp_request_duration_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                          hc_metrics_bounds_s[i], count);
    }
    count += s->durations[HC_METRICS_DURATIONS];
    if (rc == 0)
        rc = hc_buf_printf(out,
                           "handclasp_request_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
                           "handclasp_request_duration_seconds_sum %.6f\n"
                           "handclasp_request_duration_seconds_count %" PRIu64 "\n",
                           count, (double)s->duration_us / 1e6, count);
    return rc;
}

static int add_gauges(const hc_gauges *g, hc_buf *out)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } rows[] = {
        {"connections", "Connections open.", g->connections},
        {"sessions", "TLS sessions kept for resumption.", g->sessions},
        {"workers", "Worker processes that take requests.", g->workers},
        {"worker_threads", "Threads of workers that take requests.", g->lanes},
        {"worker_threads_busy", "Those of them with a request.", g->busy},
        {"requests_waiting", "Requests that wait for a worker's thread.", g->waiting},
        {"configuration_generation", "Grows with each configuration put in force.", g->generation},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < HC_COUNT(rows); i++) {
        rc = head(out, rows[i].name, "gauge", rows[i].help);
        if (rc == 0)
            rc = hc_buf_printf(out, "handclasp_%s %" PRIu64 "\n", rows[i].name, rows[i].value);
    }
    return rc;
}

static int add_registry(const hc_gauges *g, hc_buf *out)
{
    const hc_follower_facts *r = &g->registry;
    if (!g->has_registry)
        return 0;
    int rc = head(out, "registry_trusted", "gauge",
                  "1 where clients are decided by the registry, 0 where they get a 503.");
    if (rc == 0)
        rc = hc_buf_printf(out, "handclasp_registry_trusted %d\n", r->trusted ? 1 : 0);
    if (rc == 0)
        rc = head(out, "registry_age_seconds", "gauge",
                  "Since all changes of the registry were last known to be in memory.");
    if (rc == 0)
        rc = r->age_ms == UINT64_MAX ? hc_buf_add_text(out, "handclasp_registry_age_seconds +Inf\n")
                                     : hc_buf_printf(out, "handclasp_registry_age_seconds %.3f\n",
                                                     (double)r->age_ms / 1e3);
    if (rc == 0)
        rc = head(out, "registry_certificates", "gauge", "Certificates on record.");
    if (rc == 0)
        rc = hc_buf_printf(out, "handclasp_registry_certificates %zu\n", r->certificates);
    if (rc == 0)
        rc = head(out, "registry_clients", "gauge", "Clients on record.");
    if (rc == 0)
        rc = hc_buf_printf(out, "handclasp_registry_clients %zu\n", r->clients);
    if (rc == 0)
        rc = head(out, "registry_sequence", "gauge", "Number of the newest change in memory.");
    return rc == 0 ? hc_buf_printf(out, "handclasp_registry_sequence %" PRId64 "\n", r->seq) : rc;
}

static int add_end(hc_buf *out, const char *kind, int64_t end_s)
{
    if (end_s == 0)
        return 0;
    return hc_buf_printf(
        out, "handclasp_certificate_not_after_timestamp_seconds{kind=\"%s\"} %" PRId64 "\n", kind,
        end_s);
}

static int add_ends(const hc_cert_ends *e, hc_buf *out)
{
    int rc = head(out, "certificate_not_after_timestamp_seconds", "gauge",
                  "When the certificate, or list, in force ends; of several the first.");
    if (rc == 0)
        rc = add_end(out, "server", e->server_s);
    if (rc == 0)
        rc = add_end(out, "ca", e->ca_s);
    return rc == 0 ? add_end(out, "crl", e->crl_s) : rc;
}

int hc_metrics_text(const hc_metrics_sum *sum, hc_buf *out)
{
    int rc = add_handshakes(sum, out);
    if (rc == 0)
        rc = add_refusals(sum, out);
    if (rc == 0)
        rc = add_requests(sum, out);
    if (rc == 0)
        rc = add_durations(sum, out);
    if (rc == 0)
        rc = add_gauges(&sum->gauges, out);
    if (rc == 0)
        rc = add_registry(&sum->gauges, out);
    return rc == 0 ? add_ends(&sum->gauges.ends, out) : rc;
}

/* ---- status ---- */

static uint64_t total(const uint64_t *counts, size_t size)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += counts[i];
    return sum;
}

static int add_registry_json(const hc_gauges *g, hc_buf *out)
{
    const hc_follower_facts *r = &g->registry;
    if (!g->has_registry)
        return 0;
    char age[24] = "null"; /* it was never read */
    if (r->age_ms != UINT64_MAX)
        (void)snprintf(age, sizeof age, "%" PRIu64, r->age_ms);
    return hc_buf_printf(out,
                         "\"registry\": {\"trusted\": %s, \"age_ms\": %s"
                         ", \"certificates\": %zu, \"clients\": %zu, \"bytes\": %zu"
                         ", \"sequence\": %" PRId64 "}, ",
                         r->trusted ? "true" : "false", age, r->certificates, r->clients, r->bytes,
                         r->seq);
}

/* Numbers alone: nothing in it needs escaping. */
int hc_metrics_json(const hc_metrics_sum *s, hc_buf *out)
{
    const hc_gauges *g = &s->gauges;
    int rc = hc_buf_add_byte(out, '{');
    if (rc == 0)
        rc = add_registry_json(g, out);
    if (rc != 0)
        return rc;
    return hc_buf_printf(
        out,
        "\"generation\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"connections_ever\": %" PRIu64
        ", \"sessions\": %" PRIu64 ", \"session_bytes\": %" PRIu64
        ", \"workers\": %u, \"threads\": %u, \"threads_busy\": %u, \"requests_waiting\": %u"
        ", \"handshakes\": %" PRIu64 ", \"handshakes_resumed\": %" PRIu64 ", \"refusals\": %" PRIu64
        ", \"requests\": %" PRIu64 ", \"not_after\": {\"server\": %" PRId64 ", \"ca\": %" PRId64
        ", \"crl\": %" PRId64 "}}",
        g->generation, g->connections, g->connections_ever, g->sessions, g->session_bytes,
        g->workers, g->lanes, g->busy, g->waiting, s->handshakes[0] + s->handshakes[1],
        s->handshakes[1], total(s->refusals, HC_VERDICT_COUNT),
        total(s->requests, HC_METRICS_CLASSES), g->ends.server_s, g->ends.ca_s, g->ends.crl_s);
}
