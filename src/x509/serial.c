#include "x509/serial.h"

#include "base/str.h"

/* Longer texts than this cannot be a serial in any spelling: leading zeros and colons included. */
#define SERIAL_TEXT_MAX 1024

static int too_long(hc_err *err)
{
    return hc_err_set(err, HC_EINVAL, "serial number is longer than %d octets",
                      HC_LIMIT_SERIAL_OCTETS);
}

int hc_serial_from_asn1(const ASN1_INTEGER *in, hc_serial *out, hc_err *err)
{
    const uint8_t *at = ASN1_STRING_get0_data(in);
    int length = ASN1_STRING_length(in);
    while (length > 0 && at[0] == 0) {
        at++;
        length--;
    }
    if (length > HC_LIMIT_SERIAL_OCTETS)
        return hc_err_set(err, HC_EFORMAT,
                          "serial number is longer than %d octets (RFC 5280 section 4.1.2.2)",
                          HC_LIMIT_SERIAL_OCTETS);
    hc_serial s = {0};
    if (length > 0) {
        s.negative = ASN1_STRING_type(in) == V_ASN1_NEG_INTEGER;
        s.size = (uint8_t)length;
        memcpy(s.octets, at, (size_t)length);
    }
    *out = s;
    return 0;
}

/* magnitude = magnitude * factor + digit, in a fixed field; false where it overflows. */
static bool shift_in(uint8_t field[HC_LIMIT_SERIAL_OCTETS], unsigned factor, unsigned digit)
{
    unsigned carry = digit;
    for (size_t i = HC_LIMIT_SERIAL_OCTETS; i-- > 0;) {
        carry += field[i] * factor;
        field[i] = (uint8_t)carry;
        carry >>= 8;
    }
    return carry == 0;
}

static void from_field(const uint8_t field[HC_LIMIT_SERIAL_OCTETS], bool negative, hc_serial *out)
{
    size_t zeros = 0;
    while (zeros < HC_LIMIT_SERIAL_OCTETS && field[zeros] == 0)
        zeros++;
    *out = (hc_serial){0};
    out->size = (uint8_t)(HC_LIMIT_SERIAL_OCTETS - zeros);
    out->negative = negative && out->size > 0;
    memcpy(out->octets, field + zeros, out->size);
}

/* "1:02" is refused in its second form "1:2": nobody can say whether that is 0x12 or 0x0102. */
static bool colons_well_placed(hc_slice text)
{
    size_t digits = 0;
    bool first_group = true;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] != ':') {
            digits++;
            continue;
        }
        if (digits != 2 && !(first_group && digits == 1))
            return false;
        first_group = false;
        digits = 0;
    }
    return first_group || digits == 2;
}

static int parse_hex(hc_slice text, bool negative, hc_serial *out, hc_err *err)
{
    uint8_t field[HC_LIMIT_SERIAL_OCTETS] = {0};
    if (!colons_well_placed(text))
        return hc_err_set(err, HC_EINVAL, "serial number: a colon may only stand between octets");
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == ':')
            continue;
        int digit = hc_hex_digit(text.at[i]);
        if (digit < 0)
            return hc_err_set(err, HC_EINVAL,
                              "serial number: neither hex nor decimal digits (at character %zu)",
                              i + 1);
        if (!shift_in(field, 16, (unsigned)digit))
            return too_long(err);
    }
    from_field(field, negative, out);
    return 0;
}

static int parse_decimal(hc_slice text, bool negative, hc_serial *out, hc_err *err)
{
    uint8_t field[HC_LIMIT_SERIAL_OCTETS] = {0};
    for (size_t i = 0; i < text.size; i++) {
        if (!shift_in(field, 10, (unsigned)(text.at[i] - '0')))
            return too_long(err);
    }
    from_field(field, negative, out);
    return 0;
}

static bool all_decimal_digits(hc_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
    }
    return true;
}

int hc_serial_parse(hc_slice text, bool decimal, hc_serial *out, hc_err *err)
{
    text = hc_slice_trim(text);
    bool negative = text.size > 0 && text.at[0] == '-';
    if (negative)
        text = hc_slice_from(text, 1);
    bool prefixed = text.size >= 2 && text.at[0] == '0' && (text.at[1] == 'x' || text.at[1] == 'X');
    if (prefixed)
        text = hc_slice_from(text, 2);
    if (text.size == 0)
        return hc_err_set(err, HC_EINVAL, "serial number is empty");
    if (text.size > SERIAL_TEXT_MAX)
        return too_long(err);
    if (decimal && !prefixed && all_decimal_digits(text))
        return parse_decimal(text, negative, out, err);
    return parse_hex(text, negative, out, err);
}

static void write_hex(const hc_serial *s, const char *digits, char *out)
{
    if (s->negative)
        *out++ = '-';
    for (size_t i = 0; i < s->size; i++) {
        *out++ = digits[s->octets[i] >> 4];
        *out++ = digits[s->octets[i] & 15];
    }
    *out = '\0';
}

void hc_serial_hex(const hc_serial *s, char out[HC_SERIAL_HEX_BYTES])
{
    if (s->size == 0) {
        memcpy(out, "0", 2);
        return;
    }
    write_hex(s, "0123456789abcdef", out);
    char *digits = out + (s->negative ? 1 : 0);
    if (digits[0] == '0')
        memmove(digits, digits + 1, strlen(digits));
}

void hc_serial_hex_upper(const hc_serial *s, char out[HC_SERIAL_HEX_BYTES])
{
    if (s->size == 0)
        memcpy(out, "00", 3);
    else
        write_hex(s, "0123456789ABCDEF", out);
}

void hc_serial_decimal(const hc_serial *s, char out[HC_SERIAL_DECIMAL_BYTES])
{
    uint8_t rest[HC_LIMIT_SERIAL_OCTETS];
    char reversed[HC_SERIAL_DECIMAL_BYTES];
    size_t count = 0;
    bool more = true;
    memcpy(rest, s->octets, s->size);
    while (more) {
        unsigned remainder = 0;
        more = false;
        for (size_t i = 0; i < s->size; i++) {
            remainder = remainder << 8 | rest[i];
            rest[i] = (uint8_t)(remainder / 10);
            remainder %= 10;
            more = more || rest[i] != 0;
        }
        reversed[count++] = (char)('0' + remainder);
    }
    if (s->negative)
        *out++ = '-';
    while (count > 0)
        *out++ = reversed[--count];
    *out = '\0';
}

bool hc_serial_equal(const hc_serial *a, const hc_serial *b)
{
    return a->negative == b->negative && a->size == b->size &&
           memcmp(a->octets, b->octets, a->size) == 0;
}
