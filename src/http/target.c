#include <arpa/inet.h>

#include "base/str.h"
#include "http/h1_parts.h"
#include "http/syntax.h"

static bool port_valid(hc_slice digits)
{
    uint64_t port = 0;
    return digits.size == 0 || (hc_parse_u64(digits, &port) && port <= UINT16_MAX);
}

static bool ipv6_valid(hc_slice text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (text.size >= sizeof(copy) || memchr(text.at, '\0', text.size))
        return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* RFC 3986 section 3.2.2, without what no name in use has: percent-encoding, sub-delims ("a,b"),
 * IPvFuture, zones. */
bool hc_host_valid(hc_slice host)
{
    size_t size;
    if (host.size && host.at[0] == '[') {
        ptrdiff_t end = hc_slice_find(host, ']');
        if (end < 0 || !ipv6_valid(hc_slice_of(host.at + 1, (size_t)end - 1)))
            return false;
        size = (size_t)end + 1;
    } else {
        size = hc_chars_span(host, HC_CHAR_HOST);
    }
    if (size == 0)
        return false;
    return size == host.size || (host.at[size] == ':' && port_valid(hc_slice_from(host, size + 1)));
}

/* Percent-decodes; without a "%" the path as received serves. */
static bool decode_path(hc_h1 *d)
{
    hc_slice raw = d->request.raw_path;
    d->request.path = raw;
    if (hc_slice_find(raw, '%') < 0)
        return true;
    if (hc_buf_reserve(&d->decoded, raw.size) != 0)
        return hc_h1_fail(d, 500, "out of memory");
    uint8_t *out = d->decoded.at;
    for (size_t i = 0; i < raw.size; i++) {
        if (raw.at[i] != '%') {
            *out++ = raw.at[i];
            continue;
        }
        int high = i + 2 < raw.size ? hc_hex_digit(raw.at[i + 1]) : -1;
        int low = high >= 0 ? hc_hex_digit(raw.at[i + 2]) : -1;
        if (low < 0)
            return hc_h1_fail(d, 400, "malformed percent-encoding in the path");
        if (high == 0 && low == 0)
            return hc_h1_fail(d, 400, "NUL in the path");
        *out++ = (uint8_t)(high << 4 | low);
        i += 2;
    }
    d->decoded.size = (size_t)(out - d->decoded.at);
    d->request.path = hc_buf_slice(&d->decoded);
    return true;
}

static bool path_and_query(hc_h1 *d, hc_slice text)
{
    ptrdiff_t mark = hc_slice_find(text, '?');
    d->request.raw_path = mark < 0 ? text : hc_slice_of(text.at, (size_t)mark);
    d->request.query = mark < 0 ? HC_SLICE_NONE : hc_slice_from(text, (size_t)mark + 1);
    if (d->request.raw_path.size ==
        0) /* RFC 9110 section 4.2.3: "http://host" means "http://host/" */
        d->request.raw_path = HC_SLICE_LITERAL("/");
    return decode_path(d);
}

/* RFC 9112 section 3.2.2. Userinfo fails as a host (RFC 9110 section 4.2.4). */
static bool absolute_form(hc_h1 *d, hc_slice after_scheme)
{
    size_t size = 0;
    while (size < after_scheme.size && after_scheme.at[size] != '/' && after_scheme.at[size] != '?')
        size++;
    hc_slice authority = hc_slice_of(after_scheme.at, size);
    if (!hc_host_valid(authority))
        return hc_h1_fail(d, 400, "malformed authority in the request target");
    d->request.form = HC_TARGET_ABSOLUTE;
    d->request.host = authority;
    return path_and_query(d, hc_slice_from(after_scheme, size));
}

bool hc_h1_target(hc_h1 *d)
{
    hc_request *r = &d->request;
    if (hc_slice_equal_text(r->method, "CONNECT"))
        return hc_h1_fail(d, 501, "CONNECT is for proxies");
    if (r->target.at[0] == '/') {
        r->form = HC_TARGET_ORIGIN;
        return path_and_query(d, r->target);
    }
    if (hc_slice_equal_text(r->target, "*") && hc_slice_equal_text(r->method, "OPTIONS")) {
        r->form = HC_TARGET_ASTERISK;
        r->raw_path = r->path = r->target;
        return true;
    }
    if (hc_slice_starts_with_nocase(r->target, "https://"))
        return absolute_form(d, hc_slice_from(r->target, sizeof("https://") - 1));
    if (hc_slice_starts_with_nocase(r->target, "http://"))
        return absolute_form(d, hc_slice_from(r->target, sizeof("http://") - 1));
    return hc_h1_fail(d, 400, "malformed request target");
}
