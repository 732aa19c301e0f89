#include <stdio.h>

#include "cli/edit.h"
#include "cli/issuing.h"

typedef struct issue_args {
    hc_issue_args issue;
    char *name;
    hc_strings roles, attributes;
    bool another;
} issue_args;

#define AT(member) .offset = offsetof(issue_args, member), .size = sizeof(((issue_args *)0)->member)

static const hc_option table[] = {
    {.name = "name",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(name),
     .value = "NAME",
     .help = "The client's name: of its record, in the certificate (CN), and of the files."},
    {.name = "role",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = HC_LIMIT_ROLES,
     AT(roles),
     .value = "ROLE",
     .help = "Give the client this role."},
    {.name = "attribute",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = 1000,
     AT(attributes),
     .value = "KEY=VALUE",
     .help = "Set this attribute of the client."},
    {.name = "another",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(another),
     .help = "Make one also where the client has one here that is in force: for a second device."},
    HC_ISSUE_OPTIONS("client"),
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct outcome {
    const issue_args *args;
    hc_records *records;
    json_t *attributes;
    const char *state;
    json_t *made;
    char certificate[200], key[200];
} outcome;

static void on_event(void *arg, hc_state_event event, const char *file, const char *host)
{
    outcome *o = arg;
    size_t size = strlen(file);
    bool is_key = size > 4 && strcmp(file + size - 4, ".key") == 0;
    (void)host;
    if (event == HC_STATE_MADE)
        (void)json_array_append_new(o->made, json_string(file));
    if (event == HC_STATE_MADE || event == HC_STATE_FOUND)
        (void)snprintf(is_key ? o->key : o->certificate, sizeof(o->key), "%s", file);
}

static int fill_record(void *arg, int64_t client_id, hc_err *err)
{
    outcome *o = arg;
    hc_role_edit roles = {&o->args->roles, NULL, false};
    int rc = o->args->roles.count ? hc_edit_roles(o->records, client_id, &roles, err) : 0;
    if (rc == 0 && json_object_size(o->attributes) > 0)
        rc = hc_edit_attributes(o->records, client_id, o->attributes, NULL, err);
    return rc;
}

static int print_outcome(const outcome *o)
{
    bool made = json_array_size(o->made) > 0;
    hc_buf out = hc_buf_init(1u << 20);
    size_t i;
    json_t *file;
    int rc = 0;
    if (o->args->issue.common.json)
        return hc_print_json(json_pack(
            "{s:s, s:s, s:s?, s:s, s:O}", "client", o->args->name, "certificate", o->certificate,
            "key", o->key[0] ? o->key : NULL, "state", o->state, "made", o->made));
    json_array_foreach(o->made, i, file) if (rc == 0) rc =
        hc_buf_printf(&out, "made    %s/%s\n", o->state, json_string_value(file));
    if (rc == 0 && !made)
        rc = hc_buf_printf(&out,
                           "%s has a certificate already: %s/%s; --another makes another one\n",
                           o->args->name, o->state, o->certificate);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int issue(void *args, hc_err *err)
{
    const issue_args *a = args;
    hc_records r;
    hc_issuing issuing;
    outcome o = {.args = a, .records = &r, .attributes = json_object(), .made = json_array()};
    int rc = hc_client_name_check(hc_slice_text(a->name), err);
    for (size_t i = 0; rc == 0 && i < a->attributes.count; i++)
        rc = hc_attribute_parse(o.attributes, a->attributes.at[i], false, err);
    if (rc == 0 && (rc = hc_records_open(&a->issue.common, HC_REGISTRY_WRITE, &r, err)) == 0) {
        o.state = r.server.settings.state;
        rc = hc_issuing_open(&a->issue, &r, &issuing, err);
        if (rc == 0) {
            issuing.plan.name = a->name;
            issuing.plan.another = a->another;
            issuing.plan.record = fill_record;
            issuing.plan.record_arg = &o;
            rc = hc_client_issue(&issuing.plan, on_event, &o, err);
            hc_issuing_done(&issuing);
        }
        if (rc == 0)
            rc = print_outcome(&o);
        hc_records_close(&r);
    }
    json_decref(o.attributes);
    json_decref(o.made);
    return rc;
}

const hc_command hc_cmd_client_issue = {
    .name = "client issue",
    .synopsis = "[OPTION]... NAME",
    .summary = "make a key and a certificate for a client",
    .about =
        "Makes a key, P-256 unless the profile says otherwise, and a certificate under clients/ in "
        "the state folder, signed by the CA "
        "there, and puts it on record; the record is made where there is none. Roles and "
        "attributes are added to what the record has.\n\n"
        "Run again it changes nothing: a client that has a certificate here that is in force keeps "
        "it, and a run that was killed is completed. --another makes one more, named NAME-2 and so "
        "on; after a revocation or expiry it needs no --another.",
    .examples = "  handclasp client issue alice --role staff --attribute site=hall-2\n"
                "  handclasp client issue alice --another --days 90\n"
                "  handclasp client issue meter-17 --profile device --san DNS:m17.example\n",
    .files = "DIR/clients/NAME.key, DIR/clients/NAME.pem: what the client needs. Bring the key to "
             "the client and delete it here.",
    .options = options,
    .run = hc_command_main,
    .act = issue,
    .args_size = sizeof(issue_args),
    .missing = "for whom? handclasp client issue alice",
};
