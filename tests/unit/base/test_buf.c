#include "base/buf.h"

#include "base/err.h"
#include "faults.h"
#include "unit.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static void buf_allocates_nothing_before_the_first_append(void **state)
{
    (void)state;
    faults_begin(0);
    hc_buf b = hc_buf_init(100);
    assert_int_equal(hc_buf_add(&b, HC_SLICE_NONE), 0);
    assert_int_equal(hc_buf_add_text(&b, ""), 0);
    assert_int_equal(hc_buf_add_text(&b, NULL), 0);
    assert_int_equal(hc_buf_reserve(&b, 0), 0);
    hc_buf_clear(&b);
    hc_buf_consume(&b, 5);
    assert_int_equal(hc_buf_slice(&b).size, 0);
    hc_buf_done(&b);
    assert_int_equal(faults_calls, 0);
}

static void buf_holds_what_was_appended_in_order(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_buf_add(&b, S("a\0b")), 0);
    assert_int_equal(hc_buf_add_text(&b, "text"), 0);
    assert_int_equal(hc_buf_add_byte(&b, 0xFF), 0);
    assert_int_equal(hc_buf_printf(&b, "%d-%s", 7, "x"), 0);
    assert_slice(hc_buf_slice(&b), "a\0btext\xFF"
                                   "7-x");
    hc_buf_done(&b);
}

static void buf_grows_byte_by_byte_with_few_allocations(void **state)
{
    (void)state;
    faults_begin(0);
    hc_buf b = hc_buf_init(100000);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(hc_buf_add_byte(&b, (uint8_t)(i * 7)), 0);
    assert_true(faults_calls < 20);
    assert_true(b.capacity <= b.limit);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(b.at[i], (uint8_t)(i * 7));
    hc_buf_done(&b);
    assert_int_equal(faults_live, 0);
}

static void buf_can_be_filled_to_its_limit_exactly(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 200; limit++) {
        hc_buf b = hc_buf_init(limit);
        for (size_t i = 0; i < limit; i++)
            assert_int_equal(hc_buf_add_byte(&b, 'x'), 0);
        assert_int_equal(hc_buf_add_byte(&b, 'y'), -HC_ELIMIT);
        assert_int_equal(b.size, limit);
        assert_true(b.capacity <= limit);
        hc_buf_done(&b);
    }
}

static void buf_append_past_the_limit_leaves_it_as_it_was(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(8);
    assert_int_equal(hc_buf_add_text(&b, "12345"), 0);
    assert_int_equal(hc_buf_add_text(&b, "6789"), -HC_ELIMIT);
    assert_int_equal(hc_buf_printf(&b, "%s", "6789"), -HC_ELIMIT);
    assert_int_equal(hc_buf_add_u32(&b, 1), -HC_ELIMIT);
    assert_int_equal(hc_buf_add_u64(&b, 1), -HC_ELIMIT);
    assert_int_equal(hc_buf_add_field16(&b, S("ab")), -HC_ELIMIT); /* its length alone would fit */
    assert_int_equal(hc_buf_add_field32(&b, HC_SLICE_NONE), -HC_ELIMIT);
    assert_int_equal(hc_buf_reserve(&b, SIZE_MAX), -HC_ELIMIT);
    assert_int_equal(hc_buf_reserve(&b, SIZE_MAX - 4), -HC_ELIMIT); /* size + more wraps to 0 */
    assert_slice(hc_buf_slice(&b), "12345");
    assert_int_equal(hc_buf_add_text(&b, "678"), 0);
    assert_slice(hc_buf_slice(&b), "12345678");
    hc_buf_done(&b);
}

static void buf_without_memory_is_left_as_it_was(void **state)
{
    (void)state;
    faults_begin(0);
    hc_buf b = hc_buf_init(SIZE_MAX);
    char big[1000] = {0};
    assert_int_equal(hc_buf_add_text(&b, "kept"), 0);
    hc_buf before = b;
    faults_left = 1;
    assert_int_equal(hc_buf_add(&b, hc_slice_of(big, sizeof(big))), -HC_ENOMEM);
    faults_left = 1;
    assert_int_equal(hc_buf_add_field16(&b, hc_slice_of(big, sizeof(big))), -HC_ENOMEM);
    assert_int_equal(hc_buf_reserve(&b, SIZE_MAX / 2), -HC_ENOMEM);
    assert_int_equal(hc_buf_reserve(&b, SIZE_MAX - b.size), -HC_ENOMEM);
    assert_memory_equal(&b, &before, sizeof(b));
    assert_slice(hc_buf_slice(&b), "kept");
    hc_buf_done(&b);
    assert_int_equal(faults_live, 0);
}

static void the_first_append_without_memory_leaves_it_empty(void **state)
{
    (void)state;
    faults_begin(1);
    hc_buf b = hc_buf_init(10);
    assert_int_equal(hc_buf_add_byte(&b, 'x'), -HC_ENOMEM);
    assert_null(b.at);
    assert_int_equal(b.size, 0);
    assert_int_equal(hc_buf_add_byte(&b, 'x'), 0);
    hc_buf_done(&b);
    assert_int_equal(faults_live, 0);
}

static void reserve_makes_room_and_keeps_the_size(void **state)
{
    (void)state;
    faults_begin(0);
    hc_buf b = hc_buf_init(5000);
    assert_int_equal(hc_buf_add_byte(&b, 'x'), 0);
    assert_int_equal(hc_buf_reserve(&b, 4999), 0);
    assert_int_equal(b.size, 1);
    assert_true(b.capacity - b.size >= 4999);
    size_t calls = faults_calls;
    for (size_t i = 0; i < 4999; i++)
        assert_int_equal(hc_buf_add_byte(&b, 'y'), 0);
    assert_int_equal(faults_calls, calls);
    hc_buf_done(&b);
}

static void printf_of_any_length_is_whole_and_without_its_nul(void **state)
{
    (void)state;
    static const int sizes[] = {0, 1, 510, 511, 512, 513, 3000};
    for (size_t i = 0; i < HC_COUNT(sizes); i++) {
        hc_buf b = hc_buf_init((size_t)sizes[i]); /* no room for the NUL */
        assert_int_equal(hc_buf_printf(&b, "%0*d", sizes[i], 0), sizes[i] ? 0 : -HC_ELIMIT);
        assert_int_equal(b.size, sizes[i]);
        for (size_t k = 0; k < b.size; k++)
            assert_int_equal(b.at[k], '0');
        hc_buf_done(&b);
    }
}

static void a_long_printf_survives_the_failure_of_any_allocation(void **state)
{
    (void)state;
    for (size_t nth = 1; nth <= 2; nth++) {
        hc_buf b = hc_buf_init(2000);
        faults_begin(0);
        assert_int_equal(hc_buf_add_text(&b, "kept"), 0);
        faults_left = nth;
        assert_int_equal(hc_buf_printf(&b, "%01000d", 0), -HC_ENOMEM);
        assert_slice(hc_buf_slice(&b), "kept");
        assert_int_equal(hc_buf_printf(&b, "%02000d", 0), -HC_ELIMIT);
        assert_slice(hc_buf_slice(&b), "kept");
        hc_buf_done(&b);
        assert_int_equal(faults_live, 0);
    }
}

static void integers_are_written_little_endian(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(100);
    assert_int_equal(hc_buf_add_u8(&b, 0xFE), 0);
    assert_int_equal(hc_buf_add_u16(&b, 0x1234), 0);
    assert_int_equal(hc_buf_add_u32(&b, 0xDEADBEEF), 0);
    assert_int_equal(hc_buf_add_u64(&b, 0x8102030405060708), 0);
    assert_slice(hc_buf_slice(&b), "\xFE\x34\x12\xEF\xBE\xAD\xDE\x08\x07\x06\x05\x04\x03\x02\x81");
    hc_buf_done(&b);
}

static void what_is_written_as_fields_is_read_back_by_a_cursor(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(1000);
    assert_int_equal(hc_buf_add_field16(&b, S("a\0b")), 0);
    assert_int_equal(hc_buf_add_field32(&b, S("longer")), 0);
    assert_int_equal(hc_buf_add_field16(&b, HC_SLICE_NONE), 0);
    hc_cursor c = hc_cursor_of(hc_buf_slice(&b));
    hc_slice first, second, third;
    assert_true(hc_cursor_field16(&c, &first));
    assert_true(hc_cursor_field32(&c, &second));
    assert_true(hc_cursor_field16(&c, &third));
    assert_true(hc_cursor_done(&c));
    assert_slice(first, "a\0b");
    assert_slice(second, "longer");
    assert_int_equal(third.size, 0);
    hc_buf_done(&b);
}

static void a_field_whose_length_does_not_fit_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    hc_buf b = hc_buf_init(SIZE_MAX);
    assert_int_equal(hc_buf_add_field16(&b, hc_slice_of(bytes, 65536)), -HC_ELIMIT);
    assert_int_equal(b.size, 0);
    assert_int_equal(hc_buf_add_field16(&b, hc_slice_of(bytes, 65535)), 0);
    assert_int_equal(b.size, 65537);
    /* Never read: the length is looked at first. */
    assert_int_equal(hc_buf_add_field32(&b, hc_slice_of(bytes, (size_t)UINT32_MAX + 1)),
                     -HC_ELIMIT);
    assert_int_equal(hc_buf_add_field32(&b, hc_slice_of(bytes, SIZE_MAX)), -HC_ELIMIT);
    assert_int_equal(b.size, 65537);
    hc_buf_done(&b);
}

static void consume_drops_from_the_front_and_stops_at_the_end(void **state)
{
    (void)state;
    hc_buf b = hc_buf_init(10);
    assert_int_equal(hc_buf_add_text(&b, "abcdef"), 0);
    hc_buf_consume(&b, 0);
    assert_slice(hc_buf_slice(&b), "abcdef");
    hc_buf_consume(&b, 2);
    assert_slice(hc_buf_slice(&b), "cdef");
    assert_int_equal(hc_buf_add_text(&b, "ghijkl"), 0); /* what was dropped is room again */
    assert_slice(hc_buf_slice(&b), "cdefghijkl");
    hc_buf_consume(&b, 11);
    assert_int_equal(b.size, 0);
    assert_int_equal(hc_buf_add_text(&b, "x"), 0);
    hc_buf_consume(&b, SIZE_MAX);
    assert_int_equal(b.size, 0);
    hc_buf_done(&b);
}

static void clear_empties_and_keeps_the_memory(void **state)
{
    (void)state;
    faults_begin(0);
    hc_buf b = hc_buf_init(10);
    assert_int_equal(hc_buf_add_text(&b, "abc"), 0);
    hc_buf_clear(&b);
    assert_int_equal(b.size, 0);
    assert_int_equal(hc_buf_add_text(&b, "de"), 0);
    assert_int_equal(faults_calls, 1);
    assert_slice(hc_buf_slice(&b), "de");
    hc_buf_done(&b);
}

static void after_done_the_buffer_is_empty_and_keeps_its_limit(void **state)
{
    (void)state;
    faults_begin(0);
    hc_buf b = hc_buf_init(4);
    assert_int_equal(hc_buf_add_text(&b, "abcd"), 0);
    hc_buf_done(&b);
    hc_buf_done(&b);
    assert_int_equal(faults_live, 0);
    assert_int_equal(hc_buf_add_text(&b, "abcde"), -HC_ELIMIT);
    assert_int_equal(hc_buf_add_text(&b, "efgh"), 0);
    assert_slice(hc_buf_slice(&b), "efgh");
    hc_buf_done(&b);
    assert_int_equal(faults_live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(buf_allocates_nothing_before_the_first_append, restore),
        cmocka_unit_test_teardown(buf_holds_what_was_appended_in_order, restore),
        cmocka_unit_test_teardown(buf_grows_byte_by_byte_with_few_allocations, restore),
        cmocka_unit_test_teardown(buf_can_be_filled_to_its_limit_exactly, restore),
        cmocka_unit_test_teardown(buf_append_past_the_limit_leaves_it_as_it_was, restore),
        cmocka_unit_test_teardown(buf_without_memory_is_left_as_it_was, restore),
        cmocka_unit_test_teardown(the_first_append_without_memory_leaves_it_empty, restore),
        cmocka_unit_test_teardown(reserve_makes_room_and_keeps_the_size, restore),
        cmocka_unit_test_teardown(printf_of_any_length_is_whole_and_without_its_nul, restore),
        cmocka_unit_test_teardown(a_long_printf_survives_the_failure_of_any_allocation, restore),
        cmocka_unit_test_teardown(integers_are_written_little_endian, restore),
        cmocka_unit_test_teardown(what_is_written_as_fields_is_read_back_by_a_cursor, restore),
        cmocka_unit_test_teardown(a_field_whose_length_does_not_fit_is_refused, restore),
        cmocka_unit_test_teardown(consume_drops_from_the_front_and_stops_at_the_end, restore),
        cmocka_unit_test_teardown(clear_empties_and_keeps_the_memory, restore),
        cmocka_unit_test_teardown(after_done_the_buffer_is_empty_and_keeps_its_limit, restore),
    };
    return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
