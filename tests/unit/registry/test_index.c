#include "index_world.h"

#include "base/mem.h"
#include "faults.h"
#include "registry/index_impl.h"
#include "registry/siphash.h"

static int restore(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

static void update(hc_index *x, world *w, int64_t client)
{
    hc_err err = {0};
    if (hc_index_update(x, &w->registry, &client, 1, &err) != 0)
        fail_msg("%s", err.text);
}

/* One client, alice, with one certificate. */
typedef struct one {
    world *w;
    hc_index *x;
    hc_cert *cert;
    int64_t alice;
} one;

static one one_new(bool known)
{
    one o = {.w = world_new(), .cert = world_cert("CA", "1F", NULL, "alice")};
    o.alice = world_client_add(o.w, "alice", "admin meter");
    world_certificate(o.w, o.alice, o.cert, known);
    o.x = world_index(o.w);
    return o;
}

static void one_done(one *o)
{
    hc_index_free(o->x);
    hc_cert_unref(o->cert);
    free(o->w);
}

static void a_certificate_on_record_is_its_client(void **state)
{
    (void)state;
    one o = one_new(true);
    hc_lookup_answer a;
    bool pinned = true;
    world_client_of(o.w, o.alice)->row.attributes = S("{\"meter\":7}");
    update(o.x, o.w, o.alice);
    hc_index_find(o.x, o.cert, &a, &pinned);
    assert_int_equal(a.code, HC_VERDICT_OK);
    assert_int_equal(a.certificate_id, 1);
    assert_int_equal(hc_record_client_id(a.record), o.alice);
    assert_slice(hc_record_name(a.record), "alice");
    assert_slice(hc_record_roles(a.record), "admin meter");
    assert_slice(hc_record_attributes(a.record), "{\"meter\":7}");
    assert_false(pinned);
    hc_record_unref(a.record);
    one_done(&o);
}

static void an_empty_index_knows_nobody(void **state)
{
    (void)state;
    hc_index *x = NULL;
    hc_cert *cert = world_cert("CA", "1F", NULL, "alice");
    assert_int_equal(hc_index_new(&x, NULL), 0);
    hc_lookup_answer a;
    assert_int_equal(world_ask(x, cert, &a), HC_VERDICT_NOT_IN_REGISTRY);
    assert_null(a.record);
    assert_int_equal(a.certificate_id, 0);
    assert_true(hc_index_generation(x) != 0);
    hc_index_free(x);
    hc_index_free(NULL);
    hc_cert_unref(cert);
}

static void the_same_serial_of_another_ca_is_not_in_the_registry(void **state)
{
    (void)state;
    one o = one_new(true);
    hc_cert *other = world_cert("Other CA", "1F", NULL, "alice");
    assert_int_equal(world_ask(o.x, other, NULL), HC_VERDICT_NOT_IN_REGISTRY);
    hc_cert_unref(other);
    one_done(&o);
}

static void the_same_issuer_name_and_serial_with_another_key_is_a_mismatch(void **state)
{
    (void)state;
    one o = one_new(true);
    hc_cert *other = world_cert("CA", "1F", "another key", "alice");
    hc_lookup_answer a;
    assert_int_equal(world_ask(o.x, other, &a), HC_VERDICT_RECORD_MISMATCH);
    assert_null(a.record);
    hc_cert_unref(other);
    one_done(&o);
}

static void certificates_that_share_issuer_and_serial_are_told_apart(void **state)
{
    (void)state;
    one o = one_new(true);
    hc_cert *other = world_cert("CA", "1F", "another key", "bob");
    int64_t bob = world_client_add(o.w, "bob", "");
    world_certificate(o.w, bob, other, true)->status = HC_CERTIFICATE_REVOKED;
    update(o.x, o.w, bob);
    hc_lookup_answer a;
    assert_int_equal(world_ask(o.x, o.cert, &a), HC_VERDICT_OK);
    assert_int_equal(a.certificate_id, 1);
    assert_int_equal(world_ask(o.x, other, &a), HC_VERDICT_REVOKED);
    assert_int_equal(a.certificate_id, 2);
    hc_cert_unref(other);
    one_done(&o);
}

static void each_serial_is_one_certificate_and_no_other(void **state)
{
    (void)state;
    static const char *const serials[] = {"0",
                                          "1",
                                          "-1",
                                          "7F",
                                          "80",
                                          "-80",
                                          "FF",
                                          "-FF",
                                          "100",
                                          "0001F0",
                                          "7FFFFFFFFFFFFFFF",
                                          "8000000000000000",
                                          "FFFFFFFFFFFFFFFF",
                                          "10000000000000000",
                                          "7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
                                          "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
                                          "-FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
                                          "FF00000000000000000000000000000000000000"};
    enum { N = HC_COUNT(serials) };
    hc_cert *certs[N];
    world *w = world_new();
    for (size_t i = 0; i < N; i++) {
        certs[i] = world_cert("CA", serials[i], NULL, "x");
        (void)world_certificate(w, world_client_add(w, serials[i], ""), certs[i], i % 2);
    }
    hc_index *x = world_index(w);
    for (size_t i = 0; i < N; i++) {
        hc_lookup_answer a;
        assert_int_equal(world_ask(x, certs[i], &a), HC_VERDICT_OK);
        assert_int_equal(a.certificate_id, i + 1);
    }
    hc_cert *absent = world_cert("CA", "1F", NULL, "x");
    assert_int_equal(world_ask(x, absent, NULL), HC_VERDICT_NOT_IN_REGISTRY);
    hc_cert_unref(absent);
    for (size_t i = 0; i < N; i++)
        hc_cert_unref(certs[i]);
    hc_index_free(x);
    free(w);
}

static void a_padded_serial_in_a_file_is_the_same_row(void **state)
{
    (void)state;
    one o = one_new(true);
    static const char *const spellings[] = {"1f", "0x00001F", "00:1f", "001f"};
    for (size_t i = 0; i < HC_COUNT(spellings); i++) {
        hc_certificate_row *row = &world_client_of(o.w, o.alice)->certs[0];
        assert_int_equal(hc_serial_parse(hc_slice_text(spellings[i]), false, &row->serial, NULL),
                         0);
        update(o.x, o.w, o.alice);
        assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_OK);
    }
    one_done(&o);
}

static void a_revoked_certificate_says_since_when_and_why(void **state)
{
    (void)state;
    one o = one_new(true);
    hc_certificate_row *row = &world_client_of(o.w, o.alice)->certs[0];
    row->status = HC_CERTIFICATE_REVOKED;
    row->revoked_s = 1700000000;
    row->reason = 1;
    update(o.x, o.w, o.alice);
    hc_lookup_answer a;
    assert_int_equal(world_ask(o.x, o.cert, &a), HC_VERDICT_REVOKED);
    assert_int_equal(a.since_s, 1700000000);
    assert_int_equal(a.reason, 1);
    row->reason = 300;
    update(o.x, o.w, o.alice);
    assert_int_equal(world_ask(o.x, o.cert, &a), HC_VERDICT_REVOKED);
    assert_int_equal(a.reason, HC_REASON_NONE);
    one_done(&o);
}

static void a_client_that_is_not_active_does_not_come_in(void **state)
{
    (void)state;
    one o = one_new(true);
    static const struct {
        int status;
        hc_verdict_code code;
    } cases[] = {{HC_CLIENT_SUSPENDED, HC_VERDICT_SUSPENDED},
                 {HC_CLIENT_REVOKED, HC_VERDICT_REVOKED},
                 {0, HC_VERDICT_REVOKED},
                 {77, HC_VERDICT_REVOKED},
                 {HC_CLIENT_ACTIVE, HC_VERDICT_OK}};
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        hc_client_row *row = &world_client_of(o.w, o.alice)->row;
        row->status = (hc_client_status)cases[i].status;
        row->status_s = 1234;
        update(o.x, o.w, o.alice);
        hc_lookup_answer a;
        assert_int_equal(world_ask(o.x, o.cert, &a), cases[i].code);
        assert_int_equal(a.since_s, cases[i].code == HC_VERDICT_OK ? 0 : 1234);
        assert_int_equal(a.reason, HC_REASON_NONE);
    }
    one_done(&o);
}

static void a_refused_client_is_still_named(void **state)
{
    (void)state;
    one o = one_new(true);
    world_client_of(o.w, o.alice)->row.status = HC_CLIENT_SUSPENDED;
    update(o.x, o.w, o.alice);
    hc_lookup_answer a;
    bool pinned;
    hc_index_find(o.x, o.cert, &a, &pinned);
    assert_slice(hc_record_name(a.record), "alice");
    hc_record_unref(a.record);
    one_done(&o);
}

static void a_serial_alone_becomes_the_first_certificate_that_asks(void **state)
{
    (void)state;
    one o = one_new(false);
    hc_cert *second = world_cert("CA", "1F", NULL, "mallory");
    hc_lookup_answer a;
    bool pinned = false;
    hc_index_find(o.x, o.cert, &a, &pinned);
    hc_record_unref(a.record);
    assert_int_equal(a.code, HC_VERDICT_OK);
    assert_int_equal(a.certificate_id, 1);
    assert_true(pinned);
    hc_index_find(o.x, o.cert, &a, &pinned);
    hc_record_unref(a.record);
    assert_int_equal(a.code, HC_VERDICT_OK);
    assert_false(pinned);
    assert_int_equal(world_ask(o.x, second, NULL), HC_VERDICT_RECORD_MISMATCH);
    hc_cert_unref(second);
    one_done(&o);
}

static void a_serial_with_the_issuers_key_waits_for_that_key(void **state)
{
    (void)state;
    one o = one_new(false);
    world_client_of(o.w, o.alice)->certs[0].issuer_key_id = S("the key");
    update(o.x, o.w, o.alice);
    hc_cert *none = o.cert, *wrong = world_cert("CA", "1F", "a key", "mallory");
    hc_cert *right = world_cert("CA", "1F", "the key", "alice");
    assert_int_equal(world_ask(o.x, none, NULL), HC_VERDICT_RECORD_MISMATCH);
    assert_int_equal(world_ask(o.x, wrong, NULL), HC_VERDICT_RECORD_MISMATCH);
    assert_int_equal(world_ask(o.x, right, NULL), HC_VERDICT_OK);
    assert_int_equal(world_ask(o.x, wrong, NULL), HC_VERDICT_RECORD_MISMATCH);
    hc_cert_unref(wrong);
    hc_cert_unref(right);
    one_done(&o);
}

static void a_pin_stays_while_the_database_has_none(void **state)
{
    (void)state;
    hc_cert *second = world_cert("CA", "1F", NULL, "mallory");
    for (int whole = 0; whole < 2; whole++) {
        one o = one_new(false);
        hc_lookup_answer a;
        bool pinned;
        assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_OK);
        if (whole)
            assert_int_equal(hc_index_load(o.x, &o.w->registry, NULL), 0);
        else
            update(o.x, o.w, o.alice);
        assert_int_equal(world_ask(o.x, second, NULL), HC_VERDICT_RECORD_MISMATCH);
        /* The database, asked again, did not know: it is told again, once. */
        hc_index_find(o.x, o.cert, &a, &pinned);
        hc_record_unref(a.record);
        assert_true(pinned);
        hc_index_find(o.x, o.cert, &a, &pinned);
        hc_record_unref(a.record);
        assert_false(pinned);
        one_done(&o);
    }
    hc_cert_unref(second);
}

static void the_databases_pin_is_the_one_that_counts(void **state)
{
    (void)state;
    one o = one_new(false);
    hc_cert *second = world_cert("CA", "1F", NULL, "bob");
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_OK);
    world_client *alice = world_client_of(o.w, o.alice);
    memcpy(alice->sha256[0], hc_cert_sha256(second), 32);
    alice->certs[0].sha256 = alice->sha256[0];
    update(o.x, o.w, o.alice);
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_RECORD_MISMATCH);
    assert_int_equal(world_ask(o.x, second, NULL), HC_VERDICT_OK);
    hc_cert_unref(second);
    one_done(&o);
}

static void a_pin_does_not_pass_to_another_row(void **state)
{
    (void)state;
    one o = one_new(false);
    hc_cert *second = world_cert("CA", "20", NULL, "alice");
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_OK);
    world_client_of(o.w, o.alice)->certs[0].serial = *hc_cert_serial(second);
    assert_int_equal(hc_index_load(o.x, &o.w->registry, NULL), 0);
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_NOT_IN_REGISTRY);
    assert_int_equal(world_ask(o.x, second, NULL), HC_VERDICT_OK);
    hc_cert_unref(second);
    one_done(&o);
}

static void a_revoked_serial_refuses_whoever_has_it(void **state)
{
    (void)state;
    one o = one_new(false);
    hc_cert *second = world_cert("CA", "1F", NULL, "mallory");
    world_client_of(o.w, o.alice)->certs[0].status = HC_CERTIFICATE_REVOKED;
    update(o.x, o.w, o.alice);
    hc_lookup_answer a;
    bool pinned;
    hc_index_find(o.x, o.cert, &a, &pinned);
    hc_record_unref(a.record);
    assert_int_equal(a.code, HC_VERDICT_REVOKED);
    assert_false(pinned);
    assert_int_equal(world_ask(o.x, second, NULL), HC_VERDICT_REVOKED);
    hc_cert_unref(second);
    one_done(&o);
}

static void of_two_serials_that_fit_the_revoked_one_answers(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        world *w = world_new();
        hc_cert *cert = world_cert("CA", "1F", "the key", "alice");
        for (int i = 0; i < 2; i++) {
            hc_certificate_row *row =
                world_certificate(w, world_client_add(w, i ? "bob" : "alice", ""), cert, false);
            if (i == first)
                row->status = HC_CERTIFICATE_REVOKED;
            else
                row->issuer_key_id = S("the key");
        }
        hc_index *x = world_index(w);
        assert_int_equal(world_ask(x, cert, NULL), HC_VERDICT_REVOKED);
        hc_index_free(x);
        hc_cert_unref(cert);
        free(w);
    }
}

static void a_row_of_this_very_certificate_comes_before_a_serial(void **state)
{
    (void)state;
    one o = one_new(false);
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_OK); /* alice's serial is pinned */
    int64_t bob = world_client_add(o.w, "bob", "");
    (void)world_certificate(o.w, bob, o.cert, true);
    update(o.x, o.w, bob);
    hc_lookup_answer a;
    assert_int_equal(world_ask(o.x, o.cert, &a), HC_VERDICT_OK);
    assert_int_equal(a.certificate_id, 2);
    one_done(&o);
}

static void a_change_is_a_new_generation_and_an_old_record_lives_on(void **state)
{
    (void)state;
    one o = one_new(true);
    hc_lookup_answer before, after;
    bool pinned;
    uint64_t generation = hc_index_generation(o.x);
    hc_index_find(o.x, o.cert, &before, &pinned);
    world_client_of(o.w, o.alice)->row.roles = S("guest");
    update(o.x, o.w, o.alice);
    assert_true(hc_index_generation(o.x) > generation);
    hc_index_find(o.x, o.cert, &after, &pinned);
    assert_slice(hc_record_roles(before.record), "admin meter");
    assert_slice(hc_record_roles(after.record), "guest");
    hc_index_free(o.x);
    o.x = NULL;
    assert_slice(hc_record_roles(after.record), "guest");
    hc_record_unref(before.record);
    hc_record_unref(after.record);
    one_done(&o);
}

static void a_hundred_thousand_changes_take_no_more_memory_than_one(void **state)
{
    (void)state;
    one o = one_new(true);
    update(o.x, o.w, o.alice);
    size_t bytes = hc_index_bytes(o.x);
    for (int i = 0; i < 100000; i++) {
        world_client_of(o.w, o.alice)->row.roles = i % 2 ? S("admin meter") : S("admin staff");
        update(o.x, o.w, o.alice);
    }
    assert_int_equal(hc_index_bytes(o.x), bytes);
    assert_int_equal(hc_index_certificates(o.x), 1);
    one_done(&o);
}

static void a_client_that_is_gone_is_forgotten(void **state)
{
    (void)state;
    one o = one_new(true);
    size_t bytes = hc_index_bytes(o.x);
    world_client_of(o.w, o.alice)->gone = true;
    update(o.x, o.w, o.alice);
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_NOT_IN_REGISTRY);
    assert_int_equal(hc_index_certificates(o.x), 0);
    assert_int_equal(hc_index_clients(o.x), 0);
    assert_true(hc_index_bytes(o.x) < bytes);
    world_client_of(o.w, o.alice)->gone = false;
    update(o.x, o.w, o.alice);
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_OK);
    assert_int_equal(hc_index_bytes(o.x), bytes);
    one_done(&o);
}

static void a_client_named_twice_in_one_update_is_there_once(void **state)
{
    (void)state;
    one o = one_new(true);
    const int64_t twice[] = {o.alice, o.alice, 4711};
    assert_int_equal(hc_index_update(o.x, &o.w->registry, twice, 2, NULL), 0);
    assert_int_equal(hc_index_certificates(o.x), 1);
    assert_int_equal(hc_index_clients(o.x), 1);
    assert_int_equal(hc_index_update(o.x, &o.w->registry, twice + 1, 2, NULL), 0);
    assert_int_equal(hc_index_clients(o.x), 1);
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_OK);
    one_done(&o);
}

/* Clients 1 to 3 with two certificates each, all from the start. */
static world *some(hc_cert *certs[6])
{
    world *w = world_new();
    for (size_t i = 0; i < 6; i++) {
        static const char *const serials[] = {"A1", "A2", "A3", "A4", "A5", "A6"};
        static const char *const names[] = {"alice", "bob", "carol"};
        certs[i] = world_cert(i % 2 ? "CA" : "Other CA", serials[i], NULL, "x");
        if (i % 2 == 0)
            (void)world_client_add(w, names[i / 2], "meter");
        (void)world_certificate(w, (int64_t)w->count, certs[i], true);
    }
    return w;
}

static void all_are(hc_index *x, hc_cert *certs[6], hc_verdict_code code)
{
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(world_ask(x, certs[i], NULL), code);
}

static void an_error_in_the_middle_of_rows_changes_nothing(void **state)
{
    (void)state;
    hc_cert *certs[6];
    world *w = some(certs);
    hc_index *x = world_index(w);
    const int64_t clients[] = {1, 2, 3};
    uint64_t generation = hc_index_generation(x);
    for (size_t i = 0; i < 3; i++)
        w->clients[i].row.status = HC_CLIENT_SUSPENDED;
    for (size_t nth = 1; nth <= 6; nth++) {
        w->fails_after = nth;
        assert_int_equal(hc_index_load(x, &w->registry, NULL), -HC_EIO);
        if (nth <= 2)
            assert_int_equal(hc_index_update(x, &w->registry, clients, 3, NULL), -HC_EIO);
        all_are(x, certs, HC_VERDICT_OK);
        assert_int_equal(hc_index_generation(x), generation);
    }
    w->fails_after = 0;
    assert_int_equal(hc_index_update(x, &w->registry, clients, 3, NULL), 0);
    all_are(x, certs, HC_VERDICT_SUSPENDED);
    for (size_t i = 0; i < 6; i++)
        hc_cert_unref(certs[i]);
    hc_index_free(x);
    free(w);
}

/* Loads or updates with the n-th allocation failing, for every n, until one goes through. */
static void fail_each_allocation(bool whole)
{
    hc_cert *certs[6];
    world *w = some(certs);
    const int64_t clients[] = {1, 2, 3};
    for (size_t i = 0; i < 3; i++)
        w->clients[i].gone = true;
    hc_index *x = world_index(w);
    uint64_t generation = hc_index_generation(x);
    for (size_t i = 0; i < 3; i++)
        w->clients[i].gone = false;
    int rc = -HC_ENOMEM;
    size_t nth = 0;
    while (rc != 0) {
        faults_begin(++nth);
        rc = whole ? hc_index_load(x, &w->registry, NULL)
                   : hc_index_update(x, &w->registry, clients, 3, NULL);
        faults_end();
        assert_true(rc == 0 || rc == -HC_ENOMEM);
        all_are(x, certs, rc == 0 ? HC_VERDICT_OK : HC_VERDICT_NOT_IN_REGISTRY);
        assert_int_equal(hc_index_generation(x), rc == 0 ? generation + 1 : generation);
    }
    assert_true(nth > 10);
    assert_int_equal(hc_index_certificates(x), 6);
    for (size_t i = 0; i < 6; i++)
        hc_cert_unref(certs[i]);
    hc_index_free(x);
    free(w);
}

static void no_memory_for_an_update_changes_nothing(void **state)
{
    (void)state;
    fail_each_allocation(false);
}

static void no_memory_for_a_load_changes_nothing(void **state)
{
    (void)state;
    fail_each_allocation(true);
}

static void no_memory_for_a_new_index_is_an_error(void **state)
{
    (void)state;
    for (size_t nth = 1; nth <= 2; nth++) {
        hc_index *x = NULL;
        faults_begin(nth);
        assert_int_equal(hc_index_new(&x, NULL), -HC_ENOMEM);
        assert_int_equal(faults_live, 0);
        faults_end();
        assert_null(x);
    }
}

static void more_certificates_than_the_limit_are_an_error(void **state)
{
    (void)state;
    hc_cert *certs[6];
    world *w = some(certs);
    hc_index *x = world_index(w);
    const int64_t clients[] = {1, 2, 3};
    hc_err err = {0};
    x->limit = x->now->limit = 5;
    assert_int_equal(hc_index_load(x, &w->registry, &err), -HC_ELIMIT);
    assert_string_equal(err.text, "the registry has more than 5 certificates");
    assert_int_equal(hc_index_update(x, &w->registry, clients, 3, NULL), -HC_ELIMIT);
    assert_int_equal(hc_index_update(x, &w->registry, clients, 1, NULL), -HC_ELIMIT);
    all_are(x, certs, HC_VERDICT_OK);
    for (size_t i = 0; i < 6; i++)
        hc_cert_unref(certs[i]);
    hc_index_free(x);
    free(w);
}

static void rows_that_make_no_sense_are_an_error(void **state)
{
    (void)state;
    one o = one_new(true);
    world_client *alice = world_client_of(o.w, o.alice);
    static uint8_t long_name[HC_LIMIT_CLIENT_NAME + 1];
    alice->certs[0].client_id = 99;
    assert_int_equal(hc_index_load(o.x, &o.w->registry, NULL), -HC_EFORMAT);
    alice->certs[0].client_id = o.alice;
    alice->certs[0].serial.size = HC_LIMIT_SERIAL_OCTETS + 1;
    assert_int_equal(hc_index_load(o.x, &o.w->registry, NULL), -HC_EFORMAT);
    alice->certs[0].serial.size = 1;
    alice->row.name = hc_slice_of(long_name, sizeof long_name);
    assert_int_equal(hc_index_load(o.x, &o.w->registry, NULL), -HC_EFORMAT);
    assert_int_equal(world_ask(o.x, o.cert, NULL), HC_VERDICT_OK);
    one_done(&o);
}

static void siphash_is_that_of_its_authors(void **state)
{
    (void)state;
    uint8_t in[64];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    assert_int_equal(hc_siphash(key, hc_slice_of(in, 0)), 0x726fdb47dd0e0e31);
    assert_int_equal(hc_siphash(key, hc_slice_of(in, 8)), 0x93f5f5799a932462);
    assert_int_equal(hc_siphash(key, hc_slice_of(in, 15)), 0xa129ca6149be45e5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_on_record_is_its_client),
        cmocka_unit_test(an_empty_index_knows_nobody),
        cmocka_unit_test(the_same_serial_of_another_ca_is_not_in_the_registry),
        cmocka_unit_test(the_same_issuer_name_and_serial_with_another_key_is_a_mismatch),
        cmocka_unit_test(certificates_that_share_issuer_and_serial_are_told_apart),
        cmocka_unit_test(each_serial_is_one_certificate_and_no_other),
        cmocka_unit_test(a_padded_serial_in_a_file_is_the_same_row),
        cmocka_unit_test(a_revoked_certificate_says_since_when_and_why),
        cmocka_unit_test(a_client_that_is_not_active_does_not_come_in),
        cmocka_unit_test(a_refused_client_is_still_named),
        cmocka_unit_test(a_serial_alone_becomes_the_first_certificate_that_asks),
        cmocka_unit_test(a_serial_with_the_issuers_key_waits_for_that_key),
        cmocka_unit_test(a_pin_stays_while_the_database_has_none),
        cmocka_unit_test(the_databases_pin_is_the_one_that_counts),
        cmocka_unit_test(a_pin_does_not_pass_to_another_row),
        cmocka_unit_test(a_revoked_serial_refuses_whoever_has_it),
        cmocka_unit_test(of_two_serials_that_fit_the_revoked_one_answers),
        cmocka_unit_test(a_row_of_this_very_certificate_comes_before_a_serial),
        cmocka_unit_test(a_change_is_a_new_generation_and_an_old_record_lives_on),
        cmocka_unit_test(a_hundred_thousand_changes_take_no_more_memory_than_one),
        cmocka_unit_test(a_client_that_is_gone_is_forgotten),
        cmocka_unit_test(a_client_named_twice_in_one_update_is_there_once),
        cmocka_unit_test(an_error_in_the_middle_of_rows_changes_nothing),
        cmocka_unit_test_teardown(no_memory_for_an_update_changes_nothing, restore),
        cmocka_unit_test_teardown(no_memory_for_a_load_changes_nothing, restore),
        cmocka_unit_test_teardown(no_memory_for_a_new_index_is_an_error, restore),
        cmocka_unit_test(more_certificates_than_the_limit_are_an_error),
        cmocka_unit_test(rows_that_make_no_sense_are_an_error),
        cmocka_unit_test(siphash_is_that_of_its_authors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
