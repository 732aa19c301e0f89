#include "unit.h"

#include <jansson.h>

#include "http/problem.h"

static json_t *written(int status, const char *detail, const char *verdict)
{
    hc_buf out = hc_buf_init(10000);
    assert_int_equal(hc_problem_write(&out, status, detail, verdict), 0);
    json_t *problem = json_loadb((const char *)out.at, out.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(problem);
    hc_buf_done(&out);
    return problem;
}

static void assert_member(const json_t *problem, const char *name, const char *value)
{
    assert_string_equal(json_string_value(json_object_get(problem, name)), value);
}

static void test_a_problem_names_status_detail_and_verdict(void **state)
{
    (void)state;
    json_t *problem = written(403, "this certificate was revoked", "revoked");
    assert_int_equal(json_object_size(problem), 5);
    assert_member(problem, "type", "about:blank");
    assert_member(problem, "title", "Forbidden");
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), 403);
    assert_member(problem, "detail", "this certificate was revoked");
    assert_member(problem, "verdict", "revoked");
    json_decref(problem);
}

static void test_members_that_are_not_given_are_absent(void **state)
{
    (void)state;
    json_t *problem = written(599, NULL, NULL);
    assert_int_equal(json_object_size(problem), 3);
    assert_member(problem, "title", "Unknown");
    json_decref(problem);
}

static void test_texts_are_escaped(void **state)
{
    (void)state;
    const char *hostile = "a\"b\\c\nd\re\tf\x01g\x7fh\",\"verdict\":\"ok";
    json_t *problem = written(400, hostile, NULL);
    assert_member(problem, "detail", hostile);
    assert_null(json_object_get(problem, "verdict"));
    json_decref(problem);
}

static void test_utf8_stays_and_other_octets_are_replaced(void **state)
{
    (void)state;
    json_t *problem = written(400, "J\xc3\xbcrgen \xf0\x9f\x94\x91 \xff\xc3 \xed\xa0\x80", NULL);
    assert_member(problem, "detail",
                  "J\xc3\xbcrgen \xf0\x9f\x94\x91 \xef\xbf\xbd\xef\xbf\xbd "
                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(problem);
}

static void test_a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    bool written_once = false;
    for (size_t limit = 3; !written_once; limit++) {
        hc_buf out = hc_buf_init(limit);
        assert_int_equal(hc_buf_add_text(&out, "abc"), 0);
        int rc = hc_problem_write(&out, 400, "a \x01 detail \xff", "ok");
        written_once = rc == 0;
        assert_true(rc == 0 || rc == -HC_ELIMIT);
        assert_int_equal(out.size, rc == 0 ? limit : 3);
        hc_buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_problem_names_status_detail_and_verdict),
        cmocka_unit_test(test_members_that_are_not_given_are_absent),
        cmocka_unit_test(test_texts_are_escaped),
        cmocka_unit_test(test_utf8_stays_and_other_octets_are_replaced),
        cmocka_unit_test(test_a_full_buffer_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
