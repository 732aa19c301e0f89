#include "authority/profile.h"

#include <stdio.h>

#include "base/str.h"

#define ANY_KEY                                                                                    \
    (HC_PROFILE_BIT(HC_KEY_P256) | HC_PROFILE_BIT(HC_KEY_P384) | HC_PROFILE_BIT(HC_KEY_ED25519) |  \
     HC_PROFILE_BIT(HC_KEY_RSA_2048))
#define SAN_EMAIL HC_PROFILE_BIT(HC_SAN_EMAIL)
#define SAN_DNS   HC_PROFILE_BIT(HC_SAN_DNS)
#define SAN_URI   HC_PROFILE_BIT(HC_SAN_URI)
#define SAN_IP    HC_PROFILE_BIT(HC_SAN_IP)

static const hc_profile builtins[] = {
    {.name = "ca",
     .kind = HC_PROFILE_CA,
     .keys = ANY_KEY,
     .lifetime_s = HC_PROFILE_CA_LIFETIME_S,
     .subject = "CN={name}"},
    {.name = "client",
     .kind = HC_PROFILE_CLIENT,
     .keys = ANY_KEY,
     .sans = SAN_EMAIL | SAN_URI,
     .lifetime_s = HC_PROFILE_LIFETIME_S,
     .subject = "CN={name}"},
    {.name = "device",
     .kind = HC_PROFILE_CLIENT,
     .keys = ANY_KEY,
     .sans = SAN_URI | SAN_DNS | SAN_IP,
     .lifetime_s = HC_PROFILE_LIFETIME_S,
     .subject = "CN={name}"},
    {.name = "server",
     .kind = HC_PROFILE_SERVER,
     .keys = ANY_KEY,
     .sans = SAN_DNS | SAN_IP | SAN_URI,
     .lifetime_s = HC_PROFILE_LIFETIME_S,
     .subject = "CN={name}"},
};

const hc_profile *hc_profile_builtin(hc_slice name)
{
    for (size_t i = 0; i < HC_COUNT(builtins); i++)
        if (hc_slice_equal_text(name, builtins[i].name))
            return &builtins[i];
    return NULL;
}

int hc_profile_check_key(const hc_profile *p, const EVP_PKEY *key, hc_err *err)
{
    char allowed[128] = "";
    size_t size = 0;
    for (hc_key_type type = HC_KEY_P256; type < HC_KEY_TYPES; type++) {
        if (!(p->keys & HC_PROFILE_BIT(type)))
            continue;
        if (hc_key_is(key, type))
            return 0;
        int added = snprintf(allowed + size, sizeof(allowed) - size, "%s%s", size ? ", " : "",
                             hc_key_type_name(type));
        size += added > 0 ? (size_t)added : 0;
    }
    return hc_err_set(err, HC_EDENIED,
                      "the profile %s does not certify a key of this kind, but: %s", p->name,
                      allowed);
}

static int check_sans(const hc_profile *p, const hc_holder *h, hc_err *err)
{
    size_t hosts = 0;
    if (h->san_count > HC_LIMIT_SANS)
        return hc_err_set(err, HC_EINVAL, "more than %d alternative names", HC_LIMIT_SANS);
    for (size_t i = 0; i < h->san_count; i++) {
        const hc_san *san = &h->sans[i];
        if (!(p->sans & HC_PROFILE_BIT(san->type)))
            return hc_err_set(err, HC_EINVAL,
                              "the profile %s allows no alternative name of the kind %s", p->name,
                              hc_san_type_name(san->type));
        int rc = hc_san_check(san, err);
        if (rc != 0)
            return rc;
        hosts += san->type == HC_SAN_DNS || san->type == HC_SAN_IP;
    }
    if (p->kind == HC_PROFILE_SERVER && hosts == 0)
        return hc_err_set(err, HC_EINVAL, "a server has at least one DNS name or IP address");
    return 0;
}

int hc_profile_check_holder(const hc_profile *p, const hc_holder *h, hc_err *err)
{
    int rc = 0;
    if (p->kind == HC_PROFILE_CLIENT || h->name)
        rc = hc_profile_check_name(hc_slice_text(h->name), err);
    if (rc == 0)
        rc = check_sans(p, h, err);
    return rc;
}

static int bad_name(hc_err *err, const char *why)
{
    return hc_err_set(err, HC_EINVAL, "a client's name %s", why);
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

int hc_profile_check_name(hc_slice name, hc_err *err)
{
    if (name.size == 0)
        return bad_name(err, "is wanted, for instance alice");
    if (name.size > HC_PROFILE_NAME_BYTES)
        return bad_name(err, "has at most 64 bytes");
    if (hc_slice_equal_text(name, ".") || hc_slice_equal_text(name, ".."))
        return bad_name(err, "cannot be \".\" or \"..\"");
    if (is_space(name.at[0]) || is_space(name.at[name.size - 1]))
        return bad_name(err, "has no space at its ends");
    if (name.at[0] == '.' || name.at[0] == '-')
        return bad_name(err, "does not begin with '.' or '-'");
    while (name.size) {
        uint32_t point = 0;
        size_t size = hc_utf8_next(name, &point);
        if (size == 0)
            return bad_name(err, "is UTF-8");
        if (point == '/' || point == '\\')
            return bad_name(err, "has no '/' or '\\'");
        if (!hc_utf8_harmless(point))
            return bad_name(err, "has no control or invisible characters");
        name = hc_slice_from(name, size);
    }
    return 0;
}

int hc_profile_check_host(hc_slice host, hc_err *err)
{
    char text[254];
    uint8_t octets[16];
    if (host.size > 0 && host.size < sizeof(text) && hc_slice_find(host, 0) < 0) {
        memcpy(text, host.at, host.size);
        text[host.size] = '\0';
        if (hc_san_address(text, octets) > 0 || hc_san_is_dns(host))
            return 0;
    }
    return hc_err_set(
        err, HC_EINVAL,
        "a DNS name (other than ASCII in its xn-- form) or an IP address without port and "
        "brackets is wanted");
}

hc_san hc_profile_host(const char *host)
{
    uint8_t octets[16];
    return (hc_san){hc_san_address(host, octets) ? HC_SAN_IP : HC_SAN_DNS, host};
}
