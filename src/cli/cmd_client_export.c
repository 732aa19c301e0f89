#include <openssl/pem.h>
#include <stdio.h>

#include "cli/export_p12.h"
#include "cli/selection.h"

#define OUTPUT_LIMIT (64u << 20)

typedef struct export_args {
    hc_common_args common;
    char *who;
    char *p12, *passphrase_file;
    bool all, legacy, ask;
} export_args;

#define AT(member)                                                                                 \
    .offset = offsetof(export_args, member), .size = sizeof(((export_args *)0)->member)

static const hc_option table[] = {
    {.name = "client",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(who),
     .value = "CLIENT",
     .help = "A name, or the serial or fingerprint of one certificate."},
    {.name = "all",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(all),
     .help = "Revoked certificates too."},
    {.name = "p12",
     .type = HC_OPTION_TEXT,
     AT(p12),
     .value = "FILE",
     .help = "Write key, certificate and CA as a PKCS#12 file, where the key is here. Its "
             "passphrase is made, and shown once."},
    {.name = "passphrase-file",
     .type = HC_OPTION_TEXT,
     AT(passphrase_file),
     .value = "FILE",
     .help = "The passphrase for --p12: the one line of this file, which its owner alone may "
             "read."},
    {.name = "ask-passphrase",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(ask),
     .help = "Ask for it on the terminal, twice."},
    {.name = "legacy",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(legacy),
     .help = "--p12 with triple DES and SHA-1, for phones and Windows of before 2020; the "
             "passphrase then protects little."},
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct exporter {
    const export_args *args;
    hc_registry *registry;
    json_t *found;
    hc_err *err;
    bool named; /* by serial or fingerprint: whatever its status */
} exporter;

static int on_der(void *arg, hc_slice der)
{
    json_t *one = arg;
    BIO *bio = BIO_new(BIO_s_mem());
    char *at = NULL;
    int rc = -HC_ENOMEM;
    if (bio && PEM_write_bio(bio, PEM_STRING_X509, "", der.at, (long)der.size) > 0) {
        long size = BIO_get_mem_data(bio, &at);
        rc = json_object_set_new(one, "pem", json_stringn(at, (size_t)size)) == 0 ? 0 : -HC_ENOMEM;
    }
    BIO_free(bio);
    return rc;
}

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    exporter *e = arg;
    if (!e->named && !e->args->all && row->status != HC_CERTIFICATE_ACTIVE)
        return 0;
    json_t *one = hc_certificate_row_json(row);
    (void)json_object_set_new(one, "pem", json_null());
    int rc = e->registry->engine->certificate_der(e->registry, row->id, on_der, one, e->err);
    if (json_array_append_new(e->found, one) != 0)
        return -HC_ENOMEM;
    return rc == -HC_ENOENT ? 0 : rc;
}

static int find(exporter *e, hc_err *err)
{
    hc_target one = {0, 0};
    int rc = hc_select_one(e->registry, e->args->who, &one, err);
    hc_certificate_filter f = {.client_id = one.client_id, .id = one.certificate_id};
    e->named = one.certificate_id != 0;
    return rc == 0 ? e->registry->engine->certificates(e->registry, &f, on_certificate, e, err)
                   : rc;
}

static const char *pem_of(const json_t *certificate)
{
    return json_string_value(json_object_get(certificate, "pem"));
}

/* Standard output has PEM alone: it goes into a file. */
static int print_pem(const json_t *found)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    size_t i;
    json_t *one;
    int rc = 0;
    json_array_foreach(found, i, one)
    {
        const json_t *serial = json_object_get(one, "serial");
        if (pem_of(one))
            rc = rc == 0 ? hc_buf_add_text(&out, pem_of(one)) : rc;
        else
            (void)fprintf(stderr,
                          "handclasp client export: certificate %s is not kept: it was made "
                          "elsewhere\n",
                          json_string_value(json_object_get(serial, "hex")));
    }
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static bool has_any(const json_t *found)
{
    size_t i;
    json_t *one;
    json_array_foreach(found, i, one) if (pem_of(one)) return true;
    return false;
}

static int export_p12(const export_args *a, const hc_records *r, const json_t *found, hc_err *err)
{
    const char *client = json_string_value(json_object_get(json_array_get(found, 0), "client"));
    hc_p12_export e = {a->p12, a->passphrase_file, a->ask, a->legacy, a->common.json};
    return hc_export_p12(&e, r->server.settings.state, client ? client : "", found, err);
}

static int export(void *args, hc_err *err)
{
    const export_args *a = args;
    hc_records r;
    if (!a->p12 && (a->passphrase_file || a->ask || a->legacy))
        return hc_err_set(err, HC_EINVAL,
                          "--passphrase-file, --ask-passphrase and --legacy go with --p12");
    if (a->passphrase_file && a->ask)
        return hc_err_set(err, HC_EINVAL, "--passphrase-file or --ask-passphrase, not both");
    int rc = hc_records_open(&a->common, HC_REGISTRY_READ, &r, err);
    if (rc != 0)
        return rc;
    exporter e = {a, r.registry, json_array(), err, false};
    rc = hc_registry_begin(r.registry, false, err);
    if (rc == 0) {
        rc = find(&e, err);
        hc_registry_rollback(r.registry);
    }
    if (rc == 0 && !has_any(e.found))
        rc = hc_err_set(err, HC_ENOENT,
                        "no certificate of this client is kept here; those that were imported are "
                        "with whoever made them");
    else if (rc == 0 && a->p12)
        rc = export_p12(a, &r, e.found, err);
    else if (rc == 0)
        rc = a->common.json ? hc_print_json(json_pack("{s:O}", "certificates", e.found))
                            : print_pem(e.found);
    json_decref(e.found);
    hc_records_close(&r);
    return rc;
}

const hc_command hc_cmd_client_export = {
    .name = "client export",
    .synopsis = "[OPTION]... CLIENT",
    .summary = "write a client's certificates as PEM, or with its key as PKCS#12",
    .about = "Writes to standard output the active certificates of a client that were issued here, "
             "or the one that a serial or fingerprint names. Keys are not in the registry: the "
             "file clients/NAME.key is the only copy, if the key was made here at all.\n\n"
             "--p12 puts that key, its certificate and the CAs above it into one encrypted file, "
             "which browsers, phones and mail programs import. Bring file and passphrase to the "
             "client by different ways.",
    .examples = "  handclasp client export alice > alice.pem\n"
                "  handclasp client export alice --p12 alice.p12\n",
    .options = options,
    .run = hc_command_main,
    .act = export,
    .args_size = sizeof(export_args),
    .missing = "which client? handclasp client export alice",
};
