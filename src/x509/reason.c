#include "x509/reason.h"

#include <ctype.h>

#include "base/attr.h"

/* 7 is not used. */
static const char *const names[] = {
    "unspecified",   "keyCompromise",        "cACompromise",    "affiliationChanged",
    "superseded",    "cessationOfOperation", "certificateHold", "",
    "removeFromCRL", "privilegeWithdrawn",   "aACompromise"};

#define REMOVE_FROM_CRL 8

const char *hc_reason_name(int reason)
{
    return reason >= 0 && (size_t)reason < HC_COUNT(names) ? names[reason] : "";
}

static bool same(hc_slice given, const char *name)
{
    for (size_t i = 0; i < given.size; i++) {
        if (given.at[i] == '-' || given.at[i] == '_')
            continue;
        if (*name == '\0' || tolower(given.at[i]) != tolower((unsigned char)*name))
            return false;
        name++;
    }
    return *name == '\0';
}

bool hc_reason_parse(hc_slice name, int *out)
{
    for (size_t i = 0; i < HC_COUNT(names); i++) {
        if (!*names[i] || i == REMOVE_FROM_CRL || !same(name, names[i]))
            continue;
        *out = (int)i;
        return true;
    }
    return false;
}
