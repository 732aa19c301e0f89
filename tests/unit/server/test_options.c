#include "server/options.h"

#include <stdlib.h>
#include <unistd.h>

#include "../faults.h"
#include "options_help.h"

static char folder[] = "/tmp/handclasp-options-XXXXXX";

static int begin(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    return chdir("/") == 0 ? rmdir(folder) : -1;
}

/* --- flags --- */

static void test_defaults_are_those_of_the_manual(void **state)
{
    (void)state;
    hc_serve_args a = parsed(ARGS("shop:app"), NULL);
    const hc_settings *s = &a.settings;
    assert_string_equal(s->app, "shop:app");
    assert_int_equal(s->bind.count, 1);
    assert_string_equal(s->bind.at[0], "127.0.0.1:8443");
    assert_int_equal(s->threads, 4);
    assert_true(s->workers >= 1);
    assert_int_equal(s->timeout_ms, 30000);
    assert_int_equal(s->keep_alive_ms, 65000);
    assert_int_equal(s->policy.mode, HC_MODE_REQUIRED);
    assert_int_equal(s->policy.rule_count, 0);
    assert_false(s->policy.refuse_with_http);
    assert_string_equal(s->registry, "none");
    assert_string_equal(s->state, ".handclasp");
    assert_null(s->remote_user);
    assert_null(s->access_logfile);
    assert_int_equal(s->http.request_line_bytes, HC_LIMIT_REQUEST_LINE_DEFAULT);
    assert_int_equal(s->http.body_bytes, HC_LIMIT_REQUEST_BODY_DEFAULT);
    assert_int_equal(s->log_level, HC_LOG_INFO);
    assert_int_equal(a.parent_fd, -1);
    assert_int_equal(a.lane_count, 0);
    hc_serve_args_done(&a);
}

static void test_every_way_to_write_a_flag_is_taken(void **state)
{
    (void)state;
    hc_serve_args a = parsed(ARGS("--workers=3", "-t", "5", "-b:1", "-b", ":2",
                                  "--limit-request-field-size", "100", "--limit_request_fields",
                                  "7", "--proxy-allow-ips", "unix, 10.0.0.0/8", "--", "m:a"),
                             NULL);
    const hc_settings *s = &a.settings;
    assert_int_equal(s->workers, 3);
    assert_int_equal(s->timeout_ms, 5000);
    assert_int_equal(s->bind.count, 2);
    assert_string_equal(s->bind.at[0], ":1");
    assert_string_equal(s->bind.at[1], ":2");
    assert_int_equal(s->http.field_bytes, 100);
    assert_int_equal(s->http.fields, 7);
    assert_int_equal(s->proxy_allow_from_count, 2);
    assert_true(s->proxy_allow_from[0].unix_socket);
    assert_string_equal(s->app, "m:a");
    hc_serve_args_done(&a);
}

static void test_units_are_understood(void **state)
{
    (void)state;
    hc_serve_args a =
        parsed(ARGS("--timeout", "2h", "--keep-alive", "250ms", "--limit-request-body", "16m", "-m",
                    "027", "--session-lifetime", "7d", "x"),
               NULL);
    assert_int_equal(a.settings.timeout_ms, 2 * 3600 * 1000);
    assert_int_equal(a.settings.keep_alive_ms, 250);
    assert_int_equal(a.settings.http.body_bytes, 16 << 20);
    assert_int_equal(a.settings.umask, 027);
    assert_int_equal(a.settings.session_lifetime_ms, 7ull * 24 * 3600 * 1000);
    hc_serve_args_done(&a);
}

static void test_an_unknown_flag_names_the_nearest(void **state)
{
    (void)state;
    assert_refused(ARGS("--wrokers", "3"), "--wrokers: unknown option; did you mean --workers?");
    assert_refused(ARGS("--log_levle=x"), "--log_levle: unknown option; did you mean --log-level?");
    assert_refused(ARGS("--qqqqqqqq"), "--qqqqqqqq: unknown option; --help lists the options");
    assert_refused(ARGS("-w2", "-Z"), "-Z: unknown option; --help lists the options");
    assert_refused(ARGS("--\x1b[31m"), "--\\x1b[31m: unknown option; --help lists the options");
}

static void test_a_value_out_of_range_says_what_is_allowed(void **state)
{
    (void)state;
    assert_refused(ARGS("--workers", "0"), "--workers: \"0\" is out of range; allowed: 1 to 256");
    assert_refused(ARGS("-w", "257"), "-w: \"257\" is out of range; allowed: 1 to 256");
    assert_refused(ARGS("-w", "-1"), "-w: \"-1\" is not a number; allowed: 1 to 256");
    assert_refused(ARGS("-w", "99999999999999999999"),
                   "-w: \"99999999999999999999\" is not a number; allowed: 1 to 256");
    assert_refused(ARGS("-t", "2d"), "-t: \"2d\" is out of range; allowed: 0s to 1d");
    assert_refused(ARGS("--limit-request-line", "31"),
                   "--limit-request-line: \"31\" is out of range; allowed: 32 to 64k");
    assert_refused(ARGS("-m", "8"), "-m: \"8\" is not an octal number; allowed: 00 to 0777");
    assert_refused(ARGS("--tls-policy", "old"),
                   "--tls-policy: \"old\" is not one of intermediate|modern");
    assert_refused(ARGS("--reload=perhaps"), "--reload: \"perhaps\" is neither true nor false");
    assert_refused(
        ARGS("--remote-user", "HTTP_X"),
        "--remote-user: the name of a client variable is wanted, such as SSL_CLIENT_S_DN_CN");
    assert_refused(ARGS("--env", "=x"), "--env: NAME=VALUE is wanted");
    assert_refused(ARGS("--chdir="), "--chdir: a value is wanted: DIR");
    assert_refused(ARGS("--workers"), "--workers: a value is wanted: COUNT");
    assert_refused(ARGS("a:b", "c:d"), "c:d: one MODULE:APP is enough");
}

static void test_gunicorns_other_options_are_taken_or_refused_with_a_reason(void **state)
{
    (void)state;
    hc_serve_args a = parsed(ARGS("-k", "gthread", "--reuse-port", "-n", "shop", "m:a"), NULL);
    assert_int_equal(a.notices.count, 2);
    assert_string_equal(
        a.notices.at[0],
        "--reuse-port has no effect: the sockets are opened once, and every process that "
        "follows inherits them");
    assert_string_equal(a.notices.at[1], "-n has no effect: processes are named by what they do");
    hc_serve_args_done(&a);
    assert_refused(ARGS("-D", "m:a"),
                   "-D: the server stays in the foreground; let systemd or a container start it");
    assert_refused(ARGS("--preload"),
                   "--preload: each worker loads the application itself, so that workers can be "
                   "replaced without a stop; leave it out");
    assert_refused(ARGS("-k", "gevent"), "-k: workers are of one kind, processes with threads "
                                         "(sync and gthread are taken for it): an event loop "
                                         "serves the connections already");
    assert_refused(ARGS("-c", "gunicorn.conf.py"),
                   "--config: a YAML file is wanted, not Python: the same names, "
                   "\"workers: 4\" for \"workers = 4\"");
}

/* What `gunicorn --help` (27.0) lists and `handclasp serve --help` does not. */
static char *const gunicorns_others[] = {
    "--asgi-disconnect-grace-period",
    "--asgi-lifespan",
    "--asgi-loop",
    "--capture-output",
    "--casefold-http-method",
    "--control-socket-mode",
    "--daemon",
    "--dirty-app",
    "--dirty-graceful-timeout",
    "--dirty-threads",
    "--dirty-timeout",
    "--dirty-workers",
    "--disable-redirect-access-to-syslog",
    "--do-handshake-on-connect",
    "--dogstatsd-tags",
    "--enable-backlog-metric",
    "--enable-stdio-inheritance",
    "--forwarded-allow-ips",
    "--forwarder-headers",
    "--header-map",
    "--http-parser",
    "--http-protocols",
    "--http2-cleartext",
    "--http2-initial-window-size",
    "--http2-max-concurrent-streams",
    "--http2-max-frame-size",
    "--http2-max-header-list-size",
    "--initgroups",
    "--log-config",
    "--log-config-json",
    "--log-syslog",
    "--log-syslog-facility",
    "--log-syslog-prefix",
    "--log-syslog-to",
    "--logger-class",
    "--name",
    "--no-control-socket",
    "--no-sendfile",
    "--paste",
    "--paste-global",
    "--paster",
    "--permit-obsolete-folding",
    "--permit-unconventional-http-method",
    "--permit-unconventional-http-version",
    "--preload",
    "--print-config",
    "--protocol",
    "--reload-engine",
    "--reload-extra-file",
    "--reuse-port",
    "--root-path",
    "--spew",
    "--ssl-version",
    "--statsd-host",
    "--statsd-prefix",
    "--strip-header-spaces",
    "--suppress-ragged-eofs",
    "--uwsgi-allow-from",
    "--version",
    "--websocket-max-message-size",
    "--worker-class",
};

static void test_no_option_of_gunicorn_is_unknown(void **state)
{
    (void)state;
    for (size_t i = 0; i < HC_COUNT(gunicorns_others); i++) {
        hc_serve_args a;
        hc_err err;
        if (parse_with(ARGS(gunicorns_others[i], "m:a"), NULL, &a, &err) == 0)
            hc_serve_args_done(&a);
        else if (strstr(err.text, "unknown option"))
            fail_msg("%s", err.text);
    }
}

static void test_a_registry_is_none_or_a_url_that_can_be_one(void **state)
{
    (void)state;
    hc_serve_args a = parsed(ARGS("--registry", "sqlite:clients.db", "m:a"), NULL);
    assert_string_equal(a.settings.registry, "sqlite:clients.db");
    assert_true(hc_settings_has_registry(&a.settings));
    hc_serve_args_done(&a);
    a = parsed(ARGS("--registry", "none", "m:a"), NULL);
    assert_false(hc_settings_has_registry(&a.settings));
    hc_serve_args_done(&a);
    hc_err err = {0};
    assert_int_equal(parse_with(ARGS("--registry", "clients.db", "m:a"), NULL, &a, &err),
                     -HC_EINVAL);
    assert_non_null(strstr(err.text, "--registry: "));
}

static void test_a_stranger_to_the_registry_is_refused_unless_asked_otherwise(void **state)
{
    (void)state;
    hc_serve_args a = parsed(ARGS("m:a"), NULL);
    assert_false(a.settings.admit_unknown);
    assert_int_equal(a.settings.registry_max_age_ms, HC_REGISTRY_MAX_AGE_MS_DEFAULT);
    hc_serve_args_done(&a);
    a = parsed(ARGS("--unknown", "admit", "--registry-max-age", "30s", "m:a"), NULL);
    assert_true(a.settings.admit_unknown);
    assert_int_equal(a.settings.registry_max_age_ms, 30000);
    hc_serve_args_done(&a);
}

static void test_cert_reqs_means_the_modes_of_pythons_ssl_module(void **state)
{
    (void)state;
    static const struct {
        char *value;
        hc_client_cert_mode mode;
    } rows[] = {{"0", HC_MODE_NONE},
                {"1", HC_MODE_OPTIONAL},
                {"2", HC_MODE_REQUIRED},
                {"CERT_OPTIONAL", HC_MODE_OPTIONAL}};
    for (size_t i = 0; i < HC_COUNT(rows); i++) {
        hc_serve_args a = parsed(ARGS("--cert-reqs", rows[i].value, "x"), NULL);
        assert_int_equal(a.settings.policy.mode, rows[i].mode);
        hc_serve_args_done(&a);
    }
    assert_refused(ARGS("--cert-reqs", "3"),
                   "--cert-reqs: one of 0 (none), 1 (optional), 2 (required) is wanted");
}

static void test_cert_reqs_and_path_rules_go_together_in_any_order(void **state)
{
    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        hc_serve_args a = turn ? parsed(ARGS("--cert-reqs", "1", "--client-cert", "/a=none"), NULL)
                               : parsed(ARGS("--client-cert", "/a=none", "--cert-reqs", "1"), NULL);
        assert_int_equal(a.settings.policy.mode, HC_MODE_OPTIONAL);
        assert_int_equal(a.settings.policy.rule_count, 1);
        hc_serve_args_done(&a);
    }
}

static void test_help_is_found_before_what_is_wrong_behind_it(void **state)
{
    (void)state;
    hc_serve_args a = parsed(ARGS("--help", "--nonsense"), NULL);
    assert_true(a.help);
    hc_serve_args_done(&a);
    a = parsed(ARGS("-h"), NULL);
    assert_true(a.help);
    hc_serve_args_done(&a);
}

static void test_inherited_descriptors_are_taken_from_flags_alone(void **state)
{
    (void)state;
    hc_serve_args a =
        parsed(ARGS("--inherit-lanes", "5,6,7", "--parent-fd", "8"), ARGS("HANDCLASP_PARENT_FD=3"));
    assert_int_equal(a.lane_count, 3);
    assert_int_equal(a.lanes[2], 7);
    assert_int_equal(a.parent_fd, 8);
    assert_int_equal(a.notices.count, 1);
    hc_serve_args_done(&a);
    assert_refused(ARGS("--inherit-lanes", "5,x"),
                   "--inherit-lanes: the number of an open descriptor is wanted");
    assert_refused(ARGS("--parent-fd", "9999999999"),
                   "--parent-fd: the number of an open descriptor is wanted");
}

/* --- environment --- */

static void test_flags_win_over_the_environment(void **state)
{
    (void)state;
    char **environment =
        ARGS("HANDCLASP_WORKERS=7", "HANDCLASP_THREADS=9", "WEB_CONCURRENCY=5", "PATH=/bin");
    hc_serve_args a = parsed(ARGS("--workers", "2", "x"), environment);
    assert_int_equal(a.settings.workers, 2);
    assert_int_equal(a.settings.threads, 9);
    assert_int_equal(a.notices.count, 0);
    hc_serve_args_done(&a);
    a = parsed(ARGS("x"), environment);
    assert_int_equal(a.settings.workers, 7);
    hc_serve_args_done(&a);
    a = parsed(ARGS("x"), ARGS("WEB_CONCURRENCY=5"));
    assert_int_equal(a.settings.workers, 5);
    hc_serve_args_done(&a);
    assert_refused_with(ARGS("x"), ARGS("WEB_CONCURRENCY=many"),
                        "WEB_CONCURRENCY: \"many\" is not a number; allowed: 1 to 256");
    assert_refused_with(ARGS("x"), ARGS("HANDCLASP_WORKERS=many"),
                        "HANDCLASP_WORKERS: \"many\" is not a number; allowed: 1 to 256");
}

static void test_a_list_of_a_higher_level_replaces_the_lower_one(void **state)
{
    (void)state;
    char **environment = ARGS("HANDCLASP_BIND=:1, :2", "HANDCLASP_CLIENT_CERT=optional,/a=none");
    hc_serve_args a = parsed(ARGS("x"), environment);
    assert_int_equal(a.settings.bind.count, 2);
    assert_string_equal(a.settings.bind.at[1], ":2");
    assert_int_equal(a.settings.policy.mode, HC_MODE_OPTIONAL);
    assert_int_equal(a.settings.policy.rule_count, 1);
    hc_serve_args_done(&a);
    a = parsed(ARGS("-b", ":3", "--client-cert", "/b=none", "x"), environment);
    assert_int_equal(a.settings.bind.count, 1);
    assert_string_equal(a.settings.bind.at[0], ":3");
    assert_int_equal(a.settings.policy.mode, HC_MODE_REQUIRED);
    assert_int_equal(a.settings.policy.rule_count, 1);
    assert_string_equal(a.settings.policy.rules[0].path, "/b");
    hc_serve_args_done(&a);
}

static void test_an_unknown_variable_is_a_notice_and_no_error(void **state)
{
    (void)state;
    /* Kubernetes makes up HANDCLASP_SERVICE_HOST and the like from a service's name. */
    hc_serve_args a = parsed(
        ARGS("x"), ARGS("HANDCLASP_WORKRES=3", "HANDCLASP_SERVICE_HOST=10.0.0.1", "HANDCLASP_="));
    assert_int_equal(a.notices.count, 3);
    assert_string_equal(
        a.notices.at[0],
        "HANDCLASP_WORKRES in the environment is no option and has no effect; did you "
        "mean the one for --workers?");
    assert_string_equal(a.notices.at[1],
                        "HANDCLASP_SERVICE_HOST in the environment is no option and has no effect");
    hc_serve_args_done(&a);
}

/* --- round trip --- */

static hc_buf encoded(const hc_settings *s)
{
    hc_buf out = hc_buf_init(1 << 20);
    hc_err err = {0};
    assert_int_equal(hc_settings_encode(s, &out, &err), 0);
    return out;
}

static char **everything_set(void)
{
    static char *argv[] = {"shop:create_app('x=1')",
                           "-b",
                           ":1",
                           "-b",
                           "unix:/run/a,b.sock",
                           "--client-cert",
                           "request",
                           "--client-cert",
                           "/a%3Fb/%25=none",
                           "--client-cert",
                           "/\xc3\xa4=x=optional",
                           "--refuse-with",
                           "http",
                           "--proxy-allow-from",
                           "*,unix,10.0.0.0/8,::1,fd00::/8,::/0",
                           "--env",
                           "A=1,2",
                           "--env",
                           "B=",
                           "--pythonpath",
                           "x,y",
                           "--crl",
                           "c.pem",
                           "--remote-user",
                           "SSL_CLIENT_S_DN_CN",
                           "--ciphers",
                           "HIGH",
                           "--reload",
                           "--tls-policy",
                           "modern",
                           "-m",
                           "077",
                           "--session-lifetime",
                           "90s",
                           "--header-timeout",
                           "1500ms",
                           "--limit-request-body",
                           "12345",
                           "--log-format",
                           "json",
                           "--log-level",
                           "debug",
                           "--access-logformat",
                           "%(h)s \"%(r)s\"",
                           "--max-requests",
                           "4294967295",
                           "-u",
                           "www",
                           NULL};
    return argv;
}

static void test_settings_survive_the_way_to_another_process(void **state)
{
    (void)state;
    hc_serve_args a = parsed(everything_set(), NULL);
    hc_settings back;
    hc_err err = {0};
    memset(&back, 0, sizeof(back));
    hc_buf bytes = encoded(&a.settings);
    assert_int_equal(hc_settings_decode(hc_buf_slice(&bytes), &back, &err), 0);
    assert_string_equal(back.app, "shop:create_app('x=1')");
    assert_string_equal(back.bind.at[1], "unix:/run/a,b.sock");
    assert_string_equal(back.env.at[0], "A=1,2");
    assert_int_equal(back.policy.mode, HC_MODE_REQUEST);
    assert_true(back.policy.refuse_with_http);
    assert_int_equal(back.policy.rule_count, 2);
    assert_int_equal(back.proxy_allow_from_count, 6);
    assert_memory_equal(back.proxy_allow_from, a.settings.proxy_allow_from, 6 * sizeof(hc_network));
    assert_int_equal(back.session_lifetime_ms, 90000);
    assert_int_equal(back.header_timeout_ms, 1500);
    assert_int_equal(back.umask, 077);
    assert_true(back.log_json && back.reload);
    assert_int_equal(back.log_level, HC_LOG_DEBUG);
    assert_null(back.group);
    hc_buf again = encoded(&back);
    assert_slice_equal(hc_buf_slice(&again), hc_buf_slice(&bytes));
    hc_buf_done(&again);
    hc_buf_done(&bytes);
    hc_settings_done(&back);
    hc_serve_args_done(&a);
}

static void test_bytes_that_are_not_settings_are_refused(void **state)
{
    (void)state;
    hc_serve_args a = parsed(everything_set(), NULL);
    hc_buf bytes = encoded(&a.settings);
    hc_settings s;
    hc_err err = {0};
    assert_int_equal(hc_settings_defaults(&s, &err), 0);
    /* Every cut but those between two values. */
    size_t accepted = 0;
    for (size_t size = 1; size < bytes.size; size++) {
        hc_settings back;
        memset(&back, 0, sizeof(back));
        int rc = hc_settings_decode(hc_slice_of(bytes.at, size), &back, &err);
        accepted += rc == 0;
        hc_settings_done(&back);
    }
    assert_in_range(accepted, 30, 200);
    assert_int_equal(hc_settings_decode(S("\x04\0nope\0\0\0\0"), &s, &err), -HC_EFORMAT);
    assert_string_equal(s.registry, "none"); /* untouched */
    hc_settings_done(&s);
    hc_buf_done(&bytes);
    hc_serve_args_done(&a);
}

static void test_settings_too_large_for_their_message_are_an_error(void **state)
{
    (void)state;
    hc_serve_args a = parsed(everything_set(), NULL);
    hc_err err = {0};
    hc_buf out = hc_buf_init(100);
    assert_int_equal(hc_settings_encode(&a.settings, &out, &err), -HC_ELIMIT);
    assert_int_equal(out.size, 0);
    hc_buf_done(&out);
    hc_serve_args_done(&a);
}

/* --- reload --- */

static void test_a_reload_keeps_what_cannot_change_and_says_so(void **state)
{
    (void)state;
    hc_serve_args a = parsed(ARGS("x"), ARGS("HANDCLASP_BIND=:1", "HANDCLASP_THREADS=3"));
    hc_serve_args next;
    hc_err err = {0};
    char **changed = ARGS("HANDCLASP_BIND=:2,:3", "HANDCLASP_THREADS=5");
    assert_int_equal(hc_serve_args_again(&a, changed, &next, &err), 0);
    assert_int_equal(next.settings.bind.count, 1);
    assert_string_equal(next.settings.bind.at[0], ":1");
    assert_int_equal(next.settings.threads, 5);
    assert_int_equal(next.notices.count, 1);
    assert_string_equal(next.notices.at[0],
                        "a changed bind takes effect at a restart, not at a reload");
    hc_serve_args_done(&next);
    hc_serve_args_done(&a);
}

static void test_a_reload_of_the_same_has_nothing_to_say(void **state)
{
    (void)state;
    hc_serve_args a = parsed(everything_set(), NULL);
    hc_serve_args next;
    hc_err err = {0};
    assert_int_equal(hc_serve_args_again(&a, NULL, &next, &err), 0);
    assert_int_equal(next.notices.count, 0);
    hc_buf before = encoded(&a.settings), after = encoded(&next.settings);
    assert_slice_equal(hc_buf_slice(&after), hc_buf_slice(&before));
    hc_buf_done(&before);
    hc_buf_done(&after);
    hc_serve_args_done(&next);
    hc_serve_args_done(&a);
}

/* --- the table --- */

static void test_no_letter_and_no_name_means_two_options(void **state)
{
    (void)state;
    hc_options t = hc_serve_options();
    for (size_t i = 0; i < t.count; i++) {
        assert_ptr_equal(hc_option_find(t, hc_slice_text(t.at[i].name)), &t.at[i]);
        for (size_t n = i + 1; n < t.count && t.at[i].letter; n++)
            assert_int_not_equal(t.at[i].letter, t.at[n].letter);
    }
}

static void test_every_default_is_within_its_own_range(void **state)
{
    (void)state;
    hc_settings s;
    hc_err err = {0};
    assert_int_equal(hc_settings_defaults(&s, &err), 0);
    hc_settings_done(&s);
}

static void test_every_visible_option_has_help(void **state)
{
    (void)state;
    hc_options t = hc_serve_options();
    for (size_t i = 0; i < t.count; i++) {
        assert_non_null(t.at[i].help);
        if (t.at[i].type != HC_OPTION_SWITCH && !(t.at[i].flags & HC_OPTION_NO_VALUE))
            assert_non_null(t.at[i].value);
    }
}

/* --- failing memory --- */

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    char **environment = ARGS("HANDCLASP_THREADS=5", "HANDCLASP_CRL=a,b", "HANDCLASP_NOT=1");
    int rc = -1;
    for (size_t nth = 1; rc != 0; nth++) {
        hc_serve_args a, next;
        hc_settings back;
        hc_err err;
        hc_buf bytes = hc_buf_init(1 << 20);
        memset(&back, 0, sizeof(back));
        faults_begin(nth);
        rc = parse_with(everything_set(), environment, &a, &err);
        if (rc == 0) {
            rc = hc_serve_args_again(&a, environment, &next, &err);
            if (rc == 0)
                hc_serve_args_done(&next);
            if (rc == 0)
                rc = hc_settings_encode(&a.settings, &bytes, &err);
            if (rc == 0)
                rc = hc_settings_decode(hc_buf_slice(&bytes), &back, &err);
            hc_settings_done(&back);
            hc_serve_args_done(&a);
        }
        hc_buf_done(&bytes);
        faults_end();
        assert_int_equal(faults_live, 0);
        if (rc != 0)
            assert_int_equal(err.code, HC_ENOMEM);
        assert_true(nth < 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_those_of_the_manual),
        cmocka_unit_test(test_every_way_to_write_a_flag_is_taken),
        cmocka_unit_test(test_units_are_understood),
        cmocka_unit_test(test_an_unknown_flag_names_the_nearest),
        cmocka_unit_test(test_a_value_out_of_range_says_what_is_allowed),
        cmocka_unit_test(test_gunicorns_other_options_are_taken_or_refused_with_a_reason),
        cmocka_unit_test(test_no_option_of_gunicorn_is_unknown),
        cmocka_unit_test(test_a_registry_is_none_or_a_url_that_can_be_one),
        cmocka_unit_test(test_a_stranger_to_the_registry_is_refused_unless_asked_otherwise),
        cmocka_unit_test(test_cert_reqs_means_the_modes_of_pythons_ssl_module),
        cmocka_unit_test(test_cert_reqs_and_path_rules_go_together_in_any_order),
        cmocka_unit_test(test_help_is_found_before_what_is_wrong_behind_it),
        cmocka_unit_test(test_inherited_descriptors_are_taken_from_flags_alone),
        cmocka_unit_test(test_flags_win_over_the_environment),
        cmocka_unit_test(test_a_list_of_a_higher_level_replaces_the_lower_one),
        cmocka_unit_test(test_an_unknown_variable_is_a_notice_and_no_error),
        cmocka_unit_test(test_settings_survive_the_way_to_another_process),
        cmocka_unit_test(test_bytes_that_are_not_settings_are_refused),
        cmocka_unit_test(test_settings_too_large_for_their_message_are_an_error),
        cmocka_unit_test(test_a_reload_keeps_what_cannot_change_and_says_so),
        cmocka_unit_test(test_a_reload_of_the_same_has_nothing_to_say),
        cmocka_unit_test(test_no_letter_and_no_name_means_two_options),
        cmocka_unit_test(test_every_default_is_within_its_own_range),
        cmocka_unit_test(test_every_visible_option_has_help),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
