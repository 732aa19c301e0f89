#include "authority/subject.h"

#include <openssl/asn1err.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "x509/ossl.h"

static const hc_slice placeholder = HC_SLICE_LITERAL("{name}");

typedef struct attribute {
    int nid;
    bool has_name; /* {name} stands in it */
    hc_buf value;
} attribute;

bool hc_subject_has_name(const char *template_text)
{
    return strstr(template_text, "{name}") != NULL;
}

static int bad(hc_err *err, const char *why)
{
    return hc_err_set(err, HC_EINVAL, "a subject is written \"CN={name}, O=Example\": %s", why);
}

static int nid_of(hc_slice key)
{
    static const struct {
        const char *key;
        int nid;
    } keys[] = {{"CN", NID_commonName},
                {"OU", NID_organizationalUnitName},
                {"O", NID_organizationName},
                {"L", NID_localityName},
                {"ST", NID_stateOrProvinceName},
                {"C", NID_countryName},
                {"UID", NID_userId},
                {"DC", NID_domainComponent},
                {"serialNumber", NID_serialNumber}};
    for (size_t i = 0; i < HC_COUNT(keys); i++)
        if (hc_slice_equal_nocase(key, hc_slice_text(keys[i].key)))
            return keys[i].nid;
    return NID_undef;
}

/* The end of a value: the first comma that no '\' stands before. */
static size_t value_size(hc_slice text)
{
    size_t i = 0;
    while (i < text.size && text.at[i] != ',')
        i += text.at[i] == '\\' && i + 1 < text.size ? 2 : 1;
    return i;
}

static int fill_value(hc_slice text, const char *name, attribute *a, hc_err *err)
{
    int rc = 0;
    while (rc == 0 && text.size) {
        size_t used = 1;
        if (hc_slice_starts_with(text, placeholder)) {
            a->has_name = true;
            used = placeholder.size;
            rc = hc_buf_add_text(&a->value, name ? name : "");
        } else if (strchr("+\"<>;{}", text.at[0]) && text.at[0]) {
            return bad(err, "of + \" < > ; { } each has a \\ before it");
        } else if (text.at[0] == '\\') {
            if (text.size == 1)
                return bad(err, "nothing stands behind the last \\");
            used = 2;
            rc = hc_buf_add_byte(&a->value, text.at[1]);
        } else {
            rc = hc_buf_add_byte(&a->value, text.at[0]);
        }
        text = hc_slice_from(text, used);
    }
    return rc == 0 ? 0 : hc_err_set(err, -rc, "a subject cannot be kept");
}

static int parse_attribute(hc_slice text, const char *name, attribute *a, hc_err *err)
{
    ptrdiff_t equals = hc_slice_find(text, '=');
    if (equals < 0)
        return bad(err, "an = is missing");
    a->nid = nid_of(hc_slice_trim(hc_slice_of(text.at, (size_t)equals)));
    if (a->nid == NID_undef)
        return bad(err, "its parts are CN, OU, O, L, ST, C, UID, DC and serialNumber");
    hc_slice value = hc_slice_trim(hc_slice_from(text, (size_t)equals + 1));
    if (value.size == 0)
        return bad(err, "a value is empty");
    return fill_value(value, name, a, err);
}

/* As a client's name has to be: what could forge a line or hide in it is in no certificate of ours.
 */
static int check_characters(hc_slice value, hc_err *err)
{
    uint32_t point = 0;
    while (value.size) {
        size_t size = hc_utf8_next(value, &point);
        if (size == 0)
            return bad(err, "it is not UTF-8");
        if (!hc_utf8_harmless(point))
            return bad(err, "it has no control or invisible characters");
        value = hc_slice_from(value, size);
    }
    return 0;
}

static bool is_capitals(hc_slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] < 'A' || text.at[i] > 'Z')
            return false;
    return true;
}

/* `at` 0: RFC 4514 writes the last of a certificate's attributes first. */
static int add_attribute(X509_NAME *subject, const attribute *a, hc_err *err)
{
    int rc = check_characters(hc_buf_slice(&a->value), err);
    if (rc != 0)
        return rc;
    /* X.520: a code of ISO 3166-1, which is in capitals. */
    if (a->nid == NID_countryName && !is_capitals(hc_buf_slice(&a->value)))
        return bad(err, "C has capital letters, such as DE");
    if (X509_NAME_add_entry_by_NID(subject, a->nid, MBSTRING_UTF8, a->value.at, (int)a->value.size,
                                   0, 0) == 1)
        return 0;
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    if (reason != ASN1_R_STRING_TOO_LONG && reason != ASN1_R_STRING_TOO_SHORT &&
        reason != ASN1_R_ILLEGAL_CHARACTERS)
        return hc_ossl_failed(err, "cannot make a subject");
    ERR_clear_error();
    return hc_err_set(err, HC_EINVAL, "the subject's %s %s (RFC 5280 appendix A.1)",
                      OBJ_nid2sn(a->nid),
                      reason == ASN1_R_ILLEGAL_CHARACTERS ? "has characters it may not have"
                      : reason == ASN1_R_STRING_TOO_LONG  ? "is too long"
                                                          : "is too short");
}

static int add_all(hc_slice text, const char *name, X509_NAME *subject, hc_err *err)
{
    int rc = 0;
    do {
        attribute a = {.value = hc_buf_init(HC_LIMIT_PROFILE_SUBJECT * 20)};
        size_t size = value_size(text);
        bool more = size < text.size;
        rc = parse_attribute(hc_slice_of(text.at, size), name, &a, err);
        if (rc == 0 && (name || !a.has_name))
            rc = add_attribute(subject, &a, err);
        hc_buf_done(&a.value);
        text = hc_slice_from(text, size + 1);
        if (!more)
            break;
    } while (rc == 0);
    return rc;
}

int hc_subject_make(const char *template_text, const char *name, X509_NAME **out, hc_err *err)
{
    hc_slice text = hc_slice_text(template_text);
    X509_NAME *subject = X509_NAME_new();
    if (!subject)
        return hc_ossl_failed(err, "cannot make a subject");
    int rc =
        text.size > HC_LIMIT_PROFILE_SUBJECT
            ? hc_err_set(err, HC_EINVAL, "a subject has at most %d bytes", HC_LIMIT_PROFILE_SUBJECT)
            : add_all(text, name, subject, err);
    if (rc == 0)
        *out = subject;
    else
        X509_NAME_free(subject);
    return rc;
}
