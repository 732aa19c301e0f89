#include "cli/cert_json.h"

#include "../unit.h"
#include "authority/issue.h"

static EVP_PKEY *key;
static X509 *ca;

static int begin(void **state)
{
    (void)state;
    hc_holder h = {.now_s = 1767225600};
    hc_err err = {0};
    assert_int_equal(hc_key_new(HC_KEY_P256, &key, &err), 0);
    assert_int_equal(hc_issue(hc_profile_builtin(S("ca")), &h, key, NULL, NULL, &ca, &err), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    X509_free(ca);
    EVP_PKEY_free(key);
    return 0;
}

static json_t *json_of(const char *profile, const hc_holder *h)
{
    X509 *x = NULL;
    hc_cert *cert = NULL;
    hc_err err = {0};
    const hc_profile *p = hc_profile_builtin(hc_slice_text(profile));
    assert_int_equal(hc_issue(p, h, key, ca, key, &x, &err), 0);
    assert_int_equal(hc_cert_from_x509(x, &cert, &err), 0);
    json_t *json = hc_cert_json(cert, &err);
    assert_non_null(json);
    hc_cert_unref(cert);
    X509_free(x);
    return json;
}

static const char *text(const json_t *json, const char *key_name)
{
    return json_string_value(json_object_get(json, key_name));
}

static void test_a_server_is_shown_with_all_its_names(void **state)
{
    (void)state;
    static const hc_san sans[] = {{HC_SAN_DNS, "localhost"}, {HC_SAN_IP, "::1"}};
    hc_holder h = {.sans = sans, .san_count = 2, .now_s = 1767225600};
    json_t *json = json_of("server", &h);
    const json_t *names = json_object_get(json, "names"), *key_json = json_object_get(json, "key");
    assert_string_equal(text(json, "subject"), "CN=localhost");
    assert_int_equal(json_array_size(names), 2);
    assert_string_equal(text(json_array_get(names, 0), "type"), "dns");
    assert_string_equal(text(json_array_get(names, 1), "value"), "::1");
    assert_string_equal(text(key_json, "curve"), "prime256v1");
    assert_string_equal(text(json, "not_before"), "2025-12-31T23:55:00Z");
    assert_string_equal(text(json, "not_after"), "2027-01-01T00:00:00Z");
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "purposes"), 0)),
                        "serverAuth");
    assert_true(json_is_false(json_object_get(json, "ca")));
    assert_int_equal(strlen(text(json, "sha256")), 64);
    assert_int_equal(strlen(text(json_object_get(json, "serial"), "hex")), 40);
    json_decref(json);
}

static void test_lines_have_the_same_for_a_person(void **state)
{
    (void)state;
    hc_holder h = {.name = "J\xc3\xbcrgen", .now_s = 1767225600};
    json_t *json = json_of("client", &h);
    hc_buf out = hc_buf_init(10000);
    assert_int_equal(hc_cert_lines(json, 2, &out), 0);
    assert_int_equal(hc_buf_add_byte(&out, '\0'), 0);
    const char *lines = (const char *)out.at;
    assert_memory_equal(lines, "  subject     CN=J\xc3\xbcrgen\n", 25);
    assert_non_null(
        strstr(lines, "\n  valid       2025-12-31T23:55:00Z to 2027-01-01T00:00:00Z\n"));
    assert_non_null(strstr(lines, "\n  for         clientAuth\n"));
    assert_non_null(strstr(lines, "\n  key         EC prime256v1, 256 bits\n"));
    hc_buf_done(&out);
    json_decref(json);
}

static void test_values_cannot_move_the_cursor(void **state)
{
    (void)state;
    json_t *json = json_pack("{s:s, s:s}", "subject", "CN=\x1b[2J\n", "issuer", "");
    hc_buf out = hc_buf_init(10000);
    assert_int_equal(hc_cert_lines(json, 0, &out), 0);
    assert_null(memchr(out.at, 0x1b, out.size));
    assert_memory_equal(out.at, "subject     CN=\\x1b[2J\\x0a\n", 26);
    hc_buf_done(&out);
    json_decref(json);
}

static void test_times_are_written_by_rfc_3339(void **state)
{
    (void)state;
    char out[32];
    hc_time_text(0, out);
    assert_string_equal(out, "1970-01-01T00:00:00Z");
    hc_time_text(-1, out);
    assert_string_equal(out, "1969-12-31T23:59:59Z");
    hc_time_text(INT64_MAX, out);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_is_shown_with_all_its_names),
        cmocka_unit_test(test_lines_have_the_same_for_a_person),
        cmocka_unit_test(test_values_cannot_move_the_cursor),
        cmocka_unit_test(test_times_are_written_by_rfc_3339),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
