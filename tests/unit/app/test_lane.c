#include "world.h"

/* ---- workers that break the protocol ---- */

static void assert_broken(world *w, fake_worker *f, call *c, const char *why)
{
    says(w, f);
    assert_int_equal(w->broken, 1);
    assert_int_equal(w->last_worker, 1);
    if (!strstr(w->why, why))
        assert_string_equal(w->why, why);
    if (c)
        assert_failed(c, 502, "protocol");
    assert_int_equal(takes(f, NULL, NULL), 255);
}

static void test_body_before_the_head_breaks_the_lane(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = busy(w, &c);
    adds_data(f, "too early");
    assert_broken(w, f, &c, "before the HEAD");
}

static void test_second_head_breaks_the_lane(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = busy(w, &c);
    adds_head(f, 200);
    adds_head(f, 200);
    assert_broken(w, f, &c, "second HEAD");
}

static void test_second_hello_breaks_the_lane(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = busy(w, &c);
    assert_int_equal(hc_lane_add_hello(&f->channel.out), 0);
    says(w, f);
    assert_int_equal(w->broken, 1);
    assert_failed(&c, 502, "protocol");
}

static void test_frame_for_no_request_breaks_the_lane(void **state)
{
    world *w = *state;
    fake_worker *f = add_ready_lane(w, 0, 1);
    adds_head(f, 200);
    assert_broken(w, f, NULL, "without a request");
}

static void test_frame_of_the_front_from_a_worker_breaks_the_lane(void **state)
{
    world *w = *state;
    call c;
    size_t at;
    fake_worker *f = busy(w, &c);
    assert_int_equal(hc_lane_begin(&f->channel.out, HC_LANE_CANCEL, 0, &at), 0);
    assert_int_equal(hc_lane_end(&f->channel.out, at), 0);
    assert_broken(w, f, &c, "from a worker");
}

static void test_octets_that_are_no_frame_break_the_lane(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = busy(w, &c);
    assert_int_equal(hc_buf_add(&f->channel.out, S("\xff\xff\xff\xff\xff\xff\xff\xff")), 0);
    assert_broken(w, f, &c, "");
}

static void test_worker_of_another_version_is_told_what_to_do(void **state)
{
    world *w = *state;
    fake_worker *f = add_lane(w, 0, 1);
    assert_int_equal(hc_lane_add_hello(&f->channel.out), 0);
    f->channel.out.at[HC_LANE_HEADER_BYTES] = 99;
    says(w, f);
    assert_int_equal(w->broken, 1);
    assert_int_equal(w->ready, 0);
    assert_non_null(strstr(w->why, "lane protocol 99"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_body_before_the_head_breaks_the_lane),
        IN_WORLD(test_second_head_breaks_the_lane),
        IN_WORLD(test_second_hello_breaks_the_lane),
        IN_WORLD(test_frame_for_no_request_breaks_the_lane),
        IN_WORLD(test_frame_of_the_front_from_a_worker_breaks_the_lane),
        IN_WORLD(test_octets_that_are_no_frame_break_the_lane),
        IN_WORLD(test_worker_of_another_version_is_told_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
