/* Why a certificate was revoked: CRLReason (RFC 5280 section 5.3.1), by number and by name. */
#ifndef HC_X509_REASON_H
#define HC_X509_REASON_H

#include "base/slice.h"

#define HC_REASON_NONE (-1) /* none was given */

/* "keyCompromise" …; "" for HC_REASON_NONE and numbers without a name. */
const char *hc_reason_name(int reason);
/* In any case, with or without '-' and '_': "key-compromise". False for anything else, and for
 * removeFromCRL, which is no reason to revoke. */
bool hc_reason_parse(hc_slice name, int *out);

#endif
