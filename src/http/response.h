/* HTTP responses: the head as values, its HTTP/1.1 octets, and the framing of the body (RFC 9112
 * section 6). */
#ifndef HC_HTTP_RESPONSE_H
#define HC_HTTP_RESPONSE_H

#include "base/buf.h"
#include "base/err.h"
#include "http/request.h"

typedef struct hc_response_head {
    int status;      /* 200…599 (1xx other than 100 and 101 are not sent) */
    hc_slice reason; /* may be empty: then the standard phrase */
    const hc_header *headers;
    size_t header_count;
} hc_response_head;

typedef enum hc_body_framing {
    HC_BODY_NONE,   /* HEAD, 204, 304: whatever the application yields is not sent */
    HC_BODY_LENGTH, /* Content-Length octets */
    HC_BODY_CHUNKED,
    HC_BODY_CLOSE, /* HTTP/1.0 without a length: the end is the close */
} hc_body_framing;

typedef struct hc_framing {
    hc_body_framing body;
    uint64_t length; /* HC_BODY_LENGTH */
    bool keep_alive; /* the connection goes on after this response */
} hc_framing;

/* Checks what an application gave: token names, values without control characters; no hop-by-hop
 * header (PEP 3333), but "Connection: close" is taken as a wish, and Keep-Alive is dropped;
 * Content-Length one decimal number. -HC_EFORMAT with the reason (it is logged and the client gets
 * a 500). */
int hc_response_check(const hc_response_head *head, hc_err *err) HC_MUST_CHECK;
/* How the body will be framed. `close` forces the end of the connection; so does the application's
 * "Connection: close". A response to a request that did not decode has no request: then frame it by
 * hand, with keep_alive false. */
hc_framing hc_response_framing(const hc_request *request, const hc_response_head *head, bool close);
/* Status line, the headers, and Date, Content-Length, Connection, Transfer-Encoding where they are
 * wanted and not given. Without memory, or at the buffer's limit, `out` is as it was. `date` is an
 * IMF-fixdate that the caller keeps, made anew once a second. */
int hc_response_encode(hc_buf *out, const hc_response_head *head, const hc_framing *framing,
                       hc_slice date, unsigned request_minor) HC_MUST_CHECK;
/* "1f\r\n" before a chunk (never for 0 octets), "\r\n" behind it, "0\r\n\r\n" at the end. */
size_t hc_chunk_prefix(uint64_t size, char out[20]);

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void hc_http_date(int64_t wall_s, char out[30]);
/* The standard reason phrase, "Unknown" where there is none. Static. */
const char *hc_status_phrase(int status);

#endif
