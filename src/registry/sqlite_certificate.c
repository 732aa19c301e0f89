#include "base/str.h"
#include "registry/sqlite_private.h"

/* The canonical form alone, and fast: a million of them are read when an index is loaded. */
static bool serial_of(hc_slice hex, hc_serial *out)
{
    *out = (hc_serial){0};
    if (hc_slice_equal_text(hex, "0"))
        return true;
    out->negative = hex.size > 0 && hex.at[0] == '-';
    hex = hc_slice_from(hex, out->negative);
    if (hex.size == 0 || hex.size > (size_t)2 * HC_LIMIT_SERIAL_OCTETS || hex.at[0] == '0')
        return false;
    out->size = (uint8_t)((hex.size + 1) / 2);
    for (size_t i = 0, nibble = hex.size % 2; i < hex.size; i++, nibble++) {
        int digit = hc_hex_digit(hex.at[i]);
        if (digit < 0 || (hex.at[i] >= 'A' && hex.at[i] <= 'F'))
            return false;
        uint8_t *octet = &out->octets[nibble / 2];
        *octet = (uint8_t)(*octet << 4 | digit);
    }
    return true;
}

int hc_sqlite_certificate_row(hc_sqlite *s, sqlite3_stmt *statement, bool detail,
                              hc_certificate_row *out, hc_err *err)
{
    int status = sqlite3_column_int(statement, 7);
    int origin = sqlite3_column_int(statement, 10);
    *out = (hc_certificate_row){
        .id = sqlite3_column_int64(statement, 0),
        .client_id = sqlite3_column_int64(statement, 1),
        .issuer_sha256 = hc_sqlite_sha256(statement, 2),
        .sha256 = hc_sqlite_sha256(statement, 4),
        .issuer_key_id = hc_sqlite_blob(statement, 5),
        .key_sha256 = hc_sqlite_sha256(statement, 6),
        .status = (hc_certificate_status)status,
        .revoked_s = sqlite3_column_int64(statement, 8),
        .reason = sqlite3_column_int(statement, 9),
        .origin = (hc_certificate_origin)origin,
        .replaces = sqlite3_column_int64(statement, 11),
        .not_before_s = sqlite3_column_int64(statement, 12),
        .not_after_s = sqlite3_column_int64(statement, 13),
        .added_s = sqlite3_column_int64(statement, 14),
        .first_seen_s = sqlite3_column_int64(statement, 15),
        .last_seen_s = sqlite3_column_int64(statement, 16),
    };
    if (!serial_of(hc_sqlite_text(statement, 3), &out->serial))
        return hc_sqlite_corrupt(s, "serial number of a certificate", err);
    if (status < HC_CERTIFICATE_ACTIVE || status > HC_CERTIFICATE_REVOKED ||
        origin < HC_ORIGIN_ISSUED || origin > HC_ORIGIN_SERIAL || !out->issuer_sha256 ||
        (!out->sha256 && sqlite3_column_type(statement, 4) != SQLITE_NULL))
        return hc_sqlite_corrupt(s, "a certificate's row", err);
    if (detail) {
        out->issuer = hc_sqlite_text(statement, 17);
        out->subject = hc_sqlite_text(statement, 18);
        out->sans = hc_sqlite_text(statement, 19);
        out->approved_by = hc_sqlite_text(statement, 20);
        out->client_name = hc_sqlite_text(statement, 21);
    }
    return 0;
}

static hc_slice sha256_slice(const uint8_t *at)
{
    return hc_slice_of(at, at ? 32 : 0);
}

/* An empty blob, where NULL would say something else. */
static hc_slice not_null(hc_slice blob)
{
    return blob.size ? blob : hc_slice_of("", 0);
}

static int add_row(hc_sqlite *s, const hc_certificate_row *row, hc_err *err)
{
    char serial[HC_SERIAL_HEX_BYTES];
    sqlite3_stmt *st = NULL;
    int rc = hc_sqlite_fixed(s, SQL_CERTIFICATE_ADD, &st, err);
    if (rc)
        return rc;
    hc_serial_hex(&row->serial, serial);
    hc_sqlite_bind_int(s, st, ":client_id", row->client_id);
    hc_sqlite_bind_blob(s, st, ":issuer_sha256", sha256_slice(row->issuer_sha256));
    hc_sqlite_bind_text(s, st, ":serial", hc_slice_text(serial));
    hc_sqlite_bind_blob(s, st, ":sha256", sha256_slice(row->sha256));
    hc_sqlite_bind_blob(s, st, ":issuer_key_id", not_null(row->issuer_key_id));
    hc_sqlite_bind_blob(s, st, ":key_sha256", sha256_slice(row->key_sha256));
    hc_sqlite_bind_int(s, st, ":status", row->status);
    hc_sqlite_bind_int(s, st, ":revoked_s", row->revoked_s);
    hc_sqlite_bind_int(s, st, ":reason", row->reason);
    hc_sqlite_bind_int(s, st, ":origin", row->origin);
    hc_sqlite_bind_int(s, st, ":replaces", row->replaces);
    hc_sqlite_bind_int(s, st, ":not_before_s", row->not_before_s);
    hc_sqlite_bind_int(s, st, ":not_after_s", row->not_after_s);
    hc_sqlite_bind_int(s, st, ":added_s", row->added_s);
    hc_sqlite_bind_int(s, st, ":first_seen_s", row->first_seen_s);
    hc_sqlite_bind_int(s, st, ":last_seen_s", row->last_seen_s);
    rc = hc_sqlite_change(s, st, err);
    hc_sqlite_release(s, st);
    return rc;
}

static int add_detail(hc_sqlite *s, int64_t id, const hc_certificate_row *row, hc_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = hc_sqlite_fixed(s, SQL_CERTIFICATE_ADD_DETAIL, &st, err);
    if (rc)
        return rc;
    hc_sqlite_bind_int(s, st, ":id", id);
    hc_sqlite_bind_text(s, st, ":issuer", row->issuer);
    hc_sqlite_bind_text(s, st, ":subject", row->subject);
    hc_sqlite_bind_text(s, st, ":sans", row->sans);
    hc_sqlite_bind_text(s, st, ":approved_by", row->approved_by);
    hc_sqlite_bind_blob(s, st, ":der", row->der.size ? row->der : HC_SLICE_NONE);
    rc = hc_sqlite_change(s, st, err);
    hc_sqlite_release(s, st);
    return rc;
}

int hc_sqlite_certificate_add(hc_registry *r, const hc_certificate_row *row, int64_t *id,
                              hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    int rc = add_row(s, row, err);
    if (rc)
        return rc;
    int64_t added = sqlite3_last_insert_rowid(s->db);
    rc = add_detail(s, added, row, err);
    if (rc == 0)
        *id = added;
    return rc;
}

static int set_row(hc_sqlite *s, const hc_certificate_row *row, hc_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = hc_sqlite_fixed(s, SQL_CERTIFICATE_SET, &st, err);
    if (rc)
        return rc;
    hc_sqlite_bind_int(s, st, ":id", row->id);
    hc_sqlite_bind_int(s, st, ":status", row->status);
    hc_sqlite_bind_int(s, st, ":revoked_s", row->revoked_s);
    hc_sqlite_bind_int(s, st, ":reason", row->reason);
    hc_sqlite_bind_blob(s, st, ":sha256", sha256_slice(row->sha256));
    hc_sqlite_bind_blob(s, st, ":key_sha256", sha256_slice(row->key_sha256));
    hc_sqlite_bind_int(s, st, ":not_before_s", row->not_before_s);
    hc_sqlite_bind_int(s, st, ":not_after_s", row->not_after_s);
    rc = hc_sqlite_change_one(s, st, err);
    hc_sqlite_release(s, st);
    return rc;
}

int hc_sqlite_certificate_set(hc_registry *r, const hc_certificate_row *row, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *st = NULL;
    int rc = set_row(s, row, err);
    if (rc == 0)
        rc = hc_sqlite_fixed(s, SQL_CERTIFICATE_SET_DETAIL, &st, err);
    if (rc)
        return rc;
    hc_sqlite_bind_int(s, st, ":id", row->id);
    hc_sqlite_bind_text(s, st, ":subject", row->subject);
    hc_sqlite_bind_text(s, st, ":sans", row->sans);
    rc = hc_sqlite_change_one(s, st, err);
    hc_sqlite_release(s, st);
    return rc;
}

int hc_sqlite_certificates(hc_registry *r, const hc_certificate_filter *f, hc_certificate_each each,
                           void *arg, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    char serial[HC_SERIAL_HEX_BYTES] = "";
    if (f->serial)
        hc_serial_hex(f->serial, serial);
    const sqlite_list_of list = {
        .which = LIST_CERTIFICATES,
        .values = {sqlite_number(f->id), sqlite_number(f->client_id),
                   sqlite_text(hc_slice_text(serial)), sqlite_sha256(f->issuer_sha256),
                   sqlite_sha256(f->sha256), sqlite_sha256(f->key_sha256), sqlite_number(f->status),
                   sqlite_number(f->expiring_before_s)},
        .after = f->after,
        .limit = f->limit,
    };
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_list(s, &list, &statement, err);
    while (rc == 0 && (rc = hc_sqlite_step(s, statement, err)) > 0) {
        hc_certificate_row row;
        rc = hc_sqlite_certificate_row(s, statement, true, &row, err);
        if (rc == 0)
            rc = each(arg, &row);
    }
    hc_sqlite_release(s, statement);
    return rc;
}

int hc_sqlite_certificate_der(hc_registry *r, int64_t id, int (*each)(void *arg, hc_slice der),
                              void *arg, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, SQL_CERTIFICATE_DER, &statement, err);
    if (rc)
        return rc;
    hc_sqlite_bind_int(s, statement, ":id", id);
    rc = hc_sqlite_step(s, statement, err);
    if (rc == 0)
        rc = hc_err_set(err, HC_ENOENT, "no certificate is kept under the number %lld",
                        (long long)id);
    else if (rc > 0)
        rc = each(arg, hc_sqlite_blob(statement, 0));
    hc_sqlite_release(s, statement);
    return rc;
}

int hc_sqlite_seen(hc_registry *r, const hc_seen *seen, size_t count, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, SQL_SEEN, &statement, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        hc_sqlite_bind_int(s, statement, ":id", seen[i].certificate_id);
        hc_sqlite_bind_int(s, statement, ":at_s", seen[i].at_s);
        rc = hc_sqlite_change(s, statement, err);
        (void)sqlite3_reset(statement);
    }
    hc_sqlite_release(s, statement);
    return rc;
}
