#include "base/arena.h"

#include <stdalign.h>

#include "base/err.h"
#include "base/mem.h"

#define BLOCK_BYTES 4096

struct hc_arena_block {
    hc_arena_block *next;
    size_t capacity;
    size_t used;
    alignas(max_align_t) uint8_t data[];
};

hc_arena hc_arena_init(size_t limit_bytes)
{
    return (hc_arena){NULL, 0, limit_bytes};
}

static void free_blocks(hc_arena_block *block)
{
    while (block) {
        hc_arena_block *next = block->next;
        hc_free(block);
        block = next;
    }
}

void hc_arena_done(hc_arena *a)
{
    free_blocks(a->blocks);
    *a = hc_arena_init(a->limit);
}

void hc_arena_reset(hc_arena *a)
{
    hc_arena_block **link = &a->blocks;
    while (*link && (*link)->capacity != BLOCK_BYTES)
        link = &(*link)->next;
    hc_arena_block *kept = *link;
    if (kept) {
        *link = kept->next;
        kept->next = NULL;
        kept->used = 0;
    }
    free_blocks(a->blocks);
    a->blocks = kept;
    a->used = 0;
}

/* What each allocation takes: a multiple of the alignment, and never nothing, so that the limit
 * also bounds how many empty ones there can be. */
static size_t rounded(size_t size_bytes)
{
    size_t step = alignof(max_align_t);
    return size_bytes ? (size_bytes + step - 1) / step * step : step;
}

static hc_arena_block *add_block(hc_arena *a, size_t needed)
{
    size_t capacity = needed > BLOCK_BYTES ? needed : BLOCK_BYTES;
    if (capacity > SIZE_MAX - sizeof(hc_arena_block))
        return NULL;
    hc_arena_block *block = hc_alloc(sizeof(*block) + capacity);
    if (!block)
        return NULL;
    block->capacity = capacity;
    block->used = 0;
    /* A block made for one large piece goes second: the first still has room for small ones. */
    hc_arena_block **link = capacity > BLOCK_BYTES && a->blocks ? &a->blocks->next : &a->blocks;
    block->next = *link;
    *link = block;
    return block;
}

static bool within_limit(const hc_arena *a, size_t size_bytes)
{
    return a->used <= a->limit && size_bytes <= a->limit - a->used &&
           size_bytes <= SIZE_MAX - alignof(max_align_t);
}

void *hc_arena_alloc(hc_arena *a, size_t size_bytes)
{
    if (!within_limit(a, size_bytes))
        return NULL;
    size_t taken = rounded(size_bytes);
    hc_arena_block *block = a->blocks;
    if (!block || taken > block->capacity - block->used)
        block = add_block(a, taken);
    if (!block)
        return NULL;
    void *at = block->data + block->used;
    block->used += taken;
    a->used += taken;
    return at;
}

int hc_arena_copy(hc_arena *a, hc_slice in, hc_slice *out)
{
    if (!within_limit(a, in.size))
        return -HC_ELIMIT;
    void *at = hc_arena_alloc(a, in.size);
    if (!at)
        return -HC_ENOMEM;
    if (in.size)
        memcpy(at, in.at, in.size);
    *out = hc_slice_of(at, in.size);
    return 0;
}
