/* In the authority's process: holds the CAs' keys, and makes their revocation lists anew when a
 * certificate is revoked or half of a list's time is over.
 *
 * A CA whose key is kept elsewhere has its list published as the operator wrote it into the state
 * folder, once it is found to be signed by that CA. One thread. */
#ifndef HC_SERVER_CRL_PUBLISHER_H
#define HC_SERVER_CRL_PUBLISHER_H

#include "base/log.h"
#include "registry/registry.h"

typedef struct hc_crl_publisher hc_crl_publisher;

int hc_crl_publisher_new(const hc_log *log, int link_fd, hc_crl_publisher **out,
                         hc_err *err) HC_MUST_CHECK;
void hc_crl_publisher_free(hc_crl_publisher *p); /* NULL is fine */
/* What the supervisor sent (ca_supply.h; taken), in the place of what there was. Trouble is logged,
 * and what there was stays. */
void hc_crl_publisher_take(hc_crl_publisher *p, int fd);
/* Whenever something may have happened; `r` NULL: the registry cannot be read now. */
void hc_crl_publisher_tick(hc_crl_publisher *p, hc_registry *r);

#endif
