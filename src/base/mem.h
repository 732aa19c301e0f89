/* Memory: one small table of functions that a test can replace, to make the n-th allocation fail.
 *
 * hc_free(NULL) does nothing. Sizes are in bytes; a product that overflows fails as an allocation
 * does. Thread-safe as malloc is; hc_mem_set is not, and is for tests before any thread runs. */
#ifndef HC_BASE_MEM_H
#define HC_BASE_MEM_H

#include <stddef.h>

#include "base/attr.h"

typedef struct hc_mem {
    void *(*realloc_fn)(void *old, size_t size_bytes); /* old NULL allocates */
    void (*free_fn)(void *at);
} hc_mem;

void *hc_alloc(size_t size_bytes) HC_MUST_CHECK;                    /* not cleared */
void *hc_alloc_zero(size_t count, size_t each_bytes) HC_MUST_CHECK; /* cleared */
void *hc_realloc(void *old, size_t size_bytes) HC_MUST_CHECK;
char *hc_strdup(const char *text) HC_MUST_CHECK;
void hc_free(void *at);

/* Overwrites, in a way the compiler keeps, then frees: for secrets. */
void hc_free_secret(void *at, size_t size_bytes);

/* NULL restores malloc and free. */
void hc_mem_set(const hc_mem *table);

#endif
