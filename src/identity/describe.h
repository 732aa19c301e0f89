/* Short printable ASCII for errors and details: names, dates, whatever a certificate may hold. Pure
 * functions that never fail: what does not fit is cut, what is not printable is escaped. For
 * identity/ alone. */
#ifndef HC_IDENTITY_DESCRIBE_H
#define HC_IDENTITY_DESCRIBE_H

#include <openssl/x509.h>

#include "base/slice.h"

#define HC_DESCRIBE_NAME_BYTES 128
#define HC_DESCRIBE_TIME_BYTES 32

/* A copy with "\xHH" for what is not printable ASCII; cut at the size of `out`. */
void hc_describe_text(hc_slice text, char *out, size_t out_size);
void hc_describe_name(const X509_NAME *name, char out[HC_DESCRIBE_NAME_BYTES]);
/* "2026-01-02T03:04:05Z" */
void hc_describe_time(int64_t time_s, char out[HC_DESCRIBE_TIME_BYTES]);

#endif
