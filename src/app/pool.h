/* What the front's threads share about workers: which there are, how busy each is, which thread
 * waits for a lane.
 *
 * A lane belongs to one front thread at a time. When a thread has requests waiting and no idle
 * lane, a thread that has one gives it away: the lane moves, not the request, so that request and
 * response never cross threads. Thread-safe. */
#ifndef HC_APP_POOL_H
#define HC_APP_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"

typedef struct hc_app hc_app;

/* Called on any front thread; must not block and must not call back. */
typedef struct hc_pool_events {
    void *arg;
    void (*lane_ready)(void *arg, uint32_t worker);
    void (*worker_broken)(void *arg, uint32_t worker, const char *why);
    void (*worker_idle)(void *arg, uint32_t worker);
    void (*worker_spent)(void *arg, uint32_t worker);
} hc_pool_events;

/* One worker process, as seen from the front. Counted by its lanes. */
typedef struct hc_pool_worker {
    uint32_t number;
    atomic_bool retired;           /* no new requests */
    atomic_bool broken;            /* reported once */
    atomic_int busy;               /* lanes with a request */
    atomic_uint_fast64_t requests; /* taken, counted where it has an end of them */
    atomic_bool spent;             /* reported once */
    atomic_int ready;              /* lanes whose thread said hello */
    int lanes;                     /* under the pool's lock */
    struct hc_pool_worker *next;
} hc_pool_worker;

typedef struct hc_pool hc_pool;

int hc_pool_new(const hc_pool_events *events, hc_pool **out, hc_err *err) HC_MUST_CHECK;
void hc_pool_free(hc_pool *p);
const hc_pool_events *hc_pool_get_events(const hc_pool *p);

/* One more lane of this worker (made known if it is new); NULL without memory. */
hc_pool_worker *hc_pool_lane_opened(hc_pool *p, uint32_t worker);
/* One lane less; the worker is forgotten with its last (and reported idle where it was retired). */
void hc_pool_lane_closed(hc_pool *p, hc_pool_worker *w);
/* Marks it; each thread then closes its idle lanes. Reports it idle at once where it has no lane.
 */
void hc_pool_retire(hc_pool *p, uint32_t worker);
/* The thread behind one of its lanes said hello; reports it. */
void hc_pool_lane_ready(hc_pool *p, hc_pool_worker *w);
/* One more request; reports the worker once when it has had `limit` of them (0: no end). It still
 * serves, until it is retired. */
void hc_pool_request(hc_pool *p, hc_pool_worker *w, uint64_t limit);
/* Reports a worker once, whoever finds out first. */
void hc_pool_broken(hc_pool *p, hc_pool_worker *w, const char *why);

/* Threads by index: requests that wait there for a lane. */
void hc_pool_join(hc_pool *p, unsigned thread, hc_app *app);
hc_app *hc_pool_app(hc_pool *p, unsigned thread); /* NULL where none joined */
void hc_pool_waiting(hc_pool *p, unsigned thread, int change);
/* The thread (other than `self`) that waits most, -1 where none does. */
int hc_pool_who_waits(const hc_pool *p, unsigned self);
bool hc_pool_waits(const hc_pool *p, unsigned thread);
void hc_pool_idle(hc_pool *p, unsigned thread, int change);
/* A thread other than `self` with an idle lane, -1 where none has. */
int hc_pool_who_is_idle(const hc_pool *p, unsigned self);

/* For whoever watches the server, at one moment. */
typedef struct hc_pool_counts {
    unsigned workers; /* neither retired nor broken, with a thread that said hello */
    unsigned lanes;   /* of these that said hello */
    unsigned busy;    /* of these with a request */
    unsigned waiting; /* requests without a lane, of all threads */
} hc_pool_counts;
hc_pool_counts hc_pool_count(hc_pool *p);

#endif
