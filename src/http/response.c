#include "http/response.h"

#include "base/limits.h"
#include "base/str.h"
#include "http/syntax.h"

/* What a header of an application is to the connection. */
typedef enum header_role {
    ROLE_PLAIN,
    ROLE_LENGTH,
    ROLE_DATE,
    ROLE_CONNECTION, /* heard as a wish to close; ours is sent instead */
    ROLE_DROPPED,
    ROLE_FORBIDDEN, /* hop-by-hop: not the application's to say (PEP 3333) */
} header_role;

typedef struct role_entry {
    hc_slice name;
    header_role role;
} role_entry;

#define ENTRY(text, role)                                                                          \
    {                                                                                              \
        {(const uint8_t *)(text), sizeof(text) - 1}, (role)                                        \
    }

static const role_entry roles[] = {
    ENTRY("content-length", ROLE_LENGTH),
    ENTRY("date", ROLE_DATE),
    ENTRY("connection", ROLE_CONNECTION),
    ENTRY("keep-alive", ROLE_DROPPED),
    ENTRY("proxy-connection", ROLE_DROPPED),
    ENTRY("transfer-encoding", ROLE_FORBIDDEN),
    ENTRY("upgrade", ROLE_FORBIDDEN),
    ENTRY("te", ROLE_FORBIDDEN),
    ENTRY("trailer", ROLE_FORBIDDEN),
    ENTRY("trailers", ROLE_FORBIDDEN),
    ENTRY("proxy-authenticate", ROLE_FORBIDDEN),
    ENTRY("proxy-authorization", ROLE_FORBIDDEN),
};

static header_role role_of(hc_slice name)
{
    for (size_t i = 0; i < HC_COUNT(roles); i++) {
        if (name.size == roles[i].name.size && hc_slice_equal_nocase(name, roles[i].name))
            return roles[i].role;
    }
    return ROLE_PLAIN;
}

static int check_connection(hc_slice value, hc_err *err)
{
    hc_slice member;
    while (hc_list_next(&value, &member)) {
        if (member.size && !hc_slice_equal_nocase(member, HC_SLICE_LITERAL("close")) &&
            !hc_slice_equal_nocase(member, HC_SLICE_LITERAL("keep-alive")))
            return hc_err_set(err, HC_EFORMAT,
                              "response header Connection may only say close or keep-alive");
    }
    return 0;
}

static int check_role(const hc_header *h, unsigned *lengths, hc_err *err)
{
    uint64_t length = 0;
    switch (role_of(h->name)) {
    case ROLE_FORBIDDEN:
        return hc_err_set(err, HC_EFORMAT,
                          "response header %.*s is hop-by-hop: an application must not set it",
                          HC_SLICE_ARGS(h->name));
    case ROLE_CONNECTION:
        return check_connection(h->value, err);
    case ROLE_LENGTH:
        if (++*lengths > 1)
            return hc_err_set(err, HC_EFORMAT, "more than one Content-Length in the response");
        if (!hc_parse_u64(h->value, &length))
            return hc_err_set(err, HC_EFORMAT,
                              "Content-Length of the response is not a decimal number");
        return 0;
    default:
        return 0;
    }
}

static int check_header(const hc_header *h, hc_err *err)
{
    if (h->name.size == 0 || !hc_chars_all(h->name, HC_CHAR_TOKEN))
        return hc_err_set(err, HC_EFORMAT, "a response header name is not a token");
    if (!hc_chars_all(h->value, HC_CHAR_VALUE))
        return hc_err_set(err, HC_EFORMAT, "response header %.*s has a control character in it",
                          HC_SLICE_ARGS(h->name));
    return 0;
}

int hc_response_check(const hc_response_head *head, hc_err *err)
{
    if (head->status < 200 || head->status > 599)
        return hc_err_set(err, HC_EFORMAT, "response status %d is not in 200-599", head->status);
    if (!hc_chars_all(head->reason, HC_CHAR_VALUE))
        return hc_err_set(err, HC_EFORMAT, "the reason phrase has a control character in it");
    if (head->header_count > HC_LIMIT_RESPONSE_FIELDS)
        return hc_err_set(err, HC_EFORMAT, "more than %d response headers",
                          HC_LIMIT_RESPONSE_FIELDS);
    unsigned lengths = 0;
    size_t bytes = head->reason.size;
    for (size_t i = 0; i < head->header_count; i++) {
        const hc_header *h = &head->headers[i];
        int rc = check_header(h, err);
        if (rc == 0)
            rc = check_role(h, &lengths, err);
        if (rc != 0)
            return rc;
        bytes += h->name.size + h->value.size;
    }
    if (bytes > HC_LIMIT_RESPONSE_HEAD)
        return hc_err_set(err, HC_EFORMAT, "the response headers are larger than %d bytes",
                          HC_LIMIT_RESPONSE_HEAD);
    return 0;
}

/* RFC 9110 section 6.4.1: these end with their head, whatever it says. */
static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

hc_framing hc_response_framing(const hc_request *request, const hc_response_head *head, bool close)
{
    hc_framing framing = {.body = HC_BODY_CHUNKED, .keep_alive = request->keep_alive && !close};
    bool has_length = false;
    for (size_t i = 0; i < head->header_count; i++) {
        const hc_header *h = &head->headers[i];
        header_role role = role_of(h->name);
        if (role == ROLE_LENGTH)
            has_length = hc_parse_u64(h->value, &framing.length);
        else if (role == ROLE_CONNECTION && hc_list_has(h->value, "close"))
            framing.keep_alive = false;
    }
    if (hc_slice_equal_text(request->method, "HEAD") || !status_has_body(head->status)) {
        framing.body = HC_BODY_NONE;
        framing.length = 0;
    } else if (has_length) {
        framing.body = HC_BODY_LENGTH;
    } else if (request->minor == 0) {
        framing.body = HC_BODY_CLOSE;
        framing.keep_alive = false;
    }
    return framing;
}

static bool is_sent(const hc_response_head *head, header_role role)
{
    switch (role) {
    case ROLE_PLAIN:
    case ROLE_DATE:
        return true;
    case ROLE_LENGTH: /* RFC 9110 section 8.6 */
        return head->status >= 200 && head->status != 204;
    default:
        return false;
    }
}

/* Appending stops at the first failure, which is looked at once, in the end. */
typedef struct writer {
    hc_buf *out;
    int rc;
} writer;

static void put(writer *w, hc_slice bytes)
{
    if (w->rc == 0)
        w->rc = hc_buf_add(w->out, bytes);
}

static void put_field(writer *w, hc_slice name, hc_slice value)
{
    put(w, name);
    put(w, HC_SLICE_LITERAL(": "));
    put(w, value);
    put(w, HC_SLICE_LITERAL("\r\n"));
}

static void put_status_line(writer *w, const hc_response_head *head)
{
    char line[] = "HTTP/1.1 nnn ";
    for (int i = 11, status = head->status; i >= 9; i--, status /= 10)
        line[i] = (char)('0' + status % 10);
    put(w, hc_slice_of(line, sizeof(line) - 1));
    put(w, head->reason.size ? head->reason : hc_slice_text(hc_status_phrase(head->status)));
    put(w, HC_SLICE_LITERAL("\r\n"));
}

static void put_length(writer *w, uint64_t length)
{
    if (w->rc == 0)
        w->rc = hc_buf_printf(w->out, "Content-Length: %llu\r\n", (unsigned long long)length);
}

static void put_own_fields(writer *w, const hc_framing *framing, unsigned request_minor)
{
    if (framing->body == HC_BODY_CHUNKED)
        put(w, HC_SLICE_LITERAL("Transfer-Encoding: chunked\r\n"));
    if (!framing->keep_alive)
        put(w, HC_SLICE_LITERAL("Connection: close\r\n"));
    else if (request_minor == 0)
        put(w, HC_SLICE_LITERAL("Connection: keep-alive\r\n"));
}

/* One growth of the buffer instead of several. */
static size_t size_estimate(const hc_response_head *head)
{
    size_t size = 192 + head->reason.size;
    for (size_t i = 0; i < head->header_count; i++)
        size += head->headers[i].name.size + head->headers[i].value.size + 4;
    return size;
}

int hc_response_encode(hc_buf *out, const hc_response_head *head, const hc_framing *framing,
                       hc_slice date, unsigned request_minor)
{
    size_t before = out->size;
    /* Whether the estimate fits does not matter, only whether the bytes do. */
    writer w = {out, hc_buf_reserve(out, size_estimate(head)) == -HC_ENOMEM ? -HC_ENOMEM : 0};
    bool has_date = false;
    bool has_length = false;
    put_status_line(&w, head);
    for (size_t i = 0; i < head->header_count; i++) {
        const hc_header *h = &head->headers[i];
        header_role role = role_of(h->name);
        if (!is_sent(head, role))
            continue;
        has_date |= role == ROLE_DATE;
        has_length |= role == ROLE_LENGTH;
        put_field(&w, h->name, h->value);
    }
    if (!has_date && date.size)
        put_field(&w, HC_SLICE_LITERAL("Date"), date);
    if (!has_length && framing->body == HC_BODY_LENGTH)
        put_length(&w, framing->length);
    put_own_fields(&w, framing, request_minor);
    put(&w, HC_SLICE_LITERAL("\r\n"));
    if (w.rc != 0)
        out->size = before;
    return w.rc;
}

size_t hc_chunk_prefix(uint64_t size, char out[20])
{
    static const char digits[] = "0123456789abcdef";
    size_t count = 1;
    for (uint64_t rest = size >> 4; rest; rest >>= 4)
        count++;
    for (size_t i = count; i > 0; i--, size >>= 4)
        out[i - 1] = digits[size & 15];
    out[count] = '\r';
    out[count + 1] = '\n';
    return count + 2;
}
