/* One change for many clients, as one transaction: selected, changed, said.
 *
 * A dry run does the same and takes it back, so that it says exactly what would happen. */
#ifndef HC_CLI_BULK_H
#define HC_CLI_BULK_H

#include "cli/selection.h"

/* The first member of the arguments of such a command. */
typedef struct hc_bulk_args {
    hc_filtered_args filtered;
    hc_strings who;
    char *from;
    bool dry_run;
} hc_bulk_args;

#define HC_BULK_AT(member)                                                                         \
    .offset = offsetof(hc_bulk_args, member), .size = sizeof(((hc_bulk_args *)0)->member)
#define HC_BULK_WHO(text)                                                                          \
    {                                                                                              \
        .name = "client", .type = HC_OPTION_LIST,                                                  \
        .flags = HC_OPTION_POSITIONAL | HC_OPTION_REPEATABLE, .max = 100000, HC_BULK_AT(who),      \
        .value = "CLIENT", .help = text                                                            \
    }
#define HC_BULK_OPTIONS                                                                            \
    {.name = "from",                                                                               \
     .type = HC_OPTION_TEXT,                                                                       \
     HC_BULK_AT(from),                                                                             \
     .value = "FILE",                                                                              \
     .help = "Those that stand in this file, one a line; lines that begin with # are skipped."},   \
        {.name = "dry-run",                                                                        \
         .type = HC_OPTION_SWITCH,                                                                 \
         .flags = HC_OPTION_FLAG_ONLY,                                                             \
         HC_BULK_AT(dry_run),                                                                      \
         .help = "Say what would be changed, and change nothing."},                                \
        HC_FILTER_OPTIONS, HC_SERVER_OPTIONS, HC_REGISTRY_OPTION, HC_ANSWER_OPTIONS

typedef struct hc_bulk {
    const char *member; /* of hc_client_json: shown before and after; of a certificate its status */
    bool certificates;  /* a serial or fingerprint means that certificate, not its client */
    int (*change)(void *arg, hc_records *r, const hc_target *t, hc_err *err);
    void *arg;
} hc_bulk;

/* Says "alice: active -> suspended" for each, or {"dry_run", "clients": [{"client", "certificate",
 * "changed", "was", "now"}]}. */
int hc_bulk_run(const hc_bulk_args *a, const hc_bulk *what, hc_err *err) HC_MUST_CHECK;

#endif
