/* The pieces of syntax that requests and responses share: character classes and comma-separated
 * lists (RFC 9110 section 5.6). Internal to http/. Pure functions. */
#ifndef HC_HTTP_SYNTAX_H
#define HC_HTTP_SYNTAX_H

#include "base/slice.h"

enum {
    HC_CHAR_TOKEN = 1, /* tchar, RFC 9110 section 5.6.2 */
    HC_CHAR_VALUE = 2, /* field-vchar (with obs-text), space and tab, RFC 9110 section 5.5 */
    HC_CHAR_TARGET =
        4, /* visible ASCII without "#": browsers send "|" or "{" that RFC 3986 has not */
    HC_CHAR_HOST = 8, /* letters, digits, "-", ".", "_" */
};

/* The classes of each byte. */
extern const uint8_t hc_chars[256];

/* How many bytes at the start are of the class. */
static inline size_t hc_chars_span(hc_slice in, uint8_t kind)
{
    size_t size = 0;
    while (size < in.size && (hc_chars[in.at[size]] & kind))
        size++;
    return size;
}

/* All bytes are of the class. True for an empty slice. */
static inline bool hc_chars_all(hc_slice in, uint8_t kind)
{
    return hc_chars_span(in, kind) == in.size;
}

/* Cuts the first member off a comma-separated list, trimmed, possibly empty. False at the end of
 * the list. Begin with the whole value; a value without a comma is one member. */
bool hc_list_next(hc_slice *list, hc_slice *member);
/* One of the members is this token, in any case. */
bool hc_list_has(hc_slice list, const char *token);
bool hc_slice_starts_with_nocase(hc_slice in, const char *prefix);

#endif
