#include "http/problem.h"

#include "base/str.h"
#include "http/response.h"

static int add_character(hc_buf *out, hc_slice octets, uint32_t point)
{
    switch (point) {
    case '"':
        return hc_buf_add_text(out, "\\\"");
    case '\\':
        return hc_buf_add_text(out, "\\\\");
    case '\n':
        return hc_buf_add_text(out, "\\n");
    default:
        if (point < 0x20 || point == 0x7f)
            return hc_buf_printf(out, "\\u%04x", (unsigned)point);
        return hc_buf_add(out, octets);
    }
}

static int add_string(hc_buf *out, const char *text)
{
    hc_slice rest = hc_slice_text(text);
    int rc = hc_buf_add_byte(out, '"');
    while (rc == 0 && rest.size) {
        uint32_t point = 0;
        size_t size = hc_utf8_next(rest, &point);
        if (size)
            rc = add_character(out, hc_slice_of(rest.at, size), point);
        else
            rc = hc_buf_add_text(out, "\xef\xbf\xbd"); /* U+FFFD */
        rest = hc_slice_from(rest, size ? size : 1);
    }
    return rc ? rc : hc_buf_add_byte(out, '"');
}

static int add_member(hc_buf *out, const char *name, const char *text)
{
    if (!text)
        return 0;
    int rc = hc_buf_printf(out, ",\"%s\":", name);
    return rc ? rc : add_string(out, text);
}

int hc_problem_write(hc_buf *out, int status, const char *detail, const char *verdict)
{
    size_t before = out->size;
    int rc = hc_buf_printf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d",
                           hc_status_phrase(status), status);
    if (rc == 0)
        rc = add_member(out, "detail", detail);
    if (rc == 0)
        rc = add_member(out, "verdict", verdict);
    if (rc == 0)
        rc = hc_buf_add_text(out, "}\n");
    if (rc != 0)
        out->size = before;
    return rc;
}
