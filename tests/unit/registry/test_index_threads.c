/* The index while others look things up, and at a size: to be run under ThreadSanitizer too. */
#include "index_world.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"

enum { READERS = 4, CHANGES = 200, CERTS = 6 };

typedef struct stage {
    world *w;
    hc_index *x;
    hc_cert *certs[CERTS];
    atomic_uint begun, done; /* changes */
    atomic_bool over;
} stage;

static stage *stage_new(void)
{
    static const char *const serials[CERTS] = {"A1", "A2", "A3", "A4", "A5", "A6"};
    stage *s = calloc(1, sizeof *s);
    s->w = world_new();
    for (size_t i = 0; i < CERTS; i++) {
        s->certs[i] = world_cert("CA", serials[i], NULL, "x");
        (void)world_certificate(s->w, world_client_add(s->w, serials[i], "meter"), s->certs[i],
                                true);
    }
    s->x = world_index(s->w);
    return s;
}

static void stage_done(stage *s)
{
    hc_index_free(s->x);
    for (size_t i = 0; i < CERTS; i++)
        hc_cert_unref(s->certs[i]);
    free(s->w);
    free(s);
}

static hc_verdict_code verdict_after(unsigned changes)
{
    return changes % 2 ? HC_VERDICT_SUSPENDED : HC_VERDICT_OK;
}

/* Counts answers that were not those of any moment between question and answer. */
static void *read_on(void *arg)
{
    stage *s = arg;
    size_t wrong = 0;
    uint64_t last = 0;
    for (size_t i = 0; !atomic_load(&s->over); i++) {
        hc_lookup_answer a;
        bool pinned;
        unsigned done = atomic_load(&s->done);
        uint64_t generation = hc_index_generation(s->x);
        hc_index_find(s->x, s->certs[i % CERTS], &a, &pinned);
        unsigned begun = atomic_load(&s->begun);
        wrong += generation < last || generation < done + 2;
        wrong += begun == done && a.code != verdict_after(done);
        wrong += !a.record || hc_record_name(a.record).size != 2;
        hc_record_unref(a.record);
        last = generation;
    }
    return (void *)wrong;
}

static void readers_see_each_change_and_nothing_else(void **state)
{
    (void)state;
    stage *s = stage_new();
    pthread_t readers[READERS];
    int64_t clients[CERTS];
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, s), 0);
    for (unsigned n = 1; n <= CHANGES; n++) {
        for (size_t i = 0; i < CERTS; i++) {
            s->w->clients[i].row.status = n % 2 ? HC_CLIENT_SUSPENDED : HC_CLIENT_ACTIVE;
            clients[i] = (int64_t)i + 1;
        }
        atomic_store(&s->begun, n);
        int rc = n % 10 ? hc_index_update(s->x, &s->w->registry, clients, CERTS, NULL)
                        : hc_index_load(s->x, &s->w->registry, NULL);
        assert_int_equal(rc, 0);
        atomic_store(&s->done, n);
    }
    atomic_store(&s->over, true);
    for (size_t i = 0; i < READERS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(readers[i], &wrong), 0);
        assert_null(wrong);
    }
    stage_done(s);
}

typedef struct rival {
    hc_index *x;
    hc_cert *cert;
    pthread_barrier_t *start;
    hc_verdict_code code;
    bool pinned;
} rival;

static void *ask_once(void *arg)
{
    rival *r = arg;
    hc_lookup_answer a;
    (void)pthread_barrier_wait(r->start);
    hc_index_find(r->x, r->cert, &a, &r->pinned);
    r->code = a.code;
    hc_record_unref(a.record);
    return NULL;
}

static void of_rivals_for_one_serial_exactly_one_wins(void **state)
{
    (void)state;
    hc_cert *certs[READERS];
    for (size_t i = 0; i < READERS; i++) {
        char salt[] = {(char)('a' + i), 0};
        certs[i] = world_cert("CA", "1F", NULL, salt);
    }
    for (size_t round = 0; round < 50; round++) {
        world *w = world_new();
        (void)world_certificate(w, world_client_add(w, "alice", ""), certs[0], false);
        hc_index *x = world_index(w);
        rival rivals[READERS];
        pthread_t threads[READERS];
        pthread_barrier_t start;
        assert_int_equal(pthread_barrier_init(&start, NULL, READERS + 1), 0);
        for (size_t i = 0; i < READERS; i++) {
            rivals[i] = (rival){x, certs[i], &start, 0, false};
            assert_int_equal(pthread_create(&threads[i], NULL, ask_once, &rivals[i]), 0);
        }
        (void)pthread_barrier_wait(&start);
        assert_int_equal(hc_index_load(x, &w->registry, NULL), 0); /* in the midst of it */
        size_t winners = 0;
        for (size_t i = 0; i < READERS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_int_equal(rivals[i].code,
                             rivals[i].pinned ? HC_VERDICT_OK : HC_VERDICT_RECORD_MISMATCH);
            winners += rivals[i].pinned;
        }
        assert_int_equal(winners, 1);
        pthread_barrier_destroy(&start);
        hc_index_free(x);
        free(w);
    }
    for (size_t i = 0; i < READERS; i++)
        hc_cert_unref(certs[i]);
}

enum { MANY = 50000 };

/* Client n has certificate n, and a name as long as those of a million. */
static int scan_many(hc_registry *r, int64_t client_id, hc_client_each client,
                     hc_certificate_each certificate, void *arg, hc_err *err)
{
    (void)r;
    (void)err;
    static const uint8_t issuer[32] = {1};
    int rc = 0;
    for (int64_t id = client_id ? client_id : 1; rc == 0 && id <= (client_id ? client_id : MANY);
         id++) {
        char name[32];
        uint8_t sha256[32] = {0};
        int size = snprintf(name, sizeof name, "client-%07lld", (long long)id);
        hc_client_row c = {.id = id,
                           .name = hc_slice_of(name, (size_t)size),
                           .status = HC_CLIENT_ACTIVE,
                           .roles = S("meter")};
        hc_certificate_row row = {.id = id,
                                  .client_id = id,
                                  .issuer_sha256 = issuer,
                                  .serial = {false, 20, {1}},
                                  .sha256 = sha256,
                                  .status = HC_CERTIFICATE_ACTIVE,
                                  .reason = HC_REASON_NONE};
        memcpy(sha256, &id, sizeof id);
        memcpy(row.serial.octets + 8, &id, sizeof id);
        rc = client(arg, &c);
        if (rc == 0)
            rc = certificate(arg, &row);
    }
    return rc;
}

static size_t held; /* bytes, as malloc counts them */

static void *counting_realloc(void *old, size_t size_bytes)
{
    size_t was = old ? malloc_usable_size(old) + 8 : 0;
    void *at = realloc(old, size_bytes);
    if (at)
        held += malloc_usable_size(at) + 8 - was;
    return at;
}

static void counting_free(void *at)
{
    held -= malloc_usable_size(at) + 8;
    free(at);
}

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static void a_certificate_with_its_client_takes_at_most_200_octets(void **state)
{
    (void)state;
    static const hc_mem counting = {counting_realloc, counting_free};
    static const hc_registry_engine engine = {.scheme = "many", .scan = scan_many};
    hc_registry r = {&engine};
    hc_index *x = NULL;
    hc_mem_set(&counting);
    held = 0;
    assert_int_equal(hc_index_new(&x, NULL), 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(hc_index_load(x, &r, NULL), 0);
        assert_int_equal(hc_index_certificates(x), MANY);
        assert_int_equal(hc_index_clients(x), MANY);
        assert_true(held / MANY <= 200);
        assert_true(hc_index_bytes(x) / MANY <= 200);
        /* What it says of itself is what it takes: under a sanitizer usable sizes are smaller. */
        assert_true(hc_index_bytes(x) + hc_index_bytes(x) / 100 >= held);
        assert_true(hc_index_bytes(x) <= held + held / 5);
    }
    size_t before = held;
    for (int64_t id = 1; id <= 1000; id++)
        assert_int_equal(hc_index_update(x, &r, &id, 1, NULL), 0);
    assert_true(held < before + before / 50); /* what changes uses the same room again */
    hc_index_free(x);
    assert_int_equal(held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_each_change_and_nothing_else),
        cmocka_unit_test(of_rivals_for_one_serial_exactly_one_wins),
        cmocka_unit_test_teardown(a_certificate_with_its_client_takes_at_most_200_octets, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
