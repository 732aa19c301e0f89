/* One event-loop thread of the front: its listeners, connections, lanes and inbox. Internal to
 * server/. */
#ifndef HC_SERVER_LOOP_THREAD_H
#define HC_SERVER_LOOP_THREAD_H

#include <pthread.h>
#include <uv.h>

#include "app/app.h"
#include "registry/follower.h"
#include "server/access_log.h"
#include "server/front.h"
#include "server/live.h"
#include "server/metrics.h"
#include "server/publish.h"
#include "server/seen.h"
#include "tls/session.h"

typedef struct hc_conn hc_conn;

#define HC_LOOP_SCRATCH 32768

/* What all threads share. */
typedef struct hc_shared {
    const hc_log *log;
    hc_front_events events;
    hc_pool *pool;
    hc_session_store *sessions; /* made with the first configuration */
    hc_access_log *access;      /* NULL: none */
    hc_follower *follower;      /* of the registry; NULL: there is none. Likewise … */
    hc_lookup *lookup;
    hc_seen_batch *seen;
    struct hc_authority_link *authority;
    hc_published *published;               /* revocation lists of our own CAs */
    atomic_uint_fast64_t connections_ever; /* numbers them */
    atomic_uint_fast64_t connections;      /* open now */
    unsigned loop_count;
    atomic_uint loops_draining;
    atomic_bool draining;
} hc_shared;

typedef struct hc_message hc_message;

typedef struct hc_loop {
    uv_loop_t uv;
    hc_shared *shared;
    struct hc_loop *all; /* the array this one is in */
    unsigned index;
    pthread_t thread;
    uv_async_t wake;
    uv_timer_t drain_timer;
    uv_timer_t accept_timer;   /* until it is tried again */
    uint64_t accept_failed_ms; /* when that was last logged; 0: never */
    pthread_mutex_t inbox_lock;
    hc_message *inbox, **inbox_end; /* under the lock */
    bool ended;                     /* under the lock: nothing is taken any more */
    hc_live *live;
    hc_app *app;
    uv_poll_t *listeners[HC_LIMIT_LISTENERS];
    size_t listener_count;
    bool listening, draining, drained;
    hc_conn *connections; /* newest first */
    hc_metrics metrics;
    struct hc_metrics_http *metrics_http; /* of the first thread; NULL: none */
    int64_t date_s;                       /* second of `date` */
    char date[30];
    uint8_t scratch[HC_LOOP_SCRATCH]; /* of one read, or one piece of a file */
} hc_loop;

int hc_loop_init(hc_loop *loop, hc_shared *shared, hc_loop *all, unsigned index, hc_live *live,
                 hc_err *err) HC_MUST_CHECK;
int hc_loop_start(hc_loop *loop, hc_err *err) HC_MUST_CHECK;
/* Ends the thread. */
void hc_loop_stop(hc_loop *loop);
/* Frees what it had; once all are stopped, since the others send it messages until then. */
void hc_loop_done(hc_loop *loop);
/* Runs `run(arg)` on the loop's thread, in order. False (and nothing is run) once it has ended or
 * without memory. */
bool hc_loop_post(hc_loop *loop, void (*run)(void *arg), void *arg);

/* All threads' counters, and what stands beside them. Any thread. */
void hc_loops_measure(const hc_loop *all, const hc_live *live, hc_metrics_sum *out);

/* On the loop's own thread: */
void hc_loop_configure(hc_loop *loop, hc_live *live); /* takes the reference */
void hc_loop_listen(hc_loop *loop, int fd);           /* the descriptor stays the front's */
void hc_loop_drain(hc_loop *loop, uint64_t grace_ms);
/* A connection has ended. */
void hc_loop_conn_gone(hc_loop *loop);
hc_slice hc_loop_date(hc_loop *loop);

#endif
