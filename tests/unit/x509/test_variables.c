/* Against apache.json: what mod_ssl gave for the same certificates. */
#include "x509/variables.h"

#include <jansson.h>

#include "base/mem.h"
#include "faults.h"
#include "vectors.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static json_t *apache(void)
{
    vector *v = vector_read("", "apache", ".json");
    json_t *root = json_loadb((const char *)v->bytes, v->size, 0, NULL);
    assert_non_null(root);
    free(v);
    return root;
}

static hc_cert *named(const char *name)
{
    hc_cert *c = NULL;
    hc_err err = {0};
    vector *v = vector_read("names", name, ".der");
    if (hc_cert_from_der(vector_slice(v), &c, &err) != 0)
        fail_msg("%s: %s", name, err.text);
    free(v);
    return c;
}

static int collect(void *arg, hc_slice name, hc_slice value)
{
    json_t *into = arg;
    json_t *text = json_stringn_nocheck(value.size ? (const char *)value.at : "", value.size);
    assert_non_null(text);
    char key[128];
    assert_true(name.size < sizeof(key));
    memcpy(key, name.at, name.size);
    key[name.size] = '\0';
    assert_null(json_object_get(into, key)); /* none twice */
    assert_int_equal(json_object_set_new_nocheck(into, key, text), 0);
    return 0;
}

static json_t *client_variables(const hc_cert *c)
{
    json_t *ours = json_object();
    hc_err err = {0};
    if (hc_variables_client(c, collect, ours, &err) != 0)
        fail_msg("%s", err.text);
    return ours;
}

static bool only_ours(const char *name)
{
    return strstr(name, "_SAN_URI_") || strstr(name, "_SAN_IP_");
}

static void assert_same(const char *vector_name, json_t *theirs, json_t *ours)
{
    const char *name;
    json_t *value;
    json_object_foreach(theirs, name, value)
    {
        const char *got = json_string_value(json_object_get(ours, name));
        if (!got || strcmp(got, json_string_value(value)) != 0)
            fail_msg("%s: %s is \"%s\" for Apache, \"%s\" for us", vector_name, name,
                     json_string_value(value), got ? got : "(absent)");
    }
    json_object_foreach(ours, name, value)
    {
        if (!only_ours(name) && !json_object_get(theirs, name))
            fail_msg("%s: %s is ours alone", vector_name, name);
    }
}

/* Where we differ from Apache on purpose: see the tests further down. */
static bool differs_on_purpose(const char *vector_name)
{
    return strcmp(vector_name, "cn-bit-string") == 0 || strcmp(vector_name, "cn-sequence") == 0 ||
           strcmp(vector_name, "empty-issuer") == 0;
}

static void variables_are_those_of_apache(void **state)
{
    (void)state;
    json_t *root = apache();
    const char *name;
    json_t *entry;
    size_t compared = 0;
    json_object_foreach(json_object_get(root, "client"), name, entry)
    {
        if (differs_on_purpose(name))
            continue;
        hc_cert *c = named(name);
        json_t *ours = client_variables(c);
        assert_same(name, json_object_get(entry, "variables"), ours);
        json_decref(ours);
        hc_cert_unref(c);
        compared++;
    }
    assert_true(compared > 50);
    json_decref(root);
}

static void days_left_are_those_of_apache(void **state)
{
    (void)state;
    json_t *root = apache();
    const char *name;
    json_t *entry;
    json_object_foreach(json_object_get(root, "client"), name, entry)
    {
        hc_cert *c = named(name);
        int64_t at = json_integer_value(json_object_get(entry, "captured_at"));
        assert_int_equal(hc_variables_days_left(c, at),
                         json_integer_value(json_object_get(entry, "remain")));
        hc_cert_unref(c);
    }
    json_decref(root);
}

static void days_left_are_zero_on_the_last_day_and_after(void **state)
{
    (void)state;
    hc_cert *c = named("plain");
    int64_t end = hc_cert_not_after(c);
    assert_int_equal(hc_variables_days_left(c, end - 86400), 1);
    assert_int_equal(hc_variables_days_left(c, end - 86399), 0);
    assert_int_equal(hc_variables_days_left(c, end), 0);
    assert_int_equal(hc_variables_days_left(c, end + 86400 * 1000), 0);
    hc_cert_unref(c);
}

static void server_variables_are_those_of_apache(void **state)
{
    (void)state;
    json_t *root = apache();
    json_t *ours = json_object();
    hc_cert *c = NULL;
    X509 *x = vector_chain_certificate("server");
    assert_int_equal(hc_cert_from_x509(x, &c, NULL), 0);
    assert_int_equal(hc_variables_server(c, collect, ours, NULL), 0);
    assert_same("server", json_object_get(root, "server"), ours);
    assert_null(json_object_get(ours, "SSL_SERVER_SAN_OTHER_msUPN_0"));
    json_decref(ours);
    json_decref(root);
    hc_cert_unref(c);
    X509_free(x);
}

static void assert_variable(json_t *variables, const char *name, const char *wanted)
{
    const char *got = json_string_value(json_object_get(variables, name));
    assert_non_null(got);
    assert_string_equal(got, wanted);
}

static void a_name_that_is_no_text_does_not_pass_for_one(void **state)
{
    (void)state;
    hc_cert *c = named("cn-bit-string");
    json_t *ours = client_variables(c);
    assert_variable(ours, "SSL_CLIENT_S_DN", "CN=#030600616C696365");
    assert_variable(ours, "SSL_CLIENT_S_DN_CN", "#030600616C696365");
    json_decref(ours);
    hc_cert_unref(c);
    c = named("cn-sequence");
    ours = client_variables(c);
    assert_variable(ours, "SSL_CLIENT_S_DN_CN", "#30070C05616C696365");
    json_decref(ours);
    hc_cert_unref(c);
}

static void an_empty_issuer_still_gives_a_whole_assertion(void **state)
{
    (void)state;
    hc_cert *c = named("empty-issuer");
    json_t *ours = client_variables(c);
    assert_variable(ours, "SSL_CLIENT_CERT_RFC4523_CEA",
                    "{ serialNumber 305441741, issuer rdnSequence:\"\" }");
    assert_null(json_object_get(ours, "SSL_CLIENT_I_DN"));
    json_decref(ours);
    hc_cert_unref(c);
}

static void addresses_and_uris_are_given_in_the_same_manner(void **state)
{
    (void)state;
    hc_cert *c = named("sans-of-all-types");
    json_t *ours = client_variables(c);
    assert_variable(ours, "SSL_CLIENT_SAN_URI_0", "spiffe://example/alice");
    assert_variable(ours, "SSL_CLIENT_SAN_IP_0", "192.0.2.1");
    assert_variable(ours, "SSL_CLIENT_SAN_IP_1", "2001:db8::1");
    assert_null(json_object_get(ours, "SSL_CLIENT_SAN_OTHER_dnsSRV_0"));
    json_decref(ours);
    hc_cert_unref(c);
}

static void the_chain_is_numbered_from_zero(void **state)
{
    (void)state;
    hc_cert *chain[2] = {NULL, named("utf8")};
    X509 *ca = vector_chain_certificate("ca");
    assert_int_equal(hc_cert_from_x509(ca, &chain[0], NULL), 0);
    json_t *root = apache();
    json_t *ours = json_object();
    assert_int_equal(hc_variables_chain(chain, 1, collect, ours, NULL), 0);
    assert_same("chain", json_object_get(root, "chain"), ours);
    json_object_clear(ours);
    assert_int_equal(hc_variables_chain(chain, 2, collect, ours, NULL), 0);
    assert_int_equal(json_object_size(ours), 2);
    assert_non_null(json_object_get(ours, "SSL_CLIENT_CERT_CHAIN_1"));
    json_decref(ours);
    json_decref(root);
    hc_cert_unref(chain[0]);
    hc_cert_unref(chain[1]);
    X509_free(ca);
}

typedef struct stopper {
    int left;
    int calls;
} stopper;

static int stop_after(void *arg, hc_slice name, hc_slice value)
{
    stopper *s = arg;
    (void)name;
    (void)value;
    s->calls++;
    return s->left-- > 0 ? 0 : -HC_EDENIED;
}

static void a_reader_that_stops_is_not_called_again(void **state)
{
    (void)state;
    hc_cert *c = named("sans-of-all-types");
    bool complete = false;
    for (int n = 0; !complete; n++) {
        stopper s = {.left = n};
        int rc = hc_variables_client(c, stop_after, &s, NULL);
        complete = rc == 0;
        if (!complete) {
            assert_int_equal(rc, -HC_EDENIED);
            assert_int_equal(s.calls, n + 1);
        }
    }
    hc_cert_unref(c);
}

static int count(void *arg, hc_slice name, hc_slice value)
{
    (void)name;
    (void)value;
    ++*(int *)arg;
    return 0;
}

static void variables_survive_every_failing_allocation(void **state)
{
    (void)state;
    hc_cert *c = named("sans-of-all-types");
    int rc = -1;
    for (size_t n = 1; rc != 0; n++) {
        int calls = 0;
        faults_begin(n);
        rc = hc_variables_client(c, count, &calls, NULL);
        faults_end();
        assert_true(rc == 0 || rc == -HC_ENOMEM);
        assert_int_equal(faults_live, 0);
        assert_true(n < 1000);
    }
    hc_cert_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_those_of_apache),
        cmocka_unit_test(days_left_are_those_of_apache),
        cmocka_unit_test(days_left_are_zero_on_the_last_day_and_after),
        cmocka_unit_test(server_variables_are_those_of_apache),
        cmocka_unit_test(a_name_that_is_no_text_does_not_pass_for_one),
        cmocka_unit_test(an_empty_issuer_still_gives_a_whole_assertion),
        cmocka_unit_test(addresses_and_uris_are_given_in_the_same_manner),
        cmocka_unit_test(the_chain_is_numbered_from_zero),
        cmocka_unit_test(a_reader_that_stops_is_not_called_again),
        cmocka_unit_test_teardown(variables_survive_every_failing_allocation, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
