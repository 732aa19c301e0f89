#include "server/workers.h"

#include <signal.h>

#include "../unit.h"
#include "server/front_link.h"

static void a_worker_lives_only_along_the_table(void **state)
{
    static const struct {
        hc_worker_state from;
        hc_worker_change change;
        hc_worker_state to;
    } allowed[] = {
        {HC_WORKER_STARTING, HC_WORKER_HELLO, HC_WORKER_READY},
        {HC_WORKER_STARTING, HC_WORKER_RETIRE, HC_WORKER_RETIRING},
        {HC_WORKER_STARTING, HC_WORKER_KILL, HC_WORKER_KILLED},
        {HC_WORKER_READY, HC_WORKER_LEAVE, HC_WORKER_LEAVING},
        {HC_WORKER_READY, HC_WORKER_RETIRE, HC_WORKER_RETIRING},
        {HC_WORKER_READY, HC_WORKER_KILL, HC_WORKER_KILLED},
        {HC_WORKER_LEAVING, HC_WORKER_STAY, HC_WORKER_READY},
        {HC_WORKER_LEAVING, HC_WORKER_RETIRE, HC_WORKER_RETIRING},
        {HC_WORKER_LEAVING, HC_WORKER_KILL, HC_WORKER_KILLED},
        {HC_WORKER_RETIRING, HC_WORKER_KILL, HC_WORKER_KILLED},
    };
    (void)state;
    for (int from = HC_WORKER_STARTING; from <= HC_WORKER_KILLED; from++) {
        for (int change = HC_WORKER_HELLO; change <= HC_WORKER_KILL; change++) {
            hc_worker_state got = (hc_worker_state)from, wanted = got;
            bool may = false;
            for (size_t i = 0; i < HC_COUNT(allowed); i++) {
                if ((int)allowed[i].from == from && (int)allowed[i].change == change) {
                    may = true;
                    wanted = allowed[i].to;
                }
            }
            assert_int_equal(hc_worker_state_change(&got, (hc_worker_change)change), may);
            assert_int_equal(got, wanted);
        }
    }
}

static void a_front_lives_only_along_the_table(void **state)
{
    static const struct {
        hc_front_state from;
        hc_front_change change;
        hc_front_state to;
    } allowed[] = {
        {HC_FRONT_DOWN, HC_FRONT_SPAWNED, HC_FRONT_STARTING},
        {HC_FRONT_STARTING, HC_FRONT_CONFIGURED, HC_FRONT_SERVING},
        {HC_FRONT_STARTING, HC_FRONT_REFUSED, HC_FRONT_ENDING},
        {HC_FRONT_STARTING, HC_FRONT_END, HC_FRONT_ENDING},
        {HC_FRONT_STARTING, HC_FRONT_EXITED, HC_FRONT_DOWN},
        {HC_FRONT_SERVING, HC_FRONT_RECONFIGURE, HC_FRONT_CHANGING},
        {HC_FRONT_SERVING, HC_FRONT_DRAIN, HC_FRONT_DRAINING},
        {HC_FRONT_SERVING, HC_FRONT_END, HC_FRONT_ENDING},
        {HC_FRONT_SERVING, HC_FRONT_EXITED, HC_FRONT_DOWN},
        {HC_FRONT_CHANGING, HC_FRONT_CONFIGURED, HC_FRONT_SERVING},
        {HC_FRONT_CHANGING, HC_FRONT_REFUSED, HC_FRONT_SERVING},
        {HC_FRONT_CHANGING, HC_FRONT_DRAIN, HC_FRONT_DRAINING},
        {HC_FRONT_CHANGING, HC_FRONT_END, HC_FRONT_ENDING},
        {HC_FRONT_CHANGING, HC_FRONT_EXITED, HC_FRONT_DOWN},
        {HC_FRONT_DRAINING, HC_FRONT_CONFIGURED, HC_FRONT_DRAINING},
        {HC_FRONT_DRAINING, HC_FRONT_REFUSED, HC_FRONT_DRAINING},
        {HC_FRONT_DRAINING, HC_FRONT_END, HC_FRONT_ENDING},
        {HC_FRONT_DRAINING, HC_FRONT_EXITED, HC_FRONT_DOWN},
        {HC_FRONT_ENDING, HC_FRONT_CONFIGURED, HC_FRONT_ENDING},
        {HC_FRONT_ENDING, HC_FRONT_REFUSED, HC_FRONT_ENDING},
        {HC_FRONT_ENDING, HC_FRONT_END, HC_FRONT_ENDING},
        {HC_FRONT_ENDING, HC_FRONT_EXITED, HC_FRONT_DOWN},
    };
    (void)state;
    for (int from = HC_FRONT_DOWN; from <= HC_FRONT_ENDING; from++) {
        for (int change = HC_FRONT_SPAWNED; change <= HC_FRONT_EXITED; change++) {
            hc_front_state got = (hc_front_state)from, wanted = got;
            bool may = false;
            for (size_t i = 0; i < HC_COUNT(allowed); i++) {
                if ((int)allowed[i].from == from && (int)allowed[i].change == change) {
                    may = true;
                    wanted = allowed[i].to;
                }
            }
            assert_int_equal(hc_front_state_change(&got, (hc_front_change)change), may);
            assert_int_equal(got, wanted);
        }
    }
}

static void who_dies_at_once_waits_longer_each_time_up_to_a_bound(void **state)
{
    uint64_t pause_ms = 0, before_ms = 0;
    (void)state;
    for (int i = 0; i < 20; i++) {
        pause_ms = hc_worker_backoff_ms(before_ms, 0);
        assert_true(pause_ms >= 100 && pause_ms <= 10000);
        assert_true(pause_ms >= before_ms);
        before_ms = pause_ms;
    }
    assert_int_equal(pause_ms, 10000);
}

static void who_served_a_while_is_replaced_at_once(void **state)
{
    (void)state;
    assert_int_equal(hc_worker_backoff_ms(10000, 1000), 0);
    assert_int_not_equal(hc_worker_backoff_ms(0, 999), 0);
}

static void an_exit_is_told_as_code_or_signal(void **state)
{
    char text[64];
    (void)state;
    hc_worker_exit_text(4 << 8, text, sizeof(text));
    assert_string_equal(text, "exit code 4");
    hc_worker_exit_text(SIGKILL, text, sizeof(text));
    assert_string_equal(text, "signal 9 (Killed)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_lives_only_along_the_table),
        cmocka_unit_test(a_front_lives_only_along_the_table),
        cmocka_unit_test(who_dies_at_once_waits_longer_each_time_up_to_a_bound),
        cmocka_unit_test(who_served_a_while_is_replaced_at_once),
        cmocka_unit_test(an_exit_is_told_as_code_or_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
