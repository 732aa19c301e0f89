/* The session store: TLS sessions kept on the server, never in tickets, so that a revocation can
 * end them.
 *
 * Shared by all front threads (locked, in shards). Bounded in entries and bytes; the oldest goes
 * first. Stores and hands out duplicates (SSL_SESSION_dup), never a shared object. Each entry
 * carries an attachment of the caller's (principal and verdict), reference-counted by the functions
 * given. */
#ifndef HC_TLS_SESSION_H
#define HC_TLS_SESSION_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/slice.h"

typedef struct hc_session_store hc_session_store;

/* `bytes` bounds an estimate: for each session a fixed cost, its certificates (decoded they weigh a
 * few times their DER) and its attachment. Attachment functions may be called by any thread, `ref`
 * and `bytes` under a lock. */
typedef struct hc_session_config {
    size_t entries;
    uint64_t bytes;
    void *(*attachment_ref)(void *attachment);
    void (*attachment_unref)(void *attachment);
    size_t (*attachment_bytes)(const void *attachment); /* NULL: attachments are not counted */
} hc_session_config;

int hc_session_store_new(const hc_session_config *config, hc_session_store **out,
                         hc_err *err) HC_MUST_CHECK;
void hc_session_store_free(hc_session_store *s);
/* Keeps a duplicate of `session` with a new reference of `attachment` (may be NULL). Negative: not
 * kept, no harm. */
int hc_session_store_put(hc_session_store *s, SSL_SESSION *session, void *attachment,
                         hc_err *err) HC_MUST_CHECK;
/* A duplicate for the caller and a new reference of its attachment; NULL where there is none or it
 * is past its life. */
SSL_SESSION *hc_session_store_get(hc_session_store *s, hc_slice id, int64_t now_s,
                                  void **attachment);
void hc_session_store_remove(hc_session_store *s, hc_slice id);
/* After a reload: nothing from before it resumes. */
void hc_session_store_clear(hc_session_store *s);

typedef struct hc_session_stats {
    size_t entries;
    uint64_t bytes;
} hc_session_stats;
hc_session_stats hc_session_store_stats(hc_session_store *s);

#endif
