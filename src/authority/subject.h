/* A certificate's subject from a template and a name.
 *
 * A template is a name in the order and form of RFC 4514, which is also how mod_ssl shows it
 * (SSL_CLIENT_S_DN): "CN={name}, OU=Meters, O=Example". {name} stands for the record's name; '\'
 * takes the meaning from the character behind it. Of CN, OU, O, L, ST, C, UID, DC and
 * serialNumber. Pure functions. */
#ifndef HC_AUTHORITY_SUBJECT_H
#define HC_AUTHORITY_SUBJECT_H

#include <openssl/x509.h>

#include "base/err.h"
#include "base/slice.h"

/* Attributes are UTF8String but for those that RFC 5280 appendix A.1 wants otherwise, and of the
 * lengths there. `name` NULL: attributes with {name} are left out. The caller frees. -HC_EINVAL
 * with what is wrong in the template or too long with this name. */
int hc_subject_make(const char *template_text, const char *name, X509_NAME **out,
                    hc_err *err) HC_MUST_CHECK;
bool hc_subject_has_name(const char *template_text);

#endif
