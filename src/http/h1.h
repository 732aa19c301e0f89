/* HTTP/1.1 decoder: a pure function over bytes (RFC 9112), strict, no input or output of its own.
 *
 * Feed it what was read, in any pieces: the events are the same whatever the splits (data events
 * may be split further). Every ambiguous framing is an error with status 400; limits give 413, 414
 * and 431; an expectation other than 100-continue 417; CONNECT and an unknown transfer coding 501;
 * another major version 505. After an error the decoder says the same error for ever: the
 * connection is to be answered and closed. Trailers are checked and dropped. Memory: the head
 * (bounded), freed by hc_h1_done, kept for reuse by hc_h1_reset only while small. Not thread-safe.
 */
#ifndef HC_HTTP_H1_H
#define HC_HTTP_H1_H

#include "base/buf.h"
#include "base/err.h"
#include "http/request.h"

typedef struct hc_h1_limits {
    size_t request_line_bytes; /* 414 past it */
    size_t fields;             /* 431 past it */
    size_t field_bytes;        /* of one line; 431 past it */
    uint64_t body_bytes; /* 413 past it: at once where Content-Length says so, else when reached */
} hc_h1_limits;

typedef enum hc_h1_event_type {
    HC_H1_NEED_MORE, /* all input consumed, nothing to say yet */
    HC_H1_HEAD, /* d->request is complete; body events follow (END at once where there is none) */
    HC_H1_DATA, /* decoded body octets, a slice of the input */
    HC_H1_END,  /* the request is complete; nothing more is consumed until hc_h1_reset */
    HC_H1_ERROR,
} hc_h1_event_type;

typedef struct hc_h1_event {
    hc_h1_event_type type;
    hc_slice data;      /* DATA */
    int status;         /* ERROR: 400, 413, 414, 417, 431, 501, 505; 500 without memory */
    const char *reason; /* ERROR: static text, one line, safe to show to the client */
} hc_h1_event;

typedef struct hc_h1 {
    hc_h1_limits limits;
    hc_request request;
    /* the rest is the decoder's own */
    int state;
    hc_buf head;
    hc_buf decoded; /* path after percent-decoding */
    hc_header *headers;
    size_t header_capacity;
    size_t line_start; /* in head */
    size_t blank_lines;
    uint64_t body_left; /* of the body, or of the chunk */
    uint64_t body_seen;
    size_t line_bytes; /* of the chunk line or trailer line so far */
    size_t trailer_bytes;
    size_t trailer_fields;
    int error_status;
    const char *error_reason;
} hc_h1;

void hc_h1_init(hc_h1 *d, const hc_h1_limits *limits);
/* Frees what it holds; it is then as after hc_h1_init with the same limits. */
void hc_h1_done(hc_h1 *d);
/* For the next request on the connection. */
void hc_h1_reset(hc_h1 *d);
/* Bytes of a request have arrived, but not yet its whole head (for the header deadline: idle or
 * slow?). */
bool hc_h1_in_head(const hc_h1 *d);
/* One event. DATA is never empty. `consumed` says how much of `in` is done with; call again with
 * the rest until NEED_MORE (or END, ERROR). */
void hc_h1_decode(hc_h1 *d, hc_slice in, size_t *consumed, hc_h1_event *event);

#endif
