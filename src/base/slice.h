/* hc_slice: borrowed bytes, not NUL-terminated; hc_cursor: reads them and cannot overrun.
 *
 * A slice owns nothing and lives as long as what it points into. `at` may be NULL only where `size`
 * is 0. The cursor checks each length itself: a read past the end returns false, leaves the outputs
 * untouched and makes every later read fail too, so a decoder may check once at its end. */
#ifndef HC_BASE_SLICE_H
#define HC_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"

typedef struct hc_slice {
    const uint8_t *at;
    size_t size;
} hc_slice;

#define HC_SLICE_LITERAL(text) ((hc_slice){(const uint8_t *)(text), sizeof(text) - 1})
#define HC_SLICE_NONE          ((hc_slice){NULL, 0})
/* For printf("%.*s"): two arguments. Only for bytes already known to be printable. */
#define HC_SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).at

static inline hc_slice hc_slice_of(const void *at, size_t size)
{
    return (hc_slice){(const uint8_t *)at, size};
}

static inline hc_slice hc_slice_text(const char *text)
{
    return (hc_slice){(const uint8_t *)text, text ? strlen(text) : 0};
}

static inline bool hc_slice_equal(hc_slice a, hc_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

static inline bool hc_slice_equal_text(hc_slice a, const char *text)
{
    return hc_slice_equal(a, hc_slice_text(text));
}

/* ASCII letters compare equal in either case; no locale. */
bool hc_slice_equal_nocase(hc_slice a, hc_slice b);
bool hc_slice_starts_with(hc_slice a, hc_slice prefix);
/* -1 where there is none. */
ptrdiff_t hc_slice_find(hc_slice in, uint8_t byte);
/* Without space and tab at both ends. */
hc_slice hc_slice_trim(hc_slice in);
/* The bytes from `from`; empty where `from` is past the end. */
hc_slice hc_slice_from(hc_slice in, size_t from);

typedef struct hc_cursor {
    const uint8_t *at;
    size_t left;
    bool failed;
} hc_cursor;

hc_cursor hc_cursor_of(hc_slice in);
/* Integers are little-endian: both ends of a lane are on one machine, and the fuzzer's corpus stays
 * portable. */
bool hc_cursor_u8(hc_cursor *c, uint8_t *out);
bool hc_cursor_u16(hc_cursor *c, uint16_t *out);
bool hc_cursor_u32(hc_cursor *c, uint32_t *out);
bool hc_cursor_u64(hc_cursor *c, uint64_t *out);
bool hc_cursor_bytes(hc_cursor *c, size_t size, hc_slice *out);
/* A 16- or 32-bit length, then that many bytes. */
bool hc_cursor_field16(hc_cursor *c, hc_slice *out);
bool hc_cursor_field32(hc_cursor *c, hc_slice *out);
/* Nothing failed and nothing is left: trailing bytes are an error. */
bool hc_cursor_done(const hc_cursor *c);

#endif
