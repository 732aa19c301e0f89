#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>

#include "authority/crl_make.h"
#include "cli/ca_folder.h"
#include "cli/cert_json.h"
#include "cli/out_file.h"

typedef struct crl_args {
    hc_common_args common;
    char *ca_passphrase_file, *ca, *out;
    uint64_t days;
    bool pem;
} crl_args;

#define AT(member) .offset = offsetof(crl_args, member), .size = sizeof(((crl_args *)0)->member)

static const hc_option table[] = {
    {.name = "ca",
     .type = HC_OPTION_TEXT,
     AT(ca),
     .value = "CA",
     .initial = "ca",
     .help = "Which one: ca, or one before it, such as old-1."},
    {.name = "out",
     .type = HC_OPTION_TEXT,
     AT(out),
     .value = "FILE",
     .initial_help = "crl/KEY-IDENTIFIER.crl in the state folder, which the server publishes",
     .help = "Where the list is written; what is there is replaced in one step."},
    {.name = "pem",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(pem),
     .help = "In PEM, instead of DER."},
    {.name = "crl-days",
     .type = HC_OPTION_NUMBER,
     AT(days),
     .min = 1,
     .max = 365,
     .value = "NUMBER",
     .initial_help = "the server's: 7 unless handclasp.yaml says otherwise",
     .help = "How long the list is good."},
    HC_CA_PASSPHRASE_OPTION(AT(ca_passphrase_file)),
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct chosen {
    const char *name; /* "ca", "old-1" */
    X509 *cert;
    bool has_key;
} chosen;

static int on_ca(void *arg, const hc_ca_entry *entry)
{
    chosen *c = arg;
    if (strcmp(entry->stem + strlen("ca/"), c->name) != 0)
        return 0;
    c->has_key = entry->has_key;
    c->cert = entry->cert;
    return X509_up_ref(entry->cert) == 1 ? 0 : -HC_ENOMEM;
}

/* Certificate and key of the CA that is meant. */
static int open_ca(const crl_args *a, const hc_ca_folder *f, X509 **cert, EVP_PKEY **key,
                   hc_err *err)
{
    char name[64];
    chosen c = {.name = a->ca};
    int rc = hc_ca_each(&f->store, on_ca, &c, err);
    *cert = c.cert;
    if (rc == 0 && !c.cert)
        rc = hc_err_set(err, HC_ENOENT,
                        "--ca %s: there is no such CA; `handclasp ca show` lists "
                        "them",
                        a->ca);
    else if (rc == 0 && !c.has_key)
        rc = hc_err_set(err, HC_ENOENT,
                        "%s/ca/%s.key is not here: make the list where the key is, and bring it "
                        "here as crl/KEY-IDENTIFIER.crl",
                        f->store.path, a->ca);
    (void)snprintf(name, sizeof(name), "ca/%.32s.key", a->ca);
    if (rc == 0)
        rc = hc_keystore_read_key(&f->store, name, hc_secret_slice(&f->passphrase), key, err);
    return rc;
}

static int to_pem(hc_buf *der, hc_err *err)
{
    hc_buf pem = hc_buf_init(2 * der->size + 200);
    BIO *bio = BIO_new(BIO_s_mem());
    char *at = NULL;
    int rc = -HC_ENOMEM;
    if (bio && PEM_write_bio(bio, PEM_STRING_X509_CRL, "", der->at, (long)der->size) > 0) {
        long size = BIO_get_mem_data(bio, &at);
        rc = hc_buf_add(&pem, hc_slice_of(at, (size_t)size));
    }
    BIO_free(bio);
    hc_buf_done(der);
    *der = pem;
    return rc == 0 ? 0 : hc_err_set(err, HC_ENOMEM, "out of memory");
}

/* For all to read, as what is in it is published. */
static int make_folder(const char *path, hc_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    if (mkdir(path, 0755) == 0 && chmod(path, 0755) == 0)
        return 0;
    return hc_err_set(err, HC_EIO, "cannot make the folder %s", path);
}

static int write_list(const crl_args *a, const hc_ca_folder *f, X509 *cert, hc_crl_made *made,
                      char *path, size_t size, hc_err *err)
{
    char name[HC_CRL_NAME_BYTES];
    int rc = hc_crl_name(cert, name, err);
    if (rc == 0 && a->out) {
        (void)snprintf(path, size, "%s", a->out);
    } else if (rc == 0) {
        (void)snprintf(path, size, "%s/crl", f->store.path);
        rc = make_folder(path, err);
        (void)snprintf(path, size, "%s/crl/%s", f->store.path, name);
    }
    if (rc == 0 && a->pem)
        rc = to_pem(&made->der, err);
    return rc == 0 ? hc_out_file(path, hc_buf_slice(&made->der), HC_OUT_REPLACE, false, err) : rc;
}

static int print_outcome(const crl_args *a, const hc_crl_made *made, const char *path)
{
    char ends[32];
    hc_buf out = hc_buf_init(1u << 16);
    hc_time_text(made->next_update_s, ends);
    if (a->common.json)
        return hc_print_json(json_pack("{s:s, s:I, s:I, s:s}", "crl", path, "number",
                                       (json_int_t)made->number, "entries",
                                       (json_int_t)made->entries, "next_update", ends));
    int rc =
        hc_buf_printf(&out, "made    %s: number %llu, %llu revoked, good until %s\n", path,
                      (unsigned long long)made->number, (unsigned long long)made->entries, ends);
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int make(const crl_args *a, const hc_ca_folder *f, hc_records *r, hc_err *err)
{
    char path[4096];
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    hc_crl_made made = {.number = 0};
    uint64_t days = a->days ? a->days : f->server.settings.crl_days;
    int rc = open_ca(a, f, &cert, &key, err);
    if (rc == 0)
        rc = hc_crl_make(r->registry, &r->actor, cert, key, (int64_t)days * HC_PROFILE_DAY_S, &made,
                         err);
    if (rc == 0)
        rc = write_list(a, f, cert, &made, path, sizeof(path), err);
    if (rc == 0)
        rc = print_outcome(a, &made, path);
    hc_buf_done(&made.der);
    EVP_PKEY_free(key);
    X509_free(cert);
    return rc;
}

static int crl(void *args, hc_err *err)
{
    const crl_args *a = args;
    hc_ca_args ca = {a->common, a->ca_passphrase_file};
    hc_ca_folder f;
    hc_records r;
    if (strlen(a->ca) > 32 || strchr(a->ca, '/'))
        return hc_err_set(err, HC_EINVAL, "--ca: ca or old-N is wanted");
    int rc = hc_ca_folder_open(&ca, &f, err);
    if (rc != 0)
        return rc;
    rc = hc_records_open(&a->common, HC_REGISTRY_WRITE, &r, err);
    if (rc == 0) {
        rc = make(a, &f, &r, err);
        hc_records_close(&r);
    }
    hc_ca_folder_close(&f);
    return rc;
}

const hc_command hc_cmd_ca_crl = {
    .name = "ca crl",
    .synopsis = "[OPTION]...",
    .summary = "make a revocation list out of the registry",
    .about =
        "Makes a certificate revocation list (RFC 5280) of every certificate of the CA that the "
        "registry knows as revoked and that has not ended. Its number grows with each list; each "
        "is a row of the audit.\n\n"
        "This server needs no list: it asks the registry at every request. It is for others who "
        "check the same certificates, such as nginx or a mail server. A server that has the CA's "
        "key makes and publishes lists by itself; where the key is kept elsewhere, it publishes "
        "what this command wrote into crl/.",
    .examples = "  handclasp ca crl --out /etc/nginx/clients.crl --pem\n"
                "  handclasp ca crl --ca old-1 --crl-days 30\n",
    .files = "DIR/crl/KEY-IDENTIFIER.crl: published at /.well-known/handclasp/crl/ under the same "
             "name.",
    .options = options,
    .run = hc_command_main,
    .act = crl,
    .args_size = sizeof(crl_args),
};
