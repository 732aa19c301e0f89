/* The authority's process, started by the supervisor: registry, state folder, log level, text or
 * json. */
#include "cli/command.h"
#include "server/authority_main.h"

static int run(const hc_command *self, int argc, char **argv)
{
    hc_authority_config config = {.log_level = HC_LOG_INFO};
    hc_err err = {0};
    if (argc != 4 || !hc_log_level_parse(hc_slice_text(argv[2]), &config.log_level)) {
        (void)hc_err_set(&err, HC_EINVAL, "`handclasp serve` starts it");
        return hc_report(self, false, true, &err);
    }
    config.registry = argv[0];
    config.state = argv[1];
    config.log_json = strcmp(argv[3], "json") == 0;
    return hc_authority_main(&config);
}

const hc_command hc_cmd_authority = {
    .name = "authority",
    .synopsis = "",
    .summary = "what writes the registry of a running server",
    .about = "Started by `handclasp serve`.",
    .run = run,
    .hidden = true,
};
