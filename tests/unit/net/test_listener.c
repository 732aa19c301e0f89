#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

#define ROOM 8

static char folder[] = "/tmp/hc-listener-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

static size_t opened(const char *bind_text, int fds[ROOM])
{
    hc_err err = {0};
    size_t count = 0;
    if (hc_listener_open(hc_slice_text(bind_text), 16, fds, ROOM, &count, &err) != 0)
        fail_msg("%s", err.text);
    return count;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(close(fds[i]), 0);
}

/* The code, after checking that the outputs and the table of descriptors are as before. */
static int refused(const char *bind_text, hc_err *err)
{
    int fds[ROOM] = {-7, -7, -7};
    size_t count = 77;
    *err = (hc_err){0};
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(before);
    int rc = hc_listener_open(hc_slice_text(bind_text), 16, fds, ROOM, &count, err);
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(after);
    assert_true(rc < 0);
    assert_int_equal(-rc, err->code);
    assert_int_equal(count, 77);
    assert_int_equal(before, after);
    return -rc;
}

static uint16_t port_of(int fd, char text[HC_ADDRESS_TEXT_BYTES])
{
    hc_address a;
    uint16_t port;
    assert_int_equal(hc_address_of_socket(fd, &a, NULL), 0);
    hc_address_text(&a, text, &port);
    return port;
}

static void assert_accepts(int fd)
{
    hc_address a;
    assert_int_equal(hc_address_of_socket(fd, &a, NULL), 0);
    int client = socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&a.storage, a.size), 0);
    int server = accept(fd, NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    (void)close(server);
    (void)close(client);
}

static void an_ipv4_address_is_served_without_blocking_and_not_inherited(void **state)
{
    (void)state;
    int fds[ROOM];
    char text[HC_ADDRESS_TEXT_BYTES];
    assert_int_equal(opened("127.0.0.1:0", fds), 1);
    assert_true(port_of(fds[0], text) > 0);
    assert_string_equal(text, "127.0.0.1");
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_accepts(fds[0]);
    close_all(fds, 1);
}

static bool ipv6_here(void)
{
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool here = fd >= 0 && bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback)) == 0;
    if (fd >= 0)
        (void)close(fd);
    return here;
}

static void an_ipv6_address_in_brackets_is_served_and_is_ipv6_alone(void **state)
{
    (void)state;
    int fds[ROOM];
    char text[HC_ADDRESS_TEXT_BYTES];
    int only = 0;
    socklen_t size = sizeof(only);
    if (!ipv6_here())
        skip();
    assert_int_equal(opened("[::1]:0", fds), 1);
    (void)port_of(fds[0], text);
    assert_string_equal(text, "::1");
    assert_int_equal(getsockopt(fds[0], IPPROTO_IPV6, IPV6_V6ONLY, &only, &size), 0);
    assert_int_equal(only, 1);
    assert_accepts(fds[0]);
    close_all(fds, 1);
}

static void a_host_name_gives_all_its_addresses_on_one_port(void **state)
{
    static const char *const names[] = {"localhost:0", ":0"};
    (void)state;
    for (size_t n = 0; n < HC_COUNT(names); n++) {
        int fds[ROOM];
        char text[HC_ADDRESS_TEXT_BYTES];
        size_t count = opened(names[n], fds);
        assert_true(count >= 1);
        uint16_t port = port_of(fds[0], text);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(port_of(fds[i], text), port);
        close_all(fds, count);
    }
}

static void an_address_in_use_is_named_with_what_to_do(void **state)
{
    (void)state;
    int fds[ROOM];
    char text[HC_ADDRESS_TEXT_BYTES], again[64];
    hc_err err;
    assert_int_equal(opened("127.0.0.1:0", fds), 1);
    (void)snprintf(again, sizeof(again), "127.0.0.1:%u", port_of(fds[0], text));
    assert_int_equal(refused(again, &err), HC_EBUSY);
    assert_non_null(strstr(err.text, again));
    assert_non_null(strstr(err.text, "--bind"));
    (void)snprintf(again, sizeof(again), "localhost:%u", port_of(fds[0], text));
    assert_int_equal(refused(again, &err), HC_EBUSY);
    close_all(fds, 1);
}

static void an_address_of_another_machine_is_refused(void **state)
{
    (void)state;
    hc_err err;
    assert_int_equal(refused("192.0.2.1:0", &err), HC_EINVAL);
    assert_non_null(strstr(err.text, "no interface"));
}

static void a_port_that_needs_rights_is_refused_with_the_reason(void **state)
{
    (void)state;
    hc_err err;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    int first = 1024;
    if (file) {
        assert_int_equal(fscanf(file, "%d", &first), 1);
        (void)fclose(file);
    }
    if (geteuid() != 0 || first < 2)
        skip();
    assert_int_equal(seteuid(65534), 0);
    int code = refused("127.0.0.1:1", &err);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(code, HC_EDENIED);
    assert_non_null(strstr(err.text, "root"));
}

static void what_is_no_address_is_refused_with_the_forms_that_are(void **state)
{
    static const char *const texts[] = {
        "",
        "localhost",
        "8443",
        "127.0.0.1",
        "127.0.0.1:",
        "::1:8443",
        "[::1]",
        "[127.0.0.1]:1",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:http",
        "127.0.0.1:+1",
        "[::1:1",
        "unix:",
        "fd://",
        "fd://x",
        "fd://2",
        "fd://-1",
        "fd://99999999999999999999",
        "127.0.0.1:000080",
    };
    (void)state;
    hc_err err;
    for (size_t i = 0; i < HC_COUNT(texts); i++) {
        assert_int_equal(refused(texts[i], &err), HC_EINVAL);
        assert_non_null(strstr(err.text, "HOST:PORT"));
    }
    assert_int_equal(refused("127.0.0.1\x1b:80", &err), HC_EINVAL);
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(refused(longest, &err), HC_EINVAL);
}

static void a_host_name_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    hc_err err;
    assert_int_equal(refused("no-such-host.invalid:1", &err), HC_ENOENT);
    assert_non_null(strstr(err.text, "no-such-host.invalid"));
}

static void more_addresses_than_room_is_an_error_and_leaves_nothing_open(void **state)
{
    (void)state;
    int fds[1] = {-7};
    size_t count = 77;
    hc_err err = {0};
    assert_int_equal(hc_listener_open(S("127.0.0.1:0"), 1, fds, 0, &count, &err), -HC_ELIMIT);
    assert_int_equal(hc_listener_open(S("unix:/tmp/x"), 1, fds, 0, &count, &err), -HC_ELIMIT);
    assert_int_equal(count, 77);
    assert_int_equal(fds[0], -7);
}

static void path_in_folder(char *out, size_t room, const char *name)
{
    (void)snprintf(out, room, "unix:%s/%s", folder, name);
}

static void a_unix_socket_is_served_and_replaced_once_nobody_serves_it(void **state)
{
    (void)state;
    int fds[ROOM];
    char text[128];
    hc_err err;
    path_in_folder(text, sizeof(text), "a.sock");
    assert_int_equal(opened(text, fds), 1);
    assert_accepts(fds[0]);
    assert_int_equal(refused(text, &err), HC_EBUSY);
    assert_int_equal(close(accept(fds[0], NULL, NULL)), 0); /* the question whether it is served */
    assert_accepts(fds[0]);
    close_all(fds, 1);
    assert_int_equal(opened(text, fds), 1);
    assert_accepts(fds[0]);
    close_all(fds, 1);
    assert_int_equal(unlink(text + 5), 0);
}

static void a_unix_socket_with_a_full_backlog_is_in_use(void **state)
{
    (void)state;
    int fds[ROOM], clients[64];
    size_t count = 0, filled = 0;
    char text[128];
    hc_err err = {0};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    path_in_folder(text, sizeof(text), "b.sock");
    memcpy(at.sun_path, text + 5, strlen(text) - 5);
    assert_int_equal(hc_listener_open(hc_slice_text(text), 1, fds, ROOM, &count, &err), 0);
    for (; filled < HC_COUNT(clients); filled++) {
        clients[filled] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(clients[filled], (struct sockaddr *)&at, sizeof(at)) != 0)
            break;
    }
    assert_true(filled < HC_COUNT(clients));
    assert_int_equal(refused(text, &err), HC_EBUSY);
    close_all(clients, filled + 1);
    close_all(fds, 1);
    assert_int_equal(unlink(text + 5), 0);
}

static void a_file_that_is_no_socket_is_never_replaced(void **state)
{
    (void)state;
    char text[128];
    struct stat status;
    hc_err err;
    path_in_folder(text, sizeof(text), "precious");
    int fd = open(text + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(refused(text, &err), HC_EINVAL);
    assert_int_equal(lstat(text + 5, &status), 0);
    assert_int_equal(unlink(text + 5), 0);
    /* Nor a link, wherever it leads. */
    assert_int_equal(symlink("/nowhere", text + 5), 0);
    assert_int_equal(refused(text, &err), HC_EINVAL);
    assert_int_equal(unlink(text + 5), 0);
}

static void a_unix_path_that_does_not_fit_or_exist_is_refused(void **state)
{
    (void)state;
    char text[200] = "unix:/";
    hc_err err;
    memset(text + 6, 'x', 107);
    assert_int_equal(refused(text, &err), HC_EINVAL);
    path_in_folder(text, sizeof(text), "no/such/folder.sock");
    assert_int_equal(refused(text, &err), HC_EIO);
}

static void an_inherited_socket_is_taken_over_if_it_listens(void **state)
{
    (void)state;
    int fds[ROOM];
    char text[32];
    hc_err err;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)snprintf(text, sizeof(text), "fd://%d", fd);
    assert_int_equal(refused(text, &err), HC_EINVAL);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(opened(text, fds), 1);
    assert_int_equal(fds[0], fd);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_accepts(fd);
    close_all(fds, 1);
    assert_int_equal(refused(text, &err), HC_EINVAL);
    assert_int_equal(hc_address_of_socket(fd, &(hc_address){0}, &err), -HC_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ipv4_address_is_served_without_blocking_and_not_inherited),
        cmocka_unit_test(an_ipv6_address_in_brackets_is_served_and_is_ipv6_alone),
        cmocka_unit_test(a_host_name_gives_all_its_addresses_on_one_port),
        cmocka_unit_test(an_address_in_use_is_named_with_what_to_do),
        cmocka_unit_test(an_address_of_another_machine_is_refused),
        cmocka_unit_test(a_port_that_needs_rights_is_refused_with_the_reason),
        cmocka_unit_test(what_is_no_address_is_refused_with_the_forms_that_are),
        cmocka_unit_test(a_host_name_that_does_not_exist_is_refused),
        cmocka_unit_test(more_addresses_than_room_is_an_error_and_leaves_nothing_open),
        cmocka_unit_test(a_unix_socket_is_served_and_replaced_once_nobody_serves_it),
        cmocka_unit_test(a_unix_socket_with_a_full_backlog_is_in_use),
        cmocka_unit_test(a_file_that_is_no_socket_is_never_replaced),
        cmocka_unit_test(a_unix_path_that_does_not_fit_or_exist_is_refused),
        cmocka_unit_test(an_inherited_socket_is_taken_over_if_it_listens),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
