#include "world.h"
/* after world.h */
#include "principal.h"

/* ---- one lane ---- */

static void test_request_goes_to_a_lane_and_its_response_back(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/path");
    begin_call(w, 0, &c);
    assert_takes(f, "/path");
    answers(w, f, "hello");
    assert_answered(&c, "hello");
    assert_int_equal(w->ready, 1);
}

static void test_lane_gets_nothing_before_its_hello(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = add_lane(w, 0, 1);
    call_init(&c, "/early");
    begin_call(w, 0, &c);
    assert_int_equal(takes(f, NULL, NULL), HC_LANE_SERVER);
    assert_int_equal(takes(f, NULL, NULL), 0);
    says_hello(w, f);
    assert_takes(f, "/early");
    answers(w, f, "at last");
    assert_answered(&c, "at last");
}

static void test_requests_wait_in_order_for_the_only_lane(void **state)
{
    world *w = *state;
    call calls[5];
    char paths[5][8];
    fake_worker *f = add_ready_lane(w, 0, 1);
    for (int i = 0; i < 5; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "/%d", i);
        call_init(&calls[i], paths[i]);
        begin_call(w, 0, &calls[i]);
    }
    for (int i = 0; i < 5; i++) {
        assert_takes(f, paths[i]);
        assert_int_equal(takes(f, NULL, NULL), 0); /* one at a time */
        answers(w, f, paths[i]);
        assert_answered(&calls[i], paths[i]);
    }
}

static void test_body_is_handed_on_in_the_order_it_comes_and_flushed(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/stream");
    begin_call(w, 0, &c);
    assert_takes(f, "/stream");
    adds_head(f, 200);
    adds_data(f, "one ");
    says(w, f);
    assert_int_equal(c.flushes, 1);
    assert_int_equal(c.body_size, 4);
    adds_data(f, "two");
    says(w, f);
    assert_int_equal(c.flushes, 2);
    adds_end(f, false);
    says(w, f);
    assert_answered(&c, "one two");
}

static void test_file_of_a_response_comes_with_its_descriptor(void **state)
{
    world *w = *state;
    call c;
    hc_err err;
    FILE *file = tmpfile();
    assert_int_equal(fputs("0123456789", file), 1);
    assert_int_equal(fflush(file), 0);
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/file");
    begin_call(w, 0, &c);
    assert_takes(f, "/file");
    adds_head(f, 200);
    assert_int_equal(hc_channel_flush(&f->channel, &err), 0);
    f->channel.out_fd = fileno(file);
    f->channel.out_fd_at = f->channel.out.size;
    assert_int_equal(hc_lane_add_file(&f->channel.out, &(hc_lane_file){2, 5}), 0);
    says(w, f);
    f->channel.out_fd = -1;
    adds_end(f, false);
    says(w, f);
    assert_answered(&c, "23456");
    assert_int_equal(c.files, 1);
    assert_int_equal(fclose(file), 0);
}

static void test_large_body_of_a_request_goes_by_descriptor(void **state)
{
    world *w = *state;
    call c;
    hc_slice payload;
    char text[8] = {0};
    int fd = -1;
    FILE *file = tmpfile();
    assert_int_equal(fputs("spooled", file), 1);
    assert_int_equal(fflush(file), 0);
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/upload");
    c.x.body = (hc_body){HC_SLICE_NONE, fileno(file), 7};
    begin_call(w, 0, &c);
    assert_int_equal(takes(f, &payload, &fd), HC_LANE_REQUEST);
    assert_int_equal(pread(fd, text, 7, 0), 7);
    assert_string_equal(text, "spooled");
    assert_int_equal(close(fd), 0);
    assert_true(fcntl(fileno(file), F_GETFD) >= 0); /* ours stays ours */
    answers(w, f, "thanks");
    assert_answered(&c, "thanks");
    assert_int_equal(fclose(file), 0);
}

static void test_refusal_by_the_application_is_told_and_changes_nothing_else(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/refused");
    begin_call(w, 0, &c);
    assert_takes(f, "/refused");
    hc_lane_refused refused = {S("no-certificate"), S("not today")};
    assert_int_equal(hc_lane_add_refused(&f->channel.out, &refused), 0);
    answers(w, f, "sorry");
    assert_answered(&c, "sorry");
    assert_int_equal(c.refusals, 1);
    assert_int_equal(c.refusal_verdict, HC_VERDICT_NO_CERTIFICATE);
    assert_string_equal(c.reason, "not today");
}

static void test_refusal_by_a_verdict_that_there_is_not_is_the_applications_own(void **state)
{
    world *w = *state;
    fake_worker *f = add_ready_lane(w, 0, 1);
    const hc_slice names[] = {S(""), S("refused-by-app"), S("Expired"), S("unknown-verdict")};
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        call c;
        call_init(&c, "/refused");
        begin_call(w, 0, &c);
        assert_takes(f, "/refused");
        hc_lane_refused refused = {names[i], S("because")};
        assert_int_equal(hc_lane_add_refused(&f->channel.out, &refused), 0);
        answers(w, f, "sorry");
        assert_answered(&c, "sorry");
        assert_int_equal(c.refusal_verdict, HC_VERDICT_REFUSED_BY_APP);
    }
}

static void test_worker_that_refuses_one_request_twice_is_cut_off(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = busy(w, &c);
    hc_lane_refused refused = {S("refused-by-app"), S("because")};
    assert_int_equal(hc_lane_add_refused(&f->channel.out, &refused), 0);
    assert_int_equal(hc_lane_add_refused(&f->channel.out, &refused), 0);
    says(w, f);
    assert_int_equal(c.refusals, 1);
    assert_failed(&c, 502, "protocol");
}

/* ---- ends before the end ---- */

static void test_client_that_is_refused_while_it_waits_is_never_sent(void **state)
{
    world *w = *state;
    call first, refused, last;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&first, "/first");
    call_init(&refused, "/refused");
    call_init(&last, "/last");
    begin_call(w, 0, &first);
    begin_call(w, 0, &refused);
    begin_call(w, 0, &last);
    refused.unwelcome = true;
    assert_takes(f, "/first");
    answers(w, f, "1");
    assert_takes(f, "/last");
    answers(w, f, "2");
    assert_answered(&last, "2");
}

static void test_client_that_leaves_while_it_waits_is_never_sent(void **state)
{
    world *w = *state;
    call first, second, third;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&first, "/1");
    call_init(&second, "/2");
    call_init(&third, "/3");
    begin_call(w, 0, &first);
    begin_call(w, 0, &second);
    begin_call(w, 0, &third);
    cancel_call(w, 0, &second);
    memset(&second, 0xee, sizeof second); /* nobody looks at it any more */
    assert_takes(f, "/1");
    answers(w, f, "1");
    assert_takes(f, "/3");
    answers(w, f, "3");
    assert_answered(&third, "3");
}

static void test_last_that_waits_can_leave_and_others_still_come(void **state)
{
    world *w = *state;
    call first, second, third;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&first, "/1");
    call_init(&second, "/2");
    call_init(&third, "/3");
    begin_call(w, 0, &first);
    begin_call(w, 0, &second);
    cancel_call(w, 0, &second);
    begin_call(w, 0, &third);
    assert_takes(f, "/1");
    answers(w, f, "1");
    assert_takes(f, "/3");
    answers(w, f, "3");
    assert_answered(&first, "1");
    assert_answered(&third, "3");
}

static void test_client_that_leaves_in_the_middle_cancels_and_the_lane_is_used_again(void **state)
{
    world *w = *state;
    call c, next;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/left");
    call_init(&next, "/next");
    begin_call(w, 0, &c);
    assert_takes(f, "/left");
    adds_head(f, 200);
    says(w, f);
    cancel_call(w, 0, &c);
    memset(&c, 0xee, sizeof c);
    assert_int_equal(takes(f, NULL, NULL), HC_LANE_CANCEL);
    begin_call(w, 0, &next);
    assert_int_equal(takes(f, NULL, NULL), 0); /* not before the END of the other */
    adds_data(f, "dropped");
    adds_end(f, false);
    says(w, f);
    assert_takes(f, "/next");
    answers(w, f, "next");
    assert_answered(&next, "next");
}

static void test_response_that_is_complete_early_drops_the_rest(void **state)
{
    world *w = *state;
    call c, next;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/short");
    call_init(&next, "/next");
    c.complete_at = 3;
    begin_call(w, 0, &c);
    begin_call(w, 0, &next);
    assert_takes(f, "/short");
    adds_head(f, 200);
    adds_data(f, "abc");
    adds_data(f, "dropped");
    adds_end(f, true); /* also that it failed is nobody's concern any more */
    says(w, f);
    assert_slice_equal(hc_slice_of(c.body, c.body_size), S("abc"));
    assert_int_equal(c.ends + c.fails, 0);
    assert_takes(f, "/next"); /* and no CANCEL */
    answers(w, f, "next");
    assert_answered(&next, "next");
}

static void test_head_that_is_refused_fails_the_request_and_stops_the_worker(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/bad");
    c.head_result = -HC_EFORMAT;
    begin_call(w, 0, &c);
    assert_takes(f, "/bad");
    adds_head(f, 200);
    adds_data(f, "dropped");
    says(w, f);
    assert_failed(&c, 500, "a head that is refused");
    assert_int_equal(c.body_size, 0);
    assert_int_equal(takes(f, NULL, NULL), HC_LANE_CANCEL);
    assert_int_equal(w->broken, 0);
}

static void test_application_that_fails_is_a_500(void **state)
{
    world *w = *state;
    call failed, silent;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&failed, "/failed");
    begin_call(w, 0, &failed);
    assert_takes(f, "/failed");
    adds_end(f, true);
    says(w, f);
    assert_failed(&failed, 500, "the application failed");
    call_init(&silent, "/silent");
    begin_call(w, 0, &silent);
    assert_takes(f, "/silent");
    adds_end(f, false); /* complete, without a head */
    says(w, f);
    assert_failed(&silent, 500, "the application failed");
    assert_int_equal(w->broken, 0);
}

static void test_worker_that_dies_costs_its_request_and_no_other(void **state)
{
    world *w = *state;
    call hit, waiting;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&hit, "/hit");
    call_init(&waiting, "/waiting");
    begin_call(w, 0, &hit);
    begin_call(w, 0, &waiting);
    dies(w, f);
    assert_failed(&hit, 502, "died");
    assert_int_equal(waiting.fails, 0);
    fake_worker *replacement = add_ready_lane(w, 0, 2);
    assert_takes(replacement, "/waiting");
    answers(w, replacement, "done");
    assert_answered(&waiting, "done");
}

static void test_idle_lane_that_died_is_not_used(void **state)
{
    world *w = *state;
    call c;
    fake_worker *dead = add_ready_lane(w, 0, 1);
    fake_worker *alive = add_ready_lane(w, 0, 2);
    assert_int_equal(close(dead->channel.fd), 0); /* and nobody has looked yet */
    dead->open = false;
    call_init(&c, "/path");
    begin_call(w, 0, &c);
    assert_takes(alive, "/path");
    answers(w, alive, "from the other");
    assert_answered(&c, "from the other");
}

/* ---- time ---- */

static void set_timeout(world *w, uint64_t ms)
{
    for (unsigned i = 0; i < WORLD_THREADS; i++) {
        hc_app_config config = {.timeout_ms = ms, .server_frame = hc_buf_slice(&w->server_frame)};
        hc_app_configure(w->apps[i], &config);
    }
}

static void let_pass(world *w, uint64_t ms, const int *until)
{
    now_ms += ms;
    while (*until == 0) /* the tick is the loop's own */
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    spin(w);
}

static void test_request_that_is_not_answered_in_time_is_503_and_its_worker_reported(void **state)
{
    world *w = *state;
    call c;
    set_timeout(w, 5000);
    fake_worker *f = busy(w, &c);
    let_pass(w, 5001, &c.fails);
    assert_failed(&c, 503, "--timeout");
    assert_int_equal(w->broken, 1);
    answers(w, f, "too late");
    assert_int_equal(c.fails, 1);
    assert_int_equal(c.body_size, 0);
}

static void test_request_that_finds_no_lane_in_time_is_503(void **state)
{
    world *w = *state;
    call c;
    set_timeout(w, 5000);
    call_init(&c, "/waits");
    begin_call(w, 0, &c);
    let_pass(w, 5001, &c.fails);
    assert_failed(&c, 503, "no worker was free");
}

static void test_worker_that_does_not_stop_after_its_client_left_is_reported(void **state)
{
    world *w = *state;
    call c;
    set_timeout(w, 5000);
    fake_worker *f = busy(w, &c);
    cancel_call(w, 0, &c);
    assert_int_equal(takes(f, NULL, NULL), HC_LANE_CANCEL);
    let_pass(w, 5001, &w->broken);
    assert_int_equal(w->broken, 1);
}

static void test_response_that_has_begun_may_take_its_time(void **state)
{
    world *w = *state;
    call streaming, waiting;
    set_timeout(w, 5000);
    fake_worker *f = busy(w, &streaming);
    adds_head(f, 200);
    says(w, f);
    call_init(&waiting, "/waits");
    begin_call(w, 0, &waiting); /* shows when the tick has looked */
    let_pass(w, 5001, &waiting.fails);
    assert_int_equal(streaming.fails, 0);
    assert_int_equal(w->broken, 0);
    adds_data(f, "late");
    adds_end(f, false);
    says(w, f);
    assert_answered(&streaming, "late");
}

/* ---- between threads ---- */

static void test_lane_goes_to_the_thread_that_waits(void **state)
{
    world *w = *state;
    call c, back;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&c, "/other");
    begin_call(w, 1, &c);
    assert_takes(f, "/other");
    answers(w, f, "moved");
    assert_answered(&c, "moved");
    call_init(&back, "/back");
    begin_call(w, 0, &back);
    assert_takes(f, "/back");
    answers(w, f, "and back");
    assert_answered(&back, "and back");
}

static void test_busy_lane_goes_to_the_thread_that_waits_when_it_is_done(void **state)
{
    world *w = *state;
    call first, second, third;
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(&first, "/1");
    call_init(&second, "/2");
    call_init(&third, "/3");
    begin_call(w, 0, &first);
    begin_call(w, 1, &second);
    begin_call(w, 1, &third);
    assert_takes(f, "/1");
    answers(w, f, "1");
    assert_takes(f, "/2");
    answers(w, f, "2");
    assert_takes(f, "/3");
    answers(w, f, "3");
    assert_answered(&second, "2");
    assert_answered(&third, "3");
}

static void test_lane_that_moved_for_a_client_who_left_stays_of_use(void **state)
{
    world *w = *state;
    call left, next;
    fake_worker *f = add_ready_lane(w, 0, 1);
    hc_handler *h = hc_app_handler(w->apps[1]);
    call_init(&left, "/left");
    h->start(h, &left.x); /* the plea is on its way */
    h->cancel(h, &left.x);
    spin(w);
    assert_int_equal(takes(f, NULL, NULL), 0);
    call_init(&next, "/next");
    begin_call(w, 1, &next);
    assert_takes(f, "/next");
    answers(w, f, "next");
    assert_answered(&next, "next");
}

static void test_busiest_worker_is_asked_last(void **state)
{
    world *w = *state;
    call first, second;
    fake_worker *a1 = add_ready_lane(w, 0, 1);
    fake_worker *b1 = add_ready_lane(w, 0, 2);
    fake_worker *b2 = add_ready_lane(w, 0, 2);
    call_init(&first, "/1");
    call_init(&second, "/2");
    begin_call(w, 0, &first); /* to worker 2, used last */
    begin_call(w, 0, &second);
    assert_takes(b2, "/1");
    assert_takes(a1, "/2");
    assert_int_equal(takes(b1, NULL, NULL), 0);
    answers(w, b2, "1");
    answers(w, a1, "2");
    assert_answered(&first, "1");
    assert_answered(&second, "2");
}

/* ---- replacing workers ---- */

static void test_retired_worker_finishes_and_gets_nothing_more(void **state)
{
    world *w = *state;
    call running, next;
    fake_worker *resting = add_ready_lane(w, 0, 1);
    fake_worker *f = busy(w, &running);
    hc_pool_retire(w->pool, 1);
    for (unsigned i = 0; i < WORLD_THREADS; i++)
        hc_app_close_retired(w->apps[i]);
    spin(w);
    assert_int_equal(takes(resting, NULL, NULL), 255);
    assert_int_equal(w->idle, 0);
    call_init(&next, "/next");
    begin_call(w, 0, &next);
    answers(w, f, "finished");
    assert_answered(&running, "finished");
    assert_int_equal(takes(f, NULL, NULL), 255);
    assert_int_equal(w->idle, 1);
    assert_int_equal(next.fails, 0);
    fake_worker *replacement = add_ready_lane(w, 0, 2);
    assert_takes(replacement, "/next");
    answers(w, replacement, "next");
    assert_answered(&next, "next");
}

static void test_requests_that_wait_at_the_end_are_503(void **state)
{
    world *w = *state;
    call waiting, running;
    fake_worker *f = busy(w, &running);
    call_init(&waiting, "/waiting");
    begin_call(w, 0, &waiting);
    hc_app_free(w->apps[0]);
    w->apps[0] = NULL;
    assert_failed(&waiting, 503, "stops");
    assert_failed(&running, 502, "stops");
    spin(w);
    assert_int_equal(takes(f, NULL, NULL), 255);
}

static void test_more_requests_than_may_wait_are_503(void **state)
{
    world *w = *state;
    static call waiting[HC_LIMIT_WAITING_REQUESTS + 1];
    hc_handler *h = hc_app_handler(w->apps[0]);
    for (size_t i = 0; i <= HC_LIMIT_WAITING_REQUESTS; i++) {
        call_init(&waiting[i], "/many");
        h->start(h, &waiting[i].x);
    }
    assert_int_equal(waiting[0].fails, 0);
    assert_failed(&waiting[HC_LIMIT_WAITING_REQUESTS], 503, "too many");
}

/* ---- certificates ---- */

/* True where the certificate came along. */
static bool ask_as(world *w, fake_worker *f, hc_principal *p, uint16_t *slot, char user[32])
{
    call c;
    hc_slice payload;
    hc_lane_request r;
    hc_pair headers[8];
    hc_err err;
    call_init(&c, "/who");
    c.x.principal = p;
    begin_call(w, 0, &c);
    uint8_t type = takes(f, &payload, NULL);
    bool with_cert = type == HC_LANE_CERT;
    if (with_cert)
        type = takes(f, &payload, NULL);
    assert_int_equal(type, HC_LANE_REQUEST);
    assert_int_equal(hc_lane_decode_request(payload, &r, headers, 8, &err), 0);
    *slot = r.slot;
    (void)snprintf(user, 32, "%.*s", HC_SLICE_ARGS(r.remote_user));
    answers(w, f, "you");
    assert_answered(&c, "you");
    return with_cert;
}

static void test_certificate_is_sent_once_a_lane_and_again_when_it_was_forgotten(void **state)
{
    world *w = *state;
    hc_principal *all[HC_LIMIT_LANE_CERT_SLOTS + 1];
    bool used[HC_LIMIT_LANE_CERT_SLOTS] = {false};
    uint16_t slot, again;
    char user[32];
    fake_worker *f = add_ready_lane(w, 0, 1);
    for (size_t i = 0; i < HC_COUNT(all); i++)
        all[i] = new_principal((long)i + 1);
    for (size_t i = 0; i < HC_LIMIT_LANE_CERT_SLOTS; i++) {
        assert_true(ask_as(w, f, all[i], &slot, user));
        assert_true(slot < HC_LIMIT_LANE_CERT_SLOTS && !used[slot]);
        used[slot] = true;
        assert_false(ask_as(w, f, all[i], &again, user));
        assert_int_equal(slot, again);
    }
    assert_false(ask_as(w, f, all[0], &slot, user)); /* so it is not the oldest */
    assert_true(ask_as(w, f, all[HC_LIMIT_LANE_CERT_SLOTS], &slot, user));
    assert_false(ask_as(w, f, all[0], &again, user));
    assert_true(ask_as(w, f, all[1], &again, user));
    for (size_t i = 0; i < HC_COUNT(all); i++)
        hc_principal_unref(all[i]);
}

static void test_remote_user_is_the_variable_that_was_named(void **state)
{
    world *w = *state;
    uint16_t slot;
    char user[32];
    hc_app_config config = {.remote_user = "SSL_CLIENT_S_DN_CN",
                            .server_frame = hc_buf_slice(&w->server_frame)};
    hc_app_configure(w->apps[0], &config);
    fake_worker *f = add_ready_lane(w, 0, 1);
    hc_principal *p = new_principal(1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask_as(w, f, p, &slot, user), i == 0);
        assert_string_equal(user, "alice");
    }
    hc_principal_unref(p);
}

/* ---- failing memory ---- */

/* What a worker with little memory says to a frame: every view asks something first. */
static void reply(fake_worker *f, uint8_t type)
{
    hc_err err;
    hc_lane_head head = {.status = 200};
    int rc = 0;
    if (type == HC_LANE_REQUEST)
        rc = hc_lane_add_ask(&f->channel.out, S("?"));
    if (type == HC_LANE_ANSWER)
        rc = hc_lane_add_head(&f->channel.out, &head);
    if (type == HC_LANE_ANSWER && rc == 0)
        rc = hc_lane_add_end(&f->channel.out, false);
    if (rc == 0)
        (void)!hc_channel_flush(&f->channel, &err);
}

/* Everything from the first lane to the end, with a lane that moves. True where no allocation was
 * left to fail. */
static bool whole_life(size_t nth, hc_principal *p, hc_record *const records[3])
{
    world w;
    call calls[3];
    faults_begin(nth);
    if (world_init(&w, WORLD_THREADS) == 0) {
        w.answer_at_once = "!";
        fake_worker *f = add_lane(&w, 0, 1);
        hc_err err;
        for (unsigned i = 0; i < HC_COUNT(calls); i++) {
            call_init(&calls[i], "/path");
            calls[i].x.principal = p;
            calls[i].x.record = records[i];
            begin_call(&w, i % WORLD_THREADS, &calls[i]);
        }
        if (f && hc_lane_add_hello(&f->channel.out) == 0)
            says(&w, f);
        for (int turn = 0; f && turn < 40; turn++) {
            hc_lane_header h;
            hc_slice payload;
            int fd;
            if (hc_channel_read(&f->channel, &h, &payload, &fd, &err) == 0)
                reply(f, h.type);
            spin(&w);
        }
    }
    bool none_failed = faults_left > 0;
    world_done(&w);
    assert_int_equal(faults_live, 0);
    faults_end();
    for (unsigned i = 0; i < HC_COUNT(calls) && none_failed; i++)
        assert_int_equal(calls[i].ends, 1);
    return none_failed;
}

static void test_each_allocation_may_fail_and_nothing_is_lost(void **state)
{
    (void)state;
    hc_principal *p = new_principal(1);
    hc_record *before = hc_record_new(7, S("alice"), S("meter"), HC_SLICE_NONE);
    hc_record *after = hc_record_new(7, S("alice"), S("reader"), HC_SLICE_NONE);
    hc_record *const records[] = {before, after, NULL};
    size_t nth = 1;
    while (!whole_life(nth, p, records)) {
        nth++;
        assert_true(nth < 1000);
    }
    assert_true(nth > 10);
    hc_record_unref(before); /* the last reference, or the leak checker says so */
    hc_record_unref(after);
    hc_principal_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_request_goes_to_a_lane_and_its_response_back),
        IN_WORLD(test_lane_gets_nothing_before_its_hello),
        IN_WORLD(test_requests_wait_in_order_for_the_only_lane),
        IN_WORLD(test_body_is_handed_on_in_the_order_it_comes_and_flushed),
        IN_WORLD(test_file_of_a_response_comes_with_its_descriptor),
        IN_WORLD(test_large_body_of_a_request_goes_by_descriptor),
        IN_WORLD(test_refusal_by_the_application_is_told_and_changes_nothing_else),
        IN_WORLD(test_refusal_by_a_verdict_that_there_is_not_is_the_applications_own),
        IN_WORLD(test_worker_that_refuses_one_request_twice_is_cut_off),
        IN_WORLD(test_client_that_is_refused_while_it_waits_is_never_sent),
        IN_WORLD(test_client_that_leaves_while_it_waits_is_never_sent),
        IN_WORLD(test_last_that_waits_can_leave_and_others_still_come),
        IN_WORLD(test_client_that_leaves_in_the_middle_cancels_and_the_lane_is_used_again),
        IN_WORLD(test_response_that_is_complete_early_drops_the_rest),
        IN_WORLD(test_head_that_is_refused_fails_the_request_and_stops_the_worker),
        IN_WORLD(test_application_that_fails_is_a_500),
        IN_WORLD(test_worker_that_dies_costs_its_request_and_no_other),
        IN_WORLD(test_idle_lane_that_died_is_not_used),
        IN_WORLD(test_request_that_is_not_answered_in_time_is_503_and_its_worker_reported),
        IN_WORLD(test_request_that_finds_no_lane_in_time_is_503),
        IN_WORLD(test_worker_that_does_not_stop_after_its_client_left_is_reported),
        IN_WORLD(test_response_that_has_begun_may_take_its_time),
        IN_WORLD(test_lane_goes_to_the_thread_that_waits),
        IN_WORLD(test_busy_lane_goes_to_the_thread_that_waits_when_it_is_done),
        IN_WORLD(test_lane_that_moved_for_a_client_who_left_stays_of_use),
        IN_WORLD(test_busiest_worker_is_asked_last),
        IN_WORLD(test_retired_worker_finishes_and_gets_nothing_more),
        IN_WORLD(test_requests_that_wait_at_the_end_are_503),
        IN_WORLD(test_more_requests_than_may_wait_are_503),
        IN_WORLD(test_certificate_is_sent_once_a_lane_and_again_when_it_was_forgotten),
        IN_WORLD(test_remote_user_is_the_variable_that_was_named),
        cmocka_unit_test(test_each_allocation_may_fail_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
