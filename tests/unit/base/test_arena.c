#include "base/arena.h"

#include <stdalign.h>

#include "base/err.h"
#include "faults.h"
#include "unit.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static void arena_allocates_nothing_before_the_first_use(void **state)
{
    (void)state;
    faults_begin(0);
    hc_arena a = hc_arena_init(1000);
    hc_arena_reset(&a);
    hc_arena_done(&a);
    hc_arena_done(&a);
    assert_int_equal(faults_calls, 0);
}

static void pieces_of_any_size_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    enum { count = 300 };
    uint8_t *pieces[count];
    faults_begin(0);
    hc_arena a = hc_arena_init(SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t size = i * 37 % 9000; /* small ones, and some larger than a block */
        pieces[i] = hc_arena_alloc(&a, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        memset(pieces[i], (int)(i & 0xFF), size);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i * 37 % 9000; k++)
            assert_int_equal(pieces[i][k], i & 0xFF);
    }
    hc_arena_done(&a);
    assert_int_equal(faults_live, 0);
}

static void small_pieces_share_a_block(void **state)
{
    (void)state;
    faults_begin(0);
    hc_arena a = hc_arena_init(SIZE_MAX);
    for (size_t i = 0; i < 100; i++)
        assert_non_null(hc_arena_alloc(&a, 8));
    assert_int_equal(faults_calls, 1);
    assert_non_null(hc_arena_alloc(&a, 100000)); /* does not end the use of the first block */
    for (size_t i = 0; i < 100; i++)
        assert_non_null(hc_arena_alloc(&a, 8));
    assert_int_equal(faults_calls, 2);
    hc_arena_done(&a);
    assert_int_equal(faults_live, 0);
}

static void an_empty_piece_has_an_address_of_its_own(void **state)
{
    (void)state;
    hc_arena a = hc_arena_init(100);
    void *first = hc_arena_alloc(&a, 0);
    void *second = hc_arena_alloc(&a, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    hc_arena_done(&a);
}

static void the_limit_can_be_used_up_exactly_and_not_passed(void **state)
{
    (void)state;
    static const size_t limits[] = {1, 15, 16, 17, 100, 4096, 5000};
    for (size_t i = 0; i < HC_COUNT(limits); i++) {
        hc_arena a = hc_arena_init(limits[i]);
        assert_null(hc_arena_alloc(&a, limits[i] + 1));
        assert_int_equal(a.used, 0);
        assert_non_null(hc_arena_alloc(&a, limits[i]));
        assert_null(hc_arena_alloc(&a, 1));
        hc_arena_done(&a);
    }
}

static void the_limit_bounds_the_number_of_tiny_pieces_too(void **state)
{
    (void)state;
    hc_arena a = hc_arena_init(1000);
    size_t tiny = 0, empty = 0;
    while (tiny < 5000 && hc_arena_alloc(&a, 1))
        tiny++;
    hc_arena_reset(&a);
    while (empty < 5000 && hc_arena_alloc(&a, 0))
        empty++;
    assert_in_range(tiny, 10, 1000);
    assert_in_range(empty, 10, 1000);
    hc_arena_done(&a);
}

static void sizes_near_the_largest_number_do_not_wrap(void **state)
{
    (void)state;
    faults_begin(0);
    hc_arena a = hc_arena_init(SIZE_MAX);
    for (size_t below = 0; below < 100; below++)
        assert_null(hc_arena_alloc(&a, SIZE_MAX - below));
    assert_null(hc_arena_alloc(&a, SIZE_MAX / 2));
    assert_int_equal(a.used, 0);
    assert_non_null(hc_arena_alloc(&a, 10));
    assert_null(hc_arena_alloc(&a, SIZE_MAX - 16)); /* used + size wraps */
    hc_arena_done(&a);
    assert_int_equal(faults_live, 0);
}

static void a_size_that_wraps_with_what_is_used_is_past_the_limit(void **state)
{
    (void)state;
    hc_slice out = S("before");
    faults_begin(0);
    hc_arena a = hc_arena_init(100);
    assert_non_null(hc_arena_alloc(&a, 32));
    size_t calls = faults_calls;
    /* Never read: 32 more make it 15. */
    assert_int_equal(hc_arena_copy(&a, hc_slice_of("", SIZE_MAX - 16), &out), -HC_ELIMIT);
    assert_int_equal(faults_calls, calls);
    assert_slice(out, "before");
    hc_arena_done(&a);
}

static void without_memory_null_is_returned_and_the_arena_still_works(void **state)
{
    (void)state;
    for (size_t nth = 1; nth <= 4; nth++) {
        faults_begin(nth);
        hc_arena a = hc_arena_init(SIZE_MAX);
        size_t failed = 0;
        for (size_t i = 0; i < 5; i++) {
            size_t used = a.used;
            if (!hc_arena_alloc(&a, 4000)) {
                failed++;
                assert_int_equal(a.used, used);
            }
        }
        assert_int_equal(failed, 1);
        hc_arena_done(&a);
        assert_int_equal(faults_live, 0);
    }
}

static void reset_keeps_one_block_for_the_next_request(void **state)
{
    (void)state;
    faults_begin(0);
    hc_arena a = hc_arena_init(100000);
    for (size_t i = 0; i < 10; i++)
        assert_non_null(hc_arena_alloc(&a, 3000));
    assert_non_null(hc_arena_alloc(&a, 50000));
    hc_arena_reset(&a);
    assert_int_equal(faults_live, 1);
    assert_int_equal(a.used, 0);
    size_t calls = faults_calls;
    assert_non_null(hc_arena_alloc(&a, 4000));
    assert_int_equal(faults_calls, calls);
    hc_arena_reset(&a);
    assert_non_null(hc_arena_alloc(&a, 100000)); /* the whole limit is there again */
    hc_arena_done(&a);
    assert_int_equal(faults_live, 0);
}

static void reset_keeps_no_block_of_another_size(void **state)
{
    (void)state;
    faults_begin(0);
    hc_arena a = hc_arena_init(1000000);
    assert_non_null(hc_arena_alloc(&a, 500000));
    assert_non_null(hc_arena_alloc(&a, 400000));
    hc_arena_reset(&a);
    assert_int_equal(faults_live, 0);
    assert_non_null(hc_arena_alloc(&a, 10));
    hc_arena_done(&a);
    assert_int_equal(faults_live, 0);
}

static void a_large_first_piece_does_not_keep_reset_from_finding_the_block_to_keep(void **state)
{
    (void)state;
    faults_begin(0);
    hc_arena a = hc_arena_init(1000000);
    assert_non_null(hc_arena_alloc(&a, 5000));
    assert_non_null(hc_arena_alloc(&a, 10));
    assert_non_null(hc_arena_alloc(&a, 6000));
    hc_arena_reset(&a);
    assert_int_equal(faults_live, 1);
    size_t calls = faults_calls;
    assert_non_null(hc_arena_alloc(&a, 10));
    assert_int_equal(faults_calls, calls);
    hc_arena_done(&a);
}

static void done_keeps_the_limit(void **state)
{
    (void)state;
    hc_arena a = hc_arena_init(20);
    assert_non_null(hc_arena_alloc(&a, 20));
    hc_arena_done(&a);
    assert_null(hc_arena_alloc(&a, 21));
    assert_non_null(hc_arena_alloc(&a, 20));
    hc_arena_done(&a);
}

static void copy_outlives_what_it_was_made_from(void **state)
{
    (void)state;
    hc_arena a = hc_arena_init(100);
    char text[] = "a\0b";
    hc_slice copy = HC_SLICE_NONE, empty = S("before");
    assert_int_equal(hc_arena_copy(&a, hc_slice_of(text, 3), &copy), 0);
    memset(text, 'x', sizeof(text));
    assert_slice(copy, "a\0b");
    assert_int_equal(hc_arena_copy(&a, HC_SLICE_NONE, &empty), 0);
    assert_int_equal(empty.size, 0);
    hc_arena_done(&a);
}

static void a_copy_that_fails_leaves_the_output_and_says_why(void **state)
{
    (void)state;
    hc_slice out = S("before");
    hc_arena a = hc_arena_init(10);
    assert_int_equal(hc_arena_copy(&a, S("eleven byte"), &out), -HC_ELIMIT);
    faults_begin(1);
    assert_int_equal(hc_arena_copy(&a, S("ten bytes."), &out), -HC_ENOMEM);
    assert_slice(out, "before");
    assert_int_equal(hc_arena_copy(&a, S("ten bytes."), &out), 0);
    assert_slice(out, "ten bytes.");
    hc_arena_done(&a);
    assert_int_equal(faults_live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(arena_allocates_nothing_before_the_first_use, restore),
        cmocka_unit_test_teardown(pieces_of_any_size_are_aligned_and_do_not_overlap, restore),
        cmocka_unit_test_teardown(small_pieces_share_a_block, restore),
        cmocka_unit_test_teardown(an_empty_piece_has_an_address_of_its_own, restore),
        cmocka_unit_test_teardown(the_limit_can_be_used_up_exactly_and_not_passed, restore),
        cmocka_unit_test_teardown(the_limit_bounds_the_number_of_tiny_pieces_too, restore),
        cmocka_unit_test_teardown(sizes_near_the_largest_number_do_not_wrap, restore),
        cmocka_unit_test_teardown(a_size_that_wraps_with_what_is_used_is_past_the_limit, restore),
        cmocka_unit_test_teardown(without_memory_null_is_returned_and_the_arena_still_works,
                                  restore),
        cmocka_unit_test_teardown(reset_keeps_one_block_for_the_next_request, restore),
        cmocka_unit_test_teardown(reset_keeps_no_block_of_another_size, restore),
        cmocka_unit_test_teardown(
            a_large_first_piece_does_not_keep_reset_from_finding_the_block_to_keep, restore),
        cmocka_unit_test_teardown(done_keeps_the_limit, restore),
        cmocka_unit_test_teardown(copy_outlives_what_it_was_made_from, restore),
        cmocka_unit_test_teardown(a_copy_that_fails_leaves_the_output_and_says_why, restore),
    };
    return cmocka_run_group_tests_name("base/arena", tests, NULL, NULL);
}
