#include <string.h>

#include "base/str.h"
#include "registry/change_private.h"
#include "x509/name.h"
#include "x509/reason.h"

typedef struct certificate_copy {
    hc_arena *arena;
    hc_certificate_row *out;
    bool found;
} certificate_copy;

static int copy_sha256(hc_arena *arena, const uint8_t **at)
{
    hc_slice copy = HC_SLICE_NONE;
    int rc = *at ? hc_arena_copy(arena, hc_slice_of(*at, 32), &copy) : 0;
    if (rc == 0)
        *at = copy.at;
    return rc;
}

static int copy_certificate(void *arg, const hc_certificate_row *row)
{
    certificate_copy *c = arg;
    hc_certificate_row *o = c->out;
    *o = *row;
    c->found = true;
    const uint8_t **const digests[] = {&o->issuer_sha256, &o->sha256, &o->key_sha256};
    hc_slice *const slices[] = {&o->issuer_key_id, &o->issuer,      &o->subject,
                                &o->sans,          &o->approved_by, &o->client_name};
    int rc = 0;
    for (size_t i = 0; i < HC_COUNT(digests) && rc == 0; i++)
        rc = copy_sha256(c->arena, digests[i]);
    for (size_t i = 0; i < HC_COUNT(slices) && rc == 0; i++)
        rc = hc_arena_copy(c->arena, *slices[i], slices[i]);
    return rc;
}

int hc_change_load_certificate(hc_registry *r, int64_t id, hc_arena *arena, hc_certificate_row *out,
                               hc_err *err)
{
    certificate_copy copy = {arena, out, false};
    const hc_certificate_filter f = {.id = id};
    hc_err why = {0};
    int rc = id > 0 ? r->engine->certificates(r, &f, copy_certificate, &copy, &why) : 0;
    rc = hc_change_told(rc, &why, err);
    if (rc == 0 && !copy.found)
        rc =
            hc_err_set(err, HC_ENOENT, "there is no certificate of the number %lld", (long long)id);
    return rc;
}

static const char *const san_types[HC_SAN_TYPES] = {
    [HC_SAN_EMAIL] = "email", [HC_SAN_DNS] = "DNS", [HC_SAN_URI] = "URI",     [HC_SAN_IP] = "IP",
    [HC_SAN_UPN] = "UPN",     [HC_SAN_SRV] = "SRV", [HC_SAN_OTHER] = "other",
};

static int on_san(void *arg, hc_san_type type, hc_slice value, int nth_of_type)
{
    (void)nth_of_type;
    hc_buf text = hc_buf_init(HC_LIMIT_REGISTRY_ROW);
    int rc = hc_buf_printf(&text, "%s:", san_types[type]);
    /* What OpenSSL prints of a rare kind of name need not be text. */
    if (rc == 0)
        rc = hc_utf8_valid(value) ? hc_buf_add(&text, value) : hc_escape_add(&text, value);
    if (rc == 0 && json_array_append_new(arg, hc_change_json(hc_buf_slice(&text))))
        rc = -HC_ENOMEM;
    hc_buf_done(&text);
    return rc;
}

/* A row as the certificate tells it; what it points to lives as long as the certificate and this.
 */
typedef struct told_row {
    hc_certificate_row row;
    uint8_t key_sha256[32];
    hc_buf sans;
} told_row;

static int tell(const hc_cert *cert, told_row *out, hc_err *err)
{
    *out = (told_row){.sans = hc_buf_init(HC_LIMIT_REGISTRY_ROW),
                      .row = {
                          .issuer_sha256 = hc_cert_issuer_sha256(cert),
                          .serial = *hc_cert_serial(cert),
                          .sha256 = hc_cert_sha256(cert),
                          .issuer_key_id = hc_cert_issuer_key_id(cert),
                          .issuer = hc_slice_text(hc_cert_issuer(cert)),
                          .subject = hc_slice_text(hc_cert_subject(cert)),
                          .not_before_s = hc_cert_not_before(cert),
                          .not_after_s = hc_cert_not_after(cert),
                          .status = HC_CERTIFICATE_ACTIVE,
                          .reason = HC_REASON_NONE,
                      }};
    out->row.key_sha256 = out->key_sha256;
    int rc = hc_cert_key_sha256(cert, out->key_sha256, err);
    if (rc)
        return rc;
    json_t *sans = json_array();
    hc_err why = {0};
    rc = sans ? hc_change_told(hc_san_entries(hc_cert_x509(cert), on_san, sans, &why), &why, err)
              : hc_change_no_memory(err);
    if (rc == 0 && json_array_size(sans) && hc_change_dump(sans, &out->sans))
        rc = hc_change_no_memory(err);
    out->row.sans = hc_buf_slice(&out->sans);
    json_decref(sans);
    return rc;
}

/* Whether a row and a certificate may be of one issuer: its name is the same already. */
static bool same_key_id(hc_slice row, hc_slice other)
{
    return row.size == 0 || other.size == 0 || hc_slice_equal(row, other);
}

/* What is on record under an issuer's name and a serial. */
typedef struct on_record {
    const hc_certificate_row *wanted;
    int64_t same;   /* this very certificate; without a SHA-256 wanted: any that may be meant */
    int64_t unseen; /* a serial alone that it may be */
    char other[HC_LIMIT_CLIENT_NAME + 1]; /* a client of whom one of these is */
} on_record;

static int on_found(void *arg, const hc_certificate_row *row)
{
    on_record *x = arg;
    const hc_certificate_row *w = x->wanted;
    bool same = w->sha256 && row->sha256 ? memcmp(w->sha256, row->sha256, 32) == 0
                                         : same_key_id(row->issuer_key_id, w->issuer_key_id);
    /* A serial that is pinned to an issuer's key is not of a certificate that names no key. */
    if (w->sha256 && !row->sha256 && row->issuer_key_id.size && w->issuer_key_id.size == 0)
        same = false;
    if (!same)
        return 0;
    if (row->client_id != w->client_id)
        (void)snprintf(x->other, sizeof(x->other), "%.*s", HC_SLICE_ARGS(row->client_name));
    else if (w->sha256 && !row->sha256)
        x->unseen = row->id;
    else
        x->same = row->id;
    return 0;
}

static int look_up(hc_registry *r, const hc_certificate_row *wanted, on_record *out, hc_err *err)
{
    *out = (on_record){.wanted = wanted};
    const hc_certificate_filter f = {.serial = &wanted->serial,
                                     .issuer_sha256 = wanted->issuer_sha256};
    int rc = r->engine->certificates(r, &f, on_found, out, err);
    char hex[HC_SERIAL_HEX_BYTES];
    hc_serial_hex(&wanted->serial, hex);
    if (rc == 0 && out->other[0])
        rc = hc_err_set(err, HC_EEXIST, "the certificate %s is on record with %s already", hex,
                        out->other);
    return rc;
}

static json_t *json_told(const hc_certificate_row *row)
{
    char hex[65] = "";
    for (size_t i = 0; row->sha256 && i < 32; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", row->sha256[i]);
    if (!row->sha256) /* a serial alone tells no more */
        return json_pack("{s:s}", "origin", hc_certificate_origin_name(row->origin));
    return json_pack("{s:s, s:s, s:o, s:I}", "origin", hc_certificate_origin_name(row->origin),
                     "sha256", hex, "subject", hc_change_json(row->subject), "not_after",
                     (json_int_t)row->not_after_s);
}

static int add_row(hc_registry *r, const hc_actor *a, hc_certificate_row *row, hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_client_row client = {0};
    int rc = hc_change_load_client(r, row->client_id, &arena, &client, err);
    if (rc == 0 && client.certificates >= HC_LIMIT_CLIENT_CERTIFICATES)
        rc =
            hc_err_set(err, HC_ELIMIT, "%.*s has %d certificates, more are not kept for one client",
                       HC_SLICE_ARGS(client.name), HC_LIMIT_CLIENT_CERTIFICATES);
    row->added_s = hc_change_now_s(a);
    if (rc == 0)
        rc = r->engine->certificate_add(r, row, &row->id, err);
    if (rc == 0)
        rc = hc_change_write_audit(r, a,
                                   &(hc_change_audit){.action = "certificate.add",
                                                      .client = &client,
                                                      .certificate = row,
                                                      .was = json_null(),
                                                      .now = json_told(row)},
                                   err);
    hc_arena_done(&arena);
    return rc;
}

/* `row` came as a serial alone; `now` is what its certificate tells. */
static int pin(hc_registry *r, const hc_actor *a, const hc_certificate_row *row,
               hc_certificate_row *now, hc_err *err)
{
    now->id = row->id;
    now->client_id = row->client_id;
    now->status = row->status;
    now->revoked_s = row->revoked_s;
    now->reason = row->reason;
    now->origin = row->origin;
    int rc = r->engine->certificate_set(r, now, err);
    if (rc)
        return rc;
    const hc_client_row client = {.id = row->client_id, .name = row->client_name};
    return hc_change_write_audit(r, a,
                                 &(hc_change_audit){.action = "certificate.pin",
                                                    .client = &client,
                                                    .certificate = now,
                                                    .was = json_null(),
                                                    .now = json_told(now)},
                                 err);
}

static int pin_id(hc_registry *r, const hc_actor *a, int64_t id, hc_certificate_row *now,
                  hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_certificate_row row = {0};
    int rc = hc_change_load_certificate(r, id, &arena, &row, err);
    if (rc == 0)
        rc = pin(r, a, &row, now, err);
    hc_arena_done(&arena);
    return rc;
}

int hc_change_add_certificate(hc_registry *r, const hc_actor *a, const hc_certificate_new *c,
                              int64_t *id, hc_err *err)
{
    told_row t;
    on_record there = {0};
    int rc = tell(c->cert, &t, err);
    t.row.client_id = c->client_id;
    t.row.origin = c->origin;
    t.row.approved_by = c->approved_by;
    t.row.replaces = c->replaces;
    t.row.der = c->keep_der ? hc_cert_der(c->cert) : HC_SLICE_NONE;
    if (rc == 0)
        rc = look_up(r, &t.row, &there, err);
    if (rc == 0 && there.same)
        t.row.id = there.same;
    else if (rc == 0 && there.unseen)
        rc = pin_id(r, a, there.unseen, &t.row, err);
    else if (rc == 0)
        rc = add_row(r, a, &t.row, err);
    if (rc == 0)
        *id = t.row.id;
    hc_buf_done(&t.sans);
    return rc;
}

int hc_change_add_serial(hc_registry *r, const hc_actor *a, int64_t client_id,
                         const uint8_t issuer_sha256[32], hc_slice issuer, hc_slice issuer_key_id,
                         const hc_serial *serial, int64_t *id, hc_err *err)
{
    hc_certificate_row row = {
        .client_id = client_id,
        .issuer_sha256 = issuer_sha256,
        .serial = *serial,
        .issuer_key_id = issuer_key_id,
        .issuer = issuer,
        .status = HC_CERTIFICATE_ACTIVE,
        .reason = HC_REASON_NONE,
        .origin = HC_ORIGIN_SERIAL,
    };
    if (issuer.size > HC_LIMIT_CERT_BYTES || issuer_key_id.size > HC_LIMIT_CERT_BYTES)
        return hc_err_set(err, HC_EINVAL, "issuer of a serial: longer than any certificate");
    on_record there;
    int rc = look_up(r, &row, &there, err);
    if (rc == 0 && there.same)
        row.id = there.same;
    else if (rc == 0)
        rc = add_row(r, a, &row, err);
    if (rc == 0)
        *id = row.id;
    return rc;
}

static int check_pin(const hc_certificate_row *row, const hc_certificate_row *now, hc_err *err)
{
    if (row->sha256)
        return hc_err_set(err, HC_EEXIST, "another certificate was seen first under this serial");
    bool same =
        memcmp(row->issuer_sha256, now->issuer_sha256, 32) == 0 &&
        hc_serial_equal(&row->serial, &now->serial) &&
        (row->issuer_key_id.size == 0 || hc_slice_equal(row->issuer_key_id, now->issuer_key_id));
    return same ? 0 : hc_err_set(err, HC_EINVAL, "the certificate is of another issuer or serial");
}

int hc_change_pin_certificate(hc_registry *r, const hc_actor *a, int64_t certificate_id,
                              const hc_cert *cert, hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_certificate_row row = {0};
    told_row t;
    int rc = tell(cert, &t, err);
    if (rc == 0)
        rc = hc_change_load_certificate(r, certificate_id, &arena, &row, err);
    bool same = rc == 0 && row.sha256 && memcmp(row.sha256, t.row.sha256, 32) == 0;
    if (rc == 0 && !same)
        rc = check_pin(&row, &t.row, err);
    if (rc == 0 && !same)
        rc = pin(r, a, &row, &t.row, err);
    hc_buf_done(&t.sans);
    hc_arena_done(&arena);
    return rc;
}

static json_t *json_revoked(const hc_certificate_row *row)
{
    const char *status = hc_certificate_status_name(row->status);
    return *hc_reason_name(row->reason)
               ? json_pack("{s:s, s:s}", "status", status, "reason", hc_reason_name(row->reason))
               : json_pack("{s:s}", "status", status);
}

int hc_change_revoke_certificate(hc_registry *r, const hc_actor *a, int64_t certificate_id,
                                 int reason_code, hc_err *err)
{
    hc_arena arena = hc_arena_init(HC_CHANGE_ARENA);
    hc_certificate_row was = {0};
    int rc = hc_change_check_reason_code(reason_code, err);
    if (rc == 0)
        rc = hc_change_load_certificate(r, certificate_id, &arena, &was, err);
    if (rc || was.status == HC_CERTIFICATE_REVOKED)
        goto out;
    hc_certificate_row now = was;
    now.status = HC_CERTIFICATE_REVOKED;
    now.revoked_s = hc_change_now_s(a);
    now.reason = reason_code;
    rc = r->engine->certificate_set(r, &now, err);
    if (rc)
        goto out;
    const hc_client_row client = {.id = was.client_id, .name = was.client_name};
    rc = hc_change_write_audit(r, a,
                               &(hc_change_audit){.action = "certificate.revoke",
                                                  .client = &client,
                                                  .certificate = &was,
                                                  .was = json_revoked(&was),
                                                  .now = json_revoked(&now)},
                               err);
out:
    hc_arena_done(&arena);
    return rc;
}

static int on_active(void *arg, const hc_certificate_row *row)
{
    return hc_buf_add(arg, hc_slice_of(&row->id, sizeof(row->id)));
}

int hc_change_revoke_all(hc_registry *r, const hc_actor *a, const hc_client_row *client,
                         int reason_code, hc_err *err)
{
    hc_buf ids = hc_buf_init(client->certificates * sizeof(int64_t));
    const hc_certificate_filter f = {.client_id = client->id, .status = HC_CERTIFICATE_ACTIVE};
    hc_err why = {0};
    int rc = hc_change_told(r->engine->certificates(r, &f, on_active, &ids, &why), &why, err);
    for (size_t i = 0; i < ids.size && rc == 0; i += sizeof(int64_t)) {
        int64_t id = 0;
        memcpy(&id, ids.at + i, sizeof(id));
        rc = hc_change_revoke_certificate(r, a, id, reason_code, err);
    }
    hc_buf_done(&ids);
    return rc;
}
