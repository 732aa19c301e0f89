/* Certificate serial numbers as octets, and their text forms (RFC 5280 section 4.1.2.2).
 *
 * A serial is an integer of up to 20 octets; negative and zero ones exist in the wild and are kept
 * exactly. The canonical text is lower-case hex without leading zeros ("0" for zero, "-" before a
 * negative one). A serial alone is never identity. Pure values, no ownership. */
#ifndef HC_X509_SERIAL_H
#define HC_X509_SERIAL_H

#include <openssl/asn1.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

typedef struct hc_serial {
    bool negative;
    uint8_t size;                           /* octets in use; 0 means the number 0 */
    uint8_t octets[HC_LIMIT_SERIAL_OCTETS]; /* magnitude, big-endian, no leading zero octet */
} hc_serial;

#define HC_SERIAL_HEX_BYTES     (2 * HC_LIMIT_SERIAL_OCTETS + 2) /* with sign and NUL */
#define HC_SERIAL_DECIMAL_BYTES 51 /* 2^160 has 49 digits; sign and NUL */

/* -HC_EFORMAT where it has more than 20 octets. */
int hc_serial_from_asn1(const ASN1_INTEGER *in, hc_serial *out, hc_err *err) HC_MUST_CHECK;
/* Any spelling a person may have at hand: hex in either case, with or without "0x", colons or
 * leading zeros; all digits, no "0x" and no colon is ambiguous: `decimal` says how to read it.
 * -HC_EINVAL with a text that says why. */
int hc_serial_parse(hc_slice text, bool decimal, hc_serial *out, hc_err *err) HC_MUST_CHECK;
void hc_serial_hex(const hc_serial *s, char out[HC_SERIAL_HEX_BYTES]);
/* Upper case, two digits an octet, as mod_ssl's SSL_CLIENT_M_SERIAL. */
void hc_serial_hex_upper(const hc_serial *s, char out[HC_SERIAL_HEX_BYTES]);
void hc_serial_decimal(const hc_serial *s, char out[HC_SERIAL_DECIMAL_BYTES]);
bool hc_serial_equal(const hc_serial *a, const hc_serial *b);

#endif
