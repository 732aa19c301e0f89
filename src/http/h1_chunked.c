/* RFC 9112 section 7.1, byte by byte: chunk lines and trailers are rare and short, and nothing of
 * them is kept. */
#include "base/limits.h"
#include "base/str.h"
#include "http/h1_parts.h"
#include "http/syntax.h"

static bool expect_lf(hc_h1 *d, uint8_t byte, int next)
{
    if (byte != '\n')
        return hc_h1_fail(d, 400, "CR without LF in a chunked body");
    d->state = next;
    d->line_bytes = 0;
    return true;
}

static bool chunk_line_fits(hc_h1 *d)
{
    if (++d->line_bytes > HC_LIMIT_CHUNK_LINE)
        return hc_h1_fail(d, 400, "a chunk line is too long");
    return true;
}

/* chunk-size = 1*HEXDIG, and what may follow it. */
static bool size_byte(hc_h1 *d, uint8_t byte)
{
    int digit = hc_hex_digit(byte);
    if (digit >= 0) {
        if (d->body_left > UINT64_MAX >> 4)
            return hc_h1_fail(d, 400, "a chunk size is too large");
        d->body_left = d->body_left << 4 | (unsigned)digit;
        return chunk_line_fits(d);
    }
    if (d->line_bytes == 0 || (byte != '\r' && byte != ';'))
        return hc_h1_fail(d, 400, "malformed chunk size");
    d->state = byte == '\r' ? HC_H1_STATE_CHUNK_LINE_LF : HC_H1_STATE_CHUNK_EXTENSION;
    return byte == '\r' || chunk_line_fits(d);
}

/* Extensions mean nothing here; they must only not hide the end of the line. */
static bool extension_byte(hc_h1 *d, uint8_t byte)
{
    if (byte == '\r') {
        d->state = HC_H1_STATE_CHUNK_LINE_LF;
        return true;
    }
    if (!(hc_chars[byte] & HC_CHAR_VALUE))
        return hc_h1_fail(d, 400, "a byte that is not allowed in a chunk extension");
    return chunk_line_fits(d);
}

static bool chunk_line_end(hc_h1 *d, uint8_t byte)
{
    if (!expect_lf(d, byte, HC_H1_STATE_TRAILER_START))
        return false;
    if (d->body_left == 0)
        return true;
    if (d->body_left > d->limits.body_bytes - d->body_seen)
        return hc_h1_fail(d, 413, "the body is too large");
    d->state = HC_H1_STATE_CHUNK_DATA;
    return true;
}

static bool trailer_fits(hc_h1 *d)
{
    if (++d->line_bytes > d->limits.field_bytes || ++d->trailer_bytes > HC_LIMIT_TRAILERS)
        return hc_h1_fail(d, 431, "the trailers are too large");
    return true;
}

static bool name_byte(hc_h1 *d, uint8_t byte)
{
    if (byte == ':' && d->line_bytes)
        d->state = HC_H1_STATE_TRAILER_VALUE;
    else if (!(hc_chars[byte] & HC_CHAR_TOKEN))
        return hc_h1_fail(d, 400, "malformed trailer field name");
    return trailer_fits(d);
}

static bool trailer_start(hc_h1 *d, uint8_t byte)
{
    if (byte == '\r') {
        d->state = HC_H1_STATE_LAST_LF;
        return true;
    }
    if (++d->trailer_fields > d->limits.fields)
        return hc_h1_fail(d, 431, "too many trailer fields");
    d->state = HC_H1_STATE_TRAILER_NAME;
    return name_byte(d, byte);
}

static bool value_byte(hc_h1 *d, uint8_t byte)
{
    if (byte == '\r') {
        d->state = HC_H1_STATE_TRAILER_LF;
        return true;
    }
    if (!(hc_chars[byte] & HC_CHAR_VALUE))
        return hc_h1_fail(d, 400, "a byte that is not allowed in a trailer field");
    return trailer_fits(d);
}

bool hc_h1_chunk_byte(hc_h1 *d, uint8_t byte)
{
    switch (d->state) {
    case HC_H1_STATE_CHUNK_SIZE:
        return size_byte(d, byte);
    case HC_H1_STATE_CHUNK_EXTENSION:
        return extension_byte(d, byte);
    case HC_H1_STATE_CHUNK_LINE_LF:
        return chunk_line_end(d, byte);
    case HC_H1_STATE_CHUNK_DATA_CR:
        if (byte != '\r')
            return hc_h1_fail(d, 400, "a chunk does not end where its size says");
        d->state = HC_H1_STATE_CHUNK_DATA_LF;
        return true;
    case HC_H1_STATE_CHUNK_DATA_LF:
        return expect_lf(d, byte, HC_H1_STATE_CHUNK_SIZE);
    case HC_H1_STATE_TRAILER_START:
        return trailer_start(d, byte);
    case HC_H1_STATE_TRAILER_NAME:
        return name_byte(d, byte);
    case HC_H1_STATE_TRAILER_VALUE:
        return value_byte(d, byte);
    case HC_H1_STATE_TRAILER_LF:
        return expect_lf(d, byte, HC_H1_STATE_TRAILER_START);
    default: /* HC_H1_STATE_LAST_LF */
        return expect_lf(d, byte, HC_H1_STATE_COMPLETE);
    }
}
