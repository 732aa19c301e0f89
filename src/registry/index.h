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
void hc_index_free(hc_index *x); /* NULL is fine; nobody may be in a call */

/* Any thread. A row that came as a serial alone becomes that of the first certificate that asks and
 * fits, under the index's own lock: `pinned` true says that the database should know. It is true
 * once, and once more after each reading of the row that did not show it. Rows that are revoked are
 * not pinned. Of several rows that fit, one that is revoked answers. */
void hc_index_find(hc_index *x, const hc_cert *cert, hc_lookup_answer *out, bool *pinned);
/* Grows with every change; never 0. */
uint64_t hc_index_generation(const hc_index *x);
size_t hc_index_certificates(hc_index *x);
size_t hc_index_clients(hc_index *x);
size_t hc_index_bytes(hc_index *x); /* with an estimate of malloc's own share */

/* The writer's thread; within a read transaction of `r` so that all is of one moment. Either all of
 * it is taken over or nothing. Loading needs memory for a second index while it runs. Pins made
 * here stay where the database has none. */
int hc_index_load(hc_index *x, hc_registry *r, hc_err *err) HC_MUST_CHECK;
/* These clients anew, gone ones forgotten. */
int hc_index_update(hc_index *x, hc_registry *r, const int64_t *clients, size_t count,
                    hc_err *err) HC_MUST_CHECK;

#endif
