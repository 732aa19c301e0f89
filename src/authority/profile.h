/* What certificates of ours say, by their purpose: values alone, checked before anything is signed
 * (RFC 5280).
 *
 * A profile holds what all certificates of one purpose share, a holder what one of them says of its
 * own. Profiles own nothing and may be copied; the texts of a holder are borrowed. */
#ifndef HC_AUTHORITY_PROFILE_H
#define HC_AUTHORITY_PROFILE_H

#include <openssl/x509.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"
#include "x509/key.h"
#include "x509/san.h"

/* RFC 5280 appendix A.1: ub-common-name, in characters; a name of ours is held to it in octets. */
#define HC_PROFILE_NAME_BYTES 64
#define HC_PROFILE_HOSTS_MAX  100

#define HC_PROFILE_DAY_S          ((int64_t)24 * 3600)
#define HC_PROFILE_CA_LIFETIME_S  (3650 * HC_PROFILE_DAY_S)
#define HC_PROFILE_LIFETIME_S     (365 * HC_PROFILE_DAY_S)
#define HC_PROFILE_LIFETIME_MIN_S ((int64_t)3600)
#define HC_PROFILE_LIFETIME_MAX_S (7300 * HC_PROFILE_DAY_S)
/* Valid from this long before now, for clients whose clock is behind. */
#define HC_PROFILE_BACKDATE_S 300

typedef enum hc_profile_kind {
    HC_PROFILE_CA,     /* signs certificates and CRLs */
    HC_PROFILE_SERVER, /* serverAuth, named by subjectAltName */
    HC_PROFILE_CLIENT, /* clientAuth, named by its record */
} hc_profile_kind;

/* Of hc_key_type or hc_san_type: a member of a set. */
#define HC_PROFILE_BIT(type) (1u << (unsigned)(type))

typedef struct hc_profile {
    char name[HC_LIMIT_PROFILE_NAME + 1];
    hc_profile_kind kind;
    hc_key_type key; /* where a key is made here */
    unsigned keys;   /* set of hc_key_type that may be certified */
    unsigned sans;   /* set of hc_san_type that may be in it */
    int64_t lifetime_s;
    int path_length;                            /* of a CA: how many CAs may stand below it */
    char subject[HC_LIMIT_PROFILE_SUBJECT + 1]; /* a template: authority/subject.h */
    char crl_url[HC_LIMIT_URI + 1];             /* CRL distribution point; "": none */
} hc_profile;

typedef struct hc_holder {
    const char *name; /* the record's. NULL of a server: its first host; of a CA: a name that shows
                         its key */
    const hc_san *sans; /* of a server at least one DNS name or IP address */
    size_t san_count;
    int64_t now_s;
} hc_holder;

/* "ca", "client", "device" or "server"; NULL for any other name. Static. */
const hc_profile *hc_profile_builtin(hc_slice name);

/* The built-in ones for clients, devices and servers, changed and added to by `profiles:` of a
 * handclasp.yaml. hc_profiles_load reads that key alone and leaves the file's other keys to
 * whom they belong; an empty text is a file without it. Errors begin with "NAME:LINE: ". */
typedef struct hc_profiles {
    hc_profile *at;
    size_t count;
} hc_profiles;
int hc_profiles_load(hc_slice yaml, const char *file_name, hc_profiles *out,
                     hc_err *err) HC_MUST_CHECK;
const hc_profile *hc_profiles_find(const hc_profiles *p, hc_slice name); /* NULL: none */
void hc_profiles_done(hc_profiles *p);
/* The one under which this client's certificate says what it says: purpose, subject, kinds of
 * alternative names; of several the one that agrees in most else, and of those the first. The
 * registry keeps no profile's name, since a profile may be another one by the next renewal.
 * -HC_ENOENT: none. */
int hc_profiles_match(const hc_profiles *p, X509 *cert, const char *name, const hc_profile **out,
                      hc_err *err) HC_MUST_CHECK;

/* Whether keys of this kind may be certified: -HC_EDENIED with those that may. */
int hc_profile_check_key(const hc_profile *p, const EVP_PKEY *key, hc_err *err) HC_MUST_CHECK;
/* What this holder's certificate would say, before there is a key: names, their kinds, that they
 * are there. -HC_EINVAL. */
int hc_profile_check_holder(const hc_profile *p, const hc_holder *h, hc_err *err) HC_MUST_CHECK;

/* A client's name: well-formed UTF-8 of at most 64 octets, neither empty nor ".", "..", no '/',
 * '\', control or invisible characters, no space at either end: it is a file's name and a line's
 * word too. */
int hc_profile_check_name(hc_slice name, hc_err *err) HC_MUST_CHECK;
/* A DNS name (RFC 1123 section 2.1, at most 253 octets; "*." in front is a wildcard) or an IP
 * address without brackets. Names that are not ASCII are wanted in their xn-- form. */
int hc_profile_check_host(hc_slice host, hc_err *err) HC_MUST_CHECK;
/* An IP address or, where it is none, a DNS name. */
hc_san hc_profile_host(const char *host);

#endif
