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

static int change(void *arg, hc_records *r, const hc_target *t, hc_err *err)
{
    (void)arg;
    return hc_change_remove_client(r->registry, &r->actor, t->client_id, err);
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
        "A certificate of the client is then one that the registry does not know: refused with the "
        "verdict not-in-registry, or let in where the server admits unknown ones (--unknown "
        "admit). "
        "A client with a revoked certificate that is still valid, or that came as its serial "
        "alone, "
        "cannot be removed: nobody would know any more that it is revoked. Files in clients/ stay.",
    .examples = "  handclasp client remove --yes alice\n"
                "  handclasp client remove --status revoked --unused 365d --dry-run\n",
    .options = options,
    .run = hc_command_main,
    .act = remove_clients,
    .args_size = sizeof(remove_args),
};
