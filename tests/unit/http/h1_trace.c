#include "h1_trace.h"

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct trace {
    hc_h1 decoder;
    hc_buf *out;
    bool in_data; /* the last line is one of DATA and not ended */
    bool in_body; /* a head was delivered, its end not */
    bool failed;
} trace;

static void text(trace *t, const char *words)
{
    REQUIRE(hc_buf_add_text(t->out, words) == 0);
}

static void escaped(trace *t, hc_slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.at[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '\\')
            REQUIRE(hc_buf_add_byte(t->out, byte) == 0);
        else if (byte == '\\')
            text(t, "\\\\");
        else
            REQUIRE(hc_buf_printf(t->out, "\\x%02x", byte) == 0);
    }
}

static void line(trace *t, const char *word, hc_slice bytes)
{
    text(t, word);
    escaped(t, bytes);
    text(t, "\n");
}

static void number(trace *t, const char *word, uint64_t value)
{
    REQUIRE(hc_buf_printf(t->out, "%s %llu\n", word, (unsigned long long)value) == 0);
}

static void head_lines(trace *t, const hc_request *r)
{
    static const char *const forms[] = {"form origin\n", "form absolute\n", "form asterisk\n"};
    REQUIRE(!r->chunked || (!r->has_content_length && r->content_length == 0 && r->minor == 1));
    REQUIRE(hc_slice_find(r->path, '\0') < 0);
    REQUIRE(r->host.size || r->minor == 0);
    text(t, "accept ");
    escaped(t, r->method);
    line(t, " ", r->path);
    text(t, forms[r->form]);
    line(t, "target ", r->target);
    line(t, "raw-path ", r->raw_path);
    line(t, "query ", r->query);
    number(t, "minor", r->minor);
    line(t, "host ", r->host);
    text(t, hc_request_path_is_ambiguous(r) ? "ambiguous\n" : "clear\n");
    text(t, r->keep_alive ? "keep-alive\n" : "close\n");
    text(t, r->expect_continue ? "expect\n" : "expect-nothing\n");
    if (r->chunked)
        text(t, "chunked\n");
    else if (r->has_content_length)
        number(t, "length", r->content_length);
    else
        text(t, "no-length\n");
    number(t, "headers", r->header_count);
    for (size_t i = 0; i < r->header_count; i++) {
        text(t, "header ");
        escaped(t, r->headers[i].name);
        line(t, ": ", r->headers[i].value);
        if (hc_header_is_reserved(r->headers[i].name))
            line(t, "reserved ", r->headers[i].name);
    }
}

static void data_line(trace *t, hc_slice piece, hc_slice data)
{
    REQUIRE(data.size > 0);
    REQUIRE(data.at >= piece.at && data.at + data.size <= piece.at + piece.size);
    if (!t->in_data)
        text(t, "body ");
    t->in_data = true;
    escaped(t, data);
}

static void error_lines(trace *t, const hc_h1_event *e)
{
    hc_h1_event again;
    size_t consumed = 1;
    number(t, "reject", (uint64_t)e->status);
    text(t, "reason ");
    text(t, e->reason);
    text(t, "\n");
    hc_h1_decode(&t->decoder, HC_SLICE_LITERAL("GET / HTTP/1.0\r\n\r\n"), &consumed, &again);
    REQUIRE(again.type == HC_H1_ERROR && consumed == 0);
    REQUIRE(again.status == e->status && again.reason == e->reason);
}

/* False where this piece is done with. */
static bool one_event(trace *t, hc_slice *piece)
{
    hc_h1_event e;
    size_t consumed = 0;
    hc_h1_decode(&t->decoder, *piece, &consumed, &e);
    REQUIRE(consumed <= piece->size);
    if (t->in_data && e.type != HC_H1_DATA && e.type != HC_H1_NEED_MORE) {
        text(t, "\n");
        t->in_data = false;
    }
    switch (e.type) {
    case HC_H1_NEED_MORE:
        REQUIRE(consumed == piece->size);
        return false;
    case HC_H1_HEAD:
        REQUIRE(!t->in_body);
        t->in_body = true;
        head_lines(t, &t->decoder.request);
        break;
    case HC_H1_DATA:
        REQUIRE(t->in_body);
        data_line(t, *piece, e.data);
        break;
    case HC_H1_END:
        REQUIRE(t->in_body);
        t->in_body = false;
        text(t, "end\n");
        hc_h1_reset(&t->decoder);
        break;
    case HC_H1_ERROR:
        t->failed = true;
        error_lines(t, &e);
        return false;
    }
    *piece = hc_slice_from(*piece, consumed);
    return true;
}

static void feed(trace *t, hc_slice bytes)
{
    uint8_t *copy = malloc(bytes.size);
    REQUIRE(copy);
    memcpy(copy, bytes.at, bytes.size);
    hc_slice piece = hc_slice_of(copy, bytes.size);
    while (one_event(t, &piece)) {
    }
    free(copy);
}

void h1_trace(const hc_h1_limits *limits, hc_slice in, const size_t *sizes, size_t size_count,
              hc_buf *out)
{
    trace t = {.out = out};
    hc_h1_init(&t.decoder, limits);
    for (size_t i = 0; in.size && !t.failed; i++) {
        size_t size = sizes[i % size_count] ? sizes[i % size_count] : 1;
        size = size < in.size ? size : in.size;
        feed(&t, hc_slice_of(in.at, size));
        in = hc_slice_from(in, size);
    }
    if (t.in_data)
        text(&t, "\n");
    if (!t.failed && (t.in_body || hc_h1_in_head(&t.decoder)))
        text(&t, "more\n");
    hc_h1_done(&t.decoder);
}
