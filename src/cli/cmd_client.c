#include "cli/command.h"

static const hc_command *const commands[] = {
    &hc_cmd_client_issue,
    &hc_cmd_client_renew,
    &hc_cmd_client_list,
    &hc_cmd_client_show,
    &hc_cmd_client_import,
    &hc_cmd_client_suspend,
    &hc_cmd_client_resume,
    &hc_cmd_client_revoke,
    &hc_cmd_client_role,
    &hc_cmd_client_attribute,
    &hc_cmd_client_remove,
    &hc_cmd_client_export,
    NULL,
};

const hc_command hc_cmd_client = {
    .name = "client",
    .synopsis = "COMMAND [OPTION]...",
    .summary = "clients' records and their certificates",
    .about =
        "A client is a record in the registry: a name, a status, roles and attributes for the "
        "application, and any number of certificates. Whoever shows one of them comes in as that "
        "client, as long as record and certificate are active. A running server obeys a change "
        "within a second, also on connections that are open.\n\n"
        "Where a command takes a client, its name, the serial of one of its certificates in any "
        "spelling (hex in either case, with colons or 0x, decimal) or a SHA-256 fingerprint says "
        "which; name:, serial: or sha256: before the word says how it is meant. A word that means "
        "two things changes nothing: the error lists both.\n\n"
        "Each command is one transaction, with a row in the audit for every change.",
    .examples = "  handclasp client issue alice --role staff\n"
                "  handclasp client list --expiring 30d\n"
                "  handclasp client revoke alice --reason keyCompromise\n",
    .commands = commands,
    .run = hc_group_main,
};
