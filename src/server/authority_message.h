/* What front and authority say to each other: one packet a message, over a SOCK_SEQPACKET pair.
 *
 * Integers are little-endian. The front trusts no worker, and the authority trusts no front further
 * than it must: it checks every rule again itself. Every decoder is bounded and fuzzed. */
#ifndef HC_SERVER_AUTHORITY_MESSAGE_H
#define HC_SERVER_AUTHORITY_MESSAGE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "registry/registry.h"

#define HC_AUTHORITY_PACKET_MAX 131072
#define HC_AUTHORITY_SEEN_MAX   4096 /* of one packet */

typedef enum hc_authority_type {
    /* front to authority */
    HC_AUTHORITY_ASK = 1,  /* u64 token, i64 client id, 32 octets SHA-256 of the certificate the
                              client came with, the question (JSON) */
    HC_AUTHORITY_SEEN = 2, /* pairs of i64 certificate id, i64 seconds since 1970 */
    HC_AUTHORITY_PIN = 3,  /* i64 certificate id, the certificate's DER */
    /* authority to front */
    HC_AUTHORITY_ANSWER = 16, /* u64 token, the answer (JSON) */
    HC_AUTHORITY_PINNED = 17, /* i64 certificate id: its PIN is dealt with, for good */
    HC_AUTHORITY_CRL = 18,    /* the name of a revocation list, which comes with it as a sealed
                                 memory file (server/packet.h) */
} hc_authority_type;

typedef struct hc_authority_message {
    hc_authority_type type;
    uint64_t token;         /* ASK, ANSWER */
    int64_t client_id;      /* ASK */
    const uint8_t *sha256;  /* ASK: 32 octets */
    int64_t certificate_id; /* PIN, PINNED */
    hc_slice text;          /* ASK, ANSWER: JSON; PIN: DER; CRL: the name */
    const hc_seen *seen;    /* SEEN, encoding */
    size_t seen_count;
} hc_authority_message;

/* `out` becomes one packet. */
int hc_authority_encode(const hc_authority_message *m, hc_buf *out) HC_MUST_CHECK;
/* Slices point into `packet`. SEEN: `seen` (HC_AUTHORITY_SEEN_MAX of room) gets the pairs. */
int hc_authority_decode(hc_slice packet, hc_authority_message *out, hc_seen *seen,
                        hc_err *err) HC_MUST_CHECK;

#endif
