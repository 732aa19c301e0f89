#include "world.h"
/* after world.h */
#include "principal.h"

#define UNAVAILABLE "{\"ok\":false,\"code\":\"unavailable\",\"error\":\"%s\"}"

/* alice with her certificate, and the lane that is at work on her request. */
typedef struct alice {
    hc_principal *principal;
    hc_record *record;
    call call;
    fake_worker *worker;
} alice;

static void begin_as(world *w, unsigned thread, alice *a)
{
    call_init(&a->call, "/mine");
    a->call.x.principal = a->principal;
    a->call.x.record = a->record;
    begin_call(w, thread, &a->call);
    while (takes(a->worker, NULL, NULL) != HC_LANE_REQUEST)
        continue;
}

static void alice_begins(world *w, unsigned thread, alice *a)
{
    *a = (alice){.principal = new_principal(1),
                 .record = hc_record_new(7, S("alice"), S(""), HC_SLICE_NONE)};
    a->worker = add_ready_lane(w, thread, 1);
    begin_as(w, thread, a);
}

static void alice_done(alice *a)
{
    hc_principal_unref(a->principal);
    hc_record_unref(a->record);
}

static void asks(world *w, fake_worker *f, const char *question)
{
    assert_int_equal(hc_lane_add_ask(&f->channel.out, hc_slice_text(question)), 0);
    says(w, f);
}

static void assert_told(fake_worker *f, const char *answer)
{
    hc_slice payload;
    assert_int_equal(takes(f, &payload, NULL), HC_LANE_ANSWER);
    assert_slice_equal(payload, hc_slice_text(answer));
}

static void assert_unavailable(fake_worker *f, const char *why)
{
    char text[128];
    (void)snprintf(text, sizeof text, UNAVAILABLE, why);
    assert_told(f, text);
}

static void test_question_goes_out_with_its_client_and_the_answer_comes_back(void **state)
{
    world *w = *state;
    alice a;
    alice_begins(w, 0, &a);
    asks(w, a.worker, "{\"do\":\"certificates\"}");
    assert_int_equal(w->asks, 1);
    assert_int_equal(w->ask_client, 7);
    assert_memory_equal(w->ask_sha256, hc_cert_sha256(a.principal->cert), 32);
    assert_string_equal(w->ask_text, "{\"do\":\"certificates\"}");
    assert_int_equal(takes(a.worker, NULL, NULL), 0);
    hc_app_answer(w->apps[0], w->ask_token, S("{\"ok\":true}"));
    assert_told(a.worker, "{\"ok\":true}");
    answers(w, a.worker, "done");
    assert_answered(&a.call, "done");
    alice_done(&a);
}

static void test_answer_may_come_within_the_question(void **state)
{
    world *w = *state;
    alice a;
    w->answer_at_once = "at once";
    alice_begins(w, 1, &a);
    asks(w, a.worker, "1");
    assert_told(a.worker, "at once");
    asks(w, a.worker, "2");
    assert_told(a.worker, "at once");
    answers(w, a.worker, "done");
    assert_answered(&a.call, "done");
    alice_done(&a);
}

static void test_no_two_questions_have_one_token(void **state)
{
    world *w = *state;
    alice a, b;
    uint64_t tokens[4];
    w->answer_at_once = "{}";
    alice_begins(w, 0, &a);
    alice_begins(w, 1, &b);
    for (int i = 0; i < 4; i++) {
        fake_worker *f = i % 2 ? a.worker : b.worker;
        asks(w, f, "?");
        assert_told(f, "{}");
        tokens[i] = w->ask_token;
        for (int before = 0; before < i; before++)
            assert_true(tokens[before] != tokens[i]);
    }
    answers(w, a.worker, "a");
    answers(w, b.worker, "b");
    alice_done(&a);
    alice_done(&b);
}

static void test_client_without_a_record_is_told_at_once_that_nobody_can_be_asked(void **state)
{
    world *w = *state;
    call c;
    fake_worker *f = busy(w, &c);
    asks(w, f, "?");
    assert_int_equal(w->asks, 0);
    assert_unavailable(f, "this client has no record");
    answers(w, f, "done");
    assert_answered(&c, "done");
}

static void test_client_of_the_request_before_is_not_asked_about(void **state)
{
    world *w = *state;
    alice a;
    call next;
    alice_begins(w, 0, &a);
    answers(w, a.worker, "done");
    call_init(&next, "/nobody");
    begin_call(w, 0, &next);
    assert_takes(a.worker, "/nobody");
    asks(w, a.worker, "?");
    assert_int_equal(w->asks, 0);
    assert_unavailable(a.worker, "this client has no record");
    answers(w, a.worker, "done");
    alice_done(&a);
}

static void test_without_a_registry_there_is_nobody_to_ask(void **state)
{
    world *w = *state;
    hc_err err;
    alice a;
    hc_app *with = w->apps[0];
    hc_app_setup setup = {&w->loop, w->pool, 0, world_post, w, NULL, NULL};
    assert_int_equal(hc_app_new(&setup, &w->apps[0], &err), 0);
    hc_app_config config = {.server_frame = hc_buf_slice(&w->server_frame)};
    hc_app_configure(w->apps[0], &config);
    alice_begins(w, 0, &a);
    asks(w, a.worker, "?");
    assert_unavailable(a.worker, "this server has no registry");
    answers(w, a.worker, "done");
    assert_answered(&a.call, "done");
    hc_app_free(with);
    alice_done(&a);
}

static void test_answer_comes_also_where_the_client_has_gone(void **state)
{
    world *w = *state;
    alice a;
    alice_begins(w, 0, &a);
    asks(w, a.worker, "?");
    cancel_call(w, 0, &a.call);
    assert_int_equal(takes(a.worker, NULL, NULL), HC_LANE_CANCEL);
    hc_app_answer(w->apps[0], w->ask_token, S("{}"));
    assert_told(a.worker, "{}");
    adds_end(a.worker, false);
    says(w, a.worker);
    begin_as(w, 0, &a);
    answers(w, a.worker, "again");
    assert_answered(&a.call, "again");
    assert_int_equal(w->broken, 0);
    alice_done(&a);
}

static void test_question_that_crosses_with_the_news_that_the_client_has_gone_is_asked(void **state)
{
    world *w = *state;
    alice a;
    alice_begins(w, 0, &a);
    cancel_call(w, 0, &a.call);
    asks(w, a.worker, "?");
    assert_int_equal(w->asks, 1);
    assert_int_equal(w->ask_client, 7);
    assert_int_equal(w->broken, 0);
    alice_done(&a);
}

static void test_body_may_go_on_while_an_answer_is_waited_for(void **state)
{
    world *w = *state;
    alice a;
    alice_begins(w, 0, &a);
    adds_head(a.worker, 200);
    asks(w, a.worker, "?");
    adds_data(a.worker, "meanwhile");
    says(w, a.worker);
    assert_int_equal(a.call.body_size, 9);
    hc_app_answer(w->apps[0], w->ask_token, S("{}"));
    assert_told(a.worker, "{}");
    adds_end(a.worker, false);
    says(w, a.worker);
    assert_answered(&a.call, "meanwhile");
    alice_done(&a);
}

static void test_worker_that_dies_while_it_waits_is_forgotten(void **state)
{
    world *w = *state;
    alice a;
    alice_begins(w, 0, &a);
    asks(w, a.worker, "?");
    dies(w, a.worker);
    assert_failed(&a.call, 502, "died");
    hc_app_answer(w->apps[0], w->ask_token, S("{}"));
    hc_app_answer(w->apps[0], 0, S("{}"));
    assert_int_equal(w->broken, 0);
    alice_done(&a);
}

static void test_late_or_wrong_token_answers_nobody(void **state)
{
    world *w = *state;
    alice a;
    alice_begins(w, 0, &a);
    asks(w, a.worker, "?");
    hc_app_answer(w->apps[0], w->ask_token + 1, S("wrong"));
    hc_app_answer(w->apps[0], w->ask_token, S("{}"));
    hc_app_answer(w->apps[0], w->ask_token, S("late"));
    assert_told(a.worker, "{}");
    assert_int_equal(takes(a.worker, NULL, NULL), 0);
    answers(w, a.worker, "done");
    alice_done(&a);
}

static void test_answer_that_is_too_long_is_none(void **state)
{
    world *w = *state;
    alice a;
    uint8_t *octets = test_calloc(1, HC_LIMIT_ANSWER_BYTES + 1);
    alice_begins(w, 0, &a);
    asks(w, a.worker, "?");
    hc_app_answer(w->apps[0], w->ask_token, hc_slice_of(octets, HC_LIMIT_ANSWER_BYTES + 1));
    assert_unavailable(a.worker, "the answer is too long");
    test_free(octets);
    answers(w, a.worker, "done");
    alice_done(&a);
}

static void test_waiting_for_an_answer_counts_as_time_of_the_view(void **state)
{
    world *w = *state;
    alice a;
    hc_app_config config = {.timeout_ms = 1000, .server_frame = hc_buf_slice(&w->server_frame)};
    hc_app_configure(w->apps[0], &config);
    alice_begins(w, 0, &a);
    asks(w, a.worker, "?");
    now_ms += 2000;
    while (a.call.fails == 0)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    assert_failed(&a.call, 503, "--timeout");
    assert_int_equal(w->broken, 1);
    alice_done(&a);
}

/* ---- workers that break the protocol ---- */

static void assert_broken(world *w, alice *a, const char *why)
{
    says(w, a->worker);
    assert_int_equal(w->broken, 1);
    assert_non_null(strstr(w->why, why));
    assert_failed(&a->call, 502, "protocol");
    assert_int_equal(takes(a->worker, NULL, NULL), 255);
    alice_done(a);
}

static void test_second_question_before_the_answer_breaks_the_lane(void **state)
{
    world *w = *state;
    alice a;
    alice_begins(w, 0, &a);
    asks(w, a.worker, "1");
    assert_int_equal(hc_lane_add_ask(&a.worker->channel.out, S("2")), 0);
    assert_broken(w, &a, "second ASK");
}

static void test_end_before_the_answer_breaks_the_lane(void **state)
{
    world *w = *state;
    alice a;
    alice_begins(w, 0, &a);
    asks(w, a.worker, "?");
    adds_end(a.worker, false);
    assert_broken(w, &a, "END before the ANSWER");
}

static void test_question_that_is_too_long_breaks_the_lane(void **state)
{
    world *w = *state;
    alice a;
    size_t at;
    uint8_t *octets = test_calloc(1, HC_LIMIT_ASK_BYTES + 1);
    alice_begins(w, 0, &a);
    hc_buf *out = &a.worker->channel.out;
    assert_int_equal(hc_lane_begin(out, HC_LANE_ASK, 0, &at), 0);
    assert_int_equal(hc_buf_add(out, hc_slice_of(octets, HC_LIMIT_ASK_BYTES + 1)), 0);
    assert_int_equal(hc_lane_end(out, at), 0);
    test_free(octets);
    assert_broken(w, &a, "an ASK of 16385 octets");
    assert_int_equal(w->asks, 0);
}

static void test_question_without_a_request_breaks_the_lane(void **state)
{
    world *w = *state;
    fake_worker *f = add_ready_lane(w, 0, 1);
    asks(w, f, "?");
    assert_int_equal(w->broken, 1);
    assert_non_null(strstr(w->why, "without a request"));
    assert_int_equal(w->asks, 0);
}

static void test_worker_that_never_reads_its_answers_is_cut_off(void **state)
{
    world *w = *state;
    alice a;
    char text[60001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    w->answer_at_once = text;
    alice_begins(w, 0, &a);
    for (int i = 0; i < 1000 && !w->broken; i++)
        asks(w, a.worker, "?");
    assert_int_equal(w->broken, 1);
    dies(w, a.worker);
    assert_int_equal(a.call.fails, 1);
    alice_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_question_goes_out_with_its_client_and_the_answer_comes_back),
        IN_WORLD(test_answer_may_come_within_the_question),
        IN_WORLD(test_no_two_questions_have_one_token),
        IN_WORLD(test_client_without_a_record_is_told_at_once_that_nobody_can_be_asked),
        IN_WORLD(test_client_of_the_request_before_is_not_asked_about),
        IN_WORLD(test_without_a_registry_there_is_nobody_to_ask),
        IN_WORLD(test_answer_comes_also_where_the_client_has_gone),
        IN_WORLD(test_question_that_crosses_with_the_news_that_the_client_has_gone_is_asked),
        IN_WORLD(test_body_may_go_on_while_an_answer_is_waited_for),
        IN_WORLD(test_worker_that_dies_while_it_waits_is_forgotten),
        IN_WORLD(test_late_or_wrong_token_answers_nobody),
        IN_WORLD(test_answer_that_is_too_long_is_none),
        IN_WORLD(test_waiting_for_an_answer_counts_as_time_of_the_view),
        IN_WORLD(test_second_question_before_the_answer_breaks_the_lane),
        IN_WORLD(test_end_before_the_answer_breaks_the_lane),
        IN_WORLD(test_question_that_is_too_long_breaks_the_lane),
        IN_WORLD(test_question_without_a_request_breaks_the_lane),
        IN_WORLD(test_worker_that_never_reads_its_answers_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
