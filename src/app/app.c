#include "app/app.h"

#include <unistd.h>

#include "app/lane.h"
#include "base/clock.h"
#include "base/mem.h"

#define TICK_MS 200

static void start(hc_handler *handler, hc_exchange *x);
static void cancel(hc_handler *handler, hc_exchange *x);

static void on_tick(uv_timer_t *timer);

static void free_handle(uv_handle_t *handle)
{
    hc_free(handle);
}

int hc_app_new(const hc_app_setup *setup, hc_app **out, hc_err *err)
{
    hc_app *app = hc_alloc_zero(1, sizeof *app);
    uv_timer_t *tick = hc_alloc(sizeof *tick);
    if (!app || !tick) {
        hc_free(app);
        hc_free(tick);
        return hc_err_set(err, HC_ENOMEM, "no memory for the application's handler");
    }
    *app = (hc_app){.handler = {start, cancel}, .setup = *setup, .tick = tick};
    app->waiting_end = &app->waiting;
    (void)uv_timer_init(setup->loop, tick);
    tick->data = app;
    hc_pool_join(setup->pool, setup->thread, app);
    *out = app;
    return 0;
}

hc_handler *hc_app_handler(hc_app *app)
{
    return &app->handler;
}

/* What a worker remembers of a certificate includes the user it names. */
static void forget_users(hc_app *app)
{
    for (app_lane *lane = app->lanes; lane; lane = lane->next)
        app_slots_done(lane);
}

void hc_app_configure(hc_app *app, const hc_app_config *config)
{
    const char *was = app->config.remote_user ? app->config.remote_user : "";
    if (strcmp(was, config->remote_user ? config->remote_user : "") != 0)
        forget_users(app);
    app->config = *config;
}

void hc_app_free(hc_app *app)
{
    if (!app)
        return;
    while (app->lanes)
        app_lane_close(app->lanes, "the server stops");
    while (app->waiting) {
        hc_exchange *x = app->waiting;
        app->waiting = x->next;
        x->respond->fail(x, 503, "the server stops");
    }
    uv_close((uv_handle_t *)app->tick, free_handle);
    hc_free(app);
}

int hc_app_add_lane(hc_app *app, uint32_t worker, int fd, hc_err *err)
{
    app_lane *lane = hc_alloc_zero(1, sizeof *lane);
    if (!lane) {
        (void)close(fd);
        return hc_err_set(err, HC_ENOMEM, "no memory for a lane");
    }
    hc_channel_init(&lane->channel, fd);
    lane->body_file = -1;
    lane->worker = hc_pool_lane_opened(app->setup.pool, worker);
    if (!lane->worker) {
        app_lane_destroy(lane);
        return hc_err_set(err, HC_ENOMEM, "no memory for a worker");
    }
    app_lane_link(lane, app);
    int rc = hc_buf_add(&lane->channel.out, app->config.server_frame);
    if (rc != 0)
        (void)hc_err_set(err, -rc, "no memory for a lane");
    if (rc == 0)
        rc = app_lane_watch(lane, UV_READABLE | UV_WRITABLE, err);
    if (rc != 0)
        app_lane_close(lane, err->text);
    return rc;
}

/* ---- idle lanes, and lanes that move ---- */

void app_take_from_idle(app_lane *lane)
{
    hc_app *app = lane->app;
    for (app_lane **at = &app->idle; *at; at = &(*at)->next_idle) {
        if (*at != lane)
            continue;
        *at = lane->next_idle;
        lane->next_idle = NULL;
        hc_pool_idle(app->setup.pool, app->setup.thread, -1);
        return;
    }
}

/* The worker with the fewest requests, so that two requests do not wait for one interpreter's lock;
 * among those the lane used last, whose thread is warm. */
static app_lane *best_idle(const hc_app *app)
{
    app_lane *best = NULL;
    int best_busy = 0;
    for (app_lane *lane = app->idle; lane; lane = lane->next_idle) {
        int busy = atomic_load_explicit(&lane->worker->busy, memory_order_relaxed);
        if (!best || busy < best_busy) {
            best = lane;
            best_busy = busy;
        }
        if (best_busy == 0)
            break;
    }
    return best;
}

static void put_to_idle(app_lane *lane)
{
    hc_app *app = lane->app;
    lane->next_idle = app->idle;
    app->idle = lane;
    hc_pool_idle(app->setup.pool, app->setup.thread, 1);
}

/* False: the lane is gone. */
static bool move_in(app_lane *lane, hc_app *app)
{
    hc_err err = {0};
    app_lane_link(lane, app);
    if (app_lane_watch(lane, UV_READABLE, &err) == 0)
        return true;
    hc_pool_broken(app->setup.pool, lane->worker, err.text);
    app_lane_close(lane, err.text);
    return false;
}

/* On the thread that gets it. */
static void arrive(void *arg)
{
    app_lane *lane = arg;
    if (move_in(lane, lane->app))
        app_lane_settle(lane);
}

static void give_away(app_lane *lane, unsigned thread)
{
    hc_app *from = lane->app;
    app_take_from_idle(lane);
    app_lane_unlink(lane);
    lane->app = hc_pool_app(from->setup.pool, thread);
    /* Without memory for the message it stays: a lane that is lost is a worker with one fewer. */
    if (!from->setup.post(from->setup.post_arg, thread, arrive, lane) && move_in(lane, from))
        put_to_idle(lane);
}

typedef struct plea {
    hc_app *asked;
    unsigned for_thread;
} plea;

static void hear(void *arg)
{
    plea *p = arg;
    app_lane *lane = best_idle(p->asked);
    if (lane && hc_pool_waits(p->asked->setup.pool, p->for_thread))
        give_away(lane, p->for_thread);
    hc_free(p);
}

/* A request waits here and another thread has an idle lane: ask for it. */
static void ask_others(hc_app *app)
{
    int who = hc_pool_who_is_idle(app->setup.pool, app->setup.thread);
    plea *p = who >= 0 ? hc_alloc(sizeof *p) : NULL;
    if (!p)
        return;
    *p = (plea){hc_pool_app(app->setup.pool, (unsigned)who), app->setup.thread};
    if (!app->setup.post(app->setup.post_arg, (unsigned)who, hear, p))
        hc_free(p);
}

/* ---- requests ---- */

static void keep_time(hc_app *app)
{
    if (!uv_is_active((uv_handle_t *)app->tick))
        (void)uv_timer_start(app->tick, on_tick, TICK_MS, TICK_MS);
}

typedef enum handed {
    HANDED_OVER,
    HANDED_BACK, /* the request failed by its own fault, or ours; the lane is as good as before */
    LANE_GONE,   /* another lane may take the request */
} handed;

static handed hand_over(app_lane *lane, hc_exchange *x)
{
    hc_err err = {0};
    int rc = app_lane_send(lane, x, &err);
    if (rc == 0)
        return HANDED_OVER;
    if (rc == -HC_ELIMIT || rc == -HC_EFORMAT || rc == -HC_ENOMEM) {
        x->respond->fail(x, rc == -HC_ELIMIT ? 431 : 500, err.text);
        return HANDED_BACK;
    }
    if (rc != -HC_ECLOSED) /* it lives, and would serve on with one lane fewer */
        hc_pool_broken(lane->app->setup.pool, lane->worker, err.text);
    app_lane_close(lane, err.text);
    return LANE_GONE;
}

static void start(hc_handler *handler, hc_exchange *x)
{
    hc_app *app = (hc_app *)handler;
    app_lane *lane;
    x->handler_state = NULL;
    x->next = NULL;
    keep_time(app);
    while ((lane = best_idle(app))) {
        app_take_from_idle(lane);
        handed result = hand_over(lane, x);
        if (result == HANDED_BACK)
            app_lane_is_idle(lane);
        if (result != LANE_GONE)
            return;
    }
    if (app->waiting_count >= HC_LIMIT_WAITING_REQUESTS) {
        x->respond->fail(x, 503, "too many requests wait for a worker");
        return;
    }
    x->handler_ms = hc_clock_monotonic_ms();
    *app->waiting_end = x;
    app->waiting_end = &x->next;
    app->waiting_count++;
    hc_pool_waiting(app->setup.pool, app->setup.thread, 1);
    ask_others(app);
}

static void take_from_waiting(hc_app *app, hc_exchange *x)
{
    for (hc_exchange **at = &app->waiting; *at; at = &(*at)->next) {
        if (*at != x)
            continue;
        *at = x->next;
        if (app->waiting_end == &x->next)
            app->waiting_end = at;
        x->next = NULL;
        app->waiting_count--;
        hc_pool_waiting(app->setup.pool, app->setup.thread, -1);
        return;
    }
}

static void cancel(hc_handler *handler, hc_exchange *x)
{
    hc_app *app = (hc_app *)handler;
    app_lane *lane = x->handler_state;
    if (lane)
        app_lane_let_go(lane, true);
    else
        take_from_waiting(app, x);
}

void app_lane_is_idle(app_lane *lane)
{
    if (!lane->in_use)
        app_lane_settle(lane);
}

void app_lane_settle(app_lane *lane)
{
    hc_app *app = lane->app;
    if (atomic_load(&lane->worker->retired)) {
        app_lane_close(lane, "");
        return;
    }
    while (app->waiting) {
        hc_exchange *x = app->waiting;
        take_from_waiting(app, x);
        if (!x->respond->still_admitted(x))
            continue;
        handed result = hand_over(lane, x);
        if (result == LANE_GONE)
            start(&app->handler, x);
        if (result != HANDED_BACK)
            return;
    }
    put_to_idle(lane);
    int who = hc_pool_who_waits(app->setup.pool, app->setup.thread);
    if (who >= 0)
        give_away(lane, (unsigned)who);
}

void hc_app_answer(hc_app *app, uint64_t token, hc_slice answer)
{
    for (app_lane *lane = app->lanes; token && lane; lane = lane->next) {
        if (lane->asked == token) {
            app_lane_answer(lane, answer);
            return;
        }
    }
}

void hc_app_close_retired(hc_app *app)
{
    for (app_lane *lane = app->lanes, *next; lane; lane = next) {
        next = lane->next;
        if (atomic_load(&lane->worker->retired) &&
            (lane->state == LANE_IDLE || lane->state == LANE_STARTING))
            app_lane_close(lane, "");
    }
}

/* ---- time ---- */

static void time_out(app_lane *lane)
{
    hc_exchange *x = lane->exchange;
    lane->exchange = NULL;
    if (lane->state == LANE_BUSY)
        app_lane_let_go(lane, false);
    hc_pool_broken(lane->app->setup.pool, lane->worker,
                   "a request was not answered within --timeout");
    if (x)
        x->respond->fail(x, 503, "the application did not answer within --timeout");
}

static void on_tick(uv_timer_t *timer)
{
    hc_app *app = timer->data;
    uint64_t now = hc_clock_monotonic_ms(), limit = app->config.timeout_ms;
    bool anything = false;
    for (app_lane *lane = app->lanes, *next; lane; lane = next) {
        next = lane->next;
        bool slow = (lane->state == LANE_BUSY && !lane->head_came) || lane->state == LANE_FINISHING;
        /* A stream too: once its client is gone its worker has to come to an end. */
        anything = anything || slow || lane->state == LANE_BUSY;
        if (slow && limit && now - lane->since_ms > limit && !atomic_load(&lane->worker->broken)) {
            time_out(lane);
            next = app->lanes; /* the response may have led to another request, and that to a lane
                                  that is gone */
        }
    }
    while (app->waiting && limit && now - app->waiting->handler_ms > limit) {
        hc_exchange *x = app->waiting;
        take_from_waiting(app, x);
        x->respond->fail(x, 503, "no worker was free within --timeout");
    }
    if (app->waiting) /* a message between threads may have failed for want of memory */
        ask_others(app);
    else if (!anything)
        (void)uv_timer_stop(timer);
}
