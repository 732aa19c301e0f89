/* What the files of the SQLite engine share: the connection, its statements, its errors. */
#ifndef HC_REGISTRY_SQLITE_PRIVATE_H
#define HC_REGISTRY_SQLITE_PRIVATE_H

#include <sqlite3.h>
#include <sys/stat.h>

#include "registry/registry.h"

/* Marks a file as ours (PRAGMA application_id): "HCLR". */
#define HC_SQLITE_APPLICATION_ID 0x48434c52

/* Statements whose text never varies. */
typedef enum sqlite_fixed {
    SQL_BEGIN_READ,
    SQL_BEGIN_WRITE,
    SQL_COMMIT,
    SQL_CLIENT_ADD,
    SQL_CLIENT_SET,
    SQL_CLIENT_REMOVE,
    SQL_CERTIFICATE_ADD,
    SQL_CERTIFICATE_ADD_DETAIL,
    SQL_CERTIFICATE_SET,
    SQL_CERTIFICATE_SET_DETAIL,
    SQL_CERTIFICATE_DER,
    SQL_SEEN,
    SQL_AUDIT_ADD,
    SQL_DATA_VERSION,
    SQL_HEAD,
    SQL_MARK,
    SQL_CHANGES,
    SQL_SCAN_CLIENTS,
    SQL_SCAN_CERTIFICATES,
    SQL_SCAN_CLIENT,
    SQL_SCAN_CERTIFICATES_OF,
    SQL_FIXED
} sqlite_fixed;

/* Lists: their text is put together from one constant part per filter that is in use. */
typedef enum sqlite_list { LIST_CLIENTS, LIST_CERTIFICATES, LIST_AUDIT, SQL_LISTS } sqlite_list;
#define SQL_FILTERS 8

/* What a filter is compared with: 0 and no octets do not filter. */
typedef struct sqlite_value {
    enum { VALUE_NONE, VALUE_NUMBER, VALUE_TEXT, VALUE_BLOB } type;
    int64_t number;
    hc_slice octets;
} sqlite_value;

static inline sqlite_value sqlite_number(int64_t n)
{
    return (sqlite_value){n ? VALUE_NUMBER : VALUE_NONE, n, HC_SLICE_NONE};
}

static inline sqlite_value sqlite_text(hc_slice text)
{
    return (sqlite_value){text.size ? VALUE_TEXT : VALUE_NONE, 0, text};
}

static inline sqlite_value sqlite_sha256(const uint8_t *at)
{
    return (sqlite_value){at ? VALUE_BLOB : VALUE_NONE, 0, hc_slice_of(at, at ? 32 : 0)};
}

typedef struct hc_sqlite {
    hc_registry registry;
    sqlite3 *db;
    char *path;
    struct stat file; /* as it was when it was opened, or last looked at */
    uint64_t wait_ms;
    uint64_t waited_ms;
    bool read_only;
    bool writing; /* in a write transaction */
    bool failed;  /* one of its changes failed: it can only be rolled back */
    int bound;    /* SQLite's result of the first binding that failed since the last step */
    bool looked;  /* `data_version` is known */
    int64_t data_version;
    sqlite3_stmt *fixed[SQL_FIXED];
    sqlite3_stmt *lists[SQL_LISTS][2][1 << SQL_FILTERS];
} hc_sqlite;

static inline hc_sqlite *hc_sqlite_of(hc_registry *r)
{
    return (hc_sqlite *)r;
}

extern const hc_registry_engine hc_sqlite_engine;

/* The migrations, built in: [n] makes version n + 1 out of version n. */
extern const char *const hc_sqlite_schema[];
extern const size_t hc_sqlite_schema_count;
/* -HC_EFORMAT where the database is not of the version that this program reads. */
int hc_sqlite_check_version(hc_sqlite *s, hc_err *err) HC_MUST_CHECK;
/* Brings the schema up to `count`, all steps in one transaction; a newer one is -HC_EFORMAT. */
int hc_sqlite_migrate(hc_sqlite *s, const char *const *schema, size_t count,
                      hc_err *err) HC_MUST_CHECK;

/* What went wrong last on this connection, as our code and a text. `rc`: SQLite's result. */
int hc_sqlite_failed(hc_sqlite *s, int rc, hc_err *err) HC_MUST_CHECK;
/* A value that the schema rules out. */
int hc_sqlite_corrupt(hc_sqlite *s, const char *what, hc_err *err) HC_MUST_CHECK;

/* A statement ready to be bound. Done with it: hc_sqlite_release. */
int hc_sqlite_fixed(hc_sqlite *s, sqlite_fixed which, sqlite3_stmt **out,
                    hc_err *err) HC_MUST_CHECK;
typedef struct sqlite_list_of {
    sqlite_list which;
    sqlite_value values[SQL_FILTERS];
    int64_t after;
    uint64_t limit;
    bool newest_first;
} sqlite_list_of;
/* Bound as well. */
int hc_sqlite_list(hc_sqlite *s, const sqlite_list_of *list, sqlite3_stmt **out,
                   hc_err *err) HC_MUST_CHECK;
void hc_sqlite_release(hc_sqlite *s, sqlite3_stmt *statement);
/* 1: a row; 0: done; else the error. */
int hc_sqlite_step(hc_sqlite *s, sqlite3_stmt *statement, hc_err *err) HC_MUST_CHECK;
/* Runs a change: no rows are expected. Fails where no write transaction is open. */
int hc_sqlite_change(hc_sqlite *s, sqlite3_stmt *statement, hc_err *err) HC_MUST_CHECK;

/* The same for one row, named by its id: -HC_ENOENT where there is none. */
int hc_sqlite_change_one(hc_sqlite *s, sqlite3_stmt *statement, hc_err *err) HC_MUST_CHECK;

/* By the parameter's name, with its colon. Where binding fails the next step does. Bound octets are
 * borrowed until hc_sqlite_release. An empty text is '', a blob of NULL is NULL. */
void hc_sqlite_bind_int(hc_sqlite *s, sqlite3_stmt *statement, const char *name, int64_t value);
void hc_sqlite_bind_text(hc_sqlite *s, sqlite3_stmt *statement, const char *name, hc_slice value);
void hc_sqlite_bind_blob(hc_sqlite *s, sqlite3_stmt *statement, const char *name, hc_slice value);

hc_slice hc_sqlite_text(sqlite3_stmt *statement, int column);
hc_slice hc_sqlite_blob(sqlite3_stmt *statement, int column);
/* 32 octets or NULL. */
const uint8_t *hc_sqlite_sha256(sqlite3_stmt *statement, int column);

/* The engine's table, by file: see registry.h. */
int hc_sqlite_client_add(hc_registry *r, const hc_client_row *row, int64_t *id, hc_err *err);
int hc_sqlite_client_set(hc_registry *r, const hc_client_row *row, hc_err *err);
int hc_sqlite_client_remove(hc_registry *r, int64_t id, hc_err *err);
int hc_sqlite_clients(hc_registry *r, const hc_client_filter *f, hc_client_each each, void *arg,
                      hc_err *err);
int hc_sqlite_certificate_add(hc_registry *r, const hc_certificate_row *row, int64_t *id,
                              hc_err *err);
int hc_sqlite_certificate_set(hc_registry *r, const hc_certificate_row *row, hc_err *err);
int hc_sqlite_certificates(hc_registry *r, const hc_certificate_filter *f, hc_certificate_each each,
                           void *arg, hc_err *err);
int hc_sqlite_certificate_der(hc_registry *r, int64_t id, int (*each)(void *arg, hc_slice der),
                              void *arg, hc_err *err);
int hc_sqlite_seen(hc_registry *r, const hc_seen *seen, size_t count, hc_err *err);
int hc_sqlite_audit_add(hc_registry *r, const hc_audit_row *row, int64_t *seq, hc_err *err);
int hc_sqlite_audit(hc_registry *r, const hc_audit_filter *f, hc_audit_each each, void *arg,
                    hc_err *err);
int hc_sqlite_changed(hc_registry *r, bool *changed, hc_err *err);
int hc_sqlite_head(hc_registry *r, hc_registry_head *out, hc_err *err);
int hc_sqlite_changes(hc_registry *r, const hc_registry_head *since, uint64_t limit,
                      int (*each)(void *arg, int64_t client_id), void *arg, hc_err *err);
int hc_sqlite_scan(hc_registry *r, int64_t client_id, hc_client_each client,
                   hc_certificate_each certificate, void *arg, hc_err *err);

/* Columns as the lists and the scan select them. */
int hc_sqlite_client_row(hc_sqlite *s, sqlite3_stmt *statement, hc_client_row *out,
                         hc_err *err) HC_MUST_CHECK;
int hc_sqlite_certificate_row(hc_sqlite *s, sqlite3_stmt *statement, bool detail,
                              hc_certificate_row *out, hc_err *err) HC_MUST_CHECK;

#endif
