#include "base/clock.h"
#include "http/problem.h"
#include "server/conn_impl.h"

#include <sys/stat.h>
#include <unistd.h>

#define RETRY_AFTER_S "5" /* of a client that the registry could not be asked about */

static hc_conn *conn_of(hc_exchange *x)
{
    return (hc_conn *)(void *)((char *)x - offsetof(hc_conn, exchange));
}

/* The handler has no more to say, or nobody to say it to. */
static void complete(hc_conn *c)
{
    c->response.by_handler = false;
    c->response.complete = true;
    conn_deadline(c, conn_settings(c)->send_timeout_ms);
    conn_pump(c);
}

/* Nothing waits for a next request. */
static bool ends_here(const hc_conn *c)
{
    return c->draining || c->loop->draining || conn_settings(c)->keep_alive_ms == 0;
}

static int respond_head(hc_exchange *x, const hc_response_head *head, hc_err *err)
{
    hc_conn *c = conn_of(x);
    hc_response_state *r = &c->response;
    int rc = hc_response_check(head, err);
    if (rc != 0)
        return rc;
    r->framing = hc_response_framing(x->request, head, ends_here(c));
    hc_buf text = hc_buf_init(HC_LIMIT_RESPONSE_HEAD);
    rc = hc_response_encode(&text, head, &r->framing, hc_loop_date(c->loop), x->request->minor);
    if (rc != 0)
        (void)hc_err_set(err, -rc, "the response's head is too large");
    else
        rc = hc_outbox_add(&c->out, hc_buf_slice(&text), err);
    hc_buf_done(&text);
    if (rc != 0)
        return rc;
    r->status = head->status;
    r->head_sent = true;
    r->close = !r->framing.keep_alive;
    if (r->framing.body == HC_BODY_NONE ||
        (r->framing.body == HC_BODY_LENGTH && r->framing.length == 0)) {
        complete(c);
        return HC_RESPONSE_COMPLETE;
    }
    return 0;
}

/* Room for `size` more octets of the body under its framing; -HC_EFORMAT where the application
 * sends too much. */
static int account(hc_response_state *r, uint64_t size, hc_err *err)
{
    if (r->framing.body == HC_BODY_LENGTH && size > r->framing.length - r->body_bytes)
        return hc_err_set(err, HC_EFORMAT, "the application sent more than its Content-Length");
    r->body_bytes += size;
    return 0;
}

static int add_chunk_prefix(hc_conn *c, uint64_t size, hc_err *err)
{
    char prefix[20];
    if (c->response.framing.body != HC_BODY_CHUNKED)
        return 0;
    return hc_outbox_add(&c->out, hc_slice_of(prefix, hc_chunk_prefix(size, prefix)), err);
}

static int add_chunk_end(hc_conn *c, hc_err *err)
{
    if (c->response.framing.body != HC_BODY_CHUNKED)
        return 0;
    return hc_outbox_add(&c->out, HC_SLICE_LITERAL("\r\n"), err);
}

static int after_body(hc_conn *c)
{
    const hc_response_state *r = &c->response;
    if (r->framing.body != HC_BODY_LENGTH || r->body_bytes < r->framing.length)
        return 0;
    complete(c);
    return HC_RESPONSE_COMPLETE;
}

static int respond_data(hc_exchange *x, hc_slice octets, hc_err *err)
{
    hc_conn *c = conn_of(x);
    if (octets.size == 0)
        return 0;
    int rc = account(&c->response, octets.size, err);
    if (rc == 0)
        rc = add_chunk_prefix(c, octets.size, err);
    if (rc == 0)
        rc = hc_outbox_add(&c->out, octets, err);
    if (rc == 0)
        rc = add_chunk_end(c, err);
    return rc == 0 ? after_body(c) : rc;
}

/* A worker is not trusted to have looked: what is not a regular file could block this thread. */
static int check_file(int fd, uint64_t offset, uint64_t size, hc_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return hc_err_set(err, HC_EFORMAT,
                          "the application handed over a file that is not a regular one");
    if (offset > (uint64_t)st.st_size || size > (uint64_t)st.st_size - offset)
        return hc_err_set(err, HC_EFORMAT,
                          "the application handed over more of a file than there is");
    return 0;
}

static int respond_file(hc_exchange *x, int fd, uint64_t offset, uint64_t size, hc_err *err)
{
    hc_conn *c = conn_of(x);
    int rc = check_file(fd, offset, size, err);
    if (rc == 0)
        rc = account(&c->response, size, err);
    if (rc == 0 && size)
        rc = add_chunk_prefix(c, size, err);
    if (rc != 0 || size == 0) {
        (void)close(fd);
        return rc;
    }
    rc = hc_outbox_add_file(&c->out, fd, offset, size, err);
    if (rc == 0)
        rc = add_chunk_end(c, err);
    return rc == 0 ? after_body(c) : rc;
}

static bool respond_still_admitted(hc_exchange *x)
{
    hc_conn *c = conn_of(x);
    if (conn_admit(c))
        return true;
    c->response.by_handler = false;
    conn_pump(c);
    return false;
}

static void respond_flush(hc_exchange *x)
{
    conn_pump(conn_of(x));
}

static void respond_end(hc_exchange *x)
{
    hc_conn *c = conn_of(x);
    hc_response_state *r = &c->response;
    hc_err err = {0};
    if (r->framing.body == HC_BODY_LENGTH) { /* after_body saw no end */
        hc_log_text(c->loop->shared->log, HC_LOG_ERROR,
                    "the application sent less than its Content-Length; the response is cut");
        r->cut = true;
    } else if (r->framing.body == HC_BODY_CHUNKED) {
        r->cut = hc_outbox_add(&c->out, HC_SLICE_LITERAL("0\r\n\r\n"), &err) != 0;
    }
    complete(c);
}

static void respond_fail(hc_exchange *x, int status, const char *reason)
{
    hc_conn *c = conn_of(x);
    /* What the client was told, also where the rest of the response never came. */
    bool begun = c->response.head_sent;
    char number[12];
    (void)snprintf(number, sizeof number, "%d", begun ? c->response.status : status);
    hc_log_event(c->loop->shared->log, HC_LOG_ERROR,
                 begun ? "the application's response is cut" : "no response from the application",
                 (hc_log_field[]){{"status", hc_slice_text(number)},
                                  {"method", x->request->method},
                                  {"path", x->request->raw_path},
                                  {"address", hc_slice_text(c->address)},
                                  {"reason", hc_slice_text(reason)},
                                  {NULL, HC_SLICE_NONE}});
    c->response.by_handler = false;
    if (begun) {
        c->response.cut = true;
        complete(c);
    } else {
        conn_problem(c, status, reason, NULL, false);
        conn_pump(c);
    }
}

/* An application may repeat what this server found; findings of its own are its own. */
static hc_verdict refusal_verdict(const hc_exchange *x, hc_verdict_code claim)
{
    if (claim == x->verdict->code && claim != HC_VERDICT_OK)
        return *x->verdict;
    if (claim == HC_VERDICT_NO_CERTIFICATE && !x->principal)
        return (hc_verdict){.code = HC_VERDICT_NO_CERTIFICATE};
    return (hc_verdict){.code = HC_VERDICT_REFUSED_BY_APP};
}

static void respond_refused(hc_exchange *x, hc_verdict_code verdict, hc_slice reason)
{
    hc_conn *c = conn_of(x);
    hc_verdict v = refusal_verdict(x, verdict);
    conn_log_refusal(c, &v, x->principal ? hc_cert_x509(x->principal->cert) : NULL, reason);
}

const hc_responder *conn_responder(void)
{
    static const hc_responder responder = {
        .head = respond_head,
        .data = respond_data,
        .file = respond_file,
        .still_admitted = respond_still_admitted,
        .flush = respond_flush,
        .end = respond_end,
        .fail = respond_fail,
        .refused = respond_refused,
    };
    return &responder;
}

/* `retry`: it is the server's fault, and may be over soon (RFC 9110 section 10.2.3). */
static int add_problem(hc_conn *c, int status, hc_slice body, bool retry, bool close,
                       bool with_body, hc_err *err)
{
    hc_response_state *r = &c->response;
    hc_buf text = hc_buf_init(HC_LIMIT_RESPONSE_HEAD);
    char length[24];
    (void)snprintf(length, sizeof length, "%zu", body.size);
    hc_header headers[] = {
        {HC_SLICE_LITERAL("Content-Type"), HC_SLICE_LITERAL("application/problem+json")},
        {HC_SLICE_LITERAL("Content-Length"), hc_slice_text(length)},
        {HC_SLICE_LITERAL("Cache-Control"), HC_SLICE_LITERAL("no-store")},
        {HC_SLICE_LITERAL("Retry-After"), HC_SLICE_LITERAL(RETRY_AFTER_S)},
    };
    hc_response_head head = {status, HC_SLICE_NONE, headers, HC_COUNT(headers) - (retry ? 0 : 1)};
    r->framing = (hc_framing){HC_BODY_LENGTH, body.size, !close};
    r->body_bytes = with_body ? body.size : 0;
    unsigned minor = r->has_request ? c->decoder.request.minor : 1;
    int rc = hc_response_encode(&text, &head, &r->framing, hc_loop_date(c->loop), minor);
    if (rc == 0)
        rc = hc_outbox_add(&c->out, hc_buf_slice(&text), err);
    if (rc == 0 && with_body)
        rc = hc_outbox_add(&c->out, body, err);
    hc_buf_done(&text);
    return rc;
}

void conn_problem(hc_conn *c, int status, const char *detail, const char *verdict, bool close)
{
    hc_response_state *r = &c->response;
    hc_err err = {0};
    hc_buf body = hc_buf_init(HC_LIMIT_RESPONSE_HEAD);
    const hc_request *request = &c->decoder.request;
    close = close || !r->has_request || !request->keep_alive || ends_here(c);
    bool is_head = r->has_request && hc_slice_equal(request->method, HC_SLICE_LITERAL("HEAD"));
    int rc = hc_problem_write(&body, status, detail, verdict);
    if (rc == 0)
        rc = add_problem(c, status, hc_buf_slice(&body), verdict && status == 503, close, !is_head,
                         &err);
    hc_buf_done(&body);
    r->status = status;
    r->head_sent = true;
    r->close = close;
    r->complete = true;
    r->cut = rc != 0; /* without memory for it there is nothing left to say */
    conn_deadline(c, conn_settings(c)->send_timeout_ms);
    c->again = true;
}

void conn_response_sent(hc_conn *c)
{
    hc_access_log *log = c->loop->shared->access;
    const hc_request *r = &c->decoder.request;
    uint64_t duration_us = hc_clock_monotonic_us() - c->response.began_us;
    if (c->response.active)
        hc_metrics_request(&c->loop->metrics, c->response.status, duration_us);
    if (log && c->response.active)
        hc_access_log_write(log, &(hc_access_entry){
                                     .request = c->response.has_request ? r : NULL,
                                     .peer = &c->peer,
                                     .principal = c->who.principal,
                                     .verdict = &c->who.verdict,
                                     .record = c->who.record,
                                     .status = c->response.status,
                                     .body_bytes = c->response.body_bytes,
                                     .duration_us = duration_us,
                                     .pid = (unsigned)getpid(),
                                 });
    c->response = (hc_response_state){0};
    hc_body_store_done(&c->body);
    hc_h1_done(&c->decoder); /* an idle connection keeps nothing of its last request */
    conn_deadline(c, conn_settings(c)->keep_alive_ms);
}
