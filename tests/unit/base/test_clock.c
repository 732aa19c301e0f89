#include "base/clock.h"

#include <time.h>

#include "unit.h"

static int restore(void **state)
{
    (void)state;
    hc_clock_set(NULL);
    return 0;
}

static int64_t fixed_wall_s(void)
{
    return 1795447486;
}

static uint64_t fixed_monotonic_ms(void)
{
    return 42;
}

static void the_clocks_of_the_system_are_used_by_default(void **state)
{
    (void)state;
    int64_t before = (int64_t)time(NULL) - 1; /* time() may read a coarser clock */
    int64_t wall_s = hc_clock_wall_s();
    int64_t wall_ms = hc_clock_wall_ms();
    assert_true(wall_s >= before && wall_s <= (int64_t)time(NULL) + 1);
    assert_true(wall_ms >= wall_s * 1000 && wall_ms < (wall_s + 60) * 1000);
}

static void monotonic_clocks_do_not_go_back(void **state)
{
    (void)state;
    uint64_t last_us = hc_clock_monotonic_us(), last_ms = hc_clock_monotonic_ms();
    for (int i = 0; i < 1000; i++) {
        uint64_t us = hc_clock_monotonic_us(), ms = hc_clock_monotonic_ms();
        assert_true(us >= last_us);
        assert_true(ms >= last_ms);
        assert_true(ms >= us / 1000);
        last_us = us;
        last_ms = ms;
    }
}

static void a_replaced_clock_says_what_the_test_wants(void **state)
{
    (void)state;
    static const hc_clock table = {fixed_wall_s, fixed_monotonic_ms};
    hc_clock_set(&table);
    assert_int_equal(hc_clock_wall_s(), 1795447486);
    assert_int_equal(hc_clock_wall_ms(), 1795447486000);
    assert_int_equal(hc_clock_monotonic_ms(), 42);
    hc_clock_set(NULL);
    assert_int_not_equal(hc_clock_wall_s(), 1795447486);
}

static void a_table_with_one_clock_replaces_that_one_alone(void **state)
{
    (void)state;
    static const hc_clock table = {fixed_wall_s, NULL};
    uint64_t before = hc_clock_monotonic_ms();
    hc_clock_set(&table);
    assert_int_equal(hc_clock_wall_s(), 1795447486);
    assert_true(hc_clock_monotonic_ms() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_clocks_of_the_system_are_used_by_default, restore),
        cmocka_unit_test_teardown(monotonic_clocks_do_not_go_back, restore),
        cmocka_unit_test_teardown(a_replaced_clock_says_what_the_test_wants, restore),
        cmocka_unit_test_teardown(a_table_with_one_clock_replaces_that_one_alone, restore),
    };
    return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
