/* What a view may ask about its own client, against a real registry: every answer, every rule. */
#include "server/authority_answer.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

#include "registry/change.h"
#include "unit.h"
#include "x509/reason.h"
/* after unit.h */
#include "faults.h"

#define NOW_MS 1700000000000

typedef struct world {
    char folder[64];
    hc_registry *r;
    int64_t alice, bob;
    hc_cert *certs[2]; /* alice's, bob's */
} world;

static hc_cert *make_cert(int number)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x = X509_new();
    hc_cert *cert = NULL;
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), number), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(hc_cert_from_x509(x, &cert, NULL), 0);
    X509_free(x);
    EVP_PKEY_free(key);
    return cert;
}

static int64_t add(world *w, const char *name, const hc_cert *cert)
{
    hc_actor a = {HC_SLICE_LITERAL("test"), NOW_MS};
    int64_t id = 0, certificate = 0;
    hc_certificate_new new = {.cert = cert, .origin = HC_ORIGIN_ISSUED};
    assert_int_equal(hc_registry_begin(w->r, true, NULL), 0);
    assert_int_equal(hc_change_add_client(w->r, &a, hc_slice_text(name), HC_SLICE_NONE,
                                          HC_SLICE_NONE, &id, NULL),
                     0);
    new.client_id = id;
    assert_int_equal(hc_change_add_certificate(w->r, &a, &new, &certificate, NULL), 0);
    assert_int_equal(hc_registry_commit(w->r, NULL), 0);
    return id;
}

static int begin(void **state)
{
    static world w;
    hc_err err = {0};
    w = (world){.folder = "/tmp/handclasp-answer-XXXXXX"};
    assert_non_null(mkdtemp(w.folder));
    hc_registry_options o = {"sqlite:registry.db", w.folder, HC_REGISTRY_CREATE, 1000};
    if (hc_registry_open(&o, &w.r, &err) != 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < 2; i++)
        w.certs[i] = make_cert(i + 1);
    w.alice = add(&w, "alice", w.certs[0]);
    w.bob = add(&w, "bob", w.certs[1]);
    *state = &w;
    return 0;
}

static int end(void **state)
{
    world *w = *state;
    char path[128];
    faults_end();
    hc_registry_close(w->r);
    for (int i = 0; i < 2; i++)
        hc_cert_unref(w->certs[i]);
    (void)snprintf(path, sizeof path, "%s/registry.db", w->folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/registry.db-journal", w->folder);
    (void)unlink(path);
    (void)rmdir(w->folder);
    return 0;
}

static json_t *ask_as(hc_registry *r, int64_t client, const hc_cert *with, const char *question)
{
    hc_buf text = hc_buf_init(HC_LIMIT_ANSWER_BYTES);
    hc_authority_message m = {.type = HC_AUTHORITY_ASK,
                              .client_id = client,
                              .sha256 = hc_cert_sha256(with),
                              .text = hc_slice_text(question)};
    assert_int_equal(hc_authority_answer(r, &m, NOW_MS, &text), 0);
    json_t *answer = json_loadb((const char *)text.at, text.size, 0, NULL);
    assert_non_null(answer);
    hc_buf_done(&text);
    return answer;
}

static void expect_code(json_t *answer, const char *code)
{
    assert_true(json_is_false(json_object_get(answer, "ok")));
    assert_string_equal(json_string_value(json_object_get(answer, "code")), code);
    assert_true(json_string_length(json_object_get(answer, "error")) > 0);
    json_decref(answer);
}

static void expect_ok(json_t *answer)
{
    if (!json_is_true(json_object_get(answer, "ok")))
        fail_msg("%s", json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
}

static void a_view_sees_the_certificates_of_its_own_client_alone(void **state)
{
    world *w = *state;
    json_t *answer = ask_as(w->r, w->alice, w->certs[0], "{\"do\":\"certificates\"}");
    const json_t *list = json_object_get(answer, "certificates");
    assert_int_equal(json_array_size(list), 1);
    const json_t *one = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(one, "serial")), "1");
    assert_string_equal(json_string_value(json_object_get(one, "fingerprint_sha256")),
                        hc_cert_sha256_hex(w->certs[0]));
    assert_string_equal(json_string_value(json_object_get(one, "status")), "active");
    assert_true(json_is_true(json_object_get(one, "current")));
    assert_true(json_is_null(json_object_get(one, "revoked_at")));
    assert_true(json_is_null(json_object_get(one, "reason")));
    assert_true(json_is_null(json_object_get(one, "last_seen")));
    assert_int_equal(json_string_length(json_object_get(one, "not_after")), 20);
    assert_true(json_is_array(json_object_get(one, "sans")));
    json_decref(answer);
    answer = ask_as(w->r, w->bob, w->certs[0], "{\"do\":\"certificates\"}");
    one = json_array_get(json_object_get(answer, "certificates"), 0);
    assert_true(json_is_false(json_object_get(one, "current")));
    json_decref(answer);
}

typedef struct found_client {
    hc_client_status status;
    char reason[64];
} found_client;

static int find_client(void *arg, const hc_client_row *row)
{
    found_client *c = arg;
    c->status = row->status;
    (void)snprintf(c->reason, sizeof c->reason, "%.*s", HC_SLICE_ARGS(row->reason));
    return 0;
}

static found_client client_of(const world *w, int64_t client)
{
    found_client found = {0};
    hc_client_filter f = {.id = client};
    assert_int_equal(w->r->engine->clients(w->r, &f, find_client, &found, NULL), 0);
    return found;
}

static hc_client_status status_of(const world *w, int64_t client)
{
    return client_of(w, client).status;
}

static void a_view_suspends_its_own_client(void **state)
{
    world *w = *state;
    const char *question = "{\"do\":\"suspend\",\"reason\":\"lost\"}";
    expect_ok(ask_as(w->r, w->alice, w->certs[0], question));
    assert_int_equal(status_of(w, w->alice), HC_CLIENT_SUSPENDED);
    assert_int_equal(status_of(w, w->bob), HC_CLIENT_ACTIVE);
    expect_ok(ask_as(w->r, w->alice, w->certs[0], question)); /* again changes nothing */
}

static int64_t changes(const world *w)
{
    hc_registry_head head;
    assert_int_equal(hc_registry_begin(w->r, false, NULL), 0);
    assert_int_equal(w->r->engine->head(w->r, &head, NULL), 0);
    hc_registry_rollback(w->r);
    return head.seq;
}

static void who_is_suspended_stays_so_in_the_words_of_whoever_was_first(void **state)
{
    world *w = *state;
    hc_actor a = {HC_SLICE_LITERAL("test"), NOW_MS};
    assert_int_equal(hc_registry_begin(w->r, true, NULL), 0);
    assert_int_equal(hc_change_client_status(w->r, &a, w->alice, HC_CLIENT_SUSPENDED,
                                             HC_SLICE_LITERAL("under investigation"),
                                             HC_REASON_NONE, NULL),
                     0);
    assert_int_equal(hc_registry_commit(w->r, NULL), 0);
    int64_t before = changes(w);
    expect_ok(ask_as(w->r, w->alice, w->certs[0], "{\"do\":\"suspend\",\"reason\":\"lunch\"}"));
    assert_string_equal(client_of(w, w->alice).reason, "under investigation");
    assert_int_equal(changes(w), before); /* nor can a view fill the audit with words */
}

static int fail_with_latin_1(hc_registry *r, bool write, hc_err *err)
{
    (void)r;
    (void)write;
    return hc_err_set(err, HC_EBUSY, "/srv/caf\xe9/registry.db: locked");
}

static void an_error_that_is_not_utf_8_is_answered_all_the_same(void **state)
{
    world *w = *state;
    hc_registry_engine engine = *w->r->engine;
    hc_registry broken = {.engine = &engine};
    engine.begin = fail_with_latin_1;
    expect_code(ask_as(&broken, w->alice, w->certs[0], "{\"do\":\"suspend\"}"), "unavailable");
}

static void a_revoked_client_is_not_made_a_suspended_one(void **state)
{
    world *w = *state;
    hc_actor a = {HC_SLICE_LITERAL("test"), NOW_MS};
    assert_int_equal(hc_registry_begin(w->r, true, NULL), 0);
    assert_int_equal(
        hc_change_client_status(w->r, &a, w->alice, HC_CLIENT_REVOKED, HC_SLICE_NONE, 1, NULL), 0);
    assert_int_equal(hc_registry_commit(w->r, NULL), 0);
    expect_code(ask_as(w->r, w->alice, w->certs[0], "{\"do\":\"suspend\"}"), "refused");
    assert_int_equal(status_of(w, w->alice), HC_CLIENT_REVOKED);
}

static json_t *revoke_as_alice(const world *w, const hc_cert *which, const char *reason)
{
    char question[256];
    (void)snprintf(question, sizeof question,
                   "{\"do\":\"revoke\",\"certificate\":\"%s\",\"reason\":\"%s\"}",
                   hc_cert_sha256_hex(which), reason);
    return ask_as(w->r, w->alice, w->certs[0], question);
}

static void a_view_revokes_a_certificate_of_its_own_client_and_of_no_other(void **state)
{
    world *w = *state;
    expect_code(revoke_as_alice(w, w->certs[1], "keyCompromise"), "not-found");
    expect_code(revoke_as_alice(w, w->certs[0], "because"), "invalid");
    expect_ok(revoke_as_alice(w, w->certs[0], "keyCompromise"));
    json_t *answer = ask_as(w->r, w->alice, w->certs[0], "{\"do\":\"certificates\"}");
    const json_t *one = json_array_get(json_object_get(answer, "certificates"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "status")), "revoked");
    assert_string_equal(json_string_value(json_object_get(one, "reason")), "keyCompromise");
    assert_string_equal(json_string_value(json_object_get(one, "revoked_at")),
                        "2023-11-14T22:13:20Z");
    json_decref(answer);
    answer = ask_as(w->r, w->bob, w->certs[1], "{\"do\":\"certificates\"}");
    one = json_array_get(json_object_get(answer, "certificates"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "status")), "active");
    json_decref(answer);
}

static void what_is_no_question_is_invalid(void **state)
{
    world *w = *state;
    static const char *const questions[] = {
        "",
        "{",
        "[]",
        "3",
        "{}",
        "{\"do\":3}",
        "{\"do\":\"resume\"}",
        "{\"do\":\"suspend\",\"do\":\"suspend\"}",
        "{\"do\":\"suspend\",\"reason\":3}",
        "{\"do\":\"revoke\"}",
        "{\"do\":\"revoke\",\"certificate\":\"12\"}",
        "{\"do\":\"revoke\",\"certificate\":3}",
    };
    for (size_t i = 0; i < HC_COUNT(questions); i++)
        expect_code(ask_as(w->r, w->alice, w->certs[0], questions[i]), "invalid");
    assert_int_equal(status_of(w, w->alice), HC_CLIENT_ACTIVE);
}

static void a_client_that_is_gone_or_none_changes_nothing(void **state)
{
    world *w = *state;
    for (int64_t id = -1; id <= 0; id++)
        expect_code(ask_as(w->r, id, w->certs[0], "{\"do\":\"suspend\"}"), "not-found");
    expect_code(ask_as(w->r, 99, w->certs[0], "{\"do\":\"suspend\"}"), "not-found");
    assert_int_equal(status_of(w, w->alice), HC_CLIENT_ACTIVE);
    assert_int_equal(status_of(w, w->bob), HC_CLIENT_ACTIVE);
    expect_code(ask_as(w->r, 0, w->certs[0], "{\"do\":\"certificates\"}"), "not-found");
}

static void without_a_registry_it_is_unavailable(void **state)
{
    world *w = *state;
    expect_code(ask_as(NULL, w->alice, w->certs[0], "{\"do\":\"suspend\"}"), "unavailable");
}

static void a_reason_that_is_too_long_is_invalid(void **state)
{
    world *w = *state;
    char question[HC_LIMIT_REASON + 64];
    int n = snprintf(question, sizeof question, "{\"do\":\"suspend\",\"reason\":\"");
    memset(question + n, 'x', HC_LIMIT_REASON + 1);
    memcpy(question + n + HC_LIMIT_REASON + 1, "\"}", 3);
    expect_code(ask_as(w->r, w->alice, w->certs[0], question), "invalid");
}

static void
many_certificates_are_cut_to_what_an_answer_holds_and_the_current_one_stays(void **state)
{
    world *w = *state;
    hc_actor a = {HC_SLICE_LITERAL("test"), NOW_MS};
    assert_int_equal(hc_registry_begin(w->r, true, NULL), 0);
    for (int i = 10; i < 310; i++) {
        int64_t id;
        hc_cert *cert = make_cert(i);
        hc_certificate_new new = {.client_id = w->alice, .cert = cert, .origin = HC_ORIGIN_ISSUED};
        assert_int_equal(hc_change_add_certificate(w->r, &a, &new, &id, NULL), 0);
        hc_cert_unref(cert);
    }
    assert_int_equal(hc_registry_commit(w->r, NULL), 0);
    json_t *answer = ask_as(w->r, w->alice, w->certs[0], "{\"do\":\"certificates\"}");
    const json_t *list = json_object_get(answer, "certificates");
    assert_true(json_is_true(json_object_get(answer, "cut")));
    assert_true(json_array_size(list) > 50 && json_array_size(list) < 301);
    assert_true(json_is_true(json_object_get(json_array_get(list, 0), "current")));
    const json_t *last = json_array_get(list, json_array_size(list) - 1);
    assert_string_equal(json_string_value(json_object_get(last, "serial")), "135"); /* 309 */
    json_decref(answer);
}

static void a_memory_that_ends_leaves_an_answer_or_an_error(void **state)
{
    world *w = *state;
    for (int nth = 1; nth <= 40; nth++) {
        hc_buf text = hc_buf_init(HC_LIMIT_ANSWER_BYTES);
        hc_authority_message m = {.type = HC_AUTHORITY_ASK,
                                  .client_id = w->alice,
                                  .sha256 = hc_cert_sha256(w->certs[0]),
                                  .text = HC_SLICE_LITERAL("{\"do\":\"suspend\"}")};
        faults_begin(nth);
        int rc = hc_authority_answer(w->r, &m, NOW_MS, &text);
        faults_end();
        assert_true(rc == 0 || rc == -HC_ENOMEM);
        hc_buf_done(&text);
    }
    expect_ok(ask_as(w->r, w->alice, w->certs[0], "{\"do\":\"suspend\"}"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_view_sees_the_certificates_of_its_own_client_alone),
        CASE(a_view_suspends_its_own_client),
        CASE(who_is_suspended_stays_so_in_the_words_of_whoever_was_first),
        CASE(an_error_that_is_not_utf_8_is_answered_all_the_same),
        CASE(a_revoked_client_is_not_made_a_suspended_one),
        CASE(a_view_revokes_a_certificate_of_its_own_client_and_of_no_other),
        CASE(what_is_no_question_is_invalid),
        CASE(a_client_that_is_gone_or_none_changes_nothing),
        CASE(without_a_registry_it_is_unavailable),
        CASE(a_reason_that_is_too_long_is_invalid),
        CASE(many_certificates_are_cut_to_what_an_answer_holds_and_the_current_one_stays),
        CASE(a_memory_that_ends_leaves_an_answer_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
