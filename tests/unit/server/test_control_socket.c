/* The control socket's two ends, without a supervisor. */
#include "server/control_socket.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../faults.h"
#include "../unit.h"

typedef struct world {
    char folder[32];
    char path[64];
    uv_loop_t loop;
    hc_log log;
    int status_asked, reloads;
} world;

static void on_status(void *arg, bool late)
{
    (void)late;
    ((world *)arg)->status_asked++;
}

static uint64_t on_next(void *arg)
{
    return (uint64_t)((world *)arg)->reloads + 1;
}

static void on_reload(void *arg)
{
    ((world *)arg)->reloads++;
}

static int set_up(void **state)
{
    static world w;
    w = (world){.folder = "/tmp/handclasp-ctl-XXXXXX", .log = {.fd = 2, .level = HC_LOG_ERROR}};
    if (!mkdtemp(w.folder) || uv_loop_init(&w.loop) != 0)
        return -1;
    (void)snprintf(w.path, sizeof(w.path), "%s/run/control.sock", w.folder);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    char run[64];
    faults_end();
    (void)snprintf(run, sizeof(run), "%s/run", w->folder);
    (void)unlink(w->path);
    (void)rmdir(run);
    return rmdir(w->folder) == 0 && uv_loop_close(&w->loop) == 0 ? 0 : -1;
}

static int open_one(world *w, hc_control_socket **out, hc_err *err)
{
    hc_control_socket_hooks hooks = {w, on_status, on_next, on_reload};
    *out = NULL;
    return hc_control_socket_open(w->path, &w->loop, &w->log, &hooks, out, err);
}

static void close_one(world *w, hc_control_socket *s)
{
    hc_control_socket_close(s);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    hc_control_socket_free(s);
}

static void a_socket_is_made_with_its_folder_and_removed(void **state)
{
    world *w = *state;
    hc_control_socket *s;
    struct stat st;
    assert_int_equal(open_one(w, &s, NULL), 0);
    assert_int_equal(stat(w->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    close_one(w, s);
    assert_int_not_equal(stat(w->path, &st), 0);
}

static void a_socket_that_somebody_serves_is_left_alone(void **state)
{
    world *w = *state;
    hc_control_socket *first, *second;
    hc_err err = {0};
    assert_int_equal(open_one(w, &first, NULL), 0);
    assert_int_equal(open_one(w, &second, &err), -HC_EBUSY);
    assert_null(second);
    assert_non_null(strstr(err.text, "another server"));
    close_one(w, first);
}

static void a_file_that_is_no_socket_is_never_removed(void **state)
{
    world *w = *state;
    hc_control_socket *s;
    hc_err err = {0};
    struct stat st;
    assert_int_equal(open_one(w, &s, NULL), 0);
    close_one(w, s);
    int fd = open(w->path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(open_one(w, &s, &err), -HC_EBUSY);
    assert_int_equal(stat(w->path, &st), 0);
}

static void without_memory_there_is_no_socket_and_nothing_left(void **state)
{
    world *w = *state;
    int rc = -1;
    for (size_t nth = 1; rc != 0 && nth < 20; nth++) {
        hc_control_socket *s;
        struct stat st;
        faults_begin(nth);
        rc = open_one(w, &s, NULL);
        faults_end();
        if (rc == 0) {
            close_one(w, s);
        } else {
            assert_int_equal(rc, -HC_ENOMEM);
            assert_int_equal(faults_live, 0);
            assert_int_not_equal(stat(w->path, &st), 0);
        }
    }
    assert_int_equal(rc, 0);
}

static void nobody_to_call_is_told_apart_from_a_failure(void **state)
{
    world *w = *state;
    hc_buf answer = hc_buf_init(100);
    hc_err err = {0};
    assert_int_equal(hc_control_call(w->path, "status", 100, &answer, &err), -HC_ENOENT);
    assert_int_equal(hc_control_call("/", "status", 100, &answer, &err), -HC_EINVAL);
    assert_int_equal(answer.size, 0);
}

static void a_server_that_does_not_answer_is_waited_for_so_long_and_no_longer(void **state)
{
    world *w = *state;
    hc_control_socket *s;
    hc_buf answer = hc_buf_init(100);
    hc_err err = {0};
    assert_int_equal(open_one(w, &s, NULL), 0); /* and its loop does not turn */
    assert_int_equal(hc_control_call(w->path, "status", 50, &answer, &err), -HC_EBUSY);
    assert_non_null(strstr(err.text, "in time"));
    close_one(w, s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_socket_is_made_with_its_folder_and_removed),
        TEST(a_socket_that_somebody_serves_is_left_alone),
        TEST(a_file_that_is_no_socket_is_never_removed),
        TEST(without_memory_there_is_no_socket_and_nothing_left),
        TEST(nobody_to_call_is_told_apart_from_a_failure),
        TEST(a_server_that_does_not_answer_is_waited_for_so_long_and_no_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
