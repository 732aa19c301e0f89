/* A follower of a real SQLite file in a folder of its own, and a writer beside it. Nothing sleeps:
 * what is waited for is the follower's own next look. Failure ends the test. */
#ifndef HC_TESTS_UNIT_REGISTRY_FOLLOWER_CASE_H
#define HC_TESTS_UNIT_REGISTRY_FOLLOWER_CASE_H

#include "index_world.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "registry/follower.h"

#define CASE_MAX_AGE_MS 30000 /* tests ask for a later moment instead of waiting */

typedef struct follower_case {
    char folder[64], path[96], url[128];
    hc_registry *writer;
    hc_follower *f;
    hc_lookup *l;
    hc_cert *cert; /* alice's, client 1, certificate 1 */

    pthread_mutex_t lock;
    pthread_cond_t news;
    unsigned looks, problems, overs, pins;
    char problem[512];
    int64_t pinned_id;
} follower_case;

static inline void case_tick(void *arg)
{
    follower_case *c = arg;
    pthread_mutex_lock(&c->lock);
    c->looks++;
    pthread_cond_broadcast(&c->news);
    pthread_mutex_unlock(&c->lock);
}

static inline void case_report(void *arg, const char *problem)
{
    follower_case *c = arg;
    pthread_mutex_lock(&c->lock);
    if (problem) {
        c->problems++;
        (void)snprintf(c->problem, sizeof c->problem, "%s", problem);
    } else {
        c->overs++;
    }
    pthread_mutex_unlock(&c->lock);
}

static inline void case_pinned(void *arg, int64_t certificate_id, const hc_cert *cert)
{
    follower_case *c = arg;
    (void)cert;
    pthread_mutex_lock(&c->lock);
    c->pins++;
    c->pinned_id = certificate_id;
    pthread_mutex_unlock(&c->lock);
}

/* Until one whole look has begun and ended after this call. */
static inline void case_look(follower_case *c)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&c->lock);
    unsigned wanted = c->looks + 2;
    int rc = 0;
    while (c->looks < wanted && rc == 0)
        rc = pthread_cond_timedwait(&c->news, &c->lock, &until);
    pthread_mutex_unlock(&c->lock);
    assert_int_equal(rc, 0);
}

#define CASE_DO(call)                                                                              \
    do {                                                                                           \
        hc_err err = {0};                                                                          \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static inline hc_registry *case_open(const char *path, hc_registry_access access)
{
    char url[160];
    hc_registry *r = NULL;
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    hc_registry_options o = {url, NULL, access, 5000};
    CASE_DO(hc_registry_open(&o, &r, &err));
    return r;
}

static inline void case_begin(hc_registry *r)
{
    CASE_DO(r->engine->begin(r, true, &err));
}

static inline void case_commit(hc_registry *r)
{
    CASE_DO(r->engine->commit(r, &err));
}

/* The change's audit row, which is what a follower sees of it. */
static inline void case_audit(hc_registry *r, int64_t client_id)
{
    int64_t seq = 0;
    hc_audit_row row = {.at_ms = 1,
                        .who = S("test"),
                        .action = S("client.status"),
                        .client_id = client_id,
                        .client_name = S("?")};
    CASE_DO(r->engine->audit_add(r, &row, &seq, &err));
}

static inline int64_t case_add_client(hc_registry *r, const char *name)
{
    int64_t id = 0;
    hc_client_row row = {.name = hc_slice_text(name),
                         .status = HC_CLIENT_ACTIVE,
                         .roles = S("meter"),
                         .created_s = 1};
    case_begin(r);
    CASE_DO(r->engine->client_add(r, &row, &id, &err));
    case_audit(r, id);
    case_commit(r);
    return id;
}

static inline int64_t case_add_certificate(hc_registry *r, int64_t client, const hc_cert *cert,
                                           bool known)
{
    int64_t id = 0;
    hc_certificate_row row = {.client_id = client,
                              .issuer_sha256 = hc_cert_issuer_sha256(cert),
                              .serial = *hc_cert_serial(cert),
                              .sha256 = known ? hc_cert_sha256(cert) : NULL,
                              .issuer = S("CN=CA"),
                              .subject = S("CN=x"),
                              .status = HC_CERTIFICATE_ACTIVE,
                              .reason = HC_REASON_NONE,
                              .origin = known ? HC_ORIGIN_IMPORTED : HC_ORIGIN_SERIAL};
    case_begin(r);
    CASE_DO(r->engine->certificate_add(r, &row, &id, &err));
    case_audit(r, client);
    case_commit(r);
    return id;
}

static inline void case_set_client(hc_registry *r, int64_t id, const char *name,
                                   hc_client_status status, const char *roles)
{
    hc_client_row row = {.id = id,
                         .name = hc_slice_text(name),
                         .status = status,
                         .status_s = 4711,
                         .roles = hc_slice_text(roles),
                         .created_s = 1};
    case_begin(r);
    CASE_DO(r->engine->client_set(r, &row, &err));
    case_audit(r, id);
    case_commit(r);
}

static inline void case_suspend(hc_registry *r)
{
    case_set_client(r, 1, "alice", HC_CLIENT_SUSPENDED, "meter");
}

static inline void case_remove_client(hc_registry *r, int64_t id)
{
    case_begin(r);
    CASE_DO(r->engine->client_remove(r, id, &err));
    case_audit(r, id);
    case_commit(r);
}

static inline hc_follower_config case_config(follower_case *c)
{
    return (hc_follower_config){.url = c->url,
                                .max_age_ms = CASE_MAX_AGE_MS,
                                .poll_ms = 5,
                                .arg = c,
                                .report = case_report,
                                .tick = case_tick,
                                .pinned = case_pinned};
}

static inline void case_follow(follower_case *c)
{
    hc_follower_config config = case_config(c);
    CASE_DO(hc_follower_start(&config, true, &c->f, &err));
    c->l = hc_follower_lookup(c->f);
}

/* A registry with alice and her certificate; nobody follows it yet. */
static inline follower_case *case_new(bool known)
{
    follower_case *c = calloc(1, sizeof *c);
    assert_non_null(c);
    (void)snprintf(c->folder, sizeof c->folder, "/tmp/hc-follower-XXXXXX");
    assert_non_null(mkdtemp(c->folder));
    (void)snprintf(c->path, sizeof c->path, "%s/registry.db", c->folder);
    (void)snprintf(c->url, sizeof c->url, "sqlite:%s", c->path);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->news, NULL);
    c->writer = case_open(c->path, HC_REGISTRY_CREATE);
    c->cert = world_cert("CA", "1F", NULL, "alice");
    assert_int_equal(case_add_client(c->writer, "alice"), 1);
    assert_int_equal(case_add_certificate(c->writer, 1, c->cert, known), 1);
    return c;
}

static inline void case_close_writer(follower_case *c)
{
    hc_registry_close(c->writer);
    c->writer = NULL;
}

static inline void case_done(follower_case *c)
{
    static const char *const files[] = {"registry.db", "registry.db-journal",
                                        "backup.db",   "backup.db-journal",
                                        "other.db",    "other.db-journal"};
    hc_follower_stop(c->f);
    case_close_writer(c);
    hc_cert_unref(c->cert);
    for (size_t i = 0; i < HC_COUNT(files); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", c->folder, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(c->folder);
    pthread_cond_destroy(&c->news);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static inline void case_in_folder(const follower_case *c, const char *name, char out[128])
{
    (void)snprintf(out, 128, "%s/%s", c->folder, name);
}

/* Byte by byte, into the file that is there: its inode stays. */
static inline void case_copy(const char *from, const char *to)
{
    static char bytes[1 << 20];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    ssize_t got;
    while ((got = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)got), got);
    close(in);
    close(out);
}

static inline hc_verdict_code case_ask_at(follower_case *c, const hc_cert *cert, uint64_t now_ms)
{
    hc_lookup_answer a;
    c->l->find(c->l, cert, now_ms, &a);
    hc_record_unref(a.record);
    return a.code;
}

static inline hc_verdict_code case_ask(follower_case *c, const hc_cert *cert)
{
    return case_ask_at(c, cert, hc_clock_monotonic_ms());
}

/* What is asked, by then, of an index that was last known to be right before this call. */
static inline void case_refuses_when_old(follower_case *c)
{
    uint64_t late_ms = hc_clock_monotonic_ms() + CASE_MAX_AGE_MS + 1;
    assert_int_equal(case_ask_at(c, c->cert, late_ms), HC_VERDICT_REGISTRY_UNAVAILABLE);
    assert_int_equal(c->l->generation(c->l, late_ms), 0);
}

static inline hc_follower_facts case_facts(follower_case *c)
{
    hc_follower_facts facts;
    hc_follower_facts_now(c->f, &facts);
    return facts;
}

/* Looks until the index is right as of now: trusted at an age below what this call took. */
static inline void case_heals(follower_case *c)
{
    uint64_t began_ms = hc_clock_monotonic_ms();
    for (int i = 0; i < 2000; i++) {
        case_look(c);
        hc_follower_facts facts = case_facts(c);
        if (facts.trusted && hc_clock_monotonic_ms() - began_ms > facts.age_ms)
            return;
    }
    fail_msg("it does not heal: %s", c->problem);
}

static inline unsigned case_count(follower_case *c, const unsigned *number)
{
    pthread_mutex_lock(&c->lock);
    unsigned n = *number;
    pthread_mutex_unlock(&c->lock);
    return n;
}

#endif
