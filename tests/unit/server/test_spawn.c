#include "server/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../faults.h"
#include "../unit.h"
#include "base/buf.h"

static char *const no_env[] = {NULL};

/* Runs a shell script with what it writes to descriptor 3; its exit code. */
static int run(hc_spawn *s, const char *script, char *out, size_t room)
{
    int pair[2], fds[8] = {-1}, status;
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    pid_t pid;
    hc_err err = {0};
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    fds[0] = pair[1];
    for (size_t i = 0; i < s->fd_count; i++)
        fds[1 + i] = s->fds[i];
    hc_spawn with_pipe = *s;
    with_pipe.file = "/bin/sh";
    with_pipe.argv = argv;
    if (!with_pipe.env)
        with_pipe.env = no_env;
    with_pipe.fds = fds;
    with_pipe.fd_count = s->fd_count + 1;
    int rc = hc_spawn_run(&with_pipe, &pid, &err);
    assert_int_equal(close(pair[1]), 0);
    if (rc != 0)
        print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    size_t size = 0;
    ssize_t n;
    while ((n = read(pair[0], out + size, room - 1 - size)) > 0)
        size += (size_t)n;
    out[size] = '\0';
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_program_runs_with_its_arguments_and_only_its_environment(void **state)
{
    char *const env[] = {(char *)"COLOUR=green", NULL};
    char out[256];
    (void)state;
    assert_int_equal(setenv("SECRET", "of the parent", 1), 0);
    hc_spawn s = {.env = env};
    assert_int_equal(run(&s, "echo \"$COLOUR/$SECRET\" >&3; exit 7", out, sizeof(out)), 7);
    assert_string_equal(out, "green/\n");
}

static void only_the_named_descriptors_are_inherited(void **state)
{
    char out[1024];
    (void)state;
    int leak = open("/dev/null", O_RDONLY); /* as if from whoever started this process */
    int given = open("/dev/null", O_RDONLY | O_CLOEXEC);
    hc_spawn s = {.fds = &given, .fd_count = 1};
    (void)run(&s, "cd /proc/self/fd && echo $(ls -d [0-9]*) >&3", out, sizeof(out));
    assert_string_equal(out, "0 1 2 3 4 5\n"); /* 5: the folder that ls reads */
    assert_int_equal(close(leak), 0);
    assert_int_equal(close(given), 0);
}

/* The places the children get, 3 4 5 6, are taken here, in the wrong order and by one of the same
 * descriptors. */
static void descriptors_keep_their_order_whatever_their_numbers(void **state)
{
    int fds[4], pair[2];
    char out[64];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char digit = (char)('0' + i);
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        assert_int_equal(write(pair[1], &digit, 1), 1);
        assert_int_equal(close(pair[1]), 0);
        fds[3 - i] = pair[0];
    }
    hc_spawn s = {.fds = fds, .fd_count = 4};
    (void)run(&s, "cat <&4 >&3; cat <&5 >&3; cat <&6 >&3; cat <&7 >&3", out, sizeof(out));
    assert_string_equal(out, "3210");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(close(fds[i]), 0);
}

static void a_program_that_cannot_run_is_an_error_with_its_name(void **state)
{
    char *const argv[] = {(char *)"none", NULL};
    hc_spawn s = {.file = "/nowhere/none", .argv = argv, .env = no_env};
    hc_err err = {0};
    pid_t pid = -5;
    (void)state;
    assert_int_equal(hc_spawn_run(&s, &pid, &err), -HC_EIO);
    assert_int_equal(pid, -5);
    assert_non_null(strstr(err.text, "/nowhere/none"));
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and leaves no zombie */
    assert_int_equal(errno, ECHILD);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    char *const argv[] = {(char *)"true", NULL};
    hc_spawn s = {.file = "/bin/true", .argv = argv, .env = no_env, .chdir = "/nowhere"};
    hc_err err = {0};
    pid_t pid;
    (void)state;
    assert_int_equal(hc_spawn_run(&s, &pid, &err), -HC_EIO);
    assert_non_null(strstr(err.text, "folder"));
}

static void signals_are_default_unblocked_and_ignored_as_asked(void **state)
{
    static const int ignored[] = {SIGINT};
    char out[256];
    sigset_t usr1, before;
    (void)state;
    (void)signal(SIGTERM, SIG_IGN);
    (void)sigemptyset(&usr1);
    (void)sigaddset(&usr1, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &usr1, &before);
    hc_spawn s = {.ignore = ignored, .ignore_count = 1};
    assert_int_equal(
        run(&s, "kill -INT $$; echo on >&3; kill -TERM $$; echo no >&3", out, sizeof(out)),
        -SIGTERM);
    assert_string_equal(out, "on\n");
    assert_int_equal(run(&s, "kill -USR1 $$; echo no >&3", out, sizeof(out)), -SIGUSR1);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)signal(SIGTERM, SIG_DFL);
}

static void umask_folder_and_limit_are_set(void **state)
{
    const struct rlimit files = {77, 88};
    char out[256];
    (void)state;
    hc_spawn s = {.set_umask = true, .umask = 027, .chdir = "/usr", .open_files = &files};
    assert_int_equal(
        run(&s, "echo $(umask) $(pwd) $(ulimit -Sn) $(ulimit -Hn) >&3", out, sizeof(out)), 0);
    assert_string_equal(out, "0027 /usr 77 88\n");
}

static void standard_input_is_empty(void **state)
{
    char out[64];
    (void)state;
    hc_spawn s = {0};
    assert_int_equal(run(&s, "cat >&3; echo end >&3", out, sizeof(out)), 0);
    assert_string_equal(out, "end\n");
}

static void a_child_ends_with_its_parent(void **state)
{
    int pair[2];
    char octet;
    char *const argv[] = {(char *)"sleep", (char *)"1000", NULL};
    (void)state;
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        pid_t pid;
        hc_spawn s = {
            .file = "/bin/sleep", .argv = argv, .env = no_env, .fds = &pair[1], .fd_count = 1};
        _exit(hc_spawn_run(&s, &pid, NULL) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(close(pair[1]), 0);
    assert_int_equal(waitpid(middle, &status, 0), middle);
    assert_int_equal(status, 0);
    assert_int_equal(read(pair[0], &octet, 1), 0); /* comes only when the last copy is closed */
    assert_int_equal(close(pair[0]), 0);
}

static void another_user_is_taken_with_all_of_its_groups(void **state)
{
    char out[256];
    hc_identity who = {0};
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(hc_identity_lookup("--user", "nobody", NULL, &who, NULL), 0);
    assert_true(who.drop);
    hc_spawn s = {.identity = &who};
    (void)run(&s, "echo $(id -un) $(id -Gn) $(id -ru) >&3; kill -0 1 2>/dev/null && echo root >&3",
              out, sizeof(out));
    hc_identity_done(&who);
    assert_string_equal(out, "nobody nogroup 65534\n");
}

static void a_user_may_be_a_number_with_a_group(void **state)
{
    char out[256];
    hc_identity who = {0};
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(hc_identity_lookup("--user", "54321", "12345", &who, NULL), 0);
    hc_spawn s = {.identity = &who};
    (void)run(&s, "echo $(id -u) $(id -G) >&3", out, sizeof(out));
    hc_identity_done(&who);
    assert_string_equal(out, "54321 12345\n");
}

static void unknown_users_and_groups_are_refused(void **state)
{
    hc_identity who = {0};
    hc_err err = {0};
    (void)state;
    assert_int_equal(hc_identity_lookup("--user", "no-such-user", NULL, &who, &err), -HC_ENOENT);
    assert_non_null(strstr(err.text, "no-such-user"));
    assert_int_equal(hc_identity_lookup("--user", NULL, "no-such-group", &who, &err), -HC_ENOENT);
    assert_int_equal(hc_identity_lookup("--user", "54321", NULL, &who, &err), -HC_EINVAL);
    assert_int_equal(hc_identity_lookup("--user", "4294967295", "0", &who, &err),
                     -HC_ENOENT); /* (uid_t)-1 */
    assert_false(who.drop);
}

static void without_user_and_group_nothing_changes(void **state)
{
    hc_identity who = {.drop = true};
    (void)state;
    assert_int_equal(hc_identity_lookup("--user", NULL, NULL, &who, NULL), 0);
    assert_false(who.drop);
}

static void programs_are_found_in_the_path(void **state)
{
    char *found = NULL;
    hc_err err = {0};
    (void)state;
    assert_int_equal(setenv("PATH", "/nowhere:/bin", 1), 0);
    assert_int_equal(hc_spawn_find("sh", &found, NULL), 0);
    assert_string_equal(found, "/bin/sh");
    hc_free(found);
    assert_int_equal(hc_spawn_find("/bin/sh", &found, NULL), 0);
    hc_free(found);
    assert_int_equal(hc_spawn_find("no-such-program", &found, &err), -HC_ENOENT);
    assert_non_null(strstr(err.text, "no-such-program"));
    assert_int_equal(hc_spawn_find("/etc/passwd", &found, &err), -HC_ENOENT);
    assert_int_equal(hc_spawn_find("/bin", &found, &err), -HC_ENOENT);
    faults_begin(1);
    assert_int_equal(hc_spawn_find("sh", &found, &err), -HC_ENOMEM);
    faults_end();
}

static void looking_up_a_user_without_memory_fails_cleanly(void **state)
{
    (void)state;
    for (size_t nth = 1; nth < 20; nth++) {
        hc_identity who = {0};
        faults_begin(nth);
        int rc = hc_identity_lookup("--user", "root", "root", &who, NULL);
        if (rc == 0)
            hc_identity_done(&who);
        faults_end();
        assert_int_equal(faults_live, 0);
        if (rc == 0)
            return;
        assert_int_equal(rc, geteuid() == 0 ? -HC_ENOMEM : rc);
    }
    assert_int_not_equal(geteuid(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_runs_with_its_arguments_and_only_its_environment),
        cmocka_unit_test(only_the_named_descriptors_are_inherited),
        cmocka_unit_test(descriptors_keep_their_order_whatever_their_numbers),
        cmocka_unit_test(a_program_that_cannot_run_is_an_error_with_its_name),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
        cmocka_unit_test(signals_are_default_unblocked_and_ignored_as_asked),
        cmocka_unit_test(umask_folder_and_limit_are_set),
        cmocka_unit_test(standard_input_is_empty),
        cmocka_unit_test(a_child_ends_with_its_parent),
        cmocka_unit_test(another_user_is_taken_with_all_of_its_groups),
        cmocka_unit_test(a_user_may_be_a_number_with_a_group),
        cmocka_unit_test(unknown_users_and_groups_are_refused),
        cmocka_unit_test(without_user_and_group_nothing_changes),
        cmocka_unit_test(programs_are_found_in_the_path),
        cmocka_unit_test(looking_up_a_user_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
