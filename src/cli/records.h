/* Records of clients for commands: the registry that a state folder names, and its rows as JSON and
 * as lines for a person.
 *
 * Names come from certificates and files: in lines they are escaped, so that none can move a
 * cursor or forge a line. */
#ifndef HC_CLI_RECORDS_H
#define HC_CLI_RECORDS_H

#include "cli/server_args.h"
#include "registry/change.h"

typedef struct hc_records {
    hc_serve_args server; /* as `serve` would have them */
    hc_registry *registry;
    hc_actor actor; /* whoever runs the command */
    char who[300];
} hc_records;

/* Finds the registry as `serve` does, never by guessing: none is an error that says what to do. */
int hc_records_open(const hc_common_args *common, hc_registry_access access, hc_records *out,
                    hc_err *err) HC_MUST_CHECK;
void hc_records_close(hc_records *r);
/* The end of a change: `rc` as it is, with the transaction rolled back, where it is negative or
 * this is a dry run; else commits. */
int hc_records_end(hc_records *r, int rc, bool dry_run, hc_err *err) HC_MUST_CHECK;
/* For the audit: "uid 0 (root)". */
void hc_actor_of_process(char *who, size_t size_bytes, hc_actor *out);

/* A row by its id; -HC_ENOENT where it is gone. `each` gets it. */
int hc_records_client(hc_registry *r, int64_t id, hc_client_each each, void *arg,
                      hc_err *err) HC_MUST_CHECK;

/* NULL without memory. */
json_t *hc_client_json(const hc_client_row *row);
json_t *hc_certificate_row_json(const hc_certificate_row *row);
json_t *hc_audit_json(const hc_audit_row *row);
/* A text that may not be UTF-8, which JSON is. */
json_t *hc_text_json(hc_slice text);
/* An array of what has spaces between. */
json_t *hc_words_json(hc_slice words);

/* The member's text; of an array its texts with spaces between them; "" where it is null. */
typedef struct hc_column {
    const char *title, *member;
} hc_column;
int hc_table_add(hc_buf *out, const json_t *rows, const hc_column *columns,
                 size_t count) HC_MUST_CHECK;
int hc_client_lines(const json_t *client, hc_buf *out) HC_MUST_CHECK;
int hc_certificate_lines(const json_t *certificate, hc_buf *out) HC_MUST_CHECK;
int hc_audit_line(const json_t *row, hc_buf *out) HC_MUST_CHECK;
/* A text escaped, a number, the values of an array with spaces between them, an object as JSON. */
int hc_value_add(hc_buf *out, const json_t *value) HC_MUST_CHECK;

#endif
