#include "tls/session.h"

#include <pthread.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/mem.h"
#include "tls/session_bytes.h"

/* Each shard is a hash table with a list from oldest to newest, under a lock of its own. A store
 * too small to be contended is one shard, and then evicts in exact order. */
#define SHARDS           16
#define ENTRIES_TO_SHARD 4096

typedef struct entry {
    struct entry *next; /* in its bucket, or in a list of entries to be freed */
    struct entry *older, *newer;
    SSL_SESSION *session;
    void *attachment;
    uint64_t bytes;
    int64_t expires_s;
    size_t id_size;
    uint8_t id[SSL_MAX_SSL_SESSION_ID_LENGTH];
} entry;

typedef struct shard {
    pthread_mutex_t lock;
    entry **buckets;
    size_t bucket_count; /* a power of two */
    entry *oldest, *newest;
    size_t entries, entries_max;
    uint64_t bytes, bytes_max;
} shard;

struct hc_session_store {
    hc_session_config config;
    size_t shard_count;
    shard shards[SHARDS];
};

static bool shard_init(shard *s, size_t entries, uint64_t bytes)
{
    size_t buckets = 1;
    while (buckets < entries)
        buckets *= 2;
    s->buckets = hc_alloc_zero(buckets, sizeof(entry *));
    if (!s->buckets)
        return false;
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        hc_free(s->buckets);
        return false;
    }
    s->bucket_count = buckets;
    s->entries_max = entries;
    s->bytes_max = bytes;
    return true;
}

int hc_session_store_new(const hc_session_config *config, hc_session_store **out, hc_err *err)
{
    if (config->entries > SIZE_MAX / 4 / sizeof(entry *))
        return hc_err_set(err, HC_EINVAL, "a session store of %zu entries is too large",
                          config->entries);
    hc_session_store *s = hc_alloc_zero(1, sizeof(*s));
    if (!s)
        goto no_memory;
    s->config = *config;
    size_t shards = config->entries < ENTRIES_TO_SHARD ? 1 : SHARDS;
    while (s->shard_count < shards) {
        if (!shard_init(&s->shards[s->shard_count], config->entries / shards,
                        config->bytes / shards))
            goto no_memory;
        s->shard_count++;
    }
    *out = s;
    return 0;
no_memory:
    hc_session_store_free(s);
    return hc_err_set(err, HC_ENOMEM, "no memory for the session store");
}

/* FNV-1a: what is stored has an id that we drew at random, so nobody can aim at a bucket. */
static uint64_t hash(hc_slice id)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < id.size; i++)
        h = (h ^ id.at[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static shard *shard_of(hc_session_store *s, hc_slice id)
{
    return &s->shards[(hash(id) >> 24) % s->shard_count];
}

static entry **find(shard *s, hc_slice id)
{
    entry **at = &s->buckets[hash(id) & (s->bucket_count - 1)];
    while (*at && !hc_slice_equal(hc_slice_of((*at)->id, (*at)->id_size), id))
        at = &(*at)->next;
    return at;
}

/* Out of the shard and onto the list of what is to be freed once the lock is given back. */
static void detach(shard *s, entry **at, entry **dead)
{
    entry *e = *at;
    *at = e->next;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    s->entries--;
    s->bytes -= e->bytes;
    e->next = *dead;
    *dead = e;
}

static void detach_oldest(shard *s, entry **dead)
{
    detach(s, find(s, hc_slice_of(s->oldest->id, s->oldest->id_size)), dead);
}

static void attach(shard *s, entry *e)
{
    entry **at = find(s, hc_slice_of(e->id, e->id_size));
    e->next = NULL;
    *at = e;
    e->older = s->newest;
    e->newer = NULL;
    *(s->newest ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
    s->entries++;
    s->bytes += e->bytes;
}

static void entry_free(const hc_session_store *s, entry *e)
{
    if (e->attachment && s->config.attachment_unref)
        s->config.attachment_unref(e->attachment);
    SSL_SESSION_free(e->session);
    hc_free(e);
}

static void free_list(const hc_session_store *s, entry *dead)
{
    while (dead) {
        entry *next = dead->next;
        entry_free(s, dead);
        dead = next;
    }
}

void hc_session_store_free(hc_session_store *s)
{
    if (!s)
        return;
    hc_session_store_clear(s);
    for (size_t i = 0; i < s->shard_count; i++) {
        (void)pthread_mutex_destroy(&s->shards[i].lock);
        hc_free(s->shards[i].buckets);
    }
    hc_free(s);
}

static int64_t expiry_of(const SSL_SESSION *session)
{
    return (int64_t)SSL_SESSION_get_time(session) + (int64_t)SSL_SESSION_get_timeout(session);
}

static void *attachment_ref(const hc_session_store *s, void *attachment)
{
    return attachment && s->config.attachment_ref ? s->config.attachment_ref(attachment)
                                                  : attachment;
}

static int entry_new(const hc_session_store *s, SSL_SESSION *session, void *attachment, entry **out,
                     hc_err *err)
{
    unsigned size = 0;
    const unsigned char *id = SSL_SESSION_get_id(session, &size);
    if (size == 0 || size > SSL_MAX_SSL_SESSION_ID_LENGTH || !SSL_SESSION_is_resumable(session))
        return hc_err_set(err, HC_EINVAL, "this TLS session cannot resume");
    entry *e = hc_alloc_zero(1, sizeof(*e));
    if (!e)
        return hc_err_set(err, HC_ENOMEM, "no memory for a TLS session");
    e->session = SSL_SESSION_dup(session);
    if (!e->session) {
        ERR_clear_error();
        hc_free(e);
        return hc_err_set(err, HC_ENOMEM, "no memory for a TLS session");
    }
    memcpy(e->id, id, size);
    e->id_size = size;
    e->expires_s = expiry_of(session);
    e->bytes = sizeof(*e) + hc_session_bytes(session);
    e->attachment = attachment_ref(s, attachment);
    if (attachment && s->config.attachment_bytes)
        e->bytes += s->config.attachment_bytes(attachment);
    *out = e;
    return 0;
}

int hc_session_store_put(hc_session_store *s, SSL_SESSION *session, void *attachment, hc_err *err)
{
    entry *e = NULL, *dead = NULL;
    int rc = entry_new(s, session, attachment, &e, err);
    if (rc < 0)
        return rc;
    shard *home = shard_of(s, hc_slice_of(e->id, e->id_size));
    if (home->entries_max == 0 || e->bytes > home->bytes_max) {
        entry_free(s, e);
        return hc_err_set(err, HC_ELIMIT, "this TLS session is larger than the store may be");
    }
    int64_t now_s = (int64_t)SSL_SESSION_get_time(session);
    (void)pthread_mutex_lock(&home->lock);
    entry **same = find(home, hc_slice_of(e->id, e->id_size));
    if (*same)
        detach(home, same, &dead);
    while (home->oldest &&
           (home->entries == home->entries_max || home->bytes > home->bytes_max - e->bytes ||
            home->oldest->expires_s <= now_s))
        detach_oldest(home, &dead);
    attach(home, e);
    (void)pthread_mutex_unlock(&home->lock);
    free_list(s, dead);
    return 0;
}

SSL_SESSION *hc_session_store_get(hc_session_store *s, hc_slice id, int64_t now_s,
                                  void **attachment)
{
    SSL_SESSION *copy = NULL;
    entry *dead = NULL;
    *attachment = NULL;
    if (id.size == 0 || id.size > SSL_MAX_SSL_SESSION_ID_LENGTH)
        return NULL;
    shard *home = shard_of(s, id);
    (void)pthread_mutex_lock(&home->lock);
    entry **at = find(home, id);
    if (*at && (*at)->expires_s <= now_s) {
        detach(home, at, &dead);
    } else if (*at) {
        /* Under the lock: SSL_SESSION_dup reads the whole object, its reference count too, which
         * another thread's duplicate would change meanwhile. */
        copy = SSL_SESSION_dup((*at)->session);
        if (copy)
            *attachment = attachment_ref(s, (*at)->attachment);
    }
    (void)pthread_mutex_unlock(&home->lock);
    if (!copy)
        ERR_clear_error();
    free_list(s, dead);
    return copy;
}

void hc_session_store_remove(hc_session_store *s, hc_slice id)
{
    entry *dead = NULL;
    if (id.size == 0 || id.size > SSL_MAX_SSL_SESSION_ID_LENGTH)
        return;
    shard *home = shard_of(s, id);
    (void)pthread_mutex_lock(&home->lock);
    entry **at = find(home, id);
    if (*at)
        detach(home, at, &dead);
    (void)pthread_mutex_unlock(&home->lock);
    free_list(s, dead);
}

void hc_session_store_clear(hc_session_store *s)
{
    for (size_t i = 0; i < s->shard_count; i++) {
        shard *one = &s->shards[i];
        entry *dead = NULL;
        (void)pthread_mutex_lock(&one->lock);
        while (one->oldest)
            detach_oldest(one, &dead);
        (void)pthread_mutex_unlock(&one->lock);
        free_list(s, dead);
    }
}

hc_session_stats hc_session_store_stats(hc_session_store *s)
{
    hc_session_stats stats = {0};
    for (size_t i = 0; i < s->shard_count; i++) {
        (void)pthread_mutex_lock(&s->shards[i].lock);
        stats.entries += s->shards[i].entries;
        stats.bytes += s->shards[i].bytes;
        (void)pthread_mutex_unlock(&s->shards[i].lock);
    }
    return stats;
}
