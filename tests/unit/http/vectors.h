/* Reads tests/vectors/http/NAME.txt; the format is described in the README beside them. */
#ifndef HC_TESTS_HTTP_VECTORS_H
#define HC_TESTS_HTTP_VECTORS_H

#include "http/h1.h"

typedef struct vector {
    char *name;
    hc_h1_limits limits;
    hc_buf input;
    hc_buf expected; /* lines, each ended by LF */
} vector;

typedef struct vectors {
    vector *at;
    size_t count;
} vectors;

/* All of all files, in the order of the file names. Aborts on a malformed file. */
vectors vectors_read(const char *folder);
void vectors_free(vectors *v);

#endif
