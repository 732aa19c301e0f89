#include "unit.h"

#include "base/limits.h"
#include "faults.h"
#include "http/response.h"

#define DATE S("Sun, 06 Nov 1994 08:49:37 GMT")

static const hc_request get_11 = {
    .method = {(const uint8_t *)"GET", 3}, .minor = 1, .keep_alive = true};
static const hc_request head_11 = {
    .method = {(const uint8_t *)"HEAD", 4}, .minor = 1, .keep_alive = true};
static const hc_request get_10 = {.method = {(const uint8_t *)"GET", 3}, .minor = 0};
static const hc_request get_10_keep = {
    .method = {(const uint8_t *)"GET", 3}, .minor = 0, .keep_alive = true};

static hc_response_head head_of(int status, const hc_header *headers, size_t count)
{
    return (hc_response_head){.status = status, .headers = headers, .header_count = count};
}

static int check_one(hc_slice name, hc_slice value, hc_err *err)
{
    hc_header h = {name, value};
    hc_response_head head = head_of(200, &h, 1);
    return hc_response_check(&head, err);
}

static void test_an_ordinary_head_passes(void **state)
{
    (void)state;
    hc_header headers[] = {{S("Content-Type"), S("text/html; charset=utf-8")},
                           {S("Content-Length"), S("5")},
                           {S("Set-Cookie"), S("a=b")},
                           {S("Set-Cookie"), S("c=\xc3\xa9\tx")},
                           {S("X-Empty"), S("")},
                           {S("Connection"), S("close")},
                           {S("Keep-Alive"), S("timeout=5")}};
    hc_response_head head = head_of(200, headers, HC_COUNT(headers));
    hc_err err = {0};
    assert_int_equal(hc_response_check(&head, &err), 0);
    assert_int_equal(err.code, 0);
}

static void test_names_that_are_no_tokens_are_refused(void **state)
{
    (void)state;
    hc_slice names[] = {S(""),    S("X Y"), S("X:"), S("X\r\nY"),
                        S("X\n"), S("X\0"), S(" X"), S("\xc3\xa9")};
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        hc_err err = {0};
        assert_int_equal(check_one(names[i], S("a"), &err), -HC_EFORMAT);
        assert_int_equal(err.code, HC_EFORMAT);
    }
}

static void test_values_that_would_split_the_response_are_refused(void **state)
{
    (void)state;
    hc_slice values[] = {
        S("a\r\nSet-Cookie: b=c"), S("a\n"), S("\r"), S("a\0b"), S("\x01"), S("\x7f")};
    for (size_t i = 0; i < HC_COUNT(values); i++)
        assert_int_equal(check_one(S("X"), values[i], NULL), -HC_EFORMAT);
}

static void test_a_reason_that_would_split_the_response_is_refused(void **state)
{
    (void)state;
    hc_response_head head = {.status = 200, .reason = S("OK\r\nX: y")};
    assert_int_equal(hc_response_check(&head, NULL), -HC_EFORMAT);
    head.reason = S("Tr\xe8s bien");
    assert_int_equal(hc_response_check(&head, NULL), 0);
}

static void test_hop_by_hop_headers_are_refused(void **state)
{
    (void)state;
    hc_slice names[] = {S("Transfer-Encoding"),
                        S("transfer-encoding"),
                        S("Upgrade"),
                        S("TE"),
                        S("Trailer"),
                        S("Trailers"),
                        S("Proxy-Authenticate"),
                        S("Proxy-Authorization")};
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        hc_err err = {0};
        assert_int_equal(check_one(names[i], S("chunked"), &err), -HC_EFORMAT);
        assert_non_null(strstr(err.text, (const char *)names[i].at));
    }
    assert_int_equal(check_one(S("Connection"), S("upgrade"), NULL), -HC_EFORMAT);
    assert_int_equal(check_one(S("Connection"), S("close, X-Mine"), NULL), -HC_EFORMAT);
    assert_int_equal(check_one(S("Connection"), S("Keep-Alive, Close"), NULL), 0);
}

static void test_content_length_is_one_decimal_number(void **state)
{
    (void)state;
    hc_slice values[] = {
        S(""), S("-1"), S("+1"), S("1, 1"), S("0x1"), S("1 "), S("18446744073709551616")};
    for (size_t i = 0; i < HC_COUNT(values); i++)
        assert_int_equal(check_one(S("Content-Length"), values[i], NULL), -HC_EFORMAT);
    hc_header twice[] = {{S("Content-Length"), S("1")}, {S("content-length"), S("1")}};
    hc_response_head head = head_of(200, twice, 2);
    assert_int_equal(hc_response_check(&head, NULL), -HC_EFORMAT);
}

static void test_a_status_outside_200_to_599_is_refused(void **state)
{
    (void)state;
    static const int wrong[] = {-1, 0, 99, 100, 101, 199, 600, 1000};
    for (size_t i = 0; i < HC_COUNT(wrong); i++) {
        hc_response_head head = head_of(wrong[i], NULL, 0);
        assert_int_equal(hc_response_check(&head, NULL), -HC_EFORMAT);
    }
    hc_response_head low = head_of(200, NULL, 0);
    hc_response_head high = head_of(599, NULL, 0);
    assert_int_equal(hc_response_check(&low, NULL), 0);
    assert_int_equal(hc_response_check(&high, NULL), 0);
}

static void test_too_many_or_too_large_headers_are_refused(void **state)
{
    (void)state;
    static hc_header many[HC_LIMIT_RESPONSE_FIELDS + 1];
    static uint8_t large[HC_LIMIT_RESPONSE_HEAD];
    for (size_t i = 0; i < HC_COUNT(many); i++)
        many[i] = (hc_header){S("X"), S("y")};
    hc_response_head head = head_of(200, many, HC_COUNT(many));
    assert_int_equal(hc_response_check(&head, NULL), -HC_EFORMAT);
    head.header_count--;
    assert_int_equal(hc_response_check(&head, NULL), 0);
    memset(large, 'x', sizeof(large));
    assert_int_equal(check_one(S("X"), hc_slice_of(large, sizeof(large)), NULL), -HC_EFORMAT);
    assert_int_equal(check_one(S("X"), hc_slice_of(large, sizeof(large) - 1), NULL), 0);
}

static void test_framing_by_length_and_by_chunks(void **state)
{
    (void)state;
    hc_header length = {S("content-length"), S("5")};
    hc_response_head with = head_of(200, &length, 1);
    hc_response_head without = head_of(200, NULL, 0);
    hc_framing f = hc_response_framing(&get_11, &with, false);
    assert_int_equal(f.body, HC_BODY_LENGTH);
    assert_int_equal(f.length, 5);
    assert_true(f.keep_alive);
    f = hc_response_framing(&get_11, &without, false);
    assert_int_equal(f.body, HC_BODY_CHUNKED);
    assert_true(f.keep_alive);
}

static void test_http_1_0_without_a_length_ends_with_the_connection(void **state)
{
    (void)state;
    hc_header length = {S("Content-Length"), S("5")};
    hc_response_head with = head_of(200, &length, 1);
    hc_response_head without = head_of(200, NULL, 0);
    hc_framing f = hc_response_framing(&get_10_keep, &without, false);
    assert_int_equal(f.body, HC_BODY_CLOSE);
    assert_false(f.keep_alive);
    f = hc_response_framing(&get_10_keep, &with, false);
    assert_int_equal(f.body, HC_BODY_LENGTH);
    assert_true(f.keep_alive);
    f = hc_response_framing(&get_10, &with, false);
    assert_false(f.keep_alive);
}

static void test_head_204_and_304_have_no_body(void **state)
{
    (void)state;
    hc_header length = {S("Content-Length"), S("5")};
    hc_response_head ok = head_of(200, &length, 1);
    hc_response_head no_content = head_of(204, &length, 1);
    hc_response_head not_modified = head_of(304, NULL, 0);
    assert_int_equal(hc_response_framing(&head_11, &ok, false).body, HC_BODY_NONE);
    assert_int_equal(hc_response_framing(&get_11, &no_content, false).body, HC_BODY_NONE);
    hc_framing f = hc_response_framing(&get_11, &not_modified, false);
    assert_int_equal(f.body, HC_BODY_NONE);
    assert_true(f.keep_alive);
    /* Without a body even HTTP/1.0 may go on. */
    assert_true(hc_response_framing(&get_10_keep, &not_modified, false).keep_alive);
}

static void test_server_and_application_may_wish_to_close(void **state)
{
    (void)state;
    hc_header wish = {S("connection"), S("Close")};
    hc_response_head with = head_of(200, &wish, 1);
    hc_response_head without = head_of(200, NULL, 0);
    assert_false(hc_response_framing(&get_11, &with, false).keep_alive);
    assert_false(hc_response_framing(&get_11, &without, true).keep_alive);
}

static void assert_encoded(const hc_request *request, const hc_response_head *head,
                           const char *expected)
{
    hc_buf out = hc_buf_init(HC_LIMIT_RESPONSE_HEAD);
    hc_framing framing = hc_response_framing(request, head, false);
    assert_int_equal(hc_response_encode(&out, head, &framing, DATE, request->minor), 0);
    assert_int_equal(out.size, strlen(expected));
    assert_memory_equal(out.at, expected, out.size);
    hc_buf_done(&out);
}

static void test_a_response_of_known_length(void **state)
{
    (void)state;
    hc_header headers[] = {{S("Content-Type"), S("text/plain")}, {S("content-length"), S("5")}};
    hc_response_head head = head_of(200, headers, 2);
    assert_encoded(&get_11, &head,
                   "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n"
                   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

static void test_a_chunked_response_with_a_reason_of_its_own(void **state)
{
    (void)state;
    hc_response_head head = {.status = 299, .reason = S("Fine")};
    assert_encoded(&get_11, &head,
                   "HTTP/1.1 299 Fine\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n");
}

static void test_a_date_and_server_of_the_application_stay(void **state)
{
    (void)state;
    hc_header headers[] = {{S("date"), S("Mon, 01 Jan 2024 00:00:00 GMT")},
                           {S("Server"), S("mine")}};
    hc_response_head head = head_of(404, headers, 2);
    assert_encoded(
        &get_11, &head,
        "HTTP/1.1 404 Not Found\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: mine\r\n"
        "Transfer-Encoding: chunked\r\n\r\n");
}

static void test_connection_headers_are_ours(void **state)
{
    (void)state;
    hc_header headers[] = {{S("Connection"), S("close")},
                           {S("Keep-Alive"), S("timeout=5")},
                           {S("Content-Length"), S("0")}};
    hc_response_head wish = head_of(200, headers, 3);
    assert_encoded(&get_11, &wish,
                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Connection: close\r\n\r\n");
    hc_response_head plain = head_of(200, headers + 2, 1);
    assert_encoded(&get_10_keep, &plain,
                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Connection: keep-alive\r\n\r\n");
    hc_response_head bare = head_of(200, NULL, 0);
    assert_encoded(&get_10, &bare,
                   "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Connection: close\r\n\r\n");
}

static void test_content_length_stays_for_head_and_304_but_not_for_204(void **state)
{
    (void)state;
    hc_header length = {S("Content-Length"), S("5")};
    hc_response_head ok = head_of(200, &length, 1);
    hc_response_head no_content = head_of(204, &length, 1);
    hc_response_head not_modified = head_of(304, &length, 1);
    assert_encoded(
        &head_11, &ok,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    assert_encoded(&get_11, &not_modified,
                   "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n"
                   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    assert_encoded(&get_11, &no_content,
                   "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

static void test_a_length_that_only_the_framing_knows_is_sent(void **state)
{
    (void)state;
    hc_response_head head = head_of(403, NULL, 0);
    hc_framing framing = {.body = HC_BODY_LENGTH, .length = UINT64_MAX, .keep_alive = true};
    hc_buf out = hc_buf_init(1000);
    assert_int_equal(hc_response_encode(&out, &head, &framing, HC_SLICE_NONE, 1), 0);
    const char *expected = "HTTP/1.1 403 Forbidden\r\nContent-Length: 18446744073709551615\r\n\r\n";
    assert_int_equal(out.size, strlen(expected));
    assert_memory_equal(out.at, expected, out.size);
    hc_buf_done(&out);
}

static void test_a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    hc_header header = {S("X"), S("0123456789")};
    hc_response_head head = head_of(200, &header, 1);
    hc_framing framing = {.body = HC_BODY_CHUNKED};
    size_t needed = 0;
    for (size_t limit = 3; needed == 0; limit++) {
        hc_buf out = hc_buf_init(limit);
        assert_int_equal(hc_buf_add_text(&out, "abc"), 0);
        int rc = hc_response_encode(&out, &head, &framing, DATE, 1);
        if (rc == 0)
            needed = out.size;
        else
            assert_int_equal(rc, -HC_ELIMIT);
        assert_int_equal(out.size, rc == 0 ? limit : 3);
        hc_buf_done(&out);
    }
}

static void test_no_memory_is_said_and_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    hc_response_head head = head_of(200, NULL, 0);
    hc_framing framing = {.body = HC_BODY_CHUNKED};
    hc_buf out = hc_buf_init(1000);
    faults_begin(1);
    assert_int_equal(hc_response_encode(&out, &head, &framing, DATE, 1), -HC_ENOMEM);
    faults_end();
    assert_int_equal(out.size, 0);
    hc_buf_done(&out);
}

static void test_chunk_prefixes(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *text;
    } cases[] = {{1, "1\r\n"},   {15, "f\r\n"},        {16, "10\r\n"},
                 {31, "1f\r\n"}, {65536, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        char out[20];
        size_t size = hc_chunk_prefix(cases[i].size, out);
        assert_int_equal(size, strlen(cases[i].text));
        assert_memory_equal(out, cases[i].text, size);
    }
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_s;
        const char *text;
    } cases[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},  {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {-5, "Thu, 01 Jan 1970 00:00:00 GMT"},         {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"}, {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        char out[30];
        hc_http_date(cases[i].wall_s, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void test_status_phrases(void **state)
{
    (void)state;
    assert_string_equal(hc_status_phrase(200), "OK");
    assert_string_equal(hc_status_phrase(431), "Request Header Fields Too Large");
    assert_string_equal(hc_status_phrase(511), "Network Authentication Required");
    assert_string_equal(hc_status_phrase(599), "Unknown");
    assert_string_equal(hc_status_phrase(-1), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_ordinary_head_passes),
        cmocka_unit_test(test_names_that_are_no_tokens_are_refused),
        cmocka_unit_test(test_values_that_would_split_the_response_are_refused),
        cmocka_unit_test(test_a_reason_that_would_split_the_response_is_refused),
        cmocka_unit_test(test_hop_by_hop_headers_are_refused),
        cmocka_unit_test(test_content_length_is_one_decimal_number),
        cmocka_unit_test(test_a_status_outside_200_to_599_is_refused),
        cmocka_unit_test(test_too_many_or_too_large_headers_are_refused),
        cmocka_unit_test(test_framing_by_length_and_by_chunks),
        cmocka_unit_test(test_http_1_0_without_a_length_ends_with_the_connection),
        cmocka_unit_test(test_head_204_and_304_have_no_body),
        cmocka_unit_test(test_server_and_application_may_wish_to_close),
        cmocka_unit_test(test_a_response_of_known_length),
        cmocka_unit_test(test_a_chunked_response_with_a_reason_of_its_own),
        cmocka_unit_test(test_a_date_and_server_of_the_application_stay),
        cmocka_unit_test(test_connection_headers_are_ours),
        cmocka_unit_test(test_content_length_stays_for_head_and_304_but_not_for_204),
        cmocka_unit_test(test_a_length_that_only_the_framing_knows_is_sent),
        cmocka_unit_test(test_a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(test_no_memory_is_said_and_leaves_the_buffer_as_it_was),
        cmocka_unit_test(test_chunk_prefixes),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_status_phrases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
