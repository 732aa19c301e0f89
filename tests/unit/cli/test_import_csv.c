#include "cli/import_csv.h"

#include "../faults.h"
#include "../unit.h"

static hc_csv csv;
static hc_csv_row row;
static hc_err err;

static int begin_with(const char *text)
{
    err = (hc_err){0};
    hc_csv_init(&csv, hc_slice_text(text));
    return hc_csv_next(&csv, &row, &err);
}

static void test_fields_lines_and_spaces(void **state)
{
    (void)state;
    assert_int_equal(begin_with("\n \r\n a , b c\t,\r\nd"), 1);
    assert_int_equal(row.line, 3);
    assert_int_equal(row.count, 3);
    assert_slice(row.field[0], "a");
    assert_slice(row.field[1], "b c");
    assert_slice(row.field[2], "");
    assert_int_equal(hc_csv_next(&csv, &row, &err), 1);
    assert_int_equal(row.line, 4);
    assert_slice(row.field[0], "d");
    assert_int_equal(hc_csv_next(&csv, &row, &err), 0);
    hc_csv_done(&csv);
}

static void test_quotes_hold_commas_lines_and_quotes(void **state)
{
    (void)state;
    assert_int_equal(begin_with("\"a,\"\"b\"\"\r\nc\" , \" d \"\ne"), 1);
    assert_int_equal(row.count, 2);
    assert_slice(row.field[0], "a,\"b\"\r\nc");
    assert_slice(row.field[1], " d ");
    assert_int_equal(hc_csv_next(&csv, &row, &err), 1);
    assert_int_equal(row.line, 3);
    hc_csv_done(&csv);
}

static void assert_refused(const char *text, int code, const char *why)
{
    assert_int_equal(begin_with(text), -code);
    assert_non_null(strstr(err.text, why));
    hc_csv_done(&csv);
}

static void test_what_is_no_csv_is_refused(void **state)
{
    (void)state;
    assert_refused("\"a", HC_EFORMAT, "not closed");
    assert_refused("\"a\"b", HC_EFORMAT, "comma");
    assert_refused("a\"b", HC_EFORMAT, "quote within");
    assert_refused("a,\xff", HC_EFORMAT, "field 2 is not UTF-8");
}

static void test_a_row_is_bounded(void **state)
{
    (void)state;
    static char text[HC_LIMIT_CSV_ROW + 3];
    memset(text, ',', HC_LIMIT_CSV_FIELDS);
    assert_refused(text, HC_ELIMIT, "fields");
    memset(text, 'a', HC_LIMIT_CSV_ROW + 1);
    assert_refused(text, HC_ELIMIT, "octets");
    text[HC_LIMIT_CSV_ROW] = '\0';
    assert_int_equal(begin_with(text), 1);
    assert_int_equal(row.field[0].size, HC_LIMIT_CSV_ROW);
    hc_csv_done(&csv);
}

static void test_without_memory_it_is_said(void **state)
{
    (void)state;
    faults_begin(1);
    assert_int_equal(begin_with("a,b"), -HC_ENOMEM);
    hc_csv_done(&csv);
    assert_int_equal(faults_live, 0);
    faults_end();
}

static void assert_header(const char *text, int name, int issuer, int serial, int roles,
                          hc_serials serials)
{
    hc_csv_columns c;
    bool is_header = false;
    assert_int_equal(begin_with(text), 1);
    assert_int_equal(hc_csv_header(&row, &c, &is_header, &err), 0);
    assert_true(is_header);
    assert_int_equal(c.name, name);
    assert_int_equal(c.issuer, issuer);
    assert_int_equal(c.serial, serial);
    assert_int_equal(c.roles, roles);
    assert_int_equal(c.serials, serials);
    hc_csv_done(&csv);
}

static void test_a_header_names_the_columns(void **state)
{
    (void)state;
    assert_header("name,issuer,serial", 0, 1, 2, -1, HC_SERIALS_UNKNOWN);
    assert_header("\xef\xbb\xbfRoles,x,Serial_Hex,NAME", 3, -1, 2, 0, HC_SERIALS_HEX);
    assert_header("serial_decimal,name", 1, -1, 0, -1, HC_SERIALS_DECIMAL);
}

static void test_a_row_is_no_header(void **state)
{
    (void)state;
    hc_csv_columns c = {7, 7, 7, 7, HC_SERIALS_HEX};
    bool is_header = true;
    assert_int_equal(begin_with("alice,CN=x,1f"), 1);
    assert_int_equal(hc_csv_header(&row, &c, &is_header, &err), 0);
    assert_false(is_header);
    assert_int_equal(c.name, 7);
    hc_csv_done(&csv);
}

static void test_digits_alone_are_read_only_where_it_is_said_how(void **state)
{
    (void)state;
    hc_serial s;
    char hex[HC_SERIAL_HEX_BYTES];
    static const struct {
        const char *text;
        hc_serials how;
        const char *hex; /* NULL: refused */
    } cases[] = {
        {"31", HC_SERIALS_HEX, "31"},       {"31", HC_SERIALS_DECIMAL, "1f"},
        {"31", HC_SERIALS_UNKNOWN, NULL},   {"-31", HC_SERIALS_UNKNOWN, NULL},
        {"0x31", HC_SERIALS_UNKNOWN, "31"}, {"00:31", HC_SERIALS_UNKNOWN, "31"},
        {"1f", HC_SERIALS_UNKNOWN, "1f"},   {"1f", HC_SERIALS_DECIMAL, NULL},
        {"0x1f", HC_SERIALS_DECIMAL, "1f"}, {"1f:00", HC_SERIALS_DECIMAL, "1f00"},
        {"0007", HC_SERIALS_UNKNOWN, "7"},  {"0", HC_SERIALS_UNKNOWN, "0"},
        {"-7", HC_SERIALS_UNKNOWN, "-7"},   {"", HC_SERIALS_HEX, NULL},
        {"x", HC_SERIALS_HEX, NULL},
    };
    for (size_t i = 0; i < HC_COUNT(cases); i++) {
        int rc = hc_csv_serial(hc_slice_text(cases[i].text), cases[i].how, &s, &err);
        assert_int_equal(rc, cases[i].hex ? 0 : -HC_EFORMAT);
        if (!cases[i].hex)
            continue;
        hc_serial_hex(&s, hex);
        assert_string_equal(hex, cases[i].hex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_lines_and_spaces),
        cmocka_unit_test(test_quotes_hold_commas_lines_and_quotes),
        cmocka_unit_test(test_what_is_no_csv_is_refused),
        cmocka_unit_test(test_a_row_is_bounded),
        cmocka_unit_test(test_without_memory_it_is_said),
        cmocka_unit_test(test_a_header_names_the_columns),
        cmocka_unit_test(test_a_row_is_no_header),
        cmocka_unit_test(test_digits_alone_are_read_only_where_it_is_said_how),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
