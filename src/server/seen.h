/* Which certificates came in lately: one batch for all threads of the front, each certificate in it
 * once, with the latest time.
 *
 * Bounded by HC_LIMIT_SEEN: what does not fit is noted with the next batch at the latest when it
 * comes again. Noting takes a lock for an instant; sending is done without it. */
#ifndef HC_SERVER_SEEN_H
#define HC_SERVER_SEEN_H

#include "registry/registry.h"

typedef struct hc_seen_batch hc_seen_batch;

int hc_seen_batch_new(hc_seen_batch **out, hc_err *err) HC_MUST_CHECK;
void hc_seen_batch_free(hc_seen_batch *b); /* NULL is fine */
/* Any thread. */
void hc_seen_note(hc_seen_batch *b, int64_t certificate_id, int64_t at_s);
/* Hands over all there is in parts of at most `part`; where `send` says false, that part and the
 * rest stay for the next time. One thread at a time. Returns how many were sent. */
size_t hc_seen_flush(hc_seen_batch *b, size_t part,
                     bool (*send)(void *arg, const hc_seen *seen, size_t count), void *arg);

#endif
