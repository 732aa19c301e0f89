#include "registry/sqlite_private.h"

int hc_sqlite_client_row(hc_sqlite *s, sqlite3_stmt *statement, hc_client_row *out, hc_err *err)
{
    int status = sqlite3_column_int(statement, 2);
    if (status < HC_CLIENT_ACTIVE || status > HC_CLIENT_REVOKED)
        return hc_sqlite_corrupt(s, "status of a client", err);
    *out = (hc_client_row){
        .id = sqlite3_column_int64(statement, 0),
        .name = hc_sqlite_text(statement, 1),
        .status = (hc_client_status)status,
        .status_s = sqlite3_column_int64(statement, 3),
        .reason = hc_sqlite_text(statement, 4),
        .roles = hc_sqlite_text(statement, 5),
        .attributes = hc_sqlite_text(statement, 6),
        .created_s = sqlite3_column_int64(statement, 7),
        .first_seen_s = sqlite3_column_int64(statement, 8),
        .last_seen_s = sqlite3_column_int64(statement, 9),
        .certificates = (uint64_t)sqlite3_column_int64(statement, 10),
    };
    return 0;
}

static void bind_row(hc_sqlite *s, sqlite3_stmt *statement, const hc_client_row *row)
{
    hc_sqlite_bind_text(s, statement, ":name", row->name);
    hc_sqlite_bind_int(s, statement, ":status", row->status);
    hc_sqlite_bind_int(s, statement, ":status_s", row->status_s);
    hc_sqlite_bind_text(s, statement, ":reason", row->reason);
    hc_sqlite_bind_text(s, statement, ":roles", row->roles);
    hc_sqlite_bind_text(s, statement, ":attributes", row->attributes);
    hc_sqlite_bind_int(s, statement, ":created_s", row->created_s);
}

int hc_sqlite_client_add(hc_registry *r, const hc_client_row *row, int64_t *id, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, SQL_CLIENT_ADD, &statement, err);
    if (rc)
        return rc;
    bind_row(s, statement, row);
    rc = hc_sqlite_change(s, statement, err);
    if (rc == 0)
        *id = sqlite3_last_insert_rowid(s->db);
    hc_sqlite_release(s, statement);
    return rc;
}

int hc_sqlite_client_set(hc_registry *r, const hc_client_row *row, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, SQL_CLIENT_SET, &statement, err);
    if (rc)
        return rc;
    bind_row(s, statement, row);
    hc_sqlite_bind_int(s, statement, ":id", row->id);
    rc = hc_sqlite_change_one(s, statement, err);
    hc_sqlite_release(s, statement);
    return rc;
}

int hc_sqlite_client_remove(hc_registry *r, int64_t id, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, SQL_CLIENT_REMOVE, &statement, err);
    if (rc)
        return rc;
    hc_sqlite_bind_int(s, statement, ":id", id);
    rc = hc_sqlite_change_one(s, statement, err);
    hc_sqlite_release(s, statement);
    return rc;
}

int hc_sqlite_clients(hc_registry *r, const hc_client_filter *f, hc_client_each each, void *arg,
                      hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    const sqlite_list_of list = {
        .which = LIST_CLIENTS,
        .values = {sqlite_number(f->id), sqlite_text(f->name), sqlite_text(f->search),
                   sqlite_number(f->status), sqlite_text(f->role),
                   sqlite_number(f->expiring_before_s), sqlite_number(f->unused_since_s)},
        .after = f->after,
        .limit = f->limit,
    };
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_list(s, &list, &statement, err);
    while (rc == 0 && (rc = hc_sqlite_step(s, statement, err)) > 0) {
        hc_client_row row;
        rc = hc_sqlite_client_row(s, statement, &row, err);
        if (rc == 0)
            rc = each(arg, &row);
    }
    hc_sqlite_release(s, statement);
    return rc;
}
