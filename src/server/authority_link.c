#include "server/authority_link.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/authority_message.h"
#include "server/packet.h"

#define PINS_MAX       4096
#define PIN_AGAIN_MS   5000 /* an authority that could not write it says nothing */
#define PACKETS_A_TURN 64

static const char unavailable[] =
    "{\"ok\":false,\"code\":\"unavailable\",\"error\":\"the registry cannot be written now\"}";

/* A view that waits. */
typedef struct waiting {
    uint64_t number; /* on the wire: tokens are those of one thread alone */
    uint64_t token;
    hc_loop *loop;
    struct waiting *next;
} waiting;

/* Kept until the authority says that it has dealt with it: the index tells of it once. */
typedef struct pin {
    int64_t certificate_id;
    hc_cert *cert;
    uint64_t sent_ms; /* 0: not to the authority that is there now */
    struct pin *next;
} pin;

typedef struct watched {
    uv_poll_t poll;
    hc_authority_link *link;
    int close_fd; /* with the handle; -1: it stays open */
} watched;

struct hc_authority_link {
    pthread_mutex_t lock;
    int fd; /* -1: nobody is there. This and all up to the next comment under the lock */
    uint64_t last_number;
    waiting *waiting;
    pin *pins;
    size_t pin_count;
    /* of the first loop's thread */
    hc_loop *loop;
    watched *watched;
    uint8_t packet[HC_AUTHORITY_PACKET_MAX];
};

int hc_authority_link_new(hc_authority_link **out, hc_err *err)
{
    hc_authority_link *l = hc_alloc_zero(1, sizeof *l);
    if (!l)
        return hc_err_set(err, HC_ENOMEM, "no memory to talk to the authority");
    if (pthread_mutex_init(&l->lock, NULL) != 0) {
        hc_free(l);
        return hc_err_set(err, HC_ENOMEM, "no memory for a lock");
    }
    l->fd = -1;
    *out = l;
    return 0;
}

static void forget_pin(hc_authority_link *l, pin **at)
{
    pin *p = *at;
    *at = p->next;
    l->pin_count--;
    hc_cert_unref(p->cert);
    hc_free(p);
}

void hc_authority_link_free(hc_authority_link *l)
{
    if (!l)
        return;
    while (l->waiting) {
        waiting *w = l->waiting;
        l->waiting = w->next;
        hc_free(w);
    }
    while (l->pins)
        forget_pin(l, &l->pins);
    if (l->fd >= 0)
        (void)close(l->fd);
    (void)pthread_mutex_destroy(&l->lock);
    hc_free(l);
}

/* ---- to the authority ---- */

/* Under the lock: descriptors come and go. */
static bool send_locked(hc_authority_link *l, const hc_authority_message *m)
{
    hc_buf packet = hc_buf_init(HC_AUTHORITY_PACKET_MAX);
    bool sent = l->fd >= 0 && hc_authority_encode(m, &packet) == 0 &&
                send(l->fd, packet.at, packet.size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
    hc_buf_done(&packet);
    return sent;
}

bool hc_authority_link_seen(hc_authority_link *l, const hc_seen *seen, size_t count)
{
    (void)pthread_mutex_lock(&l->lock);
    bool sent = send_locked(
        l, &(hc_authority_message){.type = HC_AUTHORITY_SEEN, .seen = seen, .seen_count = count});
    (void)pthread_mutex_unlock(&l->lock);
    return sent;
}

static bool send_pin(hc_authority_link *l, int64_t certificate_id, const hc_cert *cert)
{
    return send_locked(l, &(hc_authority_message){.type = HC_AUTHORITY_PIN,
                                                  .certificate_id = certificate_id,
                                                  .text = hc_cert_der(cert)});
}

/* Where there is no room for it only the index may ask again. */
static void keep_pin(hc_authority_link *l, int64_t certificate_id, const hc_cert *cert,
                     uint64_t sent_ms)
{
    pin *p = l->pin_count < PINS_MAX ? hc_alloc(sizeof *p) : NULL;
    if (!p)
        return;
    *p = (pin){certificate_id, hc_cert_ref((hc_cert *)cert), sent_ms, l->pins};
    l->pins = p;
    l->pin_count++;
}

void hc_authority_link_pin(hc_authority_link *l, int64_t certificate_id, const hc_cert *cert)
{
    (void)pthread_mutex_lock(&l->lock);
    bool sent = send_pin(l, certificate_id, cert);
    keep_pin(l, certificate_id, cert, sent ? hc_clock_monotonic_ms() : 0);
    (void)pthread_mutex_unlock(&l->lock);
}

void hc_authority_link_retry(hc_authority_link *l)
{
    uint64_t now_ms = hc_clock_monotonic_ms();
    (void)pthread_mutex_lock(&l->lock);
    for (pin *p = l->pins; p; p = p->next) {
        if (p->sent_ms && now_ms - p->sent_ms < PIN_AGAIN_MS)
            continue;
        if (!send_pin(l, p->certificate_id, p->cert))
            break;
        p->sent_ms = now_ms;
    }
    (void)pthread_mutex_unlock(&l->lock);
}

static void on_pinned(hc_authority_link *l, int64_t certificate_id)
{
    (void)pthread_mutex_lock(&l->lock);
    for (pin **at = &l->pins; *at;) {
        if ((*at)->certificate_id == certificate_id)
            forget_pin(l, at);
        else
            at = &(*at)->next;
    }
    (void)pthread_mutex_unlock(&l->lock);
}

/* Under the lock. */
static waiting *take_waiting(hc_authority_link *l, uint64_t number)
{
    waiting **at = &l->waiting;
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    waiting *found = *at;
    if (found)
        *at = found->next;
    return found;
}

void hc_authority_link_ask(hc_authority_link *l, hc_loop *loop, uint64_t token, int64_t client_id,
                           const uint8_t sha256[32], hc_slice question)
{
    waiting *w = hc_alloc(sizeof *w);
    bool sent = false;
    if (w) {
        (void)pthread_mutex_lock(&l->lock);
        *w = (waiting){++l->last_number, token, loop, l->waiting};
        sent = send_locked(l, &(hc_authority_message){.type = HC_AUTHORITY_ASK,
                                                      .token = w->number,
                                                      .client_id = client_id,
                                                      .sha256 = sha256,
                                                      .text = question});
        if (sent)
            l->waiting = w;
        (void)pthread_mutex_unlock(&l->lock);
    }
    if (sent)
        return;
    hc_free(w);
    hc_app_answer(loop->app, token, hc_slice_text(unavailable));
}

/* ---- from the authority ---- */

typedef struct answer {
    hc_loop *loop;
    uint64_t token;
    size_t size;
    uint8_t text[];
} answer;

static void give_answer(void *arg)
{
    answer *a = arg;
    if (a->loop->app)
        hc_app_answer(a->loop->app, a->token, hc_slice_of(a->text, a->size));
    hc_free(a);
}

/* Takes `w`. Without memory the view waits until its own time is up. */
static void post_answer(waiting *w, hc_slice text)
{
    answer *a = hc_alloc(sizeof *a + text.size);
    if (a) {
        *a = (answer){.loop = w->loop, .token = w->token, .size = text.size};
        memcpy(a->text, text.at, text.size);
        if (!hc_loop_post(w->loop, give_answer, a))
            hc_free(a);
    }
    hc_free(w);
}

static void on_closed(uv_handle_t *handle)
{
    watched *w = handle->data;
    if (w->close_fd >= 0)
        (void)close(w->close_fd);
    hc_free(w);
}

static void close_watched(hc_authority_link *l, int fd)
{
    if (!l->watched)
        return;
    l->watched->close_fd = fd;
    uv_close((uv_handle_t *)&l->watched->poll, on_closed);
    l->watched = NULL;
}

/* The authority is gone, or said what it must not: its end of the socket is what tells it. */
static void drop(hc_authority_link *l)
{
    (void)pthread_mutex_lock(&l->lock);
    waiting *w = l->waiting;
    int fd = l->fd;
    l->waiting = NULL;
    l->fd = -1;
    for (pin *p = l->pins; p; p = p->next)
        p->sent_ms = 0;
    (void)pthread_mutex_unlock(&l->lock);
    close_watched(l, fd);
    while (w) {
        waiting *next = w->next;
        post_answer(w, hc_slice_text(unavailable));
        w = next;
    }
}

static void on_answer(hc_authority_link *l, const hc_authority_message *m)
{
    (void)pthread_mutex_lock(&l->lock);
    waiting *w = take_waiting(l, m->token);
    (void)pthread_mutex_unlock(&l->lock);
    if (w)
        post_answer(w, m->text);
}

static void on_list(hc_authority_link *l, hc_slice name, int fd)
{
    hc_err err = {0};
    const hc_shared *shared = l->loop->shared;
    if (hc_published_put(shared->published, name, fd, &err) != 0)
        hc_log_text(shared->log, HC_LOG_ERROR, "%s", err.text);
}

static bool from_authority(hc_slice packet, hc_authority_message *out)
{
    hc_err err = {0};
    return packet.size &&
           (packet.at[0] == HC_AUTHORITY_ANSWER || packet.at[0] == HC_AUTHORITY_PINNED ||
            packet.at[0] == HC_AUTHORITY_CRL) &&
           hc_authority_decode(packet, out, NULL, &err) == 0;
}

static bool receive(hc_authority_link *l)
{
    hc_authority_message m;
    /* This thread alone changes `fd`: no lock to read it. */
    int fd;
    ssize_t n = hc_packet_receive(l->fd, l->packet, sizeof l->packet, MSG_DONTWAIT, &fd);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0 && from_authority(hc_slice_of(l->packet, (size_t)n), &m) &&
        (fd >= 0) == (m.type == HC_AUTHORITY_CRL)) {
        if (m.type == HC_AUTHORITY_ANSWER)
            on_answer(l, &m);
        else if (m.type == HC_AUTHORITY_CRL)
            on_list(l, m.text, fd);
        else
            on_pinned(l, m.certificate_id);
        return true;
    }
    if (fd >= 0)
        (void)close(fd);
    if (n > 0)
        hc_log_text(l->loop->shared->log, HC_LOG_ERROR, "the authority broke the protocol");
    drop(l);
    return false;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    watched *w = poll->data;
    (void)events;
    if (status < 0) {
        drop(w->link);
        return;
    }
    for (int i = 0; i < PACKETS_A_TURN && receive(w->link); i++) {
    }
}

void hc_authority_link_take(hc_authority_link *l, hc_loop *loop, int fd)
{
    drop(l);
    l->loop = loop;
    watched *w = hc_alloc_zero(1, sizeof *w);
    if (!w || uv_poll_init(&loop->uv, &w->poll, fd) != 0) {
        hc_log_text(loop->shared->log, HC_LOG_ERROR, "cannot watch the authority's socket");
        hc_free(w);
        (void)close(fd);
        return;
    }
    w->poll.data = w;
    w->link = l;
    l->watched = w;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_poll);
    (void)pthread_mutex_lock(&l->lock);
    l->fd = fd;
    (void)pthread_mutex_unlock(&l->lock);
}

void hc_authority_link_unwatch(hc_authority_link *l)
{
    close_watched(l, -1);
}
