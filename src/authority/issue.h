/* Keys and certificates, made in memory: nothing here touches a file. Each call may take a
 * millisecond; any thread. */
#ifndef HC_AUTHORITY_ISSUE_H
#define HC_AUTHORITY_ISSUE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "authority/profile.h"

/* A new P-256 key. The caller frees. */
int hc_key_new(EVP_PKEY **out, hc_err *err) HC_MUST_CHECK;

/* A certificate over the public part of `key`. `issuer` and `issuer_key` are NULL for a CA, which
 * signs itself; they must match otherwise, and the certificate ends no later than its issuer. The
 * profile's name and hosts are checked again. Extensions as RFC 5280 section 4.2 wants them. The
 * caller frees. */
int hc_issue(const hc_profile *profile, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
             X509 **out, hc_err *err) HC_MUST_CHECK;

#endif
