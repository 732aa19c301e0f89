/* The certificates of tests/vectors/x509, by name. What cannot be read ends the test. A test
 * includes this once. */
#ifndef HC_TESTS_UNIT_X509_VECTORS_H
#define HC_TESTS_UNIT_X509_VECTORS_H

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#define VECTOR_BYTES (1u << 18)
/* 2026-01-01T00:00:00Z: when the certificates of chains/ are meant to be judged. */
#define VECTOR_NOW 1767225600

typedef struct vector {
    size_t size;
    uint8_t bytes[VECTOR_BYTES];
} vector;

/* To be freed with free(). */
static inline vector *vector_read(const char *folder, const char *name, const char *suffix)
{
    char path[512];
    snprintf(path, sizeof(path), HC_VECTORS "/%s%s%s%s", folder, *folder ? "/" : "", name, suffix);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be opened", path);
    vector *v = malloc(sizeof(*v));
    assert_non_null(v);
    v->size = fread(v->bytes, 1, sizeof(v->bytes), file);
    assert_int_equal(ferror(file), 0);
    fclose(file);
    return v;
}

static inline hc_slice vector_slice(const vector *v)
{
    return hc_slice_of(v->bytes, v->size);
}

/* Of chains/; to be freed with X509_free(). */
static inline X509 *vector_chain_certificate(const char *name)
{
    vector *v = vector_read("chains", name, ".pem");
    BIO *bio = BIO_new_mem_buf(v->bytes, (int)v->size);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_non_null(x);
    BIO_free(bio);
    free(v);
    return x;
}

#endif
