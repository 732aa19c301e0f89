#include "app/pool.h"

#include <pthread.h>

#include "base/mem.h"

typedef struct thread_state {
    hc_app *app;
    atomic_int waiting;
    atomic_int idle;
} thread_state;

struct hc_pool {
    hc_pool_events events;
    pthread_mutex_t lock; /* the list, and each worker's `lanes` */
    hc_pool_worker *workers;
    thread_state threads[HC_LIMIT_FRONT_THREADS];
};

int hc_pool_new(const hc_pool_events *events, hc_pool **out, hc_err *err)
{
    hc_pool *p = hc_alloc_zero(1, sizeof *p);
    if (!p)
        return hc_err_set(err, HC_ENOMEM, "no memory for the workers' pool");
    p->events = *events;
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        hc_free(p);
        return hc_err_set(err, HC_ENOMEM, "no memory for a lock");
    }
    *out = p;
    return 0;
}

void hc_pool_free(hc_pool *p)
{
    if (!p)
        return;
    while (p->workers) {
        hc_pool_worker *w = p->workers;
        p->workers = w->next;
        hc_free(w);
    }
    (void)pthread_mutex_destroy(&p->lock);
    hc_free(p);
}

const hc_pool_events *hc_pool_get_events(const hc_pool *p)
{
    return &p->events;
}

static hc_pool_worker **find(hc_pool *p, uint32_t number)
{
    hc_pool_worker **at = &p->workers;
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

hc_pool_worker *hc_pool_lane_opened(hc_pool *p, uint32_t worker)
{
    (void)pthread_mutex_lock(&p->lock);
    hc_pool_worker *w = *find(p, worker);
    if (!w) {
        w = hc_alloc_zero(1, sizeof *w);
        if (w) {
            w->number = worker;
            w->next = p->workers;
            p->workers = w;
        }
    }
    if (w)
        w->lanes++;
    (void)pthread_mutex_unlock(&p->lock);
    return w;
}

void hc_pool_lane_closed(hc_pool *p, hc_pool_worker *w)
{
    (void)pthread_mutex_lock(&p->lock);
    bool last = --w->lanes == 0;
    bool retired = atomic_load(&w->retired);
    uint32_t number = w->number;
    if (last) {
        *find(p, number) = w->next;
        hc_free(w);
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (last && retired)
        p->events.worker_idle(p->events.arg, number);
}

void hc_pool_retire(hc_pool *p, uint32_t worker)
{
    (void)pthread_mutex_lock(&p->lock);
    hc_pool_worker *w = *find(p, worker);
    if (w)
        atomic_store(&w->retired, true);
    (void)pthread_mutex_unlock(&p->lock);
    if (!w)
        p->events.worker_idle(p->events.arg, worker);
}

void hc_pool_lane_ready(hc_pool *p, hc_pool_worker *w)
{
    atomic_fetch_add(&w->ready, 1);
    p->events.lane_ready(p->events.arg, w->number);
}

void hc_pool_request(hc_pool *p, hc_pool_worker *w, uint64_t limit)
{
    if (limit && atomic_fetch_add_explicit(&w->requests, 1, memory_order_relaxed) + 1 >= limit &&
        !atomic_exchange(&w->spent, true))
        p->events.worker_spent(p->events.arg, w->number);
}

void hc_pool_broken(hc_pool *p, hc_pool_worker *w, const char *why)
{
    if (!atomic_exchange(&w->broken, true))
        p->events.worker_broken(p->events.arg, w->number, why);
}

void hc_pool_join(hc_pool *p, unsigned thread, hc_app *app)
{
    p->threads[thread].app = app;
}

hc_app *hc_pool_app(hc_pool *p, unsigned thread)
{
    return thread < HC_LIMIT_FRONT_THREADS ? p->threads[thread].app : NULL;
}

void hc_pool_waiting(hc_pool *p, unsigned thread, int change)
{
    atomic_fetch_add(&p->threads[thread].waiting, change);
}

int hc_pool_who_waits(const hc_pool *p, unsigned self)
{
    int most = 0, who = -1;
    for (unsigned i = 0; i < HC_LIMIT_FRONT_THREADS && p->threads[i].app; i++) {
        /* In one order with hc_pool_idle before it, or a request that began to wait meanwhile is
         * seen by nobody. */
        int n = atomic_load(&p->threads[i].waiting);
        if (i != self && n > most) {
            most = n;
            who = (int)i;
        }
    }
    return who;
}

bool hc_pool_waits(const hc_pool *p, unsigned thread)
{
    return atomic_load(&p->threads[thread].waiting) > 0;
}

void hc_pool_idle(hc_pool *p, unsigned thread, int change)
{
    atomic_fetch_add(&p->threads[thread].idle, change);
}

int hc_pool_who_is_idle(const hc_pool *p, unsigned self)
{
    for (unsigned i = 0; i < HC_LIMIT_FRONT_THREADS && p->threads[i].app; i++)
        if (i != self && atomic_load(&p->threads[i].idle) > 0)
            return (int)i;
    return -1;
}

static unsigned positive(int n)
{
    return n > 0 ? (unsigned)n : 0;
}

hc_pool_counts hc_pool_count(hc_pool *p)
{
    hc_pool_counts c = {0};
    (void)pthread_mutex_lock(&p->lock);
    for (const hc_pool_worker *w = p->workers; w; w = w->next) {
        /* A lane is closed alone only where its worker is done for. */
        int ready = atomic_load(&w->ready) < w->lanes ? atomic_load(&w->ready) : w->lanes;
        if (ready <= 0 || atomic_load(&w->retired) || atomic_load(&w->broken))
            continue;
        c.workers++;
        c.lanes += (unsigned)ready;
        c.busy += positive(atomic_load(&w->busy));
    }
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < HC_LIMIT_FRONT_THREADS; i++)
        c.waiting += positive(atomic_load(&p->threads[i].waiting));
    return c;
}
