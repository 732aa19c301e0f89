/* Bodies on their way: in memory while small, in an unlinked file where large.
 *
 * hc_body_store takes a request's body whole before a worker is picked. hc_outbox takes a response
 * off the worker's hands as fast as it is made and gives it to a client as slowly as that takes it;
 * parts of files that the application named by descriptor stand in it in their order. Both belong
 * to one connection and one thread. Reads and writes of regular files may block for as long as the
 * disk does. */
#ifndef HC_APP_SPOOL_H
#define HC_APP_SPOOL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

/* An unlinked file in `folder` (NULL: TMPDIR or /tmp), 0600, close-on-exec. */
int hc_spool_file(const char *folder, int *out, hc_err *err) HC_MUST_CHECK;

typedef struct hc_body_store {
    hc_buf memory;
    int file; /* -1 while in memory */
    uint64_t size;
    const char *folder;
} hc_body_store;

void hc_body_store_init(hc_body_store *b, const char *folder);
/* Frees and closes; may be used again. */
void hc_body_store_done(hc_body_store *b);
int hc_body_store_add(hc_body_store *b, hc_slice octets, hc_err *err) HC_MUST_CHECK;

typedef struct hc_outbox_part hc_outbox_part;

typedef struct hc_outbox {
    hc_outbox_part *first, *last;
    hc_buf memory;      /* of the parts that are in memory, oldest first */
    size_t memory_done; /* octets of `memory` already taken */
    int spool;          /* -1 until memory was full */
    uint64_t spool_end, spool_taken,
        spool_freed; /* its octets written, sent, given back to the disk */
    uint64_t size;   /* octets in all parts */
    size_t files;    /* open, of parts that are files */
    const char *folder;
} hc_outbox;

void hc_outbox_init(hc_outbox *o, const char *folder);
void hc_outbox_done(hc_outbox *o);
/* Copied, to memory or spool. -HC_ELIMIT where more than HC_LIMIT_SPOOL_BYTES wait for the client.
 */
int hc_outbox_add(hc_outbox *o, hc_slice octets, hc_err *err) HC_MUST_CHECK;
/* Takes `fd`, also on failure. -HC_ELIMIT past HC_LIMIT_RESPONSE_FILES. */
int hc_outbox_add_file(hc_outbox *o, int fd, uint64_t offset, uint64_t size,
                       hc_err *err) HC_MUST_CHECK;
/* The next octets, at most `room` of them where they must be read from a file into `scratch`.
 * Empty: nothing is left. -HC_EIO where a file is shorter than was said. */
int hc_outbox_peek(hc_outbox *o, uint8_t *scratch, size_t room, hc_slice *out,
                   hc_err *err) HC_MUST_CHECK;
/* Drops octets that were taken. */
void hc_outbox_consume(hc_outbox *o, size_t size);

#endif
