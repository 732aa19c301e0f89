/* The frames on a lane, between the front and one worker thread: encoded and decoded here, used by
 * both.
 *
 * A lane is a stream socketpair. A frame is an 8-octet header (u32 payload size, u8 type, u8 flags,
 * u16 zero), then the payload; integers are little-endian, strings carry a 16- or 32-bit length.
 * HC_LANE_HAS_FD says that a descriptor came by SCM_RIGHTS with the frame's first octet. One
 * request at a time: the front sends CERT (where the worker does not have that certificate yet) and
 * REQUEST; the worker answers HEAD, DATA or FILE …, END. There is no queue on a lane.
 *
 * The front trusts nothing a worker sends: every decoder here is bounded and fuzzed. */
#ifndef HC_LANE_FRAME_H
#define HC_LANE_FRAME_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

#define HC_LANE_PROTOCOL     3 /* changes with any change to this file */
#define HC_LANE_HEADER_BYTES 8
#define HC_LANE_NO_SLOT      0xffffu
#define HC_LANE_VARIABLES    1024  /* of one certificate or of the server, at most */
#define HC_LANE_HEADERS      1000  /* of one request or response, at most */
#define HC_LANE_DATA_PART    65536 /* a worker cuts its DATA into frames of at most so many octets */
#define HC_LANE_VERDICT_NAME 64    /* octets of a REFUSED's verdict, at most */
#define HC_LANE_REASON       1024  /* and of its reason */

enum { HC_LANE_HAS_FD = 1 };

typedef enum hc_lane_type {
    /* front to worker */
    HC_LANE_CERT = 1,    /* remember these variables and certificates under a slot */
    HC_LANE_REQUEST = 2, /* answer this */
    HC_LANE_SERVER = 3,  /* once, first: SSL_SERVER_… and the multi-process flags */
    HC_LANE_CANCEL = 4,  /* the client is gone: stop iterating, close(), END. A late one (after END)
                            means nothing */
    HC_LANE_CLIENT = 5,  /* whose the certificate under a slot is, from the next request on */
    HC_LANE_ANSWER = 6,  /* to an ASK: the payload as it is */
    /* worker to front */
    HC_LANE_HELLO = 16, /* u32 protocol: the application is loaded, this thread is ready */
    HC_LANE_HEAD = 17,  /* status, reason, headers */
    HC_LANE_DATA = 18,  /* body octets: the payload as it is */
    HC_LANE_FILE = 19,  /* u64 offset, u64 size; the descriptor comes with it */
    HC_LANE_END = 20,   /* u8: 0 complete, 1 the application failed (its traceback is in the log) */
    HC_LANE_REFUSED = 21, /* the application refused this client: verdict and reason, for the log;
                             once a request */
    HC_LANE_ASK = 22, /* the view asks something of the authority about its own client: the payload
                         as it is. One ANSWER follows; before that the worker asks nothing else and
                         sends no END */
} hc_lane_type;

typedef struct hc_lane_header {
    uint32_t size;
    uint8_t type;
    uint8_t flags;
} hc_lane_header;

/* False where the size is over HC_LIMIT_LANE_FRAME, the type or a flag unknown or the zero not
 * zero; `out` is then untouched. */
bool hc_lane_header_decode(const uint8_t in[HC_LANE_HEADER_BYTES], hc_lane_header *out);
void hc_lane_header_encode(const hc_lane_header *h, uint8_t out[HC_LANE_HEADER_BYTES]);

/* Frames are appended to a buffer: begin writes a header with size 0 and returns its place in `at`;
 * end fills it in (-HC_ELIMIT where the payload is too large; the buffer is then cut back to `at`).
 * The hc_lane_add_… below do both; where one fails (-HC_ENOMEM, -HC_ELIMIT) the buffer is as it
 * was.
 */
int hc_lane_begin(hc_buf *out, hc_lane_type type, uint8_t flags, size_t *at) HC_MUST_CHECK;
int hc_lane_end(hc_buf *out, size_t at) HC_MUST_CHECK;

typedef struct hc_pair {
    hc_slice name, value;
} hc_pair;

/* CERT: u16 slot, u16 count, pairs (field16 name, field32 value), field32 leaf DER, u16 count,
 * chain DERs (field32). Sent whole before the first request that refers to the slot; a later CERT
 * for the slot replaces it. */
typedef struct hc_lane_cert {
    uint16_t slot;
    const hc_pair *variables;
    size_t variable_count;
    hc_slice der;
    const hc_slice *chain;
    size_t chain_count;
} hc_lane_cert;
int hc_lane_add_cert(hc_buf *out, const hc_lane_cert *cert) HC_MUST_CHECK;

/* CLIENT: u16 slot, u8 known, field16 name, field16 roles (a space between two), field32 attributes
 * (one JSON object, or empty). Sent before the first request for which it holds, and again when the
 * record has changed; a CERT for the slot makes it unknown. Without `known` nobody's record. */
typedef struct hc_lane_client {
    uint16_t slot;
    bool known;
    hc_slice name, roles, attributes;
} hc_lane_client;
int hc_lane_add_client(hc_buf *out, const hc_lane_client *client) HC_MUST_CHECK;
int hc_lane_decode_client(hc_slice payload, hc_lane_client *out, hc_err *err) HC_MUST_CHECK;
/* ASK and ANSWER: at most HC_LIMIT_ASK_BYTES and HC_LIMIT_ANSWER_BYTES. */
int hc_lane_add_ask(hc_buf *out, hc_slice question) HC_MUST_CHECK;
int hc_lane_add_answer(hc_buf *out, hc_slice answer) HC_MUST_CHECK;

/* SERVER: u16 count, pairs; u8 multiprocess, u8 multithread. */
typedef struct hc_lane_server {
    const hc_pair *variables;
    size_t variable_count;
    bool multiprocess, multithread;
} hc_lane_server;
int hc_lane_add_server(hc_buf *out, const hc_lane_server *server) HC_MUST_CHECK;

typedef enum hc_lane_body { HC_LANE_BODY_INLINE, HC_LANE_BODY_FILE } hc_lane_body;

/* REQUEST. Fixed integers first, then field32 strings in the order of the members, then headers
 * (u16 count, pairs), then field32 body (empty for HC_LANE_BODY_FILE, whose descriptor comes with
 * the frame: its flags say so). */
typedef struct hc_lane_request {
    uint64_t connection;
    uint64_t body_size;
    int64_t days_left; /* SSL_CLIENT_V_REMAIN; ignored without a slot */
    uint32_t error;    /* X509_V_ERR_… of the verdict */
    uint32_t depth;
    uint16_t cipher_bits, cipher_algorithm_bits;
    uint16_t remote_port, server_port;
    uint16_t slot;   /* HC_LANE_NO_SLOT: no certificate */
    uint8_t verdict; /* hc_verdict_code */
    uint8_t http_minor;
    uint8_t body_kind; /* hc_lane_body */
    uint8_t resumed;
    hc_slice verdict_name, verdict_detail;
    hc_slice client_verify; /* SSL_CLIENT_VERIFY: "SUCCESS", "NONE", "FAILED:reason" */
    hc_slice remote_user;   /* empty: not set */
    hc_slice method, target, path, query, host;
    hc_slice remote_address, server_address;
    hc_slice tls_protocol, tls_cipher, tls_session_id, tls_sni;
    const hc_pair *headers; /* encoding */
    size_t header_count;
    hc_slice body; /* inline octets */
} hc_lane_request;
int hc_lane_add_request(hc_buf *out, const hc_lane_request *r) HC_MUST_CHECK;

/* Decoding a payload. Slices point into it. `pairs`/`chain` give room for what the caller can take;
 * more is an error. Each returns -HC_EFORMAT for anything that is not exactly one well-formed
 * payload. */
int hc_lane_decode_cert(hc_slice payload, hc_lane_cert *out, hc_pair *pairs, size_t pair_room,
                        hc_slice *chain, size_t chain_room, hc_err *err) HC_MUST_CHECK;
int hc_lane_decode_server(hc_slice payload, hc_lane_server *out, hc_pair *pairs, size_t pair_room,
                          hc_err *err) HC_MUST_CHECK;
int hc_lane_decode_request(hc_slice payload, hc_lane_request *out, hc_pair *headers,
                           size_t header_room, hc_err *err) HC_MUST_CHECK;

/* HEAD: u16 status, field16 reason, u16 count, pairs (field16 name, field32 value). */
typedef struct hc_lane_head {
    uint16_t status;
    hc_slice reason;
    const hc_pair *headers;
    size_t header_count;
} hc_lane_head;
int hc_lane_add_head(hc_buf *out, const hc_lane_head *head) HC_MUST_CHECK;
int hc_lane_decode_head(hc_slice payload, hc_lane_head *out, hc_pair *headers, size_t header_room,
                        hc_err *err) HC_MUST_CHECK;

typedef struct hc_lane_file {
    uint64_t offset, size;
} hc_lane_file;
/* For HC_LANE_FILE with its descriptor: the caller puts `fd` on the channel for the frame's first
 * octet. */
int hc_lane_add_file(hc_buf *out, const hc_lane_file *file) HC_MUST_CHECK;
int hc_lane_add_hello(hc_buf *out) HC_MUST_CHECK;
int hc_lane_add_data(hc_buf *out, hc_slice octets) HC_MUST_CHECK;
int hc_lane_add_end(hc_buf *out, bool failed) HC_MUST_CHECK;
int hc_lane_decode_file(hc_slice payload, hc_lane_file *out, hc_err *err) HC_MUST_CHECK;
int hc_lane_decode_hello(hc_slice payload, uint32_t *protocol, hc_err *err) HC_MUST_CHECK;
int hc_lane_decode_end(hc_slice payload, bool *failed, hc_err *err) HC_MUST_CHECK;

/* REFUSED: field16 verdict, field16 reason. The verdict is the worker's claim: a name, which may be
 * none that there is. */
typedef struct hc_lane_refused {
    hc_slice verdict, reason;
} hc_lane_refused;
int hc_lane_add_refused(hc_buf *out, const hc_lane_refused *refused) HC_MUST_CHECK;
int hc_lane_decode_refused(hc_slice payload, hc_lane_refused *out, hc_err *err) HC_MUST_CHECK;

#endif
