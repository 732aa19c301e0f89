/* `check-config` and `serve --check-config`. */
#ifndef HC_CLI_CHECK_CONFIG_H
#define HC_CLI_CHECK_CONFIG_H

#include "cli/command.h"
#include "server/options.h"

/* Starts everything but the sockets, then says what would be in force. Returns an exit code. */
int hc_check_config(const hc_command *self, const hc_serve_args *args);

/* Settings of the same value, resolved; `s` itself stays as it was given, for a later reload. */
int hc_resolved_copy(const hc_settings *s, hc_settings *out, hc_err *err) HC_MUST_CHECK;

#endif
