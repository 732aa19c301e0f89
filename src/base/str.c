#include "base/str.h"

#include "base/err.h"

static const char hex_digits[] = "0123456789abcdef";

int hc_hex_add(hc_buf *out, hc_slice bytes)
{
    if (bytes.size > SIZE_MAX / 2)
        return -HC_ELIMIT;
    int rc = hc_buf_reserve(out, bytes.size * 2);
    for (size_t i = 0; rc == 0 && i < bytes.size; i++) {
        out->at[out->size++] = (uint8_t)hex_digits[bytes.at[i] >> 4];
        out->at[out->size++] = (uint8_t)hex_digits[bytes.at[i] & 15];
    }
    return rc;
}

int hc_hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

bool hc_parse_u64(hc_slice text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.at[i]))
            return false;
        uint64_t digit = (uint64_t)(text.at[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

typedef struct unit {
    const char *suffix;
    uint64_t factor;
} unit;

static bool parse_with_unit(hc_slice text, const unit *units, size_t count, uint64_t *out)
{
    size_t digits = 0;
    while (digits < text.size && is_digit(text.at[digits]))
        digits++;
    uint64_t number;
    if (!hc_parse_u64(hc_slice_of(text.at, digits), &number))
        return false;
    hc_slice suffix = hc_slice_from(text, digits);
    for (size_t i = 0; i < count; i++) {
        if (!hc_slice_equal_text(suffix, units[i].suffix))
            continue;
        if (number > UINT64_MAX / units[i].factor)
            return false;
        *out = number * units[i].factor;
        return true;
    }
    return false;
}

bool hc_parse_duration_ms(hc_slice text, uint64_t *out_ms)
{
    static const unit units[] = {
        {"", 1000},       {"ms", 1},          {"s", 1000},
        {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000},
    };
    return parse_with_unit(text, units, HC_COUNT(units), out_ms);
}

bool hc_parse_size(hc_slice text, uint64_t *out_bytes)
{
    static const unit units[] = {{"", 1}, {"k", 1u << 10}, {"m", 1u << 20}, {"g", 1u << 30}};
    return parse_with_unit(text, units, HC_COUNT(units), out_bytes);
}

/* The bytes a character takes by its first one, 0 where no character begins with it. */
static size_t utf8_size(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF)
        return 3;
    if (first >= 0xF0 && first <= 0xF4)
        return 4;
    return 0;
}

size_t hc_utf8_next(hc_slice text, uint32_t *out_point)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = text.size ? utf8_size(text.at[0]) : 0;
    if (size == 0 || size > text.size)
        return 0;
    uint32_t point = size == 1 ? text.at[0] : text.at[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text.at[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (text.at[i] & 0x3F);
    }
    bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    if (point < smallest[size] || surrogate || point > 0x10FFFF)
        return 0;
    *out_point = point;
    return size;
}

bool hc_utf8_valid(hc_slice text)
{
    while (text.size) {
        uint32_t point;
        size_t size = hc_utf8_next(text, &point);
        if (size == 0)
            return false;
        text = hc_slice_from(text, size);
    }
    return true;
}

bool hc_utf8_harmless(uint32_t point)
{
    /* Beside the controls: characters without a glyph that hide text, turn its direction or break
     * its line. */
    static const struct {
        uint32_t first, last;
    } harmful[] = {
        {0x00, 0x1F},     {0x7F, 0xA0},     {0xAD, 0xAD},       {0x61C, 0x61C},
        {0x180E, 0x180E}, {0x200B, 0x200F}, {0x2028, 0x202E},   {0x2060, 0x206F},
        {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE0FFF},
    };
    for (size_t i = 0; i < HC_COUNT(harmful); i++) {
        if (point >= harmful[i].first && point <= harmful[i].last)
            return false;
    }
    return true;
}

static int add_backslash_hex(hc_buf *out, hc_slice bytes)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < bytes.size; i++) {
        uint8_t byte = bytes.at[i];
        const char form[] = {'\\', 'x', hex_digits[byte >> 4], hex_digits[byte & 15]};
        rc = hc_buf_add(out, hc_slice_of(form, sizeof(form)));
    }
    return rc;
}

/* One character, or one byte that begins none. */
static int escape_one(hc_buf *out, hc_slice text, size_t *out_size)
{
    uint32_t point = 0;
    size_t size = hc_utf8_next(text, &point);
    bool stays = size > 0 && hc_utf8_harmless(point);
    hc_slice bytes = hc_slice_of(text.at, size ? size : 1);
    *out_size = bytes.size;
    if (!stays)
        return add_backslash_hex(out, bytes);
    int rc = 0;
    if (point == '"' || point == '\\')
        rc = hc_buf_add_byte(out, '\\');
    return rc == 0 ? hc_buf_add(out, bytes) : rc;
}

int hc_escape_add(hc_buf *out, hc_slice text)
{
    size_t before = out->size;
    while (text.size) {
        size_t size;
        int rc = escape_one(out, text, &size);
        if (rc != 0) {
            out->size = before;
            return rc;
        }
        text = hc_slice_from(text, size);
    }
    return 0;
}
