/* Errors: a negative HC_E… code is returned, the details go into the hc_err that is passed last.
 *
 * Core code neither logs nor exits: it fills in the error and its caller decides. A text is one
 * line that says what happened, to what, and where possible what to do. `err` may be NULL where the
 * caller wants the code alone. */
#ifndef HC_BASE_ERR_H
#define HC_BASE_ERR_H

#include <stddef.h>

#include "base/attr.h"

enum {
    HC_OK = 0,
    HC_ENOMEM = 1,   /* an allocation failed */
    HC_EINVAL = 2,   /* an argument or option is wrong */
    HC_EFORMAT = 3,  /* input from outside is malformed */
    HC_ELIMIT = 4,   /* a limit of base/limits.h (or its option) was reached */
    HC_EIO = 5,      /* a system call failed */
    HC_ENOENT = 6,   /* a thing that was named does not exist */
    HC_ETLS = 7,     /* an OpenSSL call failed */
    HC_EAGAIN = 8,   /* would block: try again when the descriptor is ready */
    HC_ECLOSED = 9,  /* the peer closed */
    HC_EDENIED = 10, /* refused: permissions, policy */
    HC_EBUSY = 11,   /* somebody else holds it */
    HC_EEXIST = 12,  /* a thing of that name is there already */
};

typedef struct hc_err {
    int code; /* HC_E… (positive), HC_OK when unset */
    char text[512];
} hc_err;

/* Fills in `err` (where not NULL) and returns -code. The text is cut at the size of the field. */
int hc_err_set(hc_err *err, int code, const char *format, ...) HC_PRINTF(3, 4);

/* The same with ": " and strerror(errno_value) behind the text; the code is HC_EIO. */
int hc_err_errno(hc_err *err, int errno_value, const char *format, ...) HC_PRINTF(3, 4);

/* Puts "context: " before the text that is there; keeps and returns the (negative) code. Where that
 * is not known (no err, or one that is unset) it is HC_EIO: never 0, since callers return it as
 * their own. */
int hc_err_context(hc_err *err, const char *format, ...) HC_PRINTF(2, 3);

/* The static analyzer reads one file at a time and would follow paths on which these return 0. */
#if defined(__clang_analyzer__) && !defined(HC_BASE_ERR_C)
static inline int hc_err_negative(int code)
{
    if (code >= 0)
        __builtin_unreachable();
    return code;
}
#define hc_err_set(...)     hc_err_negative(hc_err_set(__VA_ARGS__))
#define hc_err_errno(...)   hc_err_negative(hc_err_errno(__VA_ARGS__))
#define hc_err_context(...) hc_err_negative(hc_err_context(__VA_ARGS__))
#endif

/* A short stable name, for tests and logs: "ok", "no-memory", "malformed" … Never NULL. */
const char *hc_err_name(int code);

#endif
