/* Private to index.c and its tests. */
#ifndef HC_REGISTRY_INDEX_IMPL_H
#define HC_REGISTRY_INDEX_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "registry/index.h"
#include "registry/index_store.h"

struct hc_index {
    pthread_rwlock_t lock;
    hc_store *now;
    size_t limit; /* certificates */
    uint64_t seed[2];
    atomic_uint_least64_t generation;
};

#endif
