#include "registry/sqlite_private.h"

int hc_sqlite_audit_add(hc_registry *r, const hc_audit_row *row, int64_t *seq, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, SQL_AUDIT_ADD, &statement, err);
    if (rc)
        return rc;
    hc_sqlite_bind_int(s, statement, ":at_ms", row->at_ms);
    hc_sqlite_bind_text(s, statement, ":who", row->who);
    hc_sqlite_bind_text(s, statement, ":action", row->action);
    hc_sqlite_bind_int(s, statement, ":client_id", row->client_id);
    hc_sqlite_bind_text(s, statement, ":client_name", row->client_name);
    hc_sqlite_bind_int(s, statement, ":certificate_id", row->certificate_id);
    hc_sqlite_bind_text(s, statement, ":certificate", row->certificate);
    hc_sqlite_bind_text(s, statement, ":was", row->was);
    hc_sqlite_bind_text(s, statement, ":now", row->now);
    rc = hc_sqlite_change(s, statement, err);
    if (rc == 0)
        *seq = sqlite3_last_insert_rowid(s->db);
    hc_sqlite_release(s, statement);
    return rc;
}

static hc_audit_row audit_row(sqlite3_stmt *statement)
{
    return (hc_audit_row){
        .seq = sqlite3_column_int64(statement, 0),
        .at_ms = sqlite3_column_int64(statement, 1),
        .who = hc_sqlite_text(statement, 2),
        .action = hc_sqlite_text(statement, 3),
        .client_id = sqlite3_column_int64(statement, 4),
        .client_name = hc_sqlite_text(statement, 5),
        .certificate_id = sqlite3_column_int64(statement, 6),
        .certificate = hc_sqlite_text(statement, 7),
        .was = hc_sqlite_text(statement, 8),
        .now = hc_sqlite_text(statement, 9),
    };
}

int hc_sqlite_audit(hc_registry *r, const hc_audit_filter *f, hc_audit_each each, void *arg,
                    hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    const sqlite_list_of list = {
        .which = LIST_AUDIT,
        .values = {sqlite_number(f->client_id), sqlite_number(f->certificate_id),
                   sqlite_text(f->client_name), sqlite_text(f->action), sqlite_text(f->who),
                   sqlite_number(f->since_ms), sqlite_number(f->before)},
        .after = f->after,
        .limit = f->limit,
        .newest_first = f->newest_first,
    };
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_list(s, &list, &statement, err);
    while (rc == 0 && (rc = hc_sqlite_step(s, statement, err)) > 0) {
        hc_audit_row row = audit_row(statement);
        rc = each(arg, &row);
    }
    hc_sqlite_release(s, statement);
    return rc;
}
