/* The batch of certificates that were seen: each once, bounded, kept where it cannot be sent. */
#include "server/seen.h"

#include <pthread.h>

#include "../faults.h"
#include "../unit.h"

typedef struct receiver {
    hc_seen got[4096];
    size_t count, calls, refuse_after; /* calls; 0: never */
} receiver;

static bool receive(void *arg, const hc_seen *seen, size_t count)
{
    receiver *r = arg;
    if (r->refuse_after && r->calls == r->refuse_after)
        return false;
    r->calls++;
    for (size_t i = 0; i < count && r->count < HC_COUNT(r->got); i++)
        r->got[r->count++] = seen[i];
    return true;
}

static hc_seen_batch *batch(void)
{
    hc_seen_batch *b = NULL;
    assert_int_equal(hc_seen_batch_new(&b, NULL), 0);
    return b;
}

static void a_certificate_is_in_it_once_with_its_latest_time(void **state)
{
    (void)state;
    static receiver r;
    hc_seen_batch *b = batch();
    hc_seen_note(b, 7, 100);
    hc_seen_note(b, 8, 100);
    hc_seen_note(b, 7, 103);
    hc_seen_note(b, 7, 101);
    assert_int_equal(hc_seen_flush(b, 4096, receive, &r), 2);
    assert_int_equal(r.calls, 1);
    assert_int_equal(r.got[0].certificate_id, 7);
    assert_int_equal(r.got[0].at_s, 103);
    assert_int_equal(r.got[1].certificate_id, 8);
    assert_int_equal(hc_seen_flush(b, 4096, receive, &r), 0);
    assert_int_equal(r.calls, 1); /* nothing is no message */
    hc_seen_batch_free(b);
}

static void it_is_sent_in_parts_and_what_was_refused_stays(void **state)
{
    (void)state;
    static receiver r = {.refuse_after = 2}, later;
    hc_seen_batch *b = batch();
    for (int64_t id = 1; id <= 3000; id++)
        hc_seen_note(b, id, id);
    assert_int_equal(hc_seen_flush(b, 1000, receive, &r), 2000);
    hc_seen_note(b, 2500, 9999); /* of those that stayed */
    hc_seen_note(b, 1, 9999);    /* of those that went */
    assert_int_equal(hc_seen_flush(b, 4096, receive, &later), 1001);
    int64_t sum = 0;
    for (size_t i = 0; i < later.count; i++)
        sum += later.got[i].certificate_id == 2500 ? later.got[i].at_s : 0;
    assert_int_equal(sum, 9999);
    hc_seen_batch_free(b);
}

static bool count_only(void *arg, const hc_seen *seen, size_t count)
{
    (void)seen;
    *(size_t *)arg += count;
    return true;
}

static void it_is_bounded(void **state)
{
    (void)state;
    size_t sent = 0;
    hc_seen_batch *b = batch();
    for (int64_t id = 1; id <= HC_LIMIT_SEEN + 1000; id++)
        hc_seen_note(b, id, id);
    assert_int_equal(hc_seen_flush(b, 4096, count_only, &sent), HC_LIMIT_SEEN);
    hc_seen_note(b, 5, 5); /* there is room again */
    assert_int_equal(hc_seen_flush(b, 4096, count_only, &sent), 1);
    hc_seen_batch_free(b);
}

static void what_there_is_no_memory_for_is_not_noted_and_nothing_else_is_lost(void **state)
{
    (void)state;
    for (int nth = 1; nth <= 6; nth++) {
        size_t sent = 0;
        hc_seen_batch *b = NULL;
        faults_begin(nth);
        if (hc_seen_batch_new(&b, NULL) == 0) {
            for (int64_t id = 1; id <= 3000; id++)
                hc_seen_note(b, id, id);
            (void)hc_seen_flush(b, 4096, count_only, &sent);
            assert_true(sent >= 1999); /* one that failed is made up for by the next */
            hc_seen_batch_free(b);
        }
        faults_end();
    }
}

static void *note_many(void *arg)
{
    for (int64_t i = 0; i < 20000; i++)
        hc_seen_note(arg, 1 + i % 500, i);
    return NULL;
}

static void many_threads_note_while_one_sends(void **state)
{
    (void)state;
    hc_seen_batch *b = batch();
    pthread_t threads[3];
    size_t sent = 0;
    for (size_t i = 0; i < HC_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, b), 0);
    for (int i = 0; i < 100; i++)
        (void)hc_seen_flush(b, 64, count_only, &sent);
    for (size_t i = 0; i < HC_COUNT(threads); i++)
        (void)pthread_join(threads[i], NULL);
    (void)hc_seen_flush(b, 64, count_only, &sent);
    assert_true(sent >= 500);
    hc_seen_batch_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_in_it_once_with_its_latest_time),
        cmocka_unit_test(it_is_sent_in_parts_and_what_was_refused_stays),
        cmocka_unit_test(it_is_bounded),
        cmocka_unit_test(what_there_is_no_memory_for_is_not_noted_and_nothing_else_is_lost),
        cmocka_unit_test(many_threads_note_while_one_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
