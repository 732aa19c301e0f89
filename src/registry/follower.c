#include "registry/follower.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "x509/reason.h"

#define LOCK_WAIT_MS      200   /* for a writer's commit, in one look */
#define BUSY_IS_NORMAL_MS 1000  /* that somebody writes is no problem to report before */
#define REOPEN_MOST_MS    250   /* between two tries, where the registry cannot be read */
#define CLIENTS_AT_ONCE   20000 /* that changed; beyond it loading everything anew is faster */

struct hc_follower {
    hc_lookup lookup; /* first: what callers hold */
    hc_follower_config config;
    char *url, *base;
    hc_index *index;
    atomic_uint_least64_t max_age_ms;
    atomic_uint_least64_t right_at_ms; /* monotonic; 0: never yet */
    atomic_int_least64_t seq;

    pthread_t thread;
    pthread_mutex_t lock; /* of the next four */
    pthread_cond_t wake;
    bool stop, looked;
    int first_result;
    hc_err first_err;

    /* The thread's own. */
    bool wait_for_it;
    hc_registry *registry; /* NULL: to be opened */
    bool loaded;           /* `head` says what is in the index */
    bool behind; /* the database said that it changed, and not all of that is in the index */
    hc_registry_head head;
    int64_t *clients; /* CLIENTS_AT_ONCE of room */
    size_t client_count;
    uint32_t reported; /* bits: the codes of HC_E… since it was last right */
    uint64_t pause_ms;
};

static uint64_t age_at(hc_follower *f, uint64_t now_ms)
{
    uint64_t right_at = atomic_load_explicit(&f->right_at_ms, memory_order_acquire);
    if (!right_at)
        return UINT64_MAX;
    return now_ms > right_at ? now_ms - right_at : 0;
}

static bool is_trusted(hc_follower *f, uint64_t now_ms)
{
    uint64_t age_ms = age_at(f, now_ms);
    return age_ms != UINT64_MAX &&
           age_ms <= atomic_load_explicit(&f->max_age_ms, memory_order_relaxed);
}

static uint64_t lookup_generation(hc_lookup *l, uint64_t now_ms)
{
    hc_follower *f = (hc_follower *)l;
    return is_trusted(f, now_ms) ? hc_index_generation(f->index) : 0;
}

static void lookup_find(hc_lookup *l, const hc_cert *cert, uint64_t now_ms, hc_lookup_answer *out)
{
    hc_follower *f = (hc_follower *)l;
    bool pinned;
    if (!is_trusted(f, now_ms)) {
        *out =
            (hc_lookup_answer){.code = HC_VERDICT_REGISTRY_UNAVAILABLE, .reason = HC_REASON_NONE};
        return;
    }
    hc_index_find(f->index, cert, out, &pinned);
    if (pinned && f->config.pinned)
        f->config.pinned(f->config.arg, out->certificate_id, cert);
}

static int collect(void *arg, int64_t client_id)
{
    hc_follower *f = arg;
    if (f->client_count == CLIENTS_AT_ONCE)
        return -HC_ELIMIT;
    f->clients[f->client_count++] = client_id;
    return 0;
}

/* -HC_ENOENT, -HC_ELIMIT: the index has to be loaded anew. */
static int update(hc_follower *f, hc_err *err)
{
    hc_registry *r = f->registry;
    if (!f->loaded)
        return -HC_ENOENT;
    f->client_count = 0;
    int rc = r->engine->changes(r, &f->head, CLIENTS_AT_ONCE, collect, f, err);
    if (rc == 0 && f->client_count)
        rc = hc_index_update(f->index, r, f->clients, f->client_count, err);
    return rc;
}

static int catch_up(hc_follower *f, hc_err *err)
{
    hc_registry *r = f->registry;
    hc_registry_head head;
    int rc = r->engine->begin(r, false, err);
    if (rc != 0)
        return rc;
    rc = r->engine->head(r, &head, err);
    if (rc == 0) {
        rc = update(f, err);
        if (rc == -HC_ENOENT || rc == -HC_ELIMIT)
            rc = hc_index_load(f->index, r, err);
    }
    r->engine->rollback(r);
    if (rc == 0) {
        f->head = head;
        f->loaded = true;
        f->behind = false;
        atomic_store_explicit(&f->seq, head.seq, memory_order_relaxed);
    }
    return rc;
}

static void close_registry(hc_follower *f)
{
    hc_registry_close(f->registry);
    f->registry = NULL;
}

static int open_registry(hc_follower *f, hc_err *err)
{
    hc_registry_options o = {f->url, f->base, HC_REGISTRY_READ, LOCK_WAIT_MS};
    f->behind = true;
    return hc_registry_open(&o, &f->registry, err);
}

/* What it finds is known to be right as of the moment before it began. */
static int look(hc_follower *f, hc_err *err)
{
    uint64_t began_ms = hc_clock_monotonic_ms();
    bool changed = false;
    int rc = f->registry ? 0 : open_registry(f, err);
    if (rc == 0)
        rc = f->registry->engine->changed(f->registry, &changed, err);
    f->behind |= changed;
    if (rc == 0 && f->behind)
        rc = catch_up(f, err);
    if (rc == 0)
        atomic_store_explicit(&f->right_at_ms, began_ms ? began_ms : 1, memory_order_release);
    else if (rc != -HC_EBUSY)
        close_registry(f);
    return rc;
}

/* A database that was replaced is an error of the old connection alone. */
static int look_again(hc_follower *f, hc_err *err)
{
    bool was_open = f->registry;
    int rc = look(f, err);
    return was_open && !f->registry ? look(f, err) : rc;
}

static void report(hc_follower *f, int rc, const hc_err *err)
{
    uint32_t bit = 1U << -rc;
    const char *problem = NULL;
    if (rc == 0) {
        if (!f->reported)
            return;
        f->reported = 0;
    } else {
        if (f->reported & bit ||
            (rc == -HC_EBUSY && age_at(f, hc_clock_monotonic_ms()) < BUSY_IS_NORMAL_MS))
            return;
        f->reported |= bit;
        problem = err->text;
    }
    if (f->config.report)
        f->config.report(f->config.arg, problem);
}

static uint64_t next_pause(hc_follower *f, int rc)
{
    if (rc == 0 || rc == -HC_EBUSY)
        f->pause_ms = f->config.poll_ms;
    else
        f->pause_ms = f->pause_ms * 2 < REOPEN_MOST_MS ? f->pause_ms * 2 : REOPEN_MOST_MS;
    return f->pause_ms;
}

/* False: the thread is to end. */
static bool pause_for(hc_follower *f, uint64_t ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&f->lock);
    int rc = 0;
    while (!f->stop && rc == 0)
        rc = pthread_cond_timedwait(&f->wake, &f->lock, &until);
    bool go_on = !f->stop;
    (void)pthread_mutex_unlock(&f->lock);
    return go_on;
}

/* What hc_follower_start waits for. Where it must succeed a writer at work is waited for as long as
 * an index may be old. */
static int first_look(hc_follower *f, hc_err *err)
{
    uint64_t began_ms = hc_clock_monotonic_ms();
    uint64_t most_ms = atomic_load_explicit(&f->max_age_ms, memory_order_relaxed);
    int rc = look(f, err);
    while (f->wait_for_it && rc == -HC_EBUSY && hc_clock_monotonic_ms() - began_ms < most_ms &&
           pause_for(f, f->config.poll_ms))
        rc = look(f, err);
    return rc;
}

static void say_first(hc_follower *f, int rc, const hc_err *err)
{
    (void)pthread_mutex_lock(&f->lock);
    f->looked = true;
    f->first_result = rc;
    f->first_err = *err;
    (void)pthread_cond_broadcast(&f->wake);
    (void)pthread_mutex_unlock(&f->lock);
}

static void *follow(void *arg)
{
    hc_follower *f = arg;
    hc_err err = {0};
    int rc = first_look(f, &err);
    say_first(f, rc, &err);
    bool go_on = rc == 0 || !f->wait_for_it;
    while (go_on) {
        report(f, rc, &err);
        if (f->config.tick)
            f->config.tick(f->config.arg);
        go_on = pause_for(f, next_pause(f, rc));
        if (go_on)
            rc = look_again(f, &err);
    }
    close_registry(f);
    return NULL;
}

static void free_follower(hc_follower *f)
{
    hc_index_free(f->index);
    hc_free(f->clients);
    hc_free(f->url);
    hc_free(f->base);
    hc_free(f);
}

static int make(const hc_follower_config *config, hc_follower **out, hc_err *err)
{
    hc_follower *f = hc_alloc_zero(1, sizeof *f);
    if (!f)
        return hc_err_set(err, HC_ENOMEM, "no memory to follow the registry");
    f->lookup = (hc_lookup){lookup_generation, lookup_find};
    f->config = *config;
    f->pause_ms = f->config.poll_ms = config->poll_ms ? config->poll_ms : HC_REGISTRY_POLL_MS;
    atomic_init(&f->max_age_ms, config->max_age_ms);
    f->url = hc_strdup(config->url);
    f->base = config->base ? hc_strdup(config->base) : NULL;
    f->clients = hc_alloc(CLIENTS_AT_ONCE * sizeof *f->clients);
    int rc = 0;
    if (!f->url || (config->base && !f->base) || !f->clients)
        rc = hc_err_set(err, HC_ENOMEM, "no memory to follow the registry");
    if (rc == 0)
        rc = hc_index_new(&f->index, err);
    if (rc == 0)
        *out = f;
    else
        free_follower(f);
    return rc;
}

static int start_thread(hc_follower *f, hc_err *err)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc != 0)
        return hc_err_errno(err, rc, "cannot follow the registry");
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = pthread_cond_init(&f->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (rc != 0)
        return hc_err_errno(err, rc, "cannot follow the registry");
    rc = pthread_mutex_init(&f->lock, NULL);
    if (rc == 0) {
        rc = pthread_create(&f->thread, NULL, follow, f);
        if (rc == 0)
            return 0;
        (void)pthread_mutex_destroy(&f->lock);
    }
    (void)pthread_cond_destroy(&f->wake);
    return hc_err_errno(err, rc, "cannot follow the registry");
}

int hc_follower_start(const hc_follower_config *config, bool wait_for_it, hc_follower **out,
                      hc_err *err)
{
    hc_follower *f = NULL;
    int rc = make(config, &f, err);
    if (rc != 0)
        return rc;
    f->wait_for_it = wait_for_it;
    rc = start_thread(f, err);
    if (rc != 0) {
        free_follower(f);
        return rc;
    }
    (void)pthread_mutex_lock(&f->lock);
    while (!f->looked)
        (void)pthread_cond_wait(&f->wake, &f->lock);
    rc = f->first_result;
    if (rc != 0 && err)
        *err = f->first_err;
    (void)pthread_mutex_unlock(&f->lock);
    if (rc != 0 && wait_for_it) {
        hc_follower_stop(f);
        return rc;
    }
    *out = f;
    return 0;
}

void hc_follower_stop(hc_follower *f)
{
    if (!f)
        return;
    (void)pthread_mutex_lock(&f->lock);
    f->stop = true;
    (void)pthread_cond_broadcast(&f->wake);
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_join(f->thread, NULL);
    (void)pthread_cond_destroy(&f->wake);
    (void)pthread_mutex_destroy(&f->lock);
    free_follower(f);
}

void hc_follower_set_max_age(hc_follower *f, uint64_t max_age_ms)
{
    atomic_store_explicit(&f->max_age_ms, max_age_ms, memory_order_relaxed);
}

hc_lookup *hc_follower_lookup(hc_follower *f)
{
    return &f->lookup;
}

void hc_follower_facts_now(hc_follower *f, hc_follower_facts *out)
{
    uint64_t now_ms = hc_clock_monotonic_ms();
    *out = (hc_follower_facts){.trusted = is_trusted(f, now_ms),
                               .age_ms = age_at(f, now_ms),
                               .generation = hc_index_generation(f->index),
                               .seq = atomic_load_explicit(&f->seq, memory_order_relaxed),
                               .certificates = hc_index_certificates(f->index),
                               .clients = hc_index_clients(f->index),
                               .bytes = hc_index_bytes(f->index)};
}
