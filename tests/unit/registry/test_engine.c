#include "registry_case.h"

#define ENGINE(state)                                                                              \
    registry_case *c = *(state);                                                                   \
    hc_registry *r = c->r;                                                                         \
    const hc_registry_engine *e = r->engine;                                                       \
    (void)e

typedef struct kept_client {
    hc_client_row row;
    char name[70000], reason[512], roles[512], attributes[512];
} kept_client;

static hc_slice keep(char *to, hc_slice text)
{
    if (text.size)
        memcpy(to, text.at, text.size);
    return hc_slice_of(to, text.size);
}

static int keep_client(void *arg, const hc_client_row *row)
{
    kept_client *k = arg;
    k->row = *row;
    k->row.name = keep(k->name, row->name);
    k->row.reason = keep(k->reason, row->reason);
    k->row.roles = keep(k->roles, row->roles);
    k->row.attributes = keep(k->attributes, row->attributes);
    return 0;
}

static void test_client_comes_back_as_it_was_added(void **state)
{
    ENGINE(state);
    kept_client k = {0};
    int64_t id = 0;
    hc_client_row row = {.name = S("älice"),
                         .status = HC_CLIENT_SUSPENDED,
                         .status_s = 5,
                         .reason = S("lost; DROP TABLE client; --"),
                         .roles = S("admin meter"),
                         .attributes = S("{\"site\":7}"),
                         .created_s = -3};
    registry_begin(r);
    assert_done(e->client_add(r, &row, &id, &why));
    registry_commit(r);
    assert_done(e->clients(r, &(hc_client_filter){.id = id}, keep_client, &k, &why));
    assert_slice(k.row.name, "älice");
    assert_int_equal(k.row.status, HC_CLIENT_SUSPENDED);
    assert_int_equal(k.row.status_s, 5);
    assert_slice(k.row.reason, "lost; DROP TABLE client; --");
    assert_slice(k.row.roles, "admin meter");
    assert_slice(k.row.attributes, "{\"site\":7}");
    assert_int_equal(k.row.created_s, -3);
    assert_int_equal(k.row.certificates, 0);
    assert_int_equal(k.row.first_seen_s, 0);
    registry_begin(r);
    row.id = id;
    row.name = S("bob");
    row.status = HC_CLIENT_REVOKED;
    row.roles = HC_SLICE_NONE;
    assert_done(e->client_set(r, &row, &why));
    registry_commit(r);
    assert_done(e->clients(r, &(hc_client_filter){.name = S("bob")}, keep_client, &k, &why));
    assert_int_equal(k.row.status, HC_CLIENT_REVOKED);
    assert_int_equal(k.row.roles.size, 0);
}

static void test_hostile_names_are_text_and_nothing_else(void **state)
{
    ENGINE(state);
    static char longest[65000];
    memset(longest, 'x', sizeof(longest));
    const hc_slice names[] = {S("'; DROP TABLE client; --"),
                              S("\" OR 1=1 --"),
                              S("a\0b"),
                              S("a"),
                              S("%"),
                              S("_"),
                              S("\x1b[2J\r\n"),
                              S("\xff\xfe"),
                              S(":name"),
                              S("?1"),
                              hc_slice_of(longest, sizeof(longest))};
    registry_begin(r);
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        int64_t id = 0;
        const hc_client_row row = {.name = names[i], .status = HC_CLIENT_ACTIVE};
        assert_done(e->client_add(r, &row, &id, &why));
        assert_int_equal(id, i + 1);
    }
    registry_commit(r);
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        kept_client k = {0};
        assert_done(e->clients(r, &(hc_client_filter){.name = names[i]}, keep_client, &k, &why));
        assert_int_equal(k.row.id, i + 1);
        assert_slice_equal(k.row.name, names[i]);
    }
    assert_string_equal(clients_of(r, (hc_client_filter){.search = S("%")}).text, "5:%");
    assert_int_equal(clients_of(r, (hc_client_filter){.search = S("' OR")}).count, 0);
    assert_int_equal(clients_of(r, (hc_client_filter){.role = S("' OR '' = '")}).count, 0);
    assert_int_equal(audit_of(r, (hc_audit_filter){.who = S("' OR '' = '")}).count, 0);
}

static void test_taken_name_fails_and_what_went_before_is_rolled_back(void **state)
{
    ENGINE(state);
    int64_t id = 0;
    const hc_client_row row = {.name = S("alice"), .status = HC_CLIENT_ACTIVE};
    registry_begin(r);
    client_new(r, "alice");
    registry_commit(r);
    registry_begin(r);
    client_new(r, "bob");
    assert_fails(e->client_add(r, &row, &id, &why), HC_EEXIST);
    assert_fails(e->client_add(r, &(hc_client_row){.name = S("carol"), .status = 1}, &id, &why),
                 HC_EINVAL);
    assert_fails(hc_registry_commit(r, &why), HC_EINVAL);
    assert_string_equal(clients_of(r, (hc_client_filter){0}).text, "1:alice");
    registry_begin(r);
    client_new(r, "carol");
    registry_commit(r);
    assert_int_equal(clients_of(r, (hc_client_filter){0}).count, 2);
}

static void test_what_is_not_there_cannot_be_changed(void **state)
{
    ENGINE(state);
    int64_t id = 0;
    const hc_client_row client = {.id = 9, .name = S("x"), .status = HC_CLIENT_ACTIVE};
    hc_certificate_row certificate = certificate_row(9, "1", 1);
    certificate.id = 9;
    registry_begin(r);
    assert_fails(e->client_set(r, &client, &why), HC_ENOENT);
    hc_registry_rollback(r);
    registry_begin(r);
    assert_fails(e->client_remove(r, 9, &why), HC_ENOENT);
    hc_registry_rollback(r);
    registry_begin(r);
    assert_fails(e->certificate_set(r, &certificate, &why), HC_ENOENT);
    hc_registry_rollback(r);
    registry_begin(r);
    assert_fails(e->certificate_add(r, &certificate, &id, &why), HC_ENOENT);
    hc_registry_rollback(r);
}

static void test_change_needs_a_write_transaction(void **state)
{
    ENGINE(state);
    int64_t id = 0;
    const hc_client_row row = {.name = S("alice"), .status = HC_CLIENT_ACTIVE};
    assert_fails(e->client_add(r, &row, &id, &why), HC_EINVAL);
    assert_done(hc_registry_begin(r, false, &why));
    assert_fails(e->client_add(r, &row, &id, &why), HC_EINVAL);
    assert_fails(e->seen(r, &(hc_seen){1, 1}, 1, &why), HC_EINVAL);
    assert_fails(hc_registry_begin(r, true, &why), HC_EINVAL);
    assert_done(hc_registry_commit(r, &why));
    assert_fails(hc_registry_commit(r, &why), HC_EINVAL);
    hc_registry_rollback(r);
    assert_int_equal(clients_of(r, (hc_client_filter){0}).count, 0);
}

static void test_rolled_back_is_as_if_it_had_not_been(void **state)
{
    ENGINE(state);
    hc_registry_head before, after;
    registry_begin(r);
    int64_t id = client_new(r, "alice");
    audit_new(r, id, "client.add");
    certificate_new(r, id, "1f", 1);
    registry_commit(r);
    assert_done(e->head(r, &before, &why));
    registry_begin(r);
    assert_done(e->client_remove(r, id, &why));
    client_new(r, "bob");
    audit_new(r, 2, "client.add");
    hc_registry_rollback(r);
    assert_done(e->head(r, &after, &why));
    assert_memory_equal(&before, &after, sizeof(before));
    assert_string_equal(clients_of(r, (hc_client_filter){0}).text, "1:alice");
    assert_string_equal(certificates_of(r, (hc_certificate_filter){0}).text, "1:1f");
}

static void test_number_of_a_removed_client_is_never_used_again(void **state)
{
    ENGINE(state);
    registry_begin(r);
    client_new(r, "alice");
    int64_t id = client_new(r, "bob");
    int64_t certificate = certificate_new(r, id, "1", 1);
    audit_new(r, id, "client.add");
    registry_commit(r);
    registry_begin(r);
    assert_done(e->client_remove(r, id, &why));
    registry_commit(r);
    assert_int_equal(certificates_of(r, (hc_certificate_filter){0}).count, 0);
    assert_string_equal(audit_of(r, (hc_audit_filter){.client_id = id}).text, "1:client.add");
    registry_begin(r);
    assert_true(client_new(r, "bob") > id);
    assert_true(certificate_new(r, 1, "1", 1) > certificate);
    registry_commit(r);
}

static void fill_clients(hc_registry *r)
{
    const hc_registry_engine *e = r->engine;
    static const struct {
        const char *name, *roles;
        hc_client_status status;
        int64_t created_s, not_after_s, seen_s;
        hc_certificate_status certificate;
    } all[] = {
        {"alice", "admin meter", HC_CLIENT_ACTIVE, 10, 500, 400, HC_CERTIFICATE_ACTIVE},
        {"bob", "meter", HC_CLIENT_SUSPENDED, 20, 900, 0, HC_CERTIFICATE_ACTIVE},
        {"carol", "met", HC_CLIENT_ACTIVE, 30, 500, 30, HC_CERTIFICATE_REVOKED},
        {"dave", "", HC_CLIENT_REVOKED, 300, 0, 0, HC_CERTIFICATE_ACTIVE},
    };
    registry_begin(r);
    for (size_t i = 0; i < HC_COUNT(all); i++) {
        int64_t id = 0, certificate = 0;
        const hc_client_row row = {.name = hc_slice_text(all[i].name),
                                   .roles = hc_slice_text(all[i].roles),
                                   .status = all[i].status,
                                   .created_s = all[i].created_s};
        assert_done(e->client_add(r, &row, &id, &why));
        hc_certificate_row k = certificate_row(id, "1", (uint8_t)(10 + i));
        k.not_after_s = all[i].not_after_s;
        k.status = all[i].certificate;
        assert_done(e->certificate_add(r, &k, &certificate, &why));
        if (all[i].seen_s)
            assert_done(e->seen(r, &(hc_seen){certificate, all[i].seen_s}, 1, &why));
    }
    registry_commit(r);
}

static void test_clients_are_filtered(void **state)
{
    ENGINE(state);
    fill_clients(r);
    static const struct {
        hc_client_filter f;
        const char *wanted;
    } cases[] = {
        {{.id = 2}, "2:bob"},
        {{.name = HC_SLICE_LITERAL("carol")}, "3:carol"},
        {{.name = HC_SLICE_LITERAL("Carol")}, ""},
        {{.search = HC_SLICE_LITERAL("a")}, "1:alice 3:carol 4:dave"},
        {{.status = HC_CLIENT_ACTIVE}, "1:alice 3:carol"},
        {{.role = HC_SLICE_LITERAL("meter")}, "1:alice 2:bob"},
        {{.role = HC_SLICE_LITERAL("met")}, "3:carol"},
        {{.role = HC_SLICE_LITERAL("admin"), .status = HC_CLIENT_SUSPENDED}, ""},
        {{.expiring_before_s = 501}, "1:alice"},
        {{.expiring_before_s = 500}, ""},
        {{.expiring_before_s = 1000}, "1:alice 2:bob"},
        {{.unused_since_s = 300}, "2:bob 3:carol"},
        {{.unused_since_s = 401}, "1:alice 2:bob 3:carol 4:dave"},
        {{.after = 2}, "3:carol 4:dave"},
        {{.limit = 2}, "1:alice 2:bob"},
        {{.after = 1, .limit = 1, .status = HC_CLIENT_ACTIVE}, "3:carol"},
        {{0}, "1:alice 2:bob 3:carol 4:dave"},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++)
        assert_string_equal(clients_of(r, cases[i].f).text, cases[i].wanted);
    kept_client k = {0};
    assert_done(e->clients(r, &(hc_client_filter){.id = 1}, keep_client, &k, &why));
    assert_int_equal(k.row.certificates, 1);
    assert_int_equal(k.row.first_seen_s, 400);
}

typedef struct kept_certificate {
    hc_certificate_row row;
    uint8_t issuer[32], sha256[32], key[32];
    char texts[6][256];
} kept_certificate;

static int keep_certificate(void *arg, const hc_certificate_row *row)
{
    kept_certificate *k = arg;
    k->row = *row;
    memcpy(k->issuer, row->issuer_sha256, 32);
    if (row->sha256)
        memcpy(k->sha256, row->sha256, 32);
    if (row->key_sha256)
        memcpy(k->key, row->key_sha256, 32);
    k->row.issuer_key_id = keep(k->texts[0], row->issuer_key_id);
    k->row.issuer = keep(k->texts[1], row->issuer);
    k->row.subject = keep(k->texts[2], row->subject);
    k->row.sans = keep(k->texts[3], row->sans);
    k->row.approved_by = keep(k->texts[4], row->approved_by);
    k->row.client_name = keep(k->texts[5], row->client_name);
    return 0;
}

static kept_certificate certificate_of(hc_registry *r, int64_t id)
{
    kept_certificate k = {0};
    const hc_certificate_filter f = {.id = id};
    assert_done(r->engine->certificates(r, &f, keep_certificate, &k, &why));
    assert_int_equal(k.row.id, id);
    return k;
}

static int same_der(void *arg, hc_slice der)
{
    assert_slice_equal(der, *(const hc_slice *)arg);
    return 0;
}

static void test_certificate_comes_back_as_it_was_added(void **state)
{
    ENGINE(state);
    int64_t id = 0;
    hc_slice der = S("\x30\x00 some DER\0");
    registry_begin(r);
    int64_t client = client_new(r, "alice");
    hc_certificate_row row = certificate_row(client, "-80", 9);
    row.key_sha256 = octets32(3);
    row.issuer_key_id = S("\x01\x00\x02");
    row.issuer = S("CN=Shop CA");
    row.subject = S("CN=alice");
    row.sans = S("[\"DNS:a.example\"]");
    row.not_before_s = 1;
    row.not_after_s = 4102444800;
    row.status = HC_CERTIFICATE_REVOKED;
    row.revoked_s = 77;
    row.reason = 1;
    row.replaces = 4;
    row.origin = HC_ORIGIN_ENROLLED;
    row.approved_by = S("uid 0 (root)");
    row.added_s = 50;
    row.der = der;
    assert_done(e->certificate_add(r, &row, &id, &why));
    registry_commit(r);
    kept_certificate k = certificate_of(r, id);
    assert_int_equal(k.row.client_id, client);
    assert_memory_equal(k.issuer, octets32(7), 32);
    assert_memory_equal(k.sha256, octets32(9), 32);
    assert_memory_equal(k.key, octets32(3), 32);
    assert_true(hc_serial_equal(&k.row.serial, &row.serial));
    assert_slice_equal(k.row.issuer_key_id, row.issuer_key_id);
    assert_slice_equal(k.row.issuer, row.issuer);
    assert_slice_equal(k.row.subject, row.subject);
    assert_slice_equal(k.row.sans, row.sans);
    assert_slice_equal(k.row.approved_by, row.approved_by);
    assert_slice(k.row.client_name, "alice");
    assert_int_equal(k.row.not_before_s, 1);
    assert_int_equal(k.row.not_after_s, 4102444800);
    assert_int_equal(k.row.status, HC_CERTIFICATE_REVOKED);
    assert_int_equal(k.row.revoked_s, 77);
    assert_int_equal(k.row.reason, 1);
    assert_int_equal(k.row.replaces, 4);
    assert_int_equal(k.row.origin, HC_ORIGIN_ENROLLED);
    assert_int_equal(k.row.added_s, 50);
    assert_int_equal(k.row.der.size, 0);
    assert_done(e->certificate_der(r, id, same_der, &der, &why));
    assert_fails(e->certificate_der(r, id + 1, same_der, &der, &why), HC_ENOENT);
}

static void test_key_of_a_certificate_is_issuer_serial_and_sha256(void **state)
{
    ENGINE(state);
    int64_t id = 0;
    registry_begin(r);
    int64_t client = client_new(r, "alice");
    certificate_new(r, client, "1", 1);
    certificate_new(r, client, "1", 2); /* two CAs of one name */
    certificate_new(r, client, "1", 0);
    registry_commit(r);
    hc_certificate_row row = certificate_row(client, "2", 1);
    registry_begin(r);
    assert_fails(e->certificate_add(r, &row, &id, &why), HC_EEXIST);
    hc_registry_rollback(r);
    row = certificate_row(client, "1", 0);
    registry_begin(r);
    assert_fails(e->certificate_add(r, &row, &id, &why), HC_EEXIST);
    hc_registry_rollback(r);
    row.issuer_key_id = S("k");
    registry_begin(r);
    assert_done(e->certificate_add(r, &row, &id, &why));
    registry_commit(r);
    assert_int_equal(certificates_of(r, (hc_certificate_filter){.serial = &row.serial}).count, 4);
}

static void test_certificates_are_filtered(void **state)
{
    ENGINE(state);
    int64_t id = 0;
    registry_begin(r);
    int64_t alice = client_new(r, "alice"), bob = client_new(r, "bob");
    certificate_new(r, alice, "a1", 1);
    certificate_new(r, alice, "a2", 2);
    hc_certificate_row row = certificate_row(bob, "a1", 3);
    row.issuer_sha256 = octets32(8);
    row.key_sha256 = octets32(5);
    row.not_after_s = 100;
    row.status = HC_CERTIFICATE_REVOKED;
    assert_done(e->certificate_add(r, &row, &id, &why));
    certificate_new(r, bob, "0", 0);
    registry_commit(r);
    hc_serial a1 = serial_of("a1"), zero = serial_of("0");
    const struct {
        hc_certificate_filter f;
        const char *wanted;
    } cases[] = {
        {{.id = 2}, "2:a2"},
        {{.client_id = alice}, "1:a1 2:a2"},
        {{.serial = &a1}, "1:a1 3:a1"},
        {{.serial = &zero}, "4:0"},
        {{.serial = &a1, .issuer_sha256 = octets32(7)}, "1:a1"},
        {{.sha256 = octets32(2)}, "2:a2"},
        {{.sha256 = octets32(9)}, ""},
        {{.key_sha256 = octets32(5)}, "3:a1"},
        {{.status = HC_CERTIFICATE_REVOKED}, "3:a1"},
        {{.expiring_before_s = 101}, "3:a1"},
        {{.expiring_before_s = 100}, ""},
        {{.after = 1, .limit = 2}, "2:a2 3:a1"},
        {{0}, "1:a1 2:a2 3:a1 4:0"},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++)
        assert_string_equal(certificates_of(r, cases[i].f).text, cases[i].wanted);
}

static void test_what_a_certificate_tells_is_taken_once(void **state)
{
    ENGINE(state);
    registry_begin(r);
    int64_t client = client_new(r, "alice");
    int64_t id = certificate_new(r, client, "1", 0);
    hc_certificate_row now = certificate_row(client, "1", 4);
    now.id = id;
    now.key_sha256 = octets32(5);
    now.subject = S("CN=alice");
    now.sans = S("[\"DNS:a\"]");
    now.not_before_s = 10;
    now.not_after_s = 20;
    assert_done(e->certificate_set(r, &now, &why));
    now.sha256 = octets32(6);
    now.key_sha256 = octets32(6);
    now.subject = S("CN=mallory");
    now.sans = S("[\"DNS:m\"]");
    now.not_after_s = 99;
    now.status = HC_CERTIFICATE_REVOKED;
    now.revoked_s = 15;
    now.reason = 4;
    assert_done(e->certificate_set(r, &now, &why));
    registry_commit(r);
    kept_certificate k = certificate_of(r, id);
    assert_memory_equal(k.sha256, octets32(4), 32);
    assert_memory_equal(k.key, octets32(5), 32);
    assert_slice(k.row.subject, "CN=alice");
    assert_slice(k.row.sans, "[\"DNS:a\"]");
    assert_int_equal(k.row.not_before_s, 10);
    assert_int_equal(k.row.not_after_s, 20);
    assert_int_equal(k.row.status, HC_CERTIFICATE_REVOKED);
    assert_int_equal(k.row.revoked_s, 15);
    assert_int_equal(k.row.reason, 4);
}

static void test_seen_keeps_first_and_last_and_is_no_change(void **state)
{
    ENGINE(state);
    const hc_seen seen[] = {{1, 200}, {1, 100}, {77, 5}, {1, 150}};
    hc_registry_head before, after;
    registry_begin(r);
    certificate_new(r, client_new(r, "alice"), "1", 1);
    audit_new(r, 1, "client.add");
    registry_commit(r);
    assert_done(e->head(r, &before, &why));
    registry_begin(r);
    assert_done(e->seen(r, seen, HC_COUNT(seen), &why));
    registry_commit(r);
    kept_certificate k = certificate_of(r, 1);
    assert_int_equal(k.row.first_seen_s, 100);
    assert_int_equal(k.row.last_seen_s, 200);
    assert_done(e->head(r, &after, &why));
    assert_memory_equal(&before, &after, sizeof(before));
}

static void test_audit_is_filtered_and_paged_both_ways(void **state)
{
    ENGINE(state);
    static const char *const names[] = {"alice", "bob", "alice", "alice"};
    registry_begin(r);
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        int64_t seq = 0;
        const hc_audit_row row = {.at_ms = 100 * (int64_t)i,
                                  .who = i == 1 ? S("server") : S("uid 0 (root)"),
                                  .action = i == 2 ? S("client.status") : S("client.add"),
                                  .client_id = i == 1 ? 2 : 1,
                                  .client_name = hc_slice_text(names[i]),
                                  .certificate_id = i == 3 ? 8 : 0,
                                  .certificate = S("serial 1"),
                                  .was = S("{}"),
                                  .now = S("{\"a\":1}")};
        assert_done(e->audit_add(r, &row, &seq, &why));
        assert_int_equal(seq, i + 1);
    }
    registry_commit(r);
    const struct {
        hc_audit_filter f;
        const char *wanted;
    } cases[] = {
        {{.client_id = 2}, "2:client.add"},
        {{.certificate_id = 8}, "4:client.add"},
        {{.client_name = S("alice"), .action = S("client.status")}, "3:client.status"},
        {{.who = S("server")}, "2:client.add"},
        {{.since_ms = 200}, "3:client.status 4:client.add"},
        {{.after = 1, .before = 4}, "2:client.add 3:client.status"},
        {{.newest_first = true, .limit = 2}, "4:client.add 3:client.status"},
        {{.newest_first = true, .before = 3}, "2:client.add 1:client.add"},
        {{.limit = 1}, "1:client.add"},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++)
        assert_string_equal(audit_of(r, cases[i].f).text, cases[i].wanted);
}

static void test_changed_tells_of_what_another_committed(void **state)
{
    ENGINE(state);
    bool changed = false;
    hc_registry *reader = registry_case_open_as(c, HC_REGISTRY_READ);
    assert_done(reader->engine->changed(reader, &changed, &why));
    assert_true(changed);
    for (int i = 0; i < 3; i++) {
        assert_done(reader->engine->changed(reader, &changed, &why));
        assert_false(changed);
        registry_begin(r);
        client_new(r, i == 0 ? "a" : i == 1 ? "b" : "c");
        registry_commit(r);
        assert_done(reader->engine->changed(reader, &changed, &why));
        assert_true(changed);
    }
    registry_begin(r);
    client_new(r, "d");
    hc_registry_rollback(r);
    assert_done(reader->engine->changed(reader, &changed, &why));
    assert_false(changed);
    hc_registry_close(reader);
}

static int on_change(void *arg, int64_t id)
{
    rows_add(arg, id, S(""));
    return 0;
}

static void test_changes_name_each_client_once_in_order(void **state)
{
    ENGINE(state);
    hc_registry_head start, head;
    row_list x = {0};
    assert_done(e->head(r, &start, &why));
    assert_int_equal(start.seq, 0);
    registry_begin(r);
    audit_new(r, 3, "a");
    audit_new(r, 1, "b");
    registry_commit(r);
    assert_done(e->head(r, &head, &why));
    assert_int_equal(head.seq, 2);
    assert_true(head.epoch == start.epoch);
    registry_begin(r);
    client_new(r, "x"); /* the memory engine goes through the ids that were given */
    client_new(r, "y");
    client_new(r, "z");
    audit_new(r, 3, "a");
    audit_new(r, 2, "a");
    audit_new(r, 0, "of nobody: a list was made");
    audit_new(r, 3, "a");
    registry_commit(r);
    assert_done(e->changes(r, &head, 2, on_change, &x, &why));
    assert_string_equal(x.text, "2: 3:");
    x = (row_list){0};
    assert_done(e->changes(r, &start, 3, on_change, &x, &why));
    assert_string_equal(x.text, "1: 2: 3:");
    assert_fails(e->changes(r, &head, 1, on_change, &x, &why), HC_ELIMIT);
    x = (row_list){0};
    assert_done(e->head(r, &head, &why));
    assert_done(e->changes(r, &head, 0, on_change, &x, &why));
    assert_int_equal(x.count, 0);
}

static void test_changes_since_another_feed_are_unknown(void **state)
{
    ENGINE(state);
    hc_registry_head head;
    registry_begin(r);
    audit_new(r, 1, "a");
    registry_commit(r);
    assert_done(e->head(r, &head, &why));
    hc_registry_head other = head;
    other.epoch++;
    assert_fails(e->changes(r, &other, 9, on_change, NULL, &why), HC_ENOENT);
    other = head;
    other.mark ^= 1;
    assert_fails(e->changes(r, &other, 9, on_change, NULL, &why), HC_ENOENT);
    other = head;
    other.seq++;
    assert_fails(e->changes(r, &other, 9, on_change, NULL, &why), HC_ENOENT);
    other = (hc_registry_head){.epoch = head.epoch + 1};
    assert_fails(e->changes(r, &other, 9, on_change, NULL, &why), HC_ENOENT);
}

static void test_scan_tells_each_client_before_its_certificates(void **state)
{
    ENGINE(state);
    row_list x = {0};
    registry_begin(r);
    int64_t alice = client_new(r, "alice"), bob = client_new(r, "bob"), carol = client_new(r, "c");
    certificate_new(r, carol, "c1", 1);
    certificate_new(r, alice, "a1", 2);
    certificate_new(r, carol, "-c2", 3);
    certificate_new(r, alice, "a2", 0);
    registry_commit(r);
    assert_done(e->scan(r, 0, rows_client, rows_certificate, &x, &why));
    assert_string_equal(x.text, "1:alice 2:a1 4:a2 2:bob 3:c 1:c1 3:-c2");
    x = (row_list){0};
    assert_done(e->scan(r, carol, rows_client, rows_certificate, &x, &why));
    assert_string_equal(x.text, "3:c 1:c1 3:-c2");
    x = (row_list){0};
    assert_done(e->scan(r, bob, rows_client, rows_certificate, &x, &why));
    assert_string_equal(x.text, "2:bob");
    assert_done(e->scan(r, 99, rows_client, rows_certificate, &x, &why));
    assert_int_equal(x.count, 1);
}

static int stop_client(void *arg, const hc_client_row *row)
{
    rows_add(arg, row->id, row->name);
    return -HC_EAGAIN;
}

typedef struct nested {
    hc_registry *r;
    size_t count;
} nested;

static int ask_again(void *arg, const hc_client_row *row)
{
    nested *n = arg;
    (void)row;
    n->count += clients_of(n->r, (hc_client_filter){0}).count;
    n->count += certificates_of(n->r, (hc_certificate_filter){.client_id = row->id}).count;
    return 0;
}

static void test_callback_may_stop_a_list_and_ask_within_one(void **state)
{
    ENGINE(state);
    row_list x = {0};
    nested n = {r, 0};
    registry_begin(r);
    for (uint8_t i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i), 0};
        certificate_new(r, client_new(r, name), "1", (uint8_t)(1 + i));
    }
    registry_commit(r);
    hc_client_filter all = {0};
    assert_int_equal(e->clients(r, &all, stop_client, &x, &why), -HC_EAGAIN);
    assert_int_equal(e->scan(r, 0, stop_client, rows_certificate, &x, &why), -HC_EAGAIN);
    assert_int_equal(x.count, 2);
    assert_done(e->clients(r, &all, ask_again, &n, &why));
    assert_int_equal(n.count, 3 * (3 + 1));
    assert_int_equal(clients_of(r, all).count, 3);
}

/* Deterministic, so that a failure can be had again. */
static uint64_t random_state = 88172645463325252u;
static uint8_t random_octet(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint8_t)(random_state >> 24);
}

static hc_serial serial_number(size_t n)
{
    static const char *const edges[] = {"0",
                                        "1",
                                        "-1",
                                        "7f",
                                        "80",
                                        "-80",
                                        "ff",
                                        "100",
                                        "7fffffffffffffff",
                                        "8000000000000000",
                                        "-8000000000000000",
                                        "ffffffffffffffff",
                                        "10000000000000000",
                                        "7fffffffffffffffffffffffffffffffffffffff",
                                        "ffffffffffffffffffffffffffffffffffffffff",
                                        "-ffffffffffffffffffffffffffffffffffffffff"};
    if (n < HC_COUNT(edges))
        return serial_of(edges[n]);
    hc_serial s = {.size = (uint8_t)(8 + random_octet() % 13)};
    for (size_t i = 0; i < s.size; i++)
        s.octets[i] = random_octet();
    s.octets[0] |= 1; /* no leading zero octet */
    s.negative = random_octet() % 4 == 0;
    return s;
}

static void assert_found(hc_registry *r, hc_slice text, bool decimal, int64_t id)
{
    kept_certificate k = {0};
    hc_serial s;
    assert_done(hc_serial_parse(text, decimal, &s, &why));
    const hc_certificate_filter f = {.serial = &s};
    assert_done(r->engine->certificates(r, &f, keep_certificate, &k, &why));
    assert_int_equal(k.row.id, id);
    assert_true(hc_serial_equal(&k.row.serial, &s));
    assert_int_equal(certificates_of(r, f).count, 1);
}

static void test_every_spelling_of_a_serial_finds_its_certificate(void **state)
{
    ENGINE(state);
    enum { NUMBER = 400 };
    static hc_serial all[NUMBER];
    registry_begin(r);
    int64_t client = client_new(r, "alice");
    for (size_t i = 0; i < NUMBER; i++) {
        int64_t id = 0;
        uint8_t sha256[32] = {(uint8_t)i, (uint8_t)(i >> 8), 1};
        hc_certificate_row row = certificate_row(client, "0", 1);
        row.serial = all[i] = serial_number(i);
        row.sha256 = sha256;
        assert_done(e->certificate_add(r, &row, &id, &why));
    }
    registry_commit(r);
    for (size_t i = 0; i < NUMBER; i++) {
        char text[HC_SERIAL_HEX_BYTES], upper[HC_SERIAL_HEX_BYTES];
        char decimal[HC_SERIAL_DECIMAL_BYTES], colons[3 * HC_LIMIT_SERIAL_OCTETS + 8] = "";
        int64_t id = (int64_t)i + 1;
        hc_serial_hex(&all[i], text);
        hc_serial_hex_upper(&all[i], upper);
        hc_serial_decimal(&all[i], decimal);
        assert_found(r, hc_slice_text(text), false, id);
        assert_found(r, hc_slice_text(upper), false, id);
        assert_found(r, hc_slice_text(decimal), true, id);
        size_t used = 0;
        for (size_t k = 0; k < all[i].size; k++)
            used += (size_t)snprintf(colons + used, sizeof(colons) - used, "%s%02x",
                                     k                 ? ":"
                                     : all[i].negative ? "-00:"
                                                       : "00:",
                                     all[i].octets[k]);
        if (used)
            assert_found(r, hc_slice_text(colons), false, id);
    }
}

static const struct CMUnitTest tests[] = {
    WITH_EVERY_ENGINE(test_client_comes_back_as_it_was_added),
    WITH_EVERY_ENGINE(test_hostile_names_are_text_and_nothing_else),
    WITH_EVERY_ENGINE(test_taken_name_fails_and_what_went_before_is_rolled_back),
    WITH_EVERY_ENGINE(test_what_is_not_there_cannot_be_changed),
    WITH_EVERY_ENGINE(test_change_needs_a_write_transaction),
    WITH_EVERY_ENGINE(test_rolled_back_is_as_if_it_had_not_been),
    WITH_EVERY_ENGINE(test_number_of_a_removed_client_is_never_used_again),
    WITH_EVERY_ENGINE(test_clients_are_filtered),
    WITH_EVERY_ENGINE(test_certificate_comes_back_as_it_was_added),
    WITH_EVERY_ENGINE(test_key_of_a_certificate_is_issuer_serial_and_sha256),
    WITH_EVERY_ENGINE(test_certificates_are_filtered),
    WITH_EVERY_ENGINE(test_what_a_certificate_tells_is_taken_once),
    WITH_EVERY_ENGINE(test_seen_keeps_first_and_last_and_is_no_change),
    WITH_EVERY_ENGINE(test_audit_is_filtered_and_paged_both_ways),
    WITH_EVERY_ENGINE(test_changed_tells_of_what_another_committed),
    WITH_EVERY_ENGINE(test_changes_name_each_client_once_in_order),
    WITH_EVERY_ENGINE(test_changes_since_another_feed_are_unknown),
    WITH_EVERY_ENGINE(test_scan_tells_each_client_before_its_certificates),
    WITH_EVERY_ENGINE(test_callback_may_stop_a_list_and_ask_within_one),
    WITH_EVERY_ENGINE(test_every_spelling_of_a_serial_finds_its_certificate),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
