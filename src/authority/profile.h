/* What a certificate of ours says, by its purpose: values alone, checked before anything is signed
 * (RFC 5280).
 *
 * Borrowed texts; nothing here is kept by what it is passed to. */
#ifndef HC_AUTHORITY_PROFILE_H
#define HC_AUTHORITY_PROFILE_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* RFC 5280 appendix A.1: ub-common-name, in characters; a name of ours is held to it in octets. */
#define HC_PROFILE_NAME_BYTES 64
#define HC_PROFILE_HOSTS_MAX  100

#define HC_PROFILE_DAY_S             ((int64_t)24 * 3600)
#define HC_PROFILE_CA_LIFETIME_S     (3650 * HC_PROFILE_DAY_S)
#define HC_PROFILE_SERVER_LIFETIME_S (365 * HC_PROFILE_DAY_S)
#define HC_PROFILE_CLIENT_LIFETIME_S (365 * HC_PROFILE_DAY_S)
/* Valid from this long before now, for clients whose clock is behind. */
#define HC_PROFILE_BACKDATE_S 300

typedef enum hc_profile_kind {
    HC_PROFILE_CA,     /* signs clients and servers, no CA below it (pathlen 0), and CRLs */
    HC_PROFILE_SERVER, /* serverAuth, named by subjectAltName */
    HC_PROFILE_CLIENT, /* clientAuth, named by CN */
} hc_profile_kind;

typedef struct hc_profile {
    hc_profile_kind kind;
    const char *name; /* CN of a client; NULL for a CA and a server, whose names follow from key and
                         hosts */
    const char *const *hosts; /* of a server: DNS names and IP addresses, at least one */
    size_t host_count;
    int64_t now_s;
} hc_profile;

/* A client's name: well-formed UTF-8 of at most 64 octets, neither empty nor ".", "..", no '/',
 * '\', control or invisible characters, no space at either end: it is a file's name and a line's
 * word too. */
int hc_profile_check_name(hc_slice name, hc_err *err) HC_MUST_CHECK;
/* A DNS name (RFC 1123 section 2.1, at most 253 octets; "*." in front is a wildcard) or an IP
 * address without brackets. Names that are not ASCII are wanted in their xn-- form. */
int hc_profile_check_host(hc_slice host, hc_err *err) HC_MUST_CHECK;
/* IPv4 or IPv6 address: its octets and their number, 4 or 16; 0 where it is none. */
size_t hc_profile_address(const char *host, uint8_t out[16]);

#endif
