#include "http/request.h"

#include "http/syntax.h"

bool hc_request_header(const hc_request *r, const char *name, hc_slice *out)
{
    hc_slice wanted = hc_slice_text(name);
    const hc_header *found = NULL;
    for (size_t i = 0; i < r->header_count; i++) {
        if (!hc_slice_equal_nocase(r->headers[i].name, wanted))
            continue;
        if (found)
            return false;
        found = &r->headers[i];
    }
    if (!found)
        return false;
    *out = found->value;
    return true;
}

static bool unambiguous_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-';
}

bool hc_header_is_reserved(hc_slice name)
{
    static const char *const prefixes[] = {
        "ssl-",
        "handclasp",
        "remote-user",
        "auth-type",
        "x-ssl-",
        "client-cert",
        "x-client-cert",
        "x-forwarded-client-cert",
        "x-forwarded-tls-client-cert",
        "x-amzn-mtls-",
        "x-arr-clientcert",
        "cf-client-cert",
    };
    for (size_t i = 0; i < name.size; i++) {
        if (!unambiguous_name_byte(name.at[i]))
            return true;
    }
    for (size_t i = 0; i < HC_COUNT(prefixes); i++) {
        if (hc_slice_starts_with_nocase(name, prefixes[i]))
            return true;
    }
    /* Whole: "HTTP_PROXY" is what a library may take for its proxy (httpoxy, CVE-2016-5385), and
     * "HTTP_HTTPS" what applications have taken for the scheme (Chrome 44 sent "HTTPS: 1"). */
    return hc_slice_equal_nocase(name, HC_SLICE_LITERAL("proxy")) ||
           hc_slice_equal_nocase(name, HC_SLICE_LITERAL("https"));
}

static bool has_encoded_slash(hc_slice raw)
{
    for (size_t i = 0; i + 2 < raw.size; i++) {
        if (raw.at[i] != '%')
            continue;
        uint8_t high = raw.at[i + 1];
        uint8_t low = raw.at[i + 2] | 0x20;
        if ((high == '2' && low == 'f') || (high == '5' && low == 'c'))
            return true;
    }
    return false;
}

static bool is_dot_segment(hc_slice segment)
{
    ptrdiff_t parameter = hc_slice_find(segment, ';');
    if (parameter >= 0)
        segment.size = (size_t)parameter;
    return hc_slice_equal_text(segment, ".") || hc_slice_equal_text(segment, "..");
}

bool hc_request_path_is_ambiguous(const hc_request *r)
{
    if (has_encoded_slash(r->raw_path) || hc_slice_find(r->path, '\\') >= 0)
        return true;
    hc_slice rest = r->path;
    if (rest.size == 0 || rest.at[0] != '/') /* asterisk-form */
        return false;
    while (rest.size) {
        rest = hc_slice_from(rest, 1);
        ptrdiff_t slash = hc_slice_find(rest, '/');
        hc_slice segment = slash < 0 ? rest : hc_slice_of(rest.at, (size_t)slash);
        if (is_dot_segment(segment) || (segment.size == 0 && slash >= 0))
            return true;
        rest = hc_slice_from(rest, segment.size);
    }
    return false;
}
