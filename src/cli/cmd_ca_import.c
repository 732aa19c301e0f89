#include <stdio.h>

#include "authority/key_pem.h"
#include "base/clock.h"
#include "cli/ca_folder.h"
#include "server/read_file.h"

#define INPUT_LIMIT (1u << 20)

typedef struct import_args {
    hc_ca_args ca;
    char *certificate, *key, *key_passphrase_file;
} import_args;

#define AT(member)                                                                                 \
    .offset = offsetof(import_args, member), .size = sizeof(((import_args *)0)->member)

static const hc_option table[] = {
    {.name = "certificate",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(certificate),
     .value = "FILE",
     .help = "The CA's certificate in PEM, and behind it those of the CAs above it, each issued by "
             "the next."},
    {.name = "key",
     .type = HC_OPTION_TEXT,
     AT(key),
     .value = "FILE",
     .initial_help = "that of `handclasp ca csr`; for a certificate that was renewed, ca/ca.key",
     .help = "Its private key, in PEM."},
    {.name = "key-passphrase-file",
     .type = HC_OPTION_TEXT,
     AT(key_passphrase_file),
     .value = "FILE",
     .help = "The passphrase of --key, where that is encrypted."},
    HC_CA_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int read_key(const import_args *a, EVP_PKEY **out, hc_err *err)
{
    hc_file_bytes pem = {NULL, NULL, 0};
    hc_secret passphrase = {NULL, 0};
    int rc =
        a->key_passphrase_file ? hc_passphrase_read(a->key_passphrase_file, &passphrase, err) : 0;
    if (rc == 0 && (rc = hc_read_file(a->key, INPUT_LIMIT, &pem, err)) == 0) {
        rc = hc_key_from_pem(hc_slice_of(pem.at, pem.size), hc_secret_slice(&passphrase), out, err);
        if (rc != 0)
            rc = hc_err_context(err, "%s", a->key);
        hc_file_bytes_done(&pem);
    }
    hc_secret_done(&passphrase);
    return rc;
}

static int take_over(const import_args *a, hc_slice pem, EVP_PKEY *key, hc_err *err)
{
    hc_ca_folder f;
    int rc = hc_ca_folder_open(&a->ca, &f, err);
    if (rc != 0)
        return rc;
    rc = hc_ca_import(&f.store, pem, key, hc_secret_slice(&f.passphrase), hc_clock_wall_s(), err);
    if (rc == 0)
        rc = hc_ca_folder_note(&a->ca, &f, "ca.import", "ca/ca", err);
    if (rc == 0)
        rc = hc_ca_folder_tell(&a->ca, &f, "issues from now on:",
                               "A running server trusts it after `handclasp reload`.", err);
    hc_ca_folder_close(&f);
    return rc;
}

static int import(void *args, hc_err *err)
{
    const import_args *a = args;
    EVP_PKEY *key = NULL;
    hc_buf pem;
    int rc = a->key ? read_key(a, &key, err) : 0;
    if (rc == 0 && (rc = hc_read_input(a->certificate, INPUT_LIMIT, &pem, err)) == 0) {
        rc = take_over(a, hc_buf_slice(&pem), key, err);
        hc_buf_done(&pem);
    }
    EVP_PKEY_free(key);
    return rc;
}

const hc_command hc_cmd_ca_import = {
    .name = "ca import",
    .synopsis = "[OPTION]... FILE",
    .summary = "issue with a CA that was made elsewhere",
    .about =
        "Takes over a CA, or an intermediate of the company's: checked for what RFC 5280 wants of "
        "one that signs clients' certificates and lists (basicConstraints, keyUsage, a subject key "
        "identifier, a strong key), for its time, and against the CAs behind it in the file. It "
        "issues from now on; what issued before stays trusted beside it.\n\n"
        "The CAs above an intermediate are kept in ca/chain.pem and are not trusted for clients: "
        "whatever else the company's root has signed is no client here.\n\n"
        "With --ca-passphrase-file the key is encrypted as it is written.",
    .examples = "  handclasp ca import shop-ca.pem\n"
                "  handclasp ca import old-ca.pem --key old-ca.key\n",
    .options = options,
    .run = hc_command_main,
    .act = import,
    .args_size = sizeof(import_args),
    .missing = "which certificate? handclasp ca import shop-ca.pem",
};
