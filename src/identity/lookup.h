/* What a registry fills in: the record behind a certificate, found in memory.
 *
 * identity/ asks through this interface and knows nothing of databases. A record is immutable and
 * counted by reference: whoever found it keeps it for as long as it is needed, whatever changes
 * meanwhile. */
#ifndef HC_IDENTITY_LOOKUP_H
#define HC_IDENTITY_LOOKUP_H

#include "identity/verdict.h"
#include "x509/cert.h"

/* A client's record as requests need it. Texts in the same allocation. */
typedef struct hc_record hc_record;

/* `roles`: names, sorted, each once, a space between two. `attributes`: one JSON object, or empty
 * for none. NULL without memory, or where a text is longer than HC_LIMIT_CLIENT_…. */
hc_record *hc_record_new(int64_t client_id, hc_slice name, hc_slice roles, hc_slice attributes);
hc_record *hc_record_ref(hc_record *r);
void hc_record_unref(hc_record *r); /* NULL is fine */
int64_t hc_record_client_id(const hc_record *r);
hc_slice hc_record_name(const hc_record *r); /* borrowed, for the life of r; likewise below */
hc_slice hc_record_roles(const hc_record *r);
hc_slice hc_record_attributes(const hc_record *r);
bool hc_record_has_role(const hc_record *r, hc_slice role);

typedef struct hc_lookup_answer {
    /* OK, REVOKED, SUSPENDED, NOT_IN_REGISTRY, RECORD_MISMATCH or REGISTRY_UNAVAILABLE. */
    hc_verdict_code code;
    int64_t certificate_id; /* of the registry; 0: none */
    int64_t since_s;        /* REVOKED, SUSPENDED: since when; 0: not known */
    int reason;             /* REVOKED: x509/reason.h */
    hc_record *record; /* a reference for the caller where a client is known, also a refused one */
} hc_lookup_answer;

typedef struct hc_lookup hc_lookup;
struct hc_lookup {
    /* Grows with every change that may matter to a verdict; 0: what is in memory is too old to be
     * trusted (`now_ms`: monotonic). A few atomic loads: called for every request. */
    uint64_t (*generation)(hc_lookup *l, uint64_t now_ms);
    /* Thread-safe, never blocks on a database. A row that came as a serial alone becomes this
     * certificate's with this call: call it for certificates that verified. `out` is filled in
     * whatever happens. */
    void (*find)(hc_lookup *l, const hc_cert *cert, uint64_t now_ms, hc_lookup_answer *out);
};

/* For a chain verdict of HC_VERDICT_OK: what the record makes of it. `v` becomes the verdict with
 * `record_generation`, `record` a reference of the record where the verdict admits as a known
 * client (else NULL); `certificate_id` that of the registry or 0. With `admit_unknown`
 * not-in-registry admits, as nobody known. Other chain verdicts stay as they are, and no record is
 * looked up. `l` NULL: no registry. */
void hc_verdict_with_record(hc_verdict *v, hc_lookup *l, const hc_cert *cert, bool admit_unknown,
                            uint64_t now_ms, hc_record **record, int64_t *certificate_id);

#endif
