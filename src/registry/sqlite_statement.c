#include <string.h>

#include "base/buf.h"
#include "registry/sqlite_private.h"

#define CLIENT_COLUMNS                                                                             \
    "c.id, c.name, c.status, c.status_s, c.reason, c.roles, c.attributes, c.created_s"
#define CERTIFICATE_COLUMNS                                                                        \
    "k.id, k.client_id, k.issuer_sha256, k.serial, k.sha256, k.issuer_key_id, k.key_sha256, "      \
    "k.status, k.revoked_s, k.reason, k.origin, k.replaces, k.not_before_s, k.not_after_s, "       \
    "k.added_s, k.first_seen_s, k.last_seen_s"

static const char *const fixed[SQL_FIXED] = {
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_CLIENT_ADD] =
        "INSERT INTO client (name, status, status_s, reason, roles, attributes, created_s)"
        " VALUES (:name, :status, :status_s, :reason, :roles, :attributes, :created_s)",
    [SQL_CLIENT_SET] = "UPDATE client SET name = :name, status = :status, status_s = :status_s,"
                       " reason = :reason, roles = :roles, attributes = :attributes,"
                       " created_s = :created_s WHERE id = :id",
    [SQL_CLIENT_REMOVE] = "DELETE FROM client WHERE id = :id",
    [SQL_CERTIFICATE_ADD] =
        "INSERT INTO certificate (client_id, issuer_sha256, serial, sha256, issuer_key_id,"
        " key_sha256, status, revoked_s, reason, origin, replaces, not_before_s, not_after_s,"
        " added_s, first_seen_s, last_seen_s)"
        " VALUES (:client_id, :issuer_sha256, :serial, :sha256, :issuer_key_id, :key_sha256,"
        " :status, :revoked_s, :reason, :origin, :replaces, :not_before_s, :not_after_s, :added_s,"
        " :first_seen_s, :last_seen_s)",
    [SQL_CERTIFICATE_ADD_DETAIL] =
        "INSERT INTO certificate_detail (certificate_id, issuer, subject, sans, approved_by, der)"
        " VALUES (:id, :issuer, :subject, :sans, :approved_by, :der)",
    /* On the right of SET stands what was there before: what a certificate told is taken once. */
    [SQL_CERTIFICATE_SET] =
        "UPDATE certificate SET status = :status, revoked_s = :revoked_s, reason = :reason,"
        " not_before_s = iif(sha256 IS NULL AND :sha256 IS NOT NULL, :not_before_s, not_before_s),"
        " not_after_s = iif(sha256 IS NULL AND :sha256 IS NOT NULL, :not_after_s, not_after_s),"
        " key_sha256 = coalesce(key_sha256, :key_sha256), sha256 = coalesce(sha256, :sha256)"
        " WHERE id = :id",
    [SQL_CERTIFICATE_SET_DETAIL] =
        "UPDATE certificate_detail SET subject = iif(subject = '', :subject, subject),"
        " sans = iif(sans = '', :sans, sans) WHERE certificate_id = :id",
    [SQL_CERTIFICATE_DER] =
        "SELECT der FROM certificate_detail WHERE certificate_id = :id AND der IS NOT NULL",
    [SQL_SEEN] = "UPDATE certificate SET last_seen_s = max(last_seen_s, :at_s), first_seen_s ="
                 " iif(first_seen_s = 0, :at_s, min(first_seen_s, :at_s)) WHERE id = :id",
    [SQL_AUDIT_ADD] = "INSERT INTO audit (at_ms, who, action, client_id, client_name,"
                      " certificate_id, certificate, was, now) VALUES (:at_ms, :who, :action,"
                      " :client_id, :client_name, :certificate_id, :certificate, :was, :now)",
    [SQL_DATA_VERSION] = "PRAGMA data_version",
    [SQL_HEAD] = "SELECT coalesce(a.seq, 0), coalesce(a.mark, 0), r.epoch FROM registry r"
                 " LEFT JOIN (SELECT seq, mark FROM audit ORDER BY seq DESC LIMIT 1) a",
    [SQL_MARK] = "SELECT r.epoch, a.mark FROM registry r JOIN audit a ON a.seq = :seq",
    /* NOT INDEXED: by seq, not in the order of the index of clients from its very beginning. */
    [SQL_CHANGES] =
        "SELECT DISTINCT client_id FROM audit NOT INDEXED WHERE seq > :seq AND client_id <> 0"
        " ORDER BY client_id LIMIT :limit",
    [SQL_SCAN_CLIENTS] = "SELECT " CLIENT_COLUMNS ", 0, 0, 0 FROM client c ORDER BY c.id",
    [SQL_SCAN_CERTIFICATES] =
        "SELECT " CERTIFICATE_COLUMNS " FROM certificate k ORDER BY k.client_id",
    [SQL_SCAN_CLIENT] = "SELECT " CLIENT_COLUMNS ", 0, 0, 0 FROM client c WHERE c.id = :client_id",
    [SQL_SCAN_CERTIFICATES_OF] = "SELECT " CERTIFICATE_COLUMNS
                                 " FROM certificate k WHERE k.client_id = :client_id ORDER BY k.id",
};

typedef struct sqlite_list_text {
    const char *select; /* up to and with the condition for :after */
    struct {
        const char *name; /* of the parameter, with its colon */
        const char *where;
    } filters[SQL_FILTERS];
    const char *order[2]; /* the second: newest first; with :limit */
} sqlite_list_text;

static const sqlite_list_text lists[SQL_LISTS] = {
    [LIST_CLIENTS] =
        {"SELECT " CLIENT_COLUMNS ", coalesce(min(nullif(k.first_seen_s, 0)), 0),"
         " coalesce(max(k.last_seen_s), 0), count(k.id)"
         " FROM client c LEFT JOIN certificate k ON k.client_id = c.id WHERE c.id > :after",
         {{":id", " AND c.id = :id"},
          {":name", " AND c.name = :name"},
          {":search", " AND instr(c.name, :search) > 0"},
          {":status", " AND c.status = :status"},
          {":role", " AND instr(' ' || c.roles || ' ', ' ' || :role || ' ') > 0"},
          {":expiring",
           " AND EXISTS (SELECT 1 FROM certificate e WHERE e.client_id = c.id AND e.status = 1"
           " AND e.not_after_s <> 0 AND e.not_after_s < :expiring)"},
          {":unused", " AND c.created_s < :unused AND NOT EXISTS (SELECT 1 FROM certificate u"
                      " WHERE u.client_id = c.id AND u.last_seen_s >= :unused)"}},
         {" GROUP BY c.id ORDER BY c.id LIMIT :limit", NULL}},
    [LIST_CERTIFICATES] =
        {"SELECT " CERTIFICATE_COLUMNS ", d.issuer, d.subject, d.sans, d.approved_by, c.name"
         " FROM certificate k JOIN certificate_detail d ON d.certificate_id = k.id"
         " JOIN client c ON c.id = k.client_id WHERE k.id > :after",
         {{":id", " AND k.id = :id"},
          {":client_id", " AND k.client_id = :client_id"},
          {":serial", " AND k.serial = :serial"},
          {":issuer_sha256", " AND k.issuer_sha256 = :issuer_sha256"},
          {":sha256", " AND k.sha256 = :sha256"},
          {":key_sha256", " AND k.key_sha256 = :key_sha256"},
          {":status", " AND k.status = :status"},
          {":expiring", " AND k.not_after_s <> 0 AND k.not_after_s < :expiring"}},
         {" ORDER BY k.id LIMIT :limit", NULL}},
    [LIST_AUDIT] =
        {"SELECT seq, at_ms, who, action, client_id, client_name, certificate_id, certificate, was,"
         " now FROM audit WHERE seq > :after",
         {{":client_id", " AND client_id = :client_id"},
          {":certificate_id", " AND certificate_id <> 0 AND certificate_id = :certificate_id"},
          {":client_name", " AND client_name = :client_name"},
          {":action", " AND action = :action"},
          {":who", " AND who = :who"},
          {":since", " AND at_ms >= :since"},
          {":before", " AND seq < :before"}},
         {" ORDER BY seq LIMIT :limit", " ORDER BY seq DESC LIMIT :limit"}},
};

/* `*kept` is the statement from last time. Where a callback asks for what its own caller is in the
 * middle of, a second one is made for it, which hc_sqlite_release ends. */
static int prepare(hc_sqlite *s, const char *sql, size_t size, sqlite3_stmt **kept,
                   sqlite3_stmt **out, hc_err *err)
{
    if (*kept && !sqlite3_stmt_busy(*kept)) {
        *out = *kept;
        return 0;
    }
    bool keep = *kept == NULL;
    int rc =
        sqlite3_prepare_v3(s->db, sql, (int)size, keep ? SQLITE_PREPARE_PERSISTENT : 0, out, NULL);
    if (rc != SQLITE_OK)
        return hc_sqlite_failed(s, rc, err);
    if (keep)
        *kept = *out;
    return 0;
}

int hc_sqlite_fixed(hc_sqlite *s, sqlite_fixed which, sqlite3_stmt **out, hc_err *err)
{
    return prepare(s, fixed[which], strlen(fixed[which]) + 1, &s->fixed[which], out, err);
}

static int list_statement(hc_sqlite *s, const sqlite_list_of *l, unsigned mask, sqlite3_stmt **out,
                          hc_err *err)
{
    const sqlite_list_text *text = &lists[l->which];
    hc_buf sql = hc_buf_init(4096);
    int rc = hc_buf_add_text(&sql, text->select);
    for (size_t i = 0; i < SQL_FILTERS && rc == 0; i++) {
        if (mask & 1u << i)
            rc = hc_buf_add_text(&sql, text->filters[i].where);
    }
    if (rc == 0)
        rc = hc_buf_add_text(&sql, text->order[l->newest_first]);
    if (rc == 0)
        rc = hc_buf_add_byte(&sql, 0);
    if (rc)
        rc = hc_err_set(err, -rc, "out of memory");
    else
        rc = prepare(s, (const char *)sql.at, sql.size, &s->lists[l->which][l->newest_first][mask],
                     out, err);
    hc_buf_done(&sql);
    return rc;
}

int hc_sqlite_list(hc_sqlite *s, const sqlite_list_of *l, sqlite3_stmt **out, hc_err *err)
{
    unsigned mask = 0;
    for (size_t i = 0; i < SQL_FILTERS; i++)
        mask |= (unsigned)(l->values[i].type != VALUE_NONE) << i;
    int rc = list_statement(s, l, mask, out, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < SQL_FILTERS; i++) {
        const char *name = lists[l->which].filters[i].name;
        const sqlite_value *v = &l->values[i];
        if (v->type == VALUE_NUMBER)
            hc_sqlite_bind_int(s, *out, name, v->number);
        else if (v->type == VALUE_TEXT)
            hc_sqlite_bind_text(s, *out, name, v->octets);
        else if (v->type == VALUE_BLOB)
            hc_sqlite_bind_blob(s, *out, name, v->octets);
    }
    hc_sqlite_bind_int(s, *out, ":after", l->after);
    hc_sqlite_bind_int(s, *out, ":limit",
                       l->limit && l->limit < INT64_MAX ? (int64_t)l->limit : -1);
    return 0;
}

static bool kept(const hc_sqlite *s, const sqlite3_stmt *statement)
{
    for (size_t i = 0; i < SQL_FIXED; i++) {
        if (s->fixed[i] == statement)
            return true;
    }
    const sqlite3_stmt *const *all = (const sqlite3_stmt *const *)s->lists;
    for (size_t i = 0; i < sizeof(s->lists) / sizeof(*all); i++) {
        if (all[i] == statement)
            return true;
    }
    return false;
}

void hc_sqlite_release(hc_sqlite *s, sqlite3_stmt *statement)
{
    if (!statement)
        return;
    /* The result is that of the last step, which was told already. */
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    s->bound = SQLITE_OK;
    if (!kept(s, statement))
        (void)sqlite3_finalize(statement);
}

int hc_sqlite_step(hc_sqlite *s, sqlite3_stmt *statement, hc_err *err)
{
    int rc = s->bound != SQLITE_OK ? s->bound : sqlite3_step(statement);
    s->bound = SQLITE_OK;
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : hc_sqlite_failed(s, rc, err);
}

int hc_sqlite_change(hc_sqlite *s, sqlite3_stmt *statement, hc_err *err)
{
    /* After some errors SQLite rolls back by itself; what came next would be a change of its own.
     */
    if (!s->writing || s->failed || sqlite3_get_autocommit(s->db))
        return hc_err_set(err, HC_EINVAL, "%s: no change without a transaction that is in order",
                          s->path);
    int rc = hc_sqlite_step(s, statement, err);
    if (rc < 0)
        s->failed = true;
    return rc < 0 ? rc : 0;
}

int hc_sqlite_change_one(hc_sqlite *s, sqlite3_stmt *statement, hc_err *err)
{
    int rc = hc_sqlite_change(s, statement, err);
    if (rc == 0 && sqlite3_changes(s->db) != 1) {
        s->failed = true;
        rc = hc_err_set(err, HC_ENOENT, "there is no such client or certificate");
    }
    return rc;
}

static void bound(hc_sqlite *s, int rc)
{
    if (s->bound == SQLITE_OK)
        s->bound = rc;
}

void hc_sqlite_bind_int(hc_sqlite *s, sqlite3_stmt *statement, const char *name, int64_t value)
{
    bound(s, sqlite3_bind_int64(statement, sqlite3_bind_parameter_index(statement, name), value));
}

void hc_sqlite_bind_text(hc_sqlite *s, sqlite3_stmt *statement, const char *name, hc_slice value)
{
    bound(s, sqlite3_bind_text64(statement, sqlite3_bind_parameter_index(statement, name),
                                 value.size ? (const char *)value.at : "", value.size,
                                 SQLITE_STATIC, SQLITE_UTF8));
}

void hc_sqlite_bind_blob(hc_sqlite *s, sqlite3_stmt *statement, const char *name, hc_slice value)
{
    bound(s, sqlite3_bind_blob64(statement, sqlite3_bind_parameter_index(statement, name), value.at,
                                 value.size, SQLITE_STATIC));
}

hc_slice hc_sqlite_text(sqlite3_stmt *statement, int column)
{
    const void *at = sqlite3_column_text(statement, column);
    int size = sqlite3_column_bytes(statement, column);
    return at && size > 0 ? hc_slice_of(at, (size_t)size) : HC_SLICE_NONE;
}

hc_slice hc_sqlite_blob(sqlite3_stmt *statement, int column)
{
    const void *at = sqlite3_column_blob(statement, column);
    int size = sqlite3_column_bytes(statement, column);
    return at && size > 0 ? hc_slice_of(at, (size_t)size) : HC_SLICE_NONE;
}

const uint8_t *hc_sqlite_sha256(sqlite3_stmt *statement, int column)
{
    hc_slice octets = hc_sqlite_blob(statement, column);
    return octets.size == 32 ? octets.at : NULL;
}
