/* Distinguished names and subject alternative names, as text and as structure (RFC 4514, RFC 5280
 * section 4.2.1.6).
 *
 * Every function refuses a NUL octet inside a string with -HC_EFORMAT: it is what made
 * "alice\0.evil" pass for alice. Strings come out as UTF-8 whatever their ASN.1 type (BMP, T61,
 * Universal …). Callbacks return 0 to go on, a negative HC_E… to stop; that is then the result.
 * Slices passed to a callback live until it returns. */
#ifndef HC_X509_NAME_H
#define HC_X509_NAME_H

#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"

/* As mod_ssl writes SSL_CLIENT_S_DN (RFC 2253 order and escaping, UTF-8). */
int hc_name_text(const X509_NAME *name, hc_buf *out, hc_err *err) HC_MUST_CHECK;

typedef struct hc_name_attribute {
    hc_slice key; /* mod_ssl's short form: "CN", "O", "OU", "Email", "UID" …; dotted OID where it
                     has none */
    hc_slice oid; /* dotted, always */
    hc_slice
        value; /* UTF-8, as it is in the certificate: control characters are not escaped; what is no
                * character string (RFC 4514 section 2.4) is "#" and the DER in upper-case hex */
    int rdn;   /* index of the RDN: attributes of a multi-valued RDN share it */
    int nth;   /* 0 for the first attribute of this key, 1 for the second … (mod_ssl's _n) */
} hc_name_attribute;
typedef int (*hc_name_each)(void *arg, const hc_name_attribute *attribute);
/* More than HC_LIMIT_NAME_ATTRIBUTES are refused with -HC_EFORMAT. */
int hc_name_attributes(const X509_NAME *name, hc_name_each each, void *arg,
                       hc_err *err) HC_MUST_CHECK;

typedef enum hc_san_type {
    HC_SAN_EMAIL,
    HC_SAN_DNS,
    HC_SAN_URI,
    HC_SAN_IP,
    HC_SAN_UPN, /* otherName 1.3.6.1.4.1.311.20.2.3, Microsoft's user principal name, as UTF8String
                 */
    HC_SAN_SRV, /* otherName of RFC 4985, as IA5String; mod_ssl shows it of a server's certificate
                 */
    HC_SAN_OTHER,
} hc_san_type;
#define HC_SAN_TYPES (HC_SAN_OTHER + 1)
/* `value`: text of the entry (IP in its canonical text form); HC_SAN_OTHER: none of the types
 * above, value is its OpenSSL text and takes no part in environ. Values are as they are in the
 * certificate: control characters are not escaped. */
typedef int (*hc_san_each)(void *arg, hc_san_type type, hc_slice value, int nth_of_type);
int hc_san_entries(X509 *x, hc_san_each each, void *arg, hc_err *err) HC_MUST_CHECK;

#endif
