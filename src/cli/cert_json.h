/* A certificate as a JSON value, and that value as lines for a person. */
#ifndef HC_CLI_CERT_JSON_H
#define HC_CLI_CERT_JSON_H

#include <jansson.h>

#include "x509/cert.h"

/* Subject, issuer, serial (hex and decimal), validity (RFC 3339), names, key, purposes,
 * fingerprint. NULL with `err`. */
json_t *hc_cert_json(const hc_cert *c, hc_err *err);
/* One "key value" line each, `indent` spaces in front; values are escaped. */
int hc_cert_lines(const json_t *cert, unsigned indent, hc_buf *out) HC_MUST_CHECK;
/* RFC 3339, UTC. */
void hc_time_text(int64_t time_s, char out[32]);

#endif
