/* The front: one process that holds the server's key, one event-loop thread a core, never Python.
 *
 * hc_front_… are called from the process's main thread; each thread of the front learns of it
 * through its inbox. The callbacks run on front threads: they must only write to a descriptor or
 * set a flag. */
#ifndef HC_SERVER_FRONT_H
#define HC_SERVER_FRONT_H

#include "server/settings.h"

typedef struct hc_front hc_front;

typedef struct hc_front_events {
    void *arg;
    void (*lane_ready)(void *arg, uint32_t worker); /* a thread of this worker said hello */
    void (*worker_broken)(void *arg, uint32_t worker,
                          const char *why);           /* protocol error or hung view: replace it */
    void (*worker_idle)(void *arg, uint32_t worker);  /* retired, and its last lane is closed */
    void (*worker_spent)(void *arg, uint32_t worker); /* has had its number of requests */
    void (*drained)(void *arg); /* after hc_front_drain: nothing is open any more */
} hc_front_events;

/* `again`: in the place of one that died. A registry that cannot be read is then no reason not to
 * come up: clients get a 503 until it can. */
int hc_front_new(const hc_log *log, const hc_front_events *events, bool again, hc_front **out,
                 hc_err *err) HC_MUST_CHECK;
/* Where access log lines go (taken): before the first configuration, or in the place of what was
 * there. Without it the front opens the file itself. */
void hc_front_access_log(hc_front *f, int fd);
/* First configuration and every reload. On failure what was in force stays. `settings` and `files`
 * are copied from. */
int hc_front_configure(hc_front *f, const hc_settings *settings, const hc_files *files,
                       hc_err *err) HC_MUST_CHECK;
/* Starts the threads; after the first hc_front_configure. */
int hc_front_start(hc_front *f, hc_err *err) HC_MUST_CHECK;
/* Serve this listening socket (taken). */
int hc_front_listen(hc_front *f, int fd, hc_err *err) HC_MUST_CHECK;
/* Serve /healthz and /metrics on this listening socket (taken). */
int hc_front_serve_metrics(hc_front *f, int fd, hc_err *err) HC_MUST_CHECK;
/* The authority's end of a socket (taken), in the place of the one before. */
int hc_front_authority(hc_front *f, int fd, hc_err *err) HC_MUST_CHECK;
/* A lane to a thread of worker number `worker` (fd taken); used once the thread has said hello. */
int hc_front_add_lane(hc_front *f, uint32_t worker, int fd, hc_err *err) HC_MUST_CHECK;
/* No new request to this worker; each lane is closed when its request is done. */
void hc_front_retire_worker(hc_front *f, uint32_t worker);
/* Accept no more, finish what runs, close the idle, at most `grace_ms`; then events.drained. */
void hc_front_drain(hc_front *f, uint64_t grace_ms);
/* What is going on, as one JSON object: see hc_metrics_json. After the first hc_front_configure. */
int hc_front_status(hc_front *f, hc_buf *out) HC_MUST_CHECK;
/* Stops the threads and frees all. */
void hc_front_free(hc_front *f);

#endif
