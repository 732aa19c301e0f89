#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"
#include "cli/cert_json.h"
#include "cli/command.h"
#include "cli/explain_record.h"
#include "cli/pem_certs.h"
#include "cli/records.h"
#include "identity/trust.h"
#include "server/read_file.h"

#define OUTPUT_LIMIT (1u << 20)

typedef struct explain_args {
    hc_common_args common;
    char *cert;
    hc_strings ca_certs, crl;
} explain_args;

#define AT(member)                                                                                 \
    .offset = offsetof(explain_args, member), .size = sizeof(((explain_args *)0)->member)

static const hc_option table[] = {
    {.name = "cert",
     .type = HC_OPTION_TEXT,
     .flags = HC_OPTION_POSITIONAL,
     AT(cert),
     .value = "CERT",
     .help = "The client's certificate, in PEM or DER; in PEM the intermediate ones may stand "
             "behind it."},
    HC_SERVER_OPTIONS,
    HC_REGISTRY_OPTION,
    {.name = "ca-certs",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = 1000,
     AT(ca_certs),
     .value = "FILE",
     .initial_help = "the server's",
     .help = "The CAs to check against."},
    {.name = "crl",
     .type = HC_OPTION_LIST,
     .flags = HC_OPTION_REPEATABLE,
     .max = 1000,
     AT(crl),
     .value = "FILE",
     .initial_help = "the server's",
     .help = "The revocation lists to check against."},
    HC_ANSWER_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

/* --- what the server would check against --- */

static int add_flags(hc_strings *flags, const char *name, const hc_strings *values, hc_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < values->count; i++) {
        rc = hc_strings_add(flags, hc_slice_text(name), err);
        if (rc == 0)
            rc = hc_strings_add(flags, hc_slice_text(values->at[i]), err);
    }
    return rc;
}

/* The settings that `serve` would have with these flags; clients are asked for a certificate in any
 * case. */
static int server_settings(const explain_args *a, hc_serve_args *out, hc_err *err)
{
    hc_strings flags = {NULL, 0};
    int rc = add_flags(&flags, "--ca-certs", &a->ca_certs, err);
    if (rc == 0)
        rc = add_flags(&flags, "--crl", &a->crl, err);
    if (rc == 0)
        rc = hc_server_args(&a->common, &flags, out, err);
    if (rc == 0)
        out->settings.policy.mode = HC_MODE_REQUIRED;
    hc_strings_done(&flags);
    return rc;
}

static int load_sources(const hc_file_bytes *files, size_t count, hc_trust_source **out,
                        hc_err *err)
{
    *out = count ? calloc(count, sizeof(**out)) : NULL;
    if (count && !*out)
        return hc_err_set(err, HC_ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        (*out)[i] = (hc_trust_source){files[i].name, hc_slice_of(files[i].at, files[i].size)};
    return 0;
}

static int load_trust(hc_settings *s, int64_t now_s, hc_trust **out, hc_err *err)
{
    hc_files files;
    hc_trust_source *cas = NULL, *crls = NULL;
    memset(&files, 0, sizeof(files));
    int rc = hc_settings_resolve_trust(s, err);
    if (rc == 0)
        rc = hc_files_load_trust(s, &files, err);
    if (rc == 0)
        rc = load_sources(files.cas, files.ca_count, &cas, err);
    if (rc == 0)
        rc = load_sources(files.crls, files.crl_count, &crls, err);
    if (rc == 0) {
        hc_trust_config config = {.cas = cas,
                                  .ca_count = files.ca_count,
                                  .crls = crls,
                                  .crl_count = files.crl_count,
                                  .crl_leaf_only = s->crl_leaf_only,
                                  .generation = 1,
                                  .now_s = now_s};
        rc = hc_trust_load(&config, out, err);
    }
    free(cas);
    free(crls);
    hc_files_done(&files);
    return rc;
}

/* --- each rule --- */

typedef struct question {
    X509 *leaf;
    STACK_OF(X509) * others;
    hc_trust *trust;
    bool has_crl;
    int64_t now_s;
    hc_verdict verdict; /* now */
    hc_verdict
        within_dates; /* at a moment when the certificate itself is in force: what else is wrong */
    bool chain_ok, has_registry;
    hc_record *record; /* that it would come in as; NULL: none */
} question;

typedef enum answer { NO, YES, UNKNOWN } answer;

static answer is_well_formed(const question *q)
{
    return q->verdict.code != HC_VERDICT_MALFORMED ? YES : NO;
}

static answer is_issued_by_ca(const question *q)
{
    switch (q->within_dates.code) {
    case HC_VERDICT_UNTRUSTED_ISSUER:
        return NO;
    case HC_VERDICT_OK:
    case HC_VERDICT_REVOKED:
    case HC_VERDICT_STATUS_UNKNOWN:
        return YES;
    default:
        return UNKNOWN;
    }
}

static answer is_in_force(const question *q)
{
    time_t now = (time_t)q->now_s;
    if (q->verdict.code == HC_VERDICT_EXPIRED || q->verdict.code == HC_VERDICT_NOT_YET_VALID)
        return NO;
    int after_begin = X509_cmp_time(X509_get0_notBefore(q->leaf), &now);
    int before_end = X509_cmp_time(X509_get0_notAfter(q->leaf), &now);
    return after_begin < 0 && before_end > 0 ? YES : NO;
}

static answer is_for_clients(const question *q)
{
    if (q->within_dates.code == HC_VERDICT_WRONG_PURPOSE)
        return NO;
    bool signs = X509_get_key_usage(q->leaf) & KU_DIGITAL_SIGNATURE;
    return signs && X509_check_purpose(q->leaf, X509_PURPOSE_SSL_CLIENT, 0) == 1 ? YES : NO;
}

static answer has_strong_key(const question *q)
{
    if (q->within_dates.code == HC_VERDICT_WEAK_KEY)
        return NO;
    return q->within_dates.code == HC_VERDICT_OK ? YES : UNKNOWN;
}

static answer is_not_revoked(const question *q)
{
    hc_verdict_code code = q->within_dates.code;
    if (code == HC_VERDICT_REVOKED || code == HC_VERDICT_STATUS_UNKNOWN)
        return NO;
    return q->has_crl && code == HC_VERDICT_OK ? YES : UNKNOWN;
}

static answer is_on_record(const question *q)
{
    if (!q->chain_ok || !q->has_registry)
        return UNKNOWN;
    return q->record ? YES : NO;
}

static const struct {
    const char *name;
    const char *text;
    answer (*ask)(const question *q);
} rules[] = {
    {"well-formed", "names, serial and extensions can be read without doubt (RFC 5280 section 4)",
     is_well_formed},
    {"issuer", "a chain of good signatures leads to a CA of this server (RFC 5280 section 6)",
     is_issued_by_ca},
    {"dates", "today is within the validity of the whole chain (RFC 5280 section 4.1.2.5)",
     is_in_force},
    {"purpose",
     "made for TLS clients: clientAuth, digitalSignature (RFC 5280 sections 4.2.1.3, 4.2.1.12)",
     is_for_clients},
    {"strength", "keys and signatures of at least 112 bits", has_strong_key},
    {"revocation", "not in a revocation list, and the lists are current (RFC 5280 section 6.3)",
     is_not_revoked},
    {"record", "on record in the registry, and neither suspended nor revoked there", is_on_record},
};

static json_t *rules_json(const question *q)
{
    static const char *const words[] = {[NO] = "no", [YES] = "yes", [UNKNOWN] = "not-checked"};
    json_t *out = json_array();
    ERR_clear_error();
    for (size_t i = 0; i < HC_COUNT(rules); i++) {
        /* Nothing is known of what cannot be read. */
        bool readable = i == 0 || is_well_formed(q) == YES;
        answer a = readable ? rules[i].ask(q) : UNKNOWN;
        (void)json_array_append_new(out, json_pack("{s:s, s:s, s:s}", "rule", rules[i].name,
                                                   "outcome", words[a], "text", rules[i].text));
    }
    ERR_clear_error();
    return out;
}

static int64_t seconds_of(const ASN1_TIME *t, int64_t otherwise)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : otherwise;
}

static int64_t moment_within(const question *q)
{
    int64_t from = seconds_of(X509_get0_notBefore(q->leaf), q->now_s);
    int64_t until = seconds_of(X509_get0_notAfter(q->leaf), q->now_s);
    if (q->now_s <= from)
        return from + 1;
    return q->now_s >= until ? until - 1 : q->now_s;
}

static int decide(question *q, const hc_settings *s, hc_err *err)
{
    hc_cert *cert = NULL;
    int rc = hc_trust_decide(q->trust, q->leaf, q->others, q->now_s, &q->verdict, err);
    if (rc == 0)
        rc = hc_trust_decide(q->trust, q->leaf, q->others, moment_within(q), &q->within_dates, err);
    q->chain_ok = q->verdict.code == HC_VERDICT_OK;
    q->has_registry = hc_settings_has_registry(s);
    if (rc != 0 || !q->chain_ok || !q->has_registry)
        return rc;
    rc = hc_cert_from_x509(q->leaf, &cert, err);
    if (rc == 0)
        rc = hc_explain_record(s, cert, &q->verdict, &q->record, err);
    hc_cert_unref(cert);
    return rc;
}

/* --- the answer --- */

static json_t *client_json(const hc_record *r)
{
    if (!r)
        return json_null();
    return json_pack("{s:o, s:o}", "name", hc_text_json(hc_record_name(r)), "roles",
                     hc_words_json(hc_record_roles(r)));
}

static json_t *report_json(const question *q, const char *file)
{
    hc_cert *cert = NULL;
    json_t *shown = NULL;
    hc_err err = {0};
    char until[32];
    bool ok = q->verdict.code == HC_VERDICT_OK;
    if (hc_cert_from_x509(q->leaf, &cert, &err) == 0)
        shown = hc_cert_json(cert, &err);
    hc_cert_unref(cert);
    hc_time_text(q->verdict.good_until_s, until);
    return json_pack("{s:s, s:b, s:s, s:s, s:s?, s:o, s:o, s:o}", "file", file, "admitted", ok,
                     "verdict", hc_verdict_name(q->verdict.code), "detail", q->verdict.detail,
                     "good_until", ok ? until : NULL, "client", client_json(q->record), "rules",
                     rules_json(q), "certificate", shown ? shown : json_null());
}

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int add_rules(hc_buf *out, const json_t *report)
{
    size_t i;
    json_t *rule;
    int rc = 0;
    json_array_foreach(json_object_get(report, "rules"), i, rule) if (rc == 0) rc =
        hc_buf_printf(out, "  %-12s%-12s%s\n", member(rule, "outcome"), member(rule, "rule"),
                      member(rule, "text"));
    return rc;
}

/* As whom. */
static int add_client(hc_buf *out, const json_t *report)
{
    const json_t *client = json_object_get(report, "client");
    const json_t *roles = json_object_get(client, "roles");
    if (!json_is_object(client))
        return hc_buf_add_text(out, "as nobody known: without a record there is no name\n");
    int rc = hc_buf_add_text(out, "as ");
    if (rc == 0)
        rc = hc_value_add(out, json_object_get(client, "name"));
    if (rc == 0 && json_array_size(roles) > 0)
        rc = hc_buf_add_text(out, ", with the roles ");
    if (rc == 0)
        rc = hc_value_add(out, roles);
    return rc == 0 ? hc_buf_add_byte(out, '\n') : rc;
}

static int print_text(const json_t *report)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    const json_t *cert = json_object_get(report, "certificate");
    const char *detail = member(report, "detail");
    bool ok = json_is_true(json_object_get(report, "admitted"));
    int rc = json_is_object(cert) ? hc_cert_lines(cert, 2, &out) : 0;
    if (rc == 0)
        rc = hc_buf_add_text(&out, "\n");
    if (rc == 0)
        rc = add_rules(&out, report);
    if (rc == 0)
        rc = hc_buf_printf(&out, "\n%s: %s%s%s\n", ok ? "would be let in" : "would be refused",
                           member(report, "verdict"), detail[0] ? ", " : "", detail);
    if (rc == 0 && ok)
        rc = add_client(&out, report);
    if (rc == 0 && ok)
        rc = hc_buf_printf(&out, "asked again at %s at the latest\n", member(report, "good_until"));
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int answer_question(const explain_args *a, const question *q)
{
    json_t *report = report_json(q, a->cert);
    int rc = a->common.json ? hc_print_json(json_incref(report)) : print_text(report);
    json_decref(report);
    return rc == HC_EXIT_DONE && q->verdict.code != HC_VERDICT_OK ? HC_EXIT_NO : rc;
}

static int explain(void *args, hc_err *err)
{
    const explain_args *a = args;
    hc_serve_args server;
    question q = {.now_s = hc_clock_wall_s()};
    int rc = server_settings(a, &server, err);
    if (rc != 0)
        return rc;
    q.has_crl = server.settings.crl.count > 0;
    rc = hc_pem_certs_load(a->cert, &q.leaf, &q.others, err);
    if (rc == 0)
        rc = load_trust(&server.settings, q.now_s, &q.trust, err);
    if (rc == -HC_EINVAL)
        rc = -(err->code = HC_ENOENT); /* no CA: not for want of a flag */
    if (rc == 0)
        rc = decide(&q, &server.settings, err);
    if (rc == 0)
        rc = answer_question(a, &q);
    hc_record_unref(q.record);
    hc_trust_unref(q.trust);
    X509_free(q.leaf);
    sk_X509_pop_free(q.others, X509_free);
    hc_serve_args_done(&server);
    return rc;
}

const hc_command hc_cmd_explain = {
    .name = "explain",
    .synopsis = "[OPTION]... CERT",
    .summary = "would a certificate be let in? Every rule with its outcome",
    .about = "Decides about a client's certificate as the server would at this moment, with the "
             "CAs and revocation lists "
             "that the server's options name and with its registry, and says how each rule turned "
             "out. What a handshake "
             "adds, the proof that "
             "the client has the key, cannot be told from a file.\n\n"
             "Exits 0 where the certificate would be let in, 1 where it would be refused.",
    .examples = "  handclasp explain .handclasp/clients/alice.pem\n"
                "  handclasp explain --ca-certs clients-ca.pem --crl clients.crl bob.pem\n",
    .options = options,
    .run = hc_command_main,
    .act = explain,
    .args_size = sizeof(explain_args),
    .missing = "which certificate? Name its file: handclasp explain alice.pem",
};
