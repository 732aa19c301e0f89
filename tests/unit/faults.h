/* Failing memory for unit tests: between faults_begin and faults_end the n-th allocation returns
 * NULL, and what is allocated and not freed is counted. One test at a time; a test includes this
 * once. */
#ifndef HC_TESTS_UNIT_FAULTS_H
#define HC_TESTS_UNIT_FAULTS_H

#include <stdlib.h>

#include "base/mem.h"

/* Above it an allocation fails without being tried: sanitizers end the program where malloc would
 * return NULL. */
#define FAULTS_LARGEST ((size_t)1 << 28)

static size_t faults_left;  /* allocations until the one that fails; 0: none fails */
static size_t faults_calls; /* allocations asked for since faults_begin */
static long faults_live;    /* allocated since faults_begin and not freed */

static inline void *faults_realloc(void *old, size_t size_bytes)
{
    faults_calls++;
    if (faults_left && --faults_left == 0)
        return NULL;
    if (size_bytes > FAULTS_LARGEST)
        return NULL;
    void *at = realloc(old, size_bytes);
    if (at && !old)
        faults_live++;
    return at;
}

static inline void faults_free(void *at)
{
    faults_live--;
    free(at);
}

/* 1 makes the next allocation fail, 2 the one after it …, 0 none. */
static inline void faults_begin(size_t nth)
{
    static const hc_mem table = {faults_realloc, faults_free};
    faults_left = nth;
    faults_calls = 0;
    faults_live = 0;
    hc_mem_set(&table);
}

static inline void faults_end(void)
{
    hc_mem_set(NULL);
}

#endif
