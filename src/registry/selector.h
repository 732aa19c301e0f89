/* Which client, or which certificate, a person means by a word.
 *
 * A word may be a client's name, a serial in any spelling (hex in either case, colons, "0x",
 * decimal) or a SHA-256 fingerprint (64 hex digits, colons allowed); "name:", "serial:" and
 * "sha256:" before it say which. A word that means two things is an error for whoever would change
 * something: all that it may mean is listed. */
#ifndef HC_REGISTRY_SELECTOR_H
#define HC_REGISTRY_SELECTOR_H

#include "registry/registry.h"

typedef struct hc_match {
    int64_t client_id;
    int64_t certificate_id; /* 0: the client was named itself */
    hc_slice client_name;
    hc_slice description; /* for a list: "alice", "certificate 1f of alice, CN=Shop CA" */
} hc_match;

/* Every match, each once, at most HC_LIMIT_MATCHES; slices live until the callback returns. Returns
 * 0 also where there is none. */
int hc_registry_match(hc_registry *r, hc_slice word, int (*each)(void *arg, const hc_match *m),
                      void *arg, hc_err *err) HC_MUST_CHECK;
/* Exactly one, else -HC_ENOENT, or -HC_EINVAL with a text that lists them. */
int hc_registry_match_one(hc_registry *r, hc_slice word, int64_t *client_id,
                          int64_t *certificate_id, hc_err *err) HC_MUST_CHECK;

#endif
