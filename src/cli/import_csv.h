/* CSV as RFC 4180 has it, row by row; and what its columns mean to `client import`.
 *
 * Pure: bytes in, rows out. Stricter than most: a quote within an unquoted field, a NUL octet and
 * what is not UTF-8 are errors. Lines end with LF or CRLF; empty ones are skipped, and spaces
 * around an unquoted field. */
#ifndef HC_CLI_IMPORT_CSV_H
#define HC_CLI_IMPORT_CSV_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "x509/serial.h"

typedef struct hc_csv {
    hc_slice rest;
    size_t line; /* that `rest` begins with */
    hc_buf text; /* of the row at hand */
} hc_csv;

typedef struct hc_csv_row {
    hc_slice field[HC_LIMIT_CSV_FIELDS]; /* until the next row */
    size_t count;
    size_t line; /* where it begins */
} hc_csv_row;

/* Skips a byte order mark. */
void hc_csv_init(hc_csv *c, hc_slice text);
void hc_csv_done(hc_csv *c);
/* 1: a row; 0: the end; -HC_EFORMAT or -HC_ELIMIT with what is wrong, `out->line` says where. */
int hc_csv_next(hc_csv *c, hc_csv_row *out, hc_err *err) HC_MUST_CHECK;

/* How a serial is written that is digits alone. */
typedef enum hc_serials { HC_SERIALS_UNKNOWN, HC_SERIALS_HEX, HC_SERIALS_DECIMAL } hc_serials;

/* Which column is which: -1 where there is none. */
typedef struct hc_csv_columns {
    int name, issuer, serial, roles;
    hc_serials serials;
} hc_csv_columns;

/* A header line names its columns: name, issuer, serial (or serial_hex, serial_decimal), roles, in
 * any order and case; others are ignored. True where `row` is one. -HC_EFORMAT where it is one that
 * lacks name or serial, or has a column twice. */
int hc_csv_header(const hc_csv_row *row, hc_csv_columns *out, bool *is_header,
                  hc_err *err) HC_MUST_CHECK;
/* Digits alone are read as `how` says; -HC_EFORMAT where it says nothing and they could be both. */
int hc_csv_serial(hc_slice text, hc_serials how, hc_serial *out, hc_err *err) HC_MUST_CHECK;

#endif
