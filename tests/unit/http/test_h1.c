/* The decoder where a vector cannot say it: memory, reuse, large heads. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "faults.h"
#include "http/h1.h"

static const hc_h1_limits limits = {8190, 100, 8190, 1000};
static const hc_h1_limits high_limits = {65536, 1000, 65536, 1000};

/* Feeds pieces of `size` until something is to be said, which is returned. */
static hc_h1_event feed(hc_h1 *d, hc_slice *in, size_t size)
{
    hc_h1_event event = {.type = HC_H1_NEED_MORE};
    while (in->size && event.type == HC_H1_NEED_MORE) {
        size_t consumed = 0;
        hc_slice piece = hc_slice_of(in->at, size < in->size ? size : in->size);
        hc_h1_decode(d, piece, &consumed, &event);
        *in = hc_slice_from(*in, consumed);
    }
    return event;
}

static hc_h1_event feed_text(hc_h1 *d, const char *text)
{
    hc_slice in = hc_slice_text(text);
    return feed(d, &in, SIZE_MAX);
}

static void add(hc_buf *b, const char *text)
{
    assert_int_equal(hc_buf_add_text(b, text), 0);
}

/* A request with so many fields of about so many bytes each. */
static hc_buf large_head(size_t fields, int field_bytes)
{
    hc_buf b = hc_buf_init(SIZE_MAX);
    add(&b, "GET /a%20b?q HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 0; i < fields; i++)
        assert_int_equal(hc_buf_printf(&b, "X-%05zu: %0*zu\r\n", i, field_bytes, i), 0);
    add(&b, "\r\n");
    return b;
}

static void assert_large_head_is_intact(const hc_request *r, size_t fields)
{
    assert_true(hc_slice_equal_text(r->method, "GET"));
    assert_true(hc_slice_equal_text(r->target, "/a%20b?q"));
    assert_true(hc_slice_equal_text(r->path, "/a b"));
    assert_true(hc_slice_equal_text(r->host, "a"));
    assert_int_equal(r->header_count, fields + 1);
    for (size_t i = 0; i < fields; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "X-%05zu", i);
        assert_true(hc_slice_equal_text(r->headers[i + 1].name, name));
        assert_int_equal(strtoul((const char *)r->headers[i + 1].value.at, NULL, 10), i);
    }
}

static void test_slices_stay_right_while_the_head_grows(void **state)
{
    (void)state;
    hc_buf input = large_head(900, 50);
    for (size_t size = 1; size <= 4096; size *= 8) {
        hc_h1 d;
        hc_h1_init(&d, &high_limits);
        hc_slice in = hc_buf_slice(&input);
        assert_int_equal(feed(&d, &in, size).type, HC_H1_HEAD);
        assert_large_head_is_intact(&d.request, 900);
        hc_h1_done(&d);
    }
    hc_buf_done(&input);
}

static void test_a_head_past_the_limit_of_all_heads_is_431(void **state)
{
    (void)state;
    hc_buf input = large_head(900, 200);
    for (size_t size = 1; size <= input.size; size = size * 13 + 1) {
        hc_h1 d;
        hc_h1_init(&d, &high_limits);
        hc_slice in = hc_buf_slice(&input);
        hc_h1_event event = feed(&d, &in, size);
        assert_int_equal(event.type, HC_H1_ERROR);
        assert_int_equal(event.status, 431);
        assert_string_equal(event.reason, "the head is too large");
        assert_true(d.head.size <= HC_LIMIT_REQUEST_HEAD);
        hc_h1_done(&d);
    }
    hc_buf_done(&input);
}

static void test_a_chunk_line_past_its_limit_is_400(void **state)
{
    (void)state;
    for (size_t extension = HC_LIMIT_CHUNK_LINE - 3; extension <= HC_LIMIT_CHUNK_LINE;
         extension++) {
        hc_h1 d;
        hc_h1_init(&d, &limits);
        assert_int_equal(
            feed_text(&d, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").type,
            HC_H1_HEAD);
        assert_int_equal(feed_text(&d, "0;").type, HC_H1_NEED_MORE);
        hc_h1_event event = {.type = HC_H1_NEED_MORE};
        for (size_t i = 0; i < extension && event.type == HC_H1_NEED_MORE; i++)
            event = feed_text(&d, "x");
        bool fits = extension + 2 <= HC_LIMIT_CHUNK_LINE;
        assert_int_equal(event.type, fits ? HC_H1_NEED_MORE : HC_H1_ERROR);
        assert_int_equal(event.status, fits ? 0 : 400);
        hc_h1_done(&d);
    }
}

static void test_leading_zeros_of_a_chunk_size_are_bounded(void **state)
{
    (void)state;
    hc_h1 d;
    hc_h1_init(&d, &limits);
    (void)feed_text(&d, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    hc_h1_event event = {.type = HC_H1_NEED_MORE};
    size_t zeros = 0;
    for (; zeros <= HC_LIMIT_CHUNK_LINE && event.type == HC_H1_NEED_MORE; zeros++)
        event = feed_text(&d, "0");
    assert_int_equal(event.status, 400);
    assert_int_equal(zeros, HC_LIMIT_CHUNK_LINE + 1);
    hc_h1_done(&d);
}

static void test_trailers_are_bounded_all_together(void **state)
{
    (void)state;
    hc_h1 d;
    hc_h1_init(&d, &high_limits);
    (void)feed_text(&d, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    hc_h1_event event = feed_text(&d, "0\r\n");
    size_t lines = 0;
    for (; lines < HC_LIMIT_TRAILERS && event.type == HC_H1_NEED_MORE; lines++)
        event = feed_text(&d, "X-Trailer: 0123456789012345678901234567890123456789\r\n");
    assert_int_equal(event.status, 431);
    assert_true(lines * 51 <= HC_LIMIT_TRAILERS + 51);
    hc_h1_done(&d);
}

static void test_in_head_tells_a_slow_request_from_an_idle_connection(void **state)
{
    (void)state;
    hc_h1 d;
    hc_h1_init(&d, &limits);
    assert_false(hc_h1_in_head(&d));
    assert_int_equal(feed_text(&d, "\r\n").type, HC_H1_NEED_MORE);
    assert_false(hc_h1_in_head(&d));
    assert_int_equal(feed_text(&d, "G").type, HC_H1_NEED_MORE);
    assert_true(hc_h1_in_head(&d));
    assert_int_equal(feed_text(&d, "ET / HTTP/1.1\r\nHost: a\r\n").type, HC_H1_NEED_MORE);
    assert_true(hc_h1_in_head(&d));
    assert_int_equal(feed_text(&d, "Content-Length: 1\r\n\r\n").type, HC_H1_HEAD);
    assert_false(hc_h1_in_head(&d));
    assert_int_equal(feed_text(&d, "x").type, HC_H1_DATA);
    assert_int_equal(feed_text(&d, "y").type, HC_H1_END);
    hc_h1_reset(&d);
    assert_false(hc_h1_in_head(&d));
    hc_h1_done(&d);
}

static void test_nothing_is_consumed_after_the_end_until_reset(void **state)
{
    (void)state;
    hc_h1 d;
    hc_h1_event event;
    size_t consumed = 0;
    hc_h1_init(&d, &limits);
    hc_slice two =
        HC_SLICE_LITERAL("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(feed(&d, &two, SIZE_MAX).type, HC_H1_HEAD);
    for (int i = 0; i < 3; i++) {
        hc_h1_decode(&d, two, &consumed, &event);
        assert_int_equal(event.type, HC_H1_END);
        assert_int_equal(consumed, 0);
    }
    assert_true(hc_slice_equal_text(d.request.path, "/"));
    hc_h1_reset(&d);
    assert_int_equal(feed(&d, &two, SIZE_MAX).type, HC_H1_HEAD);
    assert_true(hc_slice_equal_text(d.request.path, "/b"));
    hc_h1_done(&d);
}

static void test_an_ordinary_request_on_a_kept_connection_allocates_nothing(void **state)
{
    (void)state;
    const char *request =
        "GET /a%20b HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n";
    faults_begin(0);
    hc_h1 d;
    hc_h1_init(&d, &limits);
    assert_int_equal(feed_text(&d, request).type, HC_H1_HEAD);
    hc_h1_reset(&d);
    size_t before = faults_calls;
    assert_int_equal(feed_text(&d, request).type, HC_H1_HEAD);
    assert_int_equal(faults_calls, before);
    hc_h1_done(&d);
    assert_int_equal(faults_live, 0);
    faults_end();
}

static void test_a_large_head_is_not_kept_for_an_idle_connection(void **state)
{
    (void)state;
    hc_buf input = large_head(90, 100);
    hc_h1 d;
    hc_h1_init(&d, &limits);
    hc_slice in = hc_buf_slice(&input);
    assert_int_equal(feed(&d, &in, SIZE_MAX).type, HC_H1_HEAD);
    hc_h1_reset(&d);
    assert_int_equal(d.head.capacity + d.decoded.capacity + d.header_capacity * sizeof(hc_header),
                     d.decoded.capacity);
    assert_true(d.decoded.capacity <= 512);
    hc_h1_done(&d);
    hc_buf_done(&input);
}

static void test_any_allocation_that_fails_gives_500_for_ever(void **state)
{
    (void)state;
    hc_buf input = large_head(90, 100);
    bool failed = true;
    size_t n = 0;
    while (failed) {
        hc_h1 d;
        hc_h1_init(&d, &limits);
        hc_slice in = hc_buf_slice(&input);
        faults_begin(++n);
        hc_h1_event event = feed(&d, &in, 50);
        failed = event.type == HC_H1_ERROR;
        if (failed) {
            assert_int_equal(event.status, 500);
            assert_int_equal(feed_text(&d, "GET / HTTP/1.0\r\n\r\n").status, 500);
        } else {
            assert_large_head_is_intact(&d.request, 90);
        }
        hc_h1_done(&d);
        assert_int_equal(faults_live, 0);
        faults_end();
    }
    assert_true(n > 5); /* the head grew, the header table grew, the path was decoded */
    hc_buf_done(&input);
}

static void test_done_leaves_a_decoder_that_can_be_used_again(void **state)
{
    (void)state;
    hc_h1 d;
    hc_h1_init(&d, &limits);
    assert_int_equal(feed_text(&d, "GET  /").type, HC_H1_NEED_MORE);
    hc_h1_done(&d);
    hc_h1_done(&d);
    assert_int_equal(feed_text(&d, "GET / HTTP/1.0\r\n\r\n").type, HC_H1_HEAD);
    hc_h1_done(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_stay_right_while_the_head_grows),
        cmocka_unit_test(test_a_head_past_the_limit_of_all_heads_is_431),
        cmocka_unit_test(test_a_chunk_line_past_its_limit_is_400),
        cmocka_unit_test(test_leading_zeros_of_a_chunk_size_are_bounded),
        cmocka_unit_test(test_trailers_are_bounded_all_together),
        cmocka_unit_test(test_in_head_tells_a_slow_request_from_an_idle_connection),
        cmocka_unit_test(test_nothing_is_consumed_after_the_end_until_reset),
        cmocka_unit_test(test_an_ordinary_request_on_a_kept_connection_allocates_nothing),
        cmocka_unit_test(test_a_large_head_is_not_kept_for_an_idle_connection),
        cmocka_unit_test(test_any_allocation_that_fails_gives_500_for_ever),
        cmocka_unit_test(test_done_leaves_a_decoder_that_can_be_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
