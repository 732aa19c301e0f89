#include <stdio.h>

#include "base/clock.h"
#include "cli/ca_folder.h"

typedef struct retire_args {
    hc_common_args common;
    char *ca;
    bool force;
} retire_args;

#define AT(member)                                                                                 \
    .offset = offsetof(retire_args, member), .size = sizeof(((retire_args *)0)->member)

static const hc_option table[] = {
    {.name = "ca",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(ca),
     .value = "CA",
     .help = "old-1, as `handclasp ca show` names it."},
    {.name = "force",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(force),
     .help = "Also where certificates of it are in force, or nobody can tell: they are good no "
             "more."},
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct found {
    const char *stem;
    uint8_t name[32];
    uint8_t key_id[64];
    size_t key_id_size;
    bool there; /* and is no longer the active one */
    bool failed;
} found;

static int on_ca(void *arg, const hc_ca_entry *entry)
{
    found *f = arg;
    if (strcmp(entry->stem, f->stem) != 0)
        return 0;
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(entry->cert);
    f->there = !entry->active; /* that one, hc_ca_retire refuses */
    f->failed =
        X509_NAME_digest(X509_get_subject_name(entry->cert), EVP_sha256(), f->name, NULL) != 1;
    if (id && (size_t)ASN1_STRING_length(id) <= sizeof(f->key_id)) {
        f->key_id_size = (size_t)ASN1_STRING_length(id);
        memcpy(f->key_id, ASN1_STRING_get0_data(id), f->key_id_size);
    }
    return 0;
}

typedef struct counting {
    const found *ca;
    int64_t now_s;
    size_t count;
} counting;

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    counting *c = arg;
    bool of_it = row->issuer_key_id.size == 0 ||
                 hc_slice_equal(row->issuer_key_id, hc_slice_of(c->ca->key_id, c->ca->key_id_size));
    if (of_it && (row->not_after_s == 0 || row->not_after_s > c->now_s))
        c->count++;
    return 0;
}

static int check_spent(const retire_args *a, const found *ca, hc_err *err)
{
    hc_records r;
    counting c = {ca, hc_clock_wall_s(), 0};
    hc_certificate_filter f = {.issuer_sha256 = ca->name, .status = HC_CERTIFICATE_ACTIVE};
    int rc = hc_records_open(&a->common, HC_REGISTRY_READ, &r, err);
    if (rc != 0)
        return rc;
    rc = r.registry->engine->certificates(r.registry, &f, on_certificate, &c, err);
    if (rc == 0 && c.count)
        rc = hc_err_set(err, HC_EDENIED,
                        "%zu certificates of %s are in force: renew or revoke them first, or "
                        "--force",
                        c.count, ca->stem);
    hc_records_close(&r);
    return rc;
}

static int retire(void *args, hc_err *err)
{
    const retire_args *a = args;
    hc_ca_args ca = {.common = a->common};
    hc_ca_folder f;
    char stem[64], retired[96];
    found it = {.stem = stem};
    (void)snprintf(stem, sizeof(stem), "%s%.40s", strncmp(a->ca, "ca/", 3) == 0 ? "" : "ca/",
                   a->ca);
    int rc = hc_ca_folder_open(&ca, &f, err);
    if (rc != 0)
        return rc;
    rc = hc_ca_each(&f.store, on_ca, &it, err);
    if (rc == 0 && it.failed)
        rc = hc_err_set(err, HC_ETLS, "cannot make the digest of a name");
    if (rc == 0 && it.there && !a->force)
        rc = check_spent(a, &it, err);
    if (rc == 0)
        rc = hc_ca_retire(&f.store, stem, err);
    if (rc == 0) {
        (void)snprintf(retired, sizeof(retired), "ca/retired-%s", stem + strlen("ca/old-"));
        rc = hc_ca_folder_note(&ca, &f, "ca.retire", retired, err);
    }
    if (rc == 0 && a->common.json)
        rc = hc_print_json(json_pack("{s:s}", "retired", stem));
    else if (rc == 0)
        (void)printf("%s is trusted no more; a running server learns it with `handclasp reload`\n",
                     stem);
    hc_ca_folder_close(&f);
    return rc;
}

const hc_command hc_cmd_ca_retire = {
    .name = "ca retire",
    .synopsis = "[OPTION]... CA",
    .summary = "trust an old CA no more",
    .about = "Ends the trust in a CA that `ca rotate` or `ca import` replaced, once no certificate "
             "of it is in force. Its files stay as ca/retired-N.pem and .key.",
    .examples = "  handclasp ca retire old-1\n",
    .options = options,
    .run = hc_command_main,
    .act = retire,
    .args_size = sizeof(retire_args),
    .missing = "which CA? handclasp ca retire old-1",
};
