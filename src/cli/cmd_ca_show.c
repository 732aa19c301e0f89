#include <stdio.h>

#include "base/clock.h"
#include "cli/ca_folder.h"
#include "cli/cert_json.h"

#define OUTPUT_LIMIT (1u << 20)

static const hc_option table[] = {HC_SERVER_OPTIONS, HC_REGISTRY_OPTION, HC_ANSWER_OPTIONS};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct shower {
    const hc_keystore *store;
    hc_registry *registry; /* NULL: none */
    json_t *cas;
    hc_err *err;
} shower;

typedef struct counting {
    hc_slice key_id;
    int64_t now_s;
    json_int_t count;
} counting;

static int on_certificate(void *arg, const hc_certificate_row *row)
{
    counting *c = arg;
    bool ours = row->issuer_key_id.size == 0 || hc_slice_equal(row->issuer_key_id, c->key_id);
    if (ours && (row->not_after_s == 0 || row->not_after_s > c->now_s))
        c->count++;
    return 0;
}

/* Certificates under it that are in force. */
static int count(const shower *s, X509 *ca, json_t **out)
{
    uint8_t name[32];
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(ca);
    counting c = {.now_s = hc_clock_wall_s()};
    hc_certificate_filter f = {.issuer_sha256 = name, .status = HC_CERTIFICATE_ACTIVE};
    *out = NULL;
    if (!s->registry) {
        *out = json_null();
        return 0;
    }
    if (id)
        c.key_id = hc_slice_of(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id));
    if (X509_NAME_digest(X509_get_subject_name(ca), EVP_sha256(), name, NULL) != 1)
        return hc_err_set(s->err, HC_ETLS, "cannot make the digest of a name");
    int rc = s->registry->engine->certificates(s->registry, &f, on_certificate, &c, s->err);
    if (rc == 0)
        *out = json_integer(c.count);
    return rc;
}

/* "plain", "encrypted", or "away". */
static int look_at_key(const shower *s, const hc_ca_entry *entry, const char **out)
{
    char name[64];
    hc_secret file = {NULL, 0};
    *out = "away";
    if (!entry->has_key)
        return 0;
    (void)snprintf(name, sizeof(name), "%s.key", entry->stem);
    int rc = hc_keystore_read(s->store, name, &file, s->err);
    if (rc == 0)
        *out = memmem(file.at, file.size, "ENCRYPTED", 9) ? "encrypted" : "plain";
    hc_secret_done(&file);
    return rc;
}

static int on_ca(void *arg, const hc_ca_entry *entry)
{
    shower *s = arg;
    hc_cert *cert = NULL;
    json_t *certificates = NULL, *told = NULL;
    const char *key = NULL;
    int rc = hc_cert_from_x509(entry->cert, &cert, s->err);
    if (rc == 0)
        rc = look_at_key(s, entry, &key);
    if (rc == 0)
        rc = count(s, entry->cert, &certificates);
    if (rc == 0 && !(told = hc_cert_json(cert, s->err)))
        rc = -HC_ENOMEM;
    if (rc == 0) {
        (void)json_object_set_new(told, "ca", json_string(entry->stem));
        (void)json_object_set_new(told, "role", json_string(entry->active ? "active" : "old"));
        (void)json_object_set_new(told, "key_file", json_string(key));
        (void)json_object_set(told, "certificates", certificates);
        (void)json_array_append(s->cas, told);
    }
    json_decref(told);
    json_decref(certificates);
    hc_cert_unref(cert);
    return rc;
}

static int add_lines(const json_t *ca, hc_buf *out)
{
    const json_t *number = json_object_get(ca, "certificates");
    int rc = hc_buf_printf(out, "%s.pem  %s, key %s", json_string_value(json_object_get(ca, "ca")),
                           json_string_value(json_object_get(ca, "role")),
                           json_string_value(json_object_get(ca, "key_file")));
    if (rc == 0 && json_is_integer(number))
        rc = hc_buf_printf(out, ", %lld certificate%s in force",
                           (long long)json_integer_value(number),
                           json_integer_value(number) == 1 ? "" : "s");
    if (rc == 0)
        rc = hc_buf_add_text(out, "\n");
    if (rc == 0)
        rc = hc_cert_lines(ca, 2, out);
    bool spent = json_is_integer(number) && json_integer_value(number) == 0 &&
                 strcmp(json_string_value(json_object_get(ca, "role")), "old") == 0;
    if (rc == 0 && spent)
        rc = hc_buf_printf(out, "  nothing of it is in force: handclasp ca retire %s\n",
                           json_string_value(json_object_get(ca, "ca")));
    return rc;
}

static int print_text(const json_t *cas)
{
    hc_buf out = hc_buf_init(OUTPUT_LIMIT);
    size_t i;
    json_t *ca;
    int rc = 0;
    json_array_foreach(cas, i, ca)
    {
        if (rc == 0 && i > 0)
            rc = hc_buf_add_text(&out, "\n");
        if (rc == 0)
            rc = add_lines(ca, &out);
    }
    rc = rc == 0 ? hc_print(&out) : HC_EXIT_NO;
    hc_buf_done(&out);
    return rc;
}

static int list(shower *s, bool json)
{
    int rc = hc_ca_each(s->store, on_ca, s, s->err);
    if (rc == 0 && json_array_size(s->cas) == 0)
        rc = hc_err_set(s->err, HC_ENOENT, "there is no CA in %s; `handclasp init` makes one",
                        s->store->path);
    if (rc == 0)
        rc = json ? hc_print_json(json_pack("{s:O}", "cas", s->cas)) : print_text(s->cas);
    return rc;
}

static int show(void *args, hc_err *err)
{
    hc_ca_args ca = {.common = *(const hc_common_args *)args};
    hc_ca_folder f;
    hc_records r = {.registry = NULL};
    int rc = hc_ca_folder_open(&ca, &f, err);
    if (rc != 0)
        return rc;
    bool has_registry = hc_settings_has_registry(&f.server.settings);
    if (has_registry)
        rc = hc_records_open(&ca.common, HC_REGISTRY_READ, &r, err);
    shower s = {&f.store, r.registry, json_array(), err};
    if (rc == 0)
        rc = list(&s, ca.common.json);
    json_decref(s.cas);
    if (r.registry)
        hc_records_close(&r);
    hc_ca_folder_close(&f);
    return rc;
}

const hc_command hc_cmd_ca_show = {
    .name = "ca show",
    .synopsis = "[OPTION]...",
    .summary = "the CAs that are trusted, and how many certificates of each are in force",
    .about = "Shows the CA that issues, and those before it that are still trusted: validity, kind "
             "of key, whether the key is here and encrypted, and the number of certificates on "
             "record that it issued and that are neither revoked nor ended.",
    .examples = "  handclasp ca show\n"
                "  handclasp ca show --json\n",
    .options = options,
    .run = hc_command_main,
    .act = show,
    .args_size = sizeof(hc_common_args),
};
