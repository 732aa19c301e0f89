#include "net/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/limits.h"
#include "base/str.h"

/* "The PROXY protocol, versions 1 & 2" (haproxy.org, proxy-protocol.txt): section numbers below are
 * of that text. */

#define V1_LINE_BYTES   107 /* section 2.1: the longest line, CRLF included */
#define V2_HEADER_BYTES 16
#define V2_UNIX_PATH    ((size_t)108)

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_UNIX = 0x31 };

static int malformed(hc_err *err, const char *why)
{
    return hc_err_set(err, HC_EFORMAT, "PROXY protocol: %s", why);
}

static hc_address ipv4(const uint8_t host[4], const uint8_t port[2])
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    memcpy(&in.sin_addr, host, 4);
    memcpy(&in.sin_port, port, 2);
    hc_address a = {.size = sizeof(in)};
    memcpy(&a.storage, &in, sizeof(in));
    return a;
}

static hc_address ipv6(const uint8_t host[16], const uint8_t port[2])
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6};
    memcpy(&in.sin6_addr, host, 16);
    memcpy(&in.sin6_port, port, 2);
    hc_address a = {.size = sizeof(in)};
    memcpy(&a.storage, &in, sizeof(in));
    return a;
}

static hc_address local(const uint8_t path[V2_UNIX_PATH])
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, V2_UNIX_PATH);
    hc_address a = {.size = sizeof(un)};
    memcpy(&a.storage, &un, sizeof(un));
    return a;
}

/* The word up to the next space, or up to the end where `last`. */
static bool take_word(hc_slice *line, bool last, hc_slice *word)
{
    ptrdiff_t space = hc_slice_find(*line, ' ');
    if ((space < 0) != last)
        return false;
    *word = (hc_slice){line->at, last ? line->size : (size_t)space};
    *line = hc_slice_from(*line, word->size + (last ? 0 : 1));
    return word->size > 0;
}

static bool parse_host(hc_slice word, int family, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN] = "";
    if (word.size >= sizeof(text) || hc_slice_find(word, '\0') >= 0)
        return false;
    memcpy(text, word.at, word.size);
    return inet_pton(family, text, out) == 1;
}

/* Section 2.1: decimal, no leading zero. */
static bool parse_port(hc_slice word, uint8_t out[2])
{
    uint64_t number = 0;
    if (word.size > 5 || (word.size > 1 && word.at[0] == '0') || !hc_parse_u64(word, &number) ||
        number > 65535)
        return false;
    out[0] = (uint8_t)(number >> 8);
    out[1] = (uint8_t)(number & 0xff);
    return true;
}

static int decode_v1_addresses(hc_slice line, int family, hc_proxy *out, hc_err *err)
{
    hc_slice words[4];
    uint8_t hosts[2][16], ports[2][2];
    for (size_t i = 0; i < HC_COUNT(words); i++) {
        if (!take_word(&line, i + 1 == HC_COUNT(words), &words[i]))
            return malformed(err, "two addresses and two ports are wanted, one space between them");
    }
    for (size_t i = 0; i < 2; i++) {
        if (!parse_host(words[i], family, hosts[i]))
            return malformed(err, "an address is not of the family that the line names");
        if (!parse_port(words[i + 2], ports[i]))
            return malformed(err, "a port is not a number from 0 to 65535");
    }
    out->known = true;
    out->source = family == AF_INET ? ipv4(hosts[0], ports[0]) : ipv6(hosts[0], ports[0]);
    out->destination = family == AF_INET ? ipv4(hosts[1], ports[1]) : ipv6(hosts[1], ports[1]);
    return 0;
}

static int decode_v1(hc_slice in, size_t *consumed, hc_proxy *out, hc_err *err)
{
    static const char unknown[] = "UNKNOWN", tcp4[] = "TCP4 ", tcp6[] = "TCP6 ";
    hc_slice head = {in.at, in.size < V1_LINE_BYTES ? in.size : V1_LINE_BYTES};
    ptrdiff_t end = hc_slice_find(head, '\n');
    if (end < 0) {
        if (in.size >= V1_LINE_BYTES)
            return malformed(err, "the line is longer than 107 octets");
        return hc_err_set(err, HC_EAGAIN, "PROXY protocol: the line is not whole yet");
    }
    if (end < 1 || in.at[end - 1] != '\r')
        return malformed(err, "the line does not end with CR LF");
    hc_slice line = hc_slice_from((hc_slice){in.at, (size_t)end - 1}, strlen("PROXY "));
    hc_proxy found = {.known = false};
    int rc = 0;
    if (hc_slice_starts_with(line, hc_slice_text(tcp4)))
        rc = decode_v1_addresses(hc_slice_from(line, strlen(tcp4)), AF_INET, &found, err);
    else if (hc_slice_starts_with(line, hc_slice_text(tcp6)))
        rc = decode_v1_addresses(hc_slice_from(line, strlen(tcp6)), AF_INET6, &found, err);
    else if (!hc_slice_starts_with(line, hc_slice_text(unknown)) ||
             (line.size > strlen(unknown) && line.at[strlen(unknown)] != ' '))
        rc = malformed(err, "the protocol is none of TCP4, TCP6, UNKNOWN");
    if (rc < 0)
        return rc;
    *out = found;
    *consumed = (size_t)end + 1;
    return 0;
}

/* Section 2.2: type, 16-bit length, value, up to the end of the block. What they say is not used.
 */
static bool tlvs_are_well_formed(hc_slice in)
{
    while (in.size >= 3) {
        size_t size = 3 + ((size_t)in.at[1] << 8 | in.at[2]);
        if (size > in.size)
            return false;
        in = hc_slice_from(in, size);
    }
    return in.size == 0;
}

/* The octets of both addresses; 0 where the family is none that a stream socket has. */
static size_t v2_address_bytes(uint8_t family)
{
    switch (family) {
    case V2_TCP4:
        return 12;
    case V2_TCP6:
        return 36;
    case V2_UNIX:
        return 2 * V2_UNIX_PATH;
    default:
        return 0;
    }
}

static int decode_v2_body(uint8_t family, hc_slice body, hc_proxy *out, hc_err *err)
{
    /* Section 2.2: the receiver ignores the addresses of an unspecified family, and whatever else
     * the block holds, since it cannot know where the addresses end. */
    if (family == V2_UNSPEC)
        return 0;
    size_t size = v2_address_bytes(family);
    if (size == 0)
        return malformed(err, "the address family is not one of a stream");
    if (body.size < size)
        return malformed(err, "the block is too short for its addresses");
    if (!tlvs_are_well_formed(hc_slice_from(body, size)))
        return malformed(err, "a TLV does not fit into the block");
    const uint8_t *at = body.at;
    out->known = true;
    switch (family) {
    case V2_TCP4:
        out->source = ipv4(at, at + 8);
        out->destination = ipv4(at + 4, at + 10);
        break;
    case V2_TCP6:
        out->source = ipv6(at, at + 32);
        out->destination = ipv6(at + 16, at + 34);
        break;
    default:
        out->source = local(at);
        out->destination = local(at + V2_UNIX_PATH);
        break;
    }
    return 0;
}

static int decode_v2(hc_slice in, size_t *consumed, hc_proxy *out, hc_err *err)
{
    if (in.size >= 13 && in.at[12] != V2_LOCAL && in.at[12] != V2_PROXY)
        return malformed(err, "neither version 2 with LOCAL nor with PROXY");
    if (in.size < V2_HEADER_BYTES)
        return hc_err_set(err, HC_EAGAIN, "PROXY protocol: the header is not whole yet");
    size_t size = (size_t)in.at[14] << 8 | in.at[15];
    if (size > HC_LIMIT_PROXY_HEADER - V2_HEADER_BYTES)
        return malformed(err, "the block is too long");
    if (in.size < V2_HEADER_BYTES + size)
        return hc_err_set(err, HC_EAGAIN, "PROXY protocol: the block is not whole yet");
    hc_proxy found = {.known = false};
    /* LOCAL: the proxy speaks for itself (a health check); the block is skipped. */
    if (in.at[12] == V2_PROXY) {
        hc_slice body = {in.at + V2_HEADER_BYTES, size};
        int rc = decode_v2_body(in.at[13], body, &found, err);
        if (rc < 0)
            return rc;
    }
    *out = found;
    *consumed = V2_HEADER_BYTES + size;
    return 0;
}

static bool agrees(hc_slice in, const char *signature, size_t size)
{
    return memcmp(in.at, signature, in.size < size ? in.size : size) == 0;
}

int hc_proxy_decode(hc_slice in, size_t *consumed, hc_proxy *out, hc_err *err)
{
    static const char v1[] = {'P', 'R', 'O', 'X', 'Y', ' '};
    static const char v2[] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
    if (in.size == 0)
        return hc_err_set(err, HC_EAGAIN, "PROXY protocol: nothing came yet");
    bool first = agrees(in, v1, sizeof(v1));
    if (!first && !agrees(in, v2, sizeof(v2)))
        return malformed(err, "the connection does not begin with a PROXY header");
    if (in.size < (first ? sizeof(v1) : sizeof(v2)))
        return hc_err_set(err, HC_EAGAIN, "PROXY protocol: the signature is not whole yet");
    return first ? decode_v1(in, consumed, out, err) : decode_v2(in, consumed, out, err);
}
