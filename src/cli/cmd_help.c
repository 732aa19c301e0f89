#include <stdio.h>

#include "cli/command.h"

static int run(const hc_command *self, int argc, char **argv)
{
    (void)self;
    if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
        return hc_program_help();
    const hc_command *c = hc_command_find(argv[0]);
    const char *wanted = argv[0];
    if (c && argc > 1)
        c = hc_command_in(c, wanted = argv[1]);
    if (c && !c->hidden)
        return hc_command_help(c);
    (void)fprintf(
        stderr,
        "handclasp help: there is no command \"%.60s\"; `handclasp help` lists the commands\n",
        wanted);
    return HC_EXIT_USAGE;
}

const hc_command hc_cmd_help = {
    .name = "help",
    .synopsis = "[COMMAND [COMMAND]]",
    .summary = "say what the commands are, or what one does",
    .about = "Without COMMAND, lists the commands.",
    .run = run,
};
