#include "base/err.h"

#include <errno.h>
#include <limits.h>

#include "unit.h"

static void a_set_error_holds_code_and_text_and_returns_the_negative_code(void **state)
{
    (void)state;
    hc_err err = {0};
    assert_int_equal(hc_err_set(&err, HC_EFORMAT, "line %d: %s", 7, "no colon"), -HC_EFORMAT);
    assert_int_equal(err.code, HC_EFORMAT);
    assert_string_equal(err.text, "line 7: no colon");
}

static void a_code_already_negative_is_not_turned_into_a_success(void **state)
{
    (void)state;
    hc_err err = {0};
    assert_int_equal(hc_err_set(&err, -HC_EIO, "x"), -HC_EIO);
    assert_int_equal(err.code, HC_EIO);
}

static void without_an_err_the_code_alone_is_returned(void **state)
{
    (void)state;
    assert_int_equal(hc_err_set(NULL, HC_ETLS, "%s", "x"), -HC_ETLS);
    assert_int_equal(hc_err_errno(NULL, ENOENT, "open %s", "x"), -HC_EIO);
}

static void a_later_error_replaces_an_earlier_one(void **state)
{
    (void)state;
    hc_err err = {0};
    (void)hc_err_set(&err, HC_EIO, "a rather long first text");
    (void)hc_err_set(&err, HC_EBUSY, "short");
    assert_int_equal(err.code, HC_EBUSY);
    assert_string_equal(err.text, "short");
}

static void the_text_that_is_there_may_be_an_argument(void **state)
{
    (void)state;
    hc_err err = {0};
    (void)hc_err_set(&err, HC_EIO, "first");
    (void)hc_err_set(&err, HC_EIO, "again and again: %s", err.text);
    assert_string_equal(err.text, "again and again: first");
    (void)hc_err_context(&err, "<%s>", err.text);
    assert_string_equal(err.text, "<again and again: first>: again and again: first");
}

static void a_long_text_is_cut_at_the_field_and_ends_with_nul(void **state)
{
    (void)state;
    struct {
        hc_err err;
        char canary[8];
    } held = {.canary = "canary!"};
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';

    assert_int_equal(hc_err_set(&held.err, HC_EIO, "%s", text), -HC_EIO);
    assert_int_equal(strnlen(held.err.text, sizeof(held.err.text)), sizeof(held.err.text) - 1);
    assert_int_equal(hc_err_errno(&held.err, ENOENT, "%s", text), -HC_EIO);
    assert_int_equal(strnlen(held.err.text, sizeof(held.err.text)), sizeof(held.err.text) - 1);
    assert_int_equal(hc_err_context(&held.err, "%s", text), -HC_EIO);
    assert_int_equal(strnlen(held.err.text, sizeof(held.err.text)), sizeof(held.err.text) - 1);
    assert_string_equal(held.canary, "canary!");
}

static void context_before_a_text_of_full_length_cuts_its_end(void **state)
{
    (void)state;
    hc_err err = {.code = HC_EIO};
    memset(err.text, 'x', sizeof(err.text) - 1);
    (void)hc_err_context(&err, "front");
    assert_memory_equal(err.text, "front: xxx", 10);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void an_errno_error_ends_with_the_reason_of_the_system(void **state)
{
    (void)state;
    hc_err err = {0};
    assert_int_equal(hc_err_errno(&err, ENOENT, "open %s", "ca.pem"), -HC_EIO);
    assert_int_equal(err.code, HC_EIO);
    assert_string_equal(err.text, "open ca.pem: No such file or directory");
}

static void an_errno_nobody_knows_still_gives_a_text(void **state)
{
    (void)state;
    hc_err err = {0};
    assert_int_equal(hc_err_errno(&err, 99999, "open"), -HC_EIO);
    assert_non_null(strstr(err.text, "open: "));
    assert_non_null(strstr(err.text, "99999"));
}

static void context_goes_before_the_text_and_keeps_the_code(void **state)
{
    (void)state;
    hc_err err = {0};
    (void)hc_err_set(&err, HC_EDENIED, "mode is 0644");
    assert_int_equal(hc_err_context(&err, "key %s", "a.key"), -HC_EDENIED);
    assert_int_equal(hc_err_context(&err, "listener %d", 2), -HC_EDENIED);
    assert_int_equal(err.code, HC_EDENIED);
    assert_string_equal(err.text, "listener 2: key a.key: mode is 0644");
}

static void context_never_returns_a_success(void **state)
{
    (void)state;
    hc_err err = {0};
    assert_true(hc_err_context(NULL, "x") < 0);
    assert_true(hc_err_context(&err, "x") < 0);
    assert_int_not_equal(err.code, HC_OK);
}

static void every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int code = HC_OK; code <= HC_EEXIST; code++) {
        assert_string_not_equal(hc_err_name(code), "unknown");
        assert_string_equal(hc_err_name(-code), hc_err_name(code));
        for (int other = HC_OK; other < code; other++)
            assert_string_not_equal(hc_err_name(other), hc_err_name(code));
    }
    assert_string_equal(hc_err_name(HC_OK), "ok");
    assert_string_equal(hc_err_name(HC_ENOMEM), "no-memory");
    assert_string_equal(hc_err_name(HC_EFORMAT), "malformed");
}

static void a_code_out_of_range_is_named_unknown(void **state)
{
    (void)state;
    assert_string_equal(hc_err_name(HC_EEXIST + 1), "unknown");
    assert_string_equal(hc_err_name(INT_MAX), "unknown");
    assert_string_equal(hc_err_name(INT_MIN), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_error_holds_code_and_text_and_returns_the_negative_code),
        cmocka_unit_test(a_code_already_negative_is_not_turned_into_a_success),
        cmocka_unit_test(without_an_err_the_code_alone_is_returned),
        cmocka_unit_test(a_later_error_replaces_an_earlier_one),
        cmocka_unit_test(the_text_that_is_there_may_be_an_argument),
        cmocka_unit_test(a_long_text_is_cut_at_the_field_and_ends_with_nul),
        cmocka_unit_test(context_before_a_text_of_full_length_cuts_its_end),
        cmocka_unit_test(an_errno_error_ends_with_the_reason_of_the_system),
        cmocka_unit_test(an_errno_nobody_knows_still_gives_a_text),
        cmocka_unit_test(context_goes_before_the_text_and_keeps_the_code),
        cmocka_unit_test(context_never_returns_a_success),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(a_code_out_of_range_is_named_unknown),
    };
    return cmocka_run_group_tests_name("base/err", tests, NULL, NULL);
}
