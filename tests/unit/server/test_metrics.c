/* Counters of several threads, and what is said of them. */
#include "server/metrics.h"

#include "base/err.h"

#include "../faults.h"
#include "../unit.h"

static hc_metrics_sum sum_of(const hc_metrics *at, size_t count)
{
    hc_metrics_sum sum = {.gauges = {.lanes = 1}};
    for (size_t i = 0; i < count; i++)
        hc_metrics_sum_add(&sum, &at[i]);
    return sum;
}

static void counters_of_all_threads_are_added(void **state)
{
    (void)state;
    static hc_metrics threads[2];
    hc_metrics_handshake(&threads[0], false);
    hc_metrics_handshake(&threads[1], false);
    hc_metrics_handshake(&threads[1], true);
    hc_metrics_refusal(&threads[0], HC_VERDICT_REVOKED);
    hc_metrics_refusal(&threads[1], HC_VERDICT_REVOKED);
    hc_metrics_sum sum = sum_of(threads, 2);
    assert_int_equal(sum.handshakes[0], 2);
    assert_int_equal(sum.handshakes[1], 1);
    assert_int_equal(sum.refusals[HC_VERDICT_REVOKED], 2);
    assert_int_equal(sum.refusals[HC_VERDICT_EXPIRED], 0);
}

static void a_verdict_that_does_not_exist_is_not_counted(void **state)
{
    (void)state;
    static hc_metrics m, untouched;
    hc_metrics_refusal(&m, HC_VERDICT_COUNT);
    hc_metrics_refusal(&m, (hc_verdict_code)-1);
    assert_memory_equal(&m, &untouched, sizeof(m));
}

static void a_duration_at_a_bound_belongs_below_it(void **state)
{
    (void)state;
    static hc_metrics m;
    hc_metrics_request(&m, 200, 0);
    hc_metrics_request(&m, 200, 1000);
    hc_metrics_request(&m, 200, 1001);
    hc_metrics_request(&m, 200, 10000000);
    hc_metrics_request(&m, 200, 10000001);
    hc_metrics_sum sum = sum_of(&m, 1);
    assert_int_equal(sum.durations[0], 2);
    assert_int_equal(sum.durations[1], 1);
    assert_int_equal(sum.durations[HC_METRICS_DURATIONS - 1], 1);
    assert_int_equal(sum.durations[HC_METRICS_DURATIONS], 1);
    assert_int_equal(sum.duration_us, 20002002);
}

static void a_status_outside_http_counts_as_none(void **state)
{
    (void)state;
    static hc_metrics m;
    const int statuses[] = {0, 99, 600, -1, 599, 100};
    for (size_t i = 0; i < HC_COUNT(statuses); i++)
        hc_metrics_request(&m, statuses[i], 1);
    hc_metrics_sum sum = sum_of(&m, 1);
    assert_int_equal(sum.requests[0], 4);
    assert_int_equal(sum.requests[5], 1);
    assert_int_equal(sum.requests[1], 1);
}

static void health_ends_where_nobody_could_be_served(void **state)
{
    (void)state;
    const hc_gauges well = {.lanes = 1, .ends = {.server_s = 1000, .ca_s = 900, .crl_s = 1000}};
    hc_gauges g = well;
    assert_null(hc_metrics_unhealthy(&g, 999));
    assert_non_null(hc_metrics_unhealthy(&g, 1000));
    g.ends.crl_s = 500;
    assert_string_equal(hc_metrics_unhealthy(&g, 999), "a CRL is out of date");
    g.ends.crl_s = 0;
    assert_null(hc_metrics_unhealthy(&g, 999)); /* there is none; one CA of several may end */
    g.lanes = 0;
    assert_string_equal(hc_metrics_unhealthy(&g, 999), "no worker is ready");
    g.draining = true;
    assert_string_equal(hc_metrics_unhealthy(&g, 999), "the server is ending");
}

static void the_page_is_the_same_text_whatever_fails(void **state)
{
    (void)state;
    static hc_metrics m;
    hc_metrics_sum sum = sum_of(&m, 1);
    hc_buf text = hc_buf_init(65536), json = hc_buf_init(4096), small = hc_buf_init(100);
    assert_int_equal(hc_metrics_text(&sum, &text), 0);
    assert_int_equal(text.at[text.size - 1], '\n');
    assert_int_equal(hc_metrics_json(&sum, &json), 0);
    assert_int_equal(hc_metrics_text(&sum, &small), -HC_ELIMIT);
    assert_int_equal(hc_metrics_json(&sum, &small), -HC_ELIMIT);
    hc_buf_done(&text);
    hc_buf_done(&json);
    hc_buf_done(&small);
}

static void what_is_known_of_a_registry_is_told_and_nothing_without_one(void **state)
{
    (void)state;
    hc_metrics_sum sum = sum_of(NULL, 0);
    hc_buf out = hc_buf_init(65536);
    assert_int_equal(hc_metrics_text(&sum, &out), 0);
    assert_int_equal(hc_buf_add_byte(&out, 0), 0);
    assert_null(strstr((const char *)out.at, "handclasp_registry"));
    hc_buf_clear(&out);
    sum.gauges.has_registry = true;
    sum.gauges.registry = (hc_follower_facts){
        .trusted = true, .age_ms = 1250, .seq = 7, .certificates = 3, .clients = 2};
    assert_int_equal(hc_metrics_text(&sum, &out), 0);
    assert_int_equal(hc_metrics_json(&sum, &out), 0);
    assert_int_equal(hc_buf_add_byte(&out, 0), 0);
    const char *const parts[] = {"\nhandclasp_registry_trusted 1\n",
                                 "\nhandclasp_registry_age_seconds 1.250\n",
                                 "\nhandclasp_registry_certificates 3\n",
                                 "\nhandclasp_registry_clients 2\n",
                                 "\nhandclasp_registry_sequence 7\n",
                                 "{\"registry\": {\"trusted\": true, \"age_ms\": 1250,"};
    for (size_t i = 0; i < HC_COUNT(parts); i++)
        assert_non_null(strstr((const char *)out.at, parts[i]));
    hc_buf_done(&out);
}

static void a_registry_that_was_never_read_has_no_age(void **state)
{
    (void)state;
    hc_metrics_sum sum = sum_of(NULL, 0);
    hc_buf out = hc_buf_init(65536);
    sum.gauges.has_registry = true;
    sum.gauges.registry.age_ms = UINT64_MAX;
    assert_int_equal(hc_metrics_text(&sum, &out), 0);
    assert_int_equal(hc_metrics_json(&sum, &out), 0);
    assert_int_equal(hc_buf_add_byte(&out, 0), 0);
    assert_non_null(strstr((const char *)out.at, "\nhandclasp_registry_age_seconds +Inf\n"));
    assert_non_null(strstr((const char *)out.at, "\"age_ms\": null"));
    hc_buf_done(&out);
    assert_string_equal(hc_metrics_unhealthy(&sum.gauges, 0), "the registry cannot be read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_of_all_threads_are_added),
        cmocka_unit_test(a_verdict_that_does_not_exist_is_not_counted),
        cmocka_unit_test(a_duration_at_a_bound_belongs_below_it),
        cmocka_unit_test(a_status_outside_http_counts_as_none),
        cmocka_unit_test(health_ends_where_nobody_could_be_served),
        cmocka_unit_test(the_page_is_the_same_text_whatever_fails),
        cmocka_unit_test(what_is_known_of_a_registry_is_told_and_nothing_without_one),
        cmocka_unit_test(a_registry_that_was_never_read_has_no_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
