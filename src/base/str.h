/* Text forms: hex, decimal, escaping, UTF-8. Pure functions, no locale. */
#ifndef HC_BASE_STR_H
#define HC_BASE_STR_H

#include "base/buf.h"

/* Lower-case hex, two digits a byte. */
int hc_hex_add(hc_buf *out, hc_slice bytes) HC_MUST_CHECK;
/* The value of a hex digit in either case, -1 for any other byte. */
int hc_hex_digit(uint8_t byte);
/* Digits only: no sign, no space, no overflow. False leaves `out` untouched. */
bool hc_parse_u64(hc_slice text, uint64_t *out);
/* "90", "90s", "5m", "2h", "30d", "250ms" to milliseconds; a bare number is seconds. */
bool hc_parse_duration_ms(hc_slice text, uint64_t *out_ms);
/* "65536", "64k", "1m", "2g" to bytes. */
bool hc_parse_size(hc_slice text, uint64_t *out_bytes);
/* Well-formed by RFC 3629: no overlong forms, no surrogates, at most U+10FFFF. */
bool hc_utf8_valid(hc_slice text);
/* The bytes of the well-formed character that `text` begins with, and its code point; 0 where it
 * begins with none, then `out_point` is untouched. */
size_t hc_utf8_next(hc_slice text, uint32_t *out_point) HC_MUST_CHECK;
/* Neither a control character nor one that hides text, turns its direction or breaks its line. */
bool hc_utf8_harmless(uint32_t point);
/* For one log field: bytes outside printable ASCII, '"' and '\' become \xHH, \" or \\ . Well-formed
 * UTF-8 above U+00A0 stays, so a name can be read; what could move a terminal's cursor or forge a
 * line cannot pass. */
int hc_escape_add(hc_buf *out, hc_slice text) HC_MUST_CHECK;

#endif
