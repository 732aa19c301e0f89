#include "x509/san.h"

#include "../unit.h"
#include "base/buf.h"
#include "base/limits.h"

typedef struct sample {
    hc_san san;
    bool good;
} sample;

static void check(const sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hc_err err = {0};
        int rc = hc_san_check(&samples[i].san, &err);
        if (rc != (samples[i].good ? 0 : -HC_EINVAL))
            fail_msg("%s: %s", samples[i].san.value, rc ? err.text : "taken");
    }
}

static void email_addresses_follow_their_rule(void **state)
{
    (void)state;
    static const sample samples[] = {
        {{HC_SAN_EMAIL, "alice@example.org"}, true},
        {{HC_SAN_EMAIL, "a.b+c@mail.example.org"}, true},
        {{HC_SAN_EMAIL, "alice"}, false},
        {{HC_SAN_EMAIL, "@example.org"}, false},
        {{HC_SAN_EMAIL, "alice@"}, false},
        {{HC_SAN_EMAIL, "alice@example"}, false},
        {{HC_SAN_EMAIL, ".alice@example.org"}, false},
        {{HC_SAN_EMAIL, "al..ice@example.org"}, false},
        {{HC_SAN_EMAIL, "alice@*.example.org"}, false},
        {{HC_SAN_EMAIL, "alice@example.org\n"}, false},
        {{HC_SAN_EMAIL, "Alice <alice@example.org>"}, false},
        {{HC_SAN_EMAIL, "j\xc3\xbcrgen@example.org"}, false},
        {{HC_SAN_EMAIL, "a@b@example.org"}, false},
    };
    check(samples, HC_COUNT(samples));
}

static void host_names_and_addresses_follow_theirs(void **state)
{
    (void)state;
    static const sample samples[] = {
        {{HC_SAN_DNS, "meter-1.example"}, true},
        {{HC_SAN_DNS, "*.example"}, true},
        {{HC_SAN_DNS, "10.0.0.1"}, false},
        {{HC_SAN_DNS, "a..b"}, false},
        {{HC_SAN_DNS, "-a"}, false},
        {{HC_SAN_DNS, ""}, false},
        {{HC_SAN_DNS, "a.b."}, false},
        {{HC_SAN_DNS, "a_b.example"}, false},
        {{HC_SAN_IP, "10.0.0.1"}, true},
        {{HC_SAN_IP, "2001:db8::1"}, true},
        {{HC_SAN_IP, "[::1]"}, false},
        {{HC_SAN_IP, "10.0.0.1:80"}, false},
        {{HC_SAN_IP, "10.0.0.256"}, false},
        {{HC_SAN_UPN, "alice@example"}, false},
    };
    check(samples, HC_COUNT(samples));
}

static void uris_have_a_scheme_and_a_host_that_is_one(void **state)
{
    (void)state;
    static const sample samples[] = {
        {{HC_SAN_URI, "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}, true},
        {{HC_SAN_URI, "https://example.org/devices/1?x=%20#y"}, true},
        {{HC_SAN_URI, "https://[2001:db8::1]:8443/a"}, true},
        {{HC_SAN_URI, "https://user@10.0.0.1/a"}, true},
        {{HC_SAN_URI, "devices/1"}, false},
        {{HC_SAN_URI, ":x"}, false},
        {{HC_SAN_URI, "1a:x"}, false},
        {{HC_SAN_URI, "urn:"}, false},
        {{HC_SAN_URI, "urn:a b"}, false},
        {{HC_SAN_URI, "urn:%2"}, false},
        {{HC_SAN_URI, "urn:%zz"}, false},
        {{HC_SAN_URI, "urn:\xc3\xbc"}, false},
        {{HC_SAN_URI, "https:///a"}, false},
        {{HC_SAN_URI, "https://*.example/a"}, false},
        {{HC_SAN_URI, "https://a..b/"}, false},
        {{HC_SAN_URI, "https://intranet/"}, false},
        {{HC_SAN_URI, "https://[10.0.0.1]/"}, false},
        {{HC_SAN_URI, "https://[::1/"}, false},
        {{HC_SAN_URI, "https://example.org:http/"}, false},
    };
    check(samples, HC_COUNT(samples));
}

static void spiffe_ids_follow_their_specification(void **state)
{
    (void)state;
    static const sample samples[] = {
        {{HC_SAN_URI, "spiffe://example.org"}, false},
        {{HC_SAN_URI, "spiffe://example.org/meters/1"}, true},
        {{HC_SAN_URI, "spiffe://Example.org/a"}, false},
        {{HC_SAN_URI, "SPIFFE://example.org/a"}, false},
        {{HC_SAN_URI, "spiffe://example.org/"}, false},
        {{HC_SAN_URI, "spiffe://example.org/a/"}, false},
        {{HC_SAN_URI, "spiffe://example.org//a"}, false},
        {{HC_SAN_URI, "spiffe://example.org/../a"}, false},
        {{HC_SAN_URI, "spiffe://example.org:8443/a"}, false},
        {{HC_SAN_URI, "spiffe://user@example.org/a"}, false},
        {{HC_SAN_URI, "spiffe://example.org/a?b"}, false},
        {{HC_SAN_URI, "spiffe://example.org/a#b"}, false},
        {{HC_SAN_URI, "spiffe:///a"}, false},
        {{HC_SAN_URI, "spiffe:example.org"}, false},
    };
    check(samples, HC_COUNT(samples));
}

static void a_uri_has_at_most_2048_octets(void **state)
{
    (void)state;
    char uri[HC_LIMIT_URI + 2];
    memset(uri, 'a', sizeof(uri));
    memcpy(uri, "urn:", 4);
    uri[sizeof(uri) - 1] = '\0';
    sample samples[] = {{{HC_SAN_URI, uri}, false}};
    check(samples, 1);
    uri[sizeof(uri) - 2] = '\0';
    samples[0].good = true;
    check(samples, 1);
}

static int keep(void *arg, hc_san_type type, hc_slice value, int nth)
{
    hc_buf *out = arg;
    (void)nth;
    return hc_buf_printf(out, "%s:%.*s ", hc_san_type_name(type), HC_SLICE_ARGS(value));
}

static void what_is_written_is_what_is_read(void **state)
{
    (void)state;
    static const hc_san sans[] = {{HC_SAN_EMAIL, "alice@example.org"},
                                  {HC_SAN_URI, "spiffe://example.org/a"},
                                  {HC_SAN_DNS, "a.example"},
                                  {HC_SAN_IP, "::1"},
                                  {HC_SAN_IP, "10.0.0.1"}};
    GENERAL_NAMES *names = NULL;
    hc_err err = {0};
    hc_buf text = hc_buf_init(1000);
    assert_int_equal(hc_san_make(sans, HC_COUNT(sans), &names, &err), 0);
    assert_int_equal(hc_san_each_of(names, keep, &text, &err), 0);
    assert_slice(hc_buf_slice(&text), "email:alice@example.org URI:spiffe://example.org/a "
                                      "DNS:a.example IP:::1 IP:10.0.0.1 ");
    hc_buf_done(&text);
    GENERAL_NAMES_free(names);
}

static void a_spiffe_id_is_the_only_uri(void **state)
{
    (void)state;
    static const hc_san sans[] = {{HC_SAN_URI, "spiffe://example.org/a"}, {HC_SAN_URI, "urn:a:b"}};
    GENERAL_NAMES *names = NULL;
    hc_err err = {0};
    assert_int_equal(hc_san_make(sans, 2, &names, &err), -HC_EINVAL);
    assert_int_equal(hc_san_make(sans + 1, 1, &names, &err), 0);
    GENERAL_NAMES_free(names);
}

static void none_too_many_and_bad_ones_are_refused(void **state)
{
    (void)state;
    static hc_san many[HC_LIMIT_SANS + 1];
    GENERAL_NAMES *names = NULL;
    hc_err err = {0};
    for (size_t i = 0; i < HC_COUNT(many); i++)
        many[i] = (hc_san){HC_SAN_DNS, "a.example"};
    assert_int_equal(hc_san_make(many, 0, &names, &err), -HC_EINVAL);
    assert_int_equal(hc_san_make(many, HC_COUNT(many), &names, &err), -HC_EINVAL);
    many[1].value = "not a host";
    assert_int_equal(hc_san_make(many, 2, &names, &err), -HC_EINVAL);
    assert_null(names);
}

static void types_have_names(void **state)
{
    (void)state;
    hc_san_type type = HC_SAN_OTHER;
    assert_true(hc_san_type_parse(S("dns"), &type));
    assert_int_equal(type, HC_SAN_DNS);
    assert_true(hc_san_type_parse(S("uri"), &type));
    assert_int_equal(type, HC_SAN_URI);
    assert_false(hc_san_type_parse(S("upn"), &type));
    assert_false(hc_san_type_parse(S(""), &type));
    assert_string_equal(hc_san_type_name(HC_SAN_UPN), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(email_addresses_follow_their_rule),
        cmocka_unit_test(host_names_and_addresses_follow_theirs),
        cmocka_unit_test(uris_have_a_scheme_and_a_host_that_is_one),
        cmocka_unit_test(spiffe_ids_follow_their_specification),
        cmocka_unit_test(a_uri_has_at_most_2048_octets),
        cmocka_unit_test(what_is_written_is_what_is_read),
        cmocka_unit_test(a_spiffe_id_is_the_only_uri),
        cmocka_unit_test(none_too_many_and_bad_ones_are_refused),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
