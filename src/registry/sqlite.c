#include "registry/sqlite.h"

#include "base/mem.h"
#include "registry/sqlite_private.h"

static int run(hc_sqlite *s, sqlite_fixed which, hc_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, which, &statement, err);
    if (rc == 0)
        rc = hc_sqlite_step(s, statement, err);
    hc_sqlite_release(s, statement);
    return rc < 0 ? rc : 0;
}

static void sqlite_rollback(hc_registry *r)
{
    hc_sqlite *s = hc_sqlite_of(r);
    /* It may be rolled back already; where even this fails, so do later changes (see
     * hc_sqlite_change), and closing rolls back. */
    if (!sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->writing = false;
    s->failed = false;
}

static int sqlite_begin(hc_registry *r, bool write, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    if (!sqlite3_get_autocommit(s->db))
        return hc_err_set(err, HC_EINVAL, "%s: there is a transaction already", s->path);
    if (write && s->read_only)
        return hc_err_set(err, HC_EDENIED, "%s: opened for reading alone", s->path);
    int rc = run(s, write ? SQL_BEGIN_WRITE : SQL_BEGIN_READ, err);
    s->writing = rc == 0 && write;
    s->failed = false;
    return rc;
}

static int sqlite_commit(hc_registry *r, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    int rc = 0;
    if (s->failed || sqlite3_get_autocommit(s->db))
        rc = hc_err_set(err, HC_EINVAL, "%s: no transaction that could be committed", s->path);
    else
        rc = run(s, SQL_COMMIT, err);
    sqlite_rollback(r);
    return rc;
}

static void sqlite_close(hc_registry *r)
{
    hc_sqlite *s = hc_sqlite_of(r);
    for (sqlite3_stmt *next; s->db && (next = sqlite3_next_stmt(s->db, NULL)) != NULL;)
        (void)sqlite3_finalize(next);
    (void)sqlite3_close(s->db);
    hc_free(s->path);
    hc_free(s);
}

const hc_registry_engine hc_sqlite_engine = {
    .scheme = "sqlite",
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .client_add = hc_sqlite_client_add,
    .client_set = hc_sqlite_client_set,
    .client_remove = hc_sqlite_client_remove,
    .clients = hc_sqlite_clients,
    .certificate_add = hc_sqlite_certificate_add,
    .certificate_set = hc_sqlite_certificate_set,
    .certificates = hc_sqlite_certificates,
    .certificate_der = hc_sqlite_certificate_der,
    .seen = hc_sqlite_seen,
    .audit_add = hc_sqlite_audit_add,
    .audit = hc_sqlite_audit,
    .changed = hc_sqlite_changed,
    .head = hc_sqlite_head,
    .changes = hc_sqlite_changes,
    .scan = hc_sqlite_scan,
};
