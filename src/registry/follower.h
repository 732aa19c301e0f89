/* An index that follows its database: a thread that looks for changes, and the trust in what it
 * last saw.
 *
 * As long as the thread has been able to see, within `max_age_ms`, that nothing has changed or that
 * all changes are in the index, lookups answer; later than that they say registry-unavailable,
 * until it heals by itself. Opens for reading only, by a user who needs no more than that; reopens
 * a database that was replaced. A thread does not survive fork: start one in each process; what a
 * child inherits ages, and then refuses. What goes wrong is reported once, and once when it is
 * over. */
#ifndef HC_REGISTRY_FOLLOWER_H
#define HC_REGISTRY_FOLLOWER_H

#include "registry/index.h"

typedef struct hc_follower hc_follower;

typedef struct hc_follower_config {
    const char *url, *base; /* as hc_registry_options; copied */
    uint64_t max_age_ms;
    uint64_t poll_ms; /* 0: HC_REGISTRY_POLL_MS */
    void *arg;
    /* On the follower's thread. `problem` NULL: over. Each kind of problem once until then. Both
     * may be NULL. */
    void (*report)(void *arg, const char *problem);
    /* Once a poll, whatever it found: for whoever has something to do regularly. */
    void (*tick)(void *arg);
    /* On the thread that looked it up: a row that came as a serial alone is now this certificate's;
     * make it last. Comes again where the row was read anew and did not show it. */
    void (*pinned)(void *arg, int64_t certificate_id, const hc_cert *cert);
} hc_follower_config;

/* Loads the index (which may take a second for a million certificates) and starts the thread. With
 * `wait_for_it` a registry that cannot be read is an error, one that is locked for `max_age_ms`
 * too; without, lookups say registry-unavailable until it can be. */
int hc_follower_start(const hc_follower_config *config, bool wait_for_it, hc_follower **out,
                      hc_err *err) HC_MUST_CHECK;
/* Ends the thread; nobody may be in a lookup. NULL is fine. */
void hc_follower_stop(hc_follower *f);
/* Another bound from now on. Any thread. */
void hc_follower_set_max_age(hc_follower *f, uint64_t max_age_ms);
/* Lives as long as the follower; thread-safe. */
hc_lookup *hc_follower_lookup(hc_follower *f);

typedef struct hc_follower_facts {
    bool trusted;
    uint64_t age_ms; /* since it was last known to be right; UINT64_MAX: it never was */
    uint64_t generation;
    int64_t seq;
    size_t certificates, clients, bytes;
} hc_follower_facts;
/* Any thread. */
void hc_follower_facts_now(hc_follower *f, hc_follower_facts *out);

#endif
