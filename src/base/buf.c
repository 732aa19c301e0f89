#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

#define FIRST_CAPACITY 64

void hc_buf_done(hc_buf *b)
{
    hc_free(b->at);
    *b = hc_buf_init(b->limit);
}

/* Doubles, so that appending byte by byte costs linear time; stops at the limit. */
static size_t grown_capacity(const hc_buf *b, size_t needed)
{
    size_t capacity = b->capacity > b->limit / 2 ? b->limit : b->capacity * 2;
    if (capacity < FIRST_CAPACITY)
        capacity = FIRST_CAPACITY < b->limit ? FIRST_CAPACITY : b->limit;
    return capacity < needed ? needed : capacity;
}

int hc_buf_reserve(hc_buf *b, size_t more)
{
    if (b->size > b->limit || more > b->limit - b->size)
        return -HC_ELIMIT;
    if (more <= b->capacity - b->size)
        return 0;
    size_t capacity = grown_capacity(b, b->size + more);
    uint8_t *at = hc_realloc(b->at, capacity);
    if (!at)
        return -HC_ENOMEM;
    b->at = at;
    b->capacity = capacity;
    return 0;
}

int hc_buf_add(hc_buf *b, hc_slice bytes)
{
    int rc = hc_buf_reserve(b, bytes.size);
    if (rc == 0 && bytes.size) {
        memcpy(b->at + b->size, bytes.at, bytes.size);
        b->size += bytes.size;
    }
    return rc;
}

int hc_buf_add_text(hc_buf *b, const char *text)
{
    return hc_buf_add(b, hc_slice_text(text));
}

int hc_buf_add_byte(hc_buf *b, uint8_t byte)
{
    return hc_buf_add(b, hc_slice_of(&byte, 1));
}

/* By way of a second allocation, because vsnprintf writes a NUL for which the limit may leave no
 * room. */
HC_PRINTF(3, 0)
static int add_long(hc_buf *b, size_t size, const char *format, va_list args)
{
    int rc = hc_buf_reserve(b, size);
    if (rc != 0)
        return rc;
    char *text = hc_alloc(size + 1);
    if (!text)
        return -HC_ENOMEM;
    int written = vsnprintf(text, size + 1, format, args);
    rc = written < 0 || (size_t)written != size ? -HC_EINVAL
                                                : hc_buf_add(b, hc_slice_of(text, size));
    hc_free(text);
    return rc;
}

int hc_buf_printf(hc_buf *b, const char *format, ...)
{
    char text[512];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(text, sizeof(text), format, args);
    int rc;
    if (size < 0)
        rc = -HC_EINVAL;
    else if ((size_t)size < sizeof(text))
        rc = hc_buf_add(b, hc_slice_of(text, (size_t)size));
    else
        rc = add_long(b, (size_t)size, format, again);
    va_end(again);
    va_end(args);
    return rc;
}

static int add_little_endian(hc_buf *b, uint64_t value, size_t size)
{
    uint8_t bytes[sizeof(value)];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    return hc_buf_add(b, hc_slice_of(bytes, size));
}

int hc_buf_add_u8(hc_buf *b, uint8_t v)
{
    return add_little_endian(b, v, sizeof(v));
}

int hc_buf_add_u16(hc_buf *b, uint16_t v)
{
    return add_little_endian(b, v, sizeof(v));
}

int hc_buf_add_u32(hc_buf *b, uint32_t v)
{
    return add_little_endian(b, v, sizeof(v));
}

int hc_buf_add_u64(hc_buf *b, uint64_t v)
{
    return add_little_endian(b, v, sizeof(v));
}

static int add_field(hc_buf *b, hc_slice bytes, size_t length_size, uint64_t max)
{
    if (bytes.size > max || bytes.size > SIZE_MAX - length_size)
        return -HC_ELIMIT;
    /* Room for both at once: a length without its bytes must not stay behind. */
    int rc = hc_buf_reserve(b, length_size + bytes.size);
    if (rc == 0)
        rc = add_little_endian(b, bytes.size, length_size);
    if (rc == 0)
        rc = hc_buf_add(b, bytes);
    return rc;
}

int hc_buf_add_field16(hc_buf *b, hc_slice bytes)
{
    return add_field(b, bytes, sizeof(uint16_t), UINT16_MAX);
}

int hc_buf_add_field32(hc_buf *b, hc_slice bytes)
{
    return add_field(b, bytes, sizeof(uint32_t), UINT32_MAX);
}

void hc_buf_consume(hc_buf *b, size_t size)
{
    if (size >= b->size) {
        b->size = 0;
        return;
    }
    if (size == 0)
        return;
    memmove(b->at, b->at + size, b->size - size);
    b->size -= size;
}

void hc_buf_clear(hc_buf *b)
{
    b->size = 0;
}
