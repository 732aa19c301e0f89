/* When lists are made anew, with clocks that the test moves, a real registry and a CA of its own;
 * and what comes of it where memory is short. */
#include "server/crl_publisher.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../authority/folder.h"
#include "authority/ca.h"
#include "authority/issue.h"
#include "base/clock.h"
#include "registry/change.h"
#include "server/authority_message.h"
#include "server/ca_supply.h"
#include "server/options.h"
#include "server/packet.h"
#include "server/publish.h"
#include "x509/reason.h"
/* after folder.h, which has cmocka */
#include "faults.h"

#define DAY_S ((int64_t)24 * 3600)

static int64_t wall_s;
static uint64_t monotonic_ms;

static int64_t fake_wall_s(void)
{
    return wall_s;
}

static uint64_t fake_monotonic_ms(void)
{
    return monotonic_ms;
}

static void pass(int64_t seconds)
{
    wall_s += seconds;
    monotonic_ms += (uint64_t)seconds * 1000;
}

typedef struct world {
    hc_registry *r;
    hc_settings settings;
    hc_keystore store;
    hc_ca ca, old;
    int64_t alice;
    int link[2];
    hc_crl_publisher *publisher;
} world;

static const hc_log silent = {.fd = -1, .level = HC_LOG_ERROR, .role = "test"};

static void require(int rc, const hc_err *err)
{
    if (rc != 0)
        fail_msg("%s", err->text);
}

static void supply(world *w)
{
    hc_err err = {0};
    int fd = -1;
    require(hc_ca_supply_seal(&w->settings, &fd, &err), &err);
    hc_crl_publisher_take(w->publisher, fd);
}

static int begin(void **state)
{
    static world w;
    hc_err err = {0};
    const hc_clock clock = {fake_wall_s, fake_monotonic_ms};
    w = (world){.store = {-1, NULL}};
    wall_s = 1800000000;
    monotonic_ms = 1000;
    hc_clock_set(&clock);
    if (folder_begin(state) != 0)
        return -1;
    require(hc_settings_defaults(&w.settings, &err), &err);
    free(w.settings.state);
    w.settings.state = strdup(folder);
    hc_registry_options o = {"sqlite:registry.db", folder, HC_REGISTRY_CREATE, 1000};
    require(hc_registry_open(&o, &w.r, &err), &err);
    require(hc_keystore_open(folder, &w.store, &err), &err);
    require(
        hc_ca_rotate(&w.store, hc_profile_builtin(S("ca")), "Test CA", HC_SLICE_NONE, wall_s, &err),
        &err);
    require(hc_ca_load(&w.store, HC_SLICE_NONE, &w.ca, &err), &err);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, w.link), 0);
    require(hc_crl_publisher_new(&silent, w.link[1], &w.publisher, &err), &err);
    *state = &w;
    return 0;
}

static int end(void **state)
{
    world *w = *state;
    faults_end();
    hc_crl_publisher_free(w->publisher);
    (void)close(w->link[0]);
    (void)close(w->link[1]);
    hc_ca_done(&w->ca);
    hc_ca_done(&w->old);
    hc_keystore_close(&w->store);
    hc_registry_close(w->r);
    hc_settings_done(&w->settings);
    hc_clock_set(NULL);
    return folder_end(state);
}

/* --- what the front gets --- */

typedef struct list {
    char name[200];
    X509_CRL *crl; /* NULL: none came */
} list;

static list received(world *w)
{
    list l = {.crl = NULL};
    static uint8_t packet[HC_AUTHORITY_PACKET_MAX], der[65536];
    hc_authority_message m;
    hc_err err = {0};
    int fd = -1;
    ssize_t n = hc_packet_receive(w->link[0], packet, sizeof packet, MSG_DONTWAIT, &fd);
    if (n <= 0)
        return l;
    assert_true(fd >= 0);
    require(hc_authority_decode(hc_slice_of(packet, (size_t)n), &m, NULL, &err), &err);
    assert_int_equal(m.type, HC_AUTHORITY_CRL);
    (void)snprintf(l.name, sizeof l.name, "%.*s", HC_SLICE_ARGS(m.text));
    assert_int_equal(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);
    ssize_t size = pread(fd, der, sizeof der, 0);
    const unsigned char *at = der;
    l.crl = d2i_X509_CRL(NULL, &at, size);
    assert_non_null(l.crl);
    bool is_old = w->old.cert && X509_NAME_cmp(X509_CRL_get_issuer(l.crl),
                                               X509_get_subject_name(w->old.cert)) == 0;
    X509 *issuer = is_old ? w->old.cert : w->ca.cert;
    assert_int_equal(X509_CRL_verify(l.crl, X509_get0_pubkey(issuer)), 1);
    (void)close(fd);
    return l;
}

static void expect_list(world *w, int entries)
{
    list l = received(w);
    assert_non_null(l.crl);
    assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(l.crl)), entries ? entries : -1);
    X509_CRL_free(l.crl);
    assert_null(received(w).crl);
}

static void expect_nothing(world *w)
{
    list l = received(w);
    assert_null(l.crl);
}

static void tick(world *w)
{
    hc_crl_publisher_tick(w->publisher, w->r);
}

/* --- what the operator does --- */

static int64_t issue(world *w, const char *name)
{
    hc_err err = {0};
    hc_actor a = {S("test"), wall_s * 1000};
    hc_holder holder = {.name = name, .now_s = wall_s};
    EVP_PKEY *key = NULL;
    X509 *x = NULL;
    hc_cert *cert = NULL;
    int64_t client = 0, id = 0;
    require(hc_key_new(HC_KEY_P256, &key, &err), &err);
    require(
        hc_issue(hc_profile_builtin(S("client")), &holder, key, w->ca.cert, w->ca.key, &x, &err),
        &err);
    require(hc_cert_from_x509(x, &cert, &err), &err);
    require(hc_registry_begin(w->r, true, &err), &err);
    require(hc_change_add_client(w->r, &a, hc_slice_text(name), HC_SLICE_NONE, HC_SLICE_NONE,
                                 &client, &err),
            &err);
    hc_certificate_new new = {.client_id = client, .cert = cert, .origin = HC_ORIGIN_ISSUED};
    require(hc_change_add_certificate(w->r, &a, &new, &id, &err), &err);
    require(hc_registry_commit(w->r, &err), &err);
    hc_cert_unref(cert);
    X509_free(x);
    EVP_PKEY_free(key);
    return id;
}

static void cut_off(world *w, int64_t id)
{
    hc_err err = {0};
    hc_actor a = {S("test"), wall_s * 1000};
    require(hc_registry_begin(w->r, true, &err), &err);
    require(hc_change_revoke_certificate(w->r, &a, id, HC_REASON_NONE, &err), &err);
    require(hc_registry_commit(w->r, &err), &err);
}

/* --- */

static void a_list_is_made_at_once_and_not_again_without_a_reason(void **state)
{
    world *w = *state;
    supply(w);
    tick(w);
    expect_list(w, 0);
    for (int i = 0; i < 10; i++) {
        pass(3600);
        tick(w);
    }
    (void)issue(w, "alice");
    tick(w);
    expect_nothing(w);
}

static void a_revocation_is_on_the_next_list(void **state)
{
    world *w = *state;
    supply(w);
    tick(w);
    expect_list(w, 0);
    cut_off(w, issue(w, "alice"));
    pass(1);
    tick(w);
    expect_list(w, 1);
    cut_off(w, issue(w, "bob"));
    pass(1);
    tick(w);
    expect_list(w, 2);
    tick(w);
    expect_nothing(w);
}

static void a_list_is_made_anew_when_half_of_its_time_is_over(void **state)
{
    world *w = *state;
    supply(w);
    tick(w);
    expect_list(w, 0);
    pass(7 * DAY_S / 2 - 1);
    tick(w);
    expect_nothing(w);
    pass(1);
    tick(w);
    list l = received(w);
    assert_non_null(l.crl);
    int days = 0, seconds = 0;
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_CRL_get0_lastUpdate(l.crl),
                                    X509_CRL_get0_nextUpdate(l.crl)),
                     1);
    assert_int_equal(days, 7);
    X509_CRL_free(l.crl);
}

static void numbers_grow_where_the_clock_goes_back(void **state)
{
    world *w = *state;
    ASN1_INTEGER *last = NULL;
    supply(w);
    for (int i = 0; i < 5; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "client-%d", i);
        cut_off(w, issue(w, name));
        wall_s -= 1000;
        monotonic_ms += 1000;
        tick(w);
        list l = received(w);
        assert_non_null(l.crl);
        ASN1_INTEGER *number = X509_CRL_get_ext_d2i(l.crl, NID_crl_number, NULL, NULL);
        assert_true(!last || ASN1_INTEGER_cmp(number, last) > 0);
        ASN1_INTEGER_free(last);
        last = number;
        X509_CRL_free(l.crl);
    }
    ASN1_INTEGER_free(last);
}

static void a_list_of_the_future_is_made_anew(void **state)
{
    world *w = *state;
    supply(w);
    tick(w);
    expect_list(w, 0);
    wall_s -= 30; /* as clocks are kept */
    tick(w);
    expect_nothing(w);
    wall_s -= 400 * DAY_S;
    monotonic_ms += 1000;
    tick(w);
    list l = received(w);
    assert_non_null(l.crl);
    time_t now = (time_t)wall_s;
    assert_int_equal(X509_cmp_time(X509_CRL_get0_lastUpdate(l.crl), &now), -1);
    X509_CRL_free(l.crl);
    tick(w);
    expect_nothing(w);
}

static void without_a_registry_it_waits(void **state)
{
    world *w = *state;
    supply(w);
    hc_crl_publisher_tick(w->publisher, NULL);
    expect_nothing(w);
    tick(w);
    expect_list(w, 0);
}

static void the_same_cas_again_are_no_reason_for_a_list(void **state)
{
    world *w = *state;
    supply(w);
    tick(w);
    expect_list(w, 0);
    supply(w);
    tick(w);
    expect_nothing(w);
    w->settings.crl_days = 2;
    supply(w);
    tick(w);
    expect_list(w, 0);
    w->settings.publish_crl = HC_PUBLISH_OFF;
    supply(w);
    cut_off(w, issue(w, "alice"));
    tick(w);
    expect_nothing(w);
}

static void after_a_rotation_each_ca_has_its_list(void **state)
{
    world *w = *state;
    hc_err err = {0};
    supply(w);
    tick(w);
    expect_list(w, 0);
    require(hc_ca_rotate(&w->store, hc_profile_builtin(S("ca")), "Next CA", HC_SLICE_NONE, wall_s,
                         &err),
            &err);
    w->old = w->ca;
    require(hc_ca_load(&w->store, HC_SLICE_NONE, &w->ca, &err), &err);
    supply(w);
    tick(w);
    expect_list(w, 0); /* of the new one alone: the old one's is as it was */
    cut_off(w, issue(w, "alice"));
    tick(w);
    for (int entries = 1; entries >= 0; entries--) {
        list l = received(w); /* the active one's comes first */
        assert_non_null(l.crl);
        assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(l.crl)), entries ? 1 : -1);
        X509_CRL_free(l.crl);
    }
    expect_nothing(w);
}

static void what_is_not_sealed_is_not_published(void **state)
{
    (void)state;
    hc_err err = {0};
    hc_published *p = NULL;
    require(hc_published_new(&p, &err), &err);
    assert_int_equal(hc_published_put(p, S("a.crl"), open("/dev/null", O_RDONLY), &err),
                     -HC_EFORMAT);
    assert_true(hc_published_is_path(S(HC_PUBLISH_PATH)));
    assert_true(hc_published_is_path(S(HC_PUBLISH_PATH "/a.crl")));
    assert_false(hc_published_is_path(S(HC_PUBLISH_PATH "x")));
    assert_false(hc_published_is_path(S("/.well-known/handclasp")));
    hc_published_free(p);
}

/* Whichever allocation fails, a later turn publishes it, and nothing is lost. */
static void without_memory_a_list_comes_later(void **state)
{
    world *w = *state;
    supply(w);
    tick(w);
    expect_list(w, 0);
    int64_t id = 0;
    size_t failed = 0;
    for (size_t nth = 1; nth < 400; nth++) {
        char name[24];
        (void)snprintf(name, sizeof name, "client-%zu", nth);
        id = issue(w, name);
        cut_off(w, id);
        pass(60);
        faults_begin(nth);
        tick(w);
        bool all = faults_calls < nth;
        faults_end();
        list l = received(w);
        if (!l.crl) {
            failed++;
            pass(60);
            tick(w);
            l = received(w);
        }
        assert_non_null(l.crl);
        assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(l.crl)), nth);
        X509_CRL_free(l.crl);
        if (all)
            break;
        assert_true(nth < 399);
    }
    assert_true(failed > 3);
}

static void without_memory_the_cas_that_were_there_stay(void **state)
{
    world *w = *state;
    hc_err err = {0};
    supply(w);
    tick(w);
    expect_list(w, 0);
    for (size_t nth = 1;; nth++) {
        int fd = -1;
        require(hc_ca_supply_seal(&w->settings, &fd, &err), &err);
        faults_begin(nth);
        hc_crl_publisher_take(w->publisher, fd);
        bool all = faults_calls < nth;
        faults_end();
        if (all)
            break;
    }
    supply(w);
    cut_off(w, issue(w, "alice"));
    tick(w);
    expect_list(w, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_list_is_made_at_once_and_not_again_without_a_reason),
        TEST(a_revocation_is_on_the_next_list),
        TEST(a_list_is_made_anew_when_half_of_its_time_is_over),
        TEST(numbers_grow_where_the_clock_goes_back),
        TEST(a_list_of_the_future_is_made_anew),
        TEST(without_a_registry_it_waits),
        TEST(the_same_cas_again_are_no_reason_for_a_list),
        TEST(after_a_rotation_each_ca_has_its_list),
        TEST(what_is_not_sealed_is_not_published),
        TEST(without_memory_a_list_comes_later),
        TEST(without_memory_the_cas_that_were_there_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
