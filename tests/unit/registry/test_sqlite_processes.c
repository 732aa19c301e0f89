#include "registry_case.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"

#define WRITERS     20
#define WRITES_EACH 15
#define KILLS       300

static const hc_actor server = {.who = HC_SLICE_LITERAL("server"), .now_ms = 1800000000000};

static int64_t number(const registry_case *c, const char *query)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(c->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return out;
}

static void assert_whole(const registry_case *c)
{
    assert_int_equal(number(c, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check"
                               " <> 'ok'"),
                     0);
    assert_int_equal(number(c, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    /* Every client has the row of its being added and every such row a client that is there, or the
     * row of its being removed; roles are those of the newest change; numbers have no gap. */
    assert_int_equal(number(c, "SELECT count(*) FROM client WHERE id NOT IN"
                               " (SELECT client_id FROM audit WHERE action = 'client.add')"),
                     0);
    assert_int_equal(number(c, "SELECT count(*) FROM audit a WHERE action = 'client.add' AND"
                               " client_id NOT IN (SELECT id FROM client) AND NOT EXISTS"
                               " (SELECT 1 FROM audit b WHERE b.client_id = a.client_id AND"
                               " b.action = 'client.remove')"),
                     0);
    assert_int_equal(number(c, "SELECT count(*) FROM client c WHERE roles <> coalesce((SELECT"
                               " json_extract(now, '$.roles[0]') FROM audit a WHERE"
                               " a.client_id = c.id AND action = 'client.roles'"
                               " ORDER BY seq DESC LIMIT 1), '')"),
                     0);
    assert_int_equal(number(c, "SELECT coalesce(max(seq), 0) - count(*) FROM audit"), 0);
    assert_int_equal(number(c, "SELECT coalesce(max(id), 0) - count(*) - (SELECT count(*) FROM"
                               " audit WHERE action = 'client.remove') FROM client"),
                     0);
}

/* Adds a client with a role in one transaction, and now and then removes an older one. */
static int one_round(hc_registry *r, const char *writer, unsigned round)
{
    char name[48], role[16];
    int64_t id = 0;
    row_list found = {0};
    snprintf(name, sizeof(name), "%s-%u", writer, round);
    snprintf(role, sizeof(role), "r%u", round % 7);
    int rc = hc_registry_begin(r, true, &why);
    if (rc)
        return rc;
    rc = hc_change_add_client(r, &server, hc_slice_text(name), HC_SLICE_NONE, HC_SLICE_NONE, &id,
                              &why);
    if (rc == 0)
        rc = hc_change_client_roles(r, &server, id, hc_slice_text(role), &why);
    const hc_client_filter first = {.limit = 1};
    if (rc == 0 && round % 3 == 2)
        rc = r->engine->clients(r, &first, rows_client, &found, &why);
    if (rc == 0 && round % 3 == 2)
        rc = hc_change_remove_client(r, &server, strtoll(found.text, NULL, 10), &why);
    if (rc == 0)
        return hc_registry_commit(r, &why);
    hc_registry_rollback(r);
    return rc;
}

static int writer(const registry_case *c, int nth)
{
    hc_registry *r = NULL;
    char name[16];
    const hc_registry_options o = {.url = c->url, .access = HC_REGISTRY_WRITE, .wait_ms = 60000};
    snprintf(name, sizeof(name), "w%d", nth);
    int rc = hc_registry_open(&o, &r, &why);
    for (unsigned i = 0; i < WRITES_EACH && rc == 0; i++)
        rc = one_round(r, name, i);
    if (rc)
        fprintf(stderr, "writer %d: %s\n", nth, why.text);
    hc_registry_close(r);
    return -rc;
}

static void test_twenty_processes_that_write_at_once_lose_nothing(void **state)
{
    registry_case *c = *state;
    pid_t pids[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            _exit(writer(c, i));
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_whole(c);
    assert_int_equal(number(c, "SELECT count(*) FROM audit WHERE action = 'client.add'"),
                     WRITERS * WRITES_EACH);
    assert_int_equal(number(c, "SELECT count(DISTINCT client_name) FROM audit"),
                     WRITERS * WRITES_EACH);
    assert_int_equal(number(c, "SELECT count(*) FROM audit WHERE action = 'client.remove'"),
                     WRITERS * (WRITES_EACH / 3));
}

/* Says after each commit how many there were: what was said must be there afterwards. */
static void write_until_killed(const registry_case *c, int out, unsigned nth)
{
    hc_registry *r = NULL;
    char name[16];
    const hc_registry_options o = {.url = c->url, .access = HC_REGISTRY_CREATE, .wait_ms = 5000};
    snprintf(name, sizeof(name), "k%u", nth);
    if (hc_registry_open(&o, &r, &why))
        _exit(1);
    for (unsigned i = 0;; i++) {
        if (one_round(r, name, i) || write(out, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 8;
}

/* Returns how many commits the child told of. `after_us` 0: after its first. */
static unsigned kill_one(const registry_case *c, unsigned nth, unsigned after_us)
{
    int ends[2], status = 0;
    unsigned told = 0, last = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        write_until_killed(c, ends[1], nth);
    close(ends[1]);
    /* Not for an event: the instant is to be any. */
    const struct timespec pause = {0, (long)after_us * 1000};
    if (after_us)
        nanosleep(&pause, NULL);
    else
        assert_int_equal(read(ends[0], &last, sizeof(last)), sizeof(last));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(ends[0], &last, sizeof(last)) == sizeof(last))
        told++;
    close(ends[0]);
    return told;
}

static void test_killed_at_any_instant_it_opens_and_is_consistent(void **state)
{
    registry_case *c = *state;
    unsigned seed = 20240601, all = 0;
    hc_registry_close(c->r);
    c->r = NULL;
    unlink(c->path);
    /* As long as some commits take here, the first of which makes the database. */
    uint64_t begin_us = hc_clock_monotonic_us();
    kill_one(c, KILLS, 0);
    unsigned window_us = 2 * (unsigned)(hc_clock_monotonic_us() - begin_us);
    unlink(c->path); /* so that some are killed while they make it */
    for (unsigned i = 0; i < KILLS; i++) {
        unsigned told =
            kill_one(c, i, 1 + next_random(&seed) % (i % 4 ? window_us : window_us / 8));
        c->r = registry_case_open_as(c, HC_REGISTRY_CREATE);
        char query[128];
        snprintf(query, sizeof(query),
                 "SELECT count(*) FROM audit WHERE action = 'client.add' AND client_name GLOB "
                 "'k%u-*'",
                 i);
        int64_t there = number(c, query);
        /* One may have been committed and not been told of. */
        assert_true(there == told || there == (int64_t)told + 1);
        all += told;
        assert_whole(c);
        hc_registry_close(c->r);
        c->r = NULL;
        if (number(c, "SELECT count(*) FROM audit") > 600)
            unlink(c->path);
    }
    assert_true(all > KILLS / 10);
}

static const struct CMUnitTest tests[] = {
    WITH_SQLITE(test_twenty_processes_that_write_at_once_lose_nothing),
    WITH_SQLITE(test_killed_at_any_instant_it_opens_and_is_consistent),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
