#include "server/notify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../unit.h"

static char folder[40], path[64];

static int begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/handclasp-notify-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unsetenv("NOTIFY_SOCKET");
    return rmdir(folder);
}

static void put(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void the_service_manager_is_told(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char got[32] = "";
    (void)state;
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    hc_notify("READY=1");
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), 7);
    assert_string_equal(got, "READY=1");
    assert_int_equal(close(fd), 0);
}

static void an_abstract_socket_of_the_service_manager_is_told(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char name[64], got[32] = "";
    (void)state;
    int size = snprintf(name, sizeof(name), "@handclasp-test-%d", (int)getpid());
    memcpy(at.sun_path + 1, name + 1, (size_t)size - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t at_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)size);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, at_size), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    hc_notify("STOPPING=1");
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), 10);
    assert_int_equal(close(fd), 0);
}

static void a_service_manager_that_is_not_there_does_no_harm(void **state)
{
    static const char *const names[] = {"", "/", "relative", "/nowhere/socket"};
    (void)state;
    hc_notify("READY=1");
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        hc_notify("READY=1");
    }
}

static void sockets_are_taken_only_where_they_are_meant_for_this_process(void **state)
{
    char text[32];
    (void)state;
    assert_int_equal(hc_notify_sockets(), 0);
    assert_int_equal(setenv("LISTEN_FDS", "1", 1), 0);
    assert_int_equal(setenv("LISTEN_PID", "1", 1), 0);
    assert_int_equal(hc_notify_sockets(), 0);
    (void)snprintf(text, sizeof(text), "%d", (int)getpid());
    assert_int_equal(setenv("LISTEN_PID", text, 1), 0);
    assert_int_equal(dup2(0, 3), 3);
    assert_int_equal(hc_notify_sockets(), 1);
    assert_int_equal(fcntl(3, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(setenv("LISTEN_FDS", "65536", 1), 0);
    assert_int_equal(hc_notify_sockets(), 0);
    assert_int_equal(close(3), 0);
    assert_int_equal(setenv("LISTEN_FDS", "1", 1), 0);
    assert_int_equal(hc_notify_sockets(), 0); /* promised, and not there */
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_PID");
}

static void the_pid_file_holds_our_number_and_goes_with_us(void **state)
{
    char got[32] = "", wanted[32];
    (void)state;
    (void)snprintf(wanted, sizeof(wanted), "%d\n", (int)getpid());
    assert_int_equal(hc_pidfile_write(path, NULL), 0);
    int fd = open(path, O_RDONLY);
    assert_true(read(fd, got, sizeof(got) - 1) > 0);
    assert_int_equal(close(fd), 0);
    assert_string_equal(got, wanted);
    hc_pidfile_remove(path);
    assert_int_equal(access(path, F_OK), -1);
}

static void the_pid_file_of_a_living_process_is_respected(void **state)
{
    char other[32];
    hc_err err = {0};
    (void)state;
    (void)snprintf(other, sizeof(other), "%d\n", (int)getppid());
    put(other);
    assert_int_equal(hc_pidfile_write(path, &err), -HC_EBUSY);
    assert_non_null(strstr(err.text, "running already"));
    hc_pidfile_remove(path);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_stale_or_broken_pid_file_is_replaced(void **state)
{
    static const char *const stale[] = {"4194303999\n", "0\n", "nonsense", "", "-1\n"};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(stale); i++) {
        put(stale[i]);
        assert_int_equal(hc_pidfile_write(path, NULL), 0);
    }
    hc_pidfile_remove(path);
}

static void a_pid_file_that_cannot_be_written_is_an_error(void **state)
{
    hc_err err = {0};
    (void)state;
    assert_int_equal(hc_pidfile_write("/nowhere/file.pid", &err), -HC_EIO);
    assert_non_null(strstr(err.text, "/nowhere/file.pid"));
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_service_manager_is_told),
        IN_FOLDER(an_abstract_socket_of_the_service_manager_is_told),
        IN_FOLDER(a_service_manager_that_is_not_there_does_no_harm),
        IN_FOLDER(sockets_are_taken_only_where_they_are_meant_for_this_process),
        IN_FOLDER(the_pid_file_holds_our_number_and_goes_with_us),
        IN_FOLDER(the_pid_file_of_a_living_process_is_respected),
        IN_FOLDER(a_stale_or_broken_pid_file_is_replaced),
        IN_FOLDER(a_pid_file_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
