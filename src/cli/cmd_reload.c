#include "cli/server_call.h"

#include <stdio.h>

static const hc_option table[] = {HC_SERVER_CALL_OPTIONS(
    "5m", "How long to wait for the outcome. 0: without bound. The reload goes on all the same.")};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int say_outcome(const hc_command *self, bool json, json_t *answer)
{
    hc_err err = {0};
    bool ok = json_is_true(json_object_get(answer, "ok"));
    const char *why = json_string_value(json_object_get(answer, "error"));
    if (json) {
        int rc = hc_print_json(answer);
        return ok ? rc : HC_EXIT_NO;
    }
    if (ok)
        (void)printf("Reloaded: the new configuration is in force, and new workers serve.\n");
    else
        (void)hc_err_set(&err, HC_EDENIED, "refused: %s", why ? why : "the server's log says why");
    json_decref(answer);
    return ok ? HC_EXIT_DONE : hc_report(self, false, false, &err);
}

static int run(const hc_command *self, int argc, char **argv)
{
    hc_server_call call = {0};
    json_t *answer = NULL;
    hc_err err = {0};
    int rc = hc_command_parse(self, argc, argv, &call, &call.help);
    if (rc < 0 && hc_server_say(&call, "reload", &answer, &err) != 0)
        rc = hc_report(self, call.json, true, &err);
    else if (rc < 0)
        rc = say_outcome(self, call.json, answer);
    hc_options_done(options(), &call);
    return rc;
}

const hc_command hc_cmd_reload = {
    .name = "reload",
    .synopsis = "[OPTION]...",
    .summary = "make a running server read its options and certificates again",
    .about =
        "Does what SIGHUP does, and waits for the outcome. Options, certificates, CAs and CRLs are "
        "read again; where anything is wrong with them what was in force stays, and the reason is "
        "said here and in the log. New workers are started beside the old ones and take over when "
        "all of them are ready. No connection is closed and no request is lost.",
    .examples = "  handclasp reload\n"
                "  handclasp reload --state /var/lib/handclasp/shop\n",
    .options = options,
    .run = run,
};
