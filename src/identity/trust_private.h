/* What trust.c loads and decide.c reads. For identity/ alone. */
#ifndef HC_IDENTITY_TRUST_PRIVATE_H
#define HC_IDENTITY_TRUST_PRIVATE_H

#include <openssl/evp.h>
#include <stdatomic.h>

#include "identity/cache.h"
#include "identity/revocation.h"
#include "identity/trust.h"

struct hc_trust {
    atomic_uint refs;
    uint64_t generation;
    int64_t max_age_s;
    bool crl_leaf_only;
    STACK_OF(X509) * cas; /* all that were named, each once */
    STACK_OF(X509) *
        inner; /* those of them that another one issued: help to build a chain, end none */
    STACK_OF(X509_NAME) * names; /* borrowed from cas */
    X509_STORE *store;           /* the others: where a chain may end */
    hc_revocation *revocation;   /* NULL where no CRL was given */
    EVP_MD *sha256;
    hc_cache *cache;
};

#endif
