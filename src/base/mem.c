#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const hc_mem system_mem = {realloc, free};
static hc_mem current = {realloc, free};

void hc_mem_set(const hc_mem *table)
{
    current = table ? *table : system_mem;
}

void *hc_realloc(void *old, size_t size_bytes)
{
    /* For a size of 0 realloc may free or return NULL, which a caller would take for a failure. */
    return current.realloc_fn(old, size_bytes ? size_bytes : 1);
}

void *hc_alloc(size_t size_bytes)
{
    return hc_realloc(NULL, size_bytes);
}

void *hc_alloc_zero(size_t count, size_t each_bytes)
{
    if (each_bytes && count > SIZE_MAX / each_bytes)
        return NULL;
    void *at = hc_alloc(count * each_bytes);
    if (at)
        memset(at, 0, count * each_bytes);
    return at;
}

char *hc_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = hc_alloc(size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void hc_free(void *at)
{
    if (at)
        current.free_fn(at);
}

void hc_free_secret(void *at, size_t size_bytes)
{
    if (!at)
        return;
    explicit_bzero(at, size_bytes);
    hc_free(at);
}
