#include "server/authority_main.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "registry/change.h"
#include "server/authority_answer.h"
#include "server/authority_message.h"
#include "server/crl_publisher.h"
#include "server/hardening.h"
#include "server/packet.h"
#include "server/seen.h"

#define LOOK_MS 1000
#define WAIT_MS 5000 /* for another writer */

typedef struct authority {
    const hc_authority_config *config;
    hc_log log;
    hc_registry *r; /* NULL: it cannot be opened at the moment */
    bool troubled;  /* and said so */
    bool unwritten; /* by what could not be written: that it can be read again is no news */
    hc_seen_batch *seen;
    hc_crl_publisher *publisher;
    bool supplied_last; /* the supervisor is gone, and sends no CAs any more */
    uint64_t looked_ms;
    hc_seen pairs[HC_AUTHORITY_SEEN_MAX];
    uint8_t packet[HC_AUTHORITY_PACKET_MAX];
} authority;

/* ---- the registry ---- */

/* One line for the trouble, and one when it is over. */
static void tell(authority *a, int rc, bool writing, const hc_err *err)
{
    if (rc == 0 && a->unwritten && !writing)
        return;
    if (rc != 0 && !a->troubled)
        hc_log_text(&a->log, HC_LOG_ERROR, "the registry cannot be written: %s", err->text);
    else if (rc == 0 && a->troubled)
        hc_log_text(&a->log, HC_LOG_INFO, "the registry can be written again");
    a->troubled = rc != 0;
    a->unwritten = rc != 0 && (writing || a->unwritten);
}

static int open_registry(authority *a, hc_err *err)
{
    hc_registry_options o = {.url = a->config->registry,
                             .base = a->config->state,
                             .access = HC_REGISTRY_WRITE,
                             .wait_ms = WAIT_MS};
    return hc_registry_open(&o, &a->r, err);
}

static void close_registry(authority *a)
{
    hc_registry_close(a->r);
    a->r = NULL;
}

/* A writer that was killed leaves a journal that readers may not roll back: reading with the right
 * to write does so. */
static int look_at_it(authority *a, hc_err *err)
{
    hc_registry_head head;
    bool changed;
    int rc = a->r->engine->changed(a->r, &changed, err);
    if (rc == 0)
        rc = hc_registry_begin(a->r, false, err);
    if (rc != 0)
        return rc;
    rc = a->r->engine->head(a->r, &head, err);
    hc_registry_rollback(a->r);
    return rc;
}

static bool write_seen(void *arg, const hc_seen *seen, size_t count)
{
    authority *a = arg;
    hc_err err = {0};
    if (!a->r)
        return false;
    int rc = hc_registry_begin(a->r, true, &err);
    if (rc == 0) {
        rc = a->r->engine->seen(a->r, seen, count, &err);
        if (rc == 0)
            rc = hc_registry_commit(a->r, &err);
        else
            hc_registry_rollback(a->r);
    }
    tell(a, rc, true, &err);
    return rc == 0;
}

static void look(authority *a)
{
    hc_err err = {0};
    int rc = 0;
    a->looked_ms = hc_clock_monotonic_ms();
    if (a->r)
        rc = look_at_it(a, &err);
    if (a->r && (rc == -HC_ENOENT || rc == -HC_EFORMAT))
        close_registry(a); /* gone or replaced */
    if (!a->r && (rc = open_registry(a, &err)) == 0)
        rc = look_at_it(a, &err); /* one that is damaged may well be opened */
    tell(a, rc, false, &err);
    if (rc == 0)
        (void)hc_seen_flush(a->seen, HC_AUTHORITY_SEEN_MAX, write_seen, a);
    hc_crl_publisher_tick(a->publisher, rc == 0 ? a->r : NULL);
}

/* ---- what the front asks for ---- */

/* Blocks until the front takes it: it has a thread that does nothing else for long. */
static bool say(const hc_authority_message *m)
{
    hc_buf packet = hc_buf_init(HC_AUTHORITY_PACKET_MAX);
    bool said = hc_authority_encode(m, &packet) == 0 &&
                send(HC_AUTHORITY_LINK_FD, packet.at, packet.size, MSG_NOSIGNAL) >= 0;
    hc_buf_done(&packet);
    return said;
}

static void answer(authority *a, const hc_authority_message *ask)
{
    hc_buf text = hc_buf_init(HC_LIMIT_ANSWER_BYTES);
    if (hc_authority_answer(a->r, ask, hc_clock_wall_ms(), &text) != 0 ||
        !say(&(hc_authority_message){
            .type = HC_AUTHORITY_ANSWER, .token = ask->token, .text = hc_buf_slice(&text)}))
        hc_log_text(&a->log, HC_LOG_ERROR, "an answer to a view is lost");
    hc_buf_done(&text);
}

/* Times that are still to come would make a certificate look used for ever. */
static void note_seen(authority *a, const hc_authority_message *m)
{
    int64_t now_s = hc_clock_wall_s();
    for (size_t i = 0; i < m->seen_count; i++) {
        const hc_seen *one = &m->seen[i];
        if (one->certificate_id > 0 && one->at_s > 0)
            hc_seen_note(a->seen, one->certificate_id, one->at_s < now_s ? one->at_s : now_s);
    }
    (void)hc_seen_flush(a->seen, HC_AUTHORITY_SEEN_MAX, write_seen, a);
}

/* `never`: it is of no use to try again. */
static int write_pin(authority *a, const hc_authority_message *m, bool *never, hc_err *err)
{
    hc_cert *cert = NULL;
    hc_actor actor = {HC_SLICE_LITERAL("server"), hc_clock_wall_ms()};
    int rc = hc_cert_from_der(m->text, &cert, err);
    *never = rc == -HC_EFORMAT;
    if (rc == 0)
        rc = hc_registry_begin(a->r, true, err);
    if (rc == 0) {
        rc = hc_change_pin_certificate(a->r, &actor, m->certificate_id, cert, err);
        *never = rc == -HC_EEXIST || rc == -HC_EINVAL || rc == -HC_ENOENT;
        if (rc == 0)
            rc = hc_registry_commit(a->r, err);
        else
            hc_registry_rollback(a->r);
    }
    hc_cert_unref(cert);
    return rc;
}

/* What can never be written is dealt with too; of the rest the front hears nothing, and sends it
 * again. */
static void pin(authority *a, const hc_authority_message *m)
{
    hc_err err = {0};
    if (!a->r)
        return;
    bool never = false;
    int rc = write_pin(a, m, &never, &err);
    if (never)
        hc_log_text(&a->log, HC_LOG_WARNING,
                    "the first certificate of a serial that was imported alone is not written to "
                    "the registry: %s",
                    err.text);
    else
        tell(a, rc, true, &err);
    if (rc == 0 || never)
        (void)say(&(hc_authority_message){.type = HC_AUTHORITY_PINNED,
                                          .certificate_id = m->certificate_id});
}

static int obey(authority *a, hc_slice packet, hc_err *err)
{
    hc_authority_message m;
    int rc = hc_authority_decode(packet, &m, a->pairs, err);
    if (rc != 0)
        return rc;
    switch (m.type) {
    case HC_AUTHORITY_ASK:
        answer(a, &m);
        return 0;
    case HC_AUTHORITY_SEEN:
        note_seen(a, &m);
        return 0;
    case HC_AUTHORITY_PIN:
        pin(a, &m);
        return 0;
    default:
        return hc_err_set(err, HC_EFORMAT, "a message of type %u is not for the authority",
                          (unsigned)m.type);
    }
}

/* ---- */

static void take_supply(authority *a)
{
    int fd = -1;
    ssize_t n = hc_packet_receive(HC_AUTHORITY_SUPPLY_FD, a->packet, sizeof a->packet, 0, &fd);
    if (n < 0 && errno == EINTR)
        return;
    a->supplied_last = n <= 0;
    if (fd < 0)
        return;
    hc_crl_publisher_take(a->publisher, fd);
    hc_crl_publisher_tick(a->publisher, a->r);
}

/* 0: one packet was dealt with, or it was time to look. -HC_ECLOSED: the front is gone. */
static int turn(authority *a, hc_err *err)
{
    uint64_t passed_ms = hc_clock_monotonic_ms() - a->looked_ms;
    struct pollfd p[] = {{.fd = HC_AUTHORITY_LINK_FD, .events = POLLIN},
                         {.fd = a->supplied_last ? -1 : HC_AUTHORITY_SUPPLY_FD, .events = POLLIN}};
    if (passed_ms >= LOOK_MS) {
        look(a);
        return 0;
    }
    int ready = poll(p, HC_COUNT(p), (int)(LOOK_MS - passed_ms));
    if (ready <= 0)
        return ready == 0 || errno == EINTR ? 0 : hc_err_errno(err, errno, "cannot wait");
    if (p[1].revents)
        take_supply(a);
    if (!p[0].revents)
        return 0;
    ssize_t n = recv(HC_AUTHORITY_LINK_FD, a->packet, sizeof a->packet, 0);
    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0)
        return -HC_ECLOSED;
    return obey(a, hc_slice_of(a->packet, (size_t)n), err);
}

/* Says how it went: the supervisor waits for it before the first client is served. */
static void report(authority *a)
{
    hc_err err = {0};
    int rc = open_registry(a, &err);
    a->looked_ms = hc_clock_monotonic_ms();
    const char *text = rc == 0 ? HC_AUTHORITY_OPENED : err.text;
    (void)!write(HC_AUTHORITY_REPORT_FD, text, strlen(text));
    (void)close(HC_AUTHORITY_REPORT_FD);
}

int hc_authority_main(const hc_authority_config *config)
{
    hc_err err = {0};
    hc_ignore_signals();
    hc_protect_memory();
    authority *a = hc_alloc_zero(1, sizeof *a);
    if (!a || hc_seen_batch_new(&a->seen, &err) != 0) {
        hc_free(a);
        return 1;
    }
    a->config = config;
    a->log = (hc_log){
        .fd = 2, .level = config->log_level, .json = config->log_json, .role = "authority"};
    if (hc_crl_publisher_new(&a->log, HC_AUTHORITY_LINK_FD, &a->publisher, &err) != 0) {
        hc_seen_batch_free(a->seen);
        hc_free(a);
        return 1;
    }
    report(a);
    int rc = 0;
    while (rc == 0)
        rc = turn(a, &err);
    if (rc != -HC_ECLOSED)
        hc_log_text(&a->log, HC_LOG_ERROR, "the authority ends: %s", err.text);
    close_registry(a);
    hc_crl_publisher_free(a->publisher);
    hc_seen_batch_free(a->seen);
    hc_free(a);
    return rc == -HC_ECLOSED ? 0 : 1;
}
