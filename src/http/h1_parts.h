/* What the files of the HTTP/1.1 decoder share: its states and its parts. Internal to http/.
 *
 * Each part returns false once the decoder has failed; the reason then stands in the decoder. */
#ifndef HC_HTTP_H1_PARTS_H
#define HC_HTTP_H1_PARTS_H

#include "http/h1.h"

enum {
    HC_H1_STATE_REQUEST_LINE, /* 0: what a cleared decoder begins with */
    HC_H1_STATE_FIELD_LINES,
    HC_H1_STATE_BODY, /* Content-Length octets */
    HC_H1_STATE_CHUNK_SIZE,
    HC_H1_STATE_CHUNK_EXTENSION,
    HC_H1_STATE_CHUNK_LINE_LF,
    HC_H1_STATE_CHUNK_DATA,
    HC_H1_STATE_CHUNK_DATA_CR,
    HC_H1_STATE_CHUNK_DATA_LF,
    HC_H1_STATE_TRAILER_START,
    HC_H1_STATE_TRAILER_NAME,
    HC_H1_STATE_TRAILER_VALUE,
    HC_H1_STATE_TRAILER_LF,
    HC_H1_STATE_LAST_LF,
    HC_H1_STATE_COMPLETE,
    HC_H1_STATE_FAILED,
};

/* Always false. `reason` is static text. */
bool hc_h1_fail(hc_h1 *d, int status, const char *reason);

/* h1_head.c: one line each, without its CRLF, inside d->head. */
bool hc_h1_request_line(hc_h1 *d, hc_slice line);
bool hc_h1_field_line(hc_h1 *d, hc_slice line);
/* After the last field: what the lines mean together. Sets everything in d->request. */
bool hc_h1_head_finish(hc_h1 *d);

/* target.c: form, path, query and, in absolute-form, host. */
bool hc_h1_target(hc_h1 *d);
/* uri-host [ ":" port ], not empty. */
bool hc_host_valid(hc_slice host);

/* h1_chunked.c: one byte of chunk lines, chunk ends and trailers; never of chunk data. */
bool hc_h1_chunk_byte(hc_h1 *d, uint8_t byte);

#endif
