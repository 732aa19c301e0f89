#include "base/clock.h"
#include "cli/ca_folder.h"

typedef struct rotate_args {
    hc_ca_args ca;
    char *name, *key;
    uint64_t days;
} rotate_args;

#define AT(member)                                                                                 \
    .offset = offsetof(rotate_args, member), .size = sizeof(((rotate_args *)0)->member)

static const hc_option table[] = {
    {.name = "name",
     .type = HC_OPTION_TEXT,
     AT(name),
     .value = "NAME",
     .initial_help = "one that shows its key",
     .help = "What the new CA is called (CN)."},
    {.name = "key",
     .type = HC_OPTION_TEXT,
     AT(key),
     .value = "TYPE",
     .initial = "p-256",
     .help = "The kind of its key: p-256, p-384, ed25519, rsa-2048, rsa-3072 or rsa-4096."},
    {.name = "days",
     .type = HC_OPTION_NUMBER,
     AT(days),
     .min = 1,
     .max = 7300,
     .value = "NUMBER",
     .initial_help = "3650",
     .help = "How long it is valid."},
    HC_CA_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int rotate(void *args, hc_err *err)
{
    const rotate_args *a = args;
    hc_profile profile = *hc_profile_builtin(HC_SLICE_LITERAL("ca"));
    hc_ca_folder f;
    if (!hc_key_type_parse(hc_slice_text(a->key), &profile.key))
        return hc_err_set(err, HC_EINVAL,
                          "--key: p-256, p-384, ed25519, rsa-2048, rsa-3072 or rsa-4096 is wanted");
    if (a->days)
        profile.lifetime_s = (int64_t)a->days * HC_PROFILE_DAY_S;
    int rc = a->name ? hc_profile_check_name(hc_slice_text(a->name), err) : 0;
    if (rc == 0)
        rc = hc_ca_folder_open(&a->ca, &f, err);
    if (rc != 0)
        return rc;
    rc = hc_ca_rotate(&f.store, &profile, a->name, hc_secret_slice(&f.passphrase),
                      hc_clock_wall_s(), err);
    if (rc == 0)
        rc = hc_ca_folder_note(&a->ca, &f, "ca.rotate", "ca/ca", err);
    if (rc == 0)
        rc = hc_ca_folder_tell(&a->ca, &f, "issues from now on:",
                               "A running server trusts it after `handclasp reload`; clients move "
                               "over as they renew.",
                               err);
    hc_ca_folder_close(&f);
    return rc;
}

const hc_command hc_cmd_ca_rotate = {
    .name = "ca rotate",
    .synopsis = "[OPTION]...",
    .summary = "a new CA beside the old one",
    .about =
        "Makes a new CA that signs itself. It issues from now on; the old one stays trusted, as "
        "ca/old-N.pem, so that its certificates remain good until they are renewed, revoked or "
        "end. `handclasp ca show` says how many are left, `handclasp ca retire` ends its trust.\n\n"
        "The server's own certificate stays the old CA's: give clients that check it ca/trust.pem, "
        "which has both, before you renew it.\n\n"
        "With a passphrase the new key is encrypted; old keys stay as they are. Where the present "
        "key is encrypted, its passphrase is wanted, and the new one gets the same: who lost it "
        "moves ca/ca.key away first. A run that was killed is finished by the next one, without a "
        "third CA.",
    .examples = "  handclasp ca rotate\n"
                "  handclasp ca rotate --name 'Shop CA 2027' --key p-384\n",
    .options = options,
    .run = hc_command_main,
    .act = rotate,
    .args_size = sizeof(rotate_args),
};
