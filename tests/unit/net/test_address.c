#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "net/listener.h"
#include "unit.h"

static hc_address address(const char *text, uint16_t port)
{
    hc_address a = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&a.storage, &in, sizeof(in));
        a.size = sizeof(in);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&a.storage, &in6, sizeof(in6));
        a.size = sizeof(in6);
    }
    return a;
}

static hc_address unix_address(void)
{
    hc_address a = {.size = sizeof(struct sockaddr_un)};
    a.storage.ss_family = AF_UNIX;
    return a;
}

static void an_address_is_written_in_its_canonical_form(void **state)
{
    static const char *const texts[][2] = {
        {"127.0.0.1", "127.0.0.1"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"::1", "::1"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(texts); i++) {
        hc_address a = address(texts[i][0], 8443);
        char out[HC_ADDRESS_TEXT_BYTES];
        uint16_t port = 0;
        hc_address_text(&a, out, &port);
        assert_string_equal(out, texts[i][1]);
        assert_int_equal(port, 8443);
        hc_address_text(&a, out, NULL);
        assert_string_equal(out, texts[i][1]);
    }
}

static void a_link_local_address_keeps_its_scope(void **state)
{
    (void)state;
    hc_address a = address("fe80::1", 1);
    char out[HC_ADDRESS_TEXT_BYTES];
    ((struct sockaddr_in6 *)&a.storage)->sin6_scope_id = if_nametoindex("lo");
    hc_address_text(&a, out, NULL);
    assert_string_equal(out, "fe80::1%lo");
}

static void what_has_no_ip_address_is_empty_text(void **state)
{
    (void)state;
    hc_address cases[] = {unix_address(), {.size = 0}, address("127.0.0.1", 1)};
    cases[2].size = 3; /* cut short */
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        char out[HC_ADDRESS_TEXT_BYTES] = "x";
        uint16_t port = 7;
        hc_address_text(&cases[i], out, &port);
        assert_string_equal(out, "");
        assert_int_equal(port, 0);
    }
}

static bool contains(const char *network, const char *text)
{
    hc_network n;
    hc_err err = {0};
    if (hc_network_parse(hc_slice_text(network), &n, &err) != 0)
        fail_msg("%s", err.text);
    hc_address a = address(text, 1);
    return hc_network_contains(&n, &a);
}

static void a_network_holds_its_own_addresses_and_no_others(void **state)
{
    (void)state;
    assert_true(contains("127.0.0.1", "127.0.0.1"));
    assert_true(contains("127.0.0.1", "::ffff:127.0.0.1"));
    assert_false(contains("127.0.0.1", "127.0.0.2"));
    assert_false(contains("127.0.0.1", "::1"));
    assert_true(contains("10.0.0.0/8", "10.255.1.2"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0"));
    assert_true(contains("192.0.2.128/25", "192.0.2.200"));
    assert_false(contains("192.0.2.128/25", "192.0.2.127"));
    assert_true(contains("0.0.0.0/0", "203.0.113.9"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(contains("::1", "::1"));
    assert_false(contains("::1", "::2"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(contains("::/0", "2001:db8::1"));
    assert_false(contains("::/0", "127.0.0.1"));
    assert_true(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert_true(contains("*", "203.0.113.9"));
    assert_false(contains("unix", "127.0.0.1"));
}

static void a_unix_peer_is_in_unix_and_in_the_star_alone(void **state)
{
    static const struct {
        const char *network;
        bool in;
    } cases[] = {{"unix", true}, {"*", true}, {"0.0.0.0/0", false}, {"::/0", false}};
    (void)state;
    hc_address a = unix_address();
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        hc_network n;
        assert_int_equal(hc_network_parse(hc_slice_text(cases[i].network), &n, NULL), 0);
        assert_int_equal(hc_network_contains(&n, &a), cases[i].in);
    }
}

static void what_is_no_network_is_refused_with_an_example(void **state)
{
    static const char *const texts[] = {
        "",           "localhost", "10.0.0.0/33", "10.0.0.0/",   "/8",          "10.0.0.0/8/8",
        "10.0.0/8",   "::/129",    "10.0.0.1/8",  "::1/64",      "10.0.0.0/-1", "10.0.0.0/08000",
        "127.0.0.1 ", "**",        "UNIX",        "10.0.0.0/+8", "fe80::1%lo",  "\x1b[31m",
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(texts); i++) {
        hc_network n = {.prefix_bits = 77};
        hc_err err = {0};
        if (hc_network_parse(hc_slice_text(texts[i]), &n, &err) != -HC_EINVAL)
            fail_msg("%s was taken", texts[i]);
        assert_int_equal(n.prefix_bits, 77);
        assert_non_null(strstr(err.text, "10.0.0.0/8"));
        assert_null(strchr(err.text, '\x1b'));
    }
    hc_network n;
    assert_int_equal(hc_network_parse(S("127.0.0.1\0"), &n, NULL), -HC_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_written_in_its_canonical_form),
        cmocka_unit_test(a_link_local_address_keeps_its_scope),
        cmocka_unit_test(what_has_no_ip_address_is_empty_text),
        cmocka_unit_test(a_network_holds_its_own_addresses_and_no_others),
        cmocka_unit_test(a_unix_peer_is_in_unix_and_in_the_star_alone),
        cmocka_unit_test(what_is_no_network_is_refused_with_an_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
