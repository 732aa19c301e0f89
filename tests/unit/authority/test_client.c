/* Certificates with their rows, where memory is short: whichever allocation fails, the next call
 * ends with one certificate on record; and the list of a registry, likewise. */
#include "authority/client.h"

#include <stdio.h>
#include <string.h>

#include "authority/ca.h"
#include "authority/crl_make.h"
#include "folder.h"
#include "registry/change.h"
#include "x509/reason.h"
/* after folder.h, which has cmocka */
#include "../faults.h"

#define NOW_S 1800000000

static hc_registry *r;
static hc_keystore store;
static hc_ca ca;

static void require(int rc, const hc_err *err)
{
    if (rc != 0)
        fail_msg("%s", err->text);
}

static int begin(void **state)
{
    hc_err err = {0};
    if (folder_begin(state) != 0)
        return -1;
    hc_registry_options o = {"sqlite:registry.db", folder, HC_REGISTRY_CREATE, 1000};
    require(hc_registry_open(&o, &r, &err), &err);
    require(hc_keystore_open(folder, &store, &err), &err);
    require(
        hc_ca_rotate(&store, hc_profile_builtin(S("ca")), "Test CA", HC_SLICE_NONE, NOW_S, &err),
        &err);
    require(hc_ca_load(&store, HC_SLICE_NONE, &ca, &err), &err);
    hc_keystore_close(&store); /* the lock: each call below takes it */
    return 0;
}

static int end(void **state)
{
    faults_end();
    hc_ca_done(&ca);
    hc_registry_close(r);
    return folder_end(state);
}

static const hc_actor actor = {HC_SLICE_LITERAL("test"), (int64_t)NOW_S * 1000};

static hc_client_plan plan_for(const char *name)
{
    return (hc_client_plan){
        .path = folder, .registry = r, .actor = &actor, .name = name, .now_s = NOW_S};
}

static void say_nothing(void *arg, hc_state_event event, const char *file, const char *host)
{
    (void)arg;
    (void)event;
    (void)file;
    (void)host;
}

static int count_row(void *arg, const hc_certificate_row *row)
{
    (void)row;
    (*(size_t *)arg)++;
    return 0;
}

static size_t rows(void)
{
    size_t count = 0;
    hc_certificate_filter f = {.id = 0};
    hc_err err = {0};
    require(r->engine->certificates(r, &f, count_row, &count, &err), &err);
    return count;
}

static hc_csr *make_request(void)
{
    EVP_PKEY *key = NULL;
    X509_REQ *req = NULL;
    hc_csr *csr = NULL;
    uint8_t *der = NULL;
    hc_err err = {0};
    require(hc_key_new(HC_KEY_P256, &key, &err), &err);
    require(hc_csr_make(key, "x", &req, &err), &err);
    int size = i2d_X509_REQ(req, &der);
    require(hc_csr_parse(hc_slice_of(der, (size_t)size), &csr, &err), &err);
    OPENSSL_free(der);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return csr;
}

static void a_request_signed_without_memory_is_signed_once_in_the_end(void **state)
{
    (void)state;
    bool all = false;
    for (size_t nth = 1; !all; nth++) {
        char name[32];
        size_t before = rows();
        hc_csr *csr = make_request();
        hc_client_signed made, again;
        hc_err err = {0};
        (void)snprintf(name, sizeof name, "client-%zu", nth);
        hc_client_plan plan = plan_for(name);
        faults_begin(nth);
        int rc = hc_client_sign(&plan, csr, true, &made, &err);
        all = faults_calls < nth;
        long live = faults_live;
        faults_end();
        assert_int_equal(live, 0);
        assert_true(rc == 0 || made.cert == NULL);
        assert_int_equal(rows(), before + (rc == 0));
        require(hc_client_sign(&plan, csr, true, &again, &err), &err);
        assert_int_equal(again.again, rc == 0);
        assert_int_equal(rows(), before + 1);
        X509_free(made.cert);
        X509_free(again.cert);
        hc_csr_free(csr);
        assert_true(nth < 1000);
    }
}

static void a_renewal_without_memory_is_made_once_in_the_end(void **state)
{
    (void)state;
    bool all = false;
    for (size_t nth = 1; !all; nth++) {
        char name[32];
        hc_err err = {0};
        (void)snprintf(name, sizeof name, "client-%zu", nth);
        hc_client_plan plan = plan_for(name);
        hc_san san = {HC_SAN_EMAIL, "a@example.org"};
        plan.sans = &san;
        plan.san_count = 1;
        require(hc_client_issue(&plan, say_nothing, NULL, &err), &err);
        plan.san_count = 0;
        size_t before = rows();
        faults_begin(nth);
        int rc = hc_client_renew(&plan, 0, say_nothing, NULL, &err);
        all = faults_calls < nth;
        long live = faults_live;
        faults_end();
        assert_int_equal(live, 0);
        assert_true(rc != 0 || rows() == before + 1);
        require(hc_client_renew(&plan, 0, say_nothing, NULL, &err), &err);
        assert_int_equal(rows(), before + 1);
        assert_true(nth < 2000);
    }
}

static void a_list_made_without_memory_leaves_no_row_of_its_own(void **state)
{
    (void)state;
    hc_err err = {0};
    bool all = false;
    uint64_t last = 0;
    hc_client_plan plan = plan_for("alice");
    require(hc_client_issue(&plan, say_nothing, NULL, &err), &err);
    require(hc_registry_begin(r, true, &err), &err);
    require(hc_change_client_status(r, &actor, 1, HC_CLIENT_REVOKED, HC_SLICE_NONE, HC_REASON_NONE,
                                    &err),
            &err);
    require(hc_registry_commit(r, &err), &err);
    for (size_t nth = 1; !all; nth++) {
        hc_crl_made made = {.number = 0};
        hc_registry_head before, after;
        require(r->engine->head(r, &before, &err), &err);
        faults_begin(nth);
        int rc = hc_crl_make(r, &actor, ca.cert, ca.key, 0, &made, &err);
        all = faults_calls < nth;
        faults_end();
        require(r->engine->head(r, &after, &err), &err);
        assert_int_equal(after.seq, before.seq + (rc == 0));
        if (rc == 0) {
            assert_true(made.number > last);
            assert_int_equal(made.entries, 1);
            last = made.number;
        }
        hc_buf_done(&made.der);
        assert_true(nth < 1000);
    }
    assert_true(last > 0);
}

static void a_ca_is_named_by_its_key(void **state)
{
    (void)state;
    char name[HC_CRL_NAME_BYTES];
    hc_err err = {0};
    require(hc_crl_name(ca.cert, name, &err), &err);
    assert_int_equal(strlen(name), 40 + strlen(".crl"));
    X509 *bare = X509_new();
    assert_int_equal(hc_crl_name(bare, name, &err), -HC_EDENIED);
    X509_free(bare);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_request_signed_without_memory_is_signed_once_in_the_end),
        TEST(a_renewal_without_memory_is_made_once_in_the_end),
        TEST(a_list_made_without_memory_leaves_no_row_of_its_own),
        TEST(a_ca_is_named_by_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
