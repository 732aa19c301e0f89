#include "app/pool.h"

#include "unit.h"
/* after unit.h */
#include "faults.h"

typedef struct told {
    int spent;
    int ready, broken, idle;
    uint32_t worker;
    const char *why;
} told;

static void on_ready(void *arg, uint32_t worker)
{
    told *t = arg;
    t->ready++;
    t->worker = worker;
}

static void on_broken(void *arg, uint32_t worker, const char *why)
{
    told *t = arg;
    t->broken++;
    t->worker = worker;
    t->why = why;
}

static void on_idle(void *arg, uint32_t worker)
{
    told *t = arg;
    t->idle++;
    t->worker = worker;
}

static void on_spent(void *arg, uint32_t worker)
{
    told *t = arg;
    t->spent++;
    t->worker = worker;
}

static hc_pool *new_pool(told *t)
{
    hc_pool *p = NULL;
    hc_err err;
    *t = (told){0};
    hc_pool_events events = {t, on_ready, on_broken, on_idle, on_spent};
    assert_int_equal(hc_pool_new(&events, &p, &err), 0);
    return p;
}

static int restore(void **state)
{
    (void)state;
    faults_end();
    return 0;
}

static void test_a_worker_is_spent_once_and_only_where_there_is_an_end(void **state)
{
    (void)state;
    told t;
    hc_pool *p = new_pool(&t);
    hc_pool_worker *w = hc_pool_lane_opened(p, 7);
    for (int i = 0; i < 5; i++)
        hc_pool_request(p, w, 0);
    hc_pool_request(p, w, 2);
    assert_int_equal(t.spent, 0);
    hc_pool_request(p, w, 2);
    assert_int_equal(t.spent, 1);
    assert_int_equal(t.worker, 7);
    hc_pool_request(p, w, 2);
    hc_pool_request(p, w, 1);
    assert_int_equal(t.spent, 1);
    hc_pool_lane_closed(p, w);
    hc_pool_free(p);
}

static void test_only_workers_that_can_be_given_a_request_are_counted(void **state)
{
    (void)state;
    told t;
    hc_pool *p = new_pool(&t);
    hc_pool_worker *serves = hc_pool_lane_opened(p, 1), *loads = hc_pool_lane_opened(p, 2);
    hc_pool_worker *retires = hc_pool_lane_opened(p, 3), *broken = hc_pool_lane_opened(p, 4);
    assert_ptr_equal(hc_pool_lane_opened(p, 1), serves);
    hc_pool_lane_ready(p, serves);
    hc_pool_lane_ready(p, retires);
    hc_pool_lane_ready(p, broken);
    atomic_fetch_add(&serves->busy, 1);
    hc_pool_retire(p, 3);
    hc_pool_broken(p, broken, "test");
    hc_pool_counts c = hc_pool_count(p);
    assert_int_equal(c.workers, 1);
    assert_int_equal(c.lanes, 1); /* its other thread has not said hello */
    assert_int_equal(c.busy, 1);
    assert_int_equal(c.waiting, 0);
    hc_pool_lane_closed(p, serves);
    hc_pool_lane_closed(p, serves);
    hc_pool_lane_closed(p, loads);
    hc_pool_lane_closed(p, retires);
    hc_pool_lane_closed(p, broken);
    assert_int_equal(hc_pool_count(p).workers, 0);
    hc_pool_free(p);
}

static void test_lanes_of_one_worker_share_its_record(void **state)
{
    (void)state;
    told t;
    hc_pool *p = new_pool(&t);
    hc_pool_worker *one = hc_pool_lane_opened(p, 7);
    assert_ptr_equal(hc_pool_lane_opened(p, 7), one);
    hc_pool_worker *other = hc_pool_lane_opened(p, 8);
    assert_ptr_not_equal(other, one);
    hc_pool_lane_closed(p, one);
    assert_ptr_equal(hc_pool_lane_opened(p, 7), one);
    hc_pool_free(p);
}

static void test_retired_worker_is_idle_with_its_last_lane(void **state)
{
    (void)state;
    told t;
    hc_pool *p = new_pool(&t);
    hc_pool_worker *w = hc_pool_lane_opened(p, 7);
    assert_ptr_equal(hc_pool_lane_opened(p, 7), w);
    hc_pool_retire(p, 7);
    assert_true(atomic_load(&w->retired));
    hc_pool_lane_closed(p, w);
    assert_int_equal(t.idle, 0);
    hc_pool_lane_closed(p, w);
    assert_int_equal(t.idle, 1);
    assert_int_equal(t.worker, 7);
    hc_pool_free(p);
}

static void test_worker_without_lanes_is_idle_at_once(void **state)
{
    (void)state;
    told t;
    hc_pool *p = new_pool(&t);
    hc_pool_retire(p, 7);
    assert_int_equal(t.idle, 1);
    hc_pool_free(p);
}

static void test_worker_that_was_not_retired_is_not_reported_idle(void **state)
{
    (void)state;
    told t;
    hc_pool *p = new_pool(&t);
    hc_pool_lane_closed(p, hc_pool_lane_opened(p, 7));
    assert_int_equal(t.idle, 0);
    hc_pool_free(p);
}

static void test_broken_worker_is_reported_once(void **state)
{
    (void)state;
    told t;
    hc_pool *p = new_pool(&t);
    hc_pool_worker *w = hc_pool_lane_opened(p, 7);
    hc_pool_broken(p, w, "first");
    hc_pool_broken(p, w, "second");
    assert_int_equal(t.broken, 1);
    assert_string_equal(t.why, "first");
    hc_pool_free(p);
}

static void test_threads_find_each_other_and_never_themselves(void **state)
{
    (void)state;
    told t;
    hc_pool *p = new_pool(&t);
    /* Only told apart, never looked into. */
    char apps[3];
    for (unsigned i = 0; i < 3; i++)
        hc_pool_join(p, i, (hc_app *)(void *)&apps[i]);
    assert_int_equal(hc_pool_who_waits(p, 0), -1);
    assert_int_equal(hc_pool_who_is_idle(p, 0), -1);
    hc_pool_waiting(p, 1, 1);
    hc_pool_waiting(p, 2, 1);
    hc_pool_waiting(p, 2, 1);
    assert_int_equal(hc_pool_who_waits(p, 0), 2); /* who waits most */
    assert_int_equal(hc_pool_who_waits(p, 2), 1);
    assert_true(hc_pool_waits(p, 1));
    assert_false(hc_pool_waits(p, 0));
    hc_pool_waiting(p, 1, -1);
    assert_int_equal(hc_pool_who_waits(p, 2), -1);
    hc_pool_idle(p, 1, 1);
    assert_int_equal(hc_pool_who_is_idle(p, 0), 1);
    assert_int_equal(hc_pool_who_is_idle(p, 1), -1);
    assert_ptr_equal(hc_pool_app(p, 1), (void *)&apps[1]);
    assert_null(hc_pool_app(p, 3));
    assert_null(hc_pool_app(p, HC_LIMIT_FRONT_THREADS));
    hc_pool_free(p);
}

static void test_pool_survives_each_allocation_that_fails(void **state)
{
    (void)state;
    told t = {0};
    hc_pool_events events = {&t, on_ready, on_broken, on_idle, on_spent};
    hc_pool *p = NULL;
    hc_err err;
    faults_begin(1);
    assert_int_equal(hc_pool_new(&events, &p, &err), -HC_ENOMEM);
    faults_begin(2);
    assert_int_equal(hc_pool_new(&events, &p, &err), 0);
    assert_null(hc_pool_lane_opened(p, 7));
    hc_pool_worker *w = hc_pool_lane_opened(p, 7);
    assert_non_null(w);
    assert_int_equal(w->lanes, 1);
    hc_pool_free(p);
    assert_int_equal(faults_live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_of_one_worker_share_its_record),
        cmocka_unit_test(test_a_worker_is_spent_once_and_only_where_there_is_an_end),
        cmocka_unit_test(test_only_workers_that_can_be_given_a_request_are_counted),
        cmocka_unit_test(test_retired_worker_is_idle_with_its_last_lane),
        cmocka_unit_test(test_worker_without_lanes_is_idle_at_once),
        cmocka_unit_test(test_worker_that_was_not_retired_is_not_reported_idle),
        cmocka_unit_test(test_broken_worker_is_reported_once),
        cmocka_unit_test(test_threads_find_each_other_and_never_themselves),
        cmocka_unit_test_teardown(test_pool_survives_each_allocation_that_fails, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
