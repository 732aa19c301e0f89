#include <arpa/inet.h>

#include "base/limits.h"
#include "x509/ossl.h"
#include "x509/san.h"

static const char *const names[HC_SAN_TYPES] = {
    [HC_SAN_EMAIL] = "email", [HC_SAN_DNS] = "DNS", [HC_SAN_URI] = "URI", [HC_SAN_IP] = "IP"};

const char *hc_san_type_name(hc_san_type type)
{
    return names[type] ? names[type] : "";
}

bool hc_san_type_parse(hc_slice name, hc_san_type *out)
{
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        if (names[i] && hc_slice_equal_nocase(name, hc_slice_text(names[i]))) {
            *out = (hc_san_type)i;
            return true;
        }
    }
    return false;
}

static bool is_alphanumeric(uint8_t byte)
{
    uint8_t lower = byte | 0x20;
    return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9');
}

static bool is_one_of(uint8_t byte, const char *set)
{
    return byte != 0 && strchr(set, byte) != NULL;
}

/* Every octet is alphanumeric or in `others`. */
static bool made_of(hc_slice text, const char *others)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!is_alphanumeric(text.at[i]) && !is_one_of(text.at[i], others))
            return false;
    }
    return true;
}

/* RFC 5280 section 4.2.1.6 wants the preferred name syntax, which has no '_'. */
static bool is_label(hc_slice label)
{
    return label.size > 0 && label.size <= 63 && label.at[0] != '-' &&
           label.at[label.size - 1] != '-' && made_of(label, "-");
}

/* What looks like an IPv4 address and is none is no name either. */
static bool all_digits_and_dots(hc_slice host)
{
    for (size_t i = 0; i < host.size; i++)
        if (host.at[i] != '.' && (host.at[i] < '0' || host.at[i] > '9'))
            return false;
    return true;
}

bool hc_san_is_dns(hc_slice host)
{
    if (hc_slice_starts_with(host, HC_SLICE_LITERAL("*.")))
        host = hc_slice_from(host, 2);
    if (host.size == 0 || host.size > 253 || all_digits_and_dots(host))
        return false;
    while (host.size) {
        ptrdiff_t dot = hc_slice_find(host, '.');
        hc_slice label = dot < 0 ? host : hc_slice_of(host.at, (size_t)dot);
        if (!is_label(label) || label.size + 1 == host.size)
            return false;
        host = hc_slice_from(host, label.size + 1);
    }
    return true;
}

size_t hc_san_address(const char *host, uint8_t out[16])
{
    if (inet_pton(AF_INET, host, out) == 1)
        return 4;
    return inet_pton(AF_INET6, host, out) == 1 ? 16 : 0;
}

static hc_slice before(hc_slice text, size_t end)
{
    return hc_slice_of(text.at, end);
}

/* Dot-string of RFC 5321 section 4.1.2. */
static bool is_local_part(hc_slice local)
{
    if (local.size == 0 || local.size > 64 || local.at[0] == '.' ||
        local.at[local.size - 1] == '.' || !made_of(local, ".!#$%&'*+-/=?^_`{|}~"))
        return false;
    return !memmem(local.at, local.size, "..", 2);
}

static bool is_email(hc_slice email)
{
    ptrdiff_t at = hc_slice_find(email, '@');
    if (at < 0 || email.size > 254)
        return false;
    hc_slice domain = hc_slice_from(email, (size_t)at + 1);
    /* RFC 5280 section 4.2.1.6 takes its mailboxes from RFC 2821, whose domains have a dot. */
    return is_local_part(before(email, (size_t)at)) && domain.size && domain.at[0] != '*' &&
           hc_slice_find(domain, '.') > 0 && hc_san_is_dns(domain);
}

/* RFC 3986 section 2, with escapes whole. */
static bool is_uri_text(hc_slice text)
{
    if (!made_of(text, "-._~:/?#[]@!$&'()*+,;=%"))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] != '%')
            continue;
        if (text.size - i < 3 || !is_one_of(text.at[i + 1], "0123456789abcdefABCDEF") ||
            !is_one_of(text.at[i + 2], "0123456789abcdefABCDEF"))
            return false;
    }
    return true;
}

/* [userinfo@]host[:port], a fully qualified DNS name or an address (RFC 5280 section 4.2.1.6). */
static bool is_authority(hc_slice authority)
{
    char host[256];
    uint8_t octets[16];
    ptrdiff_t at = hc_slice_find(authority, '@');
    authority = hc_slice_from(authority, at < 0 ? 0 : (size_t)at + 1);
    ptrdiff_t bracket = hc_slice_find(authority, ']');
    bool literal = bracket > 0 && authority.at[0] == '[';
    hc_slice tail = hc_slice_from(authority, literal ? (size_t)bracket + 1 : 0);
    ptrdiff_t colon = hc_slice_find(tail, ':');
    hc_slice port = colon < 0 ? HC_SLICE_NONE : hc_slice_from(tail, (size_t)colon + 1);
    hc_slice name = literal ? hc_slice_of(authority.at + 1, (size_t)bracket - 1)
                            : before(tail, colon < 0 ? tail.size : (size_t)colon);
    if (name.size == 0 || name.size >= sizeof(host) || !all_digits_and_dots(port))
        return false;
    memcpy(host, name.at, name.size);
    host[name.size] = '\0';
    size_t size = hc_san_address(host, octets);
    return literal ? size == 16
                   : size == 4 ||
                         (name.at[0] != '*' && hc_slice_find(name, '.') > 0 && hc_san_is_dns(name));
}

/* SPIFFE ID, sections 2.1 to 2.3: trust domain in lower case, no port, user, query or fragment; a
 * path of segments that are neither empty nor dots. X.509-SVID section 3.1: of a leaf it has a
 * path; the domain alone is a signing certificate's. */
static bool is_spiffe(hc_slice rest)
{
    ptrdiff_t slash = hc_slice_find(rest, '/');
    hc_slice domain = before(rest, slash < 0 ? rest.size : (size_t)slash);
    hc_slice path = slash < 0 ? HC_SLICE_NONE : hc_slice_from(rest, (size_t)slash);
    if (domain.size == 0 || domain.size > 255 || !made_of(domain, "-._") || path.size == 0)
        return false;
    for (size_t i = 0; i < domain.size; i++)
        if (domain.at[i] >= 'A' && domain.at[i] <= 'Z')
            return false;
    while (path.size) {
        path = hc_slice_from(path, 1);
        ptrdiff_t end = hc_slice_find(path, '/');
        hc_slice segment = before(path, end < 0 ? path.size : (size_t)end);
        if (segment.size == 0 || !made_of(segment, "-._") || hc_slice_equal_text(segment, ".") ||
            hc_slice_equal_text(segment, ".."))
            return false;
        path = hc_slice_from(path, segment.size);
    }
    return true;
}

static bool has_spiffe_scheme(hc_slice uri)
{
    return uri.size >= 7 && hc_slice_equal_nocase(before(uri, 7), HC_SLICE_LITERAL("spiffe:"));
}

static const char *wrong_uri(hc_slice uri)
{
    ptrdiff_t colon = hc_slice_find(uri, ':');
    bool lettered = uri.size && is_alphanumeric(uri.at[0]) && uri.at[0] > '9';
    if (colon <= 0 || !lettered || !made_of(before(uri, (size_t)colon), "+-."))
        return "a URI with its scheme is wanted, such as urn:uuid:… or spiffe://…";
    hc_slice rest = hc_slice_from(uri, (size_t)colon + 1);
    if (rest.size == 0 || uri.size > HC_LIMIT_URI || !is_uri_text(rest))
        return "a URI has nothing but ASCII, with other characters as %XX (RFC 3986)";
    bool has_authority = hc_slice_starts_with(rest, HC_SLICE_LITERAL("//"));
    if (has_spiffe_scheme(uri))
        return has_authority && memcmp(uri.at, "spiffe", 6) == 0 &&
                       is_spiffe(hc_slice_from(rest, 2))
                   ? NULL
                   : "a SPIFFE ID is spiffe://trust-domain/path, the domain in lower case";
    if (!has_authority)
        return NULL;
    rest = hc_slice_from(rest, 2);
    size_t size = 0;
    while (size < rest.size && !is_one_of(rest.at[size], "/?#"))
        size++;
    return is_authority(before(rest, size))
               ? NULL
               : "the host of a URI is a full DNS name or an IP address (RFC 5280 section 4.2.1.6)";
}

static const char *wrong(const hc_san *san)
{
    uint8_t octets[16];
    hc_slice value = hc_slice_text(san->value);
    switch (san->type) {
    case HC_SAN_EMAIL:
        return is_email(value) ? NULL
                               : "an email address in ASCII is wanted, such as alice@example.org";
    case HC_SAN_DNS:
        return hc_san_is_dns(value) ? NULL
                                    : "a DNS name is wanted (other than ASCII in its xn-- form)";
    case HC_SAN_URI:
        return wrong_uri(value);
    case HC_SAN_IP:
        return san->value && hc_san_address(san->value, octets)
                   ? NULL
                   : "an IP address without port and brackets is wanted";
    default:
        return "such names are not written";
    }
}

int hc_san_check(const hc_san *san, hc_err *err)
{
    const char *what = wrong(san);
    return what ? hc_err_set(err, HC_EINVAL, "%s", what) : 0;
}

static GENERAL_NAME *make_one(const hc_san *san)
{
    static const int types[HC_SAN_TYPES] = {
        [HC_SAN_EMAIL] = GEN_EMAIL, [HC_SAN_DNS] = GEN_DNS, [HC_SAN_URI] = GEN_URI};
    uint8_t octets[16];
    bool is_ip = san->type == HC_SAN_IP;
    size_t size = is_ip ? hc_san_address(san->value, octets) : strlen(san->value);
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(is_ip ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (!name || !value ||
        ASN1_STRING_set(value, is_ip ? (const void *)octets : san->value, (int)size) != 1) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, is_ip ? GEN_IPADD : types[san->type], value);
    return name;
}

static int check_all(const hc_san *sans, size_t count, hc_err *err)
{
    size_t uris = 0, spiffe = 0;
    if (count == 0 || count > HC_LIMIT_SANS)
        return hc_err_set(err, HC_EINVAL, "1 to %d alternative names are wanted", HC_LIMIT_SANS);
    for (size_t i = 0; i < count; i++) {
        int rc = hc_san_check(&sans[i], err);
        if (rc != 0)
            return rc;
        uris += sans[i].type == HC_SAN_URI;
        spiffe += sans[i].type == HC_SAN_URI && has_spiffe_scheme(hc_slice_text(sans[i].value));
    }
    if (spiffe && uris > 1)
        return hc_err_set(err, HC_EINVAL,
                          "a SPIFFE ID is the only URI of its certificate (X.509-SVID section 2)");
    return 0;
}

int hc_san_make(const hc_san *sans, size_t count, GENERAL_NAMES **out, hc_err *err)
{
    int rc = check_all(sans, count, err);
    if (rc != 0)
        return rc;
    GENERAL_NAMES *made = sk_GENERAL_NAME_new_null();
    for (size_t i = 0; made && i < count; i++) {
        GENERAL_NAME *name = make_one(&sans[i]);
        if (!name || sk_GENERAL_NAME_push(made, name) < 1) {
            GENERAL_NAME_free(name);
            GENERAL_NAMES_free(made);
            made = NULL;
        }
    }
    if (!made)
        return hc_ossl_failed(err, "subjectAltName");
    *out = made;
    return 0;
}
