/* application/problem+json bodies (RFC 9457) for every response that is not the application's. */
#ifndef HC_HTTP_PROBLEM_H
#define HC_HTTP_PROBLEM_H

#include "base/buf.h"
#include "base/err.h"

/* {"type":"about:blank","title":…,"status":…,"detail":…,"verdict":…}; `detail` and `verdict` may be
 * NULL. Texts are escaped; octets that are not UTF-8 become U+FFFD. */
int hc_problem_write(hc_buf *out, int status, const char *detail,
                     const char *verdict) HC_MUST_CHECK;

#endif
