#include "tls/session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "faults.h"
#include "unit.h"

#define NOW 1700000000

/* What a store holds for its caller: counted, so that a lost or doubled reference shows. */
typedef struct counted {
    atomic_int references;
} counted;

static void *counted_ref(void *attachment)
{
    atomic_fetch_add(&((counted *)attachment)->references, 1);
    return attachment;
}

static void counted_unref(void *attachment)
{
    atomic_fetch_sub(&((counted *)attachment)->references, 1);
}

static size_t counted_bytes(const void *attachment)
{
    (void)attachment;
    return 100000;
}

static hc_session_store *store_of(size_t entries, uint64_t bytes)
{
    const hc_session_config config = {.entries = entries,
                                      .bytes = bytes,
                                      .attachment_ref = counted_ref,
                                      .attachment_unref = counted_unref};
    hc_session_store *s = NULL;
    assert_int_equal(hc_session_store_new(&config, &s, NULL), 0);
    return s;
}

typedef struct name {
    uint8_t octets[32];
} name;

static name name_of(unsigned number)
{
    name n = {0};
    /* Spread, as random names are. */
    uint64_t mixed = (number + 1) * 0x9e3779b97f4a7c15u;
    memcpy(n.octets, &mixed, sizeof(mixed));
    memcpy(n.octets + 8, &number, sizeof(number));
    return n;
}

static hc_slice slice_of(const name *n)
{
    return hc_slice_of(n->octets, sizeof(n->octets));
}

static SSL_SESSION *session_of(unsigned number, long made_s, long lives_s)
{
    static const unsigned char secret[48] = {7};
    name n = name_of(number);
    SSL_SESSION *session = SSL_SESSION_new();
    assert_non_null(session);
    assert_int_equal(SSL_SESSION_set1_id(session, n.octets, sizeof(n.octets)), 1);
    assert_int_equal(SSL_SESSION_set1_master_key(session, secret, sizeof(secret)), 1);
    assert_int_equal(SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION), 1);
    (void)SSL_SESSION_set_time(session, made_s);
    (void)SSL_SESSION_set_timeout(session, lives_s);
    return session;
}

static int put(hc_session_store *s, unsigned number, counted *attachment)
{
    SSL_SESSION *session = session_of(number, NOW, 60);
    hc_err err = {0};
    int rc = hc_session_store_put(s, session, attachment, &err);
    assert_int_equal(-rc, err.code);
    SSL_SESSION_free(session);
    return rc;
}

static bool holds(hc_session_store *s, unsigned number)
{
    name n = name_of(number);
    void *attachment = NULL;
    SSL_SESSION *session = hc_session_store_get(s, slice_of(&n), NOW, &attachment);
    bool found = session != NULL;
    if (attachment)
        counted_unref(attachment);
    SSL_SESSION_free(session);
    return found;
}

static void a_session_comes_back_as_an_object_of_its_own(void **state)
{
    (void)state;
    hc_session_store *s = store_of(10, 1u << 20);
    counted principal = {1};
    SSL_SESSION *in = session_of(1, NOW, 60);
    assert_int_equal(hc_session_store_put(s, in, &principal, NULL), 0);
    assert_int_equal(principal.references, 2);
    name n = name_of(1);
    void *attachments[2];
    SSL_SESSION *first = hc_session_store_get(s, slice_of(&n), NOW, &attachments[0]);
    SSL_SESSION *second = hc_session_store_get(s, slice_of(&n), NOW, &attachments[1]);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, in);
    assert_ptr_not_equal(second, in);
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(attachments[0], &principal);
    assert_ptr_equal(attachments[1], &principal);
    assert_int_equal(principal.references, 4);
    unsigned char secret[48];
    assert_int_equal(SSL_SESSION_get_master_key(second, secret, sizeof(secret)), 48);
    assert_int_equal(secret[0], 7);
    SSL_SESSION_free(in);
    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    hc_session_store_free(s);
    assert_int_equal(principal.references, 3); /* the test's own, and the two handed out */
}

static void an_attachment_may_be_missing(void **state)
{
    (void)state;
    hc_session_store *s = store_of(10, 1u << 20);
    assert_int_equal(put(s, 1, NULL), 0);
    name n = name_of(1);
    void *attachment = s;
    SSL_SESSION *session = hc_session_store_get(s, slice_of(&n), NOW, &attachment);
    assert_non_null(session);
    assert_null(attachment);
    SSL_SESSION_free(session);
    hc_session_store_free(s);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    hc_session_store *s = store_of(10, 1u << 20);
    assert_int_equal(put(s, 1, NULL), 0);
    name n = name_of(1);
    void *attachment = s;
    uint8_t longer[33] = {0};
    memcpy(longer, n.octets, 32);
    assert_null(hc_session_store_get(s, hc_slice_of(n.octets, 31), NOW, &attachment));
    assert_null(attachment);
    assert_null(hc_session_store_get(s, hc_slice_of(longer, 33), NOW, &attachment));
    assert_null(hc_session_store_get(s, HC_SLICE_NONE, NOW, &attachment));
    hc_session_store_remove(s, HC_SLICE_NONE);
    hc_session_store_remove(s, hc_slice_of(longer, 33));
    hc_session_store_remove(s, hc_slice_of(n.octets, 31));
    assert_false(holds(s, 2));
    assert_true(holds(s, 1));
    hc_session_store_free(s);
}

static void the_oldest_goes_first(void **state)
{
    (void)state;
    hc_session_store *s = store_of(3, 1u << 20);
    counted principals[5] = {{1}, {1}, {1}, {1}, {1}};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(put(s, i, &principals[i]), 0);
    assert_int_equal(hc_session_store_stats(s).entries, 3);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(holds(s, i), i >= 2);
        assert_int_equal(principals[i].references, i >= 2 ? 2 : 1);
    }
    hc_session_store_free(s);
}

static void a_name_that_comes_again_replaces_its_session(void **state)
{
    (void)state;
    hc_session_store *s = store_of(3, 1u << 20);
    counted first = {1}, second = {1};
    assert_int_equal(put(s, 1, &first), 0);
    assert_int_equal(put(s, 2, NULL), 0);
    uint64_t bytes = hc_session_store_stats(s).bytes;
    assert_int_equal(put(s, 1, &second), 0);
    assert_int_equal(hc_session_store_stats(s).entries, 2);
    assert_int_equal(hc_session_store_stats(s).bytes, bytes);
    assert_int_equal(first.references, 1);
    assert_int_equal(second.references, 2);
    hc_session_store_free(s);
}

static void bytes_are_bounded_attachments_included(void **state)
{
    (void)state;
    const hc_session_config config = {.entries = 1000,
                                      .bytes = 350000,
                                      .attachment_ref = counted_ref,
                                      .attachment_unref = counted_unref,
                                      .attachment_bytes = counted_bytes};
    hc_session_store *s = NULL;
    counted principal = {1};
    assert_int_equal(hc_session_store_new(&config, &s, NULL), 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(put(s, i, &principal), 0);
        assert_true(hc_session_store_stats(s).bytes <= config.bytes);
    }
    assert_int_equal(hc_session_store_stats(s).entries, 3);
    assert_true(holds(s, 19));
    assert_false(holds(s, 16));
    hc_session_store_free(s);
    assert_int_equal(principal.references, 1);
}

static void what_is_larger_than_the_store_is_not_kept_and_evicts_nothing(void **state)
{
    (void)state;
    counted principal = {1};
    hc_session_store *s = store_of(10, 1000);
    assert_int_equal(put(s, 1, &principal), -HC_ELIMIT);
    assert_int_equal(principal.references, 1);
    assert_int_equal(hc_session_store_stats(s).entries, 0);
    hc_session_store_free(s);
    s = store_of(0, 1u << 20);
    assert_int_equal(put(s, 1, &principal), -HC_ELIMIT);
    assert_false(holds(s, 1));
    hc_session_store_free(s);
}

static void a_session_ends_with_its_life(void **state)
{
    (void)state;
    hc_session_store *s = store_of(10, 1u << 20);
    counted principal = {1};
    void *attachment;
    name n = name_of(1);
    assert_int_equal(put(s, 1, &principal), 0);
    SSL_SESSION *session = hc_session_store_get(s, slice_of(&n), NOW + 59, &attachment);
    assert_non_null(session);
    counted_unref(attachment);
    SSL_SESSION_free(session);
    assert_null(hc_session_store_get(s, slice_of(&n), NOW + 60, &attachment));
    assert_null(attachment);
    assert_int_equal(principal.references, 1);
    assert_int_equal(hc_session_store_stats(s).entries, 0);
    hc_session_store_free(s);
}

static void the_dead_make_way_before_the_store_is_full(void **state)
{
    (void)state;
    hc_session_store *s = store_of(100, 1u << 20);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(put(s, i, NULL), 0);
    SSL_SESSION *late = session_of(99, NOW + 60, 60);
    assert_int_equal(hc_session_store_put(s, late, NULL, NULL), 0);
    assert_int_equal(hc_session_store_stats(s).entries, 1);
    SSL_SESSION_free(late);
    hc_session_store_free(s);
}

static void a_removed_session_is_gone_and_others_stay(void **state)
{
    (void)state;
    hc_session_store *s = store_of(100, 1u << 20);
    counted principal = {1};
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(put(s, i, &principal), 0);
    for (unsigned i = 0; i < 50; i += 2) {
        name n = name_of(i);
        hc_session_store_remove(s, slice_of(&n));
        hc_session_store_remove(s, slice_of(&n));
    }
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(holds(s, i), i % 2);
    assert_int_equal(principal.references, 26);
    hc_session_store_free(s);
}

static void nothing_from_before_a_clear_is_found(void **state)
{
    (void)state;
    hc_session_store *s = store_of(5000, 100u << 20);
    counted principal = {1};
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(put(s, i, &principal), 0);
    hc_session_store_clear(s);
    assert_int_equal(hc_session_store_stats(s).entries, 0);
    assert_int_equal(hc_session_store_stats(s).bytes, 0);
    assert_int_equal(principal.references, 1);
    for (unsigned i = 0; i < 200; i++)
        assert_false(holds(s, i));
    assert_int_equal(put(s, 1, NULL), 0);
    assert_true(holds(s, 1));
    hc_session_store_free(s);
}

static void a_large_store_keeps_its_bound_over_all_shards(void **state)
{
    (void)state;
    enum { entries = 4100 };
    hc_session_store *s = store_of(entries, 1u << 30);
    size_t found = 0;
    for (unsigned i = 0; i < 3 * entries; i++) {
        assert_int_equal(put(s, i, NULL), 0);
        assert_true(hc_session_store_stats(s).entries <= entries);
    }
    for (unsigned i = 0; i < 3 * entries; i++)
        found += holds(s, i);
    assert_int_equal(found, hc_session_store_stats(s).entries);
    assert_true(found > entries * 9 / 10); /* the shards fill about evenly */
    hc_session_store_free(s);
}

static void a_session_without_a_name_is_not_kept(void **state)
{
    (void)state;
    hc_session_store *s = store_of(10, 1u << 20);
    SSL_SESSION *session = SSL_SESSION_new();
    hc_err err = {0};
    assert_int_equal(hc_session_store_put(s, session, NULL, &err), -HC_EINVAL);
    SSL_SESSION_free(session);
    hc_session_store_free(s);
}

static void every_allocation_that_fails_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    const hc_session_config config = {.entries = 5000, .bytes = 1u << 30};
    hc_session_store *s = NULL;
    hc_err err = {0};
    int rc = -1;
    for (size_t nth = 1; rc != 0; nth++) {
        assert_true(nth < 100);
        faults_begin(nth);
        rc = hc_session_store_new(&config, &s, &err);
        if (rc != 0) {
            assert_int_equal(rc, -HC_ENOMEM);
            assert_null(s);
            assert_int_equal(faults_live, 0);
        }
    }
    faults_left = 1;
    assert_int_equal(put(s, 1, NULL), -HC_ENOMEM);
    assert_false(holds(s, 1));
    assert_int_equal(put(s, 1, NULL), 0);
    assert_true(holds(s, 1));
    hc_session_store_free(s);
    assert_int_equal(faults_live, 0);
    faults_end();
    const hc_session_config huge = {.entries = SIZE_MAX, .bytes = 1};
    assert_int_equal(hc_session_store_new(&huge, &s, &err), -HC_EINVAL);
}

enum { THREADS = 4, ROUNDS = 20000, NAMES = 600 };

typedef struct crowd {
    hc_session_store *store;
    counted *principals;
    SSL_SESSION **sessions; /* one set a thread: put only reads, but what it reads is not shared */
    unsigned seed;
    size_t entries, found, wrong;
} crowd;

static void *one_of_the_crowd(void *arg)
{
    crowd *c = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned number = (unsigned)rand_r(&c->seed) % NAMES;
        unsigned what = (unsigned)rand_r(&c->seed) % 1000;
        name n = name_of(number);
        void *attachment = NULL;
        if (what < 300) {
            c->wrong += hc_session_store_put(c->store, c->sessions[number], &c->principals[number],
                                             NULL) != 0;
        } else if (what < 950) {
            SSL_SESSION *session = hc_session_store_get(c->store, slice_of(&n), NOW, &attachment);
            c->found += session != NULL;
            c->wrong += attachment != (session ? &c->principals[number] : NULL);
            if (attachment)
                counted_unref(attachment);
            SSL_SESSION_free(session);
        } else if (what < 990) {
            hc_session_store_remove(c->store, slice_of(&n));
        } else if (what < 999) {
            c->wrong += hc_session_store_stats(c->store).entries > c->entries;
        } else {
            hc_session_store_clear(c->store);
        }
    }
    return NULL;
}

static void crowd_uses(size_t entries)
{
    counted *principals = calloc(NAMES, sizeof(*principals));
    hc_session_store *s = store_of(entries, 1u << 30);
    crowd crowds[THREADS];
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        crowds[t] =
            (crowd){.store = s, .principals = principals, .seed = t + 1, .entries = entries};
        crowds[t].sessions = calloc(NAMES, sizeof(SSL_SESSION *));
        for (unsigned i = 0; i < NAMES; i++)
            crowds[t].sessions[i] = session_of(i, NOW, 60);
    }
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, one_of_the_crowd, &crowds[t]), 0);
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(threads[t], NULL), 0);
        assert_int_equal(crowds[t].wrong, 0);
        assert_true(crowds[t].found > 100);
        for (unsigned i = 0; i < NAMES; i++)
            SSL_SESSION_free(crowds[t].sessions[i]);
        free(crowds[t].sessions);
    }
    size_t held = 0;
    for (unsigned i = 0; i < NAMES; i++)
        held += (size_t)principals[i].references;
    assert_int_equal(held, hc_session_store_stats(s).entries);
    hc_session_store_free(s);
    for (unsigned i = 0; i < NAMES; i++)
        assert_int_equal(principals[i].references, 0);
    free(principals);
}

static void many_threads_lose_no_session_and_no_reference(void **state)
{
    (void)state;
    crowd_uses(NAMES / 2); /* one shard, always evicting */
    crowd_uses(5000);      /* many shards */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_comes_back_as_an_object_of_its_own),
        cmocka_unit_test(an_attachment_may_be_missing),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(the_oldest_goes_first),
        cmocka_unit_test(a_name_that_comes_again_replaces_its_session),
        cmocka_unit_test(bytes_are_bounded_attachments_included),
        cmocka_unit_test(what_is_larger_than_the_store_is_not_kept_and_evicts_nothing),
        cmocka_unit_test(a_session_ends_with_its_life),
        cmocka_unit_test(the_dead_make_way_before_the_store_is_full),
        cmocka_unit_test(a_removed_session_is_gone_and_others_stay),
        cmocka_unit_test(nothing_from_before_a_clear_is_found),
        cmocka_unit_test(a_large_store_keeps_its_bound_over_all_shards),
        cmocka_unit_test(a_session_without_a_name_is_not_kept),
        cmocka_unit_test(every_allocation_that_fails_is_an_error_and_leaks_nothing),
        cmocka_unit_test(many_threads_lose_no_session_and_no_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
