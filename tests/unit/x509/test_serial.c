#include "x509/serial.h"

#include <openssl/bn.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "unit.h"

static hc_serial parsed(const char *text, bool decimal)
{
    hc_serial s;
    hc_err err = {0};
    if (hc_serial_parse(hc_slice_text(text), decimal, &s, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return s;
}

static void assert_texts(const hc_serial *s, const char *hex, const char *upper,
                         const char *decimal)
{
    char text[HC_SERIAL_DECIMAL_BYTES];
    hc_serial_hex(s, text);
    assert_string_equal(text, hex);
    hc_serial_hex_upper(s, text);
    assert_string_equal(text, upper);
    hc_serial_decimal(s, text);
    assert_string_equal(text, decimal);
}

static void edge_values_have_one_text_in_each_form(void **state)
{
    static const char *const rows[][3] = {
        {"0", "00", "0"},
        {"1", "01", "1"},
        {"f", "0F", "15"},
        {"10", "10", "16"},
        {"80", "80", "128"},
        {"ff", "FF", "255"},
        {"100", "0100", "256"},
        {"1000", "1000", "4096"},
        {"-5", "-05", "-5"},
        {"-100", "-0100", "-256"},
        {"ffffffffffffffff", "FFFFFFFFFFFFFFFF", "18446744073709551615"},
        {"ffffffffffffffffffffffffffffffffffffffff", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
         "1461501637330902918203684832716283019655932542975"},
        {"-ffffffffffffffffffffffffffffffffffffffff", "-FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
         "-1461501637330902918203684832716283019655932542975"},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        hc_serial from_hex = parsed(rows[i][0], false);
        hc_serial from_upper = parsed(rows[i][1], false);
        hc_serial from_decimal = parsed(rows[i][2], true);
        assert_true(hc_serial_equal(&from_hex, &from_upper));
        assert_true(hc_serial_equal(&from_hex, &from_decimal));
        assert_texts(&from_hex, rows[i][0], rows[i][1], rows[i][2]);
    }
}

static void every_spelling_of_a_serial_is_the_same_serial(void **state)
{
    static const char *const spellings[] = {
        "1a2b",       "1A2B",  "01a2b",   "0x1a2b",  "0X1A2B",           "1a:2b",        "00:1A:2B",
        "0x00001A2b", " 1a2b", "\t1a2b ", "0:1a:2b", "0000000000001a2b", "0x00:00:1a:2b"};
    (void)state;
    hc_serial wanted = parsed("6699", true);
    for (size_t i = 0; i < HC_COUNT(spellings); i++) {
        hc_serial hex = parsed(spellings[i], false);
        hc_serial either = parsed(spellings[i], true);
        assert_true(hc_serial_equal(&hex, &wanted));
        assert_true(hc_serial_equal(&either, &wanted));
    }
}

static void only_bare_digits_are_read_as_told(void **state)
{
    (void)state;
    hc_serial decimal = parsed("10", true);
    hc_serial hex = parsed("10", false);
    hc_serial prefixed = parsed("0x10", true);
    hc_serial colons = parsed("00:10", true);
    assert_texts(&decimal, "a", "0A", "10");
    assert_texts(&hex, "10", "10", "16");
    assert_true(hc_serial_equal(&hex, &prefixed));
    assert_true(hc_serial_equal(&hex, &colons));
}

static void negative_zero_is_zero(void **state)
{
    (void)state;
    hc_serial zero = parsed("0", false);
    hc_serial minus = parsed("-0", false);
    hc_serial many = parsed("-0000", true);
    assert_true(hc_serial_equal(&zero, &minus));
    assert_true(hc_serial_equal(&zero, &many));
    assert_int_equal(zero.size, 0);
}

static void what_is_no_serial_is_refused_and_leaves_the_output(void **state)
{
    static const char *const bad[] = {"",    " ",     "-",     "0x",          "-0x",     "0x0x1",
                                      "1g",  "12 34", "1:2",   ":12",         "12:",     "1::2",
                                      "--1", "+1",    "1.5",   "1e",          "12:3",    "0x:1",
                                      "1-",  "\xC3",  "1234:", "10000:00000", "12:345:6"};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(bad); i++) {
        hc_serial s = parsed("7", false);
        hc_err err = {0};
        if (strcmp(bad[i], "1e") == 0)
            continue; /* hex */
        assert_int_equal(hc_serial_parse(hc_slice_text(bad[i]), false, &s, &err), -HC_EINVAL);
        assert_true(err.text[0]);
        assert_texts(&s, "7", "07", "7");
    }
}

static void a_serial_over_20_octets_is_refused_in_every_form(void **state)
{
    (void)state;
    hc_serial s;
    char zeros[2048];
    memset(zeros, '0', sizeof(zeros));
    assert_int_equal(
        hc_serial_parse(S("10000000000000000000000000000000000000000"), false, &s, NULL),
        -HC_EINVAL);
    assert_int_equal(
        hc_serial_parse(S("1461501637330902918203684832716283019655932542976"), true, &s, NULL),
        -HC_EINVAL);
    assert_int_equal(hc_serial_parse(hc_slice_of(zeros, sizeof(zeros)), true, &s, NULL),
                     -HC_EINVAL);
    assert_int_equal(hc_serial_parse(hc_slice_of(zeros, 1000), true, &s, NULL), 0);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static BIGNUM *random_number(uint64_t *seed)
{
    uint8_t octets[HC_LIMIT_SERIAL_OCTETS];
    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (uint8_t)(next_random(seed) >> 24);
    int size = (int)(next_random(seed) % (sizeof(octets) + 1));
    BIGNUM *number = BN_bin2bn(octets, size, NULL);
    assert_non_null(number);
    BN_set_negative(number, (int)(next_random(seed) & 1));
    return number;
}

/* OpenSSL's big numbers are the other opinion. */
static void random_serials_round_trip_through_every_form(void **state)
{
    uint64_t seed = 0x9E3779B97F4A7C15u;
    (void)state;
    for (int i = 0; i < 3000; i++) {
        hc_serial s;
        char hex[HC_SERIAL_HEX_BYTES];
        char decimal[HC_SERIAL_DECIMAL_BYTES];
        BIGNUM *number = random_number(&seed);
        ASN1_INTEGER *asn1 = BN_to_ASN1_INTEGER(number, NULL);
        char *wanted = BN_bn2dec(number);
        assert_int_equal(hc_serial_from_asn1(asn1, &s, NULL), 0);
        hc_serial_decimal(&s, decimal);
        assert_string_equal(decimal, BN_is_zero(number) ? "0" : wanted);
        hc_serial_hex(&s, hex);
        hc_serial again = parsed(hex, false);
        assert_true(hc_serial_equal(&s, &again));
        again = parsed(decimal, true);
        assert_true(hc_serial_equal(&s, &again));
        hc_serial_hex_upper(&s, hex);
        again = parsed(hex, false);
        assert_true(hc_serial_equal(&s, &again));
        OPENSSL_free(wanted);
        ASN1_INTEGER_free(asn1);
        BN_free(number);
    }
}

static void an_asn1_integer_over_20_octets_is_refused(void **state)
{
    uint8_t octets[21] = {1};
    (void)state;
    hc_serial s;
    hc_err err = {0};
    BIGNUM *number = BN_bin2bn(octets, sizeof(octets), NULL);
    ASN1_INTEGER *asn1 = BN_to_ASN1_INTEGER(number, NULL);
    assert_int_equal(hc_serial_from_asn1(asn1, &s, &err), -HC_EFORMAT);
    assert_non_null(strstr(err.text, "20 octets"));
    ASN1_INTEGER_free(asn1);
    BN_free(number);
}

static void serials_that_differ_are_not_equal(void **state)
{
    (void)state;
    hc_serial five = parsed("5", false);
    hc_serial minus = parsed("-5", false);
    hc_serial large = parsed("500", false);
    hc_serial six = parsed("6", false);
    assert_false(hc_serial_equal(&five, &minus));
    assert_false(hc_serial_equal(&five, &large));
    assert_false(hc_serial_equal(&five, &six));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edge_values_have_one_text_in_each_form),
        cmocka_unit_test(every_spelling_of_a_serial_is_the_same_serial),
        cmocka_unit_test(only_bare_digits_are_read_as_told),
        cmocka_unit_test(negative_zero_is_zero),
        cmocka_unit_test(what_is_no_serial_is_refused_and_leaves_the_output),
        cmocka_unit_test(a_serial_over_20_octets_is_refused_in_every_form),
        cmocka_unit_test(random_serials_round_trip_through_every_form),
        cmocka_unit_test(an_asn1_integer_over_20_octets_is_refused),
        cmocka_unit_test(serials_that_differ_are_not_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
