#include "base/clock.h"
#include "cli/bulk.h"

typedef struct remove_args {
    hc_bulk_args bulk;
    bool yes;
} remove_args;

static const hc_option table[] = {
    HC_BULK_WHO("Names, or serials or fingerprints of one of their certificates."),
    {.name = "yes",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     .offset = offsetof(remove_args, yes),
     .size = sizeof(bool),
     .help = "Really: it cannot be brought back."},
    HC_BULK_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    bool *found = arg;
    /* Of one that came as its serial alone nobody knows when it ends. */
    *found = *found || row->not_after_s == 0 || row->not_after_s > hc_clock_wall_s();
    return 0;
}

/* Without its record a revoked certificate is an unknown one, and those would come in. */
static int refuse_where_unknown_come_in(hc_records *r, const hc_target *t, hc_err *err)
{
    bool found = false;
    hc_certificate_filter f = {.client_id = t->client_id, .status = HC_CERTIFICATE_REVOKED};
    if (!r->server.settings.admit_unknown)
        return 0;
    int rc = r->registry->engine->certificates(r->registry, &f, on_certificate, &found, err);
    if (rc == 0 && found)
        rc = hc_err_set(
            err, HC_EDENIED,
            "a revoked certificate of the client is still valid, and this server "
            "admits unknown ones (--unknown admit): without its record it would be let in "
            "again; keep the record until it has expired");
    return rc;
}

static int change(void *arg, hc_records *r, const hc_target *t, hc_err *err)
{
    (void)arg;
    int rc = refuse_where_unknown_come_in(r, t, err);
    return rc == 0 ? hc_change_remove_client(r->registry, &r->actor, t->client_id, err) : rc;
}

static int remove_clients(void *args, hc_err *err)
{
    const remove_args *a = args;
    hc_bulk what = {"status", false, change, NULL};
    if (!a->yes && !a->bulk.dry_run)
        return hc_err_set(err, HC_EINVAL,
                          "a record that was removed cannot be brought back; --yes removes it, "
                          "--dry-run says what would be removed");
    return hc_bulk_run(&a->bulk, &what, err);
}

const hc_command hc_cmd_client_remove = {
    .name = "client remove",
    .synopsis = "[OPTION]... --yes CLIENT...",
    .summary = "remove a client's record",
    .about =
        "Removes the record with the rows of its certificates. To shut a client out, `client "
        "revoke` is the better choice: it keeps the reason. The audit keeps every row.\n\n"
        "A certificate of the client, revoked or not, is then one that the registry does not know: "
        "it stays refused, with the verdict not-in-registry. Where the server admits unknown "
        "certificates (--unknown admit) a client with a revoked certificate that is still valid "
        "cannot be removed. Files in clients/ stay.",
    .examples = "  handclasp client remove --yes alice\n"
                "  handclasp client remove --status revoked --unused 365d --dry-run\n",
    .options = options,
    .run = hc_command_main,
    .act = remove_clients,
    .args_size = sizeof(remove_args),
};
