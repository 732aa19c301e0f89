#include "identity/cache.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

#define WAYS   4
#define SHARDS 16
#define SETS   (HC_LIMIT_VERDICT_CACHE / WAYS)

typedef struct cache_entry {
    uint8_t key[HC_CACHE_KEY_BYTES];
    hc_validity validity;
    bool used;
} cache_entry;

typedef struct cache_set {
    cache_entry ways[WAYS];
    unsigned next; /* the way that makes room next */
} cache_set;

struct hc_cache {
    pthread_mutex_t locks[SHARDS];
    cache_set sets[SETS];
};

hc_cache *hc_cache_new(void)
{
    hc_cache *c = hc_alloc_zero(1, sizeof(*c));
    size_t made = 0;
    while (c && made < SHARDS && pthread_mutex_init(&c->locks[made], NULL) == 0)
        made++;
    if (c && made < SHARDS) {
        while (made > 0)
            pthread_mutex_destroy(&c->locks[--made]);
        hc_free(c);
        return NULL;
    }
    return c;
}

void hc_cache_free(hc_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&c->locks[i]);
    hc_free(c);
}

/* The key is a digest: any of its octets spread evenly. */
static size_t set_of(const uint8_t key[HC_CACHE_KEY_BYTES])
{
    uint32_t number;
    memcpy(&number, key, sizeof(number));
    return number % SETS;
}

static cache_entry *find_in(cache_set *set, const uint8_t key[HC_CACHE_KEY_BYTES])
{
    for (size_t i = 0; i < WAYS; i++) {
        cache_entry *entry = &set->ways[i];
        if (entry->used && memcmp(entry->key, key, HC_CACHE_KEY_BYTES) == 0)
            return entry;
    }
    return NULL;
}

bool hc_cache_find(hc_cache *c, const uint8_t key[HC_CACHE_KEY_BYTES], hc_validity *out)
{
    size_t at = set_of(key);
    pthread_mutex_t *lock = &c->locks[at % SHARDS];
    pthread_mutex_lock(lock);
    const cache_entry *entry = find_in(&c->sets[at], key);
    if (entry)
        *out = entry->validity;
    pthread_mutex_unlock(lock);
    return entry != NULL;
}

void hc_cache_put(hc_cache *c, const uint8_t key[HC_CACHE_KEY_BYTES], hc_validity validity)
{
    size_t at = set_of(key);
    pthread_mutex_t *lock = &c->locks[at % SHARDS];
    pthread_mutex_lock(lock);
    cache_set *set = &c->sets[at];
    cache_entry *entry = find_in(set, key);
    if (!entry) {
        entry = &set->ways[set->next % WAYS];
        set->next++;
    }
    memcpy(entry->key, key, HC_CACHE_KEY_BYTES);
    entry->validity = validity;
    entry->used = true;
    pthread_mutex_unlock(lock);
}
