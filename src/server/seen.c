#include "server/seen.h"

#include <pthread.h>

#include "base/mem.h"

#define ROOM_FIRST 1024

/* A table of open addressing; slots hold 1 + the place in `at`, 0: free. Half of them are free. */
typedef struct seen_set {
    hc_seen *at;
    uint32_t *slots;
    size_t count, room;
} seen_set;

struct hc_seen_batch {
    pthread_mutex_t lock;
    seen_set now;   /* under the lock */
    seen_set spare; /* of whoever flushes */
};

int hc_seen_batch_new(hc_seen_batch **out, hc_err *err)
{
    hc_seen_batch *b = hc_alloc_zero(1, sizeof *b);
    if (!b)
        return hc_err_set(err, HC_ENOMEM, "no memory for what was seen last");
    if (pthread_mutex_init(&b->lock, NULL) != 0) {
        hc_free(b);
        return hc_err_set(err, HC_ENOMEM, "no memory for a lock");
    }
    *out = b;
    return 0;
}

static void set_done(seen_set *s)
{
    hc_free(s->at);
    hc_free(s->slots);
    *s = (seen_set){0};
}

void hc_seen_batch_free(hc_seen_batch *b)
{
    if (!b)
        return;
    set_done(&b->now);
    set_done(&b->spare);
    (void)pthread_mutex_destroy(&b->lock);
    hc_free(b);
}

/* Numbers of rows lie close together: multiplied, they spread. */
static uint32_t *slot_of(const seen_set *s, int64_t id)
{
    size_t mask = 2 * s->room - 1;
    size_t i = (size_t)(((uint64_t)id * 0x9e3779b97f4a7c15u) >> 32) & mask;
    while (s->slots[i] && s->at[s->slots[i] - 1].certificate_id != id)
        i = (i + 1) & mask;
    return &s->slots[i];
}

static bool grow(seen_set *s)
{
    size_t room = s->room ? 2 * s->room : ROOM_FIRST;
    if (room > HC_LIMIT_SEEN)
        return false;
    hc_seen *at = hc_realloc(s->at, room * sizeof *at);
    if (!at)
        return false;
    s->at = at;
    uint32_t *slots = hc_alloc_zero(2 * room, sizeof *slots);
    if (!slots)
        return false;
    hc_free(s->slots);
    s->slots = slots;
    s->room = room;
    for (size_t i = 0; i < s->count; i++)
        *slot_of(s, s->at[i].certificate_id) = (uint32_t)(i + 1);
    return true;
}

static void note(seen_set *s, int64_t id, int64_t at_s)
{
    uint32_t place = s->count ? *slot_of(s, id) : 0;
    if (place) {
        hc_seen *known = &s->at[place - 1];
        if (at_s > known->at_s)
            known->at_s = at_s;
        return;
    }
    if (s->count == s->room && !grow(s))
        return;
    uint32_t *slot = slot_of(s, id);
    s->at[s->count++] = (hc_seen){id, at_s};
    *slot = (uint32_t)s->count;
}

void hc_seen_note(hc_seen_batch *b, int64_t certificate_id, int64_t at_s)
{
    (void)pthread_mutex_lock(&b->lock);
    note(&b->now, certificate_id, at_s);
    (void)pthread_mutex_unlock(&b->lock);
}

static void swap(hc_seen_batch *b)
{
    (void)pthread_mutex_lock(&b->lock);
    seen_set full = b->now;
    b->now = b->spare;
    b->spare = full;
    (void)pthread_mutex_unlock(&b->lock);
}

size_t hc_seen_flush(hc_seen_batch *b, size_t part,
                     bool (*send)(void *arg, const hc_seen *seen, size_t count), void *arg)
{
    size_t sent = 0;
    swap(b);
    seen_set *s = &b->spare;
    while (sent < s->count) {
        size_t count = s->count - sent < part ? s->count - sent : part;
        if (!send(arg, s->at + sent, count))
            break;
        sent += count;
    }
    for (size_t i = sent; i < s->count; i++)
        hc_seen_note(b, s->at[i].certificate_id, s->at[i].at_s);
    if (s->count)
        memset(s->slots, 0, 2 * s->room * sizeof *s->slots);
    s->count = 0;
    return sent;
}
