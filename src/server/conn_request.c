#include "base/clock.h"
#include "server/conn_impl.h"

#include <openssl/x509_vfy.h>

static void begin_response(hc_conn *c)
{
    c->response = (hc_response_state){.active = true, .began_us = hc_clock_monotonic_us()};
}

/* A request that cannot be read: answered, and the connection ends, since nobody knows where the
 * next one begins. */
static void refuse_octets(hc_conn *c, int status, const char *reason)
{
    if (!c->response.active)
        begin_response(c);
    char number[12];
    (void)snprintf(number, sizeof number, "%d", status);
    conn_enter(c, CONN_ANSWER);
    hc_log_event(c->loop->shared->log, HC_LOG_INFO, "request refused",
                 (hc_log_field[]){{"status", hc_slice_text(number)},
                                  {"address", hc_slice_text(c->address)},
                                  {"reason", hc_slice_text(reason)},
                                  {NULL, HC_SLICE_NONE}});
    conn_problem(c, status, reason, NULL, true);
}

static bool has_body(const hc_request *r)
{
    return r->chunked || r->content_length > 0;
}

/* Refused by verdict: readable, and the connection goes on where the next request can be told from
 * this one's body. */
static void refuse_client(hc_conn *c, hc_verdict_code code)
{
    const hc_request *r = &c->decoder.request;
    hc_verdict v = c->who.verdict;
    if (v.code != code)
        v = (hc_verdict){.code = code};
    conn_log_refusal(c, &v, c->who.principal ? hc_cert_x509(c->who.principal->cert) : NULL,
                     HC_SLICE_NONE);
    conn_enter(c, CONN_ANSWER);
    conn_problem(c, code == HC_VERDICT_REGISTRY_UNAVAILABLE ? 503 : 403,
                 v.detail[0] ? v.detail : NULL, hc_verdict_name(code), has_body(r));
}

bool conn_admit(hc_conn *c)
{
    const hc_request *r = &c->decoder.request;
    const hc_policy *policy = &conn_settings(c)->policy;
    if (policy->rule_count && hc_request_path_is_ambiguous(r)) {
        refuse_octets(c, 400, "path rules are in force and this path can be read in two ways");
        return false;
    }
    conn_check_verdict(c);
    c->exchange.record = c->who.record; /* of a request that waited: it may be another now */
    hc_verdict_code code =
        hc_policy_admit(hc_policy_mode_for(policy, r->method, r->path), &c->who.verdict);
    if (code == HC_VERDICT_OK) {
        conn_note_seen(c);
        return true;
    }
    refuse_client(c, code);
    return false;
}

static void take_head(hc_conn *c)
{
    const hc_request *r = &c->decoder.request;
    hc_err err;
    begin_response(c);
    c->response.has_request = true;
    if (!conn_admit(c))
        return;
    conn_enter(c, CONN_BODY);
    conn_deadline(c, conn_settings(c)->body_timeout_ms);
    if (r->expect_continue &&
        hc_outbox_add(&c->out, HC_SLICE_LITERAL("HTTP/1.1 100 Continue\r\n\r\n"), &err) != 0)
        refuse_octets(c, 500, "no memory for this request");
}

static void dispatch(hc_conn *c)
{
    hc_handler *h = hc_published_is_path(c->decoder.request.path)
                        ? hc_published_handler(c->loop->shared->published)
                        : hc_app_handler(c->loop->app);
    /* A body may take long: who was let in at its head may be out at its end. */
    if (has_body(&c->decoder.request) && !conn_admit(c))
        return;
    conn_enter(c, CONN_ANSWER);
    conn_deadline(c, 0);
    c->exchange = (hc_exchange){
        .respond = conn_responder(),
        .request = &c->decoder.request,
        .body = {hc_buf_slice(&c->body.memory), c->body.file, c->body.size},
        .peer = &c->peer,
        .principal = c->who.principal,
        .verdict = &c->who.verdict,
        .record = c->who.record,
    };
    c->response.by_handler = true;
    h->start(h, &c->exchange);
}

static void take_data(hc_conn *c, hc_slice data)
{
    hc_err err = {0};
    if (hc_body_store_add(&c->body, data, &err) != 0) {
        hc_log_text(c->loop->shared->log, HC_LOG_ERROR, "a request body is lost: %s", err.text);
        refuse_octets(c, 500, "the request body could not be kept");
        return;
    }
    conn_deadline(c, conn_settings(c)->body_timeout_ms);
}

static void keep_ahead(hc_conn *c, hc_slice octets)
{
    if (octets.size && hc_buf_add(&c->ahead, octets) != 0)
        conn_enter(c, CONN_CLOSED);
    if (c->ahead.size >= HC_LIMIT_PIPELINE_BYTES)
        c->read_paused = true;
}

void conn_input(hc_conn *c, hc_slice octets)
{
    bool was_in_head = c->state == CONN_HEAD && hc_h1_in_head(&c->decoder);
    while (c->state == CONN_HEAD || c->state == CONN_BODY) {
        hc_h1_event event;
        size_t consumed = 0;
        hc_h1_decode(&c->decoder, octets, &consumed, &event);
        octets = hc_slice_from(octets, consumed);
        if (event.type == HC_H1_NEED_MORE)
            break;
        if (event.type == HC_H1_HEAD)
            take_head(c);
        else if (event.type == HC_H1_DATA)
            take_data(c, event.data);
        else if (event.type == HC_H1_END)
            dispatch(c);
        else
            refuse_octets(c, event.status, event.reason);
    }
    /* The header deadline counts from the first octet and is not renewed by the next. */
    if (c->state == CONN_HEAD && !was_in_head && hc_h1_in_head(&c->decoder))
        conn_deadline(c, conn_settings(c)->header_timeout_ms);
    if (c->state == CONN_ANSWER)
        keep_ahead(c, octets);
}

void conn_input_ended(hc_conn *c)
{
    if (c->state == CONN_HEAD && !hc_h1_in_head(&c->decoder)) {
        conn_shut(c);
    } else if (c->state == CONN_HEAD || c->state == CONN_BODY) {
        refuse_octets(c, 400, "the request ended before it was complete");
    }
    /* With a response on its way the client may only have ended its own side: writing finds out. */
}

void conn_input_late(hc_conn *c)
{
    if (c->state == CONN_HEAD && !hc_h1_in_head(&c->decoder))
        conn_shut(c);
    else
        refuse_octets(c, 408,
                      c->state == CONN_HEAD ? "the request head took longer than --header-timeout"
                                            : "the request body paused longer than --body-timeout");
}
