/* Lanes between threads, where a message between them cannot be sent for want of memory. */
#include "world.h"

static void start_call(world *w, unsigned thread, call *c)
{
    hc_handler *h = hc_app_handler(w->apps[thread]);
    h->start(h, &c->x);
}

/* The handler looks around every 200 ms. */
static void assert_takes_after_a_tick(world *w, fake_worker *f, const char *path)
{
    for (int wait = 0; wait < 200 && w->post_count == 0; wait++) {
        (void)usleep(10000);
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    }
    spin(w);
    assert_takes(f, path);
}

static void test_lane_that_cannot_be_sent_stays_of_use_where_it_is(void **state)
{
    world *w = *state;
    call there, here;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&there, "/there");
    start_call(w, 1, &there); /* asks for the lane */
    w->refuse_posts = true;
    spin(w);
    call_init(&here, "/here");
    begin_call(w, 0, &here);
    assert_takes(f, "/here");
    answers(w, f, "from here");
    assert_answered(&here, "from here");
    assert_int_equal(w->broken, 0);
    w->refuse_posts = false;
    assert_takes_after_a_tick(w, f, "/there");
    answers(w, f, "from there");
    assert_answered(&there, "from there");
}

static void test_request_whose_plea_was_lost_asks_again(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/asks");
    w->refuse_posts = true;
    begin_call(w, 1, &c);
    assert_int_equal(takes(f, NULL, NULL), 0);
    w->refuse_posts = false;
    assert_takes_after_a_tick(w, f, "/asks");
    answers(w, f, "answered");
    assert_answered(&c, "answered");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_lane_that_cannot_be_sent_stays_of_use_where_it_is),
        IN_WORLD(test_request_whose_plea_was_lost_asks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
