/* Whose certificate it is, by what it says itself: for `client import`. */
#ifndef HC_CLI_IMPORT_NAME_H
#define HC_CLI_IMPORT_NAME_H

#include "server/options_parse.h"
#include "x509/cert.h"

typedef enum hc_import_name_source {
    HC_NAME_FROM_CN,
    HC_NAME_FROM_EMAIL,
    HC_NAME_FROM_UPN,
    HC_NAME_FROM_URI,
    HC_NAME_FROM_DNS,
} hc_import_name_source;

extern const hc_option_choice hc_import_name_choices[];

/* Exactly one, and one that can be a client's name; -HC_EFORMAT with the serial where not. */
int hc_import_name(const hc_cert *cert, hc_import_name_source from, hc_buf *out,
                   hc_err *err) HC_MUST_CHECK;

#endif
