#include "server/access_log.h"

#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"
/* after unit.h */
#include "faults.h"

static char path[] = "/tmp/hc-access-XXXXXX";
static char text[65536];
static const hc_log quiet = {.fd = 2};

static int64_t wall_s(void)
{
    return 784111777; /* RFC 9110's: Sun, 06 Nov 1994 08:49:37 GMT */
}

static uint64_t monotonic_ms(void)
{
    return 1;
}

static int setup(void **state)
{
    static const hc_clock clock = {wall_s, monotonic_ms};
    (void)state;
    hc_clock_set(&clock);
    return truncate(path, 0);
}

static int teardown(void **state)
{
    (void)state;
    hc_clock_set(NULL);
    faults_end();
    return 0;
}

/* What an entry says of an ordinary request. */
typedef struct sample {
    hc_header headers[2];
    hc_request request;
    hc_peer peer;
    hc_verdict verdict;
    hc_access_entry entry;
} sample;

static void sample_init(sample *s)
{
    *s = (sample){.headers = {{S("User-Agent"), S("test/1")}, {S("X-Own"), S("own")}},
                  .request = {.method = S("GET"),
                              .target = S("/path?a=b"),
                              .raw_path = S("/path"),
                              .path = S("/path"),
                              .query = S("a=b"),
                              .minor = 1,
                              .header_count = 2},
                  .peer = {.address = "192.0.2.1", .tls_protocol = "TLSv1.3"},
                  .verdict = {.code = HC_VERDICT_OK}};
    s->request.headers = s->headers;
    s->entry = (hc_access_entry){.request = &s->request,
                                 .peer = &s->peer,
                                 .verdict = &s->verdict,
                                 .status = 200,
                                 .body_bytes = 1234,
                                 .duration_us = 2345678,
                                 .pid = 42};
}

/* The file's text after one entry was written. */
static const char *written(const char *format, const hc_access_entry *entry)
{
    hc_access_log *log = NULL;
    hc_err err = {0};
    assert_int_equal(hc_access_log_open(path, format, &quiet, &log, &err), 0);
    hc_access_log_write(log, entry);
    hc_access_log_free(log);
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, text, sizeof text - 1);
    assert_true(size >= 0);
    text[size] = '\0';
    assert_int_equal(close(fd), 0);
    return text;
}

static void test_each_atom_says_its_value(void **state)
{
    static const struct {
        const char *atom, *value;
    } atoms[] = {
        {"%(h)s", "192.0.2.1"},
        {"%(l)s", "-"},
        {"%(r)s", "GET /path?a=b HTTP/1.1"},
        {"%(m)s", "GET"},
        {"%(U)s", "/path"},
        {"%(q)s", "a=b"},
        {"%(H)s", "HTTP/1.1"},
        {"%(s)s", "200"},
        {"%(b)s", "1234"},
        {"%(B)s", "1234"},
        {"%(f)s", "-"},
        {"%(a)s", "test/1"},
        {"%(T)s", "2"},
        {"%(M)s", "2345"},
        {"%(D)s", "2345678"},
        {"%(L)s", "2.345678"},
        {"%(p)s", "<42>"},
        {"%(v)s", "ok"},
        {"%(c)s", "-"},
        {"%(n)s", "-"},
        {"%({x-own}i)s", "own"},
        {"%({X-OWN}i)s", "own"},
        {"%({none}i)s", "-"},
        {"100%%", "100%"},
        {"%(unknown)s", "-"},
        {"<%(m)s|%(s)s>", "<GET|200>"},
    };
    (void)state;
    sample s;
    sample_init(&s);
    for (size_t i = 0; i < HC_COUNT(atoms); i++) {
        char line[64];
        assert_int_equal(truncate(path, 0), 0);
        (void)snprintf(line, sizeof line, "%s\n", atoms[i].value);
        assert_string_equal(written(atoms[i].atom, &s.entry), line);
    }
}

static void test_time_is_written_as_apache_does(void **state)
{
    (void)state;
    sample s;
    sample_init(&s);
    assert_string_equal(written("%(t)s", &s.entry), "[06/Nov/1994:08:49:37 +0000]\n");
}

static void test_request_that_could_not_be_read_is_a_dash(void **state)
{
    (void)state;
    sample s;
    sample_init(&s);
    s.entry.request = NULL;
    s.entry.status = 400;
    s.entry.body_bytes = 0;
    assert_string_equal(
        written("\"%(r)s\" %(m)s %(U)s %(q)s %(H)s %(a)s %(s)s %(b)s %(B)s", &s.entry),
        "\"-\" - -  - - 400 - 0\n");
}

static void test_octets_from_clients_stay_one_line_within_quotes(void **state)
{
    (void)state;
    sample s;
    sample_init(&s);
    s.headers[0].value = S("\" 200\r\n\x1b[31m\x80\xff\\ \0.");
    const char *line = written("\"%(a)s\" end", &s.entry);
    size_t size = strlen(line);
    assert_int_equal(line[size - 1], '\n');
    for (size_t i = 0; i + 1 < size; i++)
        assert_true(isprint((unsigned char)line[i]));
    /* No quote but the two of the format, unless it is escaped. */
    size_t quotes = 0;
    for (size_t i = 0; i < size; i++) {
        if (line[i] == '\\')
            i++;
        else
            quotes += line[i] == '"';
    }
    assert_int_equal(quotes, 2);
}

static void test_json_is_an_object_whatever_the_octets(void **state)
{
    static const hc_slice hostile[] = {S("plain"), S("\"\\\r\n\x1b"), S("\x80\xff"),
                                       S("a\0b"),  S("caf\xc3\xa9"),  {NULL, 0}};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(hostile); i++) {
        sample s;
        sample_init(&s);
        s.request.query = hostile[i];
        s.request.raw_path = hostile[i];
        assert_int_equal(truncate(path, 0), 0);
        const char *line = written("json", &s.entry);
        json_t *o = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        assert_int_equal(json_integer_value(json_object_get(o, "status")), 200);
        assert_int_equal(json_integer_value(json_object_get(o, "bytes")), 1234);
        assert_int_equal(json_integer_value(json_object_get(o, "duration_us")), 2345678);
        assert_string_equal(json_string_value(json_object_get(o, "method")), "GET");
        assert_string_equal(json_string_value(json_object_get(o, "address")), "192.0.2.1");
        assert_string_equal(json_string_value(json_object_get(o, "verdict")), "ok");
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        json_decref(o);
    }
}

static void test_json_of_a_request_that_could_not_be_read_is_one_too(void **state)
{
    (void)state;
    sample s;
    sample_init(&s);
    s.entry.request = NULL;
    json_t *o = json_loads(written("json", &s.entry), 0, NULL);
    assert_non_null(o);
    json_decref(o);
}

static void test_the_name_of_the_record_is_the_user_and_stays_one_line(void **state)
{
    (void)state;
    sample s;
    sample_init(&s);
    hc_record *record = hc_record_new(1, S("al\nice\" "), HC_SLICE_NONE, HC_SLICE_NONE);
    s.entry.record = record;
    assert_string_equal(written("%(u)s %(c)s", &s.entry), "al\\x0aice\\\"  -\n");
    assert_int_equal(truncate(path, 0), 0);
    json_t *o = json_loads(written("json", &s.entry), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "user")), "al\nice\" ");
    json_decref(o);
    assert_int_equal(truncate(path, 0), 0);
    s.entry.record = NULL;
    o = json_loads(written("json", &s.entry), 0, NULL);
    assert_non_null(o);
    assert_null(json_object_get(o, "user"));
    json_decref(o);
    hc_record_unref(record);
}

static void test_lines_are_appended(void **state)
{
    (void)state;
    sample s;
    sample_init(&s);
    (void)written("%(m)s", &s.entry);
    assert_string_equal(written("%(s)s", &s.entry), "GET\n200\n");
}

static void test_format_that_is_none_is_refused(void **state)
{
    static const char *const formats[] = {"%(h", "%h", "%()s", "%(h)d", "%", "a %(m)s %"};
    (void)state;
    for (size_t i = 0; i < HC_COUNT(formats); i++) {
        hc_access_log *log = NULL;
        hc_err err = {0};
        assert_int_equal(hc_access_log_open(path, formats[i], &quiet, &log, &err), -HC_EINVAL);
        assert_non_null(strstr(err.text, "--access-logformat"));
        assert_null(log);
    }
}

static void test_file_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    hc_access_log *log = NULL;
    hc_err err = {0};
    assert_int_equal(hc_access_log_open("/nowhere/at/all", "json", &quiet, &log, &err), -HC_EIO);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    assert_null(log);
}

static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        bool failed = true;
        for (size_t nth = 1; failed; nth++) {
            hc_access_log *log = NULL;
            hc_err err;
            sample s;
            sample_init(&s);
            s.request.query = S("\xff"); /* the long way in JSON */
            faults_begin(nth);
            int rc = hc_access_log_open(path, json ? "json" : "%(r)s", &quiet, &log, &err);
            if (rc == 0)
                hc_access_log_write(log, &s.entry); /* a line is lost, at worst */
            hc_access_log_free(log);
            failed = faults_left == 0;
            assert_int_equal(faults_live, 0);
            faults_end();
            assert_true(nth < 50);
        }
    }
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILE(test_each_atom_says_its_value),
        WITH_FILE(test_time_is_written_as_apache_does),
        WITH_FILE(test_request_that_could_not_be_read_is_a_dash),
        WITH_FILE(test_octets_from_clients_stay_one_line_within_quotes),
        WITH_FILE(test_json_is_an_object_whatever_the_octets),
        WITH_FILE(test_json_of_a_request_that_could_not_be_read_is_one_too),
        WITH_FILE(test_the_name_of_the_record_is_the_user_and_stays_one_line),
        WITH_FILE(test_lines_are_appended),
        WITH_FILE(test_format_that_is_none_is_refused),
        WITH_FILE(test_file_that_cannot_be_opened_is_named),
        WITH_FILE(test_each_allocation_may_fail),
    };
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || setenv("TZ", "UTC", 1) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return failed;
}
