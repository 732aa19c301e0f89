#include "registry/index.h"

#include <openssl/rand.h>

#include "base/mem.h"
#include "registry/index_impl.h"
#include "x509/reason.h"

/* A change must not wait for a moment without readers. */
static int make_lock(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;
    int rc = pthread_rwlockattr_init(&attr);
    if (rc != 0)
        return rc;
#ifdef __GLIBC__
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    rc = pthread_rwlock_init(lock, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
    return rc;
}

int hc_index_new(hc_index **out, hc_err *err)
{
    hc_index *x = hc_alloc_zero(1, sizeof *x);
    int rc = 0;
    if (!x)
        return hc_err_set(err, HC_ENOMEM, "no memory for the registry's index");
    x->limit = HC_LIMIT_REGISTRY_CERTIFICATES;
    atomic_init(&x->generation, 1);
    if (RAND_bytes((uint8_t *)x->seed, sizeof x->seed) != 1) {
        rc = hc_err_set(err, HC_ETLS, "no random numbers for the registry's index");
        goto out;
    }
    x->now = hc_store_new(x->seed, x->limit);
    if (!x->now || make_lock(&x->lock) != 0) {
        rc = hc_err_set(err, HC_ENOMEM, "no memory for the registry's index");
        goto out;
    }
    *out = x;
    return 0;
out:
    hc_store_free(x->now);
    hc_free(x);
    return rc;
}

void hc_index_free(hc_index *x)
{
    if (!x)
        return;
    hc_store_free(x->now);
    (void)pthread_rwlock_destroy(&x->lock);
    hc_free(x);
}

static void answer_from(const hc_store *s, const hc_index_entry *e, hc_lookup_answer *out)
{
    const hc_index_client *c = hc_table_at(&s->clients, e->client);
    out->certificate_id = e->id;
    out->record = hc_record_ref(c->record);
    if (e->revoked) {
        out->code = HC_VERDICT_REVOKED;
        out->since_s = e->revoked_s;
        out->reason = e->reason;
    } else if (c->status == HC_CLIENT_ACTIVE) {
        out->code = HC_VERDICT_OK;
    } else {
        out->code = c->status == HC_CLIENT_SUSPENDED ? HC_VERDICT_SUSPENDED : HC_VERDICT_REVOKED;
        out->since_s = c->status_s;
    }
}

void hc_index_find(hc_index *x, const hc_cert *cert, hc_lookup_answer *out, bool *pinned)
{
    bool known, pin;
    *out = (hc_lookup_answer){.code = HC_VERDICT_NOT_IN_REGISTRY, .reason = HC_REASON_NONE};
    *pinned = false;
    (void)pthread_rwlock_rdlock(&x->lock);
    hc_index_entry *e = hc_store_find(x->now, cert, &known);
    pin = e && hc_store_wants_pin(e);
    if (pin) {
        /* Another thread, or the writer, may be faster: what it did is looked up anew. */
        (void)pthread_rwlock_unlock(&x->lock);
        (void)pthread_rwlock_wrlock(&x->lock);
        e = hc_store_find(x->now, cert, &known);
        *pinned = e && hc_store_wants_pin(e);
        if (*pinned)
            hc_store_pin(x->now, e, cert);
    }
    if (e)
        answer_from(x->now, e, out);
    else if (known)
        out->code = HC_VERDICT_RECORD_MISMATCH;
    (void)pthread_rwlock_unlock(&x->lock);
}

uint64_t hc_index_generation(const hc_index *x)
{
    return atomic_load_explicit(&x->generation, memory_order_acquire);
}

/* Under the lock for writing: whoever sees the new number finds what it stands for. */
static void grow_generation(hc_index *x)
{
    (void)atomic_fetch_add_explicit(&x->generation, 1, memory_order_release);
}

size_t hc_index_certificates(hc_index *x)
{
    (void)pthread_rwlock_rdlock(&x->lock);
    size_t count = x->now->entries.live;
    (void)pthread_rwlock_unlock(&x->lock);
    return count;
}

size_t hc_index_clients(hc_index *x)
{
    (void)pthread_rwlock_rdlock(&x->lock);
    size_t count = x->now->clients.live;
    (void)pthread_rwlock_unlock(&x->lock);
    return count;
}

size_t hc_index_bytes(hc_index *x)
{
    (void)pthread_rwlock_rdlock(&x->lock);
    size_t bytes = sizeof *x + hc_store_bytes(x->now);
    (void)pthread_rwlock_unlock(&x->lock);
    return bytes;
}

int hc_index_load(hc_index *x, hc_registry *r, hc_err *err)
{
    hc_store *fresh = hc_store_new(x->seed, x->limit);
    if (!fresh)
        return hc_err_set(err, HC_ENOMEM, "no memory for the registry's index");
    /* Readers change nothing but pins: the writer may read the clients without the lock. */
    int rc = hc_store_scan(fresh, x->now, r, 0, err);
    if (rc == 0) {
        hc_store *old = x->now;
        (void)pthread_rwlock_wrlock(&x->lock);
        hc_store_keep_pins(fresh, old);
        x->now = fresh;
        grow_generation(x);
        (void)pthread_rwlock_unlock(&x->lock);
        fresh = old;
    }
    hc_store_free(fresh);
    return rc;
}

int hc_index_update(hc_index *x, hc_registry *r, const int64_t *clients, size_t count, hc_err *err)
{
    hc_store *fresh = hc_store_new(x->seed, x->limit);
    if (!fresh)
        return hc_err_set(err, HC_ENOMEM, "no memory for the registry's index");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = hc_store_scan(fresh, x->now, r, clients[i], err);
    if (rc == 0) {
        (void)pthread_rwlock_wrlock(&x->lock);
        rc = hc_store_reserve(x->now, fresh, err);
        for (size_t i = 0; rc == 0 && i < count; i++)
            hc_store_replace_client(x->now, fresh, clients[i]);
        if (rc == 0)
            grow_generation(x);
        (void)pthread_rwlock_unlock(&x->lock);
    }
    hc_store_free(fresh);
    return rc;
}
