/* A request as frames: the certificate where this worker has not seen it, whose it is where that
 * has changed, then the request itself. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/x509_vfy.h>

#include "app/lane.h"
#include "base/clock.h"
#include "base/mem.h"

/* Collects variables for a CERT frame: text in one buffer, places as offsets until it stops
 * growing. */
typedef struct collected {
    hc_buf text;
    hc_pair *pairs; /* with offsets in place of pointers */
    size_t count;
    const char *remote_user_name;
    char *remote_user;
} collected;

#define CERT_TEXT_MAX (HC_LIMIT_LANE_FRAME / 2)

static int collect(void *arg, hc_slice name, hc_slice value)
{
    collected *c = arg;
    if (c->count == HC_LANE_HEADERS)
        return -HC_ELIMIT;
    hc_pair *p = &c->pairs[c->count++];
    *p = (hc_pair){{(const uint8_t *)(uintptr_t)c->text.size, name.size}, {NULL, value.size}};
    int rc = hc_buf_add(&c->text, name);
    p->value.at = (const uint8_t *)(uintptr_t)c->text.size;
    if (rc == 0)
        rc = hc_buf_add(&c->text, value);
    if (rc == 0 && c->remote_user_name && !c->remote_user &&
        hc_slice_equal_text(name, c->remote_user_name)) {
        c->remote_user = hc_alloc(value.size + 1);
        if (!c->remote_user)
            return -HC_ENOMEM;
        memcpy(c->remote_user, value.at, value.size);
        c->remote_user[value.size] = '\0';
    }
    return rc;
}

static void point_into_text(collected *c)
{
    for (size_t i = 0; i < c->count; i++) {
        c->pairs[i].name.at = c->text.at + (uintptr_t)c->pairs[i].name.at;
        c->pairs[i].value.at = c->text.at + (uintptr_t)c->pairs[i].value.at;
    }
}

static int add_cert_frame(app_lane *lane, uint16_t slot, const hc_principal *p, hc_err *err)
{
    hc_app *app = lane->app;
    collected c = {.text = hc_buf_init(CERT_TEXT_MAX),
                   .pairs = app->pairs,
                   .remote_user_name = app->config.remote_user};
    hc_slice chain[HC_LIMIT_CERT_CHAIN];
    size_t chain_count = p->chain_count < HC_COUNT(chain) ? p->chain_count : HC_COUNT(chain);
    int rc = hc_principal_variables(p, collect, &c, err);
    if (rc == 0) {
        point_into_text(&c);
        for (size_t i = 0; i < chain_count; i++)
            chain[i] = hc_cert_der(p->chain[i]);
        rc = hc_lane_add_cert(&lane->channel.out, &(hc_lane_cert){.slot = slot,
                                                                  .variables = c.pairs,
                                                                  .variable_count = c.count,
                                                                  .der = hc_cert_der(p->cert),
                                                                  .chain = chain,
                                                                  .chain_count = chain_count});
        if (rc != 0)
            (void)hc_err_set(err, -rc,
                             "a certificate and its chain are too large for the application");
    }
    if (rc == 0) {
        lane->slots[slot].remote_user = c.remote_user;
        c.remote_user = NULL;
    }
    hc_free(c.remote_user);
    hc_buf_done(&c.text);
    return rc;
}

static void free_slot(lane_slot *s)
{
    hc_principal_unref(s->principal);
    hc_record_unref(s->record);
    hc_free(s->remote_user);
    *s = (lane_slot){0};
}

void app_slots_done(app_lane *lane)
{
    for (size_t i = 0; i < HC_COUNT(lane->slots); i++)
        free_slot(&lane->slots[i]);
}

/* The slot of this certificate; the least recently used one is given up for a new one. */
static int find_slot(app_lane *lane, hc_principal *p, uint16_t *out, hc_err *err)
{
    size_t oldest = 0;
    for (size_t i = 0; i < HC_COUNT(lane->slots); i++) {
        lane_slot *s = &lane->slots[i];
        if (s->principal && hc_principal_same(s->principal, p)) {
            s->used = ++lane->ticks;
            *out = (uint16_t)i;
            return 0;
        }
        if (s->used < lane->slots[oldest].used)
            oldest = i;
    }
    free_slot(&lane->slots[oldest]);
    int rc = add_cert_frame(lane, (uint16_t)oldest, p, err);
    if (rc != 0)
        return rc;
    lane->slots[oldest].principal = hc_principal_ref(p);
    lane->slots[oldest].used = ++lane->ticks;
    *out = (uint16_t)oldest;
    return 0;
}

/* A record never changes, so another one is another object: one comparison a request. */
static int tell_client(app_lane *lane, uint16_t slot, hc_record *record, hc_err *err)
{
    lane_slot *s = &lane->slots[slot];
    if (s->record == record)
        return 0;
    hc_lane_client client = {.slot = slot};
    if (record)
        client = (hc_lane_client){slot, true, hc_record_name(record), hc_record_roles(record),
                                  hc_record_attributes(record)};
    int rc = hc_lane_add_client(&lane->channel.out, &client);
    if (rc != 0)
        return hc_err_set(err, rc == -HC_ENOMEM ? HC_ENOMEM : HC_EFORMAT,
                          "a client's record cannot be handed to the application");
    hc_record_unref(s->record);
    s->record = record ? hc_record_ref(record) : NULL;
    return 0;
}

/* No header can become identity: what could be read as one of our names is left out. Host is what
 * the target said where that was in absolute form (RFC 9112 section 3.2.2). */
static size_t pass_headers(const hc_request *r, hc_pair *out)
{
    size_t n = 0;
    for (size_t i = 0; i < r->header_count && n < HC_LANE_HEADERS; i++) {
        const hc_header *h = &r->headers[i];
        if (hc_header_is_reserved(h->name))
            continue;
        bool host = r->form == HC_TARGET_ABSOLUTE &&
                    hc_slice_equal_nocase(h->name, HC_SLICE_LITERAL("host"));
        out[n++] = (hc_pair){h->name, host ? r->host : h->value};
    }
    return n;
}

/* SSL_CLIENT_VERIFY as mod_ssl words it. */
static hc_slice verify_text(const hc_verdict *v, char *room, size_t size)
{
    if (v->code == HC_VERDICT_OK)
        return HC_SLICE_LITERAL("SUCCESS");
    if (v->code == HC_VERDICT_NO_CERTIFICATE)
        return HC_SLICE_LITERAL("NONE");
    (void)snprintf(room, size, "FAILED:%s",
                   v->error ? X509_verify_cert_error_string(v->error) : hc_verdict_name(v->code));
    return hc_slice_text(room);
}

static void fill_peer(hc_lane_request *r, const hc_peer *peer)
{
    r->connection = peer->connection;
    r->cipher_bits = (uint16_t)peer->tls_cipher_bits;
    r->cipher_algorithm_bits = (uint16_t)peer->tls_cipher_algorithm_bits;
    r->remote_port = peer->port;
    r->server_port = peer->server_port;
    r->resumed = peer->tls_resumed;
    r->remote_address = hc_slice_text(peer->address);
    r->server_address = hc_slice_text(peer->server_address);
    r->tls_protocol = hc_slice_text(peer->tls_protocol);
    r->tls_cipher = hc_slice_text(peer->tls_cipher);
    r->tls_session_id = peer->tls_session_id;
    r->tls_sni = hc_slice_text(peer->tls_sni);
}

static void fill_request(hc_lane_request *out, const hc_exchange *x)
{
    const hc_request *r = x->request;
    out->http_minor = (uint8_t)r->minor;
    out->method = r->method;
    out->target = r->target;
    out->path = r->path;
    out->query = r->query;
    out->host = r->host;
    out->body_size = x->body.size;
    out->body_kind = x->body.file >= 0 ? HC_LANE_BODY_FILE : HC_LANE_BODY_INLINE;
    out->body = x->body.file >= 0 ? HC_SLICE_NONE : x->body.memory;
}

static int attach_body_file(app_lane *lane, const hc_exchange *x, hc_err *err)
{
    int fd = fcntl(x->body.file, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return hc_err_errno(err, errno, "cannot hand over a request body");
    lane->channel.out_fd = fd;
    lane->channel.out_fd_at = lane->channel.out.size;
    lane->body_file = fd;
    return 0;
}

/* The record's name; --remote-user speaks for clients without one. */
static hc_slice remote_user(const app_lane *lane, const hc_exchange *x, uint16_t slot)
{
    if (x->verdict->code != HC_VERDICT_OK)
        return HC_SLICE_NONE;
    return x->record ? hc_record_name(x->record) : hc_slice_text(lane->slots[slot].remote_user);
}

int app_request_encode(app_lane *lane, const hc_exchange *x, hc_err *err)
{
    const hc_verdict *v = x->verdict;
    char verify[128];
    hc_lane_request r = {.slot = HC_LANE_NO_SLOT,
                         .verdict = (uint8_t)v->code,
                         .error = (uint32_t)v->error,
                         .depth = (uint32_t)v->depth,
                         .verdict_name = hc_slice_text(hc_verdict_name(v->code)),
                         .verdict_detail = hc_slice_text(v->detail),
                         .client_verify = verify_text(v, verify, sizeof verify)};
    fill_peer(&r, x->peer);
    fill_request(&r, x);
    int rc = 0;
    if (x->principal) {
        rc = find_slot(lane, x->principal, &r.slot, err);
        if (rc == 0)
            rc = tell_client(lane, r.slot, x->record, err);
        if (rc != 0)
            return rc;
        r.days_left = hc_principal_days_left(x->principal, hc_clock_wall_s());
        r.remote_user = remote_user(lane, x, r.slot);
    }
    r.headers = lane->app->pairs;
    r.header_count = pass_headers(x->request, lane->app->pairs);
    if (x->body.file >= 0)
        rc = attach_body_file(lane, x, err);
    if (rc == 0) {
        rc = hc_lane_add_request(&lane->channel.out, &r);
        if (rc != 0)
            (void)hc_err_set(err, -rc, "the request is too large for the application");
    }
    return rc;
}
