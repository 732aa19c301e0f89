/* One line a refusal, in every mode: what was presented, also where it did not verify. */
#include "base/clock.h"
#include "server/conn_impl.h"

/* Found anew: the verdict of a refused client keeps no record. */
static hc_record *find_record(hc_conn *c, const hc_verdict *v)
{
    hc_lookup *l = c->loop->shared->lookup;
    hc_lookup_answer a = {.record = NULL};
    if (!l || !c->who.principal || c->who.chain.code != HC_VERDICT_OK ||
        v->code == HC_VERDICT_REGISTRY_UNAVAILABLE)
        return NULL;
    l->find(l, c->who.principal->cert, hc_clock_monotonic_ms(), &a);
    return a.record;
}

void conn_log_refusal(hc_conn *c, const hc_verdict *v, X509 *certificate, hc_slice reason)
{
    hc_cert_brief brief = {0};
    hc_log_field fields[20];
    hc_record *record = find_record(c, v);
    size_t n = 0;
    hc_metrics_refusal(&c->loop->metrics, v->code);
    if (certificate)
        hc_cert_brief_of(certificate, &brief);
    fields[n++] = (hc_log_field){"verdict", hc_slice_text(hc_verdict_name(v->code))};
    fields[n++] = (hc_log_field){"address", hc_slice_text(c->address)};
    if (record)
        fields[n++] = (hc_log_field){"client", hc_record_name(record)};
    if (certificate) {
        fields[n++] = (hc_log_field){"sha256", hc_slice_text(brief.sha256_hex)};
        fields[n++] = (hc_log_field){"serial", hc_slice_text(brief.serial_hex)};
        fields[n++] = (hc_log_field){"serial_decimal", hc_slice_text(brief.serial_decimal)};
        fields[n++] = (hc_log_field){"subject", hc_slice_text(brief.subject)};
        fields[n++] = (hc_log_field){"issuer", hc_slice_text(brief.issuer)};
    }
    const char *error = v->error ? X509_verify_cert_error_string(v->error) : "";
    char depth[12];
    if (v->error) {
        (void)snprintf(depth, sizeof depth, "%d", v->depth);
        fields[n++] = (hc_log_field){"error", hc_slice_text(error)};
        fields[n++] = (hc_log_field){"depth", hc_slice_text(depth)};
    }
    if (v->detail[0] && strcmp(v->detail, error) != 0)
        fields[n++] = (hc_log_field){"detail", hc_slice_text(v->detail)};
    if (reason.size)
        fields[n++] = (hc_log_field){"reason", reason};
    if (c->response.has_request)
        fields[n++] = (hc_log_field){"path", c->decoder.request.raw_path};
    fields[n] = (hc_log_field){NULL, HC_SLICE_NONE};
    hc_log_event(c->loop->shared->log, HC_LOG_WARNING, "client refused", fields);
    hc_record_unref(record);
}
