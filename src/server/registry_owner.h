/* Who may do what with the registry's file, where the server is started as root. */
#ifndef HC_SERVER_REGISTRY_OWNER_H
#define HC_SERVER_REGISTRY_OWNER_H

#include "server/settings.h"
#include "server/spawn.h"

/* Where authority or front have users of their own: the database and its journal become the
 * authority's, to be read by the front's group and by nobody else, and the state folder one that
 * can be walked through (its subfolders keep the keys to root). Else nothing is changed, nor where
 * there is no database. */
int hc_registry_hand_over(const hc_settings *s, const hc_identity *authority,
                          const hc_identity *front, hc_err *err) HC_MUST_CHECK;

#endif
