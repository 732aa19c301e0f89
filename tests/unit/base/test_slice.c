#include "base/slice.h"

#include "unit.h"

static void empty_slices_are_equal_whatever_they_point_at(void **state)
{
    (void)state;
    assert_true(hc_slice_equal(HC_SLICE_NONE, S("")));
    assert_true(hc_slice_equal_nocase(HC_SLICE_NONE, S("")));
    assert_true(hc_slice_equal_text(HC_SLICE_NONE, ""));
    assert_true(hc_slice_equal_text(HC_SLICE_NONE, NULL));
    assert_false(hc_slice_equal(HC_SLICE_NONE, S("\0")));
}

static void slices_are_equal_when_size_and_bytes_are(void **state)
{
    (void)state;
    assert_true(hc_slice_equal(S("a\0b"), S("a\0b")));
    assert_false(hc_slice_equal(S("a\0b"), S("a\0c")));
    assert_false(hc_slice_equal(S("ab"), S("abc")));
    assert_false(hc_slice_equal_text(S("ab\0"), "ab"));
    assert_false(hc_slice_equal_text(S("AB"), "ab"));
}

static void a_text_of_null_is_an_empty_slice(void **state)
{
    (void)state;
    assert_int_equal(hc_slice_text(NULL).size, 0);
    assert_int_equal(hc_slice_text("").size, 0);
    assert_slice(hc_slice_text("abc"), "abc");
}

static void nocase_folds_ascii_letters_and_nothing_else(void **state)
{
    (void)state;
    assert_true(hc_slice_equal_nocase(S("Transfer-Encoding"), S("tRANSFER-eNCODING")));
    assert_false(hc_slice_equal_nocase(S("ab"), S("abc")));
    assert_false(hc_slice_equal_nocase(S("\xC3\x84"), S("\xC3\xA4"))); /* Ä ä */
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            uint8_t left = (uint8_t)a, right = (uint8_t)b;
            bool letters = ((a | 0x20) == (b | 0x20)) && (a | 0x20) >= 'a' && (a | 0x20) <= 'z';
            bool equal = hc_slice_equal_nocase(hc_slice_of(&left, 1), hc_slice_of(&right, 1));
            assert_int_equal(equal, a == b || letters);
        }
    }
}

static void every_slice_starts_with_itself_and_with_nothing(void **state)
{
    (void)state;
    assert_true(hc_slice_starts_with(S("abc"), S("abc")));
    assert_true(hc_slice_starts_with(S("abc"), HC_SLICE_NONE));
    assert_true(hc_slice_starts_with(HC_SLICE_NONE, S("")));
    assert_true(hc_slice_starts_with(S("abc"), S("ab")));
    assert_false(hc_slice_starts_with(S("ab"), S("abc")));
    assert_false(hc_slice_starts_with(S("abc"), S("bc")));
    assert_false(hc_slice_starts_with(HC_SLICE_NONE, S("a")));
}

static void find_gives_the_first_place_or_minus_one(void **state)
{
    (void)state;
    assert_int_equal(hc_slice_find(S("a=b=c"), '='), 1);
    assert_int_equal(hc_slice_find(S("abc"), 'a'), 0);
    assert_int_equal(hc_slice_find(S("a\0b"), 'b'), 2);
    assert_int_equal(hc_slice_find(S("ab\0"), '\0'), 2);
    assert_int_equal(hc_slice_find(S("abc"), '\0'), -1); /* not the literal's own end */
    assert_int_equal(hc_slice_find(HC_SLICE_NONE, 'a'), -1);
}

static void trim_takes_space_and_tab_from_both_ends_alone(void **state)
{
    (void)state;
    assert_slice(hc_slice_trim(S(" \t a b\t ")), "a b");
    assert_slice(hc_slice_trim(S("ab")), "ab");
    assert_slice(hc_slice_trim(S("\r\nab\v\f")), "\r\nab\v\f");
    assert_slice(hc_slice_trim(S("\xC2\xA0x")), "\xC2\xA0x");
    assert_int_equal(hc_slice_trim(S(" \t ")).size, 0);
    assert_int_equal(hc_slice_trim(HC_SLICE_NONE).size, 0);
}

static void from_past_the_end_is_empty(void **state)
{
    (void)state;
    assert_slice(hc_slice_from(S("abc"), 0), "abc");
    assert_slice(hc_slice_from(S("abc"), 2), "c");
    assert_int_equal(hc_slice_from(S("abc"), 3).size, 0);
    assert_int_equal(hc_slice_from(S("abc"), 4).size, 0);
    assert_int_equal(hc_slice_from(S("abc"), SIZE_MAX).size, 0);
    assert_int_equal(hc_slice_from(HC_SLICE_NONE, 1).size, 0);
}

static void a_cursor_reads_little_endian_integers(void **state)
{
    (void)state;
    hc_cursor c = hc_cursor_of(S("\xFE\x34\x12\xEF\xBE\xAD\xDE\x08\x07\x06\x05\x04\x03\x02\x81"));
    uint8_t u8 = 0;
    uint16_t u16 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    assert_true(hc_cursor_u8(&c, &u8));
    assert_true(hc_cursor_u16(&c, &u16));
    assert_true(hc_cursor_u32(&c, &u32));
    assert_false(hc_cursor_done(&c));
    assert_true(hc_cursor_u64(&c, &u64));
    assert_int_equal(u8, 0xFE);
    assert_int_equal(u16, 0x1234);
    assert_int_equal(u32, 0xDEADBEEF);
    assert_true(u64 == 0x8102030405060708);
    assert_true(hc_cursor_done(&c));
}

static void a_read_past_the_end_leaves_the_output_untouched(void **state)
{
    (void)state;
    static const uint8_t bytes[7] = {1, 2, 3, 4, 5, 6, 7};
    uint8_t u8 = 0xAA;
    uint16_t u16 = 0xAAAA;
    uint32_t u32 = 0xAAAAAAAA;
    uint64_t u64 = 0xAAAAAAAA;
    hc_slice out = S("before");
    hc_cursor c = hc_cursor_of(HC_SLICE_NONE);
    assert_false(hc_cursor_u8(&c, &u8));
    c = hc_cursor_of(hc_slice_of(bytes, 1));
    assert_false(hc_cursor_u16(&c, &u16));
    c = hc_cursor_of(hc_slice_of(bytes, 3));
    assert_false(hc_cursor_u32(&c, &u32));
    c = hc_cursor_of(hc_slice_of(bytes, 7));
    assert_false(hc_cursor_u64(&c, &u64));
    c = hc_cursor_of(hc_slice_of(bytes, 7));
    assert_false(hc_cursor_bytes(&c, 8, &out));
    c = hc_cursor_of(hc_slice_of(bytes, 7));
    assert_false(hc_cursor_bytes(&c, SIZE_MAX, &out));
    assert_int_equal(u8, 0xAA);
    assert_int_equal(u16, 0xAAAA);
    assert_int_equal(u32, 0xAAAAAAAA);
    assert_int_equal(u64, 0xAAAAAAAA);
    assert_slice(out, "before");
}

static void once_failed_every_later_read_fails_even_where_bytes_are_left(void **state)
{
    (void)state;
    hc_cursor c = hc_cursor_of(S("abc"));
    uint32_t u32 = 0;
    uint8_t u8 = 7;
    hc_slice out = S("before");
    assert_false(hc_cursor_u32(&c, &u32));
    assert_false(hc_cursor_u8(&c, &u8));
    assert_false(hc_cursor_bytes(&c, 0, &out));
    assert_false(hc_cursor_field16(&c, &out));
    assert_false(hc_cursor_field32(&c, &out));
    assert_false(hc_cursor_done(&c));
    assert_int_equal(u8, 7);
    assert_slice(out, "before");
}

static void reading_no_bytes_at_the_end_succeeds(void **state)
{
    (void)state;
    hc_slice out = S("before");
    hc_cursor c = hc_cursor_of(HC_SLICE_NONE);
    assert_true(hc_cursor_bytes(&c, 0, &out));
    assert_int_equal(out.size, 0);
    assert_true(hc_cursor_done(&c));
}

static void a_field_is_as_long_as_it_says(void **state)
{
    (void)state;
    hc_cursor c = hc_cursor_of(S("\x03\x00"
                                 "abc"
                                 "\x02\x00\x00\x00"
                                 "de"
                                 "\x00\x00"));
    hc_slice out;
    assert_true(hc_cursor_field16(&c, &out));
    assert_slice(out, "abc");
    assert_true(hc_cursor_field32(&c, &out));
    assert_slice(out, "de");
    assert_true(hc_cursor_field16(&c, &out));
    assert_int_equal(out.size, 0);
    assert_true(hc_cursor_done(&c));
}

static void a_field_longer_than_what_is_left_fails(void **state)
{
    (void)state;
    hc_slice out = S("before");
    hc_cursor c = hc_cursor_of(S("\x04\x00"
                                 "abc"));
    assert_false(hc_cursor_field16(&c, &out));
    assert_false(hc_cursor_done(&c));
    c = hc_cursor_of(S("\xFF\xFF\xFF\xFF"
                       "abc"));
    assert_false(hc_cursor_field32(&c, &out));
    c = hc_cursor_of(S("\x01"));
    assert_false(hc_cursor_field16(&c, &out));
    c = hc_cursor_of(S("\x01\x00\x00"));
    assert_false(hc_cursor_field32(&c, &out));
    assert_slice(out, "before");
}

static void trailing_bytes_are_not_done(void **state)
{
    (void)state;
    uint8_t u8;
    hc_cursor c = hc_cursor_of(S("ab"));
    assert_false(hc_cursor_done(&c));
    assert_true(hc_cursor_u8(&c, &u8));
    assert_false(hc_cursor_done(&c));
    assert_true(hc_cursor_u8(&c, &u8));
    assert_true(hc_cursor_done(&c));
    assert_false(hc_cursor_u8(&c, &u8));
    assert_false(hc_cursor_done(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_slices_are_equal_whatever_they_point_at),
        cmocka_unit_test(slices_are_equal_when_size_and_bytes_are),
        cmocka_unit_test(a_text_of_null_is_an_empty_slice),
        cmocka_unit_test(nocase_folds_ascii_letters_and_nothing_else),
        cmocka_unit_test(every_slice_starts_with_itself_and_with_nothing),
        cmocka_unit_test(find_gives_the_first_place_or_minus_one),
        cmocka_unit_test(trim_takes_space_and_tab_from_both_ends_alone),
        cmocka_unit_test(from_past_the_end_is_empty),
        cmocka_unit_test(a_cursor_reads_little_endian_integers),
        cmocka_unit_test(a_read_past_the_end_leaves_the_output_untouched),
        cmocka_unit_test(once_failed_every_later_read_fails_even_where_bytes_are_left),
        cmocka_unit_test(reading_no_bytes_at_the_end_succeeds),
        cmocka_unit_test(a_field_is_as_long_as_it_says),
        cmocka_unit_test(a_field_longer_than_what_is_left_fails),
        cmocka_unit_test(trailing_bytes_are_not_done),
    };
    return cmocka_run_group_tests_name("base/slice", tests, NULL, NULL);
}
