#include "follower_case.h"

#include <sqlite3.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "faults.h"

static void a_client_of_the_database_is_found(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    case_follow(c);
    hc_lookup_answer a;
    c->l->find(c->l, c->cert, hc_clock_monotonic_ms(), &a);
    assert_int_equal(a.code, HC_VERDICT_OK);
    assert_int_equal(a.certificate_id, 1);
    assert_slice(hc_record_name(a.record), "alice");
    hc_record_unref(a.record);
    hc_follower_facts facts = case_facts(c);
    assert_true(facts.trusted);
    assert_int_equal(facts.certificates, 1);
    assert_int_equal(facts.clients, 1);
    assert_int_equal(facts.seq, 2);
    assert_int_equal(facts.generation, c->l->generation(c->l, hc_clock_monotonic_ms()));
    assert_true(facts.bytes > 0);
    case_done(c);
}

static void a_revocation_is_in_force_within_a_second(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    case_follow(c);
    hc_certificate_row row = {
        .id = 1, .status = HC_CERTIFICATE_REVOKED, .revoked_s = 99, .reason = 1};
    uint64_t generation = c->l->generation(c->l, hc_clock_monotonic_ms());
    case_begin(c->writer);
    CASE_DO(c->writer->engine->certificate_set(c->writer, &row, &err));
    case_audit(c->writer, 1);
    case_commit(c->writer);
    uint64_t began_ms = hc_clock_monotonic_ms();
    case_look(c);
    assert_true(hc_clock_monotonic_ms() - began_ms < 1000);
    hc_lookup_answer a;
    c->l->find(c->l, c->cert, hc_clock_monotonic_ms(), &a);
    assert_int_equal(a.code, HC_VERDICT_REVOKED);
    assert_int_equal(a.since_s, 99);
    assert_int_equal(a.reason, 1);
    hc_record_unref(a.record);
    assert_true(c->l->generation(c->l, hc_clock_monotonic_ms()) > generation);
    case_done(c);
}

static void every_change_of_another_process_arrives(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    case_follow(c);
    hc_cert *bobs = world_cert("CA", "2F", NULL, "bob");
    case_suspend(c->writer);
    case_look(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_SUSPENDED);
    case_set_client(c->writer, 1, "alice", HC_CLIENT_ACTIVE, "admin");
    assert_int_equal(case_add_client(c->writer, "bob"), 2);
    assert_int_equal(case_add_certificate(c->writer, 2, bobs, true), 2);
    case_look(c);
    hc_lookup_answer a;
    c->l->find(c->l, c->cert, hc_clock_monotonic_ms(), &a);
    assert_int_equal(a.code, HC_VERDICT_OK);
    assert_slice(hc_record_roles(a.record), "admin");
    hc_record_unref(a.record);
    assert_int_equal(case_ask(c, bobs), HC_VERDICT_OK);
    case_remove_client(c->writer, 1);
    case_look(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_NOT_IN_REGISTRY);
    assert_int_equal(case_facts(c).clients, 1);
    hc_cert_unref(bobs);
    case_done(c);
}

static void last_seen_is_no_change(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    case_follow(c);
    const hc_seen seen = {1, 1700000000};
    uint64_t generation = case_facts(c).generation;
    case_begin(c->writer);
    CASE_DO(c->writer->engine->seen(c->writer, &seen, 1, &err));
    case_commit(c->writer);
    case_look(c);
    assert_int_equal(case_facts(c).generation, generation);
    assert_true(case_facts(c).trusted);
    case_done(c);
}

static void more_changes_than_are_taken_one_by_one_arrive_too(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    case_follow(c);
    hc_registry *r = c->writer;
    case_begin(r);
    for (int i = 0; i < 20001; i++) {
        char name[32];
        int64_t id;
        hc_client_row row = {.name = hc_slice_of(name, (size_t)snprintf(name, 32, "c%d", i)),
                             .status = HC_CLIENT_ACTIVE};
        CASE_DO(r->engine->client_add(r, &row, &id, &err));
        case_audit(r, id);
    }
    hc_client_row alice = {.id = 1, .name = S("alice"), .status = HC_CLIENT_SUSPENDED};
    CASE_DO(r->engine->client_set(r, &alice, &err));
    case_audit(r, 1);
    case_commit(r);
    case_look(c);
    assert_int_equal(case_facts(c).clients, 20002);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_SUSPENDED);
    case_done(c);
}

static void a_registry_that_is_missing_is_an_error_where_it_is_waited_for(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    hc_follower_config config = case_config(c);
    hc_err err = {0};
    config.url = "sqlite:/nonexistent/registry.db";
    assert_int_equal(hc_follower_start(&config, true, &c->f, &err), -HC_ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/registry.db"));
    assert_null(c->f);
    assert_int_equal(c->problems, 0); /* an error is said once */
    case_done(c);
}

static void a_registry_that_comes_late_is_unavailable_until_then(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    char other[128];
    case_in_folder(c, "other.db", other);
    case_close_writer(c);
    assert_int_equal(rename(c->path, other), 0);
    hc_follower_config config = case_config(c);
    CASE_DO(hc_follower_start(&config, false, &c->f, &err));
    c->l = hc_follower_lookup(c->f);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_REGISTRY_UNAVAILABLE);
    assert_int_equal(c->l->generation(c->l, hc_clock_monotonic_ms()), 0);
    assert_int_equal(c->l->generation(c->l, 0), 0);
    assert_false(case_facts(c).trusted);
    assert_true(case_facts(c).age_ms == UINT64_MAX);
    assert_int_equal(rename(other, c->path), 0);
    case_heals(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK);
    assert_int_equal(case_count(c, &c->problems), 1);
    assert_int_equal(case_count(c, &c->overs), 1);
    case_done(c);
}

static void an_index_is_trusted_as_long_as_it_may_be_old(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    hc_follower_config config = case_config(c);
    config.poll_ms = 60000; /* one look, and no more */
    CASE_DO(hc_follower_start(&config, true, &c->f, &err));
    c->l = hc_follower_lookup(c->f);
    hc_follower_facts facts = case_facts(c);
    uint64_t now_ms = hc_clock_monotonic_ms(), right_at_ms = now_ms - facts.age_ms;
    assert_int_equal(case_ask_at(c, c->cert, right_at_ms), HC_VERDICT_OK);
    assert_int_equal(case_ask_at(c, c->cert, right_at_ms - 1), HC_VERDICT_OK);
    assert_int_equal(case_ask_at(c, c->cert, right_at_ms + CASE_MAX_AGE_MS - 5), HC_VERDICT_OK);
    case_refuses_when_old(c);
    hc_follower_set_max_age(c->f, 2 * CASE_MAX_AGE_MS);
    assert_int_equal(case_ask_at(c, c->cert, now_ms + CASE_MAX_AGE_MS + 1), HC_VERDICT_OK);
    hc_follower_set_max_age(c->f, 0);
    assert_int_equal(case_ask_at(c, c->cert, now_ms + 1), HC_VERDICT_REGISTRY_UNAVAILABLE);
    uint64_t began_ms = hc_clock_monotonic_ms();
    hc_follower_stop(c->f); /* does not wait for the next look */
    c->f = NULL;
    assert_true(hc_clock_monotonic_ms() - began_ms < 5000);
    case_done(c);
}

static void exec(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static void a_registry_locked_by_another_ages_and_heals(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    sqlite3 *other = NULL;
    case_follow(c);
    assert_int_equal(sqlite3_open(c->path, &other), SQLITE_OK);
    sqlite3_busy_timeout(other, 10000);
    exec(other, "BEGIN EXCLUSIVE");
    exec(other, "UPDATE client SET status = 2");
    exec(other, "INSERT INTO audit (at_ms, who, action, client_id, client_name, certificate_id, "
                "certificate, was, now) VALUES (1, '', '', 1, '', 0, '', '', '')");
    case_look(c);
    uint64_t age_ms = case_facts(c).age_ms;
    case_look(c);
    assert_true(case_facts(c).age_ms > age_ms);
    case_refuses_when_old(c);
    exec(other, "COMMIT");
    sqlite3_close(other);
    case_heals(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_SUSPENDED);
    case_done(c);
}

static void a_registry_that_stays_locked_is_an_error_where_it_is_waited_for(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    sqlite3 *other = NULL;
    hc_follower_config config = case_config(c);
    config.max_age_ms = 50;
    assert_int_equal(sqlite3_open(c->path, &other), SQLITE_OK);
    exec(other, "BEGIN EXCLUSIVE");
    assert_int_equal(hc_follower_start(&config, true, &c->f, NULL), -HC_EBUSY);
    assert_null(c->f);
    config = case_config(c);
    CASE_DO(hc_follower_start(&config, false, &c->f, &err));
    c->l = hc_follower_lookup(c->f);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_REGISTRY_UNAVAILABLE);
    exec(other, "ROLLBACK");
    sqlite3_close(other);
    case_heals(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK);
    case_done(c);
}

static void a_registry_that_is_gone_ages_is_told_once_and_heals(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    char other[128];
    case_in_folder(c, "other.db", other);
    case_follow(c);
    assert_int_equal(rename(c->path, other), 0);
    for (int i = 0; i < 4; i++)
        case_look(c);
    case_refuses_when_old(c);
    assert_int_equal(case_facts(c).certificates, 1);
    assert_int_equal(case_count(c, &c->problems), 1);
    assert_int_equal(case_count(c, &c->overs), 0);
    assert_int_equal(rename(other, c->path), 0);
    case_heals(c);
    case_look(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK);
    assert_int_equal(case_count(c, &c->problems), 1);
    assert_int_equal(case_count(c, &c->overs), 1);
    case_done(c);
}

/* What is left of the file after `damage` must be no registry any more; then it is put right. */
static void a_damage_heals(void (*damage)(const char *path))
{
    follower_case *c = case_new(true);
    char backup[128];
    case_in_folder(c, "backup.db", backup);
    case_follow(c);
    case_suspend(c->writer);
    case_close_writer(c);
    case_copy(c->path, backup);
    damage(c->path);
    for (int i = 0; i < 3; i++)
        case_look(c);
    assert_int_equal(case_facts(c).certificates, 1);
    assert_int_equal(case_facts(c).clients, 1);
    assert_int_not_equal(case_ask(c, c->cert), HC_VERDICT_NOT_IN_REGISTRY);
    case_refuses_when_old(c);
    assert_int_equal(case_count(c, &c->problems), 1);
    case_copy(backup, c->path);
    case_heals(c);
    case_look(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_SUSPENDED);
    assert_int_equal(case_count(c, &c->overs), 1);
    case_done(c);
}

static void to_nothing(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void to_the_half(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size / 2), 0);
}

static void to_garbage(const char *path)
{
    static const char garbage[65536] = "no database at all";
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, garbage, sizeof garbage), sizeof garbage);
    close(fd);
}

static void in_its_middle(const char *path)
{
    static const char garbage[4096] = "nothing";
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    int fd = open(path, O_WRONLY);
    for (off_t at = 4096; at < st.st_size; at += (off_t)sizeof garbage)
        assert_int_equal(pwrite(fd, garbage, sizeof garbage, at), sizeof garbage);
    close(fd);
}

static void another_programs(const char *path)
{
    sqlite3 *db = NULL;
    to_nothing(path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    exec(db, "CREATE TABLE client (id INTEGER)");
    sqlite3_close(db);
}

static void what_cannot_be_read_is_no_empty_registry(void **state)
{
    (void)state;
    a_damage_heals(to_nothing);
    a_damage_heals(to_the_half);
    a_damage_heals(to_garbage);
    a_damage_heals(in_its_middle);
    a_damage_heals(another_programs);
}

static void a_database_in_its_place_is_taken_over_as_a_whole(void **state)
{
    (void)state;
    for (int same_inode = 0; same_inode < 2; same_inode++) {
        follower_case *c = case_new(true);
        char path[128];
        hc_cert *bobs = world_cert("CA", "2F", NULL, "bob");
        case_in_folder(c, "other.db", path);
        case_follow(c);
        hc_registry *other = case_open(path, HC_REGISTRY_CREATE);
        assert_int_equal(case_add_client(other, "bob"), 1);
        assert_int_equal(case_add_certificate(other, 1, bobs, true), 1);
        hc_registry_close(other);
        if (same_inode)
            case_copy(path, c->path);
        else
            assert_int_equal(rename(path, c->path), 0);
        case_heals(c);
        assert_int_equal(case_ask(c, c->cert), HC_VERDICT_NOT_IN_REGISTRY);
        assert_int_equal(case_ask(c, bobs), HC_VERDICT_OK);
        assert_int_equal(case_facts(c).clients, 1);
        hc_cert_unref(bobs);
        case_done(c);
    }
}

/* The backup has bob, whom the present knows too; the present suspended alice and added carol. With
 * `changed` the backup had as many changes since, and one more for bob. */
static void restore(bool same_inode, bool changed)
{
    follower_case *c = case_new(true);
    char backup[128];
    hc_cert *bobs = world_cert("CA", "2F", NULL, "bob");
    hc_cert *carols = world_cert("CA", "3F", NULL, "carol");
    case_in_folder(c, "backup.db", backup);
    assert_int_equal(case_add_client(c->writer, "bob"), 2);
    assert_int_equal(case_add_certificate(c->writer, 2, bobs, true), 2);
    case_close_writer(c);
    case_copy(c->path, backup);
    c->writer = case_open(c->path, HC_REGISTRY_WRITE);
    case_follow(c);
    case_suspend(c->writer);
    assert_int_equal(case_add_client(c->writer, "carol"), 3);
    assert_int_equal(case_add_certificate(c->writer, 3, carols, true), 3);
    case_look(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_SUSPENDED);
    assert_int_equal(case_ask(c, carols), HC_VERDICT_OK);
    case_close_writer(c);
    if (changed) {
        hc_registry *other = case_open(backup, HC_REGISTRY_WRITE);
        for (int i = 0; i < 3; i++)
            case_set_client(other, 2, "bob", HC_CLIENT_SUSPENDED, "");
        hc_registry_close(other);
    }
    if (same_inode)
        case_copy(backup, c->path);
    else
        assert_int_equal(rename(backup, c->path), 0);
    case_heals(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK); /* what the present database says */
    assert_int_equal(case_ask(c, carols), HC_VERDICT_NOT_IN_REGISTRY);
    assert_int_equal(case_ask(c, bobs), changed ? HC_VERDICT_SUSPENDED : HC_VERDICT_OK);
    hc_cert_unref(bobs);
    hc_cert_unref(carols);
    case_done(c);
}

static void a_backup_that_is_put_back_counts_and_not_what_was(void **state)
{
    (void)state;
    restore(false, false);
    restore(true, false);
}

static void a_backup_with_as_many_changes_since_is_not_mistaken_for_what_was(void **state)
{
    (void)state;
    restore(false, true);
    restore(true, true);
}

static void a_serial_that_is_pinned_is_handed_on(void **state)
{
    (void)state;
    follower_case *c = case_new(false);
    hc_cert *other = world_cert("CA", "1F", NULL, "mallory");
    case_follow(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK);
    assert_int_equal(case_ask(c, other), HC_VERDICT_RECORD_MISMATCH);
    assert_int_equal(case_count(c, &c->pins), 1);
    assert_int_equal(c->pinned_id, 1);
    /* The row is read anew before the pin was written. */
    case_set_client(c->writer, 1, "alice", HC_CLIENT_ACTIVE, "admin");
    case_look(c);
    assert_int_equal(case_ask(c, other), HC_VERDICT_RECORD_MISMATCH);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK);
    assert_int_equal(case_count(c, &c->pins), 2);
    /* It was written. */
    hc_certificate_row row = {.id = 1,
                              .status = HC_CERTIFICATE_ACTIVE,
                              .reason = HC_REASON_NONE,
                              .sha256 = hc_cert_sha256(c->cert)};
    case_begin(c->writer);
    CASE_DO(c->writer->engine->certificate_set(c->writer, &row, &err));
    case_audit(c->writer, 1);
    case_commit(c->writer);
    case_look(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK);
    assert_int_equal(case_ask(c, other), HC_VERDICT_RECORD_MISMATCH);
    assert_int_equal(case_count(c, &c->pins), 2);
    hc_cert_unref(other);
    case_done(c);
}

static void no_memory_to_start_is_an_error(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    hc_follower_config config = case_config(c);
    config.poll_ms = 60000;
    int rc = -HC_ENOMEM;
    size_t nth = 0;
    while (rc != 0) {
        faults_begin(++nth);
        rc = hc_follower_start(&config, true, &c->f, NULL);
        assert_true(rc == 0 || rc == -HC_ENOMEM);
        hc_follower_stop(c->f);
        assert_int_equal(faults_live, 0);
        faults_end();
        c->f = NULL;
    }
    assert_true(nth > 10);
    case_done(c);
}

static atomic_bool out_of_memory;

static void *scarce_realloc(void *old, size_t size_bytes)
{
    return atomic_load(&out_of_memory) ? NULL : realloc(old, size_bytes);
}

static void a_change_that_did_not_fit_into_memory_is_not_forgotten(void **state)
{
    (void)state;
    static const hc_mem scarce = {scarce_realloc, free};
    follower_case *c = case_new(true);
    hc_mem_set(&scarce);
    case_follow(c);
    hc_registry *r = c->writer;
    case_begin(r);
    hc_client_row alice = {.id = 1, .name = S("alice"), .status = HC_CLIENT_SUSPENDED};
    CASE_DO(r->engine->client_set(r, &alice, &err));
    case_audit(r, 1);
    atomic_store(&out_of_memory, true);
    case_commit(r);
    for (int i = 0; i < 3; i++)
        case_look(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_OK);
    case_refuses_when_old(c);
    assert_int_equal(case_count(c, &c->problems), 1);
    atomic_store(&out_of_memory, false);
    case_heals(c);
    assert_int_equal(case_ask(c, c->cert), HC_VERDICT_SUSPENDED);
    case_done(c);
    hc_mem_set(NULL);
}

typedef struct asker {
    follower_case *c;
    atomic_bool over;
} asker;

static void *ask_on(void *arg)
{
    asker *a = arg;
    size_t wrong = 0;
    while (!atomic_load(&a->over)) {
        hc_verdict_code code = case_ask(a->c, a->c->cert);
        hc_follower_facts facts = case_facts(a->c);
        wrong += (code != HC_VERDICT_OK && code != HC_VERDICT_SUSPENDED) || !facts.generation;
    }
    return (void *)wrong;
}

static void lookups_go_on_while_the_index_changes(void **state)
{
    (void)state;
    follower_case *c = case_new(true);
    pthread_t threads[3];
    case_follow(c);
    asker a = {.c = c};
    for (size_t i = 0; i < HC_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &a), 0);
    for (int i = 0; i < 20; i++) {
        case_set_client(c->writer, 1, "alice", i % 2 ? HC_CLIENT_ACTIVE : HC_CLIENT_SUSPENDED, "r");
        case_look(c);
        assert_int_equal(case_ask(c, c->cert), i % 2 ? HC_VERDICT_OK : HC_VERDICT_SUSPENDED);
    }
    atomic_store(&a.over, true);
    for (size_t i = 0; i < HC_COUNT(threads); i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    case_done(c);
}

static int restore_memory(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_of_the_database_is_found),
        cmocka_unit_test(a_revocation_is_in_force_within_a_second),
        cmocka_unit_test(every_change_of_another_process_arrives),
        cmocka_unit_test(last_seen_is_no_change),
        cmocka_unit_test(more_changes_than_are_taken_one_by_one_arrive_too),
        cmocka_unit_test(a_registry_that_is_missing_is_an_error_where_it_is_waited_for),
        cmocka_unit_test(a_registry_that_comes_late_is_unavailable_until_then),
        cmocka_unit_test(an_index_is_trusted_as_long_as_it_may_be_old),
        cmocka_unit_test(a_registry_locked_by_another_ages_and_heals),
        cmocka_unit_test(a_registry_that_stays_locked_is_an_error_where_it_is_waited_for),
        cmocka_unit_test(a_registry_that_is_gone_ages_is_told_once_and_heals),
        cmocka_unit_test(what_cannot_be_read_is_no_empty_registry),
        cmocka_unit_test(a_database_in_its_place_is_taken_over_as_a_whole),
        cmocka_unit_test(a_backup_that_is_put_back_counts_and_not_what_was),
        cmocka_unit_test(a_backup_with_as_many_changes_since_is_not_mistaken_for_what_was),
        cmocka_unit_test(a_serial_that_is_pinned_is_handed_on),
        cmocka_unit_test_teardown(no_memory_to_start_is_an_error, restore_memory),
        cmocka_unit_test_teardown(a_change_that_did_not_fit_into_memory_is_not_forgotten,
                                  restore_memory),
        cmocka_unit_test(lookups_go_on_while_the_index_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
