#include "base/str.h"

#include "base/err.h"
#include "faults.h"
#include "unit.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static void hex_is_lower_case_and_two_digits_a_byte(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(100);
    assert_int_equal(hc_hex_add(&b, S("\x00\x09\xAB\xFF")), 0);
    assert_int_equal(hc_hex_add(&b, HC_SLICE_NONE), 0);
    assert_slice(hc_buf_slice(&b), "0009abff");
    hc_buf_done(&b);
}

static void hex_that_does_not_fit_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(5);
    assert_int_equal(hc_hex_add(&b, S("ab")), 0);
    assert_int_equal(hc_hex_add(&b, S("c")), -HC_ELIMIT);
    assert_slice(hc_buf_slice(&b), "6162");
    hc_buf_done(&b);

    b = hc_buf_init(SIZE_MAX);
    faults_begin(1);
    assert_int_equal(hc_hex_add(&b, S("c")), -HC_ENOMEM);
    /* Never read: twice its size is more than there are numbers. */
    assert_int_equal(hc_hex_add(&b, hc_slice_of("", SIZE_MAX / 2 + 1)), -HC_ELIMIT);
    assert_int_equal(b.size, 0);
    hc_buf_done(&b);
}

static void hex_digits_are_22_bytes_and_no_other(void **state)
{
    (void)state;
    unsigned found = 0;
    for (unsigned byte = 0; byte < 256; byte++)
        found += hc_hex_digit((uint8_t)byte) >= 0;
    assert_int_equal(found, 22);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(hc_hex_digit((uint8_t) "0123456789abcdef"[i]), i);
        assert_int_equal(hc_hex_digit((uint8_t) "0123456789ABCDEF"[i]), i);
    }
}

typedef bool (*parser)(hc_slice text, uint64_t *out);

static void assert_parses(parser parse, hc_slice text, uint64_t wanted)
{
    uint64_t out = 4711;
    assert_true(parse(text, &out));
    assert_true(out == wanted);
}

static void assert_refuses(parser parse, hc_slice text)
{
    uint64_t out = 4711;
    assert_false(parse(text, &out));
    assert_true(out == 4711);
}

static void decimal_numbers_up_to_the_largest_are_read(void **state)
{
    (void)state;
    assert_parses(hc_parse_u64, S("0"), 0);
    assert_parses(hc_parse_u64, S("007"), 7);
    assert_parses(hc_parse_u64, S("9999999999999999999"), 9999999999999999999u);
    assert_parses(hc_parse_u64, S("18446744073709551615"), UINT64_MAX);
    assert_parses(hc_parse_u64, S("000000000000000000000000000000018446744073709551615"),
                  UINT64_MAX);
}

static void a_number_with_anything_but_digits_is_refused(void **state)
{
    (void)state;
    assert_refuses(hc_parse_u64, HC_SLICE_NONE);
    assert_refuses(hc_parse_u64, S(""));
    assert_refuses(hc_parse_u64, S("+1"));
    assert_refuses(hc_parse_u64, S("-1"));
    assert_refuses(hc_parse_u64, S(" 1"));
    assert_refuses(hc_parse_u64, S("1 "));
    assert_refuses(hc_parse_u64, S("1\n"));
    assert_refuses(hc_parse_u64, S("1\0"));
    assert_refuses(hc_parse_u64, S("0x10"));
    assert_refuses(hc_parse_u64, S("1_000"));
    assert_refuses(hc_parse_u64, S("1/"));
    assert_refuses(hc_parse_u64, S("1:"));
    assert_refuses(hc_parse_u64, S("\xD9\xA1")); /* ARABIC-INDIC DIGIT ONE */
}

static void a_number_that_overflows_is_refused(void **state)
{
    (void)state;
    assert_refuses(hc_parse_u64, S("18446744073709551616"));
    assert_refuses(hc_parse_u64, S("18446744073709551620"));
    assert_refuses(hc_parse_u64, S("184467440737095516150"));
    assert_refuses(hc_parse_u64, S("99999999999999999999999999999999"));
}

static void durations_are_read_in_every_unit(void **state)
{
    (void)state;
    assert_parses(hc_parse_duration_ms, S("90"), 90000);
    assert_parses(hc_parse_duration_ms, S("90s"), 90000);
    assert_parses(hc_parse_duration_ms, S("5m"), 300000);
    assert_parses(hc_parse_duration_ms, S("2h"), 7200000);
    assert_parses(hc_parse_duration_ms, S("30d"), 2592000000);
    assert_parses(hc_parse_duration_ms, S("250ms"), 250);
    assert_parses(hc_parse_duration_ms, S("0"), 0);
    assert_parses(hc_parse_duration_ms, S("18446744073709551615ms"), UINT64_MAX);
    assert_parses(hc_parse_duration_ms, S("18446744073709551s"), 18446744073709551000u);
}

static void a_duration_of_no_number_or_no_known_unit_is_refused(void **state)
{
    (void)state;
    assert_refuses(hc_parse_duration_ms, HC_SLICE_NONE);
    assert_refuses(hc_parse_duration_ms, S("s"));
    assert_refuses(hc_parse_duration_ms, S("ms"));
    assert_refuses(hc_parse_duration_ms, S("1 s"));
    assert_refuses(hc_parse_duration_ms, S("1S"));
    assert_refuses(hc_parse_duration_ms, S("1w"));
    assert_refuses(hc_parse_duration_ms, S("1sm"));
    assert_refuses(hc_parse_duration_ms, S("1m30s"));
    assert_refuses(hc_parse_duration_ms, S("1.5h"));
    assert_refuses(hc_parse_duration_ms, S("-1"));
    assert_refuses(hc_parse_duration_ms, S("1s\0"));
}

static void a_duration_that_overflows_in_milliseconds_is_refused(void **state)
{
    (void)state;
    assert_refuses(hc_parse_duration_ms, S("18446744073709552"));
    assert_refuses(hc_parse_duration_ms, S("18446744073709552s"));
    assert_refuses(hc_parse_duration_ms, S("18446744073709551615d"));
    assert_refuses(hc_parse_duration_ms, S("213503982335d"));
    assert_parses(hc_parse_duration_ms, S("213503982334d"), 213503982334u * 86400000u);
}

static void sizes_are_read_in_every_unit(void **state)
{
    (void)state;
    assert_parses(hc_parse_size, S("65536"), 65536);
    assert_parses(hc_parse_size, S("64k"), 65536);
    assert_parses(hc_parse_size, S("1m"), 1048576);
    assert_parses(hc_parse_size, S("2g"), 2147483648);
    assert_parses(hc_parse_size, S("0g"), 0);
    assert_parses(hc_parse_size, S("17179869183g"), 17179869183u << 30);
}

static void a_size_that_is_malformed_or_overflows_is_refused(void **state)
{
    (void)state;
    assert_refuses(hc_parse_size, HC_SLICE_NONE);
    assert_refuses(hc_parse_size, S("k"));
    assert_refuses(hc_parse_size, S("1kb"));
    assert_refuses(hc_parse_size, S("1 k"));
    assert_refuses(hc_parse_size, S("-1k"));
    assert_refuses(hc_parse_size, S("1s"));
    assert_refuses(hc_parse_size, S("17179869184g"));
    assert_refuses(hc_parse_size, S("18014398509481984k"));
    assert_refuses(hc_parse_size, S("18446744073709551616"));
}

static size_t encode(uint32_t point, uint8_t out[4])
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (uint8_t)(0xC0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (uint8_t)(0xE0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | point >> 18);
    out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (point & 0x3F));
    return 4;
}

static void every_code_point_but_surrogates_is_well_formed(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x110FFF; point++) {
        uint8_t bytes[4];
        uint32_t decoded = 0xAAAA;
        size_t size = encode(point, bytes);
        bool allowed = point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
        assert_int_equal(hc_utf8_valid(hc_slice_of(bytes, size)), allowed);
        assert_int_equal(hc_utf8_next(hc_slice_of(bytes, size), &decoded), allowed ? size : 0);
        assert_int_equal(decoded, allowed ? point : 0xAAAA);
    }
}

/* Two bytes: 128 * 128 pairs of ASCII, 1920 characters. Three, from 0xE0: 0x10000 - 0x800 - 2048
 * surrogates. */
static void no_other_sequence_of_two_or_three_bytes_is_well_formed(void **state)
{
    (void)state;
    size_t two = 0, three = 0;
    for (unsigned i = 0; i < 0x10000; i++) {
        uint8_t bytes[] = {(uint8_t)(i >> 8), (uint8_t)i};
        two += hc_utf8_valid(hc_slice_of(bytes, 2));
    }
    for (unsigned i = 0xE00000; i < 0x1000000; i++) {
        uint8_t bytes[] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        three += hc_utf8_valid(hc_slice_of(bytes, 3));
    }
    assert_int_equal(two, 128 * 128 + 1920);
    assert_int_equal(three, 0x10000 - 0x800 - 2048);
}

/* All of the first two bytes, with the third and fourth at the edges of what may continue: 256 * 2
 * * 2. */
static void no_other_sequence_of_four_bytes_is_well_formed(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0x7F, 0x80, 0xBF, 0xC0};
    size_t four = 0;
    for (unsigned i = 0xF000; i < 0x10000; i++) {
        for (size_t k = 0; k < 16; k++) {
            uint8_t bytes[] = {(uint8_t)(i >> 8), (uint8_t)i, edges[k / 4], edges[k % 4]};
            four += hc_utf8_valid(hc_slice_of(bytes, 4));
        }
    }
    assert_int_equal(four, 256 * 2 * 2);
}

static void known_forgeries_of_utf8_are_refused(void **state)
{
    (void)state;
    assert_false(hc_utf8_valid(S("\xC0\x80")));                 /* NUL, overlong */
    assert_false(hc_utf8_valid(S("\xC0\xAF")));                 /* '/', overlong */
    assert_false(hc_utf8_valid(S("\xE0\x80\xAF")));             /* '/', overlong */
    assert_false(hc_utf8_valid(S("\xF0\x80\x80\xAF")));         /* '/', overlong */
    assert_false(hc_utf8_valid(S("\xED\xA0\x80\xED\xB0\x80"))); /* a pair of surrogates (CESU-8) */
    assert_false(hc_utf8_valid(S("\xF4\x90\x80\x80")));         /* U+110000 */
    assert_false(hc_utf8_valid(S("\xF8\x88\x80\x80\x80")));
    assert_false(hc_utf8_valid(S("\x80")));
    assert_false(hc_utf8_valid(S("ok\xFF")));
}

static void a_character_cut_off_at_the_end_is_refused(void **state)
{
    (void)state;
    assert_false(hc_utf8_valid(hc_slice_of("\xC3\xA9", 1)));
    assert_false(hc_utf8_valid(hc_slice_of("\xE2\x82\xAC", 2)));
    assert_false(hc_utf8_valid(hc_slice_of("\xE2\x82\xAC", 1)));
    assert_false(hc_utf8_valid(hc_slice_of("\xF0\x9F\x98\x80", 3)));
    assert_true(hc_utf8_valid(S("")));
    assert_true(hc_utf8_valid(HC_SLICE_NONE));
    assert_true(hc_utf8_valid(S("\0z\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z")));
}

static void nothing_is_decoded_from_nothing(void **state)
{
    (void)state;
    uint32_t point = 7;
    assert_int_equal(hc_utf8_next(HC_SLICE_NONE, &point), 0);
    assert_int_equal(point, 7);
}

static void controls_and_characters_that_deceive_are_not_harmless(void **state)
{
    (void)state;
    static const uint32_t harmful[] = {0,      '\n',   '\r',   0x1B,   0x1F,   0x7F,   0x80,
                                       0x9B,   0x9F,   0xA0,   0xAD,   0x61C,  0x200B, 0x200F,
                                       0x2028, 0x2029, 0x202E, 0x2066, 0x2069, 0xFEFF, 0xE0041};
    static const uint32_t harmless[] = {' ',    '~',    0xA1,   0xE9,    0x5D0,
                                        0x2010, 0x20AC, 0x4E2D, 0x1F600, 0x10FFFD};
    for (size_t i = 0; i < HC_COUNT(harmful); i++)
        assert_false(hc_utf8_harmless(harmful[i]));
    for (size_t i = 0; i < HC_COUNT(harmless); i++)
        assert_true(hc_utf8_harmless(harmless[i]));
}

static void assert_escapes_to(hc_slice text, hc_slice wanted)
{
    hc_buf b = hc_buf_init(1000);
    assert_int_equal(hc_escape_add(&b, text), 0);
    assert_slice_equal(hc_buf_slice(&b), wanted);
    hc_buf_done(&b);
}

static void what_can_be_read_is_not_escaped(void **state)
{
    (void)state;
    assert_escapes_to(HC_SLICE_NONE, S(""));
    assert_escapes_to(S("CN=bob, O=\x27 ~"), S("CN=bob, O=\x27 ~"));
    assert_escapes_to(S("Ren\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x98\x80"),
                      S("Ren\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x98\x80"));
}

static void what_could_end_the_quotes_or_the_line_is_escaped(void **state)
{
    (void)state;
    assert_escapes_to(S("a\"b\\c"), S("a\\\"b\\\\c"));
    assert_escapes_to(S("a\r\nb\0c\t"), S("a\\x0d\\x0ab\\x00c\\x09"));
    assert_escapes_to(S("\x1B[2J\x7F"), S("\\x1b[2J\\x7f"));
    assert_escapes_to(S("\xC2\x9B"), S("\\xc2\\x9b"));          /* CSI */
    assert_escapes_to(S("\xE2\x80\xAE"), S("\\xe2\\x80\\xae")); /* RIGHT-TO-LEFT OVERRIDE */
    assert_escapes_to(S("\xE2\x80\xA8"), S("\\xe2\\x80\\xa8")); /* LINE SEPARATOR */
}

static void bytes_that_are_not_utf8_are_escaped_one_by_one(void **state)
{
    (void)state;
    assert_escapes_to(S("\xFF\xC3"), S("\\xff\\xc3"));
    assert_escapes_to(S("\xC3z"), S("\\xc3z"));
    assert_escapes_to(S("\xC0\x8A"), S("\\xc0\\x8a")); /* a newline, overlong */
    assert_escapes_to(S("\xED\xA0\x80"), S("\\xed\\xa0\\x80"));
    assert_escapes_to(S("\xE2\x82\xC3\xA9"), S("\\xe2\\x82\xC3\xA9"));
}

static void every_byte_alone_escapes_to_printable_ascii(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        hc_buf b = hc_buf_init(4);
        assert_int_equal(hc_escape_add(&b, hc_slice_of(&byte, 1)), 0);
        assert_true(b.size > 0);
        for (size_t k = 0; k < b.size; k++)
            assert_in_range(b.at[k], ' ', '~');
        hc_buf_done(&b);
    }
}

static void an_escape_that_does_not_fit_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    hc_slice text = S("a\"\n\xC3\xA9\xFF"); /* 1 + 2 + 4 + 2 + 4 */
    for (size_t room = 0; room <= 13; room++) {
        hc_buf b = hc_buf_init(room + 4);
        assert_int_equal(hc_buf_add_text(&b, "kept"), 0);
        assert_int_equal(hc_escape_add(&b, text), room == 13 ? 0 : -HC_ELIMIT);
        assert_int_equal(b.size, room == 13 ? 17 : 4);
        assert_memory_equal(b.at, "kept", 4);
        hc_buf_done(&b);
    }
}

static void an_escape_without_memory_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    char text[500];
    memset(text, '\n', sizeof(text));
    for (size_t nth = 1; nth <= 5; nth++) {
        hc_buf b = hc_buf_init(5000);
        faults_begin(nth);
        assert_int_equal(hc_escape_add(&b, hc_slice_of(text, sizeof(text))), -HC_ENOMEM);
        assert_int_equal(b.size, 0);
        hc_buf_done(&b);
        assert_int_equal(faults_live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(hex_is_lower_case_and_two_digits_a_byte, restore),
        cmocka_unit_test_teardown(hex_that_does_not_fit_leaves_the_buffer_as_it_was, restore),
        cmocka_unit_test_teardown(hex_digits_are_22_bytes_and_no_other, restore),
        cmocka_unit_test_teardown(decimal_numbers_up_to_the_largest_are_read, restore),
        cmocka_unit_test_teardown(a_number_with_anything_but_digits_is_refused, restore),
        cmocka_unit_test_teardown(a_number_that_overflows_is_refused, restore),
        cmocka_unit_test_teardown(durations_are_read_in_every_unit, restore),
        cmocka_unit_test_teardown(a_duration_of_no_number_or_no_known_unit_is_refused, restore),
        cmocka_unit_test_teardown(a_duration_that_overflows_in_milliseconds_is_refused, restore),
        cmocka_unit_test_teardown(sizes_are_read_in_every_unit, restore),
        cmocka_unit_test_teardown(a_size_that_is_malformed_or_overflows_is_refused, restore),
        cmocka_unit_test_teardown(every_code_point_but_surrogates_is_well_formed, restore),
        cmocka_unit_test_teardown(no_other_sequence_of_two_or_three_bytes_is_well_formed, restore),
        cmocka_unit_test_teardown(no_other_sequence_of_four_bytes_is_well_formed, restore),
        cmocka_unit_test_teardown(known_forgeries_of_utf8_are_refused, restore),
        cmocka_unit_test_teardown(a_character_cut_off_at_the_end_is_refused, restore),
        cmocka_unit_test_teardown(nothing_is_decoded_from_nothing, restore),
        cmocka_unit_test_teardown(controls_and_characters_that_deceive_are_not_harmless, restore),
        cmocka_unit_test_teardown(what_can_be_read_is_not_escaped, restore),
        cmocka_unit_test_teardown(what_could_end_the_quotes_or_the_line_is_escaped, restore),
        cmocka_unit_test_teardown(bytes_that_are_not_utf8_are_escaped_one_by_one, restore),
        cmocka_unit_test_teardown(every_byte_alone_escapes_to_printable_ascii, restore),
        cmocka_unit_test_teardown(an_escape_that_does_not_fit_leaves_the_buffer_as_it_was, restore),
        cmocka_unit_test_teardown(an_escape_without_memory_leaves_the_buffer_as_it_was, restore),
    };
    return cmocka_run_group_tests_name("base/str", tests, NULL, NULL);
}
