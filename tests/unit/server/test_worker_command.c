#include "server/worker_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../faults.h"
#include "../unit.h"
#include "server/options.h"

static void begin(hc_settings *s)
{
    assert_int_equal(hc_settings_defaults(s, NULL), 0);
    s->app = hc_strdup("shop:app");
    s->python = hc_strdup("/bin/sh");
    s->workers = 1;
    s->threads = 3;
}

static void put(hc_strings *to, const char *text)
{
    assert_int_equal(hc_strings_add(to, hc_slice_text(text), NULL), 0);
}

static void assert_strings(const hc_strings *got, const char *const *wanted, size_t count)
{
    assert_int_equal(got->count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(got->at[i], wanted[i]);
}

static bool has(const hc_strings *s, const char *text)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->at[i], text) == 0)
            return true;
    }
    return false;
}

static void a_worker_is_told_its_application_and_its_lanes(void **state)
{
    static const char *const wanted[] = {"/bin/sh",  "-P",         "-m",   "handclasp.worker",
                                         "shop:app", "--lane-fds", "3,4,5"};
    hc_settings s;
    hc_worker_command c;
    (void)state;
    begin(&s);
    assert_int_equal(hc_worker_command_init(&c, &s, NULL), 0);
    assert_strings(&c.argv, wanted, HC_COUNT(wanted));
    assert_false(c.identity.drop);
    hc_worker_command_done(&c);
    hc_settings_done(&s);
}

static void folders_and_the_other_processes_are_told_where_there_are_any(void **state)
{
    static const char *const wanted[] = {
        "--multiprocess", "--chdir", "/srv/shop", "--pythonpath", "/a", "--pythonpath", "/b"};
    hc_settings s;
    hc_worker_command c;
    (void)state;
    begin(&s);
    s.workers = 2;
    s.chdir = hc_strdup("/srv/shop");
    put(&s.pythonpath, "/a");
    put(&s.pythonpath, "/b");
    assert_int_equal(hc_worker_command_init(&c, &s, NULL), 0);
    hc_strings tail = {c.argv.at + 7, c.argv.count - 7};
    assert_strings(&tail, wanted, HC_COUNT(wanted));
    hc_worker_command_done(&c);
    hc_settings_done(&s);
}

static void variables_are_replaced_by_their_whole_name(void **state)
{
    hc_settings s;
    hc_worker_command c;
    (void)state;
    assert_int_equal(setenv("COLOUR", "red", 1), 0);
    assert_int_equal(setenv("COLOURS", "two", 1), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "/run/x", 1), 0);
    begin(&s);
    put(&s.env, "COLOUR=green=blue");
    assert_int_equal(hc_worker_command_init(&c, &s, NULL), 0);
    assert_true(has(&c.env, "COLOUR=green=blue"));
    assert_false(has(&c.env, "COLOUR=red"));
    assert_true(has(&c.env, "COLOURS=two"));
    assert_false(has(&c.env, "NOTIFY_SOCKET=/run/x"));
    hc_worker_command_done(&c);
    hc_settings_done(&s);
    (void)unsetenv("NOTIFY_SOCKET");
}

static void the_active_environment_is_preferred_to_the_path(void **state)
{
    char folder[] = "/tmp/handclasp-venv-XXXXXX", bin[64], python[64];
    hc_settings s;
    hc_worker_command c;
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(bin, sizeof(bin), "%s/bin", folder);
    (void)snprintf(python, sizeof(python), "%s/bin/python", folder);
    assert_int_equal(mkdir(bin, 0700), 0);
    assert_int_equal(symlink("/bin/sh", python), 0);
    assert_int_equal(setenv("VIRTUAL_ENV", folder, 1), 0);
    begin(&s);
    hc_free(s.python);
    s.python = NULL;
    assert_int_equal(hc_worker_command_init(&c, &s, NULL), 0);
    assert_string_equal(c.python, python);
    hc_worker_command_done(&c);
    hc_settings_done(&s);
    (void)unsetenv("VIRTUAL_ENV");
    assert_int_equal(unlink(python), 0);
    assert_int_equal(rmdir(bin), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_named_python_that_is_not_there_is_no_reason_to_take_another(void **state)
{
    hc_settings s;
    hc_worker_command c;
    hc_err err = {0};
    (void)state;
    begin(&s);
    hc_free(s.python);
    s.python = hc_strdup("/nowhere/python");
    assert_int_equal(hc_worker_command_init(&c, &s, &err), -HC_ENOENT);
    assert_non_null(strstr(err.text, "--python: /nowhere/python"));
    hc_settings_done(&s);
}

static void without_memory_there_is_no_command_and_nothing_left(void **state)
{
    hc_settings s;
    int rc = -1;
    (void)state;
    begin(&s);
    put(&s.env, "A=b");
    put(&s.pythonpath, "/a");
    for (size_t nth = 1; rc != 0 && nth < 10000; nth++) {
        hc_worker_command c;
        faults_begin(nth);
        rc = hc_worker_command_init(&c, &s, NULL);
        if (rc == 0)
            hc_worker_command_done(&c);
        faults_end();
        assert_int_equal(faults_live, 0);
    }
    assert_int_equal(rc, 0);
    hc_settings_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_is_told_its_application_and_its_lanes),
        cmocka_unit_test(folders_and_the_other_processes_are_told_where_there_are_any),
        cmocka_unit_test(variables_are_replaced_by_their_whole_name),
        cmocka_unit_test(the_active_environment_is_preferred_to_the_path),
        cmocka_unit_test(a_named_python_that_is_not_there_is_no_reason_to_take_another),
        cmocka_unit_test(without_memory_there_is_no_command_and_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
