/* What the commands below `ca` share: the state folder's CAs, locked, and the passphrase of their
 * keys. */
#ifndef HC_CLI_CA_FOLDER_H
#define HC_CLI_CA_FOLDER_H

#include "authority/ca.h"
#include "cli/issuing.h"

/* The first member of the arguments of such a command. */
typedef struct hc_ca_args {
    hc_common_args common;
    char *ca_passphrase_file;
} hc_ca_args;

#define HC_CA_AT(member)                                                                           \
    .offset = offsetof(hc_ca_args, member), .size = sizeof(((hc_ca_args *)0)->member)
#define HC_CA_OPTIONS                                                                              \
    HC_CA_PASSPHRASE_OPTION(HC_CA_AT(ca_passphrase_file)), HC_SERVER_OPTIONS, HC_ANSWER_OPTIONS

typedef struct hc_ca_folder {
    hc_serve_args server; /* as `serve` would have them */
    hc_keystore store;
    hc_secret passphrase;
} hc_ca_folder;

int hc_ca_folder_open(const hc_ca_args *a, hc_ca_folder *out, hc_err *err) HC_MUST_CHECK;
void hc_ca_folder_close(hc_ca_folder *f);

/* The active CA after a change: {"ca": FILE, "subject", "fingerprint_sha256", "not_after"}, or a
 * line that begins with `what`; `next` is what is left to do, and may be NULL. An exit code. */
int hc_ca_folder_tell(const hc_ca_args *a, const hc_ca_folder *f, const char *what,
                      const char *next, hc_err *err) HC_MUST_CHECK;
/* A row of the audit, where there is a registry: who did this to which CA. After the change, since
 * no transaction has both; a run that is repeated writes what a killed one did not. */
int hc_ca_folder_note(const hc_ca_args *a, const hc_ca_folder *f, const char *action,
                      const char *stem, hc_err *err) HC_MUST_CHECK;
/* A file that a person named, or "-": standard input. */
int hc_read_input(const char *path, size_t limit_bytes, hc_buf *out, hc_err *err) HC_MUST_CHECK;

#endif
