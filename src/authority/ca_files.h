/* The files of ca.h, and how a change of them is finished. For ca*.c alone. */
#ifndef HC_AUTHORITY_CA_FILES_H
#define HC_AUTHORITY_CA_FILES_H

#include "authority/keystore.h"

#define HC_CA_STEM_BYTES 32

/* NULL in `out` where there is no such file. */
int hc_ca_read_cert(const hc_keystore *k, const char *name, X509 **out, hc_err *err) HC_MUST_CHECK;
int hc_ca_read_chain(const hc_keystore *k, const char *name, STACK_OF(X509) * *out,
                     hc_err *err) HC_MUST_CHECK;
int hc_ca_parse_chain(hc_slice pem, STACK_OF(X509) * *out, hc_err *err) HC_MUST_CHECK;
/* Also an empty one, so that it takes an older one's place. */
int hc_ca_write_chain(const hc_keystore *k, const char *name, STACK_OF(X509) * chain,
                      hc_err *err) HC_MUST_CHECK;
/* Finishes what next.pem decided, if it is there (`finished`), and sees to it that
 * trust.pem says what is there. */
int hc_ca_settle(const hc_keystore *k, bool *finished, hc_err *err) HC_MUST_CHECK;

#endif
