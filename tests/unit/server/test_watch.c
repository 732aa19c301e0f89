#include "server/watch.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit.h"

static char folder[] = "/tmp/handclasp-watch-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void make_folder(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/handclasp-watch-XXXXXX");
    assert_non_null(mkdtemp(folder));
    make_folder("package");
    put("app.py", "1");
    put("package/part.py", "1");
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int end(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void nothing_changed_looks_the_same(void **state)
{
    (void)state;
    assert_int_not_equal(hc_watch_signature(folder), 0);
    assert_int_equal(hc_watch_signature(folder), hc_watch_signature(folder));
}

static void a_changed_a_new_and_a_removed_source_are_seen(void **state)
{
    char path[256];
    (void)state;
    uint64_t first = hc_watch_signature(folder);
    put("package/part.py", "longer");
    uint64_t second = hc_watch_signature(folder);
    put("package/new.py", "1");
    uint64_t third = hc_watch_signature(folder);
    (void)snprintf(path, sizeof(path), "%s/package/new.py", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_not_equal(first, second);
    assert_int_not_equal(second, third);
    assert_int_equal(hc_watch_signature(folder), second);
}

static void a_touch_of_the_same_size_is_seen(void **state)
{
    char path[256];
    const struct timespec times[2] = {{12345, 0}, {12345, 6}};
    (void)state;
    uint64_t before = hc_watch_signature(folder);
    (void)snprintf(path, sizeof(path), "%s/app.py", folder);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_not_equal(hc_watch_signature(folder), before);
}

static void what_is_no_source_of_the_application_is_left_out(void **state)
{
    (void)state;
    uint64_t before = hc_watch_signature(folder);
    put("data.db", "1");
    make_folder("__pycache__");
    put("__pycache__/app.py", "1");
    make_folder(".git");
    put(".git/hook.py", "1");
    make_folder("environment");
    put("environment/pyvenv.cfg", "");
    put("environment/lib.py", "1");
    assert_int_equal(hc_watch_signature(folder), before);
}

static void a_circle_of_links_ends(void **state)
{
    char path[256];
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/package/again", folder);
    uint64_t before = hc_watch_signature(folder);
    assert_int_equal(symlink("..", path), 0);
    assert_int_equal(hc_watch_signature(folder), before);
}

static void a_folder_that_is_not_there_is_zero(void **state)
{
    (void)state;
    assert_int_equal(hc_watch_signature("/nowhere"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_changed_looks_the_same, begin, end),
        cmocka_unit_test_setup_teardown(a_changed_a_new_and_a_removed_source_are_seen, begin, end),
        cmocka_unit_test_setup_teardown(a_touch_of_the_same_size_is_seen, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_source_of_the_application_is_left_out, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_circle_of_links_ends, begin, end),
        cmocka_unit_test(a_folder_that_is_not_there_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
