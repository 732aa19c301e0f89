#include "authority/subject.h"

#include "../unit.h"
#include "x509/name.h"

/* The subject as mod_ssl would show it; static memory. NULL where it is refused. */
static const char *made(const char *template_text, const char *name, hc_err *err)
{
    static char text[1000];
    X509_NAME *subject = NULL;
    hc_buf out = hc_buf_init(sizeof(text) - 1);
    int rc = hc_subject_make(template_text, name, &subject, err);
    if (rc != 0) {
        assert_int_equal(rc, -HC_EINVAL);
        return NULL;
    }
    assert_int_equal(hc_name_text(subject, &out, err), 0);
    if (out.size)
        memcpy(text, out.at, out.size);
    text[out.size] = '\0';
    hc_buf_done(&out);
    X509_NAME_free(subject);
    return text;
}

static void good(const char *template_text, const char *name, const char *wanted)
{
    hc_err err = {0};
    const char *got = made(template_text, name, &err);
    if (!got)
        fail_msg("%s", err.text);
    assert_string_equal(got, wanted);
}

static void bad(const char *template_text, const char *name, const char *says)
{
    hc_err err = {0};
    const char *got = made(template_text, name, &err);
    if (got || !strstr(err.text, says))
        fail_msg("%s", got ? got : err.text);
}

static void a_subject_reads_as_its_template(void **state)
{
    (void)state;
    good("CN={name}", "alice", "CN=alice");
    good("CN={name}, OU=Meters, O=Example GmbH, C=DE", "m1", "CN=m1,OU=Meters,O=Example GmbH,C=DE");
    good("cn=meter {name},O=\xc3\x84pfel", "7", "CN=meter 7,O=\xc3\x84pfel");
    good("UID={name}, DC=example, DC=org", "alice", "UID=alice,DC=example,DC=org");
}

static void a_name_is_never_read_as_more_than_a_value(void **state)
{
    (void)state;
    good("CN={name}, O=Example", "x, O=Evil", "CN=x\\, O=Evil,O=Example");
}

static void a_backslash_takes_the_meaning_away(void **state)
{
    (void)state;
    hc_err err = {0};
    assert_non_null(made("CN={name}, O=Example\\, Inc.\\+", "a", &err));
    assert_non_null(strstr(made("CN={name}, O=Example\\, Inc.\\+", "a", &err), "Example"));
    good("CN=\\{name\\}", "alice", "CN={name}");
}

static void without_a_name_its_attributes_are_left_out(void **state)
{
    (void)state;
    good("CN={name}, O=Example", NULL, "O=Example");
    good("CN={name}", NULL, "");
}

static void what_is_no_template_is_refused(void **state)
{
    (void)state;
    bad("", "a", "= is missing");
    bad("CN", "a", "= is missing");
    bad("CN={name},", "a", "= is missing");
    bad("CN={name},,O=x", "a", "= is missing");
    bad("CN=", "a", "empty");
    bad("E={name}", "a", "its parts are");
    bad("CN={nmae}", "a", "before it");
    bad("CN=a+OU=b", "a", "before it");
    bad("CN=a\\", "a", "behind the last");
    bad("O=\xff, CN={name}", "a", "UTF-8");
    bad("CN={name}, O=a\nb", "a", "control");
    bad("CN={name}, O=a\xe2\x80\xae"
        "b",
        "a", "invisible");
}

/* RFC 5280 appendix A.1 */
static void lengths_and_characters_are_those_of_the_standard(void **state)
{
    (void)state;
    static const char letters[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; /* 64 */
    char wanted[100] = "CN=";
    memcpy(wanted + 3, letters, sizeof(letters));
    good("CN={name}", letters, wanted);
    bad("CN=x{name}", letters, "CN is too long");
    bad("CN={name}, C=DEU", "a", "C is too long");
    bad("CN={name}, C=D", "a", "C is too short");
    bad("CN={name}, C=\xc3\xbc\xc3\xbc", "a", "capital");
    bad("CN={name}, C=de", "a", "capital");
    bad("CN={name}, serialNumber=\xc3\xbc", "a", "characters");
    char long_template[300] = "CN={name}, O=";
    memset(long_template + 13, 'o', 250);
    bad(long_template, "a", "at most 256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subject_reads_as_its_template),
        cmocka_unit_test(a_name_is_never_read_as_more_than_a_value),
        cmocka_unit_test(a_backslash_takes_the_meaning_away),
        cmocka_unit_test(without_a_name_its_attributes_are_left_out),
        cmocka_unit_test(what_is_no_template_is_refused),
        cmocka_unit_test(lengths_and_characters_are_those_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
