#define HC_BASE_ERR_C
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int positive(int code)
{
    return code < 0 ? -code : code;
}

/* Formats beside the field first, since an argument may be the text that is there. */
HC_PRINTF(3, 0)
static void format_text(char *out, size_t size_bytes, const char *format, va_list args)
{
    if (vsnprintf(out, size_bytes, format, args) < 0)
        out[0] = '\0';
}

int hc_err_set(hc_err *err, int code, const char *format, ...)
{
    code = positive(code);
    if (err) {
        char text[sizeof(err->text)];
        va_list args;
        va_start(args, format);
        format_text(text, sizeof(text), format, args);
        va_end(args);
        err->code = code;
        memcpy(err->text, text, sizeof(text));
    }
    return -code;
}

static void join(hc_err *err, const char *front, const char *back)
{
    char text[sizeof(err->text)] = "";
    size_t front_size = strnlen(front, sizeof(text) - 1);
    memcpy(text, front, front_size);
    (void)snprintf(text + front_size, sizeof(text) - front_size, ": %s", back);
    memcpy(err->text, text, sizeof(text));
}

int hc_err_errno(hc_err *err, int errno_value, const char *format, ...)
{
    if (err) {
        char text[sizeof(err->text)];
        char reason[128];
        va_list args;
        va_start(args, format);
        format_text(text, sizeof(text), format, args);
        va_end(args);
        err->code = HC_EIO;
        join(err, text, strerror_r(errno_value, reason, sizeof(reason)));
    }
    return -HC_EIO;
}

int hc_err_context(hc_err *err, const char *format, ...)
{
    /* A caller passes this result on as its own: 0 would turn a failure into a success. */
    if (!err)
        return -HC_EIO;
    if (err->code == HC_OK)
        err->code = HC_EIO;
    char context[sizeof(err->text)];
    va_list args;
    va_start(args, format);
    format_text(context, sizeof(context), format, args);
    va_end(args);
    join(err, context, err->text);
    return -positive(err->code);
}

const char *hc_err_name(int code)
{
    static const char *const names[] = {
        [HC_OK] = "ok",
        [HC_ENOMEM] = "no-memory",
        [HC_EINVAL] = "invalid-argument",
        [HC_EFORMAT] = "malformed",
        [HC_ELIMIT] = "limit-reached",
        [HC_EIO] = "system-call-failed",
        [HC_ENOENT] = "not-found",
        [HC_ETLS] = "tls-failed",
        [HC_EAGAIN] = "try-again",
        [HC_ECLOSED] = "closed",
        [HC_EDENIED] = "denied",
        [HC_EBUSY] = "busy",
        [HC_EEXIST] = "exists",
    };
    unsigned index = code < 0 ? 0u - (unsigned)code : (unsigned)code;
    return index < HC_COUNT(names) ? names[index] : "unknown";
}
