#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/str.h"
#include "net/listener.h"

/* The 16 octets of an IP address, IPv4 in its mapped form (RFC 4291 section 2.5.5.2). */
static bool mapped_form(const hc_address *a, uint8_t out[16], uint16_t *port)
{
    if (a->storage.ss_family == AF_INET && a->size >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, &a->storage, sizeof(in));
        memset(out, 0, 10);
        memset(out + 10, 0xff, 2);
        memcpy(out + 12, &in.sin_addr, 4);
        *port = ntohs(in.sin_port);
        return true;
    }
    if (a->storage.ss_family == AF_INET6 && a->size >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in;
        memcpy(&in, &a->storage, sizeof(in));
        memcpy(out, &in.sin6_addr, 16);
        *port = ntohs(in.sin6_port);
        return true;
    }
    return false;
}

static bool is_ipv4(const uint8_t mapped[16])
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(mapped, prefix, sizeof(prefix)) == 0;
}

void hc_address_text(const hc_address *a, char out[HC_ADDRESS_TEXT_BYTES], uint16_t *port)
{
    uint8_t octets[16];
    uint16_t number = 0;
    out[0] = '\0';
    if (port)
        *port = 0;
    if (!mapped_form(a, octets, &number))
        return;
    if (port)
        *port = number;
    if (is_ipv4(octets)) {
        (void)inet_ntop(AF_INET, octets + 12, out, HC_ADDRESS_TEXT_BYTES);
        return;
    }
    /* getnameinfo, unlike inet_ntop, adds the scope of a link-local address. */
    if (getnameinfo((const struct sockaddr *)&a->storage, a->size, out, HC_ADDRESS_TEXT_BYTES, NULL,
                    0, NI_NUMERICHOST) != 0)
        (void)inet_ntop(AF_INET6, octets, out, HC_ADDRESS_TEXT_BYTES);
}

int hc_address_of_socket(int fd, hc_address *out, hc_err *err)
{
    hc_address a = {.size = sizeof(a.storage)};
    if (getsockname(fd, (struct sockaddr *)&a.storage, &a.size) != 0)
        return hc_err_errno(err, errno, "cannot read the address of socket %d", fd);
    *out = a;
    return 0;
}

static int bad_network(hc_slice text, const char *why, hc_err *err)
{
    char shown[64] = "";
    size_t size = text.size < sizeof(shown) ? text.size : sizeof(shown) - 1;
    for (size_t i = 0; i < size; i++)
        shown[i] = text.at[i] > ' ' && text.at[i] < 0x7f ? (char)text.at[i] : '?';
    return hc_err_set(err, HC_EINVAL,
                      "\"%s\" is not a network: %s; write for instance 127.0.0.1, 10.0.0.0/8, ::1, "
                      "unix or *",
                      shown, why);
}

static bool host_bits_are_zero(const hc_network *n)
{
    for (unsigned bit = n->prefix_bits; bit < 128; bit++) {
        if (n->bytes[bit / 8] & (0x80u >> bit % 8))
            return false;
    }
    return true;
}

static int parse_prefix(hc_slice text, hc_slice digits, bool ipv4, hc_network *n, hc_err *err)
{
    uint64_t bits = 0;
    if (digits.size > 3 || !hc_parse_u64(digits, &bits) || bits > (ipv4 ? 32 : 128))
        return bad_network(text,
                           ipv4 ? "the prefix is a number from 0 to 32"
                                : "the prefix is a number from 0 to 128",
                           err);
    n->prefix_bits = (uint8_t)(ipv4 ? bits + 96 : bits);
    return 0;
}

int hc_network_parse(hc_slice text, hc_network *out, hc_err *err)
{
    hc_network n = {.prefix_bits = 128};
    n.any = hc_slice_equal_text(text, "*");
    n.unix_socket = hc_slice_equal_text(text, "unix");
    if (n.any || n.unix_socket) {
        *out = n;
        return 0;
    }
    ptrdiff_t slash = hc_slice_find(text, '/');
    hc_slice host = {text.at, slash < 0 ? text.size : (size_t)slash};
    char name[INET6_ADDRSTRLEN] = "";
    if (host.size == 0 || host.size >= sizeof(name) || hc_slice_find(host, '\0') >= 0)
        return bad_network(text, "no IP address", err);
    memcpy(name, host.at, host.size);
    bool ipv4 = inet_pton(AF_INET, name, n.bytes + 12) == 1;
    if (ipv4)
        memset(n.bytes + 10, 0xff, 2);
    else if (inet_pton(AF_INET6, name, n.bytes) != 1)
        return bad_network(text, "no IP address", err);
    if (slash >= 0) {
        int rc = parse_prefix(text, hc_slice_from(text, (size_t)slash + 1), ipv4, &n, err);
        if (rc < 0)
            return rc;
    }
    if (!host_bits_are_zero(&n))
        return bad_network(text, "it has bits set behind its prefix", err);
    *out = n;
    return 0;
}

bool hc_network_contains(const hc_network *n, const hc_address *a)
{
    if (n->any)
        return true;
    if (n->unix_socket || a->storage.ss_family == AF_UNIX)
        return n->unix_socket && a->storage.ss_family == AF_UNIX;
    uint8_t octets[16];
    uint16_t port;
    if (!mapped_form(a, octets, &port))
        return false;
    if (is_ipv4(octets) && n->prefix_bits < 96)
        return false;
    for (unsigned bit = 0; bit < n->prefix_bits; bit++) {
        if ((n->bytes[bit / 8] ^ octets[bit / 8]) & (0x80u >> bit % 8))
            return false;
    }
    return true;
}
