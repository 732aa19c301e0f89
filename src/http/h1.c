#include "http/h1.h"

#include "base/limits.h"
#include "base/mem.h"
#include "http/h1_parts.h"

/* Kept between the requests of a connection, which may be idle for long: enough for an ordinary
 * request. */
#define KEPT_HEAD_BYTES    2048
#define KEPT_DECODED_BYTES 512
#define KEPT_HEADERS       32
#define FIRST_HEAD_BYTES   1024
/* RFC 9112 section 2.2 asks for one at least. */
#define BLANK_LINES 4

void hc_h1_init(hc_h1 *d, const hc_h1_limits *limits)
{
    *d = (hc_h1){
        .limits = *limits,
        .head = hc_buf_init(HC_LIMIT_REQUEST_HEAD),
        .decoded = hc_buf_init(HC_LIMIT_REQUEST_HEAD),
    };
}

void hc_h1_done(hc_h1 *d)
{
    hc_buf_done(&d->head);
    hc_buf_done(&d->decoded);
    hc_free(d->headers);
    hc_h1_limits limits = d->limits;
    hc_h1_init(d, &limits);
}

static hc_buf cleared(hc_buf b, size_t kept_bytes)
{
    if (b.capacity > kept_bytes)
        hc_buf_done(&b);
    hc_buf_clear(&b);
    return b;
}

void hc_h1_reset(hc_h1 *d)
{
    if (d->header_capacity > KEPT_HEADERS) {
        hc_free(d->headers);
        d->headers = NULL;
        d->header_capacity = 0;
    }
    *d = (hc_h1){
        .limits = d->limits,
        .head = cleared(d->head, KEPT_HEAD_BYTES),
        .decoded = cleared(d->decoded, KEPT_DECODED_BYTES),
        .headers = d->headers,
        .header_capacity = d->header_capacity,
    };
}

bool hc_h1_in_head(const hc_h1 *d)
{
    return d->state == HC_H1_STATE_FIELD_LINES ||
           (d->state == HC_H1_STATE_REQUEST_LINE && d->head.size > 0);
}

bool hc_h1_fail(hc_h1 *d, int status, const char *reason)
{
    d->state = HC_H1_STATE_FAILED;
    d->error_status = status;
    d->error_reason = reason;
    return false;
}

/* Judged by the limit that is smaller, not by the one that a piece of input happens to reach first:
 * the error must be the same whatever the splits. */
static bool line_fits(hc_h1 *d, size_t more)
{
    bool request_line = d->state == HC_H1_STATE_REQUEST_LINE;
    size_t limit = request_line ? d->limits.request_line_bytes : d->limits.field_bytes;
    size_t left = HC_LIMIT_REQUEST_HEAD - d->line_start;
    left = left > 2 ? left - 2 : 0; /* CRLF */
    size_t size = d->head.size - d->line_start + more;
    /* The last byte may be the CR that does not count. */
    if (size == 0 || size - 1 <= (limit < left ? limit : left))
        return true;
    if (request_line)
        return hc_h1_fail(d, 414, "the request line is too long");
    return hc_h1_fail(d, 431,
                      limit < left ? "a header field is too long" : "the head is too large");
}

static void follow(hc_slice *slice, uintptr_t from, const uint8_t *to)
{
    if (slice->at)
        slice->at = to + ((uintptr_t)slice->at - from);
}

/* The buffer may move as the head grows: what points into it moves along. */
static bool keep(hc_h1 *d, hc_slice bytes)
{
    uintptr_t before = (uintptr_t)d->head.at;
    size_t wanted = bytes.size;
    if (d->head.capacity < FIRST_HEAD_BYTES && wanted < FIRST_HEAD_BYTES)
        wanted = FIRST_HEAD_BYTES;
    if (hc_buf_reserve(&d->head, wanted) != 0 || hc_buf_add(&d->head, bytes) != 0)
        return hc_h1_fail(d, 500, "out of memory");
    if ((uintptr_t)d->head.at == before)
        return true;
    follow(&d->request.method, before, d->head.at);
    follow(&d->request.target, before, d->head.at);
    for (size_t i = 0; i < d->request.header_count; i++) {
        follow(&d->headers[i].name, before, d->head.at);
        follow(&d->headers[i].value, before, d->head.at);
    }
    return true;
}

static bool blank_line(hc_h1 *d)
{
    hc_buf_clear(&d->head);
    d->line_start = 0;
    if (++d->blank_lines > BLANK_LINES)
        return hc_h1_fail(d, 400, "too many empty lines before the request");
    return true;
}

static bool head_end(hc_h1 *d)
{
    if (!hc_h1_head_finish(d))
        return false;
    if (d->request.chunked)
        d->state = HC_H1_STATE_CHUNK_SIZE;
    else
        d->state = d->request.content_length ? HC_H1_STATE_BODY : HC_H1_STATE_COMPLETE;
    d->body_left = d->request.content_length;
    return true;
}

/* The line that ends the kept bytes. True where it was the last one of the head. */
static bool take_line(hc_h1 *d)
{
    hc_slice line = hc_slice_from(hc_buf_slice(&d->head), d->line_start);
    d->line_start = d->head.size;
    /* RFC 9112 section 2.2 would let a bare LF pass: it is where parsers disagree. */
    if (line.size < 2 || line.at[line.size - 2] != '\r')
        return hc_h1_fail(d, 400, "a line ends without CR");
    line.size -= 2;
    if (d->state == HC_H1_STATE_REQUEST_LINE) {
        if (line.size == 0)
            (void)blank_line(d);
        else if (hc_h1_request_line(d, line))
            d->state = HC_H1_STATE_FIELD_LINES;
        return false;
    }
    if (line.size == 0)
        return head_end(d);
    (void)hc_h1_field_line(d, line);
    return false;
}

static hc_slice take(hc_slice *in, size_t size)
{
    hc_slice taken = hc_slice_of(in->at, size);
    *in = hc_slice_from(*in, size);
    return taken;
}

/* One line, or as much of it as is there. */
static bool head_bytes(hc_h1 *d, hc_slice *in, hc_h1_event *event)
{
    ptrdiff_t lf = hc_slice_find(*in, '\n');
    size_t before_lf = lf < 0 ? in->size : (size_t)lf;
    if (!line_fits(d, before_lf) || !keep(d, take(in, lf < 0 ? before_lf : before_lf + 1)))
        return false;
    if (lf < 0 || !take_line(d))
        return false;
    event->type = HC_H1_HEAD;
    return true;
}

static bool body_bytes(hc_h1 *d, hc_slice *in, hc_h1_event *event)
{
    size_t size = in->size < d->body_left ? in->size : (size_t)d->body_left;
    event->type = HC_H1_DATA;
    event->data = take(in, size);
    d->body_left -= size;
    d->body_seen += size;
    if (d->body_left == 0)
        d->state = d->request.chunked ? HC_H1_STATE_CHUNK_DATA_CR : HC_H1_STATE_COMPLETE;
    return true;
}

static bool failed(const hc_h1 *d, hc_h1_event *event)
{
    event->type = HC_H1_ERROR;
    event->status = d->error_status;
    event->reason = d->error_reason;
    return true;
}

/* True where there is something to say. */
static bool step(hc_h1 *d, hc_slice *in, hc_h1_event *event)
{
    switch (d->state) {
    case HC_H1_STATE_REQUEST_LINE:
    case HC_H1_STATE_FIELD_LINES:
        return head_bytes(d, in, event);
    case HC_H1_STATE_BODY:
    case HC_H1_STATE_CHUNK_DATA:
        return body_bytes(d, in, event);
    case HC_H1_STATE_COMPLETE:
        event->type = HC_H1_END;
        return true;
    case HC_H1_STATE_FAILED:
        return failed(d, event);
    default:
        (void)hc_h1_chunk_byte(d, take(in, 1).at[0]);
        return false;
    }
}

void hc_h1_decode(hc_h1 *d, hc_slice in, size_t *consumed, hc_h1_event *event)
{
    hc_slice rest = in;
    *event = (hc_h1_event){.type = HC_H1_NEED_MORE};
    /* The two last states speak without input. */
    while ((rest.size || d->state >= HC_H1_STATE_COMPLETE) && !step(d, &rest, event)) {
    }
    *consumed = in.size - rest.size;
}
