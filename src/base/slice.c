#include "base/slice.h"

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

bool hc_slice_equal_nocase(hc_slice a, hc_slice b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++) {
        if (lower(a.at[i]) != lower(b.at[i]))
            return false;
    }
    return true;
}

bool hc_slice_starts_with(hc_slice a, hc_slice prefix)
{
    return a.size >= prefix.size && hc_slice_equal(hc_slice_of(a.at, prefix.size), prefix);
}

ptrdiff_t hc_slice_find(hc_slice in, uint8_t byte)
{
    const uint8_t *found = in.size ? memchr(in.at, byte, in.size) : NULL;
    return found ? found - in.at : -1;
}

hc_slice hc_slice_trim(hc_slice in)
{
    while (in.size && is_blank(in.at[0])) {
        in.at++;
        in.size--;
    }
    while (in.size && is_blank(in.at[in.size - 1]))
        in.size--;
    return in;
}

hc_slice hc_slice_from(hc_slice in, size_t from)
{
    if (!in.at)
        return HC_SLICE_NONE;
    if (from > in.size)
        from = in.size;
    return hc_slice_of(in.at + from, in.size - from);
}

hc_cursor hc_cursor_of(hc_slice in)
{
    return (hc_cursor){in.at, in.size, false};
}

bool hc_cursor_bytes(hc_cursor *c, size_t size, hc_slice *out)
{
    if (c->failed || size > c->left) {
        c->failed = true;
        return false;
    }
    *out = hc_slice_of(c->at, size);
    if (size) /* an empty cursor may have no address to move */
        c->at += size;
    c->left -= size;
    return true;
}

static bool read_little_endian(hc_cursor *c, size_t size, uint64_t *out)
{
    hc_slice bytes;
    if (!hc_cursor_bytes(c, size, &bytes))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)bytes.at[i] << (8 * i);
    *out = value;
    return true;
}

bool hc_cursor_u8(hc_cursor *c, uint8_t *out)
{
    uint64_t value;
    if (!read_little_endian(c, sizeof(*out), &value))
        return false;
    *out = (uint8_t)value;
    return true;
}

bool hc_cursor_u16(hc_cursor *c, uint16_t *out)
{
    uint64_t value;
    if (!read_little_endian(c, sizeof(*out), &value))
        return false;
    *out = (uint16_t)value;
    return true;
}

bool hc_cursor_u32(hc_cursor *c, uint32_t *out)
{
    uint64_t value;
    if (!read_little_endian(c, sizeof(*out), &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

bool hc_cursor_u64(hc_cursor *c, uint64_t *out)
{
    return read_little_endian(c, sizeof(*out), out);
}

bool hc_cursor_field16(hc_cursor *c, hc_slice *out)
{
    uint16_t size;
    return hc_cursor_u16(c, &size) && hc_cursor_bytes(c, size, out);
}

bool hc_cursor_field32(hc_cursor *c, hc_slice *out)
{
    uint32_t size;
    return hc_cursor_u32(c, &size) && hc_cursor_bytes(c, size, out);
}

bool hc_cursor_done(const hc_cursor *c)
{
    return !c->failed && c->left == 0;
}
