#include "base/mem.h"

#include "faults.h"
#include "unit.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static void an_allocation_of_nothing_is_not_a_failure(void **state)
{
    (void)state;
    void *at = hc_alloc(0);
    void *zero = hc_alloc_zero(0, 8);
    void *zero_each = hc_alloc_zero(8, 0);
    assert_non_null(at);
    assert_non_null(zero);
    assert_non_null(zero_each);
    hc_free(at);
    hc_free(zero);
    hc_free(zero_each);
}

static void an_allocation_shrunk_to_nothing_is_neither_freed_nor_a_failure(void **state)
{
    (void)state;
    faults_begin(0);
    void *at = hc_realloc(hc_alloc(100), 0);
    assert_non_null(at);
    assert_int_equal(faults_live, 1);
    hc_free(at);
    assert_int_equal(faults_live, 0);
}

static void alloc_zero_clears_memory_that_was_in_use(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    uint8_t *dirty = hc_alloc(sizeof(zeros));
    assert_non_null(dirty);
    memset(dirty, 0xA5, sizeof(zeros));
    hc_free(dirty);
    uint8_t *at = hc_alloc_zero(8, 8);
    assert_non_null(at);
    assert_memory_equal(at, zeros, sizeof(zeros));
    hc_free(at);
}

static void a_product_that_overflows_fails_and_allocates_nothing(void **state)
{
    (void)state;
    faults_begin(0);
    assert_null(hc_alloc_zero(SIZE_MAX / 2 + 1, 2));
    assert_null(hc_alloc_zero(2, SIZE_MAX / 2 + 1));
    assert_null(hc_alloc_zero(SIZE_MAX, SIZE_MAX));
    assert_int_equal(faults_calls, 0);
    assert_null(hc_alloc_zero(1, SIZE_MAX)); /* no overflow: refused by the allocator */
    assert_int_equal(faults_calls, 1);
}

static void a_failing_allocator_gives_null_everywhere(void **state)
{
    (void)state;
    faults_begin(1);
    assert_null(hc_alloc(1));
    faults_begin(1);
    assert_null(hc_alloc_zero(1, 1));
    faults_begin(1);
    assert_null(hc_strdup("text"));
    assert_int_equal(faults_live, 0);
}

static void a_realloc_that_fails_leaves_the_old_memory(void **state)
{
    (void)state;
    faults_begin(2);
    char *text = hc_strdup("still here");
    assert_non_null(text);
    assert_null(hc_realloc(text, 1000));
    assert_string_equal(text, "still here");
    hc_free(text);
    assert_int_equal(faults_live, 0);
}

static void only_the_nth_allocation_fails(void **state)
{
    (void)state;
    faults_begin(3);
    void *first = hc_alloc(1);
    void *second = hc_alloc(1);
    void *third = hc_alloc(1);
    void *fourth = hc_alloc(1);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(third);
    assert_non_null(fourth);
    hc_free(first);
    hc_free(second);
    hc_free(fourth);
    assert_int_equal(faults_live, 0);
}

static void strdup_copies_the_text_and_its_end(void **state)
{
    (void)state;
    char text[] = "copy";
    char *copy = hc_strdup(text);
    char *empty = hc_strdup("");
    assert_non_null(copy);
    assert_non_null(empty);
    text[0] = 'X';
    assert_string_equal(copy, "copy");
    assert_string_equal(empty, "");
    hc_free(copy);
    hc_free(empty);
}

static size_t frees_seen;
static bool freed_was_clear;

static void *secret_realloc(void *old, size_t size_bytes)
{
    return realloc(old, size_bytes);
}

static void secret_free(void *at)
{
    static const uint8_t zeros[32];
    frees_seen++;
    freed_was_clear = memcmp(at, zeros, sizeof(zeros)) == 0;
    free(at);
}

static void a_secret_is_overwritten_before_it_is_freed(void **state)
{
    (void)state;
    static const hc_mem table = {secret_realloc, secret_free};
    hc_mem_set(&table);
    frees_seen = 0;
    uint8_t *secret = hc_alloc(32);
    assert_non_null(secret);
    memset(secret, 's', 32);
    hc_free_secret(secret, 32);
    assert_int_equal(frees_seen, 1);
    assert_true(freed_was_clear);

    secret = hc_alloc(32);
    assert_non_null(secret);
    memset(secret, 's', 32);
    hc_free(secret);
    assert_false(freed_was_clear); /* the check above can fail */
}

static void freeing_null_does_nothing(void **state)
{
    (void)state;
    static const hc_mem table = {secret_realloc, secret_free};
    hc_mem_set(&table);
    frees_seen = 0;
    hc_free(NULL);
    hc_free_secret(NULL, 100);
    assert_int_equal(frees_seen, 0);
}

static void null_restores_the_memory_of_the_system(void **state)
{
    (void)state;
    faults_begin(1);
    hc_mem_set(NULL);
    void *at = hc_alloc(1);
    assert_non_null(at);
    hc_free(at);
    assert_int_equal(faults_calls, 0);
    assert_int_equal(faults_live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_allocation_of_nothing_is_not_a_failure, restore),
        cmocka_unit_test_teardown(an_allocation_shrunk_to_nothing_is_neither_freed_nor_a_failure,
                                  restore),
        cmocka_unit_test_teardown(alloc_zero_clears_memory_that_was_in_use, restore),
        cmocka_unit_test_teardown(a_product_that_overflows_fails_and_allocates_nothing, restore),
        cmocka_unit_test_teardown(a_failing_allocator_gives_null_everywhere, restore),
        cmocka_unit_test_teardown(a_realloc_that_fails_leaves_the_old_memory, restore),
        cmocka_unit_test_teardown(only_the_nth_allocation_fails, restore),
        cmocka_unit_test_teardown(strdup_copies_the_text_and_its_end, restore),
        cmocka_unit_test_teardown(a_secret_is_overwritten_before_it_is_freed, restore),
        cmocka_unit_test_teardown(freeing_null_does_nothing, restore),
        cmocka_unit_test_teardown(null_restores_the_memory_of_the_system, restore),
    };
    return cmocka_run_group_tests_name("base/mem", tests, NULL, NULL);
}
