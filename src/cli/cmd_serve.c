#include <unistd.h>

#include "cli/check_config.h"
#include "server/supervisor.h"

extern char **environ;

static int serve(const hc_command *self, const hc_serve_args *args)
{
    hc_settings s;
    hc_err err = {0};
    memset(&s, 0, sizeof(s));
    if (args->settings.check_config)
        return hc_check_config(self, args);
    if (!args->settings.app && args->lane_count == 0) {
        (void)hc_err_set(
            &err, HC_EINVAL,
            "which application? Name it as MODULE:APP, for instance: handclasp serve shop:app");
        return hc_report(self, args->json, true, &err);
    }
    /* The supervisor would find the same, and tell the log; here it is one plain line. */
    if (hc_resolved_copy(&args->settings, &s, &err) != 0)
        return hc_report(self, args->json, false, &err);
    hc_settings_done(&s);
    return hc_supervise(args);
}

static int run(const hc_command *self, int argc, char **argv)
{
    hc_serve_args args;
    hc_err err = {0};
    if (hc_serve_args_parse(argc, argv, environ, &args, &err) != 0)
        return hc_report(self, hc_wants_json(argc, argv), true, &err);
    int rc = args.help ? hc_command_help(self) : serve(self, &args);
    hc_serve_args_done(&args);
    return rc;
}

const hc_command hc_cmd_serve = {
    .name = "serve",
    .synopsis = "[OPTION]... MODULE:APP",
    .summary = "serve an application",
    .about =
        "Serves a Flask, Django or any other WSGI application over two-way TLS: the server shows "
        "its certificate, "
        "and every client has to show one of a CA named here. The application finds who the client "
        "is in its "
        "environment, under the names of Apache's mod_ssl.\n\n"
        "Every option may also stand in the environment, as HANDCLASP_ and its name in capitals "
        "(HANDCLASP_WORKERS=4; lists with commas), or in handclasp.yaml (workers: 4). Flags win "
        "over the "
        "environment, the environment over the file. Times are seconds, or 250ms, 90s, 5m, 2h, "
        "30d; sizes are bytes, "
        "or 64k, 16m, 2g. Where gunicorn has an option, the name is the same.\n\n"
        "SIGTERM and SIGINT finish what runs and end; SIGHUP reads the options, certificates and "
        "CRLs again and "
        "replaces the workers, without closing a connection.\n\n"
        "Where no worker can be started it exits with 3, and where the application cannot be "
        "loaded with 4, as gunicorn does.",
    .examples = "  handclasp serve shop:app\n"
                "  handclasp serve 'shop:create_app()' --bind :8443 --workers 4 --client-cert "
                "/healthz=none\n"
                "  handclasp serve shop:app --certfile server.pem --keyfile server.key --ca-certs "
                "clients-ca.pem\n",
    .files = "DIR/handclasp.yaml: options, where DIR is the state folder.",
    .options = hc_serve_options,
    .run = run,
};
