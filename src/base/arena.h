/* hc_arena: allocations that end together, with the request they belong to.
 *
 * A bump allocator in blocks; nothing is freed alone. Bounded by a limit given when it is made:
 * past it, and without memory, NULL. Not thread-safe. */
#ifndef HC_BASE_ARENA_H
#define HC_BASE_ARENA_H

#include "base/slice.h"

typedef struct hc_arena_block hc_arena_block;

typedef struct hc_arena {
    hc_arena_block *blocks; /* the one being filled first */
    size_t used;            /* bytes handed out, all blocks */
    size_t limit;
} hc_arena;

hc_arena hc_arena_init(size_t limit_bytes);
/* Frees all; may be used again. */
void hc_arena_done(hc_arena *a);
/* Forgets all that was handed out, keeps one block of the default size for the next request. */
void hc_arena_reset(hc_arena *a);
/* Aligned for any type; not cleared. */
void *hc_arena_alloc(hc_arena *a, size_t size_bytes) HC_MUST_CHECK;
/* A copy; on failure `out` is untouched and -HC_ENOMEM or -HC_ELIMIT returned. */
int hc_arena_copy(hc_arena *a, hc_slice in, hc_slice *out) HC_MUST_CHECK;

#endif
