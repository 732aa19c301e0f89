/* The supervisor's end of the front: its process, its control channel and where in its life it
 * stands.
 *
 * One thread, on a libuv loop; nothing here blocks but the start of the process. Hooks are called
 * from the loop, from hc_front_link_reap, and never from within the call that asked for something.
 */
#ifndef HC_SERVER_FRONT_LINK_H
#define HC_SERVER_FRONT_LINK_H

#include <uv.h>

#include "base/log.h"
#include "server/control.h"
#include "server/spawn.h"

typedef enum hc_front_state {
    HC_FRONT_DOWN,
    HC_FRONT_STARTING, /* its first configuration is on the way */
    HC_FRONT_SERVING,
    HC_FRONT_CHANGING, /* serving, with another configuration on the way */
    HC_FRONT_DRAINING,
    HC_FRONT_ENDING, /* told, or made, to exit */
} hc_front_state;

typedef enum hc_front_change {
    HC_FRONT_SPAWNED,
    HC_FRONT_CONFIGURED,
    HC_FRONT_REFUSED, /* the configuration; what was in force stays */
    HC_FRONT_RECONFIGURE,
    HC_FRONT_DRAIN,
    HC_FRONT_END,
    HC_FRONT_EXITED,
} hc_front_change;

/* The table of allowed transitions. False leaves `state` as it is. */
bool hc_front_state_change(hc_front_state *state, hc_front_change change);

/* "serving" … */
const char *hc_front_state_name(hc_front_state state);

typedef struct hc_front_link_hooks {
    void *arg;
    void (*configured)(void *arg, const char *refused); /* refused: why, or NULL */
    void (*lane_ready)(void *arg, uint32_t worker);
    void (*worker_broken)(void *arg, uint32_t worker, const char *why);
    void (*worker_idle)(void *arg, uint32_t worker);
    void (*worker_spent)(void *arg, uint32_t worker);
    void (*drained)(void *arg);
    void (*status)(void *arg, hc_slice json);
    void (*exited)(void *arg, int wait_status);
} hc_front_link_hooks;

typedef struct hc_front_link {
    uv_loop_t *loop;
    const hc_log *log;
    hc_front_link_hooks hooks;
    hc_front_state state;
    pid_t pid;
    hc_control control;
    bool open; /* the control channel */
    uv_poll_t poll;
    bool polling; /* the handle is initialised and not yet closed */
} hc_front_link;

void hc_front_link_init(hc_front_link *l, uv_loop_t *loop, const hc_log *log,
                        const hc_front_link_hooks *hooks);
/* Starts the process as `identity` (NULL: as this one) and sends `config_fd` (taken), before it
 * `access_fd`, the access log (taken; -1: none). `again`: in the place of one that died. Only when
 * down. */
int hc_front_link_start(hc_front_link *l, const hc_identity *identity, int access_fd, int config_fd,
                        bool again, hc_err *err) HC_MUST_CHECK;
/* Log files opened anew (taken, each may be -1). */
int hc_front_link_logs(hc_front_link *l, int access_fd, int error_fd, hc_err *err) HC_MUST_CHECK;
/* Another configuration (taken); -HC_EBUSY where the front is not serving or the last one is not
 * yet answered. */
int hc_front_link_reconfigure(hc_front_link *l, int config_fd, hc_err *err) HC_MUST_CHECK;
/* The descriptors are taken. */
int hc_front_link_listen(hc_front_link *l, int fd, hc_err *err) HC_MUST_CHECK;
int hc_front_link_metrics(hc_front_link *l, int fd, hc_err *err) HC_MUST_CHECK;
int hc_front_link_authority(hc_front_link *l, int fd, hc_err *err) HC_MUST_CHECK;
int hc_front_link_lane(hc_front_link *l, uint32_t worker, int fd, hc_err *err) HC_MUST_CHECK;
void hc_front_link_retire(hc_front_link *l, uint32_t worker);
/* Asks; hooks.status brings the answer. False where nobody is there to ask. */
bool hc_front_link_ask_status(hc_front_link *l);
/* False where it cannot: not serving. */
bool hc_front_link_drain(hc_front_link *l, uint64_t grace_ms) HC_MUST_CHECK;
/* Closes the control channel: the front exits by itself. */
void hc_front_link_end(hc_front_link *l);
void hc_front_link_kill(hc_front_link *l);
/* After SIGCHLD. */
void hc_front_link_reap(hc_front_link *l);

#endif
