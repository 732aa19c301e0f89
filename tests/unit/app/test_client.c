#include "world.h"
/* after world.h */
#include "principal.h"

/* What came with a request about its client. */
typedef struct told {
    bool cert, client; /* such a frame came */
    bool known;
    uint16_t slot;
    char name[16], roles[32], attributes[32], user[16];
} told;

static hc_record *new_record(int64_t id, const char *name, const char *roles)
{
    hc_record *r = hc_record_new(id, hc_slice_text(name), hc_slice_text(roles), S("{\"room\":7}"));
    assert_non_null(r);
    return r;
}

static void take_client(hc_slice payload, told *out)
{
    hc_lane_client c;
    assert_int_equal(hc_lane_decode_client(payload, &c, NULL), 0);
    out->client = true;
    out->known = c.known;
    out->slot = c.slot;
    (void)snprintf(out->name, sizeof out->name, "%.*s", HC_SLICE_ARGS(c.name));
    (void)snprintf(out->roles, sizeof out->roles, "%.*s", HC_SLICE_ARGS(c.roles));
    (void)snprintf(out->attributes, sizeof out->attributes, "%.*s", HC_SLICE_ARGS(c.attributes));
}

/* One whole request of this client, which had this verdict. */
static told ask_with(world *w, fake_worker *f, hc_principal *p, hc_record *r, hc_verdict_code code)
{
    call c;
    told out = {0};
    hc_slice payload;
    hc_lane_request request;
    hc_pair headers[8];
    uint8_t type;
    call_init(&c, "/who");
    c.x.principal = p;
    c.x.record = r;
    c.verdict.code = code;
    begin_call(w, 0, &c);
    while ((type = takes(f, &payload, NULL)) != HC_LANE_REQUEST) {
        if (type == HC_LANE_CERT)
            out.cert = !out.client; /* a CERT makes the client unknown: it comes first */
        else if (type == HC_LANE_CLIENT)
            take_client(payload, &out);
        else
            fail();
    }
    assert_int_equal(hc_lane_decode_request(payload, &request, headers, 8, NULL), 0);
    if (out.client)
        assert_int_equal(out.slot, request.slot);
    (void)snprintf(out.user, sizeof out.user, "%.*s", HC_SLICE_ARGS(request.remote_user));
    answers(w, f, "you");
    assert_answered(&c, "you");
    return out;
}

static told ask(world *w, fake_worker *f, hc_principal *p, hc_record *r)
{
    return ask_with(w, f, p, r, HC_VERDICT_OK);
}

static void test_record_is_sent_with_the_first_request_and_with_no_other(void **state)
{
    world *w = *state;
    fake_worker *f = add_ready_lane(w, 0, 1);
    hc_principal *p = new_principal(1);
    hc_record *r = new_record(7, "alice", "meter reader");
    told first = ask(w, f, p, r);
    assert_true(first.cert && first.client && first.known);
    assert_string_equal(first.name, "alice");
    assert_string_equal(first.roles, "meter reader");
    assert_string_equal(first.attributes, "{\"room\":7}");
    assert_string_equal(first.user, "alice");
    for (int i = 0; i < 3; i++) {
        told next = ask(w, f, p, r);
        assert_false(next.cert || next.client);
        assert_string_equal(next.user, "alice");
    }
    hc_record_unref(r);
    hc_principal_unref(p);
}

static void test_changed_record_is_sent_again_without_the_certificate(void **state)
{
    world *w = *state;
    fake_worker *f = add_ready_lane(w, 0, 1);
    hc_principal *p = new_principal(1);
    hc_record *before = new_record(7, "alice", "meter");
    hc_record *after = new_record(7, "alice", "meter reader");
    (void)ask(w, f, p, before);
    hc_record_unref(before); /* the lane's reference keeps its address from being another's */
    told changed = ask(w, f, p, after);
    assert_true(!changed.cert && changed.client && changed.known);
    assert_string_equal(changed.roles, "meter reader");
    assert_false(ask(w, f, p, after).client);
    hc_record_unref(after);
    hc_principal_unref(p);
}

static void test_client_whose_record_went_is_nobody_again(void **state)
{
    world *w = *state;
    fake_worker *f = add_ready_lane(w, 0, 1);
    hc_principal *p = new_principal(1);
    hc_record *r = new_record(7, "alice", "");
    told unknown = ask(w, f, p, NULL);
    assert_true(unknown.cert && !unknown.client);
    assert_string_equal(unknown.user, "");
    assert_true(ask(w, f, p, r).known);
    told gone = ask(w, f, p, NULL);
    assert_true(gone.client && !gone.known && !gone.cert);
    assert_string_equal(gone.name, "");
    assert_string_equal(gone.user, "");
    assert_false(ask(w, f, p, NULL).client);
    hc_record_unref(r);
    hc_principal_unref(p);
}

static void test_each_certificate_has_its_own_client(void **state)
{
    world *w = *state;
    fake_worker *f = add_ready_lane(w, 0, 1);
    hc_principal *p[] = {new_principal(1), new_principal(2)};
    hc_record *r[] = {new_record(7, "alice", ""), new_record(8, "bob", "")};
    for (int i = 0; i < 2; i++)
        assert_string_equal(ask(w, f, p[i], r[i]).name, i ? "bob" : "alice");
    for (int i = 0; i < 2; i++) {
        told again = ask(w, f, p[i], r[i]);
        assert_false(again.client);
        assert_string_equal(again.user, i ? "bob" : "alice");
    }
    /* Two certificates of one client, too. */
    told moved = ask(w, f, p[1], r[0]);
    assert_string_equal(moved.name, "alice");
    for (int i = 0; i < 2; i++) {
        hc_record_unref(r[i]);
        hc_principal_unref(p[i]);
    }
}

static void test_slot_that_is_given_up_forgets_its_client_too(void **state)
{
    world *w = *state;
    fake_worker *f = add_ready_lane(w, 0, 1);
    hc_principal *p[HC_LIMIT_LANE_CERT_SLOTS + 1];
    hc_record *r = new_record(7, "alice", "");
    for (size_t i = 0; i < HC_COUNT(p); i++) {
        p[i] = new_principal((long)i + 1);
        assert_true(ask(w, f, p[i], i == 0 ? r : NULL).cert);
    }
    told again = ask(w, f, p[0], r);
    assert_true(again.cert && again.client && again.known);
    for (size_t i = 0; i < HC_COUNT(p); i++)
        hc_principal_unref(p[i]);
    hc_record_unref(r);
}

static void test_remote_user_is_the_records_name_and_else_the_variable(void **state)
{
    world *w = *state;
    hc_app_config config = {.remote_user = "SSL_CLIENT_S_DN_CN",
                            .server_frame = hc_buf_slice(&w->server_frame)};
    hc_app_configure(w->apps[0], &config);
    fake_worker *f = add_ready_lane(w, 0, 1);
    hc_principal *p = new_principal(1);
    hc_record *r = new_record(7, "meter-7", "");
    assert_string_equal(ask(w, f, p, NULL).user, "alice");
    assert_string_equal(ask(w, f, p, r).user, "meter-7");
    assert_string_equal(ask(w, f, p, NULL).user, "alice");
    assert_string_equal(ask_with(w, f, p, NULL, HC_VERDICT_EXPIRED).user, "");
    config.remote_user = NULL; /* what the worker knows is forgotten with it */
    hc_app_configure(w->apps[0], &config);
    told later = ask(w, f, p, r);
    assert_true(later.cert && later.client);
    assert_string_equal(later.user, "meter-7");
    hc_record_unref(r);
    hc_principal_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_record_is_sent_with_the_first_request_and_with_no_other),
        IN_WORLD(test_changed_record_is_sent_again_without_the_certificate),
        IN_WORLD(test_client_whose_record_went_is_nobody_again),
        IN_WORLD(test_each_certificate_has_its_own_client),
        IN_WORLD(test_slot_that_is_given_up_forgets_its_client_too),
        IN_WORLD(test_remote_user_is_the_records_name_and_else_the_variable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
