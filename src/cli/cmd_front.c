/* The front's process, started by the supervisor. */
#include "cli/command.h"
#include "server/front_main.h"

static int run(const hc_command *self, int argc, char **argv)
{
    (void)self;
    (void)argc;
    (void)argv;
    return hc_front_main(HC_FRONT_CONTROL_FD);
}

const hc_command hc_cmd_front = {
    .name = "front",
    .synopsis = "",
    .summary = "the front of a running server",
    .about = "Started by `handclasp serve`.",
    .run = run,
    .hidden = true,
};
