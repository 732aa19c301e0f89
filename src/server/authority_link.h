/* The front's end of the authority: questions of views, what was seen, and pins go there; answers
 * come back to the thread that asked.
 *
 * Without an authority (it died, and is being restarted) questions are answered with "unavailable"
 * at once, and what was seen waits in its batch. Pins wait here until they are written. Nothing
 * here blocks. */
#ifndef HC_SERVER_AUTHORITY_LINK_H
#define HC_SERVER_AUTHORITY_LINK_H

#include "server/loop_thread.h"
#include "x509/cert.h"

typedef struct hc_authority_link hc_authority_link;

int hc_authority_link_new(hc_authority_link **out, hc_err *err) HC_MUST_CHECK;
/* Once every thread has ended. NULL is fine. */
void hc_authority_link_free(hc_authority_link *l);

/* On the first loop's thread: talk over `fd` (taken) from now on; whoever waits for an answer of
 * the one before is told that it is unavailable. */
void hc_authority_link_take(hc_authority_link *l, hc_loop *loop, int fd);
/* On the first loop's thread, when it ends: no more answers. What is sent still goes. */
void hc_authority_link_unwatch(hc_authority_link *l);

/* On `loop`'s thread; hc_app_answer brings the answer, within this call or later. */
void hc_authority_link_ask(hc_authority_link *l, hc_loop *loop, uint64_t token, int64_t client_id,
                           const uint8_t sha256[32], hc_slice question);
/* Any thread. False where it could not be sent. */
bool hc_authority_link_seen(hc_authority_link *l, const hc_seen *seen, size_t count);
/* Any thread. Kept, and sent again by hc_authority_link_retry, until an authority has dealt with
 * it. */
void hc_authority_link_pin(hc_authority_link *l, int64_t certificate_id, const hc_cert *cert);
void hc_authority_link_retry(hc_authority_link *l);

#endif
