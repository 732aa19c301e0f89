#include "cli/command.h"

static const hc_command *const commands[] = {
    &hc_cmd_ca_show,   &hc_cmd_ca_sign,    &hc_cmd_ca_crl,
    &hc_cmd_ca_rotate, &hc_cmd_ca_csr,     &hc_cmd_ca_import,
    &hc_cmd_ca_retire, &hc_cmd_ca_encrypt, NULL,
};

const hc_command hc_cmd_ca = {
    .name = "ca",
    .synopsis = "COMMAND [OPTION]...",
    .summary = "the CA that issues clients' certificates",
    .about =
        "The state folder has one CA that issues, ca/ca.pem with ca/ca.key, and beside it those "
        "that issued before, ca/old-N.pem with their keys, which are trusted until they are "
        "retired. `handclasp init` makes the first one.\n\n"
        "Commands that change a CA are finished or not made, whatever kills them. A server that "
        "is running takes the change over with `handclasp reload`.",
    .examples = "  handclasp ca show\n"
                "  handclasp ca sign meter-17.csr --name meter-17 --out meter-17.pem\n"
                "  handclasp ca rotate\n",
    .commands = commands,
    .run = hc_group_main,
};
