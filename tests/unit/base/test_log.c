#include "base/log.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/limits.h"
#include "faults.h"
#include "unit.h"

/* A datagram socket keeps the borders between calls of write(2). */
static int ends[2];
static char got[4 * HC_LIMIT_LOG_LINE];
static hc_log text_log, json_log;

static int64_t fixed_wall_s(void)
{
    return 1795447486;
}

static int64_t before_1970_wall_s(void)
{
    return -5;
}

static int64_t absurd_wall_s(void)
{
    return INT64_MAX / 1000;
}

static int setup(void **state)
{
    (void)state;
    static const hc_clock table = {.wall_s = fixed_wall_s};
    hc_clock_set(&table);
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0)
        return -1;
    text_log = (hc_log){ends[0], HC_LOG_DEBUG, false, "front"};
    json_log = (hc_log){ends[0], HC_LOG_DEBUG, true, "front"};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hc_mem_set(NULL);
    hc_clock_set(NULL);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* One line, checked to be one: ends with the only newline, within the limit. */
static size_t read_line(void)
{
    ssize_t size = recv(ends[1], got, sizeof(got) - 1, MSG_DONTWAIT);
    assert_true(size > 0);
    got[size] = '\0';
    assert_in_range(size, 1, HC_LIMIT_LOG_LINE);
    assert_ptr_equal(memchr(got, '\n', (size_t)size), got + size - 1);
    return (size_t)size;
}

static void assert_nothing_written(void)
{
    assert_int_equal(recv(ends[1], got, sizeof(got), MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

#define HEAD "2026-11-23T15:24:46.000Z "

static void a_line_has_time_level_role_event_and_fields(void **state)
{
    (void)state;
    const hc_log_field fields[] = {
        {"verdict", S("expired")}, {"subject", S("CN=Bob B")}, {NULL, HC_SLICE_NONE}};
    hc_log_event(&text_log, HC_LOG_WARNING, "client refused", fields);
    read_line();
    assert_string_equal(got,
                        HEAD "WARNING front client refused verdict=expired subject=\"CN=Bob B\"\n");
    assert_nothing_written();
}

static void a_line_without_fields_ends_after_the_event(void **state)
{
    (void)state;
    const hc_log_field none[] = {{NULL, HC_SLICE_NONE}};
    hc_log_event(&text_log, HC_LOG_INFO, "ready", NULL);
    read_line();
    assert_string_equal(got, HEAD "INFO front ready\n");
    hc_log_event(&text_log, HC_LOG_ERROR, "ready", none);
    read_line();
    assert_string_equal(got, HEAD "ERROR front ready\n");
    text_log.role = NULL;
    hc_log_event(&text_log, HC_LOG_DEBUG, "ready", NULL);
    read_line();
    assert_string_equal(got, HEAD "DEBUG - ready\n");
}

static void assert_value_is_written(hc_slice value, const char *wanted)
{
    const hc_log_field fields[] = {{"k", value}, {NULL, HC_SLICE_NONE}};
    char line[256];
    assert_true(snprintf(line, sizeof(line), HEAD "INFO front e k=%s\n", wanted) < 256);
    hc_log_event(&text_log, HC_LOG_INFO, "e", fields);
    read_line();
    assert_string_equal(got, line);
}

static void values_are_quoted_where_they_need_it(void **state)
{
    (void)state;
    assert_value_is_written(S("azAZ09._:/+@,=-"), "azAZ09._:/+@,=-");
    assert_value_is_written(S(""), "\"\"");
    assert_value_is_written(HC_SLICE_NONE, "\"\"");
    assert_value_is_written(S("a b"), "\"a b\"");
    assert_value_is_written(S("a;b"), "\"a;b\"");
    assert_value_is_written(S("a'b"), "\"a'b\"");
    assert_value_is_written(S("a\"b"), "\"a\\\"b\"");
    assert_value_is_written(S("a\\b"), "\"a\\\\b\"");
    assert_value_is_written(S("a\0b"), "\"a\\x00b\"");
    assert_value_is_written(S("\0"), "\"\\x00\"");
    assert_value_is_written(S("Ren\xC3\xA9"), "\"Ren\xC3\xA9\"");
    assert_value_is_written(S("\xFF"), "\"\\xff\"");
}

static void a_value_cannot_forge_a_line_or_a_field(void **state)
{
    (void)state;
    assert_value_is_written(S("x\n2026 ERROR forged"), "\"x\\x0a2026 ERROR forged\"");
    assert_value_is_written(S("x\" verdict=ok y=\""), "\"x\\\" verdict=ok y=\\\"\"");
    hc_log_text(&text_log, HC_LOG_INFO, "read %s", "a\nb\x1B[2J");
    read_line();
    assert_string_equal(got, HEAD "INFO front read a\\x0ab\\x1b[2J\n");
}

static void lines_below_the_level_are_dropped(void **state)
{
    (void)state;
    text_log.level = HC_LOG_WARNING;
    hc_log_event(&text_log, HC_LOG_DEBUG, "e", NULL);
    hc_log_event(&text_log, HC_LOG_INFO, "e", NULL);
    hc_log_text(&text_log, HC_LOG_INFO, "e");
    assert_nothing_written();
    hc_log_event(&text_log, HC_LOG_WARNING, "e", NULL);
    read_line();
    hc_log_text(&text_log, HC_LOG_ERROR, "e");
    read_line();
}

static void level_names_are_read_exactly(void **state)
{
    (void)state;
    hc_log_level level = HC_LOG_INFO;
    assert_true(hc_log_level_parse(S("debug"), &level) && level == HC_LOG_DEBUG);
    assert_true(hc_log_level_parse(S("info"), &level) && level == HC_LOG_INFO);
    assert_true(hc_log_level_parse(S("warning"), &level) && level == HC_LOG_WARNING);
    assert_true(hc_log_level_parse(S("error"), &level) && level == HC_LOG_ERROR);
    level = HC_LOG_INFO;
    assert_true(hc_log_level_parse(S("critical"), &level) && level == HC_LOG_ERROR);
    level = HC_LOG_INFO;
    assert_false(hc_log_level_parse(HC_SLICE_NONE, &level));
    assert_false(hc_log_level_parse(S("warn"), &level));
    assert_false(hc_log_level_parse(S("errors"), &level));
    assert_false(hc_log_level_parse(S("error\0"), &level));
    assert_int_equal(level, HC_LOG_INFO);
}

/* Parses the line strictly and gives the text of `key`; the caller's copy. */
static const char *json_value(const char *key)
{
    static char value[HC_LIMIT_LOG_LINE];
    json_error_t error;
    json_t *object = json_loads(got, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(object);
    const char *text = json_string_value(json_object_get(object, key));
    if (text)
        assert_true(snprintf(value, sizeof(value), "%s", text) < (int)sizeof(value));
    json_decref(object);
    return text ? value : NULL;
}

static void a_json_line_is_one_object(void **state)
{
    (void)state;
    const hc_log_field fields[] = {
        {"verdict", S("expired")}, {"subject", S("")}, {NULL, HC_SLICE_NONE}};
    hc_log_event(&json_log, HC_LOG_WARNING, "client refused", fields);
    read_line();
    assert_string_equal(got, "{\"time\":\"2026-11-23T15:24:46.000Z\",\"level\":\"warning\","
                             "\"role\":\"front\",\"event\":\"client refused\","
                             "\"verdict\":\"expired\",\"subject\":\"\"}\n");
    hc_log_event(&json_log, HC_LOG_INFO, "ready", NULL);
    read_line();
    assert_string_equal(json_value("event"), "ready");
}

static void json_values_come_back_as_they_were(void **state)
{
    (void)state;
    static const char nasty[] = "\"\\/\b\f\n\r\t\x01\x1F\x7F Ren\xC3\xA9 \xC2\x9B \xE2\x80\xA8 "
                                "\xE2\x80\xAE \xF0\x9F\x98\x80 \xF3\xA0\x81\x81";
    const hc_log_field fields[] = {{"k", S(nasty)}, {NULL, HC_SLICE_NONE}};
    hc_log_event(&json_log, HC_LOG_INFO, "e", fields);
    size_t size = read_line();
    assert_string_equal(json_value("k"), nasty);
    assert_null(memchr(got, 0x7F, size));
    assert_null(strstr(got, "\xC2\x9B"));
    assert_null(strstr(got, "\xE2\x80"));
    assert_non_null(strstr(got, "\\udb40\\udc41")); /* U+E0041 as a pair */
    assert_non_null(strstr(got, "Ren\xC3\xA9"));

    hc_log_text(&json_log, HC_LOG_INFO, "%s", nasty);
    read_line();
    assert_string_equal(json_value("event"), nasty);
}

static void a_nul_in_a_json_value_is_escaped(void **state)
{
    (void)state;
    const hc_log_field fields[] = {{"k", S("a\0b")}, {NULL, HC_SLICE_NONE}};
    hc_log_event(&json_log, HC_LOG_INFO, "e", fields);
    size_t size = read_line();
    assert_null(memchr(got, '\0', size));
    assert_non_null(strstr(got, "\"k\":\"a\\u0000b\"}"));
}

static void bytes_that_are_not_utf8_become_replacement_characters_in_json(void **state)
{
    (void)state;
    const hc_log_field fields[] = {{"k", S("a\xFF"
                                           "b\xC0\x8A\xED\xA0\x80\xC3")},
                                   {NULL, HC_SLICE_NONE}};
    hc_log_event(&json_log, HC_LOG_INFO, "e", fields);
    read_line();
#define BAD "\xEF\xBF\xBD"
    assert_string_equal(json_value("k"), "a" BAD "b" BAD BAD BAD BAD BAD BAD);
}

static char big[3 * HC_LIMIT_LOG_LINE];

static void fill_big(const char *pattern)
{
    size_t size = strlen(pattern);
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = pattern[i % size];
}

static void a_line_that_is_too_long_is_cut_and_still_ends(void **state)
{
    (void)state;
    const hc_log_field fields[] = {
        {"k", hc_slice_of(big, sizeof(big))}, {"last", S("x")}, {NULL, HC_SLICE_NONE}};
    fill_big("a");
    hc_log_event(&text_log, HC_LOG_INFO, "e", fields);
    assert_in_range(read_line(), HC_LIMIT_LOG_LINE - 2, HC_LIMIT_LOG_LINE);
    assert_null(strstr(got, "last"));
    fill_big("a b");
    hc_log_event(&text_log, HC_LOG_INFO, "e", fields);
    size_t size = read_line();
    assert_in_range(size, HC_LIMIT_LOG_LINE - 2, HC_LIMIT_LOG_LINE);
    assert_int_equal(got[size - 2], '"');
    hc_log_text(&text_log, HC_LOG_INFO, "%.*s", (int)sizeof(big), big);
    assert_in_range(read_line(), HC_LIMIT_LOG_LINE - 8, HC_LIMIT_LOG_LINE);
}

/* Moves the border through the value, its quotes, the next key and the next value. */
static void a_json_line_cut_anywhere_is_still_an_object(void **state)
{
    (void)state;
    static const struct {
        const char *character;
        size_t escaped_size;
    } cases[] = {{"a", 1},
                 {"\"", 2},
                 {"\n", 6},
                 {"\xFF", 3},
                 {"\xF0\x9F\x98\x80", 4},
                 {"\xF3\xA0\x81\x81", 12}};
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        size_t most = HC_LIMIT_LOG_LINE / cases[i].escaped_size + 1;
        size_t whole = 0;
        fill_big(cases[i].character);
        for (size_t count = most - 200 / cases[i].escaped_size; count <= most; count++) {
            const hc_log_field fields[] = {
                {"first", hc_slice_of(big, count * strlen(cases[i].character))},
                {"second", S("whole value")},
                {NULL, HC_SLICE_NONE}};
            hc_log_event(&json_log, HC_LOG_INFO, "e", fields);
            read_line();
            assert_string_equal(json_value("event"), "e");
            assert_non_null(json_value("first"));
            whole += strstr(got, "\"whole value\"}") != NULL;
        }
        assert_in_range(whole, 1, 200 / cases[i].escaped_size); /* some were cut, some were not */
    }
}

static void a_text_line_cut_anywhere_keeps_its_quotes_in_pairs(void **state)
{
    (void)state;
    fill_big("a ");
    for (size_t size = HC_LIMIT_LOG_LINE - 100; size < HC_LIMIT_LOG_LINE; size++) {
        const hc_log_field fields[] = {
            {"first", hc_slice_of(big, size)}, {"second", S("b b")}, {NULL, HC_SLICE_NONE}};
        hc_log_event(&text_log, HC_LOG_INFO, "e", fields);
        read_line();
        size_t quotes = 0;
        for (const char *at = got; (at = strchr(at, '"')); at++)
            quotes++;
        assert_true(quotes == 2 || quotes == 4);
        const char *second = strstr(got, " second");
        assert_int_equal(quotes == 4, second != NULL);
        if (second)
            assert_memory_equal(second, " second=\"", 9);
    }
}

static void nothing_follows_a_value_that_was_cut(void **state)
{
    (void)state;
    fill_big("\xF3\xA0\x81\x81"); /* 16 bytes escaped: cutting it leaves room for a short field */
    for (size_t shift = 0; shift < 16; shift++) {
        const hc_log_field fields[] = {{"shift", hc_slice_of("0123456789abcdef", shift)},
                                       {"long", hc_slice_of(big, sizeof(big))},
                                       {"s", S("x")},
                                       {NULL, HC_SLICE_NONE}};
        hc_log_event(&text_log, HC_LOG_INFO, "e", fields);
        size_t size = read_line();
        assert_null(strstr(got, " s=x"));
        assert_string_equal(got + size - 2, "\"\n");
    }
}

static void a_sentence_that_is_too_long_is_cut_in_json_too(void **state)
{
    (void)state;
    fill_big("a b");
    hc_log_text(&json_log, HC_LOG_INFO, "%.*s", (int)sizeof(big), big);
    assert_in_range(read_line(), HC_LIMIT_LOG_LINE - 2, HC_LIMIT_LOG_LINE);
    assert_memory_equal(json_value("event"), "a ba b", 6);
}

static void a_key_too_long_for_the_line_is_left_out(void **state)
{
    (void)state;
    static char key[HC_LIMIT_LOG_LINE + 1];
    memset(key, 'k', sizeof(key) - 1);
    const hc_log_field fields[] = {{key, S("v")}, {NULL, HC_SLICE_NONE}};
    hc_log_event(&text_log, HC_LOG_INFO, "e", fields);
    read_line();
    assert_string_equal(got, HEAD "INFO front e\n");
    hc_log_event(&json_log, HC_LOG_INFO, "e", fields);
    read_line();
    assert_string_equal(json_value("event"), "e");
}

static void a_line_is_written_without_any_memory(void **state)
{
    (void)state;
    const hc_log_field fields[] = {{"k", hc_slice_of(big, sizeof(big))}, {NULL, HC_SLICE_NONE}};
    fill_big("a\n");
    faults_begin(1);
    hc_log_event(&text_log, HC_LOG_INFO, "e", fields);
    hc_log_event(&json_log, HC_LOG_INFO, "e", fields);
    read_line();
    read_line();
    assert_int_equal(faults_calls, 0);
}

static void a_descriptor_that_cannot_be_written_loses_the_line_and_keeps_errno(void **state)
{
    (void)state;
    text_log.fd = -1;
    errno = ENOENT;
    hc_log_event(&text_log, HC_LOG_INFO, "e", NULL);
    hc_log_text(&text_log, HC_LOG_INFO, "e");
    assert_int_equal(errno, ENOENT);
}

static void a_level_nobody_knows_is_written_as_error(void **state)
{
    (void)state;
    hc_log_event(&text_log, (hc_log_level)99, "e", NULL);
    read_line();
    assert_string_equal(got, HEAD "ERROR front e\n");
}

static void a_time_outside_the_calendar_still_gives_a_line(void **state)
{
    (void)state;
    static const hc_clock before = {.wall_s = before_1970_wall_s};
    static const hc_clock absurd = {.wall_s = absurd_wall_s};
    hc_clock_set(&before);
    hc_log_event(&text_log, HC_LOG_INFO, "e", NULL);
    read_line();
    assert_string_equal(got, "1970-01-01T00:00:00.000Z INFO front e\n");
    hc_clock_set(&absurd);
    hc_log_event(&text_log, HC_LOG_INFO, "e", NULL);
    read_line();
    assert_non_null(strstr(got, "Z INFO front e\n"));
}

static void the_time_of_the_system_has_milliseconds(void **state)
{
    (void)state;
    hc_clock_set(NULL);
    unsigned year, month, day, hour, minute, second, ms;
    hc_log_event(&text_log, HC_LOG_INFO, "e", NULL);
    read_line();
    assert_int_equal(sscanf(got, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ", &year, &month, &day, &hour,
                            &minute, &second, &ms),
                     7);
    assert_int_equal(got[23], 'Z');
    assert_int_equal(got[24], ' ');
    assert_in_range(year, 2024, 2200);
}

#define UNIT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_line_has_time_level_role_event_and_fields),
        UNIT(a_line_without_fields_ends_after_the_event),
        UNIT(values_are_quoted_where_they_need_it),
        UNIT(a_value_cannot_forge_a_line_or_a_field),
        UNIT(lines_below_the_level_are_dropped),
        UNIT(level_names_are_read_exactly),
        UNIT(a_json_line_is_one_object),
        UNIT(json_values_come_back_as_they_were),
        UNIT(a_nul_in_a_json_value_is_escaped),
        UNIT(bytes_that_are_not_utf8_become_replacement_characters_in_json),
        UNIT(a_line_that_is_too_long_is_cut_and_still_ends),
        UNIT(a_json_line_cut_anywhere_is_still_an_object),
        UNIT(a_text_line_cut_anywhere_keeps_its_quotes_in_pairs),
        UNIT(nothing_follows_a_value_that_was_cut),
        UNIT(a_sentence_that_is_too_long_is_cut_in_json_too),
        UNIT(a_key_too_long_for_the_line_is_left_out),
        UNIT(a_line_is_written_without_any_memory),
        UNIT(a_descriptor_that_cannot_be_written_loses_the_line_and_keeps_errno),
        UNIT(a_level_nobody_knows_is_written_as_error),
        UNIT(a_time_outside_the_calendar_still_gives_a_line),
        UNIT(the_time_of_the_system_has_milliseconds),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
