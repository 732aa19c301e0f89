#include "cli/import_csv.h"

#include "base/str.h"

void hc_csv_init(hc_csv *c, hc_slice text)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    bool marked = hc_slice_starts_with(text, hc_slice_of(mark, sizeof(mark)));
    *c = (hc_csv){marked ? hc_slice_from(text, sizeof(mark)) : text, 1,
                  hc_buf_init(HC_LIMIT_CSV_ROW)};
}

void hc_csv_done(hc_csv *c)
{
    hc_buf_done(&c->text);
}

/* LF, CR LF or, as old spreadsheets write it, CR alone. */
static bool at_line_end(hc_slice rest)
{
    return rest.size == 0 || rest.at[0] == '\n' || rest.at[0] == '\r';
}

static void skip_line_end(hc_csv *c)
{
    if (c->rest.size == 0)
        return;
    bool two = c->rest.at[0] == '\r' && c->rest.size > 1 && c->rest.at[1] == '\n';
    c->rest = hc_slice_from(c->rest, two ? 2 : 1);
    c->line++;
}

static void skip_blank(hc_csv *c)
{
    while (c->rest.size && (c->rest.at[0] == ' ' || c->rest.at[0] == '\t'))
        c->rest = hc_slice_from(c->rest, 1);
}

static int keep(hc_csv *c, uint8_t byte, hc_err *err)
{
    int rc = hc_buf_add_byte(&c->text, byte);
    if (rc == -HC_ELIMIT)
        return hc_err_set(err, HC_ELIMIT, "a row of more than %u octets", HC_LIMIT_CSV_ROW);
    return rc == 0 ? 0 : hc_err_set(err, HC_ENOMEM, "out of memory");
}

/* Behind the first quote; two quotes are one. */
static int read_quoted(hc_csv *c, hc_err *err)
{
    int rc = 0;
    while (rc == 0) {
        if (c->rest.size == 0)
            return hc_err_set(err, HC_EFORMAT, "a quote is not closed");
        uint8_t byte = c->rest.at[0];
        bool doubled = byte == '"' && c->rest.size > 1 && c->rest.at[1] == '"';
        c->rest = hc_slice_from(c->rest, doubled ? 2 : 1);
        if (byte == '"' && !doubled)
            break;
        if (byte == '\n')
            c->line++;
        rc = keep(c, byte, err);
    }
    if (rc == 0)
        skip_blank(c);
    if (rc == 0 && !at_line_end(c->rest) && c->rest.at[0] != ',')
        rc = hc_err_set(err, HC_EFORMAT, "a comma is wanted behind a closing quote");
    return rc;
}

static int read_plain(hc_csv *c, hc_err *err)
{
    int rc = 0;
    size_t begin = c->text.size;
    while (rc == 0 && !at_line_end(c->rest) && c->rest.at[0] != ',') {
        if (c->rest.at[0] == '"')
            return hc_err_set(err, HC_EFORMAT,
                              "a quote within a field; write it twice, and quotes around it");
        rc = keep(c, c->rest.at[0], err);
        c->rest = hc_slice_from(c->rest, 1);
    }
    while (c->text.size > begin &&
           (c->text.at[c->text.size - 1] == ' ' || c->text.at[c->text.size - 1] == '\t'))
        c->text.size--;
    return rc;
}

static int read_field(hc_csv *c, hc_err *err)
{
    skip_blank(c);
    if (c->rest.size == 0 || c->rest.at[0] != '"')
        return read_plain(c, err);
    c->rest = hc_slice_from(c->rest, 1);
    return read_quoted(c, err);
}

/* The row's text may move while it grows, so that fields are made slices at its end. */
static int read_row(hc_csv *c, hc_csv_row *out, hc_err *err)
{
    size_t end[HC_LIMIT_CSV_FIELDS] = {0};
    int rc = 0;
    for (;;) {
        if (out->count == HC_LIMIT_CSV_FIELDS)
            return hc_err_set(err, HC_ELIMIT, "more than %d fields", HC_LIMIT_CSV_FIELDS);
        rc = read_field(c, err);
        if (rc != 0)
            return rc;
        end[out->count++] = c->text.size;
        if (at_line_end(c->rest))
            break;
        c->rest = hc_slice_from(c->rest, 1); /* the comma */
    }
    skip_line_end(c);
    for (size_t i = 0; i < out->count; i++) {
        size_t begin = i ? end[i - 1] : 0;
        out->field[i] =
            end[i] > begin ? hc_slice_of(c->text.at + begin, end[i] - begin) : HC_SLICE_NONE;
        if (hc_slice_find(out->field[i], 0) >= 0 || !hc_utf8_valid(out->field[i]))
            return hc_err_set(err, HC_EFORMAT, "field %zu is not UTF-8 text", i + 1);
    }
    return 1;
}

int hc_csv_next(hc_csv *c, hc_csv_row *out, hc_err *err)
{
    for (;;) {
        *out = (hc_csv_row){.count = 0, .line = c->line};
        hc_buf_clear(&c->text);
        if (c->rest.size == 0)
            return 0;
        int rc = read_row(c, out, err);
        bool blank = rc == 1 && out->count == 1 && out->field[0].size == 0;
        if (!blank)
            return rc;
    }
}

static int take(int *column, size_t index, const char *name, hc_err *err)
{
    if (*column >= 0)
        return hc_err_set(err, HC_EFORMAT, "the column %s stands there twice", name);
    *column = (int)index;
    return 0;
}

int hc_csv_header(const hc_csv_row *row, hc_csv_columns *out, bool *is_header, hc_err *err)
{
    hc_csv_columns found = {-1, -1, -1, -1, HC_SERIALS_UNKNOWN};
    static const char *const serials[] = {"serial", "serial_hex", "serial_decimal"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < row->count; i++) {
        hc_slice field = row->field[i];
        if (hc_slice_equal_nocase(field, HC_SLICE_LITERAL("name")))
            rc = take(&found.name, i, "name", err);
        else if (hc_slice_equal_nocase(field, HC_SLICE_LITERAL("issuer")))
            rc = take(&found.issuer, i, "issuer", err);
        else if (hc_slice_equal_nocase(field, HC_SLICE_LITERAL("roles")))
            rc = take(&found.roles, i, "roles", err);
        for (size_t n = 0; rc == 0 && n < HC_COUNT(serials); n++) {
            if (!hc_slice_equal_nocase(field, hc_slice_text(serials[n])))
                continue;
            rc = take(&found.serial, i, "serial", err);
            found.serials = (hc_serials)n;
        }
    }
    *is_header = found.serial >= 0;
    if (rc == 0 && *is_header && found.name < 0)
        rc = hc_err_set(err, HC_EFORMAT, "the header has no column name");
    if (rc == 0 && *is_header)
        *out = found;
    return rc;
}

/* More than one digit, none of them a letter, and no spelling that says which. */
static bool could_be_both(hc_slice text)
{
    if (text.size && text.at[0] == '-')
        text = hc_slice_from(text, 1);
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
    while (text.size && text.at[0] == '0')
        text = hc_slice_from(text, 1);
    return text.size > 1;
}

/* Letters, and nothing that says hex: of a column that is said to be decimal. */
static bool is_bare_hex(hc_slice text)
{
    bool letters = false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == ':' || (text.at[i] | 0x20) == 'x')
            return false;
        letters = letters || hc_hex_digit(text.at[i]) > 9;
    }
    return letters;
}

int hc_csv_serial(hc_slice text, hc_serials how, hc_serial *out, hc_err *err)
{
    text = hc_slice_trim(text);
    if (how == HC_SERIALS_UNKNOWN && could_be_both(text))
        return hc_err_set(err, HC_EFORMAT,
                          "the serial is digits alone: --serials hex or --serials decimal says how "
                          "to read it");
    if (how == HC_SERIALS_DECIMAL && is_bare_hex(text))
        return hc_err_set(err, HC_EFORMAT,
                          "the serial is not decimal, as it is said to be: in hex it begins with "
                          "0x or has colons");
    int rc = hc_serial_parse(text, how == HC_SERIALS_DECIMAL, out, err);
    if (rc == -HC_EINVAL && err)
        err->code = HC_EFORMAT;
    return rc == -HC_EINVAL ? -HC_EFORMAT : rc;
}
