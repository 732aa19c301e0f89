#include <errno.h>

#include "registry/sqlite_private.h"

/* The file at the path is the one that is open, and how it looks did not change. */
static int look_at_file(hc_sqlite *s, bool *same, hc_err *err)
{
    struct stat now;
    if (stat(s->path, &now))
        return hc_err_set(err, errno == ENOENT ? HC_ENOENT : HC_EIO, "%s: is gone: %s", s->path,
                          strerror(errno));
    if (now.st_dev != s->file.st_dev || now.st_ino != s->file.st_ino)
        return hc_err_set(err, HC_ENOENT, "%s: was replaced: it has to be opened anew", s->path);
    *same = now.st_size == s->file.st_size && now.st_mtim.tv_sec == s->file.st_mtim.tv_sec &&
            now.st_mtim.tv_nsec == s->file.st_mtim.tv_nsec;
    s->file = now;
    return 0;
}

/* Grows with what other connections commit; SQLite reads one page for it. */
static int read_data_version(hc_sqlite *s, int64_t *out, hc_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, SQL_DATA_VERSION, &statement, err);
    if (rc == 0)
        rc = hc_sqlite_step(s, statement, err);
    if (rc > 0)
        *out = sqlite3_column_int64(statement, 0);
    hc_sqlite_release(s, statement);
    return rc < 0 ? rc : 0;
}

/* In one transaction: where others write without a pause each lock for reading is hard to get. */
static int read_versions(hc_sqlite *s, int64_t *version, bool *moved, hc_err *err)
{
    hc_registry *r = &s->registry;
    int rc = r->engine->begin(r, false, err);
    if (rc)
        return rc;
    rc = read_data_version(s, version, err);
    *moved = rc == 0 && s->looked && *version != s->data_version;
    /* A newer program may have brought it up to a version whose rows mean something else. */
    if (*moved)
        rc = hc_sqlite_check_version(s, err);
    r->engine->rollback(r);
    return rc;
}

int hc_sqlite_changed(hc_registry *r, bool *changed, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    int64_t version = 0;
    bool same = false, moved = false;
    int rc = look_at_file(s, &same, err);
    if (rc == 0)
        rc = read_versions(s, &version, &moved, err);
    if (rc) {
        s->looked = false;
        return rc;
    }
    if (s->looked && !same && !moved && s->read_only) {
        /* By something that is not SQLite, a backup perhaps whose own counter says the same: what
         * this connection keeps in memory may be of the file before. A commit between the two looks
         * seems so too, and is worth opening anew. */
        s->looked = false;
        return hc_err_set(err, HC_ENOENT, "%s: was written over: it has to be opened anew",
                          s->path);
    }
    /* A change of its own does not move the version. */
    *changed = !s->looked || !same || moved;
    s->looked = true;
    s->data_version = version;
    return 0;
}

int hc_sqlite_head(hc_registry *r, hc_registry_head *out, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *statement = NULL;
    int rc = hc_sqlite_fixed(s, SQL_HEAD, &statement, err);
    if (rc == 0)
        rc = hc_sqlite_step(s, statement, err);
    if (rc > 0)
        *out = (hc_registry_head){.seq = sqlite3_column_int64(statement, 0),
                                  .mark = (uint64_t)sqlite3_column_int64(statement, 1),
                                  .epoch = (uint64_t)sqlite3_column_int64(statement, 2)};
    else if (rc == 0)
        rc = hc_sqlite_corrupt(s, "no epoch", err);
    hc_sqlite_release(s, statement);
    return rc < 0 ? rc : 0;
}

static int check_since(hc_sqlite *s, const hc_registry_head *since, hc_err *err)
{
    sqlite3_stmt *statement = NULL;
    uint64_t epoch = 0, mark = 0;
    int rc = hc_sqlite_fixed(s, since->seq ? SQL_MARK : SQL_HEAD, &statement, err);
    if (rc)
        return rc;
    if (since->seq)
        hc_sqlite_bind_int(s, statement, ":seq", since->seq);
    rc = hc_sqlite_step(s, statement, err);
    bool found = rc > 0;
    if (found) {
        epoch = (uint64_t)sqlite3_column_int64(statement, since->seq ? 0 : 2);
        mark = since->seq ? (uint64_t)sqlite3_column_int64(statement, 1) : since->mark;
    }
    hc_sqlite_release(s, statement);
    if (rc < 0)
        return rc;
    if (!found || epoch != since->epoch || mark != since->mark)
        return hc_err_set(err, HC_ENOENT, "%s: another database than before, or a backup", s->path);
    return 0;
}

int hc_sqlite_changes(hc_registry *r, const hc_registry_head *since, uint64_t limit,
                      int (*each)(void *arg, int64_t client_id), void *arg, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite3_stmt *statement = NULL;
    uint64_t count = 0;
    int rc = check_since(s, since, err);
    if (rc == 0)
        rc = hc_sqlite_fixed(s, SQL_CHANGES, &statement, err);
    if (rc)
        return rc;
    hc_sqlite_bind_int(s, statement, ":seq", since->seq);
    hc_sqlite_bind_int(s, statement, ":limit", limit < INT64_MAX ? (int64_t)limit + 1 : -1);
    while (rc == 0 && (rc = hc_sqlite_step(s, statement, err)) > 0) {
        if (++count > limit)
            rc = hc_err_set(err, HC_ELIMIT, "%s: more than %llu clients changed", s->path,
                            (unsigned long long)limit);
        else
            rc = each(arg, sqlite3_column_int64(statement, 0));
    }
    hc_sqlite_release(s, statement);
    return rc;
}

typedef struct sqlite_scan {
    hc_sqlite *s;
    sqlite3_stmt *clients, *certificates;
    hc_client_each client;
    hc_certificate_each certificate;
    void *arg;
} sqlite_scan;

/* The certificates of `client_id`; `more` is whether the statement stands on one that is not told
 * yet. */
static int scan_certificates(sqlite_scan *x, int64_t client_id, bool *more, hc_err *err)
{
    while (*more && sqlite3_column_int64(x->certificates, 1) == client_id) {
        hc_certificate_row row;
        int rc = hc_sqlite_certificate_row(x->s, x->certificates, false, &row, err);
        if (rc == 0)
            rc = x->certificate(x->arg, &row);
        if (rc == 0)
            rc = hc_sqlite_step(x->s, x->certificates, err);
        if (rc < 0)
            return rc;
        *more = rc > 0;
    }
    return 0;
}

static int scan_clients(sqlite_scan *x, hc_err *err)
{
    int rc = hc_sqlite_step(x->s, x->certificates, err);
    bool more = rc > 0;
    if (rc > 0)
        rc = 0;
    while (rc == 0 && (rc = hc_sqlite_step(x->s, x->clients, err)) > 0) {
        hc_client_row row;
        rc = hc_sqlite_client_row(x->s, x->clients, &row, err);
        if (rc == 0)
            rc = x->client(x->arg, &row);
        if (rc == 0)
            rc = scan_certificates(x, row.id, &more, err);
    }
    if (rc == 0 && more)
        rc = hc_sqlite_corrupt(x->s, "a certificate without a client", err);
    return rc;
}

int hc_sqlite_scan(hc_registry *r, int64_t client_id, hc_client_each client,
                   hc_certificate_each certificate, void *arg, hc_err *err)
{
    hc_sqlite *s = hc_sqlite_of(r);
    sqlite_scan x = {.s = s, .client = client, .certificate = certificate, .arg = arg};
    int rc = hc_sqlite_fixed(s, client_id ? SQL_SCAN_CLIENT : SQL_SCAN_CLIENTS, &x.clients, err);
    if (rc == 0)
        rc = hc_sqlite_fixed(s, client_id ? SQL_SCAN_CERTIFICATES_OF : SQL_SCAN_CERTIFICATES,
                             &x.certificates, err);
    if (rc == 0 && client_id) {
        hc_sqlite_bind_int(s, x.clients, ":client_id", client_id);
        hc_sqlite_bind_int(s, x.certificates, ":client_id", client_id);
    }
    if (rc == 0)
        rc = scan_clients(&x, err);
    hc_sqlite_release(s, x.certificates);
    hc_sqlite_release(s, x.clients);
    return rc;
}
