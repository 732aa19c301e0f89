/* Certificates, made in memory: nothing here touches a file or a registry. Each call may take a
 * millisecond; any thread.
 *
 * Serial numbers have 159 random bits. That each is issued once, the caller makes sure of in the
 * transaction that records it. */
#ifndef HC_AUTHORITY_ISSUE_H
#define HC_AUTHORITY_ISSUE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "authority/profile.h"
#include "x509/csr.h"

/* A certificate over the public part of `key`. `issuer` and `issuer_key` must belong together and
 * may sign certificates; both are NULL for a CA that signs itself, and `key` then is its own. The
 * certificate ends no later than its issuer. Holder and kind of key are checked against the profile
 * again, not the key's strength (hc_key_check): keys that were made elsewhere come by hc_sign_csr.
 * Extensions as RFC 5280 section 4.2 wants them. The caller frees. */
int hc_issue(const hc_profile *profile, const hc_holder *holder, EVP_PKEY *key, X509 *issuer,
             EVP_PKEY *issuer_key, X509 **out, hc_err *err) HC_MUST_CHECK;

/* The same for a request: its key, and nothing else of it. The CA's own key is refused; a key that
 * somebody uses already is for the caller to refuse, who has the registry. */
int hc_sign_csr(const hc_profile *profile, const hc_holder *holder, const hc_csr *csr, X509 *issuer,
                EVP_PKEY *issuer_key, X509 **out, hc_err *err) HC_MUST_CHECK;

#endif
