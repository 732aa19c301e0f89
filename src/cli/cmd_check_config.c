#include <unistd.h>

#include "cli/cert_json.h"
#include "cli/check_config.h"
#include "cli/issuing.h"
#include "server/supervisor.h"

#define OUTPUT_LIMIT (1u << 20)

extern char **environ;

int hc_resolved_copy(const hc_settings *s, hc_settings *out, hc_err *err)
{
    hc_buf bytes = hc_buf_init(OUTPUT_LIMIT);
    hc_settings copy = {.app = NULL};
    int rc = hc_settings_encode(s, &bytes, err);
    if (rc == 0)
        rc = hc_settings_decode(hc_buf_slice(&bytes), &copy, err);
    if (rc == 0)
        rc = hc_settings_resolve(&copy, err);
    hc_buf_done(&bytes);
    if (rc == 0)
        *out = copy;
    else
        hc_settings_done(&copy);
    return rc;
}

/* One value, or a list where the option may be repeated; NULL: none. */
static json_t *option_json(const hc_option *o, const hc_settings *s)
{
    bool repeatable = o->flags & HC_OPTION_REPEATABLE;
    json_t *list = json_array();
    hc_buf value = hc_buf_init(OUTPUT_LIMIT);
    for (size_t i = 0; hc_option_get(o, s, i, &value) == 1; i++) {
        (void)json_array_append_new(list, json_stringn((const char *)value.at, value.size));
        hc_buf_clear(&value);
    }
    hc_buf_done(&value);
    json_t *out = repeatable ? json_incref(list) : json_incref(json_array_get(list, 0));
    json_decref(list);
    return out;
}

static json_t *options_json(const hc_settings *s)
{
    hc_options table = hc_serve_options();
    json_t *out = json_object();
    for (size_t i = 0; i < table.count; i++) {
        const hc_option *o = &table.at[i];
        if (o->flags & (HC_OPTION_FLAG_ONLY | HC_OPTION_OTHERS | HC_OPTION_NOT_IN_FILE) ||
            o->writes)
            continue;
        json_t *value = option_json(o, s);
        (void)json_object_set_new(out, o->name, value ? value : json_null());
    }
    return out;
}

static int add_cert(json_t *to, const hc_file_bytes *file, hc_err *err)
{
    hc_cert *cert = NULL;
    int rc = hc_cert_from_pem(hc_slice_of(file->at, file->size), &cert, err);
    if (rc != 0)
        return hc_err_context(err, "%s", file->name);
    json_t *json = hc_cert_json(cert, err);
    hc_cert_unref(cert);
    if (!json)
        return hc_err_context(err, "%s", file->name);
    (void)json_object_set_new(json, "file", json_string(file->name));
    return json_array_append_new(to, json) == 0 ? 0 : hc_err_set(err, HC_ENOMEM, "out of memory");
}

/* The first certificate of each file. */
static int certs_json(const hc_settings *s, json_t **server, json_t **cas, hc_err *err)
{
    hc_files files;
    memset(&files, 0, sizeof(files));
    *server = json_array();
    *cas = json_array();
    int rc = hc_files_load(s, &files, NULL, err);
    if (rc == 0)
        rc = add_cert(*server, &files.certificate, err);
    for (size_t i = 0; rc == 0 && i < files.ca_count; i++)
        rc = add_cert(*cas, &files.cas[i], err);
    hc_files_done(&files);
    return rc;
}

static int add_certs(hc_buf *out, const char *heading, const json_t *certs)
{
    size_t i;
    json_t *cert;
    int rc = 0;
    json_array_foreach(certs, i, cert)
    {
        if (rc == 0)
            rc = hc_buf_printf(out, "\n%s %s\n", heading,
                               json_string_value(json_object_get(cert, "file")));
        if (rc == 0)
            rc = hc_cert_lines(cert, 2, out);
    }
    return rc;
}

static int add_options(hc_buf *out, const json_t *options)
{
    const char *name;
    json_t *value;
    int rc = 0;
    json_object_foreach((json_t *)options, name, value)
    {
        if (json_is_null(value))
            continue;
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (rc == 0)
            rc = hc_buf_printf(out, "%s: %s\n", name, text ? text : "?");
        free(text);
    }
    return rc;
}

static int print_text(const json_t *report)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    int rc = add_options(&out, json_object_get(report, "options"));
    if (rc == 0)
        rc = add_certs(&out, "server certificate", json_object_get(report, "server"));
    if (rc == 0)
        rc = add_certs(&out, "CA", json_object_get(report, "cas"));
    if (rc == 0)
        rc = hc_buf_add_text(&out, "\nThe configuration is fine.\n");
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int print_report(const hc_command *self, const hc_serve_args *args, const hc_settings *s)
{
    hc_err err = {0};
    json_t *server = NULL, *cas = NULL;
    int rc = certs_json(s, &server, &cas, &err);
    json_t *report = json_pack("{s:b, s:o, s:o, s:o}", "ok", 1, "options", options_json(s),
                               "server", server, "cas", cas);
    if (rc != 0)
        rc = hc_report(self, args->json, false, &err);
    else if (args->json)
        return hc_print_json(report);
    else
        rc = print_text(report);
    json_decref(report);
    return rc;
}

int hc_check_config(const hc_command *self, const hc_serve_args *args)
{
    hc_settings s;
    hc_err err = {0};
    memset(&s, 0, sizeof(s));
    hc_profiles profiles = {NULL, 0};
    if (hc_resolved_copy(&args->settings, &s, &err) != 0)
        return hc_report(self, args->json, false, &err);
    /* `serve` makes no certificates, and would not see what is wrong with them. */
    int rc = hc_profiles_of(args, &profiles, &err);
    hc_profiles_done(&profiles);
    if (rc != 0) {
        hc_settings_done(&s);
        return hc_report(self, args->json, false, &err);
    }
    rc = hc_supervise(args);
    if (rc == 0)
        rc = print_report(self, args, &s);
    else if (args->json) {
        (void)hc_err_set(&err, HC_EDENIED, "the configuration cannot be used; the log says why");
        (void)hc_report(self, true, false, &err);
    }
    hc_settings_done(&s);
    return rc;
}

static int run(const hc_command *self, int argc, char **argv)
{
    hc_serve_args args;
    hc_err err = {0};
    if (hc_serve_args_parse(argc, argv, environ, &args, &err) != 0)
        return hc_report(self, hc_wants_json(argc, argv), true, &err);
    args.settings.check_config = true;
    int rc = args.help ? hc_command_help(self) : hc_check_config(self, &args);
    hc_serve_args_done(&args);
    return rc;
}

const hc_command hc_cmd_check_config = {
    .name = "check-config",
    .synopsis = "[OPTION]... [MODULE:APP]",
    .summary = "check options, files and application without serving",
    .about = "Takes the options of handclasp serve, reads everything they name, loads the "
             "application once where one is "
             "given, and opens no socket. Says which value each option has, after flags, "
             "environment and file. An error "
             "is what handclasp serve would have said.",
    .examples = "  handclasp check-config shop:app\n"
                "  handclasp check-config --json --config /etc/shop/handclasp.yaml\n",
    .options = hc_serve_options,
    .run = run,
};
