#include "authority/profile.h"

#include "../unit.h"

static void assert_name(hc_slice name, int wanted)
{
    hc_err err = {0};
    assert_int_equal(hc_profile_check_name(name, &err), wanted);
    if (wanted)
        assert_memory_equal(err.text, "a client's name ", 16);
}

static void test_ordinary_names_are_taken(void **state)
{
    (void)state;
    assert_name(S("alice"), 0);
    assert_name(S("meter-7_b.example"), 0);
    assert_name(S("J\xc3\xbcrgen M\xc3\xbcller"), 0);
    assert_name(S("\xe5\xb1\xb1\xe7\x94\xb0"), 0);
    assert_name(S("0123456789012345678901234567890123456789012345678901234567890123"), 0); /* 64 */
}

static void test_names_that_lead_out_of_the_folder_are_refused(void **state)
{
    (void)state;
    assert_name(S(""), -HC_EINVAL);
    assert_name(S("."), -HC_EINVAL);
    assert_name(S(".."), -HC_EINVAL);
    assert_name(S("../ca/ca"), -HC_EINVAL);
    assert_name(S("a/b"), -HC_EINVAL);
    assert_name(S("a\\b"), -HC_EINVAL);
    assert_name(S(".hidden"), -HC_EINVAL);
    assert_name(S("-rf"), -HC_EINVAL);
    assert_name(S("01234567890123456789012345678901234567890123456789012345678901234"), -HC_EINVAL);
}

static void test_names_that_show_as_something_else_are_refused(void **state)
{
    (void)state;
    assert_name(S("al\0ice"), -HC_EINVAL);
    assert_name(S("al\nice"), -HC_EINVAL);
    assert_name(S("al\x1b[31mice"), -HC_EINVAL);
    assert_name(S("al\x7fice"), -HC_EINVAL);
    assert_name(S(" alice"), -HC_EINVAL);
    assert_name(S("alice "), -HC_EINVAL);
    assert_name(S("al\xffice"), -HC_EINVAL);
    assert_name(S("al\xc0\xafice"), -HC_EINVAL);     /* overlong '/' */
    assert_name(S("al\xe2\x80\xaeice"), -HC_EINVAL); /* right-to-left override */
    assert_name(S("al\xe2\x80\x8bice"), -HC_EINVAL); /* zero-width space */
}

static void assert_host(hc_slice host, int wanted)
{
    hc_err err = {0};
    assert_int_equal(hc_profile_check_host(host, &err), wanted);
}

static void test_names_and_addresses_are_hosts(void **state)
{
    (void)state;
    assert_host(S("localhost"), 0);
    assert_host(S("shop.example"), 0);
    assert_host(S("*.shop.example"), 0);
    assert_host(S("xn--mller-kva.example"), 0);
    assert_host(S("3com.example"), 0);
    assert_host(S("127.0.0.1"), 0);
    assert_host(S("::1"), 0);
    assert_host(S("2001:db8::1"), 0);
}

static void test_what_no_client_can_reach_is_no_host(void **state)
{
    (void)state;
    static const char long_label[] =
        "a123456789012345678901234567890123456789012345678901234567890123";
    assert_host(S("a_b.local"), -HC_EINVAL);
    assert_host(S(""), -HC_EINVAL);
    assert_host(S("a..b"), -HC_EINVAL);
    assert_host(S(".a"), -HC_EINVAL);
    assert_host(S("a."), -HC_EINVAL);
    assert_host(S("-a"), -HC_EINVAL);
    assert_host(S("a-"), -HC_EINVAL);
    assert_host(S("a b"), -HC_EINVAL);
    assert_host(S("a\0.example"), -HC_EINVAL);
    assert_host(S("m\xc3\xbcller.example"), -HC_EINVAL);
    assert_host(S("127.0.0.256"), -HC_EINVAL);
    assert_host(S("1.2.3"), -HC_EINVAL);
    assert_host(S("[::1]"), -HC_EINVAL);
    assert_host(S("localhost:8443"), -HC_EINVAL);
    assert_host(S("*"), -HC_EINVAL);
    assert_host(S("*."), -HC_EINVAL);
    assert_host(S("a.*.b"), -HC_EINVAL);
    assert_host(S("https://a"), -HC_EINVAL);
    assert_int_equal(sizeof(long_label) - 1, 64);
    assert_host(S(long_label), -HC_EINVAL);
}

static void test_an_address_is_given_in_octets(void **state)
{
    (void)state;
    uint8_t out[16];
    assert_int_equal(hc_san_address("10.0.0.1", out), 4);
    assert_memory_equal(out, "\x0a\0\0\1", 4);
    assert_int_equal(hc_san_address("::1", out), 16);
    assert_int_equal(out[15], 1);
    assert_int_equal(hc_san_address("localhost", out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ordinary_names_are_taken),
        cmocka_unit_test(test_names_that_lead_out_of_the_folder_are_refused),
        cmocka_unit_test(test_names_that_show_as_something_else_are_refused),
        cmocka_unit_test(test_names_and_addresses_are_hosts),
        cmocka_unit_test(test_what_no_client_can_reach_is_no_host),
        cmocka_unit_test(test_an_address_is_given_in_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
