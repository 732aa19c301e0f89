/* The application as a handler: hands each request to an idle lane and its response back, one
 * instance a front thread.
 *
 * Runs on its thread's event loop and never blocks. Requests wait here in order while no lane is
 * idle, bounded in number and time. A worker that dies costs the requests it was working on (502);
 * one that does not answer within the timeout gets 503 for the client and is reported to be
 * replaced. */
#ifndef HC_APP_APP_H
#define HC_APP_APP_H

#include <uv.h>

#include "app/pool.h"
#include "base/buf.h"
#include "handler/handler.h"

/* Replaced whole when the configuration changes; all borrowed until then. */
typedef struct hc_app_config {
    uint64_t timeout_ms;     /* a view that does not answer; 0: no bound */
    const char *remote_user; /* SSL_CLIENT_… whose value becomes REMOTE_USER; NULL: none */
    hc_slice server_frame;   /* an encoded SERVER frame, sent first on every lane */
    uint64_t max_requests, max_requests_jitter; /* after so many a worker is spent; 0: no end */
} hc_app_config;

typedef struct hc_app_setup {
    uv_loop_t *loop;
    hc_pool *pool;
    unsigned thread; /* this thread's index in the pool */
    /* Runs `run(arg)` on the thread with this index; false where that is not possible any more. */
    bool (*post)(void *post_arg, unsigned thread, void (*run)(void *arg), void *arg);
    void *post_arg;
    /* A view asks about its own client (by its id in the registry, and the certificate it came
     * with): answered later, or from within this call, by hc_app_answer with the same token. NULL:
     * there is nobody to ask. */
    void (*ask)(void *ask_arg, uint64_t token, int64_t client_id, const uint8_t sha256[32],
                hc_slice question);
    void *ask_arg;
} hc_app_setup;

int hc_app_new(const hc_app_setup *setup, hc_app **out, hc_err *err) HC_MUST_CHECK;
/* Closes every lane and fails what waits; the loop must run once more for the handles. */
void hc_app_free(hc_app *app);
void hc_app_configure(hc_app *app, const hc_app_config *config);
hc_handler *hc_app_handler(hc_app *app);

/* A lane to a thread of `worker` (fd taken, also on failure); requests go to it once it said hello.
 */
int hc_app_add_lane(hc_app *app, uint32_t worker, int fd, hc_err *err) HC_MUST_CHECK;
/* After hc_pool_retire: closes this thread's idle lanes of retired workers; busy ones when they are
 * done. */
void hc_app_close_retired(hc_app *app);

/* On the app's thread. A token whose lane is gone is ignored. */
void hc_app_answer(hc_app *app, uint64_t token, hc_slice answer);

#endif
