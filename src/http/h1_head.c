#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/h1_parts.h"
#include "http/syntax.h"

#define FIRST_HEADERS 16

/* HTTP-version = "HTTP" "/" DIGIT "." DIGIT, in this case only (RFC 9112 section 2.3). */
static bool version(hc_h1 *d, hc_slice text)
{
    if (text.size != 8 || !hc_slice_starts_with(text, HC_SLICE_LITERAL("HTTP/")) ||
        text.at[6] != '.')
        return hc_h1_fail(d, 400, "malformed HTTP version");
    uint8_t major = text.at[5];
    uint8_t minor = text.at[7];
    if (major < '0' || major > '9' || minor < '0' || minor > '9')
        return hc_h1_fail(d, 400, "malformed HTTP version");
    if (major != '1')
        return hc_h1_fail(d, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    /* A higher minor version is answered as the highest one known (RFC 9110 section 2.5). */
    d->request.minor = minor == '0' ? 0 : 1;
    return true;
}

/* method SP request-target SP HTTP-version, and no other white space (RFC 9112 section 3). */
bool hc_h1_request_line(hc_h1 *d, hc_slice line)
{
    size_t method = hc_chars_span(line, HC_CHAR_TOKEN);
    if (method == 0 || method == line.size || line.at[method] != ' ')
        return hc_h1_fail(d, 400, "malformed request line");
    hc_slice rest = hc_slice_from(line, method + 1);
    size_t target = hc_chars_span(rest, HC_CHAR_TARGET);
    if (target == rest.size)
        return hc_h1_fail(d, 400, "the request line has no HTTP version");
    if (target == 0 || rest.at[target] != ' ')
        return hc_h1_fail(d, 400, "a byte that is not allowed in the request target");
    d->request.method = hc_slice_of(line.at, method);
    d->request.target = hc_slice_of(rest.at, target);
    return version(d, hc_slice_from(rest, target + 1));
}

static hc_header *add_header(hc_h1 *d)
{
    if (d->request.header_count == d->header_capacity) {
        size_t capacity = d->header_capacity ? d->header_capacity * 2 : FIRST_HEADERS;
        hc_header *headers = hc_realloc(d->headers, capacity * sizeof(*headers));
        if (!headers)
            return NULL;
        d->headers = headers;
        d->header_capacity = capacity;
    }
    return &d->headers[d->request.header_count++];
}

/* field-name ":" OWS field-value OWS (RFC 9112 section 5): white space before the colon and
 * obs-fold fail as names. */
bool hc_h1_field_line(hc_h1 *d, hc_slice line)
{
    if (d->request.header_count >= d->limits.fields)
        return hc_h1_fail(d, 431, "too many header fields");
    size_t name = hc_chars_span(line, HC_CHAR_TOKEN);
    if (name == 0 || name == line.size || line.at[name] != ':')
        return hc_h1_fail(d, 400, "malformed header field name");
    hc_slice value = hc_slice_from(line, name + 1);
    if (!hc_chars_all(value, HC_CHAR_VALUE))
        return hc_h1_fail(d, 400, "a byte that is not allowed in a header field");
    hc_header *header = add_header(d);
    if (!header)
        return hc_h1_fail(d, 500, "out of memory");
    header->name = hc_slice_of(line.at, name);
    header->value = hc_slice_trim(value);
    return true;
}

/* The fields that decide how a request is read; the last of each, and how many there were. */
typedef struct meaning {
    hc_slice host;
    hc_slice length;
    hc_slice coding;
    unsigned hosts;
    unsigned lengths;
    unsigned codings;
    bool close;
    bool keep_alive;
    bool expects_continue;
    bool expects_other;
} meaning;

static void read_expect(meaning *m, hc_slice value)
{
    hc_slice member;
    while (hc_list_next(&value, &member)) {
        if (hc_slice_equal_nocase(member, HC_SLICE_LITERAL("100-continue")))
            m->expects_continue = true;
        else if (member.size) /* RFC 9110 section 5.6.1.2: empty list members are ignored */
            m->expects_other = true;
    }
}

static bool named(const hc_header *h, const char *name)
{
    return hc_slice_equal_nocase(h->name, hc_slice_text(name));
}

static void read_field(meaning *m, const hc_header *h)
{
    switch (h->name.size) { /* spares most fields the comparisons */
    case sizeof("host") - 1:
        if (named(h, "host")) {
            m->host = h->value;
            m->hosts++;
        }
        break;
    case sizeof("expect") - 1:
        if (named(h, "expect"))
            read_expect(m, h->value);
        break;
    case sizeof("connection") - 1:
        if (named(h, "connection")) {
            m->close |= hc_list_has(h->value, "close");
            m->keep_alive |= hc_list_has(h->value, "keep-alive");
        }
        break;
    case sizeof("content-length") - 1:
        if (named(h, "content-length")) {
            m->length = h->value;
            m->lengths++;
        }
        break;
    case sizeof("transfer-encoding") - 1:
        if (named(h, "transfer-encoding")) {
            m->coding = h->value;
            m->codings++;
        }
        break;
    default:
        break;
    }
}

/* RFC 9112 section 3.2. An empty Host says that the target URI has no authority, which an https URI
 * always has: only beside an absolute-form target, which overrides Host, it does no harm. */
static bool check_host(hc_h1 *d, const meaning *m)
{
    bool absolute = d->request.form == HC_TARGET_ABSOLUTE;
    if (m->hosts > 1)
        return hc_h1_fail(d, 400, "more than one Host field");
    if (m->hosts == 0)
        return d->request.minor == 0 || hc_h1_fail(d, 400, "no Host field");
    if (!(absolute && m->host.size == 0) && !hc_host_valid(m->host))
        return hc_h1_fail(d, 400, "malformed Host field");
    if (!absolute)
        d->request.host = m->host;
    return true;
}

/* The request has a coding other than a plain "chunked": which kind of wrong is it? RFC 9112
 * section 6.3 demands 400 where chunked is not the last one, section 6.1 says 501 for codings not
 * known here. */
static bool refuse_coding(hc_h1 *d, hc_slice list)
{
    hc_slice member = HC_SLICE_NONE;
    unsigned chunked = 0;
    bool last_is_chunked = false;
    while (hc_list_next(&list, &member)) {
        if (member.size == 0 || !hc_chars_all(member, HC_CHAR_TOKEN))
            return hc_h1_fail(d, 400, "malformed Transfer-Encoding");
        last_is_chunked = hc_slice_equal_nocase(member, HC_SLICE_LITERAL("chunked"));
        chunked += last_is_chunked;
    }
    if (!last_is_chunked || chunked != 1)
        return hc_h1_fail(d, 400, "chunked must be the last transfer coding, and once");
    return hc_h1_fail(d, 501, "no transfer coding but chunked is known here");
}

/* RFC 9112 section 6.3; what it leaves to the recipient is refused, since it is how requests are
 * smuggled. */
static bool check_coding(hc_h1 *d, const meaning *m)
{
    if (m->lengths)
        return hc_h1_fail(d, 400, "both Transfer-Encoding and Content-Length");
    if (d->request.minor == 0)
        return hc_h1_fail(d, 400, "Transfer-Encoding in HTTP/1.0");
    if (m->codings > 1)
        return hc_h1_fail(d, 400, "more than one Transfer-Encoding field");
    if (!hc_slice_equal_nocase(m->coding, HC_SLICE_LITERAL("chunked")))
        return refuse_coding(d, m->coding);
    d->request.chunked = true;
    return true;
}

static bool check_length(hc_h1 *d, const meaning *m)
{
    if (m->lengths > 1)
        return hc_h1_fail(d, 400, "more than one Content-Length field");
    if (!hc_parse_u64(m->length, &d->request.content_length))
        return hc_h1_fail(d, 400, "malformed Content-Length");
    if (d->request.content_length > d->limits.body_bytes)
        return hc_h1_fail(d, 413, "the body is too large");
    d->request.has_content_length = true;
    return true;
}

static bool check_expect(hc_h1 *d, const meaning *m)
{
    hc_request *r = &d->request;
    if (m->expects_other)
        return hc_h1_fail(d, 417, "the only known expectation is 100-continue");
    /* RFC 9110 section 10.1.1: ignored in HTTP/1.0. */
    r->expect_continue = m->expects_continue && r->minor == 1 && (r->chunked || r->content_length);
    return true;
}

bool hc_h1_head_finish(hc_h1 *d)
{
    hc_request *r = &d->request;
    meaning m = {.hosts = 0};
    r->headers = d->headers;
    for (size_t i = 0; i < r->header_count; i++)
        read_field(&m, &r->headers[i]);
    r->keep_alive = !m.close && (r->minor == 1 || m.keep_alive);
    if (!hc_h1_target(d) || !check_host(d, &m))
        return false;
    if (m.codings ? !check_coding(d, &m) : m.lengths && !check_length(d, &m))
        return false;
    return check_expect(d, &m);
}
