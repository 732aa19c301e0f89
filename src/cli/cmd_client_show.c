#include "cli/selection.h"

#define OUTPUT_LIMIT (16u << 20)

typedef struct show_args {
    hc_common_args common;
    char *who;
    uint64_t audit;
} show_args;

#define AT(member) .offset = offsetof(show_args, member), .size = sizeof(((show_args *)0)->member)

static const hc_option table[] = {
    {.name = "client",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(who),
     .value = "CLIENT",
     .help = "A name, or the serial or fingerprint of one of its certificates."},
    {.name = "audit",
     .type = HC_OPTION_NUMBER,
     AT(audit),
     .min = 0,
     .max = 1000,
     .value = "NUMBER",
     .initial = "10",
     .help = "So many of the newest rows of the audit."},
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int on_client(void *arg, const hc_client_row *row)
{
    json_t **out = arg;
    *out = hc_client_json(row);
    return *out ? 0 : -HC_ENOMEM;
}

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    return json_array_append_new(arg, hc_certificate_row_json(row)) == 0 ? 0 : -HC_ENOMEM;
}

static int on_audit(void *arg, const hc_audit_row *row)
{
    return json_array_append_new(arg, hc_audit_json(row)) == 0 ? 0 : -HC_ENOMEM;
}

static int gather(const show_args *a, hc_registry *r, json_t **out, hc_err *err)
{
    hc_target one = {0, 0};
    json_t *certificates = json_array(), *audit = json_array();
    int rc = hc_select_one(r, a->who, &one, err);
    hc_certificate_filter of_client = {.client_id = one.client_id};
    hc_audit_filter newest = {.client_id = one.client_id, .newest_first = true, .limit = a->audit};
    if (rc == 0)
        rc = hc_records_client(r, one.client_id, on_client, out, err);
    if (rc == 0)
        rc = r->engine->certificates(r, &of_client, on_certificate, certificates, err);
    if (rc == 0 && a->audit > 0)
        rc = r->engine->audit(r, &newest, on_audit, audit, err);
    if (rc == 0 && !*out)
        rc = hc_err_set(err, HC_ENOENT, "the client is gone");
    if (rc == 0) {
        (void)json_object_set(*out, "certificates", certificates);
        (void)json_object_set(*out, "audit", audit);
    }
    json_decref(certificates);
    json_decref(audit);
    return rc;
}

static int print_text(const json_t *client)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    size_t i;
    json_t *row;
    const json_t *audit = json_object_get(client, "audit");
    int rc = hc_client_lines(client, &out);
    json_array_foreach(json_object_get(client, "certificates"), i, row)
    {
        if (rc == 0)
            rc = hc_buf_add_byte(&out, '\n');
        if (rc == 0)
            rc = hc_certificate_lines(row, &out);
    }
    if (rc == 0 && json_array_size(audit) > 0)
        rc = hc_buf_add_text(&out, "\naudit, newest first\n");
    json_array_foreach(audit, i, row)
    {
        if (rc == 0)
            rc = hc_buf_add_text(&out, "  ");
        if (rc == 0)
            rc = hc_audit_line(row, &out);
    }
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int show(void *args, hc_err *err)
{
    const show_args *a = args;
    hc_records r;
    json_t *client = NULL;
    int rc = hc_records_open(&a->common, HC_REGISTRY_READ, &r, err);
    if (rc != 0)
        return rc;
    /* All of one moment. */
    rc = hc_registry_begin(r.registry, false, err);
    if (rc == 0) {
        rc = gather(a, r.registry, &client, err);
        hc_registry_rollback(r.registry);
    }
    if (rc == 0)
        rc = a->common.json ? hc_print_json(json_incref(client)) : print_text(client);
    json_decref(client);
    hc_records_close(&r);
    return rc;
}

const hc_command hc_cmd_client_show = {
    .name = "client show",
    .synopsis = "[OPTION]... CLIENT",
    .summary = "say what is known of a client",
    .about = "Shows the record, every certificate with its serial in hex and decimal, and the "
             "newest rows of its audit.",
    .examples = "  handclasp client show alice\n"
                "  handclasp client show 0x1F:2A --json\n",
    .options = options,
    .run = hc_command_main,
    .act = show,
    .args_size = sizeof(show_args),
    .missing = "which client? Name it, or a serial or fingerprint: handclasp client show alice",
};
