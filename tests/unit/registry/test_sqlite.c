#include "registry_case.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "registry/sqlite_private.h"

#define NOBODY 65534

static int open_url(const registry_case *c, hc_registry_access access, uint64_t wait_ms,
                    hc_registry **out)
{
    const hc_registry_options o = {.url = c->url, .access = access, .wait_ms = wait_ms};
    why = (hc_err){0};
    return hc_registry_open(&o, out, &why);
}

#define assert_open_fails(c, access, code, word)                                                   \
    do {                                                                                           \
        hc_registry *none_ = NULL;                                                                 \
        assert_int_equal(open_url(c, access, 0, &none_), -(code));                                 \
        assert_null(none_);                                                                        \
        if (!strstr(why.text, word))                                                               \
            fail_msg("no \"%s\" in: %s", word, why.text);                                          \
    } while (0)

/* SQL by another program, behind the registry's back. */
static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
    sqlite3_close(db);
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void copy_file(const char *from, const char *to)
{
    static char content[1 << 20];
    FILE *in = fopen(from, "rb");
    assert_non_null(in);
    size_t size = fread(content, 1, sizeof(content), in);
    fclose(in);
    write_file(to, content, size);
}

static void close_first(registry_case *c)
{
    hc_registry_close(c->r);
    c->r = NULL;
}

/* Runs `body` in a child; its exit code. */
static int in_child(int (*body)(registry_case *c), registry_case *c)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body(c));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_url_names_a_file_below_its_base(void **state)
{
    static const struct {
        const char *url, *base, *file;
    } cases[] = {
        {"sqlite:registry.db", "/state", "/state/registry.db"},
        {"sqlite:registry.db", NULL, "./registry.db"},
        {"sqlite:registry.db", "state", "./state/registry.db"},
        {"sqlite:/var/x.db", "/state", "/var/x.db"},
        {"sqlite:///var/x.db", "/state", "/var/x.db"},
        {"sqlite::memory:", NULL, "./:memory:"},
        {"sqlite:file:x?mode=memory", NULL, "./file:x?mode=memory"},
    };
    static const char *const bad[] = {"",           "sqlite",         "sqlite:", "sqlite://",
                                      "sqlite://x", "postgresql://x", "/x/y.db", "SQLITE:x"};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        char *file = NULL;
        assert_done(hc_registry_check_url(cases[i].url, &why));
        assert_done(hc_registry_file(cases[i].url, cases[i].base, &file, &why));
        assert_string_equal(file, cases[i].file);
        hc_free(file);
    }
    for (size_t i = 0; i < HC_COUNT(bad); i++)
        assert_fails(hc_registry_check_url(bad[i], &why), HC_EINVAL);
}

static void test_missing_database_is_not_made_unless_asked(void **state)
{
    registry_case *c = *state;
    close_first(c);
    unlink(c->path);
    assert_open_fails(c, HC_REGISTRY_READ, HC_ENOENT, "init");
    assert_open_fails(c, HC_REGISTRY_WRITE, HC_ENOENT, "init");
    assert_int_equal(access(c->path, F_OK), -1);
    snprintf(c->url, sizeof(c->url), "sqlite:%s/no/x.db", c->folder);
    assert_open_fails(c, HC_REGISTRY_CREATE, HC_ENOENT, "no such registry");
}

static void test_new_database_is_its_owners_alone_whatever_the_umask(void **state)
{
    registry_case *c = *state;
    static const mode_t masks[] = {0, 0777, 022};
    char journal[128];
    snprintf(journal, sizeof(journal), "%s-journal", c->path);
    for (size_t i = 0; i < HC_COUNT(masks); i++) {
        struct stat st;
        close_first(c);
        unlink(c->path);
        unlink(journal);
        mode_t before = umask(masks[i]);
        c->r = registry_case_open_as(c, HC_REGISTRY_CREATE);
        umask(before);
        assert_int_equal(stat(c->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(stat(journal, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
}

static void test_what_is_no_registry_is_refused(void **state)
{
    registry_case *c = *state;
    static char text[8192];
    memset(text, 'x', sizeof(text));
    close_first(c);
    write_file(c->path, text, sizeof(text));
    assert_open_fails(c, HC_REGISTRY_READ, HC_EFORMAT, "no SQLite database");
    assert_open_fails(c, HC_REGISTRY_CREATE, HC_EFORMAT, "no SQLite database");
    write_file(c->path, "", 0);
    sql(c->path, "PRAGMA application_id = 7; CREATE TABLE x (a)");
    assert_open_fails(c, HC_REGISTRY_READ, HC_EFORMAT, "another program");
    assert_open_fails(c, HC_REGISTRY_CREATE, HC_EFORMAT, "another program");
    write_file(c->path, "", 0);
    sql(c->path, "CREATE TABLE x (a)");
    assert_open_fails(c, HC_REGISTRY_CREATE, HC_EFORMAT, "another program");
    unlink(c->path);
    assert_int_equal(mkfifo(c->path, 0600), 0);
    assert_open_fails(c, HC_REGISTRY_READ, HC_EFORMAT, "no file");
    assert_open_fails(c, HC_REGISTRY_WRITE, HC_EFORMAT, "no file");
    assert_open_fails(c, HC_REGISTRY_CREATE, HC_EFORMAT, "no file");
}

static void test_empty_file_is_no_registry_until_it_is_made_one(void **state)
{
    registry_case *c = *state;
    close_first(c);
    write_file(c->path, "", 0);
    assert_open_fails(c, HC_REGISTRY_READ, HC_EFORMAT, "empty");
    assert_open_fails(c, HC_REGISTRY_WRITE, HC_EFORMAT, "empty");
    c->r = registry_case_open_as(c, HC_REGISTRY_CREATE);
    registry_begin(c->r);
    client_new(c->r, "alice");
    registry_commit(c->r);
}

static void test_newer_version_is_refused_and_left_alone(void **state)
{
    registry_case *c = *state;
    close_first(c);
    sql(c->path, "PRAGMA user_version = 99");
    assert_open_fails(c, HC_REGISTRY_READ, HC_EFORMAT, "newer handclasp");
    assert_open_fails(c, HC_REGISTRY_WRITE, HC_EFORMAT, "newer handclasp");
    assert_open_fails(c, HC_REGISTRY_CREATE, HC_EFORMAT, "newer handclasp");
    sql(c->path, "PRAGMA user_version = 1");
    c->r = registry_case_open_as(c, HC_REGISTRY_READ);
}

/* 2 adds a column, 3 fills it. */
static const char *const synthetic[] = {
    NULL, "ALTER TABLE client ADD COLUMN colour TEXT NOT NULL DEFAULT ''",
    "UPDATE client SET colour = 'red'; CREATE INDEX client_colour ON client (colour)"};
static const char *const broken[] = {NULL, "ALTER TABLE client ADD COLUMN colour TEXT",
                                     "UPDATE client SET no_such_column = 1"};

static int64_t number(hc_sqlite *s, const char *query)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(s->db, query, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return out;
}

static void test_older_version_is_migrated_in_one_transaction(void **state)
{
    registry_case *c = *state;
    hc_sqlite *s = hc_sqlite_of(c->r);
    registry_begin(c->r);
    client_new(c->r, "alice");
    registry_commit(c->r);
    assert_fails(hc_sqlite_migrate(s, broken, HC_COUNT(broken), &why), HC_EIO);
    assert_non_null(strstr(why.text, "migration to version 3"));
    assert_int_equal(number(s, "PRAGMA user_version"), 1);
    assert_int_equal(number(s, "SELECT count(*) FROM pragma_table_info('client')"
                               " WHERE name = 'colour'"),
                     0);
    assert_done(hc_sqlite_migrate(s, synthetic, HC_COUNT(synthetic), &why));
    assert_int_equal(number(s, "PRAGMA user_version"), 3);
    assert_int_equal(number(s, "SELECT count(*) FROM client WHERE colour = 'red'"), 1);
    assert_done(hc_sqlite_migrate(s, synthetic, HC_COUNT(synthetic), &why));
    assert_fails(hc_sqlite_migrate(s, synthetic, 2, &why), HC_EFORMAT);
}

static void test_older_version_that_cannot_be_migrated_is_not_read(void **state)
{
    registry_case *c = *state;
    close_first(c);
    sql(c->path, "PRAGMA user_version = 0");
    assert_open_fails(c, HC_REGISTRY_READ, HC_EFORMAT, "another program");
}

static void test_damaged_page_is_an_error_and_no_row(void **state)
{
    registry_case *c = *state;
    static char noise[4096];
    row_list x = {0};
    registry_begin(c->r);
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "client%d", i);
        client_new(c->r, name);
    }
    registry_commit(c->r);
    close_first(c);
    struct stat st;
    assert_int_equal(stat(c->path, &st), 0);
    memset(noise, 0xa5, sizeof(noise));
    int fd = open(c->path, O_WRONLY);
    for (off_t at = 20 * 4096; at < st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, noise, sizeof(noise), at), sizeof(noise));
    close(fd);
    c->r = registry_case_open_as(c, HC_REGISTRY_READ);
    const hc_client_filter all = {0};
    x.text[sizeof(x.text) - 1] = '\0';
    assert_fails(c->r->engine->clients(c->r, &all, rows_client, &x, &why), HC_EFORMAT);
    assert_non_null(strstr(why.text, "restore a backup"));
    assert_fails(c->r->engine->scan(c->r, 0, rows_client, rows_certificate, &x, &why), HC_EFORMAT);
}

static void test_row_that_the_schema_rules_out_is_an_error(void **state)
{
    registry_case *c = *state;
    static const char *const damage[] = {
        "UPDATE certificate SET serial = '0A'",
        "UPDATE certificate SET serial = ''",
        "UPDATE certificate SET serial = '-'",
        "UPDATE certificate SET serial = '0x1'",
        "UPDATE certificate SET serial = '-0'",
        "UPDATE certificate SET sha256 = x'00'",
        "UPDATE certificate SET origin = 99",
        "UPDATE certificate SET status = 0",
        "UPDATE certificate SET issuer_sha256 = x''",
        "UPDATE certificate SET serial = '112233445566778899aabbccddeeff00112233445'"};
    row_list x = {0};
    registry_begin(c->r);
    certificate_new(c->r, client_new(c->r, "alice"), "1f", 1);
    registry_commit(c->r);
    for (size_t i = 0; i < HC_COUNT(damage); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "PRAGMA ignore_check_constraints = 1; UPDATE certificate SET serial = '1f',"
                 " sha256 = randomblob(32), origin = 1, status = 1; %s",
                 damage[i]);
        sql(c->path, text);
        const hc_certificate_filter all = {0};
        assert_fails(c->r->engine->certificates(c->r, &all, rows_certificate, &x, &why),
                     HC_EFORMAT);
        assert_fails(c->r->engine->scan(c->r, 0, rows_client, rows_certificate, &x, &why),
                     HC_EFORMAT);
    }
}

static void test_locked_database_is_busy_and_heals(void **state)
{
    registry_case *c = *state;
    hc_registry *other = NULL;
    bool changed;
    assert_int_equal(open_url(c, HC_REGISTRY_WRITE, 30, &other), 0);
    registry_begin(c->r);
    client_new(c->r, "alice");
    assert_fails(hc_registry_begin(other, true, &why), HC_EBUSY);
    /* As long as nothing is being committed, readers are not in the way. */
    assert_int_equal(clients_of(other, (hc_client_filter){0}).count, 0);
    assert_done(hc_registry_begin(other, false, &why));
    assert_int_equal(clients_of(other, (hc_client_filter){0}).count, 0);
    registry_commit(other);
    registry_commit(c->r);
    assert_done(hc_registry_begin(other, true, &why));
    hc_registry_rollback(other);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(c->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    row_list x = {0};
    const hc_client_filter all = {0};
    assert_fails(other->engine->clients(other, &all, rows_client, &x, &why), HC_EBUSY);
    assert_fails(other->engine->changed(other, &changed, &why), HC_EBUSY);
    sqlite3_close(db);
    assert_int_equal(clients_of(other, (hc_client_filter){0}).count, 1);
    hc_registry_close(other);
}

/* What a child found: the code of the first failure, 0 if none. */
static int fill_until_it_fails(registry_case *c)
{
    hc_registry *r = NULL;
    int rc = open_url(c, HC_REGISTRY_WRITE, 1000, &r);
    for (int i = 0; i < 2000 && rc == 0; i++) {
        char name[32];
        int64_t id = 0;
        snprintf(name, sizeof(name), "more%d", i);
        rc = hc_registry_begin(r, true, &why);
        hc_client_row row = {.name = hc_slice_text(name), .status = HC_CLIENT_ACTIVE};
        static char filler[8000];
        memset(filler, 'f', sizeof(filler));
        row.attributes = hc_slice_of(filler, sizeof(filler));
        if (rc == 0)
            rc = r->engine->client_add(r, &row, &id, &why);
        if (rc == 0)
            rc = hc_registry_commit(r, &why);
        else
            hc_registry_rollback(r);
    }
    const hc_err first = why;
    if (rc && clients_of(r, (hc_client_filter){.name = S("first")}).count != 1)
        return 99;
    why = first;
    hc_registry_close(r);
    return -rc;
}

static int fill_with_a_file_limit(registry_case *c)
{
    const struct rlimit most = {1 << 20, 1 << 20};
    signal(SIGXFSZ, SIG_IGN);
    return setrlimit(RLIMIT_FSIZE, &most) ? 98 : fill_until_it_fails(c);
}

static void test_file_that_cannot_grow_loses_nothing(void **state)
{
    registry_case *c = *state;
    registry_begin(c->r);
    client_new(c->r, "first");
    registry_commit(c->r);
    assert_int_equal(in_child(fill_with_a_file_limit, c), HC_EIO);
    assert_int_equal(number(hc_sqlite_of(c->r), "SELECT count(*) FROM pragma_integrity_check"
                                                " WHERE integrity_check = 'ok'"),
                     1);
    assert_int_equal(clients_of(c->r, (hc_client_filter){.name = S("first")}).count, 1);
    registry_begin(c->r);
    client_new(c->r, "last");
    registry_commit(c->r);
}

#define NO_MOUNTS 97
/* In a namespace of its own, where such a thing may be had. */
static int mount_over(registry_case *c, const char *type, unsigned long how, const char *data)
{
    return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
           mount(type ? "none" : c->folder, c->folder, type, how, data);
}

static int fill_a_small_disk(registry_case *c)
{
    if (mount_over(c, "tmpfs", 0, "size=1m"))
        return NO_MOUNTS;
    c->r = registry_case_open_as(c, HC_REGISTRY_CREATE);
    registry_begin(c->r);
    client_new(c->r, "first");
    registry_commit(c->r);
    int rc = fill_until_it_fails(c);
    return strstr(why.text, "disk is full") ? rc : 96;
}

static int write_a_read_only_disk(registry_case *c)
{
    hc_registry *r = NULL;
    if (mount_over(c, NULL, MS_BIND, NULL) ||
        mount(NULL, c->folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
        return NO_MOUNTS;
    int rc = open_url(c, HC_REGISTRY_WRITE, 0, &r);
    if (rc != -HC_EDENIED || !strstr(why.text, "Read-only"))
        return 95;
    c->r = registry_case_open_as(c, HC_REGISTRY_READ);
    return clients_of(c->r, (hc_client_filter){0}).count == 1 ? -rc : 94;
}

static void test_full_disk_is_said_and_loses_nothing(void **state)
{
    registry_case *c = *state;
    int code = in_child(fill_a_small_disk, c);
    if (code == NO_MOUNTS)
        skip();
    assert_int_equal(code, HC_EIO);
}

static void test_read_only_disk_can_be_read(void **state)
{
    registry_case *c = *state;
    registry_begin(c->r);
    client_new(c->r, "alice");
    registry_commit(c->r);
    int code = in_child(write_a_read_only_disk, c);
    if (code == NO_MOUNTS)
        skip();
    assert_int_equal(code, HC_EDENIED);
}

static int read_as_nobody(registry_case *c)
{
    bool changed = false;
    hc_registry *r = NULL;
    if (setgid(NOBODY) || setuid(NOBODY))
        return 93;
    if (open_url(c, HC_REGISTRY_WRITE, 0, &r) != -HC_EDENIED)
        return 92;
    if (open_url(c, HC_REGISTRY_READ, 1000, &r))
        return 91;
    if (r->engine->changed(r, &changed, &why) || hc_registry_begin(r, true, &why) != -HC_EDENIED)
        return 90;
    return clients_of(r, (hc_client_filter){0}).count == 1 ? 0 : 89;
}

static int refused_as_nobody(registry_case *c)
{
    hc_registry *r = NULL;
    return setgid(NOBODY) || setuid(NOBODY) ? 88 : -open_url(c, HC_REGISTRY_READ, 0, &r);
}

static void test_another_user_reads_with_no_more_than_permission_to_read(void **state)
{
    registry_case *c = *state;
    if (geteuid() != 0)
        skip();
    registry_begin(c->r);
    client_new(c->r, "alice");
    registry_commit(c->r);
    assert_int_equal(chmod(c->folder, 0755), 0);
    assert_int_equal(in_child(refused_as_nobody, c), HC_EDENIED);
    assert_int_equal(chmod(c->path, 0644), 0);
    /* The journal that stayed behind is 0600 yet; the next writer sees to it. */
    hc_registry_close(c->r);
    c->r = registry_case_open_as(c, HC_REGISTRY_WRITE);
    assert_int_equal(in_child(read_as_nobody, c), 0);
    registry_begin(c->r);
    client_new(c->r, "bob");
    assert_int_equal(in_child(read_as_nobody, c), 0);
    hc_registry_rollback(c->r);
    hc_registry_close(c->r);
    c->r = NULL;
    assert_int_equal(in_child(read_as_nobody, c), 0);
}

static void test_replaced_or_removed_file_is_noticed(void **state)
{
    registry_case *c = *state;
    char other[128];
    bool changed;
    snprintf(other, sizeof(other), "%s/other.db", c->folder);
    hc_registry *reader = registry_case_open_as(c, HC_REGISTRY_READ);
    assert_done(reader->engine->changed(reader, &changed, &why));
    copy_file(c->path, other);
    assert_int_equal(rename(other, c->path), 0);
    assert_fails(reader->engine->changed(reader, &changed, &why), HC_ENOENT);
    assert_fails(reader->engine->changed(reader, &changed, &why), HC_ENOENT);
    hc_registry_close(reader);
    reader = registry_case_open_as(c, HC_REGISTRY_READ);
    assert_done(reader->engine->changed(reader, &changed, &why));
    unlink(c->path);
    assert_fails(reader->engine->changed(reader, &changed, &why), HC_ENOENT);
    hc_registry_close(reader);
    /* A writer would write into a file that nobody can find. */
    int64_t id = 0;
    const hc_client_row row = {.name = S("lost"), .status = HC_CLIENT_ACTIVE};
    registry_begin(c->r);
    int rc = c->r->engine->client_add(c->r, &row, &id, &why);
    if (rc == 0)
        rc = hc_registry_commit(c->r, &why);
    assert_int_equal(rc, -HC_ENOENT);
}

static int on_change(void *arg, int64_t id)
{
    (void)arg;
    (void)id;
    return 0;
}

static void add_audited(registry_case *c, const char *name)
{
    registry_begin(c->r);
    audit_new(c->r, client_new(c->r, name), "client.add");
    registry_commit(c->r);
}

static void test_backup_that_was_put_back_is_another_feed(void **state)
{
    registry_case *c = *state;
    hc_registry_head head;
    char backup[128];
    snprintf(backup, sizeof(backup), "%s/backup.db", c->folder);
    add_audited(c, "alice");
    copy_file(c->path, backup);
    add_audited(c, "bob");
    assert_done(c->r->engine->head(c->r, &head, &why));
    close_first(c);
    copy_file(backup, c->path);
    c->r = registry_case_open_as(c, HC_REGISTRY_WRITE);
    assert_fails(c->r->engine->changes(c->r, &head, 9, on_change, NULL, &why), HC_ENOENT);
    add_audited(c, "mallory");
    add_audited(c, "trudy");
    assert_fails(c->r->engine->changes(c->r, &head, 9, on_change, NULL, &why), HC_ENOENT);
}

/* The journal is on disk, so are some pages, and nobody is there to put them back. */
static int die_in_the_middle(registry_case *c)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(c->path, &db) != SQLITE_OK)
        return 1;
    sqlite3_exec(db,
                 "PRAGMA journal_mode = TRUNCATE; PRAGMA cache_size = 4; PRAGMA cache_spill = 1;"
                 "BEGIN IMMEDIATE; UPDATE client SET attributes = hex(randomblob(2000))",
                 NULL, NULL, NULL);
    raise(SIGKILL);
    return 2;
}

static void test_reader_waits_for_a_writer_to_undo_what_a_killed_one_left(void **state)
{
    registry_case *c = *state;
    bool changed;
    registry_begin(c->r);
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof(name), "client%d", i);
        client_new(c->r, name);
    }
    registry_commit(c->r);
    hc_registry *reader = registry_case_open_as(c, HC_REGISTRY_READ);
    assert_int_equal(in_child(die_in_the_middle, c), -SIGKILL);
    assert_fails(reader->engine->changed(reader, &changed, &why), HC_EBUSY);
    assert_non_null(strstr(why.text, "killed"));
    assert_open_fails(c, HC_REGISTRY_READ, HC_EBUSY, "killed");
    registry_begin(c->r);
    hc_registry_rollback(c->r);
    assert_done(reader->engine->changed(reader, &changed, &why));
    assert_int_equal(number(hc_sqlite_of(reader), "SELECT count(*) FROM client"
                                                  " WHERE attributes = ''"),
                     300);
    hc_registry_close(reader);
}

static void test_database_that_was_put_into_wal_mode_is_put_back(void **state)
{
    registry_case *c = *state;
    close_first(c);
    sql(c->path, "PRAGMA journal_mode = WAL");
    c->r = registry_case_open_as(c, HC_REGISTRY_WRITE);
    sqlite3_stmt *statement = NULL;
    sqlite3_prepare_v2(hc_sqlite_of(c->r)->db, "PRAGMA journal_mode", -1, &statement, NULL);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "truncate");
    sqlite3_finalize(statement);
}

static void test_connection_is_set_up_to_lose_nothing_and_trust_nothing(void **state)
{
    registry_case *c = *state;
    hc_sqlite *s = hc_sqlite_of(c->r);
    assert_int_equal(number(s, "PRAGMA synchronous"), 2);
    assert_int_equal(number(s, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(s, "PRAGMA trusted_schema"), 0);
    assert_int_equal(number(s, "PRAGMA cell_size_check"), 1);
    assert_int_equal(number(s, "PRAGMA cache_spill"), 0);
    assert_int_equal(number(s, "PRAGMA mmap_size"), 0);
}

static void test_value_longer_than_a_row_may_be_is_refused(void **state)
{
    registry_case *c = *state;
    static uint8_t der[HC_LIMIT_REGISTRY_ROW + 1];
    int64_t id = 0;
    registry_begin(c->r);
    hc_certificate_row row = certificate_row(client_new(c->r, "alice"), "1", 1);
    row.der = hc_slice_of(der, sizeof(der));
    assert_fails(c->r->engine->certificate_add(c->r, &row, &id, &why), HC_EINVAL);
    assert_fails(hc_registry_commit(c->r, &why), HC_EINVAL);
    /* In a filter too: no row instead of an error would be an answer. */
    static uint8_t name[HC_LIMIT_REGISTRY_ROW + 1];
    row_list x = {0};
    const hc_client_filter f = {.name = hc_slice_of(name, sizeof(name))};
    assert_fails(c->r->engine->clients(c->r, &f, rows_client, &x, &why), HC_EINVAL);
    assert_int_equal(clients_of(c->r, (hc_client_filter){0}).count, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_url_names_a_file_below_its_base),
    WITH_SQLITE(test_missing_database_is_not_made_unless_asked),
    WITH_SQLITE(test_new_database_is_its_owners_alone_whatever_the_umask),
    WITH_SQLITE(test_what_is_no_registry_is_refused),
    WITH_SQLITE(test_empty_file_is_no_registry_until_it_is_made_one),
    WITH_SQLITE(test_newer_version_is_refused_and_left_alone),
    WITH_SQLITE(test_older_version_is_migrated_in_one_transaction),
    WITH_SQLITE(test_older_version_that_cannot_be_migrated_is_not_read),
    WITH_SQLITE(test_damaged_page_is_an_error_and_no_row),
    WITH_SQLITE(test_row_that_the_schema_rules_out_is_an_error),
    WITH_SQLITE(test_locked_database_is_busy_and_heals),
    WITH_SQLITE(test_file_that_cannot_grow_loses_nothing),
    WITH_SQLITE(test_full_disk_is_said_and_loses_nothing),
    WITH_SQLITE(test_read_only_disk_can_be_read),
    WITH_SQLITE(test_another_user_reads_with_no_more_than_permission_to_read),
    WITH_SQLITE(test_replaced_or_removed_file_is_noticed),
    WITH_SQLITE(test_backup_that_was_put_back_is_another_feed),
    WITH_SQLITE(test_reader_waits_for_a_writer_to_undo_what_a_killed_one_left),
    WITH_SQLITE(test_database_that_was_put_into_wal_mode_is_put_back),
    WITH_SQLITE(test_connection_is_set_up_to_lose_nothing_and_trust_nothing),
    WITH_SQLITE(test_value_longer_than_a_row_may_be_is_refused),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
