#include "identity/verdict.h"

#include <openssl/x509_vfy.h>
#include <stdio.h>

static const char *const names[HC_VERDICT_COUNT] = {
    [HC_VERDICT_NO_CERTIFICATE] = "no-certificate",
    [HC_VERDICT_OK] = "ok",
    [HC_VERDICT_MALFORMED] = "malformed",
    [HC_VERDICT_UNTRUSTED_ISSUER] = "untrusted-issuer",
    [HC_VERDICT_NOT_YET_VALID] = "not-yet-valid",
    [HC_VERDICT_EXPIRED] = "expired",
    [HC_VERDICT_WRONG_PURPOSE] = "wrong-purpose",
    [HC_VERDICT_WEAK_KEY] = "weak-key",
    [HC_VERDICT_KEY_NOT_PROVEN] = "key-not-proven",
    [HC_VERDICT_REVOKED] = "revoked",
    [HC_VERDICT_STATUS_UNKNOWN] = "status-unknown",
    [HC_VERDICT_NOT_IN_REGISTRY] = "not-in-registry",
    [HC_VERDICT_RECORD_MISMATCH] = "record-mismatch",
    [HC_VERDICT_SUSPENDED] = "suspended",
    [HC_VERDICT_REFUSED_BY_POLICY] = "refused-by-policy",
    [HC_VERDICT_REFUSED_BY_APP] = "refused-by-app",
    [HC_VERDICT_REGISTRY_UNAVAILABLE] = "registry-unavailable",
};

const char *hc_verdict_name(hc_verdict_code code)
{
    return (unsigned)code < HC_VERDICT_COUNT ? names[code] : "unknown-verdict";
}

bool hc_verdict_parse(hc_slice name, hc_verdict_code *out)
{
    for (unsigned i = 0; i < HC_VERDICT_COUNT; i++) {
        if (hc_slice_equal_text(name, names[i])) {
            *out = (hc_verdict_code)i;
            return true;
        }
    }
    return false;
}

hc_slice hc_verdict_client_verify(const hc_verdict *v, char room[HC_VERDICT_TEXT_BYTES])
{
    if (v->code == HC_VERDICT_OK)
        return HC_SLICE_LITERAL("SUCCESS");
    if (v->code == HC_VERDICT_NO_CERTIFICATE)
        return HC_SLICE_LITERAL("NONE");
    (void)snprintf(room, HC_VERDICT_TEXT_BYTES, "FAILED:%s",
                   v->error ? X509_verify_cert_error_string(v->error) : hc_verdict_name(v->code));
    return hc_slice_text(room);
}
