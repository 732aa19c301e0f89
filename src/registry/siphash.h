/* SipHash-2-4 (Aumasson and Bernstein, 2012): a hash whose buckets nobody can fill who does not
 * know the key. For tables keyed by what others choose; not a signature. Pure. */
#ifndef HC_REGISTRY_SIPHASH_H
#define HC_REGISTRY_SIPHASH_H

#include "base/slice.h"

uint64_t hc_siphash(const uint64_t key[2], hc_slice in);

#endif
