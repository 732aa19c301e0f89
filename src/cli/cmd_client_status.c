/* `client suspend`, `resume` and `revoke`: the same with another outcome. */
#include "cli/bulk.h"
#include "x509/reason.h"

typedef struct status_args {
    hc_bulk_args bulk;
    char *reason, *comment;
} status_args;

#define AT(member)                                                                                 \
    .offset = offsetof(status_args, member), .size = sizeof(((status_args *)0)->member)

#define COMMENT                                                                                    \
    {                                                                                              \
        .name = "comment", .type = HC_OPTION_TEXT, AT(comment), .value = "TEXT",                   \
        .help = "Why, in your words: for the record and the audit."                                \
    }

static const hc_option plain_table[] = {
    HC_BULK_WHO("Names, or serials or fingerprints of one of their certificates."),
    COMMENT,
    HC_BULK_OPTIONS,
};

static const hc_option revoke_table[] = {
    HC_BULK_WHO("Names; or serials or fingerprints, each for that certificate alone."),
    {.name = "reason",
     .type = HC_OPTION_TEXT,
     AT(reason),
     .value = "REASON",
     .help = "Why, by a name of RFC 5280: keyCompromise, cACompromise, affiliationChanged, "
             "superseded, cessationOfOperation, certificateHold, privilegeWithdrawn, aACompromise "
             "or unspecified."},
    COMMENT,
    HC_BULK_OPTIONS,
};

static hc_options plain_options(void)
{
    return (hc_options){plain_table, HC_COUNT(plain_table)};
}

static hc_options revoke_options(void)
{
    return (hc_options){revoke_table, HC_COUNT(revoke_table)};
}

typedef struct wish {
    hc_client_status status;
    hc_slice comment;
    int reason;
} wish;

static int change(void *arg, hc_records *r, const hc_target *t, hc_err *err)
{
    const wish *w = arg;
    if (t->certificate_id)
        return hc_change_revoke_certificate(r->registry, &r->actor, t->certificate_id, w->reason,
                                            err);
    return hc_change_client_status(r->registry, &r->actor, t->client_id, w->status, w->comment,
                                   w->reason, err);
}

static int set_status(const status_args *a, hc_client_status status, hc_err *err)
{
    wish w = {status, hc_slice_text(a->comment), HC_REASON_NONE};
    hc_bulk_args bulk = a->bulk;
    hc_filter_args *f = &bulk.filtered.filter;
    hc_bulk what = {"status", status == HC_CLIENT_REVOKED, change, &w};
    if (a->reason && !hc_reason_parse(hc_slice_text(a->reason), &w.reason))
        return hc_err_set(err, HC_EINVAL,
                          "--reason: no such reason; RFC 5280 has keyCompromise, superseded, "
                          "cessationOfOperation … (--help lists them); --comment takes any words");
    /* A filter means those that can be suspended or resumed: a revoked one stays so. */
    if (status != HC_CLIENT_REVOKED && hc_filter_given(f) && !f->status)
        f->status = status == HC_CLIENT_SUSPENDED ? HC_CLIENT_ACTIVE : HC_CLIENT_SUSPENDED;
    return hc_bulk_run(&bulk, &what, err);
}

static int suspend(void *args, hc_err *err)
{
    return set_status(args, HC_CLIENT_SUSPENDED, err);
}

static int resume(void *args, hc_err *err)
{
    return set_status(args, HC_CLIENT_ACTIVE, err);
}

static int revoke(void *args, hc_err *err)
{
    return set_status(args, HC_CLIENT_REVOKED, err);
}

const hc_command hc_cmd_client_suspend = {
    .name = "client suspend",
    .synopsis = "[OPTION]... CLIENT...",
    .summary = "shut a client out until it is resumed",
    .about = "Each certificate of the client is refused with 403 and the verdict suspended, on "
             "open connections too, within a second. `client resume` lets it in again.\n\n"
             "Whom: words, a file of words, or every client that passes all filters given. All of "
             "them are one transaction: where one word is wrong nobody is suspended. Filters "
             "without --status mean active clients.",
    .examples = "  handclasp client suspend alice --comment 'on leave'\n"
                "  handclasp client suspend --unused 90d --dry-run\n",
    .options = plain_options,
    .run = hc_command_main,
    .act = suspend,
    .args_size = sizeof(status_args),
};

const hc_command hc_cmd_client_resume = {
    .name = "client resume",
    .synopsis = "[OPTION]... CLIENT...",
    .summary = "let a suspended client in again",
    .about = "Makes the record active. A revoked record becomes active too, but its revoked "
             "certificates stay revoked: the client needs a new one (`client issue`). Filters "
             "without --status mean suspended clients.",
    .examples = "  handclasp client resume alice\n",
    .options = plain_options,
    .run = hc_command_main,
    .act = resume,
    .args_size = sizeof(status_args),
};

const hc_command hc_cmd_client_revoke = {
    .name = "client revoke",
    .synopsis = "[OPTION]... CLIENT...",
    .summary = "revoke a client with its certificates, or one certificate",
    .about =
        "A name revokes the client: its record and every certificate of it. A serial or "
        "fingerprint revokes that certificate alone, so that a person with two devices can lose "
        "one. Either is refused with 403 and the verdict revoked, on open connections too, within "
        "a second. A certificate is never un-revoked.\n\n"
        "Whom: words, a file of words, or every client that passes all filters given. All of them "
        "are one transaction: where one word is wrong nothing is revoked.",
    .examples = "  handclasp client revoke alice --reason keyCompromise\n"
                "  handclasp client revoke 5e:1f:00:a2 --reason superseded\n"
                "  handclasp client revoke --from stolen.txt --dry-run\n",
    .options = revoke_options,
    .run = hc_command_main,
    .act = revoke,
    .args_size = sizeof(status_args),
};
