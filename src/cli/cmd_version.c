#include <openssl/crypto.h>

#include "cli/command.h"

typedef struct version_args {
    bool json, help;
} version_args;

static const hc_option table[] = {
    {.name = "json",
     .type = HC_OPTION_SWITCH,
     .offset = offsetof(version_args, json),
     .size = sizeof(bool),
     .flags = HC_OPTION_FLAG_ONLY,
     .help = "Answer as one JSON object."},
    {.name = "help",
     .letter = 'h',
     .type = HC_OPTION_SWITCH,
     .offset = offsetof(version_args, help),
     .size = sizeof(bool),
     .flags = HC_OPTION_FLAG_ONLY | HC_OPTION_STOPS,
     .help = "Say what the options are."},
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int run(const hc_command *self, int argc, char **argv)
{
    version_args a = {0};
    hc_buf out = hc_buf_init(1024);
    int rc = hc_command_parse(self, argc, argv, &a, &a.help);
    if (rc >= 0)
        return rc;
    if (a.json)
        return hc_print_json(json_pack("{s:s, s:s}", "handclasp", HC_VERSION, "openssl",
                                       OpenSSL_version(OPENSSL_VERSION)));
    rc = hc_buf_printf(&out, "handclasp %s (%s)\n", HC_VERSION, OpenSSL_version(OPENSSL_VERSION));
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

const hc_command hc_cmd_version = {
    .name = "version",
    .synopsis = "[OPTION]...",
    .summary = "say which version this is",
    .about = "The version of the program, and of the OpenSSL that it runs with.",
    .options = options,
    .run = run,
};
