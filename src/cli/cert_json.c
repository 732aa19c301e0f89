#include "cli/cert_json.h"

#include <openssl/x509v3.h>
#include <time.h>

#include "base/str.h"
#include "x509/name.h"

void hc_time_text(int64_t time_s, char out[32])
{
    struct tm tm;
    time_t t = (time_t)time_s;
    if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
}

static json_t *time_json(int64_t time_s)
{
    char text[32];
    hc_time_text(time_s, text);
    return json_string(text);
}

/* hc_cert gives well-formed UTF-8 alone; where it does not, JSON refuses it and the name is left
 * out. */
static int add_san(void *arg, hc_san_type type, hc_slice value, int nth_of_type)
{
    static const char *const names[] = {
        [HC_SAN_EMAIL] = "email", [HC_SAN_DNS] = "dns", [HC_SAN_URI] = "uri",
        [HC_SAN_IP] = "ip",       [HC_SAN_UPN] = "upn", [HC_SAN_OTHER] = "other"};
    (void)nth_of_type;
    json_t *entry =
        json_pack("{s:s, s:s%}", "type", names[type], "value", (const char *)value.at, value.size);
    return json_array_append_new(arg, entry) == 0 ? 0 : -HC_ENOMEM;
}

static json_t *key_json(X509 *x)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    char group[64] = "";
    size_t size = 0;
    if (!key)
        return json_null();
    (void)EVP_PKEY_get_group_name(key, group, sizeof(group), &size);
    json_t *out = json_pack("{s:s, s:i}", "type", EVP_PKEY_get0_type_name(key), "bits",
                            EVP_PKEY_get_bits(key));
    if (out && group[0])
        (void)json_object_set_new(out, "curve", json_string(group));
    return out;
}

static json_t *purposes_json(X509 *x)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{XKU_SSL_SERVER, "serverAuth"}, {XKU_SSL_CLIENT, "clientAuth"},
                 {XKU_SMIME, "emailProtection"}, {XKU_CODE_SIGN, "codeSigning"},
                 {XKU_OCSP_SIGN, "OCSPSigning"}, {XKU_ANYEKU, "any"}};
    json_t *out = json_array();
    uint32_t has = X509_get_extended_key_usage(x);
    for (size_t i = 0; has != UINT32_MAX && i < HC_COUNT(names); i++)
        if (has & names[i].bit)
            (void)json_array_append_new(out, json_string(names[i].name));
    return out;
}

json_t *hc_cert_json(const hc_cert *c, hc_err *err)
{
    X509 *x = hc_cert_x509(c);
    json_t *sans = json_array();
    int rc =
        sans ? hc_san_entries(x, add_san, sans, err) : hc_err_set(err, HC_ENOMEM, "out of memory");
    if (rc != 0) {
        json_decref(sans);
        return NULL;
    }
    json_t *out = json_pack(
        "{s:s, s:s, s:{s:s, s:s}, s:o, s:o, s:o, s:o, s:o, s:b, s:s}", "subject",
        hc_cert_subject(c), "issuer", hc_cert_issuer(c), "serial", "hex", hc_cert_serial_hex(c),
        "decimal", hc_cert_serial_decimal(c), "not_before", time_json(hc_cert_not_before(c)),
        "not_after", time_json(hc_cert_not_after(c)), "names", sans, "key", key_json(x), "purposes",
        purposes_json(x), "ca", X509_check_ca(x) != 0, "sha256", hc_cert_sha256_hex(c));
    if (!out)
        (void)hc_err_set(err, HC_EFORMAT, "the certificate cannot be shown as JSON");
    return out;
}

static int add_line(hc_buf *out, unsigned indent, const char *key, const char *value)
{
    int rc = hc_buf_printf(out, "%*s%-12s", (int)indent, "", key);
    if (rc == 0)
        rc = hc_escape_add(out, hc_slice_text(value));
    return rc == 0 ? hc_buf_add_byte(out, '\n') : rc;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int add_names(const json_t *cert, unsigned indent, hc_buf *out)
{
    size_t i;
    json_t *name;
    int rc = 0;
    json_array_foreach(json_object_get(cert, "names"), i, name) if (rc == 0) rc =
        add_line(out, indent, text_of(name, "type"), text_of(name, "value"));
    return rc;
}

static int add_key(const json_t *cert, unsigned indent, hc_buf *out)
{
    const json_t *key = json_object_get(cert, "key");
    char text[160];
    (void)snprintf(text, sizeof(text), "%s %s%s%" JSON_INTEGER_FORMAT " bits", text_of(key, "type"),
                   text_of(key, "curve"), text_of(key, "curve")[0] ? ", " : "",
                   json_integer_value(json_object_get(key, "bits")));
    return add_line(out, indent, "key", text);
}

static int add_purposes(const json_t *cert, unsigned indent, hc_buf *out)
{
    hc_buf text = hc_buf_init(256);
    size_t i;
    json_t *purpose;
    int rc = json_is_true(json_object_get(cert, "ca")) ? hc_buf_add_text(&text, "CA") : 0;
    json_array_foreach(json_object_get(cert, "purposes"), i, purpose) if (rc == 0) rc =
        hc_buf_printf(&text, "%s%s", text.size ? ", " : "", json_string_value(purpose));
    if (rc == 0)
        rc = hc_buf_add_byte(&text, '\0');
    if (rc == 0 && text.size > 1)
        rc = add_line(out, indent, "for", (const char *)text.at);
    hc_buf_done(&text);
    return rc;
}

int hc_cert_lines(const json_t *cert, unsigned indent, hc_buf *out)
{
    static const char *const plain[] = {"subject", "issuer"};
    const json_t *serial = json_object_get(cert, "serial");
    char text[200];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < HC_COUNT(plain); i++)
        rc = add_line(out, indent, plain[i], text_of(cert, plain[i]));
    (void)snprintf(text, sizeof(text), "%s (decimal %s)", text_of(serial, "hex"),
                   text_of(serial, "decimal"));
    if (rc == 0)
        rc = add_line(out, indent, "serial", text);
    (void)snprintf(text, sizeof(text), "%s to %s", text_of(cert, "not_before"),
                   text_of(cert, "not_after"));
    if (rc == 0)
        rc = add_line(out, indent, "valid", text);
    if (rc == 0)
        rc = add_names(cert, indent, out);
    if (rc == 0)
        rc = add_key(cert, indent, out);
    if (rc == 0)
        rc = add_purposes(cert, indent, out);
    return rc == 0 ? add_line(out, indent, "sha256", text_of(cert, "sha256")) : rc;
}
