#include <errno.h>
#include <string.h>

#include "registry/sqlite_private.h"

typedef struct sqlite_meaning {
    int rc;
    int code;
    const char *text;
} sqlite_meaning;

/* Extended codes first, then the general ones. A text with %s gets the system's or SQLite's reason.
 */
static const sqlite_meaning meanings[] = {
    {SQLITE_READONLY_ROLLBACK, HC_EBUSY,
     "a process was killed in the middle of a change; the next one that changes something puts it "
     "right"},
    {SQLITE_READONLY_DBMOVED, HC_ENOENT, "was replaced or is gone: it has to be opened anew"},
    {SQLITE_IOERR_NOMEM, HC_ENOMEM, "out of memory"},
    {SQLITE_CONSTRAINT_UNIQUE, HC_EEXIST, "is there already (%s)"},
    {SQLITE_CONSTRAINT_PRIMARYKEY, HC_EEXIST, "is there already (%s)"},
    {SQLITE_CONSTRAINT_FOREIGNKEY, HC_ENOENT, "there is no such client"},
    {SQLITE_NOMEM, HC_ENOMEM, "out of memory"},
    {SQLITE_BUSY, HC_EBUSY, "locked by another process; try again"},
    {SQLITE_LOCKED, HC_EBUSY, "locked by another process; try again"},
    {SQLITE_PROTOCOL, HC_EBUSY, "locked by another process; try again"},
    {SQLITE_FULL, HC_EIO, "the disk is full"},
    {SQLITE_CORRUPT, HC_EFORMAT, "the database is damaged (%s): restore a backup"},
    {SQLITE_NOTADB, HC_EFORMAT, "is no SQLite database"},
    {SQLITE_TOOBIG, HC_EINVAL, "a value is too long"},
    {SQLITE_CONSTRAINT, HC_EINVAL, "a value is out of range (%s)"},
    {SQLITE_MISMATCH, HC_EINVAL, "a value is out of range (%s)"},
    {SQLITE_PERM, HC_EDENIED, "no permission (%s)"},
    {SQLITE_READONLY, HC_EDENIED, "may be read alone (%s)"},
};

static const sqlite_meaning *meaning_of(int rc)
{
    for (size_t i = 0; i < HC_COUNT(meanings); i++) {
        if (meanings[i].rc == rc)
            return &meanings[i];
    }
    return rc == (rc & 0xff) ? NULL : meaning_of(rc & 0xff);
}

int hc_sqlite_failed(hc_sqlite *s, int rc, hc_err *err)
{
    const sqlite_meaning *m = meaning_of(rc);
    int number = s->db ? sqlite3_system_errno(s->db) : 0;
    if (m) {
        char text[256];
        const char *why = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
        const char *at = strstr(m->text, "%s");
        size_t front = at ? (size_t)(at - m->text) : strlen(m->text);
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)front, m->text, at ? why : "",
                       at ? at + 2 : "");
        return hc_err_set(err, m->code, "%s: %s", s->path, text);
    }
    if ((rc & 0xff) == SQLITE_CANTOPEN && (number == EACCES || number == EPERM || number == EROFS))
        return hc_err_set(err, HC_EDENIED, "%s: the file, its journal or its folder: %s", s->path,
                          strerror(number));
    if ((rc & 0xff) == SQLITE_CANTOPEN && number == ENOENT)
        return hc_err_set(err, HC_ENOENT, "%s: does not exist", s->path);
    if (number)
        return hc_err_errno(err, number, "%s: %s", s->path, sqlite3_errstr(rc));
    return hc_err_set(err, HC_EIO, "%s: %s", s->path, sqlite3_errstr(rc));
}

int hc_sqlite_corrupt(hc_sqlite *s, const char *what, hc_err *err)
{
    return hc_err_set(err, HC_EFORMAT, "%s: the database is damaged (%s): restore a backup",
                      s->path, what);
}
