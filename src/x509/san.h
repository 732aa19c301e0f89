/* Subject alternative names that we write (RFC 5280 section 4.2.1.6): values, their rules and their
 * DER. What others wrote is read by x509/name.h.
 *
 * Pure functions; texts are borrowed. */
#ifndef HC_X509_SAN_H
#define HC_X509_SAN_H

#include <openssl/x509v3.h>

#include "x509/name.h"

/* HC_SAN_EMAIL, _DNS, _URI or _IP; the others are not written. */
typedef struct hc_san {
    hc_san_type type;
    const char *value;
} hc_san;

const char *hc_san_type_name(hc_san_type type); /* "email", "DNS", "URI", "IP"; "" for others */
/* In any case; true for the four that are written. */
bool hc_san_type_parse(hc_slice name, hc_san_type *out);

/* A DNS name (RFC 1123 section 2.1, at most 253 octets; "*." in front is a wildcard). */
bool hc_san_is_dns(hc_slice host);
/* IPv4 or IPv6 address: its octets and their number, 4 or 16; 0 where it is none. */
size_t hc_san_address(const char *host, uint8_t out[16]);

/* Each by its rule: DNS as above; an email address is ASCII (RFC 5321 Mailbox without quotes); a
 * URI has a scheme and is ASCII (RFC 3986), with a host where it has an authority; one of scheme
 * spiffe follows the SPIFFE ID specification. -HC_EINVAL with what is wrong. */
int hc_san_check(const hc_san *san, hc_err *err) HC_MUST_CHECK;
/* Checks all of them, and that a SPIFFE ID is the only URI (X.509-SVID section 2). The caller frees
 * with GENERAL_NAMES_free. At most HC_LIMIT_SANS, at least one. */
int hc_san_make(const hc_san *sans, size_t count, GENERAL_NAMES **out, hc_err *err) HC_MUST_CHECK;

/* As hc_san_entries, of names that are decoded already. */
int hc_san_each_of(const GENERAL_NAMES *names, hc_san_each each, void *arg,
                   hc_err *err) HC_MUST_CHECK;

#endif
