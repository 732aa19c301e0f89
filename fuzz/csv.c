/* CSV of `client import`: rows, header and serials. Rows of what was read, written anew with
 * quotes, have to come out the same. */
#include <stdlib.h>

#include "cli/import_csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void write_row(const hc_csv_row *row, hc_buf *out)
{
    for (size_t i = 0; i < row->count; i++) {
        must(hc_buf_add_text(out, i ? ",\"" : "\"") == 0);
        for (size_t k = 0; k < row->field[i].size; k++) {
            if (row->field[i].at[k] == '"')
                must(hc_buf_add_byte(out, '"') == 0);
            must(hc_buf_add_byte(out, row->field[i].at[k]) == 0);
        }
        must(hc_buf_add_byte(out, '"') == 0);
    }
    must(hc_buf_add_byte(out, '\n') == 0);
}

static void same_when_quoted(const hc_csv_row *row)
{
    hc_buf text = hc_buf_init((size_t)4 * HC_LIMIT_CSV_ROW);
    hc_csv again;
    hc_csv_row copy;
    hc_err err = {0};
    write_row(row, &text);
    hc_csv_init(&again, hc_buf_slice(&text));
    must(hc_csv_next(&again, &copy, &err) == 1);
    must(copy.count == row->count);
    for (size_t i = 0; i < row->count; i++)
        must(hc_slice_equal(copy.field[i], row->field[i]));
    hc_csv_done(&again);
    hc_buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hc_csv csv;
    hc_csv_row row;
    hc_csv_columns columns;
    hc_serial serial;
    bool is_header;
    hc_err err = {0};
    hc_csv_init(&csv, hc_slice_of(data, size));
    size_t line = 0;
    int rc;
    while ((rc = hc_csv_next(&csv, &row, &err)) == 1) {
        must(row.count > 0 && row.line > line);
        line = row.line;
        (void)!hc_csv_header(&row, &columns, &is_header, &err);
        for (size_t i = 0; i < row.count; i++)
            (void)!hc_csv_serial(row.field[i], (hc_serials)(i % 3), &serial, &err);
        same_when_quoted(&row);
    }
    must(rc == 0 || err.text[0]);
    hc_csv_done(&csv);
    return 0;
}
