/* How long a verdict is good, what is remembered of it, and what happens when no decision can be
 * made. */
#include <pthread.h>

#include "base/mem.h"
#include "faults.h"
#include "identity/cache.h"
#include "trust_case.h"

#define DAY INT64_C(86400)
/* The last second in which a certificate to 2120-01-01 is valid. */
#define END_2120 (INT64_C(4733510400) - 1)

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static hc_trust *aged_trust(int64_t max_age_s)
{
    hc_trust *t = NULL;
    vector *ca = vector_read("chains", "ca", ".pem");
    hc_trust_source source = {"ca-file", vector_slice(ca)};
    hc_trust_config config = {.cas = &source,
                              .ca_count = 1,
                              .max_age_s = max_age_s,
                              .generation = 7,
                              .now_s = VECTOR_NOW};
    assert_int_equal(hc_trust_load(&config, &t, NULL), 0);
    free(ca);
    return t;
}

static void a_verdict_is_good_until_the_first_end_in_its_chain(void **state)
{
    static const struct {
        const char *cas, *crls, *sent;
        int64_t until_s;
    } rows[] = {
        {"ca", NULL, "alice", END_2120},
        {"ca", NULL, "ends-in-2026", 1780272000 - 1},
        {"ca", "ends-in-2026", "alice", 1772323200 - 1},
        {"ca", "ends-in-2026 empty", "alice", END_2120},
        {"ca", "empty ends-in-2026", "alice", END_2120},
        {"ca", "users-only ends-in-2026", "alice", END_2120},
        {"ca", "ends-in-2026 users-only", "alice", END_2120},
        {"ca", "ends-in-2026", "ends-in-2026", 1772323200 - 1},
    };
    (void)state;
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        hc_trust *t = trust_case_trust(rows[i].cas, rows[i].crls);
        for (int round = 0; round < 2; round++) {
            hc_verdict v = trust_case_decide(t, rows[i].sent, VECTOR_NOW);
            assert_int_equal(v.code, HC_VERDICT_OK);
            assert_int_equal(v.good_until_s, rows[i].until_s);
        }
        hc_trust_unref(t);
    }
}

static void an_intermediate_that_ends_first_bounds_the_verdict(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    hc_verdict v =
        trust_case_decide(t, "via-intermediate intermediate-expired", 1735689600 - 5 * DAY);
    assert_int_equal(v.code, HC_VERDICT_OK);
    assert_int_equal(v.good_until_s, 1735689600 - 1);
    hc_trust_unref(t);
}

static void a_verdict_ages_from_the_moment_it_is_made(void **state)
{
    (void)state;
    hc_trust *t = aged_trust(3600);
    assert_int_equal(trust_case_decide(t, "alice", VECTOR_NOW).good_until_s, VECTOR_NOW + 3600);
    /* From the cache, by a handshake ten minutes later. */
    assert_int_equal(trust_case_decide(t, "alice", VECTOR_NOW + 600).good_until_s,
                     VECTOR_NOW + 4200);
    assert_int_equal(trust_case_decide(t, "ends-in-2026", 1780272000 - 10).good_until_s,
                     1780272000 - 1);
    hc_trust_unref(t);
    t = aged_trust(INT64_MAX);
    assert_int_equal(trust_case_decide(t, "alice", VECTOR_NOW).good_until_s, END_2120);
    hc_trust_unref(t);
}

static void an_expired_certificate_is_not_admitted_from_the_cache(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    assert_int_equal(trust_case_decide(t, "ends-in-2026", 1780272000 - 1).code, HC_VERDICT_OK);
    assert_int_equal(trust_case_decide(t, "ends-in-2026", 1780272000).code, HC_VERDICT_EXPIRED);
    assert_int_equal(trust_case_decide(t, "ends-in-2026", 1780272000 - 1).code, HC_VERDICT_OK);
    hc_trust_unref(t);
}

static void a_stale_list_is_not_hidden_by_the_cache(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", "ends-in-2026");
    assert_int_equal(trust_case_decide(t, "alice", 1772323200 - 1).code, HC_VERDICT_OK);
    assert_int_equal(trust_case_decide(t, "alice", 1772323200).code, HC_VERDICT_STATUS_UNKNOWN);
    hc_trust_unref(t);
}

static void a_clock_set_back_does_not_admit_from_the_cache(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    assert_int_equal(trust_case_decide(t, "future", 1798761600).code, HC_VERDICT_OK);
    assert_int_equal(trust_case_decide(t, "future", 1798761600 - 1).code, HC_VERDICT_NOT_YET_VALID);
    hc_trust_unref(t);
    t = trust_case_trust("ca", "of-june-2025");
    assert_int_equal(trust_case_decide(t, "alice", VECTOR_NOW).code, HC_VERDICT_OK);
    assert_int_equal(trust_case_decide(t, "alice", 1748736000 - 1).code, HC_VERDICT_STATUS_UNKNOWN);
    hc_trust_unref(t);
}

static void a_certificate_that_becomes_valid_is_admitted_at_once(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    hc_verdict v = trust_case_decide(t, "future", 1798761600 - 10);
    assert_int_equal(v.code, HC_VERDICT_NOT_YET_VALID);
    assert_int_equal(v.good_until_s, 1798761600 - 1);
    assert_int_equal(trust_case_decide(t, "future", 1798761600).code, HC_VERDICT_OK);
    hc_trust_unref(t);
}

static void a_refusal_is_made_anew_after_a_while(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    hc_verdict v = trust_case_decide(t, "of-other-ca", VECTOR_NOW);
    assert_true(v.good_until_s >= VECTOR_NOW && v.good_until_s <= VECTOR_NOW + 60);
    v = trust_case_decide(t, "future", VECTOR_NOW);
    assert_true(v.good_until_s >= VECTOR_NOW && v.good_until_s <= VECTOR_NOW + 60);
    hc_trust_unref(t);
}

static void the_chain_may_be_missing(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    X509 *x = vector_chain_certificate("alice");
    hc_verdict v;
    assert_int_equal(hc_trust_decide(t, x, NULL, VECTOR_NOW, &v, NULL), 0);
    assert_int_equal(v.code, HC_VERDICT_OK);
    X509_free(x);
    hc_trust_unref(t);
}

static void companions_do_not_change_the_cached_answer_for_a_leaf(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    assert_int_equal(trust_case_decide(t, "via-intermediate intermediate", VECTOR_NOW).code,
                     HC_VERDICT_OK);
    assert_int_equal(trust_case_decide(t, "via-intermediate", VECTOR_NOW).code,
                     HC_VERDICT_UNTRUSTED_ISSUER);
    assert_int_equal(trust_case_decide(t, "alice bob", VECTOR_NOW).code, HC_VERDICT_OK);
    assert_int_equal(trust_case_decide(t, "alice bob", VECTOR_NOW).code, HC_VERDICT_OK);
    hc_trust_unref(t);
}

/* What comes from the cache needs no memory. */
static bool remembered(hc_trust *t, const char *sent)
{
    hc_verdict v;
    STACK_OF(X509) *chain = trust_case_chain(sent);
    X509 *leaf = sk_X509_value(chain, 0);
    assert_int_equal(hc_trust_decide(t, leaf, chain, VECTOR_NOW, &v, NULL), 0);
    faults_begin(0);
    assert_int_equal(hc_trust_decide(t, leaf, chain, VECTOR_NOW, &v, NULL), 0);
    faults_end();
    sk_X509_pop_free(chain, X509_free);
    return faults_calls == 0;
}

static void only_admitted_chains_without_strangers_are_remembered(void **state)
{
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    assert_true(remembered(t, "alice"));
    assert_true(remembered(t, "alice ca"));
    assert_true(remembered(t, "via-intermediate intermediate"));
    assert_false(remembered(t, "alice bob"));
    assert_false(remembered(t, "alice alice alice"));
    assert_false(remembered(t, "alice other-ca"));
    assert_false(remembered(t, "expired"));
    assert_false(remembered(t, "of-other-ca"));
    hc_trust_unref(t);
}

static void decisions_survive_every_failing_allocation(void **state)
{
    (void)state;
    STACK_OF(X509) *chain = trust_case_chain("via-intermediate intermediate");
    int rc = -1;
    for (size_t n = 1; rc != 0; n++) {
        hc_trust *t = trust_case_trust("ca intermediate", "empty of-intermediate");
        hc_verdict v;
        memset(&v, 0xFF, sizeof(v));
        faults_begin(n);
        rc = hc_trust_decide(t, sk_X509_value(chain, 0), chain, VECTOR_NOW, &v, NULL);
        faults_end();
        assert_int_equal(faults_live, 0);
        assert_int_equal(v.code, rc == 0 ? HC_VERDICT_OK : HC_VERDICT_STATUS_UNKNOWN);
        if (rc < 0) {
            assert_int_equal(rc, -HC_ENOMEM);
            assert_true(v.good_until_s < VECTOR_NOW);
            assert_int_equal(v.chain_generation, 7);
        }
        hc_trust_unref(t);
        assert_true(n < 1000);
    }
    sk_X509_pop_free(chain, X509_free);
}

static void loading_survives_every_failing_allocation(void **state)
{
    (void)state;
    int rc = -1;
    for (size_t n = 1; rc != 0; n++) {
        hc_trust *t = NULL;
        faults_begin(n);
        rc = trust_case_load("ca intermediate other-ca", "many-revoked of-intermediate", VECTOR_NOW,
                             &t, NULL);
        assert_true(rc == 0 || (rc == -HC_ENOMEM && !t));
        hc_trust_unref(t);
        faults_end();
        assert_int_equal(faults_live, 0);
        assert_true(n < 1000);
    }
}

static void a_full_cache_forgets_the_oldest_and_answers_rightly(void **state)
{
    enum { KEYS = 3 * 4096 };
    (void)state;
    hc_cache *c = hc_cache_new();
    assert_non_null(c);
    size_t kept = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t key[HC_CACHE_KEY_BYTES] = {0};
        memcpy(key, &i, sizeof(i));
        hc_cache_put(c, key, (hc_validity){i, i + 1});
        hc_cache_put(c, key, (hc_validity){i, i + 2}); /* the later one counts */
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t key[HC_CACHE_KEY_BYTES] = {0};
        hc_validity v;
        memcpy(key, &i, sizeof(i));
        if (!hc_cache_find(c, key, &v))
            continue;
        kept++;
        assert_true(i >= KEYS - 4096);
        assert_int_equal(v.from_s, i);
        assert_int_equal(v.until_s, i + 2);
    }
    assert_int_equal(kept, 4096);
    hc_cache_free(c);
    hc_cache_free(NULL);
}

static void *decide_often(void *arg)
{
    hc_trust *t = hc_trust_ref(arg);
    static const char *const sent[] = {"alice", "bob", "expired", "via-intermediate intermediate"};
    for (int i = 0; i < 40; i++) {
        STACK_OF(X509) *chain = trust_case_chain(sent[i % 4]);
        hc_verdict v;
        int rc = hc_trust_decide(t, sk_X509_value(chain, 0), chain, VECTOR_NOW, &v, NULL);
        sk_X509_pop_free(chain, X509_free);
        hc_verdict_code wanted = i % 4 == 2 ? HC_VERDICT_EXPIRED : HC_VERDICT_OK;
        if (rc != 0 || v.code != wanted) {
            hc_trust_unref(t);
            return t;
        }
    }
    hc_trust_unref(t);
    return NULL;
}

static void many_threads_may_decide_with_one_trust(void **state)
{
    pthread_t threads[4];
    (void)state;
    hc_trust *t = trust_case_trust("ca", NULL);
    for (size_t i = 0; i < HC_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decide_often, t), 0);
    for (size_t i = 0; i < HC_COUNT(threads); i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    hc_trust_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verdict_is_good_until_the_first_end_in_its_chain),
        cmocka_unit_test(an_intermediate_that_ends_first_bounds_the_verdict),
        cmocka_unit_test(a_verdict_ages_from_the_moment_it_is_made),
        cmocka_unit_test(an_expired_certificate_is_not_admitted_from_the_cache),
        cmocka_unit_test(a_stale_list_is_not_hidden_by_the_cache),
        cmocka_unit_test(a_clock_set_back_does_not_admit_from_the_cache),
        cmocka_unit_test(a_certificate_that_becomes_valid_is_admitted_at_once),
        cmocka_unit_test(a_refusal_is_made_anew_after_a_while),
        cmocka_unit_test(the_chain_may_be_missing),
        cmocka_unit_test(companions_do_not_change_the_cached_answer_for_a_leaf),
        cmocka_unit_test_teardown(only_admitted_chains_without_strangers_are_remembered, restore),
        cmocka_unit_test_teardown(decisions_survive_every_failing_allocation, restore),
        cmocka_unit_test_teardown(loading_survives_every_failing_allocation, restore),
        cmocka_unit_test(a_full_cache_forgets_the_oldest_and_answers_rightly),
        cmocka_unit_test(many_threads_may_decide_with_one_trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
