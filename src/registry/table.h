/* Items of one size, millions of them, found by a hash: what the index is made of.
 *
 * An item begins with a uint32_t, the number of the next one in its bucket; 0 is none. Its number
 * and its place stay as long as it lives. Items are in chunks and buckets are added one at a time
 * (linear hashing), so growing never copies or walks through what is there. Memory is taken by
 * hc_table_reserve alone: whoever has reserved cannot fail afterwards. Not thread-safe. */
#ifndef HC_REGISTRY_TABLE_H
#define HC_REGISTRY_TABLE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define HC_TABLE_CHUNK 1024 /* items */

typedef struct hc_chunks {
    uint8_t **at;
    uint32_t count, room;
} hc_chunks;

typedef struct hc_table {
    size_t item_bytes;
    uint64_t (*hash)(const void *arg, const void *item);
    const void *arg;
    hc_chunks items, heads; /* heads: the first item of each bucket */
    uint32_t made;          /* numbers below it were given out once */
    uint32_t live;
    uint32_t unused, unused_count; /* given back: chained like a bucket */
    uint32_t buckets;
} hc_table;

void hc_table_init(hc_table *t, size_t item_bytes, uint64_t (*hash)(const void *, const void *),
                   const void *arg);
void hc_table_done(hc_table *t);
/* Room for `more` items; -HC_ENOMEM leaves the table as it was. */
int hc_table_reserve(hc_table *t, size_t more) HC_MUST_CHECK;
/* The number of a cleared item, of those that were reserved. In no bucket before hc_table_link. */
uint32_t hc_table_take(hc_table *t);
/* Into the bucket of its hash. */
void hc_table_link(hc_table *t, uint32_t number);
/* Out of its bucket, cleared, and free to be taken again. */
void hc_table_remove(hc_table *t, uint32_t number);
/* The first item of the bucket of `hash`; 0: none. */
uint32_t hc_table_first(const hc_table *t, uint64_t hash);
/* What it holds in memory, with malloc's own share. */
size_t hc_table_bytes(const hc_table *t);

static inline void *hc_table_at(const hc_table *t, uint32_t number)
{
    return t->items.at[number / HC_TABLE_CHUNK] + number % HC_TABLE_CHUNK * t->item_bytes;
}

#endif
