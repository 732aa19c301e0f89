#include <stdio.h>
#include <sys/stat.h>

#include "base/str.h"
#include "cli/cert_json.h"
#include "cli/command.h"
#include "cli/pem_certs.h"
#include "cli/probe.h"
#include "x509/name.h"

#define OUTPUT_LIMIT (1u << 20)
#define HOST_BYTES   256

typedef struct inspect_args {
    hc_common_args common;
    char *subject, *server_name;
    uint64_t timeout_ms;
} inspect_args;

#define AT(member)                                                                                 \
    .offset = offsetof(inspect_args, member), .size = sizeof(((inspect_args *)0)->member)

static const hc_option table[] = {
    {.name = "subject",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(subject),
     .value = "FILE|HOST:PORT",
     .help = "A file with certificates in PEM or one in DER, or a server."},
    {.name = "server-name",
     .type = HC_OPTION_TEXT,
     AT(server_name),
     .value = "NAME",
     .initial_help = "HOST",
     .help = "Ask the server for this name (SNI)."},
    {.name = "timeout",
     .letter = 't',
     .type = HC_OPTION_DURATION,
     .min = 100,
     .max = 600000,
     AT(timeout_ms),
     .value = "TIME",
     .initial = "10s",
     .help = "Wait at most this long for a server."},
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

static int add_cert(json_t *to, X509 *x, hc_err *err)
{
    hc_cert *cert = NULL;
    int rc = hc_cert_from_x509(x, &cert, err);
    json_t *json = rc == 0 ? hc_cert_json(cert, err) : NULL;
    hc_cert_unref(cert);
    if (json)
        return json_array_append_new(to, json) == 0 ? 0
                                                    : hc_err_set(err, HC_ENOMEM, "out of memory");
    /* Malformed ones are shown as far as they can be read: that is what one wants to know. */
    hc_cert_brief brief;
    hc_cert_brief_of(x, &brief);
    json = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}, s:s}", "malformed", err ? err->text : "",
                     "subject", brief.subject, "issuer", brief.issuer, "serial", "hex",
                     brief.serial_hex, "decimal", brief.serial_decimal, "sha256", brief.sha256_hex);
    return json_array_append_new(to, json) == 0
               ? 0
               : hc_err_set(err, HC_EFORMAT, "the certificate cannot be shown");
}

static int add_certs(json_t *to, const STACK_OF(X509) * certs, hc_err *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < sk_X509_num(certs); i++)
        rc = add_cert(to, sk_X509_value(certs, i), err);
    return rc;
}

static int inspect_file(const inspect_args *a, json_t *report, hc_err *err)
{
    X509 *first = NULL;
    STACK_OF(X509) *others = NULL;
    json_t *certs = json_array();
    int rc = hc_pem_certs_load(a->subject, &first, &others, err);
    if (rc == 0)
        rc = add_cert(certs, first, err);
    if (rc == 0)
        rc = add_certs(certs, others, err);
    (void)json_object_set_new(report, "file", json_string(a->subject));
    (void)json_object_set_new(report, "certificates", certs);
    X509_free(first);
    sk_X509_pop_free(others, X509_free);
    return rc;
}

static json_t *names_json(const STACK_OF(X509_NAME) * names)
{
    json_t *out = json_array();
    for (int i = 0; i < sk_X509_NAME_num(names); i++) {
        hc_buf text = hc_buf_init(OUTPUT_LIMIT);
        hc_err err = {0};
        if (hc_name_text(sk_X509_NAME_value(names, i), &text, &err) == 0)
            (void)json_array_append_new(out, json_stringn((const char *)text.at, text.size));
        hc_buf_done(&text);
    }
    return out;
}

/* "HOST:PORT", "[::1]:8443". False where it is neither. */
static bool split_address(const char *text, char host[HOST_BYTES], const char **port)
{
    const char *colon = strrchr(text, ':');
    uint64_t number;
    if (!colon || !hc_parse_u64(hc_slice_text(colon + 1), &number) || number == 0 || number > 65535)
        return false;
    size_t size = (size_t)(colon - text);
    if (size > 2 && text[0] == '[' && colon[-1] == ']') {
        text++;
        size -= 2;
    }
    if (size == 0 || size >= HOST_BYTES)
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    *port = colon + 1;
    return true;
}

static int inspect_server(const inspect_args *a, json_t *report, hc_err *err)
{
    char host[HOST_BYTES];
    const char *port;
    hc_probe p;
    memset(&p, 0, sizeof(p));
    if (!split_address(a->subject, host, &port))
        return hc_err_set(err, HC_ENOENT, "%.200s: no such file, and not a server: HOST:PORT",
                          a->subject);
    int rc =
        hc_probe_server(host, port, a->server_name ? a->server_name : host, a->timeout_ms, &p, err);
    if (rc != 0)
        return rc;
    json_t *certs = json_array();
    rc = add_certs(certs, p.chain, err);
    (void)json_object_set_new(report, "server", json_string(a->subject));
    (void)json_object_set_new(report, "protocol", json_string(p.protocol));
    (void)json_object_set_new(report, "cipher", json_string(p.cipher));
    (void)json_object_set_new(report, "asks_for_certificate", json_boolean(p.asks_for_certificate));
    (void)json_object_set_new(report, "client_cas", names_json(p.cas));
    (void)json_object_set_new(report, "certificates", certs);
    hc_probe_done(&p);
    return rc;
}

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int add_server_lines(hc_buf *out, const json_t *report)
{
    size_t i;
    json_t *name;
    bool asks = json_is_true(json_object_get(report, "asks_for_certificate"));
    int rc = hc_buf_printf(out, "%s, %s\n", member(report, "protocol"), member(report, "cipher"));
    if (rc == 0)
        rc = hc_buf_printf(
            out, "%s\n", asks ? "asks for a client certificate" : "asks for no client certificate");
    json_array_foreach(json_object_get(report, "client_cas"), i, name)
    {
        if (rc == 0)
            rc = hc_buf_add_text(out, "  of the CA ");
        if (rc == 0)
            rc = hc_escape_add(out, hc_slice_text(json_string_value(name)));
        if (rc == 0)
            rc = hc_buf_add_byte(out, '\n');
    }
    return rc;
}

static int print_text(const json_t *report)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    size_t i;
    json_t *cert;
    int rc = json_object_get(report, "server") ? add_server_lines(&out, report) : 0;
    json_array_foreach(json_object_get(report, "certificates"), i, cert)
    {
        const char *malformed = member(cert, "malformed");
        if (rc == 0 && (i > 0 || out.size))
            rc = hc_buf_add_byte(&out, '\n');
        if (rc == 0 && malformed[0])
            rc = hc_buf_printf(&out, "malformed   %s\n", malformed);
        if (rc == 0)
            rc = hc_cert_lines(cert, 0, &out);
    }
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int inspect(void *args, hc_err *err)
{
    const inspect_args *a = args;
    json_t *report = json_object();
    struct stat st;
    int rc =
        stat(a->subject, &st) == 0 ? inspect_file(a, report, err) : inspect_server(a, report, err);
    if (rc == 0)
        rc = a->common.json ? hc_print_json(json_incref(report)) : print_text(report);
    json_decref(report);
    return rc;
}

const hc_command hc_cmd_inspect = {
    .name = "inspect",
    .synopsis = "[OPTION]... FILE|HOST:PORT",
    .summary = "say what a certificate or a server says about itself",
    .about = "Shows the certificates of a file, or those that a server sends, with the protocol "
             "and cipher that it chose "
             "and whether it asks clients for a certificate. Nothing is verified: an expired or "
             "foreign certificate is "
             "shown like any other.",
    .examples = "  handclasp inspect .handclasp/clients/alice.pem\n"
                "  handclasp inspect --json localhost:8443\n",
    .options = options,
    .run = hc_command_main,
    .act = inspect,
    .args_size = sizeof(inspect_args),
    .missing = "what? Name a certificate's file or a server: handclasp inspect localhost:8443",
};
