/* The settings that `serve` would have: found by the same flags, variables and file. */
#ifndef HC_CLI_SERVER_ARGS_H
#define HC_CLI_SERVER_ARGS_H

#include "cli/command.h"
#include "server/options.h"

/* `more` is flags and their values in turn; NULL: none. */
int hc_server_args(const hc_common_args *common, const hc_strings *more, hc_serve_args *out,
                   hc_err *err) HC_MUST_CHECK;

#endif
