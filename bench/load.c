/* A load generator for two-way TLS, on the loopback, bounded in count and time, with one line of
 * JSON at its end.
 *
 *   load --port N --ca FILE --cert FILE --key FILE --mode kept|full|resumed|idle
 *        [--connections C] [--requests R] [--seconds S] [--path /] [--upload BYTES] [--tls 1.2|1.3]
 *
 * kept     C connections, each with request after request; opened anew where the server closes
 * full     C threads, each with a new connection and a full handshake for every request
 * resumed  the same, with the session of the connection before
 * idle     C connections, opened with one request each; says so in a line {"open": N} and holds
 * them until its standard input ends, or S seconds have passed
 *
 * What the server spends is measured outside, from its processes; this counts what was done and how
 * long it took. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define MAX_THREADS     256
#define MAX_IDLE        20000
#define MAX_REQUESTS    2000000
#define MAX_SECONDS     600
#define MAX_BODY_BYTES  (64 << 20)
#define OPENING_THREADS 8

typedef enum load_mode { MODE_KEPT, MODE_FULL, MODE_RESUMED, MODE_IDLE } load_mode;

typedef struct options {
    load_target target;
    load_mode mode;
    const char *path;
    long connections, requests, upload_bytes;
    double seconds;
} options;

typedef struct load_run {
    options opt;
    SSL_CTX *context;
    load_request request;
    load_client *idle; /* `connections` of them */
    float *times_us;   /* of each request, in the order they were begun; 0 where it failed */
    double deadline;
    atomic_long next, done, failed, opened, resumed;
    atomic_ullong received_bytes;
} load_run;

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(2);
}

static int open_counted(load_run *run, load_client *c)
{
    bool resumed = false;
    if (load_open(c, &resumed) != 0)
        return -1;
    atomic_fetch_add(&run->opened, 1);
    if (resumed)
        atomic_fetch_add(&run->resumed, 1);
    return 0;
}

static void *make_requests(void *arg)
{
    load_run *run = arg;
    load_client c;
    load_client_init(&c, &run->opt.target, run->context);
    bool keep_session = run->opt.mode == MODE_RESUMED;
    for (long i;
         (i = atomic_fetch_add(&run->next, 1)) < run->opt.requests && now_s() < run->deadline;) {
        double began = now_s();
        if ((!c.ssl && open_counted(run, &c) != 0) || load_exchange(&c, &run->request) != 0) {
            atomic_fetch_add(&run->failed, 1);
            load_close(&c, false);
            continue;
        }
        if (run->opt.mode != MODE_KEPT || c.ends)
            load_close(&c, keep_session);
        run->times_us[i] = (float)((now_s() - began) * 1e6);
        atomic_fetch_add(&run->done, 1);
    }
    atomic_fetch_add(&run->received_bytes, c.received_bytes);
    load_client_done(&c);
    return NULL;
}

static void *open_idle(void *arg)
{
    load_run *run = arg;
    for (long i;
         (i = atomic_fetch_add(&run->next, 1)) < run->opt.connections && now_s() < run->deadline;) {
        load_client *c = &run->idle[i];
        load_client_init(c, &run->opt.target, run->context);
        if (open_counted(run, c) == 0 && load_exchange(c, &run->request) == 0 && !c->ends) {
            atomic_fetch_add(&run->done, 1);
        } else {
            atomic_fetch_add(&run->failed, 1);
            load_client_done(c);
        }
    }
    return NULL;
}

static void run_threads(load_run *run, void *(*body)(void *), long count)
{
    pthread_t threads[MAX_THREADS];
    for (long i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, body, run) != 0)
            die("cannot start a thread");
    for (long i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
}

static void hold_idle(load_run *run)
{
    struct rlimit files;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    run_threads(run, open_idle, OPENING_THREADS);
    printf("{\"open\": %ld}\n", atomic_load(&run->done));
    (void)fflush(stdout);
    double left_s = run->deadline - now_s();
    (void)poll(&input, 1, left_s > 0 ? (int)(left_s * 1000) : 0);
    for (long i = 0; i < run->opt.connections; i++)
        if (run->idle[i].ssl)
            load_client_done(&run->idle[i]);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void report(load_run *run, double seconds)
{
    float *times = run->times_us;
    size_t n = 0;
    for (long i = 0; i < run->opt.requests; i++)
        if (times[i] > 0)
            times[n++] = times[i];
    qsort(times, n, sizeof *times, by_size);
    long done = atomic_load(&run->done);
    printf("{\"done\": %ld, \"failed\": %ld, \"opened\": %ld, \"resumed\": %ld, "
           "\"received_bytes\": %llu, "
           "\"seconds\": %.3f, "
           "\"per_second\": %.1f, \"p50_us\": %.0f, \"p99_us\": %.0f}\n",
           done, atomic_load(&run->failed), atomic_load(&run->opened), atomic_load(&run->resumed),
           atomic_load(&run->received_bytes), seconds, seconds > 0 ? (double)done / seconds : 0.0,
           n ? (double)times[n / 2] : 0.0, n ? (double)times[n * 99 / 100] : 0.0);
}

static load_mode mode_of(const char *value)
{
    static const char *const names[] = {"kept", "full", "resumed", "idle"};
    for (int i = 0; i < 4; i++)
        if (strcmp(value, names[i]) == 0)
            return (load_mode)i;
    die("--mode is kept, full, resumed or idle");
}

static void check(const options *o)
{
    const load_target *t = &o->target;
    if (t->port < 1 || t->port > 65535 || !t->ca || !t->cert || !t->key)
        die("--port, --ca, --cert and --key are needed");
    if (o->connections < 1 || o->connections > (o->mode == MODE_IDLE ? MAX_IDLE : MAX_THREADS))
        die("--connections is at most 256, and 20000 idle ones");
    if (o->requests < 1 || o->requests > MAX_REQUESTS)
        die("--requests is at most 2000000");
    if (!(o->seconds > 0) || o->seconds > MAX_SECONDS)
        die("--seconds is at most 600");
    if (o->upload_bytes < 0 || o->upload_bytes > MAX_BODY_BYTES)
        die("--upload is at most 67108864");
}

static options parse(int argc, char **argv)
{
    options o = {.path = "/", .connections = 1, .requests = 1000, .seconds = 60};
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--port") == 0)
            o.target.port = (int)strtol(value, NULL, 10);
        else if (strcmp(name, "--ca") == 0)
            o.target.ca = value;
        else if (strcmp(name, "--cert") == 0)
            o.target.cert = value;
        else if (strcmp(name, "--key") == 0)
            o.target.key = value;
        else if (strcmp(name, "--tls") == 0)
            o.target.tls12 = strcmp(value, "1.2") == 0;
        else if (strcmp(name, "--mode") == 0)
            o.mode = mode_of(value);
        else if (strcmp(name, "--path") == 0)
            o.path = value;
        else if (strcmp(name, "--upload") == 0)
            o.upload_bytes = strtol(value, NULL, 10);
        else if (strcmp(name, "--connections") == 0)
            o.connections = strtol(value, NULL, 10);
        else if (strcmp(name, "--requests") == 0)
            o.requests = strtol(value, NULL, 10);
        else if (strcmp(name, "--seconds") == 0)
            o.seconds = strtod(value, NULL);
        else
            die(name);
    }
    check(&o);
    return o;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    load_run run = {.opt = parse(argc, argv)};
    uint8_t *body = calloc(1, (size_t)run.opt.upload_bytes + 1);
    run.context = load_context(&run.opt.target);
    run.times_us = calloc((size_t)run.opt.requests, sizeof *run.times_us);
    run.idle = calloc((size_t)run.opt.connections, sizeof *run.idle);
    if (!body || !run.context || !run.times_us || !run.idle)
        die("cannot set up");
    load_request_init(&run.request, run.opt.path, body, (size_t)run.opt.upload_bytes);
    double began = now_s();
    run.deadline = began + run.opt.seconds;
    if (run.opt.mode == MODE_IDLE)
        hold_idle(&run);
    else
        run_threads(&run, make_requests, run.opt.connections);
    report(&run, now_s() - began);
    SSL_CTX_free(run.context);
    free(run.times_us);
    free(run.idle);
    free(body);
    return atomic_load(&run.failed) ? 1 : 0;
}
