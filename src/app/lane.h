/* One lane as the front has it: its state, the frames that came, the certificates and records its
 * worker remembers, what its view asks. Internal to app/. */
#ifndef HC_APP_LANE_H
#define HC_APP_LANE_H

#include <uv.h>

#include "app/app.h"
#include "lane/channel.h"

typedef enum lane_state {
    LANE_STARTING, /* waits for HELLO */
    LANE_IDLE,
    LANE_BUSY,      /* has an exchange */
    LANE_FINISHING, /* its exchange is over, END is still to come */
} lane_state;

/* A certificate that the worker has under this number. */
typedef struct lane_slot {
    hc_principal *principal; /* NULL: free */
    hc_record *record;       /* the client that the worker has with it; NULL: nobody */
    uint64_t used;
    char *remote_user; /* value of --remote-user for it, NULL: none */
} lane_slot;

typedef struct app_lane {
    hc_app *app;
    hc_pool_worker *worker;
    hc_channel channel;
    uv_poll_t *poll; /* of this thread's loop; freed by its close callback */
    int events;      /* UV_… that poll waits for */
    lane_state state;
    hc_exchange *exchange; /* BUSY */
    bool head_came;
    bool refusal_came;
    uint64_t asked;    /* the token of what the view asks and has no answer to; 0: nothing */
    bool has_client;   /* the request's client has a record: */
    int64_t client_id; /* its id, and the certificate it came with; kept here since a slot may be
                          given up meanwhile */
    uint8_t sha256[32];
    bool in_use;       /* its frames are being read: it settles when that is done */
    int body_file;     /* descriptor on its way with the request; -1: none */
    uint64_t since_ms; /* the request was handed over, or its exchange ended */
    uint64_t ticks;
    lane_slot slots[HC_LIMIT_LANE_CERT_SLOTS];
    struct app_lane *next_idle;
    struct app_lane *previous, *next; /* all of the thread */
} app_lane;

/* Encodes the request (and its certificate where the worker does not have it) and begins to send
 * it. */
int app_lane_send(app_lane *lane, hc_exchange *x, hc_err *err) HC_MUST_CHECK;
/* The same lane seen by poll: reads frames, goes on writing. */
void app_lane_ready(app_lane *lane, int events);
/* The client is gone, or has all of its response. */
void app_lane_let_go(app_lane *lane, bool cancel);
/* What was asked has this answer. */
void app_lane_answer(app_lane *lane, hc_slice answer);
/* Forgets and closes it; what runs on it fails with 502 and `why`. */
void app_lane_close(app_lane *lane, const char *why);
/* Starts or changes what poll waits for. */
int app_lane_watch(app_lane *lane, int events, hc_err *err) HC_MUST_CHECK;

/* In and out of its thread's list; out also stops the watching. */
void app_lane_link(app_lane *lane, hc_app *app);
void app_lane_unlink(app_lane *lane);
/* Frees what app_lane_unlink left. */
void app_lane_destroy(app_lane *lane);

/* app.c, for lane.c: the lane can take a request (now, or when its frames are read). May close it.
 */
void app_lane_is_idle(app_lane *lane);
void app_lane_settle(app_lane *lane);
void app_take_from_idle(app_lane *lane);

/* request_frame.c */
int app_request_encode(app_lane *lane, const hc_exchange *x, hc_err *err) HC_MUST_CHECK;
void app_slots_done(app_lane *lane);

struct hc_app {
    hc_handler handler; /* first: the handler is the app */
    hc_app_setup setup;
    hc_app_config config;
    app_lane *lanes;
    app_lane *idle;
    hc_exchange *waiting, **waiting_end;
    unsigned waiting_count;
    uint64_t asked;   /* questions so far: their tokens */
    uv_timer_t *tick; /* looks for lanes and requests past their time, once a second */
    hc_pair pairs[HC_LANE_HEADERS]; /* scratch of one encode or decode */
    hc_header headers[HC_LANE_HEADERS];
};

#endif
