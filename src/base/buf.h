/* hc_buf: owned bytes that grow up to a limit given when it is made.
 *
 * The owner calls hc_buf_done. Appending past the limit returns -HC_ELIMIT, without memory
 * -HC_ENOMEM; the buffer then is as it was. What is appended must not point into the buffer itself.
 * Not thread-safe. */
#ifndef HC_BASE_BUF_H
#define HC_BASE_BUF_H

#include "base/slice.h"

typedef struct hc_buf {
    uint8_t *at;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* size never exceeds this */
} hc_buf;

/* No allocation is made before the first append. */
static inline hc_buf hc_buf_init(size_t limit_bytes)
{
    return (hc_buf){NULL, 0, 0, limit_bytes};
}

/* Frees what it holds; the buffer is then empty and may be used again. */
void hc_buf_done(hc_buf *b);
/* Makes room for `more` bytes behind `size`. */
int hc_buf_reserve(hc_buf *b, size_t more) HC_MUST_CHECK;
int hc_buf_add(hc_buf *b, hc_slice bytes) HC_MUST_CHECK;
int hc_buf_add_text(hc_buf *b, const char *text) HC_MUST_CHECK;
int hc_buf_add_byte(hc_buf *b, uint8_t byte) HC_MUST_CHECK;
int hc_buf_printf(hc_buf *b, const char *format, ...) HC_MUST_CHECK HC_PRINTF(2, 3);
/* Little-endian, the counterpart of hc_cursor. */
int hc_buf_add_u8(hc_buf *b, uint8_t v) HC_MUST_CHECK;
int hc_buf_add_u16(hc_buf *b, uint16_t v) HC_MUST_CHECK;
int hc_buf_add_u32(hc_buf *b, uint32_t v) HC_MUST_CHECK;
int hc_buf_add_u64(hc_buf *b, uint64_t v) HC_MUST_CHECK;
/* Length, then bytes; -HC_ELIMIT where the length does not fit. */
int hc_buf_add_field16(hc_buf *b, hc_slice bytes) HC_MUST_CHECK;
int hc_buf_add_field32(hc_buf *b, hc_slice bytes) HC_MUST_CHECK;
/* Drops `size` bytes from the front. */
void hc_buf_consume(hc_buf *b, size_t size);
void hc_buf_clear(hc_buf *b);

static inline hc_slice hc_buf_slice(const hc_buf *b)
{
    return (hc_slice){b->at, b->size};
}

#endif
