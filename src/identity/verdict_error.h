/* OpenSSL's verification errors as verdicts. For identity/ alone; the way back, from verdict to
 * alert, is hc_verdict_alert_error in trust.h. */
#ifndef HC_IDENTITY_VERDICT_ERROR_H
#define HC_IDENTITY_VERDICT_ERROR_H

#include "identity/verdict.h"

/* Never HC_VERDICT_OK: an error nobody knows is HC_VERDICT_UNTRUSTED_ISSUER. */
hc_verdict_code hc_verdict_from_error(int x509_error);
/* The verifier itself failed (memory, misuse): nothing was found out about the certificate. */
bool hc_verdict_error_is_internal(int x509_error);

#endif
