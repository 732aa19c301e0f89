#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../faults.h"
#include "options_help.h"

static char folder[] = "/tmp/handclasp-settings-XXXXXX";

static void put(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(name, mode), 0);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    (void)mkdir("state", 0700);
    (void)mkdir("state/ca", 0700);
    (void)mkdir("state/server", 0700);
    put("state/ca/ca.pem", "ca", 0644);
    put("state/server/server.pem", "certificate", 0644);
    put("state/server/server.key", "key", 0600);
    put("mine.pem", "mine", 0600);
    return 0;
}

static int end(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof(command), "%s", folder);
    static const char *const files[] = {"state/ca/ca.pem",
                                        "state/server/server.pem",
                                        "state/server/server.key",
                                        "mine.pem",
                                        "passphrase",
                                        "crl.pem",
                                        "empty/server/server.pem"};
    static const char *const folders[] = {"state/ca", "state/server", "state", "empty/server",
                                          "empty"};
    for (size_t i = 0; i < HC_COUNT(files); i++)
        (void)unlink(files[i]);
    for (size_t i = 0; i < HC_COUNT(folders); i++)
        (void)rmdir(folders[i]);
    return chdir("/") == 0 ? rmdir(command) : -1;
}

static char *path(const char *name)
{
    static char text[4][200];
    static unsigned turn;
    char *out = text[turn++ % 4];
    (void)snprintf(out, sizeof(text[0]), "%s/%s", folder, name);
    return out;
}

static hc_serve_args resolved(char *const *argv)
{
    hc_serve_args a = parsed(argv, NULL);
    hc_err err = {0};
    if (hc_settings_resolve(&a.settings, &err) != 0)
        fail_msg("refused: %s", err.text);
    return a;
}

static void assert_unresolved(char *const *argv, const char *wanted)
{
    hc_serve_args a = parsed(argv, NULL);
    hc_err err = {0};
    assert_int_equal(hc_settings_resolve(&a.settings, &err), -HC_EINVAL);
    assert_string_equal(err.text, wanted);
    hc_serve_args_done(&a);
}

static void test_certificates_come_from_the_state_folder(void **state)
{
    (void)state;
    hc_serve_args a = resolved(ARGS("--state", "state", "x"));
    assert_string_equal(a.settings.certfile, path("state/server/server.pem"));
    assert_string_equal(a.settings.keyfile, path("state/server/server.key"));
    assert_int_equal(a.settings.ca_certs.count, 1);
    assert_string_equal(a.settings.ca_certs.at[0], path("state/ca/ca.pem"));
    hc_serve_args_done(&a);
}

static void test_options_win_over_the_state_folder(void **state)
{
    (void)state;
    hc_serve_args a = resolved(
        ARGS("--state", "state", "--certfile", "mine.pem", "--ca-certs", "./other.pem", "x"));
    assert_string_equal(a.settings.certfile, path("mine.pem"));
    assert_string_equal(a.settings.keyfile,
                        path("mine.pem")); /* gunicorn's rule: the key may be in it */
    assert_int_equal(a.settings.ca_certs.count, 1);
    assert_string_equal(a.settings.ca_certs.at[0], path("other.pem"));
    hc_serve_args_done(&a);
}

static void test_no_certificate_is_an_error_that_says_what_to_do(void **state)
{
    (void)state;
    char wanted[400];
    (void)snprintf(wanted, sizeof(wanted),
                   "no server certificate: run `handclasp init`, or give --certfile and --keyfile "
                   "(looked in %s)",
                   path("nowhere"));
    assert_unresolved(ARGS("--state", "nowhere", "x"), wanted);
    assert_unresolved(ARGS("--keyfile", "mine.pem", "x"),
                      "--keyfile is given without --certfile: name the certificate too");
    (void)mkdir("empty", 0700);
    (void)mkdir("empty/server", 0700);
    put("empty/server/server.pem", "x", 0644);
    (void)snprintf(wanted, sizeof(wanted),
                   "%s/server has only one of server.pem and server.key; run `handclasp init` to "
                   "see what is missing",
                   path("empty"));
    assert_unresolved(ARGS("--state", "empty", "x"), wanted);
}

static void test_every_mode_that_asks_for_certificates_needs_a_ca(void **state)
{
    (void)state;
    static char *const modes[] = {"required", "optional", "request", "/a=required"};
    for (size_t i = 0; i < HC_COUNT(modes); i++) {
        hc_serve_args a =
            parsed(ARGS("--state", "nowhere", "--certfile", "mine.pem", "--client-cert", modes[i],
                        "--client-cert", i == 3 ? "none" : modes[i], "x"),
                   NULL);
        hc_err err = {0};
        assert_int_equal(hc_settings_resolve(&a.settings, &err), -HC_EINVAL);
        assert_non_null(strstr(
            err.text, "there is no CA to check them: run `handclasp init`, or give --ca-certs"));
        hc_serve_args_done(&a);
    }
    hc_serve_args a = resolved(
        ARGS("--state", "nowhere", "--certfile", "mine.pem", "--client-cert", "none", "x"));
    assert_int_equal(a.settings.ca_certs.count, 0);
    hc_serve_args_done(&a);
}

static void test_resolving_twice_changes_nothing(void **state)
{
    (void)state;
    hc_serve_args a =
        resolved(ARGS("--state", "state", "--chdir", "sub", "--access-logfile", "-", "x"));
    hc_err err = {0};
    hc_buf once = hc_buf_init(1 << 20), twice = hc_buf_init(1 << 20);
    assert_string_equal(a.settings.access_logfile, "-");
    assert_int_equal(hc_settings_encode(&a.settings, &once, &err), 0);
    assert_int_equal(hc_settings_resolve(&a.settings, &err), 0);
    assert_int_equal(hc_settings_encode(&a.settings, &twice, &err), 0);
    assert_slice_equal(hc_buf_slice(&twice), hc_buf_slice(&once));
    hc_buf_done(&once);
    hc_buf_done(&twice);
    hc_serve_args_done(&a);
}

static void test_files_are_read_whole_with_their_names(void **state)
{
    (void)state;
    put("passphrase", "secret\r\nsecond line\n", 0600);
    put("crl.pem", "", 0644);
    hc_serve_args a = resolved(ARGS("--state", "state", "--crl", "crl.pem",
                                    "--keyfile-passphrase-file", "passphrase", "x"));
    hc_files f;
    hc_strings warnings = {0};
    hc_err err = {0};
    assert_int_equal(hc_files_load(&a.settings, &f, &warnings, &err), 0);
    assert_int_equal(warnings.count, 0);
    assert_slice(hc_slice_of(f.certificate.at, f.certificate.size), "certificate");
    assert_slice(hc_slice_of(f.key.at, f.key.size), "key");
    assert_slice(hc_slice_of(f.passphrase.at, f.passphrase.size), "secret");
    assert_int_equal(f.ca_count, 1);
    assert_string_equal(f.cas[0].name, path("state/ca/ca.pem"));
    assert_int_equal(f.crl_count, 1);
    assert_int_equal(f.crls[0].size, 0);
    hc_files_done(&f);
    hc_serve_args_done(&a);
}

static void test_a_key_that_others_can_read_is_a_warning(void **state)
{
    (void)state;
    hc_strings warnings = {0};
    hc_err err = {0};
    hc_files f;
    assert_int_equal(chmod("state/server/server.key", 0640), 0);
    hc_serve_args a = resolved(ARGS("--state", "state", "x"));
    assert_int_equal(hc_files_load(&a.settings, &f, &warnings, &err), 0);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.at[0], "other users have access to "));
    assert_non_null(strstr(warnings.at[0], "; do: chmod 600 "));
    hc_files_done(&f);
    hc_strings_done(&warnings);
    hc_serve_args_done(&a);
    assert_int_equal(chmod("state/server/server.key", 0600), 0);
}

static void test_a_file_that_cannot_be_read_is_an_error_with_its_option(void **state)
{
    (void)state;
    static const struct {
        char *flag, *value;
    } rows[] = {{"--ca-certs", "missing.pem"}, {"--crl", "missing.pem"},
                {"--certfile", "missing.pem"}, {"--keyfile-passphrase-file", "missing.pem"},
                {"--ca-certs", "state"},       {"--crl", "/dev/zero"}};
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        hc_serve_args a = resolved(ARGS("--state", "state", rows[i].flag, rows[i].value, "x"));
        hc_files f;
        hc_err err = {0};
        assert_int_not_equal(hc_files_load(&a.settings, &f, NULL, &err), 0);
        assert_memory_equal(err.text, rows[i].flag, strlen(rows[i].flag));
        hc_serve_args_done(&a);
    }
}

static void test_an_empty_passphrase_is_an_error(void **state)
{
    (void)state;
    put("passphrase", "\nsecret\n", 0600);
    hc_serve_args a =
        resolved(ARGS("--state", "state", "--keyfile-passphrase-file", "passphrase", "x"));
    hc_files f;
    hc_err err = {0};
    assert_int_equal(hc_files_load(&a.settings, &f, NULL, &err), -HC_EINVAL);
    hc_serve_args_done(&a);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    int rc = -1;
    put("passphrase", "secret", 0640);
    for (size_t nth = 1; rc != 0; nth++) {
        hc_serve_args a =
            parsed(ARGS("--state", "state", "--crl", "mine.pem", "--keyfile-passphrase-file",
                        "passphrase", "--chdir", "x", "x"),
                   NULL);
        hc_strings warnings = {0};
        hc_files f;
        hc_err err = {0};
        memset(&f, 0, sizeof(f));
        faults_begin(nth);
        rc = hc_settings_resolve(&a.settings, &err);
        if (rc == 0)
            rc = hc_files_load(&a.settings, &f, &warnings, &err);
        hc_files_done(&f);
        hc_strings_done(&warnings);
        faults_end();
        hc_serve_args_done(&a);
        if (rc != 0)
            assert_int_equal(err.code, HC_ENOMEM);
        assert_true(nth < 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificates_come_from_the_state_folder),
        cmocka_unit_test(test_options_win_over_the_state_folder),
        cmocka_unit_test(test_no_certificate_is_an_error_that_says_what_to_do),
        cmocka_unit_test(test_every_mode_that_asks_for_certificates_needs_a_ca),
        cmocka_unit_test(test_resolving_twice_changes_nothing),
        cmocka_unit_test(test_files_are_read_whole_with_their_names),
        cmocka_unit_test(test_a_key_that_others_can_read_is_a_warning),
        cmocka_unit_test(test_a_file_that_cannot_be_read_is_an_error_with_its_option),
        cmocka_unit_test(test_an_empty_passphrase_is_an_error),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
