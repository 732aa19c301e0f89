#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "registry/sqlite.h"
#include "registry/sqlite_private.h"

/* A waiting process looks again after 1 to WAIT_MS milliseconds, at random: with pauses that grow,
 * as SQLite's own, who waits longest looks least often and starves. Readers look each millisecond:
 * of writers that come one after the other they see short gaps alone. */
#define WAIT_MS 8

/* For every connection. What must not happen: that a crafted schema runs code, that temporary files
 * are needed, that a large transaction locks readers out before its commit. FULL syncs the
 * truncated journal as well; EXTRA concerns journals that are unlinked. */
static const char setup[] = "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
                            "PRAGMA cache_spill = OFF; PRAGMA synchronous = FULL;"
                            "PRAGMA mmap_size = 0;";
static const char setup_writer[] = "PRAGMA journal_mode = TRUNCATE;";

static const int flags[][2] = {
    {SQLITE_DBCONFIG_DEFENSIVE, 1},   {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
    {SQLITE_DBCONFIG_ENABLE_FKEY, 1}, {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
    {SQLITE_DBCONFIG_ENABLE_VIEW, 0}, {SQLITE_DBCONFIG_DQS_DML, 0},
    {SQLITE_DBCONFIG_DQS_DDL, 0},
};

static int on_busy(void *arg, int calls)
{
    hc_sqlite *s = arg;
    uint8_t random = 0;
    if (calls == 0)
        s->waited_ms = 0;
    if (s->waited_ms >= s->wait_ms)
        return 0;
    sqlite3_randomness(sizeof(random), &random);
    int pause_ms = s->read_only ? 1 : 1 + random % WAIT_MS;
    (void)sqlite3_sleep(pause_ms);
    s->waited_ms += (uint64_t)pause_ms;
    return 1;
}

static int system_failed(const char *path, int number, hc_err *err)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return hc_err_set(err, HC_ENOENT,
                          "%s: there is no such registry: 'handclasp init' makes one", path);
    case EACCES:
    case EPERM:
    case EROFS:
        return hc_err_set(err, HC_EDENIED, "%s: %s", path, strerror(number));
    default:
        return hc_err_errno(err, number, "%s", path);
    }
}

/* Made here and not by SQLite, so that nobody else can read it whatever the umask is. The journal
 * gets the mode of the file. */
static int make_file(const char *path, hc_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : system_failed(path, errno, err);
    int rc = fchmod(fd, 0600) ? system_failed(path, errno, err) : 0;
    (void)close(fd);
    return rc;
}

/* A journal stays behind, empty; where the file's mode or owner was changed since, readers could
 * not look into it and would take it for one that must be rolled back. */
static void align_journal(const hc_sqlite *s)
{
    char path[4096];
    struct stat st;
    if (snprintf(path, sizeof(path), "%s-journal", s->path) >= (int)sizeof(path))
        return;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    /* As far as it may be done: a reader that is shut out says so itself. */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (st.st_uid != s->file.st_uid || st.st_gid != s->file.st_gid)
            (void)!fchown(fd, s->file.st_uid, s->file.st_gid);
        if ((st.st_mode & 0777) != (s->file.st_mode & 0777))
            (void)!fchmod(fd, s->file.st_mode & 0777);
    }
    (void)close(fd);
}

static int exec(hc_sqlite *s, const char *sql, hc_err *err)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : hc_sqlite_failed(s, rc, err);
}

static int read_number(hc_sqlite *s, const char *sql, int64_t *out, hc_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    else
        rc = hc_sqlite_failed(s, rc, err);
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? 0 : rc;
}

/* `version` 0: an empty database. */
static int read_version(hc_sqlite *s, size_t newest, size_t *version, hc_err *err)
{
    int64_t application = 0, number = 0, objects = 0;
    int rc = read_number(s, "PRAGMA application_id", &application, err);
    if (rc == 0)
        rc = read_number(s, "PRAGMA user_version", &number, err);
    if (rc == 0)
        rc = read_number(s, "SELECT count(*) FROM sqlite_schema", &objects, err);
    if (rc)
        return rc;
    bool empty = application == 0 && number == 0 && objects == 0;
    if (!empty && (application != HC_SQLITE_APPLICATION_ID || number <= 0))
        return hc_err_set(err, HC_EFORMAT, "%s: a database of another program, no registry",
                          s->path);
    if ((uint64_t)number > newest)
        return hc_err_set(
            err, HC_EFORMAT,
            "%s: of version %lld, this program knows up to %zu: use a newer handclasp", s->path,
            (long long)number, newest);
    *version = (size_t)number;
    return 0;
}

static int migrate_from(hc_sqlite *s, const char *const *schema, size_t from, size_t count,
                        hc_err *err)
{
    char stamp[96];
    int rc = 0;
    for (size_t i = from; i < count && rc == 0; i++) {
        rc = exec(s, schema[i], err);
        if (rc)
            rc = hc_err_context(err, "migration to version %zu", i + 1);
    }
    (void)snprintf(stamp, sizeof(stamp), "PRAGMA application_id = %d; PRAGMA user_version = %zu",
                   HC_SQLITE_APPLICATION_ID, count);
    return rc ? rc : exec(s, stamp, err);
}

int hc_sqlite_migrate(hc_sqlite *s, const char *const *schema, size_t count, hc_err *err)
{
    size_t version = 0;
    int rc = read_version(s, count, &version, err);
    if (rc || version == count)
        return rc;
    rc = exec(s, "BEGIN IMMEDIATE", err);
    if (rc)
        return rc;
    /* Another process may have been faster. */
    rc = read_version(s, count, &version, err);
    if (rc == 0 && version < count)
        rc = migrate_from(s, schema, version, count, err);
    if (rc == 0)
        rc = exec(s, "COMMIT", err);
    if (rc && !sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* One that is empty may have been cut: taken for a new one, nobody would be revoked any more. */
static int check_not_empty(hc_sqlite *s, size_t *version, hc_err *err)
{
    int rc = read_version(s, hc_sqlite_schema_count, version, err);
    if (rc == 0 && *version == 0)
        return hc_err_set(err, HC_EFORMAT, "%s: is empty: 'handclasp init' makes it a registry",
                          s->path);
    return rc;
}

int hc_sqlite_check_version(hc_sqlite *s, hc_err *err)
{
    size_t version = 0;
    int rc = check_not_empty(s, &version, err);
    if (rc == 0 && version < hc_sqlite_schema_count)
        return hc_err_set(err, HC_EFORMAT,
                          "%s: of version %zu, this program reads %zu: the next change, or "
                          "'handclasp init', brings it up to date",
                          s->path, version, hc_sqlite_schema_count);
    return rc;
}

static int connect_to(hc_sqlite *s, hc_err *err)
{
    int how = s->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc = sqlite3_open_v2(
        s->path, &s->db,
        how | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE, NULL);
    if (rc != SQLITE_OK)
        return hc_sqlite_failed(s, rc, err);
    /* SQLite opens for reading what it may not write, and would say so with the first change. */
    if (!s->read_only && sqlite3_db_readonly(s->db, "main") == 1)
        return system_failed(s->path, access(s->path, W_OK) ? errno : EACCES, err);
    for (size_t i = 0; i < HC_COUNT(flags) && rc == SQLITE_OK; i++)
        rc = sqlite3_db_config(s->db, flags[i][0], flags[i][1], NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_handler(s->db, on_busy, s);
    if (rc != SQLITE_OK)
        return hc_sqlite_failed(s, rc, err);
    (void)sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, HC_LIMIT_REGISTRY_ROW);
    (void)sqlite3_limit(s->db, SQLITE_LIMIT_ATTACHED, 0);
    return exec(s, setup, err);
}

static int open_file(hc_sqlite *s, bool create, hc_err *err)
{
    /* Before it is opened: where it is replaced meanwhile, `changed` then sees that. */
    if (stat(s->path, &s->file))
        return system_failed(s->path, errno, err);
    if (!S_ISREG(s->file.st_mode))
        return hc_err_set(err, HC_EFORMAT, "%s: is no file", s->path);
    int rc = connect_to(s, err);
    size_t version = 0;
    if (rc || s->read_only)
        return rc ? rc : hc_sqlite_check_version(s, err);
    align_journal(s);
    rc = exec(s, setup_writer, err);
    if (rc == 0 && !create)
        rc = check_not_empty(s, &version, err);
    return rc ? rc : hc_sqlite_migrate(s, hc_sqlite_schema, hc_sqlite_schema_count, err);
}

int hc_sqlite_open(const char *path, hc_registry_access access, uint64_t wait_ms, hc_registry **out,
                   hc_err *err)
{
    int rc = access == HC_REGISTRY_CREATE ? make_file(path, err) : 0;
    if (rc)
        return rc;
    hc_sqlite *s = hc_alloc_zero(1, sizeof(*s));
    if (!s)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    s->registry.engine = &hc_sqlite_engine;
    s->wait_ms = wait_ms;
    s->read_only = access == HC_REGISTRY_READ;
    s->path = hc_strdup(path);
    rc = s->path ? open_file(s, access == HC_REGISTRY_CREATE, err)
                 : hc_err_set(err, HC_ENOMEM, "out of memory");
    if (rc)
        hc_registry_close(&s->registry);
    else
        *out = &s->registry;
    return rc;
}
