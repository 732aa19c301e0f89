/* What a server's registry makes of one certificate, decided by the code that decides at the door:
 * the index, filled with those clients alone that the certificate could be of. Writes nothing. */
#ifndef HC_CLI_EXPLAIN_RECORD_H
#define HC_CLI_EXPLAIN_RECORD_H

#include "identity/lookup.h"
#include "server/settings.h"

/* `v` is the chain's verdict of OK and becomes that with the record; `record` is the caller's, NULL
 * where the certificate comes in as nobody known, or not at all. A registry that cannot be read is
 * a verdict too. */
int hc_explain_record(const hc_settings *s, const hc_cert *cert, hc_verdict *v, hc_record **record,
                      hc_err *err) HC_MUST_CHECK;

#endif
