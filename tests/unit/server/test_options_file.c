#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../faults.h"
#include "options_help.h"

static char folder[] = "/tmp/handclasp-options-file-XXXXXX";

static int begin(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 && mkdir(".handclasp", 0700) == 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    (void)unlink("f.yaml");
    (void)unlink(".handclasp/handclasp.yaml");
    return rmdir(".handclasp") == 0 && chdir("/") == 0 ? rmdir(folder) : -1;
}

static void put(const char *name, hc_slice text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text.at, 1, text.size, f), text.size);
    assert_int_equal(fclose(f), 0);
}

static hc_serve_args parsed_file(const char *yaml)
{
    put("f.yaml", hc_slice_text(yaml));
    return parsed(ARGS("-c", "f.yaml", "x:y"), NULL);
}

static void assert_file_refused(hc_slice yaml, const char *wanted)
{
    put("f.yaml", yaml);
    assert_refused(ARGS("-c", "f.yaml", "x:y"), wanted);
}

static void test_a_file_gives_options_in_every_shape(void **state)
{
    (void)state;
    hc_serve_args a = parsed_file("# comment\n"
                                  "workers: 3\n"
                                  "limit_request_field_size: 1k\n"
                                  "bind: [':1', ':2']\n"
                                  "ca-certs: one.pem\n"
                                  "crl:\n  - a.pem\n  - b.pem\n"
                                  "env: {A: '1', B: two words}\n"
                                  "client-cert:\n  /healthz: none\n  /a=b: optional\n"
                                  "reload: yes\n"
                                  "umask: 027\n"
                                  "proxy-allow-from: 10.0.0.0/8, unix\n"
                                  "access-logformat: '%(h)s \"x\"'\n");
    const hc_settings *s = &a.settings;
    assert_int_equal(s->workers, 3);
    assert_int_equal(s->http.field_bytes, 1024);
    assert_int_equal(s->bind.count, 2);
    assert_string_equal(s->ca_certs.at[0], "one.pem");
    assert_string_equal(s->crl.at[1], "b.pem");
    assert_string_equal(s->env.at[1], "B=two words");
    assert_int_equal(s->policy.rule_count, 2);
    assert_string_equal(s->policy.rules[0].path, "/healthz");
    assert_true(s->reload);
    assert_int_equal(s->umask, 027);
    assert_int_equal(s->proxy_allow_from_count, 2);
    assert_string_equal(s->access_logformat, "%(h)s \"x\"");
    hc_serve_args_done(&a);
}

/* The authority's, in authority/profile.h. */
static void test_profiles_are_left_to_whom_they_belong(void **state)
{
    (void)state;
    hc_serve_args a = parsed_file("workers: 3\n"
                                  "profiles:\n"
                                  "  meter: {like: device, keys: [p-256, ed25519]}\n"
                                  "  client:\n    lifetime: 90d\n"
                                  "threads: 2\n");
    assert_int_equal(a.settings.workers, 3);
    assert_int_equal(a.settings.threads, 2);
    hc_serve_args_done(&a);
    a = parsed_file("profiles: x\nworkers: 4\n");
    assert_int_equal(a.settings.workers, 4);
    hc_serve_args_done(&a);
    assert_file_refused(S("profiles: {a: b}\nzzzzzz: {}\n"), "f.yaml:2: zzzzzz: unknown option");
}

static void test_an_empty_file_is_fine(void **state)
{
    (void)state;
    static const char *const empty[] = {"",           "\n",   "# only a comment\n", "---\n",
                                        "---\n...\n", "{}\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < HC_COUNT(empty); i++) {
        hc_serve_args a = parsed_file(empty[i]);
        hc_serve_args_done(&a);
    }
}

static void test_a_mistake_is_told_with_its_line(void **state)
{
    (void)state;
    assert_file_refused(S("workers: 3\n\ntreads: 4\n"),
                        "f.yaml:3: treads: unknown option; did you mean threads?");
    assert_file_refused(S("qqqqqqq: 4\n"), "f.yaml:1: qqqqqqq: unknown option");
    assert_file_refused(S("a: b\nworkers"), "f.yaml:1: a: unknown option");
    assert_file_refused(S("threads: 1\nworkers: 0\n"),
                        "f.yaml:2: workers: \"0\" is out of range; allowed: 1 to 256");
    assert_file_refused(S("threads: 1\ncrl: [a, [b]]\n"),
                        "f.yaml:2: each item of the list is a plain value");
    assert_file_refused(S("bind:\n- :1\n-\n"),
                        "f.yaml:3: a value is wanted; leave the line out for the default");
    assert_file_refused(S("workers:\n"),
                        "f.yaml:1: a value is wanted; leave the line out for the default");
    assert_file_refused(S("client-cert: ~\n"),
                        "f.yaml:1: a value is wanted; leave the line out for the default");
    assert_file_refused(S("client-cert: []\n"),
                        "f.yaml:1: the list is empty; leave the line out for the default");
    assert_file_refused(S("workers: [3]\n"), "f.yaml:1: one value is wanted, not a list");
    assert_file_refused(S("workers: {a: 3}\n"), "f.yaml:1: one value is wanted, not a mapping");
    assert_file_refused(S("env: {a: [3]}\n"), "f.yaml:1: each value is a plain one");
    assert_file_refused(S("[a]: 3\n"), "f.yaml:1: the name of an option is wanted");
    assert_file_refused(S("- workers\n"),
                        "f.yaml:1: lines of the form \"option: value\" are wanted");
    assert_file_refused(S("workers\n"), "f.yaml:1: lines of the form \"option: value\" are wanted");
    assert_file_refused(
        S("workers: 3\nworkers: 4\n"),
        "f.yaml:2: this option stands in the file twice; use a list, or leave one out");
    assert_file_refused(S("workers: 3\n---\nworkers: 4\n"),
                        "f.yaml:2: one document is wanted; leave out what begins at \"---\"");
    assert_file_refused(S("config: x\n"),
                        "f.yaml:1: this option cannot stand in a file; give it as a flag");
    assert_file_refused(S("parent-fd: 3\n"),
                        "f.yaml:1: this option cannot stand in a file; give it as a flag");
    assert_file_refused(S("unknown: maybe\n"),
                        "f.yaml:1: unknown: \"maybe\" is not one of refuse|admit");
    assert_file_refused(S("daemon: true\n"), "f.yaml:1: daemon: the server stays in the "
                                             "foreground; let systemd or a container start it");
}

static void test_what_is_not_yaml_is_told_with_its_line(void **state)
{
    (void)state;
    hc_serve_args a;
    hc_err err;
    static const char *const bad[] = {
        "a: b: c\n", "\tworkers: 3\n", "workers: 'x\n", "workers: \xff\n", "[", "&a [*a, *a]: 1"};
    for (size_t i = 0; i < HC_COUNT(bad); i++) {
        put("f.yaml", hc_slice_text(bad[i]));
        assert_int_equal(parse_with(ARGS("-c", "f.yaml"), NULL, &a, &err), -HC_EINVAL);
        assert_memory_equal(err.text, "f.yaml:", 7);
    }
}

/* A few lines of aliases that stand for a list of a million. */
static void test_aliases_are_refused(void **state)
{
    (void)state;
    assert_file_refused(S("bind: &a [':1']\nca-certs: *a\n"),
                        "f.yaml:2: aliases are not supported; write the value out");
}

static void test_a_nul_cannot_cut_a_value_short(void **state)
{
    (void)state;
    assert_file_refused(S("ca-certs: \"good.pem\\0evil\"\n"),
                        "f.yaml:1: a NUL byte cannot be part of a value");
}

static void test_the_state_folders_file_is_found_without_being_named(void **state)
{
    (void)state;
    put(".handclasp/handclasp.yaml", S("threads: 7\n"));
    hc_serve_args a = parsed(ARGS("x"), NULL);
    assert_int_equal(a.settings.threads, 7);
    hc_serve_args_done(&a);
    a = parsed(ARGS("x"), ARGS("HANDCLASP_THREADS=8"));
    assert_int_equal(a.settings.threads, 8);
    hc_serve_args_done(&a);
    a = parsed(ARGS("--state", "elsewhere", "x"), NULL);
    assert_int_equal(a.settings.threads, 4);
    hc_serve_args_done(&a);
    a = parsed_file("workers: 2\n"); /* a named file stands in its place */
    assert_int_equal(a.settings.threads, 4);
    hc_serve_args_done(&a);
    put(".handclasp/handclasp.yaml", S("state: elsewhere\n"));
    assert_refused(
        ARGS("x"),
        ".handclasp/handclasp.yaml:1: state: the file in a state folder cannot name another; use "
        "--state");
    (void)unlink(".handclasp/handclasp.yaml");
}

static void test_a_file_that_is_named_must_be_there_and_be_a_file(void **state)
{
    (void)state;
    assert_refused(ARGS("-c", "missing.yaml"), "--config: missing.yaml does not exist");
    assert_refused(ARGS("-c", ".handclasp"), "--config: .handclasp is not a regular file");
    assert_refused(ARGS("-c", "/dev/zero"), "--config: /dev/zero is not a regular file");
    assert_refused_with(ARGS("x"), ARGS("HANDCLASP_CONFIG=missing.yaml"),
                        "--config: missing.yaml does not exist");
}

static void test_a_file_that_is_too_large_is_refused(void **state)
{
    (void)state;
    put("f.yaml", S("workers: 3\n"));
    assert_int_equal(truncate("f.yaml", HC_LIMIT_CONFIG_BYTES + 1), 0);
    assert_refused(ARGS("-c", "f.yaml"), "--config: f.yaml is larger than 1048576 bytes");
}

static void test_a_reload_reads_the_file_as_it_is_now(void **state)
{
    (void)state;
    hc_serve_args a = parsed_file("threads: 2\nfront-threads: 1\n"), next;
    hc_err err = {0};
    put("f.yaml", S("threads: 3\nfront-threads: 2\n"));
    assert_int_equal(hc_serve_args_again(&a, NULL, &next, &err), 0);
    assert_int_equal(next.settings.threads, 3);
    assert_int_equal(next.settings.front_threads, 1);
    assert_int_equal(next.notices.count, 1);
    hc_serve_args_done(&next);
    put("f.yaml", S("threads: 0\n"));
    assert_int_equal(hc_serve_args_again(&a, NULL, &next, &err), -HC_EINVAL);
    hc_serve_args_done(&a);
}

static void test_the_sample_file_with_every_line_in_force_gives_the_defaults(void **state)
{
    (void)state;
    hc_options t = hc_serve_options();
    hc_buf sample = hc_buf_init(1 << 20);
    assert_int_equal(hc_options_sample(t, &sample), 0);
    /* "#name: default" of the options that have one; the others show a placeholder. */
    hc_buf yaml = hc_buf_init(1 << 20);
    for (hc_slice rest = hc_buf_slice(&sample); rest.size;) {
        ptrdiff_t newline = hc_slice_find(rest, '\n');
        hc_slice line = hc_slice_of(rest.at, (size_t)newline);
        rest = hc_slice_from(rest, line.size + 1);
        ptrdiff_t colon = hc_slice_find(line, ':');
        if (line.size < 2 || line.at[0] != '#' || line.at[1] == '#' || line.at[1] == ' ' ||
            colon < 1)
            continue;
        const hc_option *o = hc_option_find(t, hc_slice_of(line.at + 1, (size_t)colon - 1));
        assert_non_null(o);
        if (o->initial) {
            assert_int_equal(hc_buf_add(&yaml, hc_slice_from(line, 1)), 0);
            assert_int_equal(hc_buf_add_byte(&yaml, '\n'), 0);
        }
    }
    assert_true(yaml.size > 500);
    put("f.yaml", hc_buf_slice(&yaml));
    hc_serve_args with = parsed(ARGS("-c", "f.yaml"), NULL),
                  without = parsed(ARGS("--state", ".handclasp"), NULL);
    hc_buf a = hc_buf_init(1 << 20), b = hc_buf_init(1 << 20);
    hc_err err = {0};
    assert_int_equal(hc_settings_encode(&with.settings, &a, &err), 0);
    assert_int_equal(hc_settings_encode(&without.settings, &b, &err), 0);
    assert_slice_equal(hc_buf_slice(&a), hc_buf_slice(&b));
    hc_buf_done(&a);
    hc_buf_done(&b);
    hc_buf_done(&yaml);
    hc_buf_done(&sample);
    hc_serve_args_done(&with);
    hc_serve_args_done(&without);
}

static void test_every_allocation_of_ours_may_fail(void **state)
{
    (void)state;
    int rc = -1;
    put("f.yaml", S("bind: [a, b]\nenv: {A: x}\nclient-cert: {/a: none}\nworkers: 2\n"));
    for (size_t nth = 1; rc != 0; nth++) {
        hc_serve_args a;
        hc_err err;
        faults_begin(nth);
        rc = parse_with(ARGS("-c", "f.yaml"), NULL, &a, &err);
        if (rc == 0)
            hc_serve_args_done(&a);
        faults_end();
        assert_int_equal(faults_live, 0);
        if (rc != 0)
            assert_int_equal(err.code, HC_ENOMEM);
        assert_true(nth < 2000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_gives_options_in_every_shape),
        cmocka_unit_test(test_profiles_are_left_to_whom_they_belong),
        cmocka_unit_test(test_an_empty_file_is_fine),
        cmocka_unit_test(test_a_mistake_is_told_with_its_line),
        cmocka_unit_test(test_what_is_not_yaml_is_told_with_its_line),
        cmocka_unit_test(test_aliases_are_refused),
        cmocka_unit_test(test_a_nul_cannot_cut_a_value_short),
        cmocka_unit_test(test_the_state_folders_file_is_found_without_being_named),
        cmocka_unit_test(test_a_file_that_is_named_must_be_there_and_be_a_file),
        cmocka_unit_test(test_a_file_that_is_too_large_is_refused),
        cmocka_unit_test(test_a_reload_reads_the_file_as_it_is_now),
        cmocka_unit_test(test_the_sample_file_with_every_line_in_force_gives_the_defaults),
        cmocka_unit_test(test_every_allocation_of_ours_may_fail),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
