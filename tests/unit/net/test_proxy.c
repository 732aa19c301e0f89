#include "net/proxy.h"

#include <stdio.h>
#include <sys/un.h>

#include "base/limits.h"
#include "unit.h"

static void assert_address(const hc_address *a, const char *text, uint16_t wanted_port)
{
    char got[HC_ADDRESS_TEXT_BYTES];
    uint16_t port;
    hc_address_text(a, got, &port);
    assert_string_equal(got, text);
    assert_int_equal(port, wanted_port);
}

static void assert_refused(hc_slice in)
{
    hc_proxy p;
    hc_err err = {0};
    size_t consumed = 99;
    memset(&p, 0x5a, sizeof(p));
    int rc = hc_proxy_decode(in, &consumed, &p, &err);
    if (rc != -HC_EFORMAT)
        fail_msg("%d for \"%.*s\"", rc, HC_SLICE_ARGS(in));
    assert_int_equal(consumed, 99);
    assert_int_equal(((const uint8_t *)&p)[0], 0x5a);
    assert_true(err.text[0] != '\0');
}

/* Decodes, and checks that every part of it alone asks for more. */
static hc_proxy accepted(hc_slice in, size_t size)
{
    hc_proxy p;
    hc_err err = {0};
    size_t consumed = 0;
    for (size_t part = 0; part < size; part++) {
        int rc = hc_proxy_decode(hc_slice_of(in.at, part), &consumed, &p, &err);
        if (rc != -HC_EAGAIN)
            fail_msg("%d after %zu octets: %s", rc, part, err.text);
    }
    if (hc_proxy_decode(in, &consumed, &p, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(consumed, size);
    return p;
}

static void version_1_names_the_client(void **state)
{
    (void)state;
    hc_slice in = S("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n\x16\x03\x01");
    hc_proxy p = accepted(in, in.size - 3);
    assert_true(p.known);
    assert_address(&p.source, "192.0.2.1", 56324);
    assert_address(&p.destination, "198.51.100.2", 443);
    in = S("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n");
    p = accepted(in, in.size);
    assert_true(p.known);
    assert_address(&p.source, "2001:db8::1", 0);
    assert_address(&p.destination, "::1", 65535);
}

static void the_longest_line_of_version_1_is_taken_and_one_more_octet_is_not(void **state)
{
    (void)state;
    char line[120];
    const char *longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_int_equal(strlen(longest), 107);
    hc_proxy p = accepted(hc_slice_text(longest), 107);
    assert_false(p.known);
    (void)snprintf(line, sizeof(line), "%.105s9\r\n", longest);
    assert_refused(hc_slice_text(line));
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY ", 6);
    assert_refused(hc_slice_of(line, 107));
}

static void version_1_unknown_has_no_address(void **state)
{
    (void)state;
    hc_slice in = S("PROXY UNKNOWN\r\n");
    assert_false(accepted(in, in.size).known);
    in = S("PROXY UNKNOWN whatever it says\r\nGET");
    assert_false(accepted(in, in.size - 3).known);
}

static void version_1_is_read_strictly(void **state)
{
    static const char *const lines[] = {
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n",
        "PROXY TCP4 0x1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 1.2.3.4 1 2\r\n",
        "PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "GET / HTTP/1.1\r\n",
        "P ",
        "\x16\x03\x01",
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(lines); i++)
        assert_refused(hc_slice_text(lines[i]));
    assert_refused(S("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"));
}

#define SIGNATURE  "\r\n\r\n\0\r\nQUIT\n"
#define ADDRESSES4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"

static void version_2_names_the_client(void **state)
{
    (void)state;
    hc_slice in = S(SIGNATURE "\x21\x11\x00\x0c" ADDRESSES4 "\x16\x03\x01");
    hc_proxy p = accepted(in, in.size - 3);
    assert_true(p.known);
    assert_address(&p.source, "192.0.2.1", 56324);
    assert_address(&p.destination, "198.51.100.2", 443);
    in = S(SIGNATURE "\x21\x21\x00\x24"
                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                     "\x00\x50\x01\xbb");
    p = accepted(in, in.size);
    assert_address(&p.source, "2001:db8::1", 80);
    assert_address(&p.destination, "2001:db8::2", 443);
}

static void version_2_names_a_unix_peer(void **state)
{
    (void)state;
    uint8_t block[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/run/a";
    memcpy(block + 16 + 108, "/run/b", 6);
    hc_proxy p = accepted(hc_slice_of(block, sizeof(block)), sizeof(block));
    assert_true(p.known);
    assert_int_equal(p.source.storage.ss_family, AF_UNIX);
    assert_string_equal(((struct sockaddr_un *)&p.destination.storage)->sun_path, "/run/b");
    assert_address(&p.source, "", 0);
}

static void version_2_local_and_unspecified_have_no_address(void **state)
{
    (void)state;
    hc_slice in = S(SIGNATURE "\x20\x00\x00\x00");
    assert_false(accepted(in, in.size).known);
    in = S(SIGNATURE "\x20\x11\x00\x0c" ADDRESSES4);
    assert_false(accepted(in, in.size).known);
    in = S(SIGNATURE "\x20\xff\x00\x02??");
    assert_false(accepted(in, in.size).known);
    in = S(SIGNATURE "\x21\x00\x00\x03???");
    assert_false(accepted(in, in.size).known);
}

static void version_2_skips_tlvs_that_fit_and_refuses_others(void **state)
{
    (void)state;
    hc_slice in = S(SIGNATURE "\x21\x11\x00\x14" ADDRESSES4 "\x01\x00\x02h1\x04\x00\x00");
    assert_true(accepted(in, in.size).known);
    assert_refused(S(SIGNATURE "\x21\x11\x00\x0d" ADDRESSES4 "\x01"));
    assert_refused(S(SIGNATURE "\x21\x11\x00\x0f" ADDRESSES4 "\x01\x00\x01"));
    assert_refused(S(SIGNATURE "\x21\x11\x00\x0f" ADDRESSES4 "\x01\xff\xff"));
}

static void version_2_is_read_strictly(void **state)
{
    (void)state;
    assert_refused(S(SIGNATURE "\x11\x11\x00\x0c" ADDRESSES4)); /* version 1 */
    assert_refused(S(SIGNATURE "\x31"));
    assert_refused(S(SIGNATURE "\x22"));                        /* no such command */
    assert_refused(S(SIGNATURE "\x21\x12\x00\x0c" ADDRESSES4)); /* datagrams */
    assert_refused(S(SIGNATURE "\x21\x10\x00\x0c" ADDRESSES4)); /* half unspecified */
    assert_refused(S(SIGNATURE "\x21\x41\x00\x0c" ADDRESSES4)); /* no such family */
    assert_refused(S(SIGNATURE "\x21\x11\x00\x0b" ADDRESSES4)); /* short */
    assert_refused(S(SIGNATURE "\x21\x21\x00\x0c" ADDRESSES4)); /* IPv4's size for IPv6 */
    assert_refused(S("\r\n\r\n\0\r\nQUIX"));
    assert_refused(S("\r\n\r\n\r\n"));
}

static void version_2_over_the_limit_is_refused_before_it_is_whole(void **state)
{
    static uint8_t block[HC_LIMIT_PROXY_HEADER + 1] = SIGNATURE "\x20\x00";
    (void)state;
    size_t size = HC_LIMIT_PROXY_HEADER - 16;
    block[14] = (uint8_t)(size >> 8);
    block[15] = (uint8_t)(size & 0xff);
    assert_false(accepted(hc_slice_of(block, sizeof(block)), HC_LIMIT_PROXY_HEADER).known);
    block[14] = (uint8_t)((size + 1) >> 8);
    block[15] = (uint8_t)((size + 1) & 0xff);
    assert_refused(hc_slice_of(block, 16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_names_the_client),
        cmocka_unit_test(the_longest_line_of_version_1_is_taken_and_one_more_octet_is_not),
        cmocka_unit_test(version_1_unknown_has_no_address),
        cmocka_unit_test(version_1_is_read_strictly),
        cmocka_unit_test(version_2_names_the_client),
        cmocka_unit_test(version_2_names_a_unix_peer),
        cmocka_unit_test(version_2_local_and_unspecified_have_no_address),
        cmocka_unit_test(version_2_skips_tlvs_that_fit_and_refuses_others),
        cmocka_unit_test(version_2_is_read_strictly),
        cmocka_unit_test(version_2_over_the_limit_is_refused_before_it_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
