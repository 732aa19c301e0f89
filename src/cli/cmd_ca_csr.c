#include "cli/ca_folder.h"
#include "cli/out_file.h"

typedef struct csr_args {
    hc_ca_args ca;
    char *name, *key, *out;
} csr_args;

#define AT(member) .offset = offsetof(csr_args, member), .size = sizeof(((csr_args *)0)->member)

static const hc_option table[] = {
    {.name = "name",
     .type = HC_OPTION_TEXT,
     AT(name),
     .value = "NAME",
     .help = "What the CA is to be called (CN); whoever signs may change it."},
    {.name = "key",
     .type = HC_OPTION_TEXT,
     AT(key),
     .value = "TYPE",
     .initial = "p-256",
     .help = "The kind of its key: p-256, p-384, ed25519, rsa-2048, rsa-3072 or rsa-4096."},
    {.name = "out",
     .type = HC_OPTION_TEXT,
     AT(out),
     .value = "FILE",
     .initial_help = "standard output",
     .help = "Where the request is written."},
    HC_CA_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int write_request(const csr_args *a, const hc_buf *pem, hc_err *err)
{
    if (a->ca.common.json)
        return hc_print_json(json_pack("{s:s%, s:s?}", "csr", pem->at, pem->size, "file", a->out));
    if (!a->out)
        return hc_print(pem);
    return hc_out_file(a->out, hc_buf_slice(pem), HC_OUT_REPLACE, false, err);
}

static int csr(void *args, hc_err *err)
{
    const csr_args *a = args;
    hc_key_type type;
    hc_ca_folder f;
    hc_buf pem = hc_buf_init(HC_LIMIT_CSR_BYTES);
    if (!a->name)
        return hc_err_set(err, HC_EINVAL,
                          "what is the CA to be called? handclasp ca csr --name 'Shop clients CA'");
    if (!hc_key_type_parse(hc_slice_text(a->key), &type))
        return hc_err_set(err, HC_EINVAL,
                          "--key: p-256, p-384, ed25519, rsa-2048, rsa-3072 or rsa-4096 is wanted");
    int rc = hc_profile_check_name(hc_slice_text(a->name), err);
    if (rc == 0)
        rc = hc_ca_folder_open(&a->ca, &f, err);
    if (rc != 0)
        return rc;
    rc = hc_ca_request(&f.store, type, a->name, hc_secret_slice(&f.passphrase), &pem, err);
    if (rc == 0 && a->ca.common.json && a->out)
        rc = hc_out_file(a->out, hc_buf_slice(&pem), HC_OUT_REPLACE, false, err);
    if (rc == 0)
        rc = write_request(a, &pem, err);
    hc_buf_done(&pem);
    hc_ca_folder_close(&f);
    return rc;
}

const hc_command hc_cmd_ca_csr = {
    .name = "ca csr",
    .synopsis = "[OPTION]... --name NAME",
    .summary = "ask the company's CA for an intermediate CA",
    .about =
        "Makes a key, ca/request.key, and a certification request for it, which the company's CA "
        "signs as that of an intermediate CA (CA:TRUE, keyCertSign, cRLSign). What comes back is "
        "taken over with `handclasp ca import`. The CA that issues now stays until then.\n\n"
        "Run again, it asks for the same key.",
    .examples = "  handclasp ca csr --name 'Shop clients CA' --out shop-ca.csr\n"
                "  handclasp ca import shop-ca.pem\n",
    .options = options,
    .run = hc_command_main,
    .act = csr,
    .args_size = sizeof(csr_args),
};
