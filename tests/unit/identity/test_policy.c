#include "identity/policy.h"

#include <stdio.h>

#include "base/mem.h"
#include "faults.h"
#include "unit.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static void add(hc_policy *p, const char *text)
{
    hc_err err = {0};
    if (hc_policy_add(p, hc_slice_text(text), &err) != 0)
        fail_msg("%s: %s", text, err.text);
}

static hc_client_cert_mode mode_of(const hc_policy *p, const char *path)
{
    return hc_policy_mode_for(p, S("GET"), hc_slice_text(path));
}

static void modes_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= HC_MODE_REQUIRED; i++) {
        hc_client_cert_mode back;
        const char *name = hc_client_cert_mode_name((hc_client_cert_mode)i);
        assert_true(hc_client_cert_mode_parse(hc_slice_text(name), &back));
        assert_int_equal(back, i);
    }
    hc_client_cert_mode mode;
    assert_false(hc_client_cert_mode_parse(S("Required"), &mode));
    assert_false(hc_client_cert_mode_parse(S(""), &mode));
    assert_string_equal(hc_client_cert_mode_name((hc_client_cert_mode)9), "unknown");
}

static void a_rule_matches_whole_segments(void **state)
{
    (void)state;
    hc_policy p = {.mode = HC_MODE_REQUIRED};
    add(&p, "/a=none");
    assert_int_equal(mode_of(&p, "/a"), HC_MODE_NONE);
    assert_int_equal(mode_of(&p, "/a/"), HC_MODE_NONE);
    assert_int_equal(mode_of(&p, "/a/b"), HC_MODE_NONE);
    assert_int_equal(mode_of(&p, "/ab"), HC_MODE_REQUIRED);
    assert_int_equal(mode_of(&p, "/A"), HC_MODE_REQUIRED);
    assert_int_equal(mode_of(&p, "/"), HC_MODE_REQUIRED);
    assert_int_equal(mode_of(&p, "/b/a"), HC_MODE_REQUIRED);
    assert_int_equal(mode_of(&p, "*"), HC_MODE_REQUIRED);
    assert_int_equal(mode_of(&p, ""), HC_MODE_REQUIRED);
    hc_policy_done(&p);
}

static void the_longest_rule_wins_in_whatever_order_they_come(void **state)
{
    static const char *const rules[] = {"/api=optional", "/api/open/admin=required",
                                        "/api/open=none", "/=request"};
    (void)state;
    for (size_t turn = 0; turn < HC_COUNT(rules); turn++) {
        hc_policy p = {.mode = HC_MODE_REQUIRED};
        for (size_t i = 0; i < HC_COUNT(rules); i++)
            add(&p, rules[(i + turn) % HC_COUNT(rules)]);
        assert_int_equal(mode_of(&p, "/api/x"), HC_MODE_OPTIONAL);
        assert_int_equal(mode_of(&p, "/api/open/x"), HC_MODE_NONE);
        assert_int_equal(mode_of(&p, "/api/open/admin/x"), HC_MODE_REQUIRED);
        assert_int_equal(mode_of(&p, "/other"), HC_MODE_REQUEST);
        assert_int_equal(mode_of(&p, "/"), HC_MODE_REQUEST);
        hc_policy_done(&p);
    }
}

static void a_rule_is_decoded_and_its_trailing_slash_dropped(void **state)
{
    (void)state;
    hc_policy p = {.mode = HC_MODE_REQUIRED};
    add(&p, "/caf%C3%A9/=none");
    add(&p, "/a=b=optional");
    add(&p, "/x%3Fy=request");
    assert_int_equal(mode_of(&p, "/caf\xC3\xA9/menu"), HC_MODE_NONE);
    assert_int_equal(mode_of(&p, "/a=b"), HC_MODE_OPTIONAL);
    assert_int_equal(mode_of(&p, "/x?y"), HC_MODE_REQUEST);
    hc_policy_done(&p);
}

static void a_rule_for_a_method_leaves_the_others_alone(void **state)
{
    static const char *const rules[] = {"OPTIONS /api=none", "/api=required", "OPTIONS /=optional"};
    (void)state;
    for (size_t turn = 0; turn < HC_COUNT(rules); turn++) {
        hc_policy p = {.mode = HC_MODE_REQUEST};
        for (size_t i = 0; i < HC_COUNT(rules); i++)
            add(&p, rules[(i + turn) % HC_COUNT(rules)]);
        assert_int_equal(mode_of(&p, "/api/x"), HC_MODE_REQUIRED);
        assert_int_equal(mode_of(&p, "/other"), HC_MODE_REQUEST);
        assert_int_equal(hc_policy_mode_for(&p, S("OPTIONS"), S("/api/x")), HC_MODE_NONE);
        assert_int_equal(hc_policy_mode_for(&p, S("OPTIONS"), S("/other")), HC_MODE_OPTIONAL);
        assert_int_equal(hc_policy_mode_for(&p, S("options"), S("/api/x")), HC_MODE_REQUIRED);
        assert_int_equal(hc_policy_mode_for(&p, S("OPTION"), S("/api/x")), HC_MODE_REQUIRED);
        hc_policy_done(&p);
    }
}

static void a_mode_alone_is_for_all_other_paths(void **state)
{
    (void)state;
    hc_policy p = {.mode = HC_MODE_REQUIRED};
    add(&p, "optional");
    add(&p, "/x=required");
    assert_int_equal(mode_of(&p, "/y"), HC_MODE_OPTIONAL);
    assert_int_equal(mode_of(&p, "/x"), HC_MODE_REQUIRED);
    hc_policy_done(&p);
}

static void rules_that_could_never_match_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "nothing",
                                      "=none",
                                      "a=none",
                                      "/a",
                                      "/a=",
                                      "/a=Optional",
                                      "/a//b=none",
                                      "/a/../b=none",
                                      "/a/./b=none",
                                      "/..=none",
                                      "/a%2fb=none",
                                      "/a%2Fb=none",
                                      "/a%00=none",
                                      "/a%5cb=none",
                                      "/a\\b=none",
                                      "/a%=none",
                                      "/a%4=none",
                                      "/a%zz=none",
                                      "/a?b=none",
                                      "GET=none",
                                      "GET/a=none",
                                      "get /a=none",
                                      "GET  /a=none",
                                      "GET a=none",
                                      "ABCDEFGHIJKLMNOP /a=none",
                                      "/a#b=none",
                                      "/a\tb=none",
                                      "/%2e%2e=none",
                                      "//a=none"};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(bad); i++) {
        hc_policy p = {.mode = HC_MODE_REQUIRED};
        hc_err err = {0};
        int rc = hc_policy_add(&p, hc_slice_text(bad[i]), &err);
        if (rc != -HC_EINVAL || !err.text[0] || p.rule_count || p.mode != HC_MODE_REQUIRED)
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void a_path_given_twice_must_agree_with_itself(void **state)
{
    (void)state;
    hc_policy p = {.mode = HC_MODE_REQUIRED};
    hc_err err = {0};
    add(&p, "/a=none");
    add(&p, "/a=none");
    add(&p, "/a/=none");
    assert_int_equal(p.rule_count, 1);
    assert_int_equal(hc_policy_add(&p, S("/%61=request"), &err), -HC_EINVAL);
    assert_non_null(strstr(err.text, "/a"));
    hc_policy_done(&p);
}

static void rules_are_bounded(void **state)
{
    (void)state;
    hc_policy p = {.mode = HC_MODE_REQUIRED};
    char text[32];
    for (int i = 0; i < HC_LIMIT_PATH_RULES; i++) {
        snprintf(text, sizeof(text), "/%d=none", i);
        add(&p, text);
    }
    assert_int_equal(hc_policy_add(&p, S("/one-more=none"), NULL), -HC_ELIMIT);
    assert_int_equal(mode_of(&p, "/200/x"), HC_MODE_NONE);
    hc_policy_done(&p);
}

static void the_loosest_handshake_that_a_rule_needs_is_made(void **state)
{
    static const struct {
        const char *mode, *rule;
        bool http, ask, require, enforce;
    } rows[] = {
        {"required", NULL, false, true, true, true},
        {"required", "/a=required", false, true, true, true},
        {"optional", NULL, false, true, false, true},
        {"request", NULL, false, true, false, false},
        {"none", NULL, false, false, false, false},
        {"required", "/a=optional", false, true, false, true},
        {"required", "/a=request", false, true, false, false},
        {"required", "/a=none", false, true, false, false},
        {"optional", "/a=required", false, true, false, true},
        {"none", "/a=required", false, true, false, false},
        {"none", "/a=none", false, false, false, false},
        {"required", NULL, true, true, false, false},
        {"optional", NULL, true, true, false, false},
        {"none", NULL, true, false, false, false},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        hc_policy p = {.refuse_with_http = rows[i].http};
        add(&p, rows[i].mode);
        if (rows[i].rule)
            add(&p, rows[i].rule);
        hc_handshake_policy h = hc_policy_handshake(&p);
        if (h.ask != rows[i].ask || h.require != rows[i].require || h.enforce != rows[i].enforce)
            fail_msg("row %zu: ask %d require %d enforce %d", i, h.ask, h.require, h.enforce);
        hc_policy_done(&p);
    }
}

static hc_verdict_code admitted(hc_client_cert_mode mode, unsigned code)
{
    hc_verdict v = {.code = (hc_verdict_code)code};
    return hc_policy_admit(mode, &v);
}

static void required_admits_ok_alone(void **state)
{
    (void)state;
    for (unsigned code = 0; code < HC_VERDICT_COUNT + 3; code++) {
        assert_int_equal(admitted(HC_MODE_REQUIRED, code), code);
        assert_int_equal(admitted((hc_client_cert_mode)17, code), code);
    }
}

static void optional_admits_ok_and_no_certificate(void **state)
{
    (void)state;
    for (unsigned code = 0; code < HC_VERDICT_COUNT + 3; code++)
        assert_int_equal(admitted(HC_MODE_OPTIONAL, code),
                         code == HC_VERDICT_NO_CERTIFICATE ? HC_VERDICT_OK : code);
}

static void none_admits_whatever_was_presented(void **state)
{
    (void)state;
    for (unsigned code = 0; code < HC_VERDICT_COUNT; code++)
        assert_int_equal(admitted(HC_MODE_NONE, code), HC_VERDICT_OK);
}

static void request_leaves_to_the_application_what_it_can_judge(void **state)
{
    static const hc_verdict_code never[] = {
        HC_VERDICT_MALFORMED,         HC_VERDICT_KEY_NOT_PROVEN, HC_VERDICT_REGISTRY_UNAVAILABLE,
        HC_VERDICT_REFUSED_BY_POLICY, HC_VERDICT_REFUSED_BY_APP, HC_VERDICT_COUNT};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(never); i++)
        assert_int_equal(admitted(HC_MODE_REQUEST, never[i]), never[i]);
    for (unsigned code = 0; code < HC_VERDICT_COUNT; code++) {
        bool kept_out = false;
        for (size_t i = 0; i < HC_COUNT(never); i++)
            kept_out = kept_out || never[i] == code;
        if (!kept_out)
            assert_int_equal(admitted(HC_MODE_REQUEST, code), HC_VERDICT_OK);
    }
}

static void rules_survive_every_failing_allocation(void **state)
{
    (void)state;
    for (size_t n = 1; n < 8; n++) {
        hc_policy p = {.mode = HC_MODE_REQUIRED};
        faults_begin(n);
        int first = hc_policy_add(&p, S("/a=none"), NULL);
        int second = hc_policy_add(&p, S("/a/b=optional"), NULL);
        assert_int_equal(p.rule_count, (first == 0) + (second == 0));
        assert_true(first == 0 || first == -HC_ENOMEM);
        assert_true(second == 0 || second == -HC_ENOMEM);
        hc_policy_done(&p);
        faults_end();
        assert_int_equal(faults_live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_have_names),
        cmocka_unit_test(a_rule_matches_whole_segments),
        cmocka_unit_test(the_longest_rule_wins_in_whatever_order_they_come),
        cmocka_unit_test(a_rule_is_decoded_and_its_trailing_slash_dropped),
        cmocka_unit_test(a_rule_for_a_method_leaves_the_others_alone),
        cmocka_unit_test(a_mode_alone_is_for_all_other_paths),
        cmocka_unit_test(rules_that_could_never_match_are_refused),
        cmocka_unit_test(a_path_given_twice_must_agree_with_itself),
        cmocka_unit_test(rules_are_bounded),
        cmocka_unit_test(the_loosest_handshake_that_a_rule_needs_is_made),
        cmocka_unit_test(required_admits_ok_alone),
        cmocka_unit_test(optional_admits_ok_and_no_certificate),
        cmocka_unit_test(none_admits_whatever_was_presented),
        cmocka_unit_test(request_leaves_to_the_application_what_it_can_judge),
        cmocka_unit_test_teardown(rules_survive_every_failing_allocation, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
