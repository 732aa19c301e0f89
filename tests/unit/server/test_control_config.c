#include "server/control_config.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../faults.h"
#include "../unit.h"
#include "server/options.h"

static hc_file_bytes file(const char *name, const char *text)
{
    return (hc_file_bytes){(char *)name, (uint8_t *)text, strlen(text)};
}

static hc_settings settings_of(const char *app)
{
    hc_settings s = {0};
    assert_int_equal(hc_settings_defaults(&s, NULL), 0);
    s.app = hc_strdup(app);
    return s;
}

/* Borrowed texts: not for hc_files_done. */
static hc_files some_files(hc_file_bytes *cas, hc_file_bytes *crls)
{
    cas[0] = file("a.pem", "CA one");
    cas[1] = file("b.pem", "");
    crls[0] = file("x.crl", "list");
    return (hc_files){.certificate = file("server.pem", "certificate"),
                      .key = file("server.key", "key"),
                      .cas = cas,
                      .ca_count = 2,
                      .crls = crls,
                      .crl_count = 1};
}

static void assert_file(const hc_file_bytes *got, const char *name, const char *text)
{
    assert_string_equal(got->name, name);
    assert_slice_equal(hc_slice_of(got->at, got->size), hc_slice_text(text));
}

static void settings_and_files_arrive_as_they_were_sent(void **state)
{
    hc_file_bytes cas[2], crls[1];
    hc_files files = some_files(cas, crls), got_files = {0};
    hc_settings settings = settings_of("shop:app"), got = {0};
    int fd = -1;
    (void)state;
    assert_int_equal(hc_control_config_seal(&settings, &files, &fd, NULL), 0);
    /* twice: the second front gets a copy of the same descriptor */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hc_control_config_open(fd, &got, &got_files, NULL), 0);
        assert_string_equal(got.app, "shop:app");
        assert_file(&got_files.certificate, "server.pem", "certificate");
        assert_file(&got_files.key, "server.key", "key");
        assert_null(got_files.passphrase.name);
        assert_int_equal(got_files.ca_count, 2);
        assert_file(&got_files.cas[0], "a.pem", "CA one");
        assert_file(&got_files.cas[1], "b.pem", "");
        assert_int_equal(got_files.crl_count, 1);
        assert_file(&got_files.crls[0], "x.crl", "list");
        hc_settings_done(&got);
        hc_files_done(&got_files);
    }
    hc_settings_done(&settings);
    assert_int_equal(close(fd), 0);
}

static void what_was_sealed_cannot_be_changed(void **state)
{
    hc_file_bytes cas[2], crls[1];
    hc_files files = some_files(cas, crls);
    hc_settings settings = settings_of("shop:app");
    int fd = -1;
    (void)state;
    assert_int_equal(hc_control_config_seal(&settings, &files, &fd, NULL), 0);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    hc_settings_done(&settings);
    assert_int_equal(close(fd), 0);
}

static void what_is_not_sealed_is_refused(void **state)
{
    hc_settings got = {0};
    hc_files files = {0};
    hc_err err = {0};
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, "anything", 8), 8);
    assert_int_equal(hc_control_config_open(fd, &got, &files, &err), -HC_EDENIED);
    assert_int_equal(close(fd), 0);
    fd = open("/dev/null", O_RDONLY);
    assert_int_equal(hc_control_config_open(fd, &got, &files, &err), -HC_EDENIED);
    assert_int_equal(close(fd), 0);
}

static int sealed_copy(int from, size_t size, const char *behind)
{
    char bytes[65536];
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(size <= sizeof(bytes));
    assert_int_equal(pread(from, bytes, size, 0), (ssize_t)size);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    assert_int_equal(write(fd, behind, strlen(behind)), (ssize_t)strlen(behind));
    assert_int_equal(
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    return fd;
}

static void a_configuration_cut_anywhere_or_with_a_tail_is_refused(void **state)
{
    hc_file_bytes cas[2], crls[1];
    hc_files files = some_files(cas, crls), got_files = {0};
    hc_settings settings = settings_of("shop:app"), got = {0};
    int fd = -1;
    (void)state;
    assert_int_equal(hc_control_config_seal(&settings, &files, &fd, NULL), 0);
    size_t size = (size_t)lseek(fd, 0, SEEK_END);
    for (size_t cut = 0; cut < size; cut += cut + 200 < size ? 17 : 1) {
        int copy = sealed_copy(fd, cut, "");
        assert_int_not_equal(hc_control_config_open(copy, &got, &got_files, NULL), 0);
        assert_int_equal(close(copy), 0);
    }
    int copy = sealed_copy(fd, size, "!");
    assert_int_equal(hc_control_config_open(copy, &got, &got_files, NULL), -HC_EFORMAT);
    assert_int_equal(close(copy), 0);
    hc_settings_done(&settings);
    assert_int_equal(close(fd), 0);
}

static void without_memory_nothing_is_left_behind(void **state)
{
    hc_file_bytes cas[2], crls[1];
    hc_files files = some_files(cas, crls), got_files = {0};
    hc_settings settings = settings_of("shop:app"), got = {0};
    int sealed = -1;
    (void)state;
    assert_int_equal(hc_control_config_seal(&settings, &files, &sealed, NULL), 0);
    int rc = -1;
    for (size_t nth = 1; rc != 0 && nth < 10000; nth++) {
        int fd = -1;
        faults_begin(nth);
        rc = hc_control_config_seal(&settings, &files, &fd, NULL);
        faults_end();
        assert_int_equal(faults_live, 0);
        assert_int_equal(fd >= 0, rc == 0);
        if (fd >= 0)
            assert_int_equal(close(fd), 0);
    }
    assert_int_equal(rc, 0);
    rc = -1;
    for (size_t nth = 1; rc != 0 && nth < 10000; nth++) {
        faults_begin(nth);
        rc = hc_control_config_open(sealed, &got, &got_files, NULL);
        if (rc == 0) {
            hc_settings_done(&got);
            hc_files_done(&got_files);
        }
        faults_end();
        assert_int_equal(faults_live, 0);
    }
    assert_int_equal(rc, 0);
    hc_settings_done(&settings);
    assert_int_equal(close(sealed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_and_files_arrive_as_they_were_sent),
        cmocka_unit_test(what_was_sealed_cannot_be_changed),
        cmocka_unit_test(what_is_not_sealed_is_refused),
        cmocka_unit_test(a_configuration_cut_anywhere_or_with_a_tail_is_refused),
        cmocka_unit_test(without_memory_nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
