#include <stdio.h>

#include "cli/issuing.h"
#include "cli/selection.h"

typedef struct renew_args {
    hc_issue_args issue;
    char *who;
} renew_args;

#define AT(member) .offset = offsetof(renew_args, member), .size = sizeof(((renew_args *)0)->member)

static const hc_option table[] = {
    {.name = "client",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(who),
     .value = "CLIENT",
     .help = "A name, or the serial or fingerprint of the certificate to renew."},
    HC_ISSUE_OPTIONS("the one that the old certificate was made by"),
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct outcome {
    json_t *made, *found;
} outcome;

static void on_event(void *arg, hc_state_event event, const char *file, const char *host)
{
    outcome *o = arg;
    (void)host;
    if (event == HC_STATE_MADE)
        (void)json_array_append_new(o->made, json_string(file));
    if (event == HC_STATE_FOUND)
        (void)json_array_append_new(o->found, json_string(file));
}

static int print_outcome(const renew_args *a, const char *name, const char *state, const outcome *o)
{
    hc_buf out = hc_buf_init(1u << 16);
    size_t i;
    json_t *file;
    int rc = 0;
    if (a->issue.common.json)
        return hc_print_json(json_pack("{s:s, s:s, s:O, s:O}", "client", name, "state", state,
                                       "made", o->made, "found", o->found));
    json_array_foreach(o->made, i, file) if (rc == 0) rc =
        hc_buf_printf(&out, "made    %s/%s\n", state, json_string_value(file));
    if (rc == 0 && json_array_size(o->made) == 0)
        rc = hc_buf_printf(&out,
                           "%s was renewed already, and the certificate before is still good; "
                           "nothing was changed\n",
                           name);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

typedef struct owner {
    char name[HC_LIMIT_CLIENT_NAME + 1];
} owner;

static int on_client(void *arg, const hc_client_row *row)
{
    owner *o = arg;
    (void)snprintf(o->name, sizeof(o->name), "%.*s", HC_SLICE_ARGS(row->name));
    return 0;
}

static int find(const renew_args *a, hc_registry *r, owner *whose, hc_target *out, hc_err *err)
{
    int rc = hc_registry_begin(r, false, err);
    if (rc != 0)
        return rc;
    rc = hc_select_one(r, a->who, out, err);
    if (rc == 0)
        rc = hc_records_client(r, out->client_id, on_client, whose, err);
    hc_registry_rollback(r);
    return rc;
}

static int renew_one(const renew_args *a, hc_records *r, hc_err *err)
{
    owner whose = {""};
    hc_target target = {0, 0};
    hc_issuing i;
    outcome o = {NULL, NULL};
    int rc = find(a, r->registry, &whose, &target, err);
    if (rc == 0)
        rc = hc_issuing_open(&a->issue, r, &i, err);
    if (rc != 0)
        return rc;
    o = (outcome){json_array(), json_array()};
    i.plan.name = whose.name;
    i.plan.profiles = &i.profiles;
    if (!a->issue.profile)
        i.plan.profile = NULL;
    rc = hc_client_renew(&i.plan, target.certificate_id, on_event, &o, err);
    if (rc == 0)
        rc = print_outcome(a, whose.name, i.plan.path, &o);
    json_decref(o.made);
    json_decref(o.found);
    hc_issuing_done(&i);
    return rc;
}

static int renew(void *args, hc_err *err)
{
    const renew_args *a = args;
    hc_records r;
    int rc = hc_records_open(&a->issue.common, HC_REGISTRY_WRITE, &r, err);
    if (rc != 0)
        return rc;
    rc = renew_one(a, &r, err);
    hc_records_close(&r);
    return rc;
}

const hc_command hc_cmd_client_renew = {
    .name = "client renew",
    .synopsis = "[OPTION]... CLIENT",
    .summary = "a new key and certificate in the place of one that ends",
    .about =
        "Makes a new key and a new certificate under clients/ in the state folder, by the profile "
        "that the old one was made by and with its alternative names; with --profile, as far as "
        "that allows them. The registry notes "
        "which certificate it replaces. The old one stays good until it ends or is revoked, so "
        "that the client can change over at its leisure; after a rotation of the CA this is how a "
        "client moves to the new one.\n\n"
        "Run again it changes nothing: a certificate that was renewed is not renewed twice while "
        "both are good, and a run that was killed is completed. A client with several certificates "
        "is renewed one serial at a time. For a key that was made elsewhere, sign a new request "
        "with `handclasp ca sign`.",
    .examples = "  handclasp client list --expiring 30d\n"
                "  handclasp client renew alice\n",
    .files = "DIR/clients/NAME-2.key, DIR/clients/NAME-2.pem, and so on.",
    .options = options,
    .run = hc_command_main,
    .act = renew,
    .args_size = sizeof(renew_args),
    .missing = "which client? handclasp client renew alice",
};
