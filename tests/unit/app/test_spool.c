#include "app/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"
/* after unit.h */
#include "faults.h"

#define MB (1u << 20)

static int restore(void **state)
{
    (void)state;
    faults_end();
    return 0;
}

static int open_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Octets that tell where they stand. */
static uint8_t *pattern(size_t size)
{
    uint8_t *at = malloc(size);
    assert_non_null(at);
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(i * 31 + i / 251);
    return at;
}

static int file_with(const char *text)
{
    hc_err err;
    int fd;
    assert_int_equal(hc_spool_file(NULL, &fd, &err), 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

/* All that is in it, taken in steps of at most `step`. */
static size_t take_all(hc_outbox *o, uint8_t *into, size_t room, size_t step)
{
    uint8_t scratch[1000];
    hc_err err = {0};
    size_t taken = 0;
    for (;;) {
        hc_slice next;
        assert_int_equal(hc_outbox_peek(o, scratch, sizeof scratch, &next, &err), 0);
        if (next.size == 0)
            break;
        size_t n = next.size < step ? next.size : step;
        assert_true(taken + n <= room);
        memcpy(into + taken, next.at, n);
        hc_outbox_consume(o, n);
        taken += n;
    }
    assert_int_equal(o->size, 0);
    return taken;
}

/* ---- a file for what does not fit ---- */

static void test_spool_file_has_no_name_and_is_ours_alone(void **state)
{
    (void)state;
    char folder[] = "/tmp/hc-spool-XXXXXX";
    struct stat st;
    hc_err err;
    int fd;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(hc_spool_file(folder, &fd, &err), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(close(fd), 0);
    assert_int_equal(rmdir(folder), 0); /* so it was empty */
}

static void test_folder_that_is_not_there_is_named_in_the_error(void **state)
{
    (void)state;
    hc_err err;
    int fd;
    assert_true(hc_spool_file("/nowhere/at/all", &fd, &err) < 0);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

/* ---- request bodies ---- */

static void test_small_body_stays_in_memory(void **state)
{
    (void)state;
    hc_body_store b;
    hc_err err;
    hc_body_store_init(&b, NULL);
    assert_int_equal(hc_body_store_add(&b, S("hello "), &err), 0);
    assert_int_equal(hc_body_store_add(&b, S("world"), &err), 0);
    assert_slice(hc_buf_slice(&b.memory), "hello world");
    assert_int_equal(b.file, -1);
    assert_int_equal(b.size, 11);
    hc_body_store_done(&b);
}

static void test_body_moves_to_a_file_with_the_octet_too_much(void **state)
{
    (void)state;
    hc_body_store b;
    hc_err err;
    uint8_t *all = pattern(HC_LIMIT_BODY_MEMORY + 1), *got = malloc(HC_LIMIT_BODY_MEMORY + 1);
    hc_body_store_init(&b, NULL);
    assert_int_equal(hc_body_store_add(&b, hc_slice_of(all, HC_LIMIT_BODY_MEMORY), &err), 0);
    assert_int_equal(b.file, -1);
    assert_int_equal(hc_body_store_add(&b, hc_slice_of(all + HC_LIMIT_BODY_MEMORY, 1), &err), 0);
    assert_true(b.file >= 0);
    assert_int_equal(b.memory.size, 0);
    assert_int_equal(b.size, HC_LIMIT_BODY_MEMORY + 1);
    assert_int_equal(pread(b.file, got, HC_LIMIT_BODY_MEMORY + 1, 0), HC_LIMIT_BODY_MEMORY + 1);
    assert_memory_equal(got, all, HC_LIMIT_BODY_MEMORY + 1);
    hc_body_store_done(&b);
    free(got);
    free(all);
}

static void test_body_store_is_empty_and_usable_after_done(void **state)
{
    (void)state;
    hc_body_store b;
    hc_err err;
    uint8_t *all = pattern(MB);
    int before = open_fds();
    hc_body_store_init(&b, NULL);
    assert_int_equal(hc_body_store_add(&b, hc_slice_of(all, MB), &err), 0);
    hc_body_store_done(&b);
    assert_int_equal(open_fds(), before);
    assert_int_equal(b.size, 0);
    assert_int_equal(hc_body_store_add(&b, S("again"), &err), 0);
    assert_slice(hc_buf_slice(&b.memory), "again");
    hc_body_store_done(&b);
    free(all);
}

/* A file that must not grow past this, as on a disk that is full. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int unlimit_files(void **state)
{
    limit_files(RLIM_INFINITY);
    return restore(state);
}

static void test_body_that_finds_the_disk_full_is_an_error_with_its_reason(void **state)
{
    (void)state;
    hc_body_store b;
    hc_err err = {0};
    uint8_t *all = pattern(MB);
    int before = open_fds();
    hc_body_store_init(&b, NULL);
    limit_files(100000);
    int rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = hc_body_store_add(&b, hc_slice_of(all, 50000), &err);
    assert_true(rc < 0);
    assert_non_null(strstr(err.text, "temporary file"));
    hc_body_store_done(&b);
    assert_int_equal(open_fds(), before);
    free(all);
}

static void test_body_survives_each_allocation_that_fails(void **state)
{
    (void)state;
    uint8_t *all = pattern(HC_LIMIT_BODY_MEMORY);
    for (size_t nth = 1; nth < 20; nth++) {
        hc_body_store b;
        hc_err err = {0};
        hc_body_store_init(&b, NULL);
        faults_begin(nth);
        int rc = 0;
        for (size_t at = 0; at < HC_LIMIT_BODY_MEMORY && rc == 0; at += 8192)
            rc = hc_body_store_add(&b, hc_slice_of(all + at, 8192), &err);
        bool failed = faults_left == 0;
        hc_body_store_done(&b);
        assert_int_equal(faults_live, 0);
        faults_end();
        assert_int_equal(rc, failed ? -HC_ENOMEM : 0);
        if (!failed)
            break;
    }
    free(all);
}

/* ---- responses ---- */

static void test_outbox_gives_what_it_took_in_order(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err = {0};
    size_t size = 3 * MB, taken = 0, given = 0;
    uint8_t *all = pattern(size), *got = malloc(size), scratch[3000];
    hc_outbox_init(&o, NULL);
    /* Pieces of all sizes, and a client that takes some between: memory, file, memory again. */
    for (size_t step = 1; given < size; step = step * 3 % 50021) {
        size_t n = step < size - given ? step : size - given;
        assert_int_equal(hc_outbox_add(&o, hc_slice_of(all + given, n), &err), 0);
        given += n;
        hc_slice next;
        assert_int_equal(hc_outbox_peek(&o, scratch, sizeof scratch, &next, &err), 0);
        size_t take = next.size < step / 2 ? next.size : step / 2;
        memcpy(got + taken, next.at, take);
        hc_outbox_consume(&o, take);
        taken += take;
        assert_int_equal(o.size, given - taken);
        if (given % 7 == 0) {
            taken += take_all(&o, got + taken, size - taken, 999);
            assert_int_equal(taken, given);
        }
    }
    taken += take_all(&o, got + taken, size - taken, SIZE_MAX);
    assert_int_equal(taken, size);
    assert_memory_equal(got, all, size);
    hc_outbox_done(&o);
    free(got);
    free(all);
}

static void test_outbox_holds_little_memory_and_the_rest_in_a_file(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err;
    uint8_t *all = pattern(MB), *got = malloc(8 * MB);
    hc_outbox_init(&o, NULL);
    for (int i = 0; i < 8; i++)
        assert_int_equal(hc_outbox_add(&o, hc_slice_of(all, MB), &err), 0);
    assert_true(o.memory.capacity <= HC_LIMIT_BODY_MEMORY + HC_LIMIT_RESPONSE_HEAD);
    assert_true(o.spool >= 0);
    assert_int_equal(take_all(&o, got, 8 * MB, SIZE_MAX), 8 * MB);
    for (int i = 0; i < 8; i++)
        assert_memory_equal(got + i * MB, all, MB);
    assert_int_equal(o.spool, -1); /* and an empty one holds nothing */
    assert_int_equal(o.memory.capacity, 0);
    hc_outbox_done(&o);
    free(got);
    free(all);
}

static void test_disk_holds_only_what_waits_for_the_client(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err;
    struct stat st;
    uint8_t *all = pattern(MB), *scratch = malloc(MB);
    hc_outbox_init(&o, NULL);
    /* 200 MB with never more than 3 MB on their way. */
    for (int i = 0; i < 200; i++) {
        assert_int_equal(hc_outbox_add(&o, hc_slice_of(all, MB), &err), 0);
        for (hc_slice next; o.size > 2 * MB; hc_outbox_consume(&o, next.size)) {
            assert_int_equal(hc_outbox_peek(&o, scratch, MB, &next, &err), 0);
            assert_memory_equal(next.at, all + (o.spool_taken % MB), next.size);
        }
    }
    assert_int_equal(fstat(o.spool, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 < 64ull * MB);
    hc_outbox_done(&o);
    free(scratch);
    free(all);
}

static void test_parts_of_files_stand_in_their_order(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err;
    uint8_t got[100];
    int before = open_fds();
    hc_outbox_init(&o, NULL);
    assert_int_equal(hc_outbox_add(&o, S("head;"), &err), 0);
    assert_int_equal(hc_outbox_add_file(&o, file_with("0123456789"), 3, 4, &err), 0);
    assert_int_equal(hc_outbox_add(&o, S(";between;"), &err), 0);
    assert_int_equal(hc_outbox_add_file(&o, file_with("abcdef"), 0, 6, &err), 0);
    assert_int_equal(hc_outbox_add(&o, S(";end"), &err), 0);
    size_t size = take_all(&o, got, sizeof got, 2);
    assert_slice(hc_slice_of(got, size), "head;3456;between;abcdef;end");
    assert_int_equal(open_fds(), before);
    hc_outbox_done(&o);
}

static void test_file_of_no_octets_is_closed_at_once(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err;
    int before = open_fds();
    hc_outbox_init(&o, NULL);
    assert_int_equal(hc_outbox_add_file(&o, file_with("text"), 0, 0, &err), 0);
    assert_int_equal(o.size, 0);
    assert_int_equal(open_fds(), before);
    hc_outbox_done(&o);
}

static void test_file_that_became_shorter_is_an_error_and_no_loop(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err = {0};
    hc_slice next;
    uint8_t scratch[100];
    int fd = file_with("0123456789");
    hc_outbox_init(&o, NULL);
    assert_int_equal(hc_outbox_add_file(&o, fd, 0, 10, &err), 0);
    assert_int_equal(ftruncate(fd, 4), 0);
    assert_int_equal(hc_outbox_peek(&o, scratch, sizeof scratch, &next, &err), 0);
    assert_slice(next, "0123");
    hc_outbox_consume(&o, 4);
    assert_int_equal(hc_outbox_peek(&o, scratch, sizeof scratch, &next, &err), -HC_EIO);
    assert_non_null(strstr(err.text, "shorter"));
    hc_outbox_done(&o);
}

static void test_file_too_many_is_an_error_until_one_was_sent(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err = {0};
    hc_outbox_init(&o, NULL);
    for (int i = 0; i < HC_LIMIT_RESPONSE_FILES; i++)
        assert_int_equal(hc_outbox_add_file(&o, file_with("text"), 0, 4, &err), 0);
    int before = open_fds();
    assert_int_equal(hc_outbox_add_file(&o, file_with("text"), 0, 4, &err), -HC_ELIMIT);
    assert_int_equal(open_fds(), before);
    hc_outbox_consume(&o, 4);
    assert_int_equal(hc_outbox_add_file(&o, file_with("text"), 0, 4, &err), 0);
    hc_outbox_done(&o);
}

static void test_done_closes_what_was_not_sent(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err;
    uint8_t *all = pattern(MB);
    int before = open_fds();
    hc_outbox_init(&o, NULL);
    assert_int_equal(hc_outbox_add(&o, hc_slice_of(all, MB), &err), 0);
    assert_int_equal(hc_outbox_add_file(&o, file_with("text"), 0, 4, &err), 0);
    assert_int_equal(hc_outbox_add(&o, S("more"), &err), 0);
    hc_outbox_done(&o);
    assert_int_equal(open_fds(), before);
    assert_int_equal(o.size, 0);
    free(all);
}

static void test_response_that_finds_the_disk_full_is_an_error(void **state)
{
    (void)state;
    hc_outbox o;
    hc_err err = {0};
    uint8_t *all = pattern(MB);
    hc_outbox_init(&o, NULL);
    limit_files(200000);
    assert_int_equal(hc_outbox_add(&o, hc_slice_of(all, 100000), &err), 0);
    int rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = hc_outbox_add(&o, hc_slice_of(all, 90000), &err);
    assert_true(rc < 0);
    assert_non_null(strstr(err.text, "temporary file"));
    hc_outbox_done(&o);
    free(all);
}

static void test_outbox_survives_each_allocation_that_fails(void **state)
{
    (void)state;
    uint8_t *all = pattern(MB);
    int before = open_fds();
    for (size_t nth = 1; nth < 30; nth++) {
        hc_outbox o;
        hc_err err = {0};
        hc_outbox_init(&o, NULL);
        faults_begin(nth);
        int rc = hc_outbox_add(&o, S("head"), &err);
        if (rc == 0)
            rc = hc_outbox_add_file(&o, file_with("file"), 0, 4, &err);
        if (rc == 0)
            rc = hc_outbox_add(&o, hc_slice_of(all, 200000), &err);
        if (rc == 0)
            rc = hc_outbox_add(&o, hc_slice_of(all, MB), &err);
        bool failed = faults_left == 0;
        hc_outbox_done(&o);
        assert_int_equal(faults_live, 0);
        faults_end();
        assert_int_equal(open_fds(), before);
        assert_int_equal(rc, failed ? -HC_ENOMEM : 0);
        if (!failed)
            break;
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spool_file_has_no_name_and_is_ours_alone),
        cmocka_unit_test(test_folder_that_is_not_there_is_named_in_the_error),
        cmocka_unit_test(test_small_body_stays_in_memory),
        cmocka_unit_test(test_body_moves_to_a_file_with_the_octet_too_much),
        cmocka_unit_test(test_body_store_is_empty_and_usable_after_done),
        cmocka_unit_test_teardown(test_body_that_finds_the_disk_full_is_an_error_with_its_reason,
                                  unlimit_files),
        cmocka_unit_test_teardown(test_body_survives_each_allocation_that_fails, restore),
        cmocka_unit_test(test_outbox_gives_what_it_took_in_order),
        cmocka_unit_test(test_outbox_holds_little_memory_and_the_rest_in_a_file),
        cmocka_unit_test(test_disk_holds_only_what_waits_for_the_client),
        cmocka_unit_test(test_parts_of_files_stand_in_their_order),
        cmocka_unit_test(test_file_of_no_octets_is_closed_at_once),
        cmocka_unit_test(test_file_that_became_shorter_is_an_error_and_no_loop),
        cmocka_unit_test(test_file_too_many_is_an_error_until_one_was_sent),
        cmocka_unit_test(test_done_closes_what_was_not_sent),
        cmocka_unit_test_teardown(test_response_that_finds_the_disk_full_is_an_error,
                                  unlimit_files),
        cmocka_unit_test_teardown(test_outbox_survives_each_allocation_that_fails, restore),
    };
    /* The signal would end the program; without it, the write fails with EFBIG. */
    (void)signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
