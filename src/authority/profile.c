#include "authority/profile.h"

#include <arpa/inet.h>

#include "base/str.h"

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

static bool is_label_octet(uint8_t byte)
{
    uint8_t lower = byte | 0x20;
    return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
           byte == '_';
}

static bool is_label(hc_slice label)
{
    if (label.size == 0 || label.size > 63 || label.at[0] == '-' || label.at[label.size - 1] == '-')
        return false;
    for (size_t i = 0; i < label.size; i++)
        if (!is_label_octet(label.at[i]))
            return false;
    return true;
}

static bool is_dns_name(hc_slice host)
{
    if (hc_slice_starts_with(host, HC_SLICE_LITERAL("*.")))
        host = hc_slice_from(host, 2);
    if (host.size == 0 || host.size > 253)
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

/* RFC 1123 section 2.1: what looks like an IPv4 address and is none is no name either. */
static bool all_digits_and_dots(hc_slice host)
{
    for (size_t i = 0; i < host.size; i++)
        if (host.at[i] != '.' && (host.at[i] < '0' || host.at[i] > '9'))
            return false;
    return true;
}

size_t hc_profile_address(const char *host, uint8_t out[16])
{
    if (inet_pton(AF_INET, host, out) == 1)
        return 4;
    return inet_pton(AF_INET6, host, out) == 1 ? 16 : 0;
}

int hc_profile_check_host(hc_slice host, hc_err *err)
{
    char text[254];
    uint8_t octets[16];
    if (host.size > 0 && host.size < sizeof(text) && hc_slice_find(host, 0) < 0) {
        memcpy(text, host.at, host.size);
        text[host.size] = '\0';
        if (hc_profile_address(text, octets) > 0)
            return 0;
        if (is_dns_name(host) && !all_digits_and_dots(host))
            return 0;
    }
    return hc_err_set(
        err, HC_EINVAL,
        "a DNS name (other than ASCII in its xn-- form) or an IP address without port and "
        "brackets is wanted");
}
