/* The revocation lists of our own CAs, as they are handed out: at HC_PUBLISH_PATH, one file a CA.
 *
 * The authority's process makes them and sends them as sealed memory files; here they are kept and
 * served, on every thread. The path and all below it are never the application's. */
#ifndef HC_SERVER_PUBLISH_H
#define HC_SERVER_PUBLISH_H

#include "handler/handler.h"

#define HC_PUBLISH_PATH "/.well-known/handclasp/crl"
#define HC_PUBLISH_MAX  65 /* lists: one a CA that is trusted */

typedef struct hc_published hc_published;

int hc_published_new(hc_published **out, hc_err *err) HC_MUST_CHECK;
void hc_published_free(hc_published *p); /* NULL is fine */

/* Any thread; each takes or copies descriptors under a lock that is never held for long. */
/* In the place of the one of that name; `fd` (taken) is refused where it is not sealed against
 * change. */
int hc_published_put(hc_published *p, hc_slice name, int fd, hc_err *err) HC_MUST_CHECK;
bool hc_published_is_path(hc_slice decoded_path);
hc_handler *hc_published_handler(hc_published *p);
/* From the configuration in force: false answers 404. */
void hc_published_allow(hc_published *p, bool on);

#endif
