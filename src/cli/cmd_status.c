#include "cli/server_call.h"

#define OUTPUT_LIMIT (1u << 20)

static const hc_option table[] = {HC_SERVER_CALL_OPTIONS("10", "How long to wait for the answer.")};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static long long number(const json_t *o, const char *name)
{
    return (long long)json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
    const char *value = json_string_value(json_object_get(o, name));
    return value ? value : "-";
}

static int add_listening(const json_t *list, hc_buf *out)
{
    size_t i;
    json_t *one;
    int rc = hc_buf_add_text(out, "listening on   ");
    json_array_foreach((json_t *)list, i, one)
    {
        if (rc == 0)
            rc = hc_buf_printf(out, "%s%s", i ? ", " : "", json_string_value(one));
    }
    return rc == 0 ? hc_buf_add_byte(out, '\n') : rc;
}

static int add_head(const json_t *s, hc_buf *out)
{
    int rc = hc_buf_printf(out, "handclasp is %s, pid %lld, for %lld s\n", text(s, "phase"),
                           number(s, "pid"), number(s, "uptime_s"));
    if (rc == 0)
        rc = add_listening(json_object_get(s, "listening"), out);
    if (rc == 0)
        rc = hc_buf_printf(out,
                           "application    %s\nclient-cert    %s\nregistry       %s\n"
                           "processes      %s\n",
                           text(s, "app"), text(s, "client_cert"), text(s, "registry"),
                           strcmp(text(s, "processes"), "apart") == 0
                               ? "kept apart by users of their own"
                               : "not kept apart: whoever breaks into the application can reach "
                                 "the server's key");
    return rc;
}

static int add_front(const json_t *f, hc_buf *out)
{
    int rc = hc_buf_printf(out, "front          pid %lld, %s", number(f, "pid"), text(f, "state"));
    if (rc == 0 && !json_is_true(json_object_get(f, "answers")))
        return hc_buf_add_text(out, ", does not answer\n");
    if (rc == 0)
        rc = hc_buf_printf(
            out,
            ", configuration %lld\n"
            "connections    %lld open, %lld ever; %lld sessions to resume\n"
            "handshakes     %lld, of these %lld resumed; %lld clients refused\n"
            "requests       %lld, %lld waiting; %lld of %lld threads busy\n",
            number(f, "generation"), number(f, "connections"), number(f, "connections_ever"),
            number(f, "sessions"), number(f, "handshakes"), number(f, "handshakes_resumed"),
            number(f, "refusals"), number(f, "requests"), number(f, "requests_waiting"),
            number(f, "threads_busy"), number(f, "threads"));
    return rc;
}

/* Nothing without a registry. */
static int add_registry(const json_t *s, hc_buf *out)
{
    const json_t *a = json_object_get(s, "authority");
    const json_t *r = json_object_get(json_object_get(s, "front"), "registry");
    int rc = 0;
    if (r) {
        const json_t *age = json_object_get(r, "age_ms");
        rc = hc_buf_printf(out, "records        %lld clients, %lld certificates; %s",
                           number(r, "clients"), number(r, "certificates"),
                           json_is_true(json_object_get(r, "trusted"))
                               ? "up to date"
                               : "cannot be read, clients are answered 503");
        if (rc == 0)
            rc = json_is_integer(age)
                     ? hc_buf_printf(out, ", as of %lld ms ago\n", number(r, "age_ms"))
                     : hc_buf_add_byte(out, '\n');
    }
    if (rc == 0 && a)
        rc =
            hc_buf_printf(out, "authority      pid %lld, %s\n", number(a, "pid"), text(a, "state"));
    return rc;
}

static int add_rows(const json_t *s, hc_buf *out)
{
    size_t i;
    json_t *one;
    int rc = 0;
    json_array_foreach(json_object_get(s, "workers"), i, one)
    {
        if (rc == 0)
            rc = hc_buf_printf(out, "worker %-7lld pid %lld, %s, started %lld s ago\n",
                               number(one, "number"), number(one, "pid"), text(one, "state"),
                               number(one, "age_s"));
    }
    json_array_foreach(json_object_get(s, "certificates"), i, one)
    {
        if (rc == 0)
            rc = hc_buf_printf(out, "%-14s ends %s, %lld days left\n", text(one, "kind"),
                               text(one, "not_after"), number(one, "days_left"));
    }
    return rc;
}

static int print_status(json_t *s)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    int rc = add_head(s, &out);
    if (rc == 0)
        rc = add_front(json_object_get(s, "front"), &out);
    if (rc == 0)
        rc = add_registry(s, &out);
    if (rc == 0)
        rc = add_rows(s, &out);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    json_decref(s);
    return rc;
}

static int run(const hc_command *self, int argc, char **argv)
{
    hc_server_call call = {0};
    json_t *status = NULL;
    hc_err err = {0};
    int rc = hc_command_parse(self, argc, argv, &call, &call.help);
    if (rc < 0 && hc_server_say(&call, "status", &status, &err) != 0)
        rc = hc_report(self, call.json, true, &err);
    else if (rc < 0)
        rc = call.json ? hc_print_json(status) : print_status(status);
    hc_options_done(options(), &call);
    return rc;
}

const hc_command hc_cmd_status = {
    .name = "status",
    .synopsis = "[OPTION]...",
    .summary = "what a running server does",
    .about = "Says where the server listens, what it asks of clients, whether its processes are "
             "kept apart, how its front, its workers and, with a registry, its authority are, how "
             "many records it knows and whether these are up to date, and when the certificates in "
             "force "
             "end. Exits 1 where no server answers. The control socket answers root and the user "
             "who runs the server, and nobody else.",
    .examples = "  handclasp status\n"
                "  handclasp status --json --state /var/lib/handclasp/shop\n",
    .options = options,
    .run = run,
};
