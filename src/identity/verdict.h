/* The one answer of identity/: may this certificate come in, and if not, why. An enum with stable
 * names, never a bool. */
#ifndef HC_IDENTITY_VERDICT_H
#define HC_IDENTITY_VERDICT_H

#include <stdint.h>

#include "base/slice.h"

typedef enum hc_verdict_code {
    HC_VERDICT_NO_CERTIFICATE = 0, /* zero, so that memory nobody filled in admits nobody */
    HC_VERDICT_OK,
    HC_VERDICT_MALFORMED,
    HC_VERDICT_UNTRUSTED_ISSUER,
    HC_VERDICT_NOT_YET_VALID,
    HC_VERDICT_EXPIRED,
    HC_VERDICT_WRONG_PURPOSE,
    HC_VERDICT_WEAK_KEY,
    HC_VERDICT_KEY_NOT_PROVEN,
    HC_VERDICT_REVOKED,
    HC_VERDICT_STATUS_UNKNOWN, /* a CRL was wanted and none that is current covers this issuer */
    HC_VERDICT_NOT_IN_REGISTRY,
    HC_VERDICT_RECORD_MISMATCH,
    HC_VERDICT_SUSPENDED,
    HC_VERDICT_REFUSED_BY_POLICY,
    HC_VERDICT_REFUSED_BY_APP,
    HC_VERDICT_REGISTRY_UNAVAILABLE,
    HC_VERDICT_COUNT
} hc_verdict_code;

typedef struct hc_verdict {
    hc_verdict_code code;
    int error;        /* the first X509_V_ERR_…, 0 where OpenSSL had no part in it */
    int depth;        /* of that error: 0 is the leaf */
    char detail[160]; /* printable ASCII, for the log and the 403; "" where the name says it all */
    int64_t good_until_s;      /* wall clock; past it the verdict must be made anew */
    uint64_t chain_generation; /* of the trust it rested on */
    uint64_t record_generation;
} hc_verdict;

/* "ok", "no-certificate" …: what logs, responses, metrics and `handclasp.verdict` show. */
const char *hc_verdict_name(hc_verdict_code code);
bool hc_verdict_parse(hc_slice name, hc_verdict_code *out);

#define HC_VERDICT_TEXT_BYTES 160
/* SSL_CLIENT_VERIFY as mod_ssl words it: "SUCCESS", "NONE", "FAILED:reason". In `room`, or a
 * constant. */
hc_slice hc_verdict_client_verify(const hc_verdict *v, char room[HC_VERDICT_TEXT_BYTES]);

#endif
