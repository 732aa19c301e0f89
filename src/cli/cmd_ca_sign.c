#include <openssl/pem.h>

#include "base/clock.h"
#include "cli/ca_folder.h"
#include "cli/out_file.h"
#include "x509/ossl.h"

typedef struct sign_args {
    hc_issue_args issue;
    char *request, *name, *out;
    bool create;
} sign_args;

#define AT(member) .offset = offsetof(sign_args, member), .size = sizeof(((sign_args *)0)->member)

static const hc_option table[] = {
    {.name = "request",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(request),
     .value = "CSR",
     .help = "The certification request (PKCS#10), PEM or DER; - for standard input."},
    {.name = "name",
     .type = HC_OPTION_TEXT,
     AT(name),
     .value = "NAME",
     .help = "The client: of its record, and in the certificate. What the request calls itself "
             "does not count."},
    {.name = "out",
     .type = HC_OPTION_TEXT,
     AT(out),
     .value = "FILE",
     .help = "Where the certificate is written, in PEM."},
    {.name = "create",
     .type = HC_OPTION_SWITCH,
     .flags = HC_OPTION_FLAG_ONLY,
     AT(create),
     .help = "Make the client's record where there is none."},
    HC_ISSUE_OPTIONS("client"),
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int write_pem(X509 *cert, const char *path, hc_err *err)
{
    char *at = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    int rc = bio && PEM_write_bio_X509(bio, cert) == 1
                 ? 0
                 : hc_ossl_failed(err, "cannot write a certificate");
    if (rc == 0) {
        long size = BIO_get_mem_data(bio, &at);
        rc = hc_out_file(path, hc_slice_of(at, (size_t)size), HC_OUT_NEW, false, err);
    }
    BIO_free(bio);
    return rc;
}

static int print_outcome(const sign_args *a, const hc_client_signed *made, hc_err *err)
{
    hc_cert *cert = NULL;
    hc_buf out = hc_buf_init(1u << 16);
    int rc = hc_cert_from_x509(made->cert, &cert, err);
    if (rc != 0)
        return rc;
    const char *serial = hc_cert_serial_hex(cert);
    if (a->issue.common.json) {
        rc = hc_print_json(json_pack("{s:s, s:s, s:s, s:s, s:b}", "client", a->name, "certificate",
                                     a->out, "serial", serial, "fingerprint_sha256",
                                     hc_cert_sha256_hex(cert), "made", !made->again));
    } else {
        rc = hc_buf_printf(&out, "%s    %s: serial %s of %s\n", made->again ? "again" : "made",
                           a->out, serial, a->name);
        rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    }
    hc_buf_done(&out);
    hc_cert_unref(cert);
    return rc;
}

static int sign_request(const sign_args *a, const hc_csr *csr, hc_err *err)
{
    hc_records r;
    hc_issuing i;
    hc_client_signed made = {NULL, false};
    int rc = hc_records_open(&a->issue.common, HC_REGISTRY_WRITE, &r, err);
    if (rc != 0)
        return rc;
    rc = hc_issuing_open(&a->issue, &r, &i, err);
    if (rc == 0) {
        i.plan.name = a->name;
        rc = hc_client_sign(&i.plan, csr, a->create, &made, err);
        hc_issuing_done(&i);
    }
    if (rc == 0)
        rc = write_pem(made.cert, a->out, err);
    if (rc == 0)
        rc = print_outcome(a, &made, err);
    X509_free(made.cert);
    hc_records_close(&r);
    return rc;
}

static int sign(void *args, hc_err *err)
{
    const sign_args *a = args;
    hc_buf bytes;
    hc_csr *csr = NULL;
    if (!a->name || !a->out)
        return hc_err_set(err, HC_EINVAL,
                          "for whom, and where to? handclasp ca sign %s --name alice --out "
                          "alice.pem",
                          a->request);
    int rc = hc_client_name_check(hc_slice_text(a->name), err);
    if (rc == 0)
        rc = hc_read_input(a->request, HC_LIMIT_CSR_BYTES, &bytes, err);
    if (rc != 0)
        return rc;
    rc = hc_csr_parse(hc_buf_slice(&bytes), &csr, err);
    if (rc != 0)
        rc = hc_err_context(err, "%s", a->request);
    if (rc == 0)
        rc = sign_request(a, csr, err);
    hc_csr_free(csr);
    hc_buf_done(&bytes);
    return rc;
}

const hc_command hc_cmd_ca_sign = {
    .name = "ca sign",
    .synopsis = "[OPTION]... CSR --name NAME --out FILE",
    .summary = "a certificate for a key that was made elsewhere",
    .about =
        "Signs the key of a certification request for a client on record. The request has to be "
        "signed by its own key; weak keys, keys of other clients and keys of certificates that "
        "were revoked are refused. Nothing else of the request counts: names, purpose and "
        "lifetime are those of the record, the profile and the flags.\n\n"
        "The certificate is on record before FILE appears. Run again with the same request, it "
        "writes the same certificate as long as that is in force. A FILE that says something else "
        "stays as it is.",
    .examples =
        "  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "
        "meter-17.key -subj / -out meter-17.csr\n"
        "  handclasp ca sign meter-17.csr --name meter-17 --create --out meter-17.pem\n"
        "  handclasp ca sign pump.csr --name pump --profile device --san DNS:pump.example --days "
        "90 --out pump.pem\n",
    .options = options,
    .run = hc_command_main,
    .act = sign,
    .args_size = sizeof(sign_args),
    .missing = "which request? handclasp ca sign alice.csr --name alice --out alice.pem",
};
