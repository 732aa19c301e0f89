#include "authority/profile.h"

#include <stdio.h>

#include "../unit.h"
#include "faults.h"

static hc_profiles loaded(const char *yaml)
{
    hc_profiles p = {NULL, 0};
    hc_err err = {0};
    if (hc_profiles_load(hc_slice_text(yaml), "handclasp.yaml", &p, &err) != 0)
        fail_msg("%s", err.text);
    return p;
}

static void bad(const char *yaml, const char *says)
{
    hc_profiles p = {NULL, 0};
    hc_err err = {0};
    int rc = hc_profiles_load(hc_slice_text(yaml), "handclasp.yaml", &p, &err);
    if (rc != -HC_EINVAL || !strstr(err.text, says))
        fail_msg("%d: %s", rc, err.text);
    assert_null(p.at);
}

static void without_a_file_there_are_three(void **state)
{
    (void)state;
    static const char *const files[] = {"", "# nothing\n", "bind: 8443\nenv: {A: [b, {c: d}]}\n",
                                        "profiles: {}\n"};
    for (size_t i = 0; i < HC_COUNT(files); i++) {
        hc_profiles p = loaded(files[i]);
        assert_int_equal(p.count, 3);
        assert_int_equal(hc_profiles_find(&p, S("client"))->kind, HC_PROFILE_CLIENT);
        assert_int_equal(hc_profiles_find(&p, S("device"))->kind, HC_PROFILE_CLIENT);
        assert_int_equal(hc_profiles_find(&p, S("server"))->kind, HC_PROFILE_SERVER);
        assert_null(hc_profiles_find(&p, S("ca")));
        assert_int_equal(hc_profiles_find(&p, S("client"))->key, HC_KEY_P256);
        hc_profiles_done(&p);
    }
}

static void a_built_in_profile_can_be_changed(void **state)
{
    (void)state;
    hc_profiles p = loaded("bind: 8443\n"
                           "profiles:\n"
                           "  client:\n"
                           "    lifetime: 90d\n"
                           "    sans: none\n"
                           "workers: 2\n");
    const hc_profile *client = hc_profiles_find(&p, S("client"));
    assert_int_equal(p.count, 3);
    assert_int_equal(client->lifetime_s, 90 * HC_PROFILE_DAY_S);
    assert_int_equal(client->sans, 0);
    assert_string_equal(client->subject, "CN={name}");
    hc_profiles_done(&p);
}

static void ones_own_profile_begins_as_another(void **state)
{
    (void)state;
    hc_profiles p = loaded("profiles:\n"
                           "  meter:\n"
                           "    like: device\n"
                           "    keys: [ed25519, p-256]\n"
                           "    sans: [URI, dns]\n"
                           "    lifetime: 12h\n"
                           "    subject: CN={name}, O=Example\n"
                           "    crl-url: http://pki.example/ca.crl\n"
                           "  office: {like: client, keys: rsa}\n");
    const hc_profile *meter = hc_profiles_find(&p, S("meter"));
    const hc_profile *office = hc_profiles_find(&p, S("office"));
    assert_int_equal(p.count, 5);
    assert_string_equal(meter->name, "meter");
    assert_int_equal(meter->kind, HC_PROFILE_CLIENT);
    assert_int_equal(meter->key, HC_KEY_ED25519);
    assert_int_equal(meter->keys, HC_PROFILE_BIT(HC_KEY_ED25519) | HC_PROFILE_BIT(HC_KEY_P256));
    assert_int_equal(meter->sans, HC_PROFILE_BIT(HC_SAN_URI) | HC_PROFILE_BIT(HC_SAN_DNS));
    assert_int_equal(meter->lifetime_s, 12 * 3600);
    assert_string_equal(meter->subject, "CN={name}, O=Example");
    assert_string_equal(meter->crl_url, "http://pki.example/ca.crl");
    assert_int_equal(office->key, HC_KEY_RSA_2048);
    assert_int_equal(office->lifetime_s, HC_PROFILE_LIFETIME_S);
    hc_profiles_done(&p);
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    bad("a: 1\nprofiles: x\n", "handclasp.yaml:2: profiles:");
    bad("profiles:\n  client: x\n", "handclasp.yaml:2: ");
    bad("profiles:\n  client:\n    days: 3\n", "handclasp.yaml:3: a profile has");
    bad("profiles:\n  client:\n    lifetime: 90\n", "handclasp.yaml:3: lifetime");
    bad("profiles:\n  client:\n    lifetime: 9000d\n", "lifetime");
    bad("profiles:\n  client:\n    lifetime: [1d]\n", "plain value");
    bad("profiles:\n  client:\n    keys: dsa\n", "keys");
    bad("profiles:\n  client:\n    keys: []\n", "empty");
    bad("profiles:\n  client:\n    keys: [[p-256]]\n", "plain value");
    bad("profiles:\n  client:\n    sans: upn\n", "sans");
    bad("profiles:\n  client:\n    sans: [dns, none]\n", "sans");
    bad("profiles:\n  client:\n    subject: CN=alice\n", "{name} is wanted");
    bad("profiles:\n  client:\n    subject: CN={name}, X=y\n", "handclasp.yaml:3: a subject");
    bad("profiles:\n  client:\n    crl-url: ftp://a.example/\n", "crl-url");
    bad("profiles:\n  client:\n    crl-url: http://a b/\n", "crl-url");
    bad("profiles:\n  client:\n    subject: \"CN={name}\\0\"\n", "NUL");
    bad("profiles:\n  client:\n    sans: dns\n    sans: ip\n", "handclasp.yaml:4: this stands");
    bad("profiles:\n  client: {sans: dns}\n  client: {sans: ip}\n", "twice");
    bad("profiles:\n  client: {like: device}\n", "another name");
    bad("profiles:\n  mine: {sans: dns}\n", "begins with like");
    bad("profiles:\n  mine: {}\n", "begins with like");
    bad("profiles:\n  mine: {like: ca}\n", "one of client, device");
    bad("profiles:\n  mine: {like: none}\n", "one of client, device");
    bad("profiles:\n  ca: {lifetime: 1d}\n", "not ca");
    bad("profiles:\n  Mine: {like: client}\n", "a-z");
    bad("profiles:\n  -mine: {like: client}\n", "a-z");
    bad("profiles:\n  [a]: {like: client}\n", "a-z");
    bad("profiles: {}\nprofiles: {}\n", "handclasp.yaml:2: profiles stands");
    bad("profiles: {\n", "not YAML");
    bad("profiles:\n  client: *x\n", "handclasp.yaml:2");
}

static void there_are_at_most_64(void **state)
{
    (void)state;
    static char yaml[8000];
    size_t size = (size_t)snprintf(yaml, sizeof(yaml), "profiles:\n");
    for (int i = 0; i < HC_LIMIT_PROFILES - 2; i++)
        size += (size_t)snprintf(yaml + size, sizeof(yaml) - size, "  p%d: {like: client}\n", i);
    bad(yaml, "handclasp.yaml:63: too many");
}

static void failing_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    int rc = -1;
    for (size_t nth = 1; rc != 0; nth++) {
        hc_profiles p = {NULL, 0};
        faults_begin(nth);
        rc = hc_profiles_load(S("profiles:\n  a: {like: client, subject: \"CN={name}\"}\n"), "f",
                              &p, NULL);
        hc_profiles_done(&p);
        long live = faults_live;
        faults_end();
        assert_true(rc == 0 || rc == -HC_ENOMEM);
        assert_int_equal(live, 0);
        assert_true(nth < 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_there_are_three),
        cmocka_unit_test(a_built_in_profile_can_be_changed),
        cmocka_unit_test(ones_own_profile_begins_as_another),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(there_are_at_most_64),
        cmocka_unit_test(failing_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
