#include "registry_case.h"

#include "../x509/vectors.h"
#include "index_world.h"
#include <jansson.h>

#define NOW_S 1800000000

static const hc_actor root = {.who = HC_SLICE_LITERAL("uid 0 (root)"), .now_ms = NOW_S * 1000LL};

#define REGISTRY(state)                                                                            \
    registry_case *c = *(state);                                                                   \
    hc_registry *r = c->r

/* Each in a transaction of its own. */
#define change(r, call)                                                                            \
    do {                                                                                           \
        registry_begin(r);                                                                         \
        assert_done(call);                                                                         \
        registry_commit(r);                                                                        \
    } while (0)
#define change_fails(r, call, code)                                                                \
    do {                                                                                           \
        registry_begin(r);                                                                         \
        assert_fails(call, code);                                                                  \
        hc_registry_rollback(r);                                                                   \
    } while (0)

static int64_t add_client(hc_registry *r, const char *name, const char *roles)
{
    int64_t id = 0;
    change(r, hc_change_add_client(r, &root, hc_slice_text(name), hc_slice_text(roles),
                                   HC_SLICE_NONE, &id, &why));
    return id;
}

static int64_t add_certificate(hc_registry *r, int64_t client, const hc_cert *cert)
{
    int64_t id = 0;
    const hc_certificate_new new = {
        .client_id = client, .cert = cert, .origin = HC_ORIGIN_IMPORTED};
    change(r, hc_change_add_certificate(r, &root, &new, &id, &why));
    return id;
}

static int on_newest(void *arg, const hc_audit_row *row)
{
    snprintf(arg, 4096, "%.*s|%.*s|%.*s|%lld|%.*s|%.*s|%.*s", (int)row->who.size,
             row->who.size ? (const char *)row->who.at : "", HC_SLICE_ARGS(row->action),
             HC_SLICE_ARGS(row->client_name), (long long)row->certificate_id,
             (int)row->certificate.size, row->certificate.size ? (char *)row->certificate.at : "",
             (int)row->was.size, row->was.size ? (char *)row->was.at : "", (int)row->now.size,
             row->now.size ? (char *)row->now.at : "");
    return 0;
}

/* "who|action|client|certificate's number|certificate|was|now" */
static const char *newest(hc_registry *r)
{
    static char text[4096];
    const hc_audit_filter f = {.newest_first = true, .limit = 1};
    *text = '\0';
    assert_done(r->engine->audit(r, &f, on_newest, text, &why));
    return text;
}

static size_t audit_rows(hc_registry *r)
{
    return audit_of(r, (hc_audit_filter){0}).count;
}

static int status_of(void *arg, const hc_client_row *row)
{
    *(hc_client_row *)arg = *row;
    return 0;
}

static hc_client_row client_row(hc_registry *r, int64_t id)
{
    hc_client_row row = {0};
    assert_done(r->engine->clients(r, &(hc_client_filter){.id = id}, status_of, &row, &why));
    return row;
}

static int certificate_status(void *arg, const hc_certificate_row *row)
{
    *(hc_certificate_row *)arg = *row;
    return 0;
}

static hc_certificate_row certificate_of(hc_registry *r, int64_t id)
{
    hc_certificate_row row = {0};
    const hc_certificate_filter f = {.id = id};
    assert_done(r->engine->certificates(r, &f, certificate_status, &row, &why));
    return row;
}

static void test_names_that_could_deceive_are_refused(void **state)
{
    static char longest[HC_LIMIT_CLIENT_NAME + 1];
    memset(longest, 'x', sizeof(longest));
    const hc_slice bad[] = {S(""),
                            S("a\0b"),
                            S("a\nb"),
                            S("\x1b[2J"),
                            S("\xff"),
                            S(" a"),
                            S("a "),
                            S("a\xe2\x80\xae"),
                            S("\xc0\x80"),
                            S("\x7f"),
                            hc_slice_of(longest, sizeof(longest))};
    const hc_slice good[] = {
        S("alice"), S("älice müller"), S("'; DROP TABLE client; --"),
        S("1f"),    S("a@b.example"),  hc_slice_of(longest, sizeof(longest) - 1)};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(bad); i++)
        assert_fails(hc_client_name_check(bad[i], &why), HC_EINVAL);
    for (size_t i = 0; i < HC_COUNT(good); i++)
        assert_done(hc_client_name_check(good[i], &why));
}

static void test_roles_are_sorted_each_once(void **state)
{
    const hc_slice roles[] = {S("meter"), S("admin"), S("meter"), S("a"), S("A/b:c@d.e+f-g_h")};
    hc_buf out = hc_buf_init(HC_LIMIT_CLIENT_ROLES);
    (void)state;
    assert_done(hc_roles_normalize(roles, HC_COUNT(roles), &out, &why));
    assert_slice(hc_buf_slice(&out), "A/b:c@d.e+f-g_h a admin meter");
    hc_buf_done(&out);
    const hc_slice bad[] = {S(""), S("a b"), S("a,b"), S("a\0b"), S("\xc3\xa4"), S("a\n")};
    for (size_t i = 0; i < HC_COUNT(bad); i++)
        assert_fails(hc_roles_normalize(&bad[i], 1, &out, &why), HC_EINVAL);
    assert_int_equal(out.size, 0);
}

static void test_roles_are_as_many_as_the_limit_and_no_more(void **state)
{
    static char text[HC_LIMIT_ROLES + 1][HC_LIMIT_ROLE + 1];
    hc_slice roles[HC_LIMIT_ROLES + 1];
    hc_buf out = hc_buf_init(HC_LIMIT_CLIENT_ROLES);
    (void)state;
    for (size_t i = 0; i <= HC_LIMIT_ROLES; i++) {
        memset(text[i], 'r', HC_LIMIT_ROLE);
        text[i][0] = (char)('0' + i / 10);
        text[i][1] = (char)('0' + i % 10);
        roles[i] = hc_slice_of(text[i], HC_LIMIT_ROLE);
    }
    assert_done(hc_roles_normalize(roles, HC_LIMIT_ROLES, &out, &why));
    assert_fails(hc_roles_normalize(roles, HC_LIMIT_ROLES + 1, &out, &why), HC_ELIMIT);
    roles[0] = hc_slice_of(text, HC_LIMIT_ROLE + 1);
    assert_fails(hc_roles_normalize(roles, 1, &out, &why), HC_EINVAL);
    hc_buf_done(&out);
}

static void test_attributes_are_one_json_object(void **state)
{
    static char deep[HC_LIMIT_CLIENT_ATTRIBUTES + 1];
    memset(deep, '[', sizeof(deep));
    const hc_slice bad[] = {S("[]"),
                            S("7"),
                            S("{"),
                            S("{\"a\":1,\"a\":2}"),
                            S("{}x"),
                            S("{\"a\":\"\\u0000\"}"),
                            S("{\"a\":\"\xff\"}"),
                            S("{'a':1}"),
                            hc_slice_of(deep, sizeof(deep) - 1),
                            hc_slice_of(deep, sizeof(deep))};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(bad); i++)
        assert_fails(hc_attributes_check(bad[i], &why), HC_EINVAL);
    assert_done(hc_attributes_check(S("{\"site\": 7, \"tags\": [\"x\"]}"), &why));
    assert_done(hc_attributes_check(HC_SLICE_NONE, &why));
}

static void test_added_client_is_active_and_audited(void **state)
{
    REGISTRY(state);
    int64_t id = 0;
    change(r, hc_change_add_client(r, &root, S("alice"), S("meter admin meter"), S("{\"site\":7}"),
                                   &id, &why));
    assert_string_equal(newest(r), "uid 0 (root)|client.add|alice|0|||{\"status\":\"active\","
                                   "\"roles\":[\"admin\",\"meter\"],\"attributes\":{\"site\":7}}");
    assert_int_equal(client_row(r, id).status, HC_CLIENT_ACTIVE);
    assert_int_equal(client_row(r, id).created_s, NOW_S);
    assert_string_equal(clients_of(r, (hc_client_filter){.role = S("meter")}).text, "1:alice");
    change_fails(r, hc_change_add_client(r, &root, S("alice"), S(""), HC_SLICE_NONE, &id, &why),
                 HC_EEXIST);
    change_fails(r, hc_change_add_client(r, &root, S("bob"), S("a,b"), HC_SLICE_NONE, &id, &why),
                 HC_EINVAL);
    change_fails(r, hc_change_add_client(r, &root, S("bob"), S(""), S("[]"), &id, &why), HC_EINVAL);
    assert_int_equal(audit_rows(r), 1);
}

static void test_status_changes_once_and_says_from_what_to_what(void **state)
{
    REGISTRY(state);
    int64_t id = add_client(r, "alice", "");
    change(r, hc_change_client_status(r, &root, id, HC_CLIENT_SUSPENDED, S("\"lost\""), 0, &why));
    assert_string_equal(newest(r), "uid 0 (root)|client.status|alice|0||{\"status\":\"active\"}|"
                                   "{\"status\":\"suspended\",\"reason\":\"\\\"lost\\\"\"}");
    change(r, hc_change_client_status(r, &root, id, HC_CLIENT_SUSPENDED, S(""), 0, &why));
    assert_int_equal(audit_rows(r), 2);
    change(r, hc_change_client_status(r, &root, id, HC_CLIENT_ACTIVE, S(""), 0, &why));
    assert_int_equal(client_row(r, id).status, HC_CLIENT_ACTIVE);
    assert_int_equal(audit_rows(r), 3);
    change_fails(r, hc_change_client_status(r, &root, id, (hc_client_status)9, S(""), 0, &why),
                 HC_EINVAL);
    change_fails(r, hc_change_client_status(r, &root, id, HC_CLIENT_SUSPENDED, S("a\nb"), 0, &why),
                 HC_EINVAL);
    change_fails(r, hc_change_client_status(r, &root, 99, HC_CLIENT_SUSPENDED, S(""), 0, &why),
                 HC_ENOENT);
}

static void test_revoking_a_client_revokes_its_certificates_for_good(void **state)
{
    REGISTRY(state);
    int64_t id = add_client(r, "alice", "");
    hc_cert *one = world_cert("CA", "1F", NULL, "a"), *two = world_cert("CA", "2F", NULL, "b");
    int64_t first = add_certificate(r, id, one), second = add_certificate(r, id, two);
    change(r, hc_change_revoke_certificate(r, &root, second, 4, &why));
    change(r, hc_change_client_status(r, &root, id, HC_CLIENT_REVOKED, S("stolen"), 1, &why));
    assert_int_equal(certificate_of(r, first).status, HC_CERTIFICATE_REVOKED);
    assert_int_equal(certificate_of(r, first).revoked_s, NOW_S);
    assert_int_equal(certificate_of(r, first).reason, 1);
    assert_int_equal(certificate_of(r, second).reason, 4);
    assert_string_equal(audit_of(r, (hc_audit_filter){.after = 3}).text,
                        "4:certificate.revoke 5:client.status 6:certificate.revoke");
    change_fails(r, hc_change_client_status(r, &root, id, HC_CLIENT_SUSPENDED, S(""), 0, &why),
                 HC_EDENIED);
    change(r, hc_change_client_status(r, &root, id, HC_CLIENT_ACTIVE, S(""), 0, &why));
    assert_int_equal(client_row(r, id).status, HC_CLIENT_ACTIVE);
    assert_int_equal(certificate_of(r, first).status, HC_CERTIFICATE_REVOKED);
    change_fails(r, hc_change_client_status(r, &root, id, HC_CLIENT_REVOKED, S(""), 8, &why),
                 HC_EINVAL);
    hc_cert_unref(one);
    hc_cert_unref(two);
}

static void test_roles_and_attributes_change_and_same_ones_leave_no_trace(void **state)
{
    REGISTRY(state);
    int64_t id = add_client(r, "alice", "meter");
    change(r, hc_change_client_roles(r, &root, id, S("z  a z"), &why));
    assert_string_equal(newest(r), "uid 0 (root)|client.roles|alice|0||{\"roles\":[\"meter\"]}|"
                                   "{\"roles\":[\"a\",\"z\"]}");
    change(r, hc_change_client_roles(r, &root, id, S("z a"), &why));
    change(r, hc_change_client_attributes(r, &root, id, S("{\"a\":1}"), &why));
    assert_string_equal(newest(r), "uid 0 (root)|client.attributes|alice|0||{\"attributes\":null}|"
                                   "{\"attributes\":{\"a\":1}}");
    change(r, hc_change_client_attributes(r, &root, id, S("{\"a\":1}"), &why));
    assert_int_equal(audit_rows(r), 3);
    change(r, hc_change_client_attributes(r, &root, id, S(""), &why));
    change(r, hc_change_client_roles(r, &root, id, S(""), &why));
    assert_int_equal(audit_rows(r), 5);
    assert_int_equal(client_row(r, id).roles.size, 0);
}

static void test_removed_client_is_told_with_its_certificates(void **state)
{
    REGISTRY(state);
    int64_t id = add_client(r, "alice", "meter");
    hc_cert *cert = world_cert("CA", "1F", NULL, "a");
    add_certificate(r, id, cert);
    change(r, hc_change_remove_client(r, &root, id, &why));
    assert_string_equal(newest(r), "uid 0 (root)|client.remove|alice|0||{\"status\":\"active\","
                                   "\"roles\":[\"meter\"],\"attributes\":null,\"certificates\":"
                                   "[\"serial 1f of CN=CA\"]}|");
    assert_int_equal(clients_of(r, (hc_client_filter){0}).count, 0);
    assert_int_equal(certificates_of(r, (hc_certificate_filter){0}).count, 0);
    change_fails(r, hc_change_remove_client(r, &root, id, &why), HC_ENOENT);
    hc_cert_unref(cert);
}

static void test_revocation_is_not_forgotten_by_removing_its_client(void **state)
{
    REGISTRY(state);
    int64_t id = add_client(r, "alice", "");
    hc_cert *cert = world_cert("CA", "1F", NULL, "a");
    const hc_actor before = {.who = root.who, .now_ms = (hc_cert_not_after(cert) - 5) * 1000};
    const hc_actor after = {.who = root.who, .now_ms = (hc_cert_not_after(cert) + 5) * 1000};
    int64_t certificate = add_certificate(r, id, cert);
    change(r, hc_change_revoke_certificate(r, &before, certificate, 1, &why));
    change_fails(r, hc_change_remove_client(r, &before, id, &why), HC_EDENIED);
    change(r, hc_change_remove_client(r, &after, id, &why));
    hc_cert_unref(cert);
}

static void test_certificate_is_added_once_and_to_one_client(void **state)
{
    REGISTRY(state);
    int64_t alice = add_client(r, "alice", ""), bob = add_client(r, "bob", ""), id = 0;
    hc_cert *cert = world_cert("CA", "1F", "key", "a");
    int64_t first = add_certificate(r, alice, cert);
    assert_int_equal(certificate_of(r, first).client_id, alice);
    assert_int_equal(certificate_of(r, first).origin, HC_ORIGIN_IMPORTED);
    assert_non_null(strstr(newest(r), "|certificate.add|alice|1|serial 1f of CN=CA||{\"origin\":"
                                      "\"imported\",\"sha256\":\""));
    assert_int_equal(add_certificate(r, alice, cert), first);
    assert_int_equal(audit_rows(r), 3);
    hc_certificate_new new = {.client_id = bob, .cert = cert, .origin = HC_ORIGIN_IMPORTED};
    change_fails(r, hc_change_add_certificate(r, &root, &new, &id, &why), HC_EEXIST);
    assert_non_null(strstr(why.text, "alice"));
    new.client_id = 99;
    hc_cert *other = world_cert("CA", "1F", "key", "b");
    new.cert = other;
    change_fails(r, hc_change_add_certificate(r, &root, &new, &id, &why), HC_ENOENT);
    /* The same issuer and serial: a second CA of that name. */
    assert_int_not_equal(add_certificate(r, bob, other), first);
    hc_cert_unref(cert);
    hc_cert_unref(other);
}

static int keep_der(void *arg, hc_slice der)
{
    return hc_buf_add(arg, der);
}

static void test_der_is_kept_where_it_is_asked_for(void **state)
{
    REGISTRY(state);
    int64_t id = 0;
    hc_buf der = hc_buf_init(HC_LIMIT_CERT_BYTES);
    hc_cert *cert = world_cert("CA", "1F", NULL, "a");
    const hc_certificate_new new = {.client_id = add_client(r, "alice", ""),
                                    .cert = cert,
                                    .origin = HC_ORIGIN_ISSUED,
                                    .approved_by = S("root"),
                                    .replaces = 7,
                                    .keep_der = true};
    change(r, hc_change_add_certificate(r, &root, &new, &id, &why));
    assert_done(r->engine->certificate_der(r, id, keep_der, &der, &why));
    assert_slice_equal(hc_buf_slice(&der), hc_cert_der(cert));
    assert_int_equal(certificate_of(r, id).replaces, 7);
    hc_buf_done(&der);
    hc_cert_unref(cert);
}

static int check_sans(void *arg, const hc_certificate_row *row)
{
    json_t *sans = json_loadb((const char *)row->sans.at, row->sans.size, 0, NULL);
    assert_non_null(sans);
    *(json_t **)arg = sans;
    return 0;
}

static bool has_text(json_t *array, const char *prefix)
{
    size_t i;
    json_t *value;
    json_array_foreach(array, i, value)
    {
        if (strncmp(json_string_value(value), prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

static void test_alternative_names_are_a_json_array(void **state)
{
    REGISTRY(state);
    vector *v = vector_read("names", "sans-of-all-types", ".der");
    hc_cert *cert = NULL;
    json_t *sans = NULL;
    assert_done(hc_cert_from_der(vector_slice(v), &cert, &why));
    add_certificate(r, add_client(r, "alice", ""), cert);
    assert_done(r->engine->certificates(r, &(hc_certificate_filter){0}, check_sans, &sans, &why));
    static const char *const types[] = {"DNS:a.example", "email:alice@example.com",
                                        "URI:spiffe:", "IP:192.0.2.1", "UPN:alice@"};
    for (size_t i = 0; i < HC_COUNT(types); i++)
        assert_true(has_text(sans, types[i]));
    json_decref(sans);
    hc_cert_unref(cert);
    free(v);
}

static int64_t add_serial(hc_registry *r, int64_t client, const hc_cert *like, hc_slice key_id)
{
    int64_t id = 0;
    change(r, hc_change_add_serial(r, &root, client, hc_cert_issuer_sha256(like),
                                   hc_slice_text(hc_cert_issuer(like)), key_id,
                                   hc_cert_serial(like), &id, &why));
    return id;
}

static void test_serial_alone_becomes_the_first_certificate_seen(void **state)
{
    REGISTRY(state);
    int64_t alice = add_client(r, "alice", "");
    hc_cert *cert = world_cert("CA", "1F", "key", "a"), *other = world_cert("CA", "1F", "key", "b");
    hc_cert *stranger = world_cert("CA", "20", "key", "a");
    int64_t id = add_serial(r, alice, cert, HC_SLICE_NONE);
    assert_int_equal(add_serial(r, alice, cert, HC_SLICE_NONE), id);
    assert_string_equal(newest(r), "uid 0 (root)|certificate.add|alice|1|serial 1f of CN=CA||"
                                   "{\"origin\":\"serial\"}");
    change_fails(r, hc_change_pin_certificate(r, &root, id, stranger, &why), HC_EINVAL);
    change(r, hc_change_pin_certificate(r, &root, id, cert, &why));
    assert_non_null(strstr(newest(r), "|certificate.pin|alice|1|serial 1f of CN=CA||{\"origin\":"));
    assert_int_equal(certificate_of(r, id).not_after_s, hc_cert_not_after(cert));
    size_t before = audit_rows(r);
    change(r, hc_change_pin_certificate(r, &root, id, cert, &why));
    assert_int_equal(audit_rows(r), before);
    change_fails(r, hc_change_pin_certificate(r, &root, id, other, &why), HC_EEXIST);
    change_fails(r, hc_change_pin_certificate(r, &root, 99, cert, &why), HC_ENOENT);
    assert_int_equal(add_serial(r, alice, cert, HC_SLICE_NONE), id);
    hc_cert_unref(cert);
    hc_cert_unref(other);
    hc_cert_unref(stranger);
}

static void test_added_certificate_takes_the_place_of_its_serial(void **state)
{
    REGISTRY(state);
    int64_t alice = add_client(r, "alice", ""), bob = add_client(r, "bob", ""), id = 0;
    hc_cert *cert = world_cert("CA", "1F", "key", "a");
    int64_t serial = add_serial(r, alice, cert, HC_SLICE_NONE);
    const hc_certificate_new new = {.client_id = bob, .cert = cert, .origin = HC_ORIGIN_IMPORTED};
    change_fails(r, hc_change_add_certificate(r, &root, &new, &id, &why), HC_EEXIST);
    change_fails(r,
                 hc_change_add_serial(r, &root, bob, hc_cert_issuer_sha256(cert), S("CN=CA"),
                                      HC_SLICE_NONE, hc_cert_serial(cert), &id, &why),
                 HC_EEXIST);
    assert_int_equal(add_certificate(r, alice, cert), serial);
    assert_non_null(strstr(newest(r), "|certificate.pin|"));
    assert_int_equal(certificates_of(r, (hc_certificate_filter){0}).count, 1);
    hc_cert_unref(cert);
}

static void test_serial_with_a_key_is_of_that_issuer_alone(void **state)
{
    REGISTRY(state);
    int64_t alice = add_client(r, "alice", ""), bob = add_client(r, "bob", "");
    hc_cert *ours = world_cert("CA", "1F", "key", "a"),
            *theirs = world_cert("CA", "1F", "yek", "a");
    hc_cert *nameless = world_cert("CA", "1F", NULL, "c");
    int64_t id = add_serial(r, alice, ours, S("key"));
    assert_int_not_equal(add_serial(r, bob, theirs, S("yek")), id);
    change_fails(r, hc_change_pin_certificate(r, &root, id, theirs, &why), HC_EINVAL);
    change_fails(r, hc_change_pin_certificate(r, &root, id, nameless, &why), HC_EINVAL);
    assert_int_not_equal(add_certificate(r, bob, nameless), id);
    assert_int_equal(add_certificate(r, alice, ours), id);
    hc_cert_unref(ours);
    hc_cert_unref(theirs);
    hc_cert_unref(nameless);
}

static void test_certificate_is_revoked_once(void **state)
{
    REGISTRY(state);
    hc_cert *cert = world_cert("CA", "1F", NULL, "a");
    int64_t id = add_certificate(r, add_client(r, "alice", ""), cert);
    change_fails(r, hc_change_revoke_certificate(r, &root, id, 7, &why), HC_EINVAL);
    change_fails(r, hc_change_revoke_certificate(r, &root, id, 8, &why), HC_EINVAL);
    change_fails(r, hc_change_revoke_certificate(r, &root, 99, 1, &why), HC_ENOENT);
    change(r, hc_change_revoke_certificate(r, &root, id, 1, &why));
    assert_string_equal(newest(r), "uid 0 (root)|certificate.revoke|alice|1|serial 1f of CN=CA|"
                                   "{\"status\":\"active\"}|{\"status\":\"revoked\",\"reason\":"
                                   "\"keyCompromise\"}");
    change(r, hc_change_revoke_certificate(r, &root, id, HC_REASON_NONE, &why));
    assert_int_equal(certificate_of(r, id).reason, 1);
    assert_int_equal(audit_rows(r), 3);
    hc_cert_unref(cert);
}

static void test_client_has_no_more_certificates_than_the_limit(void **state)
{
    REGISTRY(state);
    int64_t alice = add_client(r, "alice", ""), id = 0;
    hc_cert *cert = world_cert("CA", "1F", NULL, "a");
    registry_begin(r);
    for (unsigned i = 0; i < HC_LIMIT_CLIENT_CERTIFICATES; i++) {
        hc_certificate_row row = certificate_row(alice, "1", 1);
        const uint8_t sha256[32] = {(uint8_t)i, (uint8_t)(i >> 8)};
        row.sha256 = sha256;
        assert_done(r->engine->certificate_add(r, &row, &id, &why));
    }
    registry_commit(r);
    const hc_certificate_new new = {.client_id = alice, .cert = cert, .origin = HC_ORIGIN_ISSUED};
    change_fails(r, hc_change_add_certificate(r, &root, &new, &id, &why), HC_ELIMIT);
    change(r, hc_change_client_status(r, &root, alice, HC_CLIENT_REVOKED, S(""), 1, &why));
    assert_int_equal(
        certificates_of(r, (hc_certificate_filter){.status = HC_CERTIFICATE_ACTIVE}).count, 0);
    hc_cert_unref(cert);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_names_that_could_deceive_are_refused),
    cmocka_unit_test(test_roles_are_sorted_each_once),
    cmocka_unit_test(test_roles_are_as_many_as_the_limit_and_no_more),
    cmocka_unit_test(test_attributes_are_one_json_object),
    WITH_EVERY_ENGINE(test_added_client_is_active_and_audited),
    WITH_EVERY_ENGINE(test_status_changes_once_and_says_from_what_to_what),
    WITH_EVERY_ENGINE(test_revoking_a_client_revokes_its_certificates_for_good),
    WITH_EVERY_ENGINE(test_roles_and_attributes_change_and_same_ones_leave_no_trace),
    WITH_EVERY_ENGINE(test_removed_client_is_told_with_its_certificates),
    WITH_EVERY_ENGINE(test_revocation_is_not_forgotten_by_removing_its_client),
    WITH_EVERY_ENGINE(test_certificate_is_added_once_and_to_one_client),
    WITH_EVERY_ENGINE(test_der_is_kept_where_it_is_asked_for),
    WITH_EVERY_ENGINE(test_alternative_names_are_a_json_array),
    WITH_EVERY_ENGINE(test_serial_alone_becomes_the_first_certificate_seen),
    WITH_EVERY_ENGINE(test_added_certificate_takes_the_place_of_its_serial),
    WITH_EVERY_ENGINE(test_serial_with_a_key_is_of_that_issuer_alone),
    WITH_EVERY_ENGINE(test_certificate_is_revoked_once),
    WITH_EVERY_ENGINE(test_client_has_no_more_certificates_than_the_limit),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
