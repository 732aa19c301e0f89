/* The CAs of the state folder with their keys, on their way from the supervisor to the authority's
 * process: in one sealed memory file, which names a socket from the one to the other.
 *
 * Only the supervisor may read the keys' files where the server is started as root; only the
 * authority's process gets them. */
#ifndef HC_SERVER_CA_SUPPLY_H
#define HC_SERVER_CA_SUPPLY_H

#include "server/settings.h"

/* Reads what is to be supplied: nothing where no list is to be published, certificates alone where
 * the keys are kept elsewhere or may not be read. `out_fd` is the caller's. Blocks on the disk. */
int hc_ca_supply_seal(const hc_settings *s, int *out_fd, hc_err *err) HC_MUST_CHECK;

#endif
