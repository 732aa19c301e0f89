/* Two front threads on one loop, workers at the other end of socketpairs, and a responder that
 * keeps what it was told. A test includes this once. */
#ifndef HC_TESTS_UNIT_APP_WORLD_H
#define HC_TESTS_UNIT_APP_WORLD_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/app.h"
#include "base/clock.h"
#include "lane/channel.h"
#include "unit.h"
/* after unit.h */
#include "faults.h"

#define WORLD_THREADS 2
#define WORLD_POSTS   64
#define WORLD_WORKERS 16

typedef struct posted {
    void (*run)(void *arg);
    void *arg;
} posted;

/* The worker's end of a lane. */
typedef struct fake_worker {
    hc_channel channel;
    bool open;
} fake_worker;

typedef struct world {
    uv_loop_t loop;
    hc_pool *pool;
    hc_app *apps[WORLD_THREADS];
    hc_buf server_frame;
    posted posts[WORLD_POSTS];
    size_t post_count;
    bool refuse_posts;
    fake_worker workers[WORLD_WORKERS];
    size_t worker_count;
    int ready, broken, idle; /* events so far */
    uint32_t last_worker;
    char why[256];
    int asks; /* what views asked, and the last of it */
    uint64_t ask_token;
    int64_t ask_client;
    uint8_t ask_sha256[32];
    char ask_text[64];
    const char *answer_at_once; /* within the ask; NULL: later */
} world;

/* A request, and what came of it. */
typedef struct call {
    hc_exchange x;
    hc_request request;
    hc_peer peer;
    hc_verdict verdict;
    int status;
    char body[256];
    size_t body_size;
    uint64_t complete_at; /* octets after which the client has all; 0: never */
    int head_result;
    bool unwelcome; /* the connection refuses it when asked again */
    int files, flushes, refusals, ends, fails;
    int fail_status;
    hc_verdict_code refusal_verdict;
    char reason[256];
} call;

static inline call *call_of(hc_exchange *x)
{
    return (call *)(void *)((char *)x - offsetof(call, x));
}

static inline int call_head(hc_exchange *x, const hc_response_head *head, hc_err *err)
{
    call *c = call_of(x);
    if (c->head_result < 0)
        return hc_err_set(err, -c->head_result, "a head that is refused");
    c->status = head->status;
    return c->head_result;
}

static inline int call_data(hc_exchange *x, hc_slice octets, hc_err *err)
{
    call *c = call_of(x);
    (void)err;
    assert_true(c->body_size + octets.size <= sizeof c->body);
    memcpy(c->body + c->body_size, octets.at, octets.size);
    c->body_size += octets.size;
    return c->complete_at && c->body_size >= c->complete_at ? HC_RESPONSE_COMPLETE : 0;
}

static inline int call_file(hc_exchange *x, int fd, uint64_t offset, uint64_t size, hc_err *err)
{
    call *c = call_of(x);
    if (fd < 0)
        return hc_err_set(err, HC_EFORMAT, "no descriptor");
    assert_true(c->body_size + size <= sizeof c->body);
    assert_int_equal(pread(fd, c->body + c->body_size, (size_t)size, (off_t)offset), size);
    c->body_size += (size_t)size;
    c->files++;
    assert_int_equal(close(fd), 0);
    return 0;
}

static inline bool call_still_admitted(hc_exchange *x)
{
    return !call_of(x)->unwelcome;
}

static inline void call_flush(hc_exchange *x)
{
    call_of(x)->flushes++;
}

static inline void call_end(hc_exchange *x)
{
    call_of(x)->ends++;
}

static inline void call_fail(hc_exchange *x, int status, const char *reason)
{
    call *c = call_of(x);
    c->fails++;
    c->fail_status = status;
    (void)snprintf(c->reason, sizeof c->reason, "%s", reason);
}

static inline void call_refused(hc_exchange *x, hc_verdict_code verdict, hc_slice reason)
{
    call *c = call_of(x);
    c->refusals++;
    c->refusal_verdict = verdict;
    (void)snprintf(c->reason, sizeof c->reason, "%.*s", HC_SLICE_ARGS(reason));
}

static const hc_responder call_responder = {
    .head = call_head,
    .data = call_data,
    .file = call_file,
    .still_admitted = call_still_admitted,
    .flush = call_flush,
    .end = call_end,
    .fail = call_fail,
    .refused = call_refused,
};

/* Path and body live as long as the call. */
static inline void call_init(call *c, const char *path)
{
    *c = (call){.request = {.method = S("GET"),
                            .target = hc_slice_text(path),
                            .raw_path = hc_slice_text(path),
                            .path = hc_slice_text(path),
                            .host = S("localhost"),
                            .minor = 1,
                            .keep_alive = true},
                .peer = {.connection = 1,
                         .address = "127.0.0.1",
                         .server_address = "127.0.0.1",
                         .tls_protocol = "TLSv1.3",
                         .tls_cipher = "TLS_AES_128_GCM_SHA256",
                         .tls_sni = ""},
                .verdict = {.code = HC_VERDICT_OK}};
    c->x = (hc_exchange){.respond = &call_responder,
                         .request = &c->request,
                         .body = {HC_SLICE_NONE, -1, 0},
                         .peer = &c->peer,
                         .verdict = &c->verdict};
}

/* ---- the world ---- */

static inline bool world_post(void *arg, unsigned thread, void (*run)(void *), void *run_arg)
{
    world *w = arg;
    (void)thread;
    if (w->refuse_posts)
        return false;
    assert_true(w->post_count < WORLD_POSTS);
    w->posts[w->post_count++] = (posted){run, run_arg};
    return true;
}

static inline void on_ready(void *arg, uint32_t worker)
{
    world *w = arg;
    w->ready++;
    w->last_worker = worker;
}

static inline void on_broken(void *arg, uint32_t worker, const char *why)
{
    world *w = arg;
    w->broken++;
    w->last_worker = worker;
    (void)snprintf(w->why, sizeof w->why, "%s", why);
}

static inline void on_idle(void *arg, uint32_t worker)
{
    world *w = arg;
    w->idle++;
    w->last_worker = worker;
}

static inline void world_ask(void *arg, uint64_t token, int64_t client_id, const uint8_t sha256[32],
                             hc_slice question)
{
    world *w = arg;
    w->asks++;
    w->ask_token = token;
    w->ask_client = client_id;
    memcpy(w->ask_sha256, sha256, sizeof w->ask_sha256);
    (void)snprintf(w->ask_text, sizeof w->ask_text, "%.*s", HC_SLICE_ARGS(question));
    if (w->answer_at_once)
        hc_app_answer(w->apps[token >> 48], token, hc_slice_text(w->answer_at_once));
}

static inline int world_init(world *w, unsigned threads)
{
    hc_err err = {0};
    *w = (world){.server_frame = hc_buf_init(4096)};
    assert_int_equal(uv_loop_init(&w->loop), 0);
    hc_pool_events events = {w, on_ready, on_broken, on_idle, NULL};
    int rc = hc_lane_add_server(&w->server_frame, &(hc_lane_server){.multithread = true});
    if (rc == 0)
        rc = hc_pool_new(&events, &w->pool, &err);
    for (unsigned i = 0; i < threads && rc == 0; i++) {
        hc_app_setup setup = {&w->loop, w->pool, i, world_post, w, world_ask, w};
        rc = hc_app_new(&setup, &w->apps[i], &err);
        hc_app_config config = {.server_frame = hc_buf_slice(&w->server_frame)};
        if (rc == 0)
            hc_app_configure(w->apps[i], &config);
    }
    return rc;
}

/* Everything that can happen without waiting has happened. */
static inline void spin(world *w)
{
    for (int quiet = 0; quiet < 4;) {
        quiet++;
        while (w->post_count) {
            posted p = w->posts[0];
            memmove(w->posts, w->posts + 1, --w->post_count * sizeof *w->posts);
            p.run(p.arg);
            quiet = 0;
        }
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    }
}

static inline void world_done(world *w)
{
    spin(w);
    for (unsigned i = 0; i < WORLD_THREADS; i++)
        hc_app_free(w->apps[i]);
    for (size_t i = 0; i < w->worker_count; i++) {
        hc_channel_done(&w->workers[i].channel);
        if (w->workers[i].open)
            (void)close(w->workers[i].channel.fd);
    }
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    hc_pool_free(w->pool);
    hc_buf_done(&w->server_frame);
}

/* ---- workers ---- */

/* A lane of worker `number` to front thread `thread`; NULL where it could not be added. */
static inline fake_worker *add_lane(world *w, unsigned thread, uint32_t number)
{
    int fds[2];
    hc_err err = {0};
    assert_true(w->worker_count < WORLD_WORKERS);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    if (hc_app_add_lane(w->apps[thread], number, fds[0], &err) != 0) {
        (void)close(fds[1]);
        return NULL;
    }
    fake_worker *f = &w->workers[w->worker_count++];
    f->open = true;
    hc_channel_init(&f->channel, fds[1]);
    return f;
}

static inline void says(world *w, fake_worker *f)
{
    hc_err err;
    assert_int_equal(hc_channel_flush(&f->channel, &err), 0);
    spin(w);
}

static inline void says_hello(world *w, fake_worker *f)
{
    assert_int_equal(hc_lane_add_hello(&f->channel.out), 0);
    says(w, f);
}

static inline void adds_head(fake_worker *f, uint16_t status)
{
    hc_lane_head head = {.status = status, .reason = S("OK")};
    assert_int_equal(hc_lane_add_head(&f->channel.out, &head), 0);
}

static inline void adds_data(fake_worker *f, const char *text)
{
    assert_int_equal(hc_lane_add_data(&f->channel.out, hc_slice_text(text)), 0);
}

static inline void adds_end(fake_worker *f, bool failed)
{
    assert_int_equal(hc_lane_add_end(&f->channel.out, failed), 0);
}

/* A whole response. */
static inline void answers(world *w, fake_worker *f, const char *text)
{
    adds_head(f, 200);
    adds_data(f, text);
    adds_end(f, false);
    says(w, f);
}

static inline void dies(world *w, fake_worker *f)
{
    assert_int_equal(close(f->channel.fd), 0);
    f->open = false;
    spin(w);
}

/* The type of the next frame, 0 where there is none, 255 where the lane is closed. */
static inline uint8_t takes(fake_worker *f, hc_slice *payload, int *fd)
{
    hc_lane_header h;
    hc_err err;
    hc_slice ignored;
    int none = -1;
    int rc = hc_channel_read(&f->channel, &h, payload ? payload : &ignored, fd ? fd : &none, &err);
    if (none >= 0)
        (void)close(none);
    return rc == 0 ? h.type : rc == -HC_EAGAIN ? 0 : 255;
}

/* The next frame is a request for this path. */
static inline void assert_takes(fake_worker *f, const char *path)
{
    hc_slice payload;
    hc_lane_request r;
    hc_pair headers[8];
    hc_err err;
    assert_int_equal(takes(f, &payload, NULL), HC_LANE_REQUEST);
    assert_int_equal(hc_lane_decode_request(payload, &r, headers, 8, &err), 0);
    assert_slice_equal(r.path, hc_slice_text(path));
}

/* A lane that can take a request: the server's frame is read. */
static inline fake_worker *add_ready_lane(world *w, unsigned thread, uint32_t number)
{
    fake_worker *f = add_lane(w, thread, number);
    assert_non_null(f);
    says_hello(w, f);
    assert_int_equal(takes(f, NULL, NULL), HC_LANE_SERVER);
    return f;
}

static inline void begin_call(world *w, unsigned thread, call *c)
{
    hc_handler *h = hc_app_handler(w->apps[thread]);
    h->start(h, &c->x);
    spin(w);
}

static inline void cancel_call(world *w, unsigned thread, call *c)
{
    hc_handler *h = hc_app_handler(w->apps[thread]);
    h->cancel(h, &c->x);
    spin(w);
}

/* ---- each test in a world of its own ---- */

static uint64_t now_ms = 1000;

static inline int64_t wall_s(void)
{
    return 1800000000;
}

static inline uint64_t monotonic_ms(void)
{
    return now_ms;
}

static inline int world_setup(void **state)
{
    static const hc_clock clock = {wall_s, monotonic_ms};
    world *w = malloc(sizeof *w);
    *state = w;
    hc_clock_set(&clock);
    return world_init(w, WORLD_THREADS);
}

static inline int world_teardown(void **state)
{
    world_done(*state);
    free(*state);
    hc_clock_set(NULL);
    faults_end();
    return 0;
}

static inline void assert_answered(const call *c, const char *body)
{
    assert_int_equal(c->fails, 0);
    assert_int_equal(c->ends, 1);
    assert_int_equal(c->status, 200);
    assert_slice_equal(hc_slice_of(c->body, c->body_size), hc_slice_text(body));
}

static inline void assert_failed(const call *c, int status, const char *reason)
{
    assert_int_equal(c->fails, 1);
    assert_int_equal(c->ends, 0);
    assert_int_equal(c->fail_status, status);
    if (!strstr(c->reason, reason))
        assert_string_equal(c->reason, reason);
}

/* The only lane, at work on a request. */
static inline fake_worker *busy(world *w, call *c)
{
    fake_worker *f = add_ready_lane(w, 0, 1);
    call_init(c, "/busy");
    begin_call(w, 0, c);
    assert_takes(f, "/busy");
    return f;
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

#endif
