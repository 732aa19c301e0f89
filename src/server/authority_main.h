/* The authority's process: `handclasp authority`, started by the supervisor where there is a
 * registry.
 *
 * It alone writes the registry for what comes over the network: what was seen, pins, what a view
 * asks for; and it alone has the keys of the CAs. Descriptor 3 is its socket to the front; it ends
 * when that does. Descriptor 4 is a pipe on which it says once how opening the registry went:
 * HC_AUTHORITY_OPENED, or why it could not. It goes on trying in either case. */
#ifndef HC_SERVER_AUTHORITY_MAIN_H
#define HC_SERVER_AUTHORITY_MAIN_H

#include "base/log.h"

#define HC_AUTHORITY_LINK_FD   3
#define HC_AUTHORITY_REPORT_FD 4
#define HC_AUTHORITY_SUPPLY_FD 5 /* the CAs come here: server/ca_supply.h */
#define HC_AUTHORITY_OPENED    "opened"

typedef struct hc_authority_config {
    const char *registry, *state; /* as hc_registry_options */
    hc_log_level log_level;
    bool log_json;
} hc_authority_config;

/* Returns the process's exit code. Takes the descriptors. */
int hc_authority_main(const hc_authority_config *config);

#endif
