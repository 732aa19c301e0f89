/* What an index is at one moment: certificates and clients in tables of numbered items.
 *
 * index.c holds one of these behind its lock, makes another beside it from the database's rows, and
 * then swaps the two or moves some clients over. Private to index.c and its tests. */
#ifndef HC_REGISTRY_INDEX_STORE_H
#define HC_REGISTRY_INDEX_STORE_H

#include "identity/lookup.h"
#include "registry/registry.h"
#include "registry/table.h"

typedef enum hc_pin {
    HC_PIN_DATABASE = 1, /* the row has its certificate's SHA-256 */
    HC_PIN_HERE,         /* it came as a serial alone; the first certificate was seen here */
    HC_PIN_HERE_UNTOLD,  /* likewise, and the database, asked again, did not know it */
    HC_PIN_NONE,         /* none was seen yet */
    HC_PIN_NONE_KEYED,   /* likewise; `sha256` is that of the issuer's key identifier */
} hc_pin;

typedef struct hc_index_entry {
    uint32_t next, sibling; /* in its bucket; of the same client */
    uint32_t client, issuer;
    int64_t id, revoked_s;
    uint8_t sha256[32];
    uint8_t serial[HC_LIMIT_SERIAL_OCTETS];
    uint8_t serial_size; /* with HC_INDEX_NEGATIVE */
    uint8_t pin;         /* hc_pin */
    bool revoked;
    int8_t reason;
} hc_index_entry;
_Static_assert(sizeof(hc_index_entry) == 88, "a million of these are most of the memory");

#define HC_INDEX_NEGATIVE 0x80

typedef struct hc_index_client {
    uint32_t next;
    uint32_t first; /* its certificates */
    hc_record *record;
    int64_t status_s;
    uint8_t status; /* hc_client_status */
} hc_index_client;

typedef struct hc_index_issuer {
    uint32_t next;
    uint8_t sha256[32]; /* of the Name in DER */
} hc_index_issuer;

typedef struct hc_store {
    uint64_t seed[2];
    size_t limit; /* certificates */
    hc_table entries, clients, issuers;
    size_t record_bytes;
    bool pinned_here; /* an entry may be HC_PIN_HERE or …_UNTOLD */
} hc_store;

hc_store *hc_store_new(const uint64_t seed[2], size_t limit);
void hc_store_free(hc_store *s); /* NULL is fine */
size_t hc_store_bytes(const hc_store *s);

/* All rows of `client_id`, or of all clients (0), put to what is there. Records that are the same
 * in `known` (may be NULL) are shared with it. After an error `s` can only be freed. */
int hc_store_scan(hc_store *s, const hc_store *known, hc_registry *r, int64_t client_id,
                  hc_err *err) HC_MUST_CHECK;
/* Room in `s` for all that is in `from`. */
int hc_store_reserve(hc_store *s, const hc_store *from, hc_err *err) HC_MUST_CHECK;
/* The client as it is in `from` (maybe not at all) instead of what `s` has. Cannot fail: the room
 * was reserved. */
void hc_store_replace_client(hc_store *s, hc_store *from, int64_t client_id);
/* Pins that are in `old` alone, for rows of `s` that are the same and have none. */
void hc_store_keep_pins(hc_store *s, const hc_store *old);

/* The entry that answers for a certificate; NULL: none, and `known` says whether issuer and serial
 * are on record. One that hc_store_wants_pin is not yet this certificate's. */
hc_index_entry *hc_store_find(const hc_store *s, const hc_cert *cert, bool *known);
bool hc_store_wants_pin(const hc_index_entry *e);
void hc_store_pin(hc_store *s, hc_index_entry *e, const hc_cert *cert);

#endif
