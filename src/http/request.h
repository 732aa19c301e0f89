/* An HTTP request as received, after every rule of RFC 9112 and RFC 9110 was checked; all slices
 * are borrowed from the decoder that made it and live until it is reset. */
#ifndef HC_HTTP_REQUEST_H
#define HC_HTTP_REQUEST_H

#include "base/slice.h"

typedef struct hc_header {
    hc_slice name;  /* as received */
    hc_slice value; /* without surrounding white space; obs-text octets as they came */
} hc_header;

typedef enum hc_target_form {
    HC_TARGET_ORIGIN,
    HC_TARGET_ABSOLUTE,
    HC_TARGET_ASTERISK
} hc_target_form;

typedef struct hc_request {
    hc_slice method;
    hc_slice target; /* as received */
    hc_target_form form;
    hc_slice raw_path; /* as received, without scheme, authority and query; "*" for asterisk-form */
    hc_slice path;     /* percent-decoded octets; never with NUL */
    hc_slice query;    /* as received, without "?" */
    hc_slice
        host; /* the effective authority (RFC 9112 section 3.2.2); empty in HTTP/1.0 without Host */
    unsigned minor; /* HTTP/1.`minor`: 0 or 1 */
    hc_header *headers;
    size_t header_count;
    uint64_t content_length; /* 0 where there is none or chunked */
    bool has_content_length;
    bool chunked;
    bool expect_continue; /* "Expect: 100-continue" in HTTP/1.1 with a body to come */
    bool keep_alive;      /* the client can and wants to go on after this request */
} hc_request;

/* The value of the only header of this name; false where there is none (or several). */
bool hc_request_header(const hc_request *r, const char *name, hc_slice *out);

/* A header that could be read as one of ours once its name is a CGI variable (upper case, "-" and
 * "_" alike), or as what another TLS terminator says about a client's certificate: it must not
 * reach an application or an upstream. Every name with a byte outside A-Z, a-z, 0-9 and "-" is one,
 * since such a byte may become "_". */
bool hc_header_is_reserved(hc_slice name);

/* A path that two parsers may read differently: "%2f" or "%5c" in the raw path; "\", an empty
 * segment or a dot segment in the decoded one (also with a ";parameter" behind the dots). Path
 * rules must not be asked about such a path. */
bool hc_request_path_is_ambiguous(const hc_request *r);

#endif
