/* The commands of the program: one table, one file cmd_….c for each.
 *
 * A command says what it is, so that help, the manual and the parser agree; `run` gets the
 * arguments behind its name and returns the exit code: 0 done, 1 refused or not found, 2 usage.
 * Results go to standard output, an error is one line on standard error (with --json an object on
 * standard output). Single-threaded; the only place beside server/ that prints. */
#ifndef HC_CLI_COMMAND_H
#define HC_CLI_COMMAND_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "server/options_parse.h"

enum { HC_EXIT_DONE = 0, HC_EXIT_NO = 1, HC_EXIT_USAGE = 2 };

typedef struct hc_command {
    const char *name;
    const char *synopsis;        /* "[OPTION]... MODULE:APP" */
    const char *summary;         /* half a line, for the list of commands */
    const char *about;           /* paragraphs, separated by an empty line; for help and manual */
    const char *examples;        /* lines, or NULL */
    const char *files;           /* paragraphs, or NULL */
    hc_options (*options)(void); /* NULL: none */
    int (*run)(const struct hc_command *self, int argc, char **argv);
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

/* NULL where there is none; of the table alone, hidden ones too. */
const hc_command *hc_command_find(const char *name);
/* The n-th, NULL behind the last. */
const hc_command *hc_command_at(size_t n);

/* --help of one command, of the program; the manual page. Returns an exit code. */
int hc_command_help(const hc_command *c);
int hc_program_help(void);
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
