/* Chains that were verified, by the SHA-256 of all certificates given. For identity/ alone.
 *
 * Holds admissions only: a refusal is always made anew, so a certificate that becomes valid is let
 * in at once and nobody can fill the cache without certificates of ours. Bounded by
 * HC_LIMIT_VERDICT_CACHE; an old entry makes room for a new one. Thread-safe: a mutex for each part
 * of the table, held for a few comparisons. */
#ifndef HC_IDENTITY_CACHE_H
#define HC_IDENTITY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define HC_CACHE_KEY_BYTES 32

typedef struct hc_cache hc_cache;

/* When every certificate of the chain, and every CRL used, is valid. */
typedef struct hc_validity {
    int64_t from_s;
    int64_t until_s; /* inclusive */
} hc_validity;

hc_cache *hc_cache_new(void) HC_MUST_CHECK; /* NULL without memory */
void hc_cache_free(hc_cache *c);            /* NULL is fine */
bool hc_cache_find(hc_cache *c, const uint8_t key[HC_CACHE_KEY_BYTES], hc_validity *out);
void hc_cache_put(hc_cache *c, const uint8_t key[HC_CACHE_KEY_BYTES], hc_validity validity);

#endif
