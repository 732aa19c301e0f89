#include "authority/state.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "folder.h"

#define NOW_S ((int64_t)1767225600)

typedef struct events {
    size_t count[HC_STATE_NOT_ON_RECORD + 1];
    char last_file[100], last_host[100];
} events;

static void on_event(void *arg, hc_state_event event, const char *file, const char *host)
{
    events *e = arg;
    e->count[event]++;
    (void)snprintf(e->last_file, sizeof(e->last_file), "%s", file);
    (void)snprintf(e->last_host, sizeof(e->last_host), "%s", host ? host : "");
}

static int init_with(const char *const *hosts, size_t host_count, const char *client, events *e,
                     hc_err *err)
{
    hc_state_plan plan = {.path = "s",
                          .hosts = hosts,
                          .host_count = host_count,
                          .clients = &client,
                          .client_count = client ? 1 : 0,
                          .now_s = NOW_S};
    memset(e, 0, sizeof(*e));
    *err = (hc_err){0};
    return hc_state_init(&plan, on_event, e, err);
}

static events done(const char *client)
{
    events e;
    hc_err err;
    if (init_with(NULL, 0, client, &e, &err) != 0)
        fail_msg("%s", err.text);
    return e;
}

static void assert_fails(const char *client, int code, const char *wanted)
{
    events e;
    hc_err err;
    assert_int_equal(init_with(NULL, 0, client, &e, &err), -code);
    assert_string_equal(err.text, wanted);
}

static X509 *cert_at(const char *name)
{
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    (void)fclose(f);
    assert_non_null(x);
    return x;
}

static void assert_same_text(const char *name, const char *before)
{
    assert_string_equal(text_of(name), before);
}

static void test_all_is_made_at_once(void **state)
{
    (void)state;
    events e = done("alice");
    assert_int_equal(e.count[HC_STATE_MADE], 8);
    assert_int_equal(e.count[HC_STATE_FOUND], 0);
    assert_int_equal(mode_of("s/ca/ca.key"), 0600);
    assert_int_equal(mode_of("s/server/server.key"), 0600);
    assert_int_equal(mode_of("s/clients/alice.key"), 0600);
    assert_string_equal(text_of("s/.gitignore"), "# Keys: never into a repository.\n*\n");
    assert_non_null(strstr(text_of("s/handclasp.yaml"), "\nregistry: none\n"));
    X509 *server = cert_at("s/server/server.pem");
    assert_int_equal(X509_check_host(server, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(server, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(server, "::1", 0), 1);
    X509_free(server);
}

static void test_run_again_it_changes_nothing(void **state)
{
    (void)state;
    static char before[3][10000];
    static const char *const files[] = {"s/ca/ca.pem", "s/server/server.key",
                                        "s/clients/alice.pem"};
    (void)done("alice");
    for (size_t i = 0; i < HC_COUNT(files); i++)
        (void)snprintf(before[i], sizeof(before[i]), "%s", text_of(files[i]));
    events e = done("alice");
    assert_int_equal(e.count[HC_STATE_MADE], 0);
    assert_int_equal(e.count[HC_STATE_FOUND], 8);
    for (size_t i = 0; i < HC_COUNT(files); i++)
        assert_same_text(files[i], before[i]);
}

static void test_a_key_without_its_certificate_gets_one(void **state)
{
    (void)state;
    static const char *const certs[] = {"s/ca/ca.pem", "s/server/server.pem",
                                        "s/clients/alice.pem"};
    static const char *const keys[] = {"s/ca/ca.key", "s/server/server.key", "s/clients/alice.key"};
    for (size_t i = 0; i < HC_COUNT(certs); i++) {
        static char key[10000];
        (void)done("alice");
        (void)snprintf(key, sizeof(key), "%s", text_of(keys[i]));
        assert_int_equal(unlink(certs[i]), 0);
        events e = done("alice");
        assert_int_equal(e.count[HC_STATE_MADE], 1);
        assert_int_equal(e.count[HC_STATE_OTHER_ISSUER], 0);
        assert_same_text(keys[i], key);
        assert_true(is_there(certs[i]));
    }
}

/* The CA's name follows from its key, so what it signed before still leads to it. */
static void test_a_ca_certificate_made_anew_from_its_key_stays_the_issuer(void **state)
{
    (void)state;
    (void)done("alice");
    assert_int_equal(unlink("s/ca/ca.pem"), 0);
    (void)done("alice");
    X509 *ca = cert_at("s/ca/ca.pem"), *alice = cert_at("s/clients/alice.pem");
    assert_int_equal(X509_check_issued(ca, alice), X509_V_OK);
    assert_int_equal(X509_verify(alice, X509_get0_pubkey(ca)), 1);
    X509_free(ca);
    X509_free(alice);
}

static void test_a_clients_key_may_have_gone_to_the_client(void **state)
{
    (void)state;
    (void)done("alice");
    assert_int_equal(unlink("s/clients/alice.key"), 0);
    events e = done("alice");
    assert_int_equal(e.count[HC_STATE_MADE], 0);
    assert_int_equal(e.count[HC_STATE_KEY_AWAY], 1);
    assert_false(is_there("s/clients/alice.key"));
}

static void test_a_server_certificate_without_its_key_is_an_error(void **state)
{
    (void)state;
    (void)done(NULL);
    assert_int_equal(unlink("s/server/server.key"), 0);
    assert_fails(
        NULL, HC_ENOENT,
        "s/server/server.pem is there without its key server/server.key: put the key back, or "
        "move the certificate away for a new one");
}

static void test_a_ca_key_kept_elsewhere_is_missed_only_where_it_is_needed(void **state)
{
    (void)state;
    (void)done("alice");
    assert_int_equal(rename("s/ca/ca.key", "ca.key"), 0);
    events e = done("alice");
    assert_int_equal(e.count[HC_STATE_KEY_AWAY], 1);
    assert_fails(
        "bob", HC_ENOENT,
        "s/clients/bob.pem cannot be made without the CA's key: put s/ca/ca.key back, or make "
        "no new certificate here");
    assert_false(is_there("s/clients/bob.key"));
    assert_false(is_there("s/ca/ca.key"));
}

static void test_a_certificate_of_another_key_is_an_error_and_stays(void **state)
{
    (void)state;
    (void)done("alice");
    (void)done("bob");
    assert_int_equal(rename("s/clients/bob.key", "s/clients/alice.key"), 0);
    static char before[10000];
    (void)snprintf(before, sizeof(before), "%s", text_of("s/clients/alice.pem"));
    assert_fails("alice", HC_EDENIED,
                 "s/clients/alice.pem does not belong to the key clients/alice.key; nothing was "
                 "changed: move one of them away, or put the right one back");
    assert_same_text("s/clients/alice.pem", before);
}

static void test_a_file_that_is_no_certificate_is_an_error_and_stays(void **state)
{
    (void)state;
    (void)done(NULL);
    put("s/server/server.pem", "");
    assert_fails(NULL, HC_EFORMAT, "s/server/server.pem is not a PEM file");
    assert_same_text("s/server/server.pem", "");
}

static void test_a_new_host_is_told_and_the_certificate_stays(void **state)
{
    (void)state;
    static const char *const hosts[] = {"localhost", "127.0.0.1", "shop.example", "10.0.0.1"};
    events e;
    hc_err err;
    (void)done(NULL);
    assert_int_equal(init_with(hosts, HC_COUNT(hosts), NULL, &e, &err), 0);
    assert_int_equal(e.count[HC_STATE_LACKS_HOST], 2);
    assert_string_equal(e.last_host, "10.0.0.1");
    assert_int_equal(e.count[HC_STATE_MADE], 0);
}

static void test_a_server_certificate_names_the_hosts_given(void **state)
{
    (void)state;
    static const char *const hosts[] = {"shop.example", "10.0.0.1", "shop.example"};
    events e;
    hc_err err;
    assert_int_equal(init_with(hosts, HC_COUNT(hosts), NULL, &e, &err), 0);
    X509 *server = cert_at("s/server/server.pem");
    GENERAL_NAMES *names = X509_get_ext_d2i(server, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 2);
    assert_int_equal(X509_check_host(server, "localhost", 0, 0, NULL), 0);
    GENERAL_NAMES_free(names);
    X509_free(server);
}

static void test_certificates_of_another_ca_and_expired_ones_are_told(void **state)
{
    (void)state;
    (void)done("alice");
    assert_int_equal(rename("s/ca", "old-ca"), 0);
    events e = done("alice");
    assert_int_equal(e.count[HC_STATE_MADE], 2);
    assert_int_equal(e.count[HC_STATE_OTHER_ISSUER], 2);
    hc_state_plan later = {.path = "s", .now_s = NOW_S + 366 * HC_PROFILE_DAY_S};
    hc_err err = {0};
    memset(&e, 0, sizeof(e));
    assert_int_equal(hc_state_init(&later, on_event, &e, &err), 0);
    assert_int_equal(e.count[HC_STATE_EXPIRED], 1);
}

static void test_names_are_checked_before_anything_is_made(void **state)
{
    (void)state;
    assert_fails("../alice", HC_EINVAL, "--client: a client's name does not begin with '.' or '-'");
    assert_false(is_there("s"));
    static const char *const hosts[] = {"not a host"};
    events e;
    hc_err err;
    assert_int_equal(init_with(hosts, 1, "alice", &e, &err), -HC_EINVAL);
    assert_false(is_there("s"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_begin, folder_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_made_at_once),
        TEST(test_run_again_it_changes_nothing),
        TEST(test_a_key_without_its_certificate_gets_one),
        TEST(test_a_ca_certificate_made_anew_from_its_key_stays_the_issuer),
        TEST(test_a_clients_key_may_have_gone_to_the_client),
        TEST(test_a_server_certificate_without_its_key_is_an_error),
        TEST(test_a_ca_key_kept_elsewhere_is_missed_only_where_it_is_needed),
        TEST(test_a_certificate_of_another_key_is_an_error_and_stays),
        TEST(test_a_file_that_is_no_certificate_is_an_error_and_stays),
        TEST(test_a_new_host_is_told_and_the_certificate_stays),
        TEST(test_a_server_certificate_names_the_hosts_given),
        TEST(test_certificates_of_another_ca_and_expired_ones_are_told),
        TEST(test_names_are_checked_before_anything_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
