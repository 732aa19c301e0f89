#include "server/ticket.h"

#include <pthread.h>

#include "unit.h"
/* after unit.h */
#include "faults.h"

static int restore(void **state)
{
    (void)state;
    faults_end();
    return 0;
}

static void test_ticket_keeps_verdict_and_time(void **state)
{
    (void)state;
    hc_verdict v = {.code = HC_VERDICT_OK, .good_until_s = 99, .chain_generation = 7};
    hc_ticket *t = hc_ticket_new(NULL, &v, 42);
    assert_non_null(t);
    assert_null(t->principal);
    assert_int_equal(t->chain.code, HC_VERDICT_OK);
    assert_int_equal(t->chain.good_until_s, 99);
    assert_int_equal(t->chain.chain_generation, 7);
    assert_int_equal(t->full_handshake_s, 42);
    hc_ticket_unref(t);
}

static void test_ticket_lives_until_its_last_reference(void **state)
{
    (void)state;
    hc_verdict v = {0};
    faults_begin(0);
    hc_ticket *t = hc_ticket_new(NULL, &v, 1);
    assert_ptr_equal(hc_ticket_ref(t), t);
    hc_ticket_unref(t);
    assert_int_equal(faults_live, 1);
    hc_ticket_unref(t);
    assert_int_equal(faults_live, 0);
}

static void test_no_ticket_is_one_that_may_be_released(void **state)
{
    (void)state;
    assert_null(hc_ticket_ref(NULL));
    hc_ticket_unref(NULL);
}

static void test_ticket_without_memory_is_none(void **state)
{
    (void)state;
    hc_verdict v = {0};
    faults_begin(1);
    assert_null(hc_ticket_new(NULL, &v, 1));
}

static void *use(void *arg)
{
    for (int i = 0; i < 10000; i++)
        hc_ticket_unref(hc_ticket_ref(arg));
    return NULL;
}

static void test_threads_may_share_a_ticket(void **state)
{
    (void)state;
    hc_verdict v = {0};
    pthread_t threads[4];
    hc_ticket *t = hc_ticket_new(NULL, &v, 1);
    for (size_t i = 0; i < HC_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, t), 0);
    for (size_t i = 0; i < HC_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&t->refs), 1);
    hc_ticket_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticket_keeps_verdict_and_time),
        cmocka_unit_test_teardown(test_ticket_lives_until_its_last_reference, restore),
        cmocka_unit_test(test_no_ticket_is_one_that_may_be_released),
        cmocka_unit_test_teardown(test_ticket_without_memory_is_none, restore),
        cmocka_unit_test(test_threads_may_share_a_ticket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
