/* The commands of the program: one table, one file cmd_….c for each.
 *
 * A command says what it is, so that help, the manual and the parser agree; `run` gets the
 * arguments behind its name and returns the exit code: 0 done, 1 refused or not found, 2 usage.
 * Results go to standard output, an error is one line on standard error (with --json an object on
 * standard output). A command may be a group of others, which have its name before their own.
 * Single-threaded; the only place beside server/ that prints. */
#ifndef HC_CLI_COMMAND_H
#define HC_CLI_COMMAND_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "server/options_parse.h"

enum { HC_EXIT_DONE = 0, HC_EXIT_NO = 1, HC_EXIT_USAGE = 2 };

/* What most commands take; the first member of the arguments of a command that runs by
 * hc_command_main. */
typedef struct hc_common_args {
    char *state, *config, *registry;
    bool json, help;
} hc_common_args;

#define HC_COMMON_AT(member)                                                                       \
    .offset = offsetof(hc_common_args, member), .size = sizeof(((hc_common_args *)0)->member)

/* The entries of these, for a command's table. */
#define HC_ANSWER_OPTIONS                                                                          \
    {.name = "json",                                                                               \
     .type = HC_OPTION_SWITCH,                                                                     \
     .flags = HC_OPTION_FLAG_ONLY,                                                                 \
     HC_COMMON_AT(json),                                                                           \
     .help = "Answer and report errors as one JSON object."},                                      \
    {                                                                                              \
        .name = "help", .letter = 'h', .type = HC_OPTION_SWITCH,                                   \
        .flags = HC_OPTION_FLAG_ONLY | HC_OPTION_STOPS, HC_COMMON_AT(help),                        \
        .help = "Say what the options are."                                                        \
    }
#define HC_SERVER_OPTIONS                                                                          \
    {.name = "state",                                                                              \
     .type = HC_OPTION_TEXT,                                                                       \
     HC_COMMON_AT(state),                                                                          \
     .value = "DIR",                                                                               \
     .initial_help = ".handclasp",                                                                 \
     .help = "The server's state folder."},                                                        \
    {                                                                                              \
        .name = "config", .letter = 'c', .type = HC_OPTION_TEXT, HC_COMMON_AT(config),             \
        .value = "FILE", .initial_help = "handclasp.yaml in the state folder, where there is one", \
        .help = "The server's options."                                                            \
    }
#define HC_REGISTRY_OPTION                                                                         \
    {                                                                                              \
        .name = "registry", .type = HC_OPTION_TEXT, HC_COMMON_AT(registry), .value = "URL",        \
        .initial_help = "the server's", .help = "Where the records are: sqlite:PATH."              \
    }

typedef struct hc_command {
    const char *name;            /* "init"; of a group's command "client issue" */
    const char *synopsis;        /* "[OPTION]... MODULE:APP" */
    const char *summary;         /* half a line, for the list of commands */
    const char *about;           /* paragraphs, separated by an empty line; for help and manual */
    const char *examples;        /* lines, or NULL */
    const char *files;           /* paragraphs, or NULL */
    hc_options (*options)(void); /* NULL: none */
    int (*run)(const struct hc_command *self, int argc, char **argv);
    /* With `run` hc_command_main: what to do with the arguments, of `args_size` octets, and what to
     * say where the positional one is missing (NULL: it may be). An exit code, or an error for
     * hc_command_main to report. */
    int (*act)(void *args, hc_err *err);
    size_t args_size;
    const char *missing;
    const struct hc_command *const *commands; /* of a group, with `run` hc_group_main; NULL ends */
    bool hidden;
} hc_command;

extern const hc_command hc_cmd_init;
extern const hc_command hc_cmd_serve;
extern const hc_command hc_cmd_check_config;
extern const hc_command hc_cmd_inspect;
extern const hc_command hc_cmd_explain;
extern const hc_command hc_cmd_status;
extern const hc_command hc_cmd_reload;
extern const hc_command hc_cmd_version;
extern const hc_command hc_cmd_help;
extern const hc_command hc_cmd_front;
extern const hc_command hc_cmd_authority;
extern const hc_command hc_cmd_manual;
extern const hc_command hc_cmd_audit;
extern const hc_command hc_cmd_ca;
extern const hc_command hc_cmd_ca_show;
extern const hc_command hc_cmd_ca_sign;
extern const hc_command hc_cmd_ca_crl;
extern const hc_command hc_cmd_ca_rotate;
extern const hc_command hc_cmd_ca_csr;
extern const hc_command hc_cmd_ca_import;
extern const hc_command hc_cmd_ca_retire;
extern const hc_command hc_cmd_ca_encrypt;
extern const hc_command hc_cmd_client;
extern const hc_command hc_cmd_client_issue;
extern const hc_command hc_cmd_client_renew;
extern const hc_command hc_cmd_client_list;
extern const hc_command hc_cmd_client_show;
extern const hc_command hc_cmd_client_import;
extern const hc_command hc_cmd_client_suspend;
extern const hc_command hc_cmd_client_resume;
extern const hc_command hc_cmd_client_revoke;
extern const hc_command hc_cmd_client_role;
extern const hc_command hc_cmd_client_attribute;
extern const hc_command hc_cmd_client_remove;
extern const hc_command hc_cmd_client_export;

/* NULL where there is none; of the table alone, hidden ones too. */
const hc_command *hc_command_find(const char *name);
/* The n-th, NULL behind the last. */
const hc_command *hc_command_at(size_t n);

/* Of a group; NULL where it has none of that name, or is no group. */
const hc_command *hc_command_in(const hc_command *group, const char *name);
/* The n-th of the table with a group's own behind the group, hidden ones left out. */
const hc_command *hc_command_visible(size_t n);

/* Parses, acts, reports. */
int hc_command_main(const hc_command *self, int argc, char **argv);
/* Finds the command of the group and runs it; without one, says which there are. */
int hc_group_main(const hc_command *self, int argc, char **argv);

/* --help of one command, of the program; the manual page. Returns an exit code. */
int hc_command_help(const hc_command *c);
int hc_program_help(void);
/* "client-issue": as the page of the manual is named. */
#define HC_COMMAND_PAGE_BYTES 48
void hc_command_page(const hc_command *c, char out[HC_COMMAND_PAGE_BYTES]);
int hc_command_manual(const hc_command *c, hc_buf *out) HC_MUST_CHECK;
int hc_program_manual(hc_buf *out) HC_MUST_CHECK;

/* Prints what `err` says, as one line or as an object; returns 2 for -HC_EINVAL where `usage`,
 * else 1. */
int hc_report(const hc_command *c, bool json, bool usage, const hc_err *err);
/* Prints and frees; returns 0, or 1 where standard output cannot be written. */
int hc_print_json(json_t *object);
int hc_print(const hc_buf *text);
/* Whether --json is among the arguments, for errors found before they could be parsed. */
bool hc_wants_json(int argc, char **argv);

/* Flags into `target` by the command's table (its defaults first). -1: go on; else the exit code:
 * help was asked for
 * (`help` is set in the target) or an error was reported. */
int hc_command_parse(const hc_command *c, int argc, char **argv, void *target, const bool *help);

#endif
