#include "registry/table.h"

#include <string.h>

#include "base/mem.h"

#define CHUNK_OVERHEAD 16 /* of one allocation */

void hc_table_init(hc_table *t, size_t item_bytes, uint64_t (*hash)(const void *, const void *),
                   const void *arg)
{
    *t = (hc_table){.item_bytes = item_bytes, .hash = hash, .arg = arg, .made = 1, .buckets = 1};
}

static void chunks_done(hc_chunks *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        hc_free(c->at[i]);
    hc_free(c->at);
}

void hc_table_done(hc_table *t)
{
    chunks_done(&t->items);
    chunks_done(&t->heads);
    *t = (hc_table){0};
}

static int add_chunk(hc_chunks *c, size_t each_bytes)
{
    if (c->count == c->room) {
        uint32_t room = c->room ? c->room * 2 : 4;
        uint8_t **at = hc_realloc(c->at, room * sizeof *at);
        if (!at)
            return -HC_ENOMEM;
        c->at = at;
        c->room = room;
    }
    uint8_t *chunk = hc_alloc_zero(HC_TABLE_CHUNK, each_bytes);
    if (!chunk)
        return -HC_ENOMEM;
    c->at[c->count++] = chunk;
    return 0;
}

static size_t capacity(const hc_chunks *c)
{
    return (size_t)c->count * HC_TABLE_CHUNK;
}

int hc_table_reserve(hc_table *t, size_t more)
{
    size_t numbers = (size_t)t->made + (more > t->unused_count ? more - t->unused_count : 0);
    size_t buckets = t->live + more;
    if (numbers > UINT32_MAX || buckets > UINT32_MAX)
        return -HC_ENOMEM;
    int rc = 0;
    while (rc == 0 && capacity(&t->items) < numbers)
        rc = add_chunk(&t->items, t->item_bytes);
    while (rc == 0 && capacity(&t->heads) < buckets)
        rc = add_chunk(&t->heads, sizeof(uint32_t));
    return rc;
}

static uint32_t *next_of(const hc_table *t, uint32_t number)
{
    return hc_table_at(t, number);
}

static uint32_t *head_of(const hc_table *t, uint32_t bucket)
{
    return (uint32_t *)(void *)t->heads.at[bucket / HC_TABLE_CHUNK] + bucket % HC_TABLE_CHUNK;
}

/* Linear hashing: as many bits of the hash as number the buckets, and one bit fewer where that
 * bucket is not there yet. */
static uint32_t bucket_of(const hc_table *t, uint64_t hash)
{
    uint32_t mask = UINT32_MAX >> __builtin_clz(t->buckets);
    uint32_t bucket = (uint32_t)hash & mask;
    return bucket < t->buckets ? bucket : bucket & mask >> 1;
}

static uint32_t bucket_of_item(const hc_table *t, uint32_t number)
{
    return bucket_of(t, t->hash(t->arg, hc_table_at(t, number)));
}

/* The new bucket's items are all in the one that its number without the highest bit names. */
static void add_bucket(hc_table *t)
{
    uint32_t bucket = t->buckets++;
    uint32_t *to = head_of(t, bucket);
    uint32_t *from = head_of(t, bucket & ~(1U << (31 - __builtin_clz(bucket))));
    while (*from) {
        uint32_t number = *from;
        uint32_t *next = next_of(t, number);
        if (bucket_of_item(t, number) != bucket) {
            from = next;
            continue;
        }
        *from = *next;
        *next = *to;
        *to = number;
    }
}

uint32_t hc_table_take(hc_table *t)
{
    uint32_t number = t->unused;
    if (!number)
        return t->made++;
    t->unused = *next_of(t, number);
    t->unused_count--;
    *next_of(t, number) = 0;
    return number;
}

void hc_table_link(hc_table *t, uint32_t number)
{
    if (++t->live > t->buckets)
        add_bucket(t);
    uint32_t *head = head_of(t, bucket_of_item(t, number));
    *next_of(t, number) = *head;
    *head = number;
}

void hc_table_remove(hc_table *t, uint32_t number)
{
    uint32_t *at = head_of(t, bucket_of_item(t, number));
    while (*at != number)
        at = next_of(t, *at);
    *at = *next_of(t, number);
    memset(hc_table_at(t, number), 0, t->item_bytes);
    *next_of(t, number) = t->unused;
    t->unused = number;
    t->unused_count++;
    t->live--;
}

uint32_t hc_table_first(const hc_table *t, uint64_t hash)
{
    return t->live ? *head_of(t, bucket_of(t, hash)) : 0;
}

static size_t chunks_bytes(const hc_chunks *c, size_t each_bytes)
{
    return c->count * (HC_TABLE_CHUNK * each_bytes + CHUNK_OVERHEAD) + c->room * sizeof *c->at;
}

size_t hc_table_bytes(const hc_table *t)
{
    return chunks_bytes(&t->items, t->item_bytes) + chunks_bytes(&t->heads, sizeof(uint32_t));
}
