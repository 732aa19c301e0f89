#include "x509/variables.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "x509/name.h"
#include "x509/text.h"

/* The longest is "SSL_CLIENT_S_DN_Email_63"; room for two numbers more. */
#define NAME_BYTES 64

/* What a callback needs to make one variable: the prefix, the buffer its value is escaped in, the
 * reader. */
typedef struct maker {
    const char *prefix; /* "SSL_CLIENT_" or "SSL_SERVER_" */
    const char *part;   /* "S_DN" or "I_DN" while a name is read */
    bool server;
    int sans[HC_SAN_TYPES]; /* how many of each type were made */
    hc_buf text;
    hc_variable_each each;
    void *arg;
    hc_err *err;
} maker;

static int emit(maker *m, const char *name, hc_slice value)
{
    char full[NAME_BYTES];
    int size = snprintf(full, sizeof(full), "%s%s", m->prefix, name);
    return m->each(m->arg, hc_slice_of(full, (size_t)size), value);
}

static int emit_text(maker *m, const char *name, const char *value)
{
    return emit(m, name, hc_slice_text(value));
}

/* mod_ssl writes values of attributes and alternative names with ASN1_STRFLGS_ESC_CTRL: "\XX" for
 * control characters, and the backslash doubled. */
static int escape(hc_buf *out, hc_slice value)
{
    int rc = 0;
    hc_buf_clear(out);
    for (size_t i = 0; rc == 0 && i < value.size; i++) {
        uint8_t byte = value.at[i];
        if (byte < 0x20 || byte == 0x7F)
            rc = hc_buf_printf(out, "\\%02X", byte);
        else if (byte == '\\')
            rc = hc_buf_add_text(out, "\\\\");
        else
            rc = hc_buf_add_byte(out, byte);
    }
    return rc;
}

static int emit_escaped(maker *m, const char *name, hc_slice value)
{
    int rc = escape(&m->text, value);
    if (rc < 0)
        return hc_err_set(m->err, -rc, "no room for the variable %s%s", m->prefix, name);
    return emit(m, name, hc_buf_slice(&m->text));
}

static int on_attribute(void *arg, const hc_name_attribute *a)
{
    maker *m = arg;
    char name[NAME_BYTES];
    if (hc_slice_equal(a->key, a->oid))
        return 0; /* mod_ssl has no name for it */
    if (a->nth == 0)
        snprintf(name, sizeof(name), "%s_%.*s", m->part, HC_SLICE_ARGS(a->key));
    else
        snprintf(name, sizeof(name), "%s_%.*s_%d", m->part, HC_SLICE_ARGS(a->key), a->nth);
    return emit_escaped(m, name, a->value);
}

static int emit_attributes(maker *m, const char *part, const X509_NAME *name)
{
    m->part = part;
    return hc_name_attributes(name, on_attribute, m, m->err);
}

static int on_san(void *arg, hc_san_type type, hc_slice value, int nth)
{
    static const char *const client[HC_SAN_TYPES] = {
        [HC_SAN_EMAIL] = "SAN_Email", [HC_SAN_DNS] = "SAN_DNS",         [HC_SAN_URI] = "SAN_URI",
        [HC_SAN_IP] = "SAN_IP",       [HC_SAN_UPN] = "SAN_OTHER_msUPN",
    };
    static const char *const server[HC_SAN_TYPES] = {
        [HC_SAN_EMAIL] = "SAN_Email", [HC_SAN_DNS] = "SAN_DNS",          [HC_SAN_URI] = "SAN_URI",
        [HC_SAN_IP] = "SAN_IP",       [HC_SAN_SRV] = "SAN_OTHER_dnsSRV",
    };
    maker *m = arg;
    const char *kind = m->server ? server[type] : client[type];
    (void)nth;
    if (!kind || value.size == 0)
        return 0; /* mod_ssl does not even count an empty one */
    char name[NAME_BYTES];
    snprintf(name, sizeof(name), "%s_%d", kind, m->sans[type]++);
    return emit_escaped(m, name, value);
}

/* Whatever was written into `bio` becomes the value; the bio is then empty. */
static int emit_bio(maker *m, const char *name, BIO *bio, int written)
{
    char *at = NULL;
    if (written != 1) {
        ERR_clear_error();
        return hc_err_set(m->err, HC_ETLS, "the variable %s%s cannot be written", m->prefix, name);
    }
    long size = BIO_get_mem_data(bio, &at);
    int rc = emit(m, name, hc_slice_of(at, (size_t)size));
    (void)BIO_reset(bio);
    return rc;
}

static const char *algorithm_name(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object = NULL;
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    int nid = OBJ_obj2nid(object);
    return nid == NID_undef ? "UNKNOWN" : OBJ_nid2ln(nid);
}

static const char *key_algorithm(X509 *x)
{
    X509_ALGOR *algorithm = NULL;
    if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, X509_get_X509_PUBKEY(x)) != 1)
        return "UNKNOWN";
    return algorithm_name(algorithm);
}

static int emit_basics(maker *m, const hc_cert *c, BIO *bio)
{
    X509 *x = hc_cert_x509(c);
    char text[HC_SERIAL_HEX_BYTES];
    snprintf(text, sizeof(text), "%ld", X509_get_version(x) + 1);
    int rc = emit_text(m, "M_VERSION", text);
    hc_serial_hex_upper(hc_cert_serial(c), text);
    if (rc == 0)
        rc = emit_text(m, "M_SERIAL", text);
    if (rc == 0)
        rc = emit_bio(m, "V_START", bio, ASN1_TIME_print(bio, X509_get0_notBefore(x)));
    if (rc == 0)
        rc = emit_bio(m, "V_END", bio, ASN1_TIME_print(bio, X509_get0_notAfter(x)));
    if (rc == 0)
        rc = emit_text(m, "A_KEY", key_algorithm(x));
    if (rc == 0)
        rc = emit_text(m, "A_SIG", algorithm_name(X509_get0_tbs_sigalg(x)));
    return rc;
}

/* mod_ssl leaves a variable out whose value would be empty. */
static int emit_names(maker *m, const hc_cert *c)
{
    X509 *x = hc_cert_x509(c);
    int rc = 0;
    if (hc_cert_subject(c)[0])
        rc = emit_text(m, "S_DN", hc_cert_subject(c));
    if (rc == 0 && hc_cert_issuer(c)[0])
        rc = emit_text(m, "I_DN", hc_cert_issuer(c));
    if (rc == 0)
        rc = emit_attributes(m, "S_DN", X509_get_subject_name(x));
    if (rc == 0)
        rc = emit_attributes(m, "I_DN", X509_get_issuer_name(x));
    if (rc == 0)
        rc = hc_san_entries(x, on_san, m, m->err);
    return rc;
}

static int emit_pem(maker *m, const char *name, const hc_cert *c, BIO *bio)
{
    hc_slice der = hc_cert_der(c);
    int written = PEM_write_bio(bio, PEM_STRING_X509, "", der.at, (long)der.size) > 0;
    return emit_bio(m, name, bio, written);
}

/* RFC 4523 section 2.1, the certificate exact assertion, as mod_ssl writes it; but where the issuer
 * is empty mod_ssl leaves the end off. */
static int emit_exact_assertion(maker *m, const hc_cert *c)
{
    hc_buf_clear(&m->text);
    int rc = hc_buf_printf(&m->text, "{ serialNumber %s, issuer rdnSequence:\"%s\" }",
                           hc_cert_serial_decimal(c), hc_cert_issuer(c));
    if (rc < 0)
        return hc_err_set(m->err, -rc, "no room for the variable CERT_RFC4523_CEA");
    return emit(m, "CERT_RFC4523_CEA", hc_buf_slice(&m->text));
}

static int make_all(maker *m, const hc_cert *c)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio)
        return hc_err_set(m->err, HC_ENOMEM, "no memory for a certificate's variables");
    m->text = hc_buf_init(HC_ASN1_TEXT_MAX);
    int rc = emit_basics(m, c, bio);
    if (rc == 0)
        rc = emit_names(m, c);
    if (rc == 0 && !m->server)
        rc = emit_exact_assertion(m, c);
    if (rc == 0)
        rc = emit_pem(m, "CERT", c, bio);
    hc_buf_done(&m->text);
    BIO_free(bio);
    return rc;
}

int hc_variables_client(const hc_cert *client, hc_variable_each each, void *arg, hc_err *err)
{
    maker m = {.prefix = "SSL_CLIENT_", .each = each, .arg = arg, .err = err};
    return make_all(&m, client);
}

int hc_variables_server(const hc_cert *server, hc_variable_each each, void *arg, hc_err *err)
{
    maker m = {.prefix = "SSL_SERVER_", .server = true, .each = each, .arg = arg, .err = err};
    return make_all(&m, server);
}

int hc_variables_chain(hc_cert *const *chain, size_t count, hc_variable_each each, void *arg,
                       hc_err *err)
{
    maker m = {.prefix = "SSL_CLIENT_", .each = each, .arg = arg, .err = err};
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio)
        return hc_err_set(err, HC_ENOMEM, "no memory for a certificate's variables");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof(name), "CERT_CHAIN_%zu", i);
        rc = emit_pem(&m, name, chain[i], bio);
    }
    BIO_free(bio);
    return rc;
}

int64_t hc_variables_days_left(const hc_cert *c, int64_t now_s)
{
    int64_t left_s = hc_cert_not_after(c) - now_s;
    return left_s > 0 ? left_s / (INT64_C(24) * 3600) : 0;
}
