/* The options of `serve` and `check-config`: where they come from, in which order, and what follows
 * from them.
 *
 * Flags win over HANDCLASP_… variables, these over the file (-c, or handclasp.yaml in the state
 * folder), that over the defaults. A list given on one level replaces the list of the levels below.
 * One table (options_table.c) feeds the flag parser, the environment, the file, --help, the manual
 * page, the sample file and the text that goes to the front process. Used by one thread, at start
 * and on reload; reads files, so it may block. */
#ifndef HC_SERVER_OPTIONS_H
#define HC_SERVER_OPTIONS_H

#include "server/options_parse.h"
#include "server/settings.h"

typedef struct hc_serve_args {
    hc_settings settings;
    bool json;    /* the command's own output as JSON; log lines have --log-format */
    bool help;    /* print help and do nothing */
    char *config; /* -c; NULL: <state>/handclasp.yaml where there is one */
    int *lanes;   /* inherited socketpairs: the calling process serves them as the only worker; no
                     other is started */
    size_t lane_count;
    int parent_fd; /* -1, or: end when it reads end-of-file; a line is written to it once requests
                      are accepted */
    hc_strings
        notices;      /* lines for the log at start: options without effect, suspicious variables */
    hc_strings flags; /* the command line as given, for the next reload */
} hc_serve_args;

/* All four levels; `argv` without the command's name. Every error is -HC_EINVAL with one line that
 * names the option, what is wrong and what is allowed; `out` then holds nothing. `environment` is
 * environ; NULL: none. */
int hc_serve_args_parse(int argc, char *const *argv, char *const *environment, hc_serve_args *out,
                        hc_err *err) HC_MUST_CHECK;
/* For a reload: the same flags and variables, the file as it is now. Settings that cannot change
 * while serving keep their value; where they differ, `out->notices` says that a restart is needed.
 */
int hc_serve_args_again(const hc_serve_args *running, char *const *environment, hc_serve_args *out,
                        hc_err *err) HC_MUST_CHECK;
void hc_serve_args_done(hc_serve_args *a);

/* The defaults alone, as `serve` without options, flags and file has them. */
int hc_settings_defaults(hc_settings *out, hc_err *err) HC_MUST_CHECK;

/* The state folder rule: certificate, key and CAs come from <state>/server and <state>/ca where no
 * option names them; a key that is not named is looked for in --certfile. Makes paths absolute, so
 * that --chdir does not change their meaning. Fails closed: no certificate, or no CA under a mode
 * that asks clients for one, is an error that says what to do. */
int hc_settings_resolve(hc_settings *s, hc_err *err) HC_MUST_CHECK;
/* Reads what a resolved `s` names, each file at most HC_LIMIT_PEM_FILE_BYTES, regular files alone.
 * `warnings` (may be NULL) gets a line for a key that others can read. */
int hc_files_load(const hc_settings *s, hc_files *out, hc_strings *warnings,
                  hc_err *err) HC_MUST_CHECK;

/* The CAs alone, likewise, for a command that decides about clients and serves nobody. */
int hc_settings_resolve_trust(hc_settings *s, hc_err *err) HC_MUST_CHECK;
/* CAs and CRLs alone. */
int hc_files_load_trust(const hc_settings *s, hc_files *out, hc_err *err) HC_MUST_CHECK;

/* As bytes, for another process of the same version, and back. Decoding replaces all of `out`
 * (which must be empty or valid); trailing or unknown bytes are -HC_EFORMAT. */
int hc_settings_encode(const hc_settings *s, hc_buf *out, hc_err *err) HC_MUST_CHECK;
int hc_settings_decode(hc_slice in, hc_settings *out, hc_err *err) HC_MUST_CHECK;

/* The table of `serve` (offsets into hc_serve_args). */
hc_options hc_serve_options(void);

#endif
