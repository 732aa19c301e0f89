#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/issuing.h"
#include "server/hardening.h"

#define OUTPUT_LIMIT (1u << 20)

typedef struct init_args {
    hc_common_args common;
    hc_strings hosts, clients;
    char *ca_passphrase_file;
} init_args;

#define AT(member) .offset = offsetof(init_args, member), .size = sizeof(((init_args *)0)->member)

static const hc_option table[] = {
    {.name = "state",
     .type = HC_OPTION_TEXT,
     HC_COMMON_AT(state),
     .value = "DIR",
     .initial = ".handclasp",
     .help = "The folder to make."},
    {.name = "host",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = HC_PROFILE_HOSTS_MAX,
     AT(hosts),
     .value = "NAME",
     .initial_help = "localhost",
     .help = "A DNS name or IP address that clients reach the server by. localhost brings "
             "127.0.0.1 and ::1 with it."},
    {.name = "client",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = 10000,
     AT(clients),
     .value = "NAME",
     .help = "Make a key and a certificate for this client."},
    HC_CA_PASSPHRASE_OPTION(AT(ca_passphrase_file)),
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

/* What was done, collected so that either form of output is whole. */
typedef struct outcome {
    const init_args *args;
    json_t *made, *found, *notes;
    bool lacks_host;
} outcome;

/* "STATE/FILE says HOST, rest". */
static void note(outcome *o, const char *file, const char *says, const char *host, const char *rest)
{
    char text[5000];
    (void)snprintf(text, sizeof(text), "%s/%s %s%s%s", o->args->common.state, file, says, host,
                   rest);
    (void)json_array_append_new(o->notes, json_string(text));
}

static void on_event(void *arg, hc_state_event event, const char *file, const char *host)
{
    outcome *o = arg;
    switch (event) {
    case HC_STATE_MADE:
        (void)json_array_append_new(o->made, json_string(file));
        break;
    case HC_STATE_FOUND:
        (void)json_array_append_new(o->found, json_string(file));
        break;
    case HC_STATE_KEY_AWAY:
        note(o, file, "is not here; its certificate stays as it is", "", "");
        break;
    case HC_STATE_OTHER_ISSUER:
        note(o, file, "was not signed by the CA in ca/; it stays as it is", "", "");
        break;
    case HC_STATE_NOT_ON_RECORD:
        note(o, file, "is not on record, so it is not let in; `handclasp client import` puts it ",
             "there", "");
        break;
    case HC_STATE_EXPIRED:
        note(o, file,
             "has expired; move it away and run init again for a new one with the same key", "",
             "");
        break;
    case HC_STATE_LACKS_HOST:
        o->lacks_host = true;
        note(o, file, "does not name ", host,
             "; move it away and run init again with every --host for a new one with the same key");
        break;
    }
}

/* Without a client of this run, one that is there. */
static const char *example_client(const init_args *a)
{
    return a->clients.count ? a->clients.at[0] : NULL;
}

static const char *example_host(const init_args *a)
{
    return a->hosts.count ? a->hosts.at[0] : "localhost";
}

/* In single quotes where a shell would act on a part of it. */
static int add_word(hc_buf *out, const char *text)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:";
    if (text[strspn(text, plain)] == '\0')
        return hc_buf_add_text(out, text);
    int rc = hc_buf_add_byte(out, '\'');
    for (; rc == 0 && *text; text++)
        rc = *text == '\'' ? hc_buf_add_text(out, "'\\''") : hc_buf_add_byte(out, (uint8_t)*text);
    return rc == 0 ? hc_buf_add_byte(out, '\'') : rc;
}

static int add_path(hc_buf *out, const init_args *a, const char *flag, const char *stem,
                    const char *suffix)
{
    char path[4096 + 100];
    (void)snprintf(path, sizeof(path), "%s/%s%s", a->common.state, stem, suffix);
    int rc = hc_buf_printf(out, " %s ", flag);
    return rc == 0 ? add_word(out, path) : rc;
}

static int add_curl_line(hc_buf *out, const init_args *a)
{
    char stem[200], url[400];
    const char *client = example_client(a), *host = example_host(a);
    bool is_v6 = strchr(host, ':') != NULL;
    (void)snprintf(stem, sizeof(stem), "clients/%s", client);
    (void)snprintf(url, sizeof(url), "https://%s%s%s:8443/", is_v6 ? "[" : "", host,
                   is_v6 ? "]" : "");
    int rc = hc_buf_add_text(out, "curl");
    if (rc == 0)
        rc = add_path(out, a, "--cacert", "ca/ca", ".pem");
    if (rc == 0)
        rc = add_path(out, a, "--cert", stem, ".pem");
    if (rc == 0)
        rc = add_path(out, a, "--key", stem, ".key");
    if (rc == 0)
        rc = hc_buf_add_byte(out, ' ');
    return rc == 0 ? add_word(out, url) : rc;
}

static int add_list(hc_buf *out, const char *word, const char *folder, const json_t *names)
{
    size_t i;
    json_t *name;
    int rc = 0;
    json_array_foreach(names, i, name) if (rc == 0) rc = hc_buf_printf(
        out, "%s%s%s%s\n", word, folder ? folder : "", folder ? "/" : "", json_string_value(name));
    return rc;
}

static int print_text(const outcome *o, hc_buf *curl)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    int rc = add_list(&out, "made    ", o->args->common.state, o->made);
    if (rc == 0 && json_array_size(o->made) == 0)
        rc = hc_buf_printf(&out, "%s is complete; nothing was changed\n", o->args->common.state);
    if (rc == 0)
        rc = add_list(&out, "note    ", NULL, o->notes);
    if (rc == 0)
        rc = hc_buf_add_text(&out, "\nServe:  handclasp serve MODULE:APP");
    if (rc == 0 && strcmp(o->args->common.state, ".handclasp") != 0) {
        rc = hc_buf_add_text(&out, " --state ");
        if (rc == 0)
            rc = add_word(&out, o->args->common.state);
    }
    if (rc == 0 && curl->size)
        rc = hc_buf_printf(&out, "\nTry:    %.*s", HC_SLICE_ARGS(hc_buf_slice(curl)));
    if (rc == 0)
        rc = hc_buf_add_text(&out, "\n");
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int print_outcome(outcome *o)
{
    hc_buf curl = hc_buf_init(OUTPUT_LIMIT);
    int rc = example_client(o->args) ? add_curl_line(&curl, o->args) : 0;
    if (rc != 0)
        rc = HC_EXIT_NO;
    else if (o->args->common.json)
        rc = hc_print_json(json_pack("{s:s, s:O, s:O, s:O, s:s%}", "state", o->args->common.state,
                                     "made", o->made, "found", o->found, "notes", o->notes, "try",
                                     curl.at ? (const char *)curl.at : "", curl.size));
    else
        rc = print_text(o, &curl);
    hc_buf_done(&curl);
    return rc == HC_EXIT_DONE && o->lacks_host ? HC_EXIT_NO : rc;
}

static int copy_registry(const hc_settings *s, char **out, hc_err *err)
{
    if (!hc_settings_has_registry(s))
        return 0;
    *out = hc_strdup(s->registry);
    return *out ? 0 : hc_err_set(err, HC_ENOMEM, "out of memory");
}

/* What the folder's handclasp.yaml says; a new one will say HC_STATE_REGISTRY. `out` is the
 * caller's, NULL for none; so is the passphrase of the CA's key. */
static int find_registry(const init_args *a, char **out, hc_secret *passphrase, hc_err *err)
{
    char config[4096];
    hc_serve_args server = {.parent_fd = -1};
    (void)snprintf(config, sizeof(config), "%s/" HC_STATE_CONFIG, a->common.state);
    *out = NULL;
    bool is_new = access(config, F_OK) != 0;
    int rc = is_new ? 0 : hc_server_args(&a->common, NULL, &server, err);
    if (rc == 0)
        rc = hc_ca_passphrase(a->ca_passphrase_file, &server.settings, passphrase, err);
    if (rc == 0 && !is_new)
        rc = copy_registry(&server.settings, out, err);
    if (rc == 0 && is_new && !(*out = hc_strdup(HC_STATE_REGISTRY)))
        rc = hc_err_set(err, HC_ENOMEM, "out of memory");
    if (rc != 0)
        hc_secret_done(passphrase);
    if (!is_new)
        hc_serve_args_done(&server);
    return rc;
}

static int init(void *args, hc_err *err)
{
    const init_args *a = args;
    char *registry = NULL, who[300];
    hc_secret passphrase = {NULL, 0};
    hc_actor actor;
    hc_protect_memory();
    int rc = find_registry(a, &registry, &passphrase, err);
    if (rc != 0)
        return rc;
    hc_actor_of_process(who, sizeof(who), &actor);
    hc_state_plan plan = {.path = a->common.state,
                          .hosts = (const char *const *)a->hosts.at,
                          .host_count = a->hosts.count,
                          .clients = (const char *const *)a->clients.at,
                          .client_count = a->clients.count,
                          .registry = registry,
                          .actor = &actor,
                          .ca_passphrase = hc_secret_slice(&passphrase),
                          .now_s = hc_clock_wall_s()};
    outcome o = {a, json_array(), json_array(), json_array(), false};
    rc = hc_state_init(&plan, on_event, &o, err);
    if (rc == 0)
        rc = print_outcome(&o);
    json_decref(o.made);
    json_decref(o.found);
    json_decref(o.notes);
    hc_secret_done(&passphrase);
    hc_free(registry);
    return rc;
}

const hc_command hc_cmd_init = {
    .name = "init",
    .synopsis = "[OPTION]...",
    .summary = "make a CA, a server certificate, a registry and the first clients",
    .about =
        "Makes a state folder: a CA with a key of its own, a certificate for the server, and "
        "a certificate for each "
        "client named. Keys are P-256 and readable by their owner alone; the CA's certificate "
        "is valid for ten "
        "years, the others for one.\n\n"
        "Run again, it changes nothing that exists and makes what is missing: a killed run is "
        "completed, and clients "
        "can be added. A certificate that does not belong to its key is an error. A new host "
        "needs a new server "
        "certificate: the existing one stays, and the command says so and exits 1.\n\n"
        "Each client has a record in the registry too; a folder whose handclasp.yaml says "
        "registry: none has no registry and gets none.\n\n"
        "Whoever has ca/ca.key can let anybody in: encrypt it with --ca-passphrase-file, or keep "
        "it away from the server once the clients are made.",
    .examples =
        "  handclasp init --host localhost --client alice\n"
        "  handclasp init --state /var/lib/shop --host shop.example --client alice --client bob\n",
    .files = "DIR/ca/ca.pem, DIR/ca/ca.key: the CA's certificate, which clients and server need, "
             "and its key.\n\n"
             "DIR/server/server.pem, DIR/server/server.key: what the server shows, and its key.\n\n"
             "DIR/clients/NAME.pem, DIR/clients/NAME.key: for each client.\n\n"
             "DIR/registry.db: the clients' records; see handclasp client.\n\n"
             "DIR/handclasp.yaml: options for handclasp serve.",
    .options = options,
    .run = hc_command_main,
    .act = init,
    .args_size = sizeof(init_args),
};
