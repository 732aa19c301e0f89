/* All certificates and clients in memory, for handshakes and requests: lookup in less than a
 * microsecond, at most 200 octets a certificate.
 *
 * One writer (the follower), any number of readers: a lock that readers share, held for one lookup.
 * Limits: HC_LIMIT_REGISTRY_CERTIFICATES, beyond which loading is an error (the old index stays,
 * and ages). */
#ifndef HC_REGISTRY_INDEX_H
#define HC_REGISTRY_INDEX_H

#include "identity/lookup.h"
#include "registry/registry.h"

typedef struct hc_index hc_index;

int hc_index_new(hc_index **out, hc_err *err) HC_MUST_CHECK;
void hc_index_free(hc_index *x);

/* A row that came as a serial alone was seen: under the index's own lock, so that the first
 * certificate wins. */
typedef struct hc_index_pin {
    int64_t certificate_id;
    const hc_cert *cert; /* a reference for the callee */
} hc_index_pin;

/* Any thread. `pinned` true: this call made the certificate that of the row. */
void hc_index_find(hc_index *x, const hc_cert *cert, hc_lookup_answer *out, bool *pinned);
/* Grows with every change; never 0. */
uint64_t hc_index_generation(const hc_index *x);
size_t hc_index_certificates(const hc_index *x);
size_t hc_index_clients(const hc_index *x);
size_t hc_index_bytes(const hc_index *x);

/* The writer's thread; within a read transaction of `r` so that all is of one moment. Either all of
 * it is taken over or nothing. */
int hc_index_load(hc_index *x, hc_registry *r, hc_err *err) HC_MUST_CHECK;
/* These clients anew, gone ones forgotten. */
int hc_index_update(hc_index *x, hc_registry *r, const int64_t *clients, size_t count,
                    hc_err *err) HC_MUST_CHECK;

#endif
